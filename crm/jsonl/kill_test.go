package jsonl_test

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
	"github.com/vinfer-sync/vinfer-sync/crm/jsonl"
)

// childFile makes of the test binary the process that is killed.
const childFile = "VINFER_SYNC_TEST_JSONL"

// child writes entries with four workers and prints the number of each once it is acknowledged.
func child(path string) {
	w, err := jsonl.New(jsonl.Config{Path: path})
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
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	acknowledged := map[int]bool{}
	from := 0
	for range rounds {
		kill(t, path, from, acknowledged)
		// As the engine does after a kill, the next process writes again what was in flight.
		for acknowledged[from] {
			from++
		}
	}
	w := open(t, path) // mends what the last kill left
	if err := w.Write(context.Background(), crmtest.Completed(from), crm.NewProgress(nil, nil)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for _, d := range deliveries(t, path) {
		times[d.Key]++
	}
	doubled := 0
	for n := range acknowledged {
		if times[crmtest.Completed(n).Key] == 0 {
			t.Errorf("acknowledged and lost: %d", n)
		}
	}
	for _, n := range times {
		doubled += n - 1
	}
	if doubled > 0 {
		t.Errorf("%d lines are there twice, though their keys stood in the file", doubled)
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
