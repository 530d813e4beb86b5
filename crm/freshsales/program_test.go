package freshsales_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

const mapping = "mapping: {unknown: skip, dispositions: {interested: {status: In Process}, not_interested: {status: Dead}, not_reachable: {status: Callback}, " +
	"callback_requested: {status: Callback, task: {title: \"Call back {{.Contact.Name}}\", due: 48h}}}}"

func configuration(url, apiKey string) string {
	return fmt.Sprintf("  - name: fresh\n    freshsales: {url: %q, api_key: %q, per_hour: 100000}", url, apiKey)
}

// TestProgram goes the way of an operator with the real program: check, setup, plan, a sync, and the same again.
func TestProgram(t *testing.T) {
	t.Parallel()
	f := newFake()
	server := crmtest.NewServer(t, serve(f))
	program := crmtest.NewProgram(t, 120)
	program.Configure(t, configuration(server.URL, "another"), mapping)
	program.MustRun(t, 77, []string{"Invalid credentials"}, "check")
	program.Configure(t, configuration("http://127.0.0.1:1", key), mapping)
	program.MustRun(t, 69, []string{"connection"}, "check")

	program.Configure(t, configuration(server.URL, key), mapping)
	program.MustRun(t, 0, []string{"users at", "calls an hour"}, "check")
	program.MustRun(t, 0, []string{"nothing to do"}, "setup", "--dry-run")
	program.MustRun(t, 0, []string{"create"}, "plan")
	if calls, leads, _, _ := f.state().AssertOnce(t); calls+leads != 0 {
		t.Fatal("looking made something")
	}
	program.MustRun(t, 0, nil, "once")
	calls, leads, tasks, notes := f.state().AssertOnce(t)
	if calls == 0 || leads == 0 || tasks == 0 || notes == 0 {
		t.Fatalf("%d calls, %d leads, %d tasks, %d notes", calls, leads, tasks, notes)
	}
	program.MustRun(t, 0, nil, "backfill", "--since", "-48h")
	if again, same, _, _ := f.state().AssertOnce(t); again != calls || same != leads {
		t.Errorf("after the same range again: %d calls, %d leads", again, same)
	}
	if out, _ := program.Run(t, "status"); strings.Contains(out, key) {
		t.Errorf("the secret is shown:\n%s", out)
	}
}

// TestProgramKilled kills the real program after every number of requests, one of them done and its answer lost.
func TestProgramKilled(t *testing.T) {
	t.Parallel()
	f := newFake()
	server := crmtest.NewServer(t, serve(f))
	program := crmtest.NewProgram(t, 12)
	program.Configure(t, configuration(server.URL, key), mapping)
	kills := program.RunKilled(t, server)
	calls, leads, tasks, notes := f.state().AssertOnce(t)
	if kills < 10 || calls < 6 || notes == 0 {
		t.Errorf("%d kills; %d calls, %d notes", kills, calls, notes)
	}
	t.Logf("%d kills; %d calls of %d leads, %d tasks, %d notes", kills, calls, leads, tasks, notes)
}
