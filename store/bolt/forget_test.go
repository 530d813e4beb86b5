package bolt_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
)

// forgetting forgets the calls of a filled store one after the other, saying so.
func forgetting(path string) error {
	d, err := bolt.Open(path, bolt.Options{Timeout: 5 * time.Second})
	if err != nil {
		return err
	}
	for n := range 200 {
		id := fmt.Sprintf("call%03d", n)
		if l, err := d.Life(id); err != nil || len(l.Dests) == 0 {
			continue // forgotten before
		}
		fmt.Println("begin", id)
		if _, err := d.Forget(store.Forgetting{IDs: []string{id}, Lane: call(id, n).Lane, At: noon}); err != nil {
			return err
		}
		fmt.Println("done", id)
	}
	return d.Close()
}

// A kill while a call is forgotten leaves it whole or forgets it, and then without a trace.
func TestKillWhileForgetting(t *testing.T) {
	path, _ := filled(t)
	done, cut := map[string]bool{}, 0
	for round := 0; round < 25 || len(done) < 200 && (cut == 0 || len(done) == 0); round++ {
		cmd, out := child(t, "forget", path)
		var kill *time.Timer // from the first call on: how long a program takes to start depends on the machine
		last := ""
		for s := bufio.NewScanner(out); s.Scan(); {
			what, id, _ := strings.Cut(s.Text(), " ")
			switch last = id; what {
			case "begin":
				if kill == nil {
					kill = time.AfterFunc(time.Duration(rand.IntN(60_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
				}
			case "done":
				done[id], last = true, ""
			default:
				t.Error(s.Text())
			}
		}
		_ = cmd.Wait()
		d := open(t, path)
		if last != "" {
			cut++
			if l, err := d.Life(last); err != nil {
				t.Fatal(err)
			} else if len(l.Dests) == 0 {
				done[last] = true
			}
		}
		if err := errors.Join(d.Check(), d.Close()); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for id := range done {
			if bytes.Contains(b, []byte(id)) {
				t.Fatalf("%s is forgotten and the file still holds it", id)
			}
		}
	}
}
