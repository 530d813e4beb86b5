package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// TestRootWorksAsTheOwner: without a daemon root sees and changes the state of the service's user, and leaves no file of root's.
func TestRootWorksAsTheOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Key: "any", Calls: 3, LimitPerMinute: -1})
	w.write("config.yaml", "vinfer: {base_url: '${API}', api_key: any}\nstart: -48h\nadmin: {socket: admin.sock, listen: ''}\nstore: {bbolt: {path: state/state.db}}\n"+
		"crm: [{name: file, jsonl: {path: state/calls.jsonl}}]\n")
	w.must(exitFine, "once")
	if os.Geteuid() != 0 {
		return // no other user's file can be made
	}
	state := filepath.Join(w.dir, "state")
	const nobody = 65534
	if out, err := exec.CommandContext(t.Context(), "chown", "-R", "65534:65534", state).CombinedOutput(); err != nil { //nolint:gosec // a directory of the test
		t.Fatalf("%v %s", err, bytes.TrimSpace(out))
	}
	for dir := w.dir; dir != "/" && strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // others must get through
			t.Fatal(err)
		}
	}
	backup := filepath.Join(t.TempDir(), "backup.db") // a directory of root's
	for _, args := range [][]string{{"status"}, {"calls", "list"}, {"store", "check"}, {"store", "backup", backup}, {"once"}, {"plan"}, {"cursor", "set", "-1h"}, {"store", "compact"}, {"check"}, {"status"}} {
		w.must(exitFine, args...)
	}
	files, err := filepath.Glob(filepath.Join(state, "*"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != nobody {
			t.Errorf("%s belongs to %d", f, st.Uid)
		}
	}
}
