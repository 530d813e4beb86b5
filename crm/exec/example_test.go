//go:build external

package exec_test

import (
	"database/sql"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite" // to read what the example writes

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/exec"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// The example that docs/crm/exec.md tells of, in both ways of running it.
func TestExample(t *testing.T) {
	python := "/usr/bin/python3"
	if _, err := os.Stat(python); err != nil {
		if python, err = osexec.LookPath("python3"); err != nil {
			t.Fatal(err)
		}
	}
	script, err := filepath.Abs("../../contrib/exec/example.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, running := range []bool{false, true} {
		file := filepath.Join(t.TempDir(), "mine.db")
		w, err := exec.New(exec.Config{
			Command: []string{python, script}, KeepRunning: running, Env: map[string]secret.Text{"CALLS_DB": secret.New(file), "PATH": secret.New(filepath.Dir(python) + ":/usr/bin:/bin")},
		}, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range w.Check(t.Context(), nil) {
			if f.Err != nil {
				t.Errorf("%+v", f)
			}
		}
		p, err := write(w, crmtest.Full(0), nil)
		if err != nil || p.Refs["delivery"] != "1" {
			t.Fatalf("%v, %v", p.Refs, err)
		}
		var group sync.WaitGroup
		for n := range 4 {
			group.Go(func() {
				for i := range 5 {
					e := crmtest.Full(4*i + n)
					for range 2 { // the second time as after a lost answer
						if _, err := write(w, e, nil); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		group.Wait()
		if _, err := write(w, crmtest.Transcribed(0), p.Refs); err != nil {
			t.Error(err)
		}
		nobody := crmtest.Full(1)
		nobody.Key, nobody.Call.Contact = "another", crm.Contact{}
		if _, err := write(w, nobody, nil); crm.VerdictOf(err) != crm.Reject || !strings.Contains(err.Error(), "of no use here") {
			t.Errorf("%v", err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		db, err := sql.Open("sqlite", file)
		if err != nil {
			t.Fatal(err)
		}
		var calls, people int
		if err := db.QueryRow("SELECT (SELECT count(*) FROM deliveries), (SELECT count(*) FROM people WHERE status = 'Hot Lead')").Scan(&calls, &people); err != nil || calls != 21 || people != 20 {
			t.Errorf("%d deliveries, %d people, %v", calls, people, err)
		}
		_ = db.Close()
	}
	w, err := exec.New(exec.Config{Command: []string{python, script}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := write(w, crmtest.Full(0), nil); crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), "set CALLS_DB") {
		t.Errorf("%v", err)
	}
}
