package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/sqlite"
)

// childFile makes of the test binary the process that is killed.
const childFile = "VINFER_SYNC_TEST_SQLITE"

// child writes entries with four workers and prints the number of each once it is acknowledged.
func child(path string) {
	w, err := sqlite.New(sqlite.Config{Path: path}, crm.Settings{})
	if err != nil {
		panic(err)
	}
	var from int
	if _, err := fmt.Sscan(os.Getenv(childFile+"_FROM"), &from); err != nil {
		panic(err)
	}
	var out sync.Mutex
	for worker := range 4 {
		go func() {
			for n := from + worker; ; n += 4 {
				if err := w.Write(context.Background(), crmtest.Completed(n), crm.NewProgress(nil, nil)); err != nil {
					panic(err)
				}
				out.Lock()
				_, _ = fmt.Println(n)
				out.Unlock()
			}
		}()
	}
	select {}
}

func TestKill(t *testing.T) {
	const rounds = 25
	path := filepath.Join(t.TempDir(), "crm.db")
	acknowledged := map[int]bool{}
	from := 0
	for range rounds {
		kill(t, path, from, acknowledged)
		// As the engine does after a kill, the next process writes again what was in flight.
		for acknowledged[from] {
			from++
		}
	}
	got := state(t, path)
	times, contacts := map[string]int{}, map[string]int{}
	for _, c := range got.Calls {
		times[c.ID]++
	}
	for _, c := range got.Contacts {
		contacts[c.Phone]++
	}
	for n := range acknowledged {
		e := crmtest.Completed(n)
		if times[e.Call.ID] != 1 || contacts[e.Call.Contact.E164] != 1 {
			t.Errorf("acknowledged call %d is there %d times, its contact %d times", n, times[e.Call.ID], contacts[e.Call.Contact.E164])
		}
	}
	if len(times) != len(got.Calls) || len(contacts) != len(got.Contacts) || len(got.Calls) != len(got.Contacts) {
		t.Errorf("%d calls of %d ids, %d contacts of %d numbers", len(got.Calls), len(times), len(got.Contacts), len(contacts))
	}
	if answer := value(t, path, "PRAGMA integrity_check"); answer != "ok" {
		t.Errorf("integrity: %s", answer)
	}
	t.Logf("%d acknowledged in %d kills", len(acknowledged), rounds)
}

// kill starts a child, kills it at some moment after its first acknowledgement and adds what it acknowledged.
func kill(t *testing.T, path string, from int, acknowledged map[int]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childFile+"="+path, fmt.Sprintf("%s_FROM=%d", childFile, from))
	var complaint strings.Builder
	cmd.Stderr = &complaint
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	for first := true; lines.Scan(); first = false {
		var n int
		// A kill may cut the last line: then nobody has heard the acknowledgement.
		if _, err := fmt.Sscan(lines.Text(), &n); err != nil {
			break
		}
		acknowledged[n] = true
		if first {
			wait := time.Duration(rand.IntN(30_000)) * time.Microsecond
			time.AfterFunc(wait, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait()
	if complaint.Len() > 0 {
		t.Fatalf("the child complains: %s", complaint.String())
	}
}
