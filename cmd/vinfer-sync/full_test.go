package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// A disk that fills under the daemon, with its state and its destinations on it: it goes on running, says what is wrong, and goes on
// working when there is room again, with nothing lost.
func TestDiskThatFills(t *testing.T) {
	t.Parallel()
	w := busy(t, "-48h")
	w.write("config.yaml", strings.NewReplacer("%START%", "-48h", "path: ", "path: disk/").Replace(threeDestinations))
	disk := filepath.Join(w.dir, "disk")
	if err := os.Mkdir(disk, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64m"); err != nil {
		t.Log("nothing can be mounted here; the store's tests fill what they can without:", err)
		return
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	r := w.start()
	r.await("msg=run")
	w.until("all is delivered", func() bool { return w.status().Pending == 0 })

	if err := fill(filepath.Join(disk, "fill")); err != nil {
		t.Fatal(err)
	}
	const told = "make room on the disk of"
	n := 0
	w.until("a run fails", func() bool {
		for range 20 {
			n++
			w.sim.Add(simulator.Call{
				ID: "call_full_" + strconv.Itoa(n), Phone: "+9198765000" + strconv.Itoa(10+n%40), Name: strings.Repeat("Asha Rao ", 20),
				Disposition: "interested", Duration: time.Minute, End: time.Now(),
			})
		}
		return strings.Contains(w.status().LastRun.Error, told)
	})
	if err := os.Remove(filepath.Join(disk, "fill")); err != nil {
		t.Fatal(err)
	}
	w.until("all is delivered again", func() bool {
		s := w.status()
		return s.Pending == 0 && s.LastRun.Error == "" && len(w.lines("disk/calls.jsonl")) >= 400+n
	})
	if log := r.stop(); !strings.Contains(log, told) || !strings.Contains(log, "poll works again") {
		t.Errorf("%s", log)
	}
	for _, name := range []string{"calls.jsonl", "crm.db"} {
		if err := os.Symlink(filepath.Join("disk", name), filepath.Join(w.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	w.ledger(onTheirWay * workers)
}

// fill takes all that is left of a file system.
func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return err
	}
	return f.Close()
}

// until waits for something to become so.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for began := time.Now(); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			w.t.Fatalf("waited for: %s; %+v", what, w.status())
		}
	}
}
