package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// TestRecipeCases runs the cases of an embedded recipe by the program, and one that fails.
func TestRecipeCases(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	cases, err := filepath.Abs("../../crm/rest/testdata/lms")
	if err != nil {
		t.Fatal(err)
	}
	w.must(exitFine, "recipe", "test", cases)
	text, err := os.ReadFile(filepath.Join(cases, "lost.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(w.dir, "cases"), 0o750); err != nil {
		t.Fatal(err)
	}
	w.write("cases/lost.txtar", strings.Replace(string(text), "attempt 1: delivered", "attempt 1: retry", 1))
	if r := w.must(exitLeft, "recipe", "test", "cases"); !strings.Contains(r.stdout, "FAILS  lost: outcome: got\nattempt 1: delivered") {
		t.Errorf("%s", r.stdout)
	}
	w.must(exitFine, "recipe", "test", "cases", "--update")
	w.must(exitFine, "recipe", "test", "cases")
	if w.read("cases/lost.txtar") != string(text) {
		t.Error("the update wrote something else")
	}
}
