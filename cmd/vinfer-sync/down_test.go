package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// smallConfig is a configuration that needs no destination of its own.
const smallConfig = "vinfer: {base_url: '${API}', api_key: any}\nstart: -48h\nadmin: {socket: admin.sock, listen: ''}\nstore: {bbolt: {path: state/state.db}}\ntranscripts: {fetch: false}\n"

func newSmallWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, simulator.Options{Key: "any", Calls: 3, LimitPerMinute: -1})
	w.write("config.yaml", smallConfig)
	return w
}

// A service that ran and does not run is told at once, to people and to monitoring. Who polls by cron has no service that could be down.
func TestAServiceThatIsDownIsTold(t *testing.T) {
	t.Parallel()
	w := newSmallWorld(t)
	w.must(exitFine, "once")
	w.must(exitFine, "status", "--check")
	stop := w.daemon()
	w.must(exitFine, "status", "--check")
	if code, log := stop(); code != exitFine {
		t.Fatalf("%d %s", code, log)
	}
	r := w.must(exitLeft, "status", "--check")
	if !strings.HasPrefix(r.stdout, "NEEDS YOU: The service does not run. ") || strings.Count(r.stdout, "\n") != 1 {
		t.Errorf("%s", r.stdout)
	}
	if r := w.must(exitLeft, "status", "--check", "-o", "json"); !strings.Contains(r.stdout, `"alert":"down"`) {
		t.Errorf("%s", r.stdout)
	}
	if r := w.must(exitFine, "status"); !strings.Contains(r.stdout, "systemctl start vinfer-sync") {
		t.Errorf("%s", r.stdout)
	}
	w.must(exitFine, "once")
	w.must(exitFine, "status", "--check")
	w.must(exitUsage, "status", "--check", "--watch")
}

// A state file that no start can use ends the service with the exit code after which systemd does not start it again.
func TestAStateThatCannotBeUsedIsNoReasonToStartAgain(t *testing.T) {
	t.Parallel()
	w := newSmallWorld(t)
	w.must(exitFine, "once")
	w.write("state/state.db", "This is no state file.")
	for command, code := range map[string]int{"run": exitConfig, "once": exitLeft, "status": exitLeft} {
		if r := w.must(code, command); !strings.Contains(r.stderr, "Restore it from a backup") {
			t.Errorf("%s: %s", command, r.stderr)
		}
	}
	w.write("state/state.db", "")
	if r := w.must(exitLeft, "status"); !strings.Contains(r.stderr, "missing or empty") {
		t.Errorf("%s", r.stderr)
	}
	if r := w.must(exitLeft, "status", "--check"); !strings.HasPrefix(r.stdout, "NEEDS YOU: ") || strings.Count(r.stdout, "\n") != 1 || r.stderr != "" {
		t.Errorf("%s%s", r.stdout, r.stderr)
	}
	if err := os.Remove(filepath.Join(w.dir, "state/state.db.id")); err != nil {
		t.Fatal(err)
	}
	if r := w.must(exitLeft, "status"); !strings.Contains(r.stderr, "nothing has run") {
		t.Errorf("%s", r.stderr)
	}
	w.must(exitFine, "once")
}

// Commands that only read need no more than that: the directory, and the file system, may be read-only.
func TestReadingNeedsNoWriting(t *testing.T) {
	t.Parallel()
	w := newSmallWorld(t)
	w.must(exitFine, "once")
	state := filepath.Join(w.dir, "state")
	for dir := w.dir; dir != "/" && strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // others must get through
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(state + "/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, state) {
		if os.Geteuid() == 0 { // as whose owner root's commands work
			if err := os.Chown(f, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
		mode := os.FileMode(0o400)
		if f == state {
			mode = 0o500
		}
		if err := os.Chmod(f, mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(state, 0o700) }) //nolint:gosec // so that it can be removed
	for _, args := range [][]string{{"status"}, {"status", "--check"}, {"calls", "list"}, {"dead", "list"}, {"cursor", "show"}, {"backfill", "list"}, {"store", "check"}, {"store", "backup", filepath.Join(w.dir, "backup.db")}} {
		w.must(exitFine, args...)
	}
}

// A command that comes while the service starts waits until that answers.
func TestACommandWaitsForAServiceThatStarts(t *testing.T) {
	t.Parallel()
	w := newSmallWorld(t)
	w.must(exitFine, "once")
	f, err := os.Open(filepath.Join(w.dir, "state/state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	r := w.must(exitLocked, "status")
	if !strings.Contains(r.stderr, "try again in a moment") || !strings.Contains(r.stderr, "admin.sock") {
		t.Errorf("%s", r.stderr)
	}
	time.AfterFunc(startingTime/10, func() { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) })
	w.must(exitFine, "status")
}

// Without a terminal and without a key init writes nothing.
func TestInitWithoutAnybodyToAsk(t *testing.T) {
	t.Parallel()
	w := newSmallWorld(t)
	if r := w.must(exitUsage, "init", "-c", "fresh.yaml"); !strings.Contains(r.stderr, "nothing was written") {
		t.Errorf("%s", r.stderr)
	}
	if exists(filepath.Join(w.dir, "fresh.yaml")) {
		t.Error("there is a configuration")
	}
}
