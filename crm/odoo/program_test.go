package odoo_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

const mapping = "mapping: {unknown: skip, dispositions: {interested: {status: Hot Lead}, not_interested: {status: \"Lost: Too expensive\"}, not_reachable: {status: Cold}, " +
	"callback_requested: {status: New status, task: {title: \"Call back {{.Contact.Name}}\", due: 48h}}}}"

func configuration(url, apiKey string) string {
	return fmt.Sprintf("  - name: pipeline\n    odoo: {url: %q, database: %s, user: %s, api_key: %q}", url, database, login, apiKey)
}

// TestProgram goes the way of an operator with the real program: check, setup, plan, a sync, and the same again.
func TestProgram(t *testing.T) {
	t.Parallel()
	for _, major := range []int{19, 17} {
		f := newFake(major)
		f.admin = true
		server := crmtest.NewServer(t, f)
		program := crmtest.NewProgram(t, 120)
		program.Configure(t, configuration(server.URL, "another"), mapping)
		program.MustRun(t, 77, []string{"three months at most"}, "check")
		program.Configure(t, configuration("http://127.0.0.1:1", key), mapping)
		program.MustRun(t, 69, []string{"connection"}, "check")
		program.Configure(t, configuration(server.URL, key), "mapping: {dispositions: {interested: {status: Hotter}}}")
		program.MustRun(t, 1, []string{`no stage "Hotter"; it has: New, Hot Lead`}, "check")

		program.Configure(t, configuration(server.URL, key), mapping)
		program.MustRun(t, 0, []string{"field mail.activity.x_vinfer_call_id"}, "setup", "--dry-run")
		if f.fields["mail.activity"]["x_vinfer_call_id"] {
			t.Fatal("the dry run made the field")
		}
		program.MustRun(t, 0, []string{"done"}, "setup")
		program.MustRun(t, 0, []string{"nothing to do"}, "setup")
		program.MustRun(t, 0, []string{"calls are recognised by it"}, "check")
		program.MustRun(t, 0, []string{"create"}, "plan")
		if calls, leads, _, _ := f.state(t).AssertOnce(t); calls+leads != 0 {
			t.Fatal("looking made something")
		}
		program.MustRun(t, 0, nil, "once")
		calls, leads, tasks, notes := f.state(t).AssertOnce(t)
		if calls == 0 || leads == 0 || tasks == 0 || notes == 0 {
			t.Fatalf("%d calls, %d leads, %d tasks, %d notes", calls, leads, tasks, notes)
		}
		program.MustRun(t, 0, nil, "backfill", "--since", "-48h")
		if again, same, _, _ := f.state(t).AssertOnce(t); again != calls || same != leads {
			t.Errorf("after the same range again: %d calls, %d leads", again, same)
		}
		if out, _ := program.Run(t, "status"); strings.Contains(out, key) {
			t.Errorf("the key is shown:\n%s", out)
		}
	}
}

// TestProgramKilled kills the real program after every number of requests, one of them done and its answer lost.
func TestProgramKilled(t *testing.T) {
	t.Parallel()
	for _, major := range []int{19, 17} {
		f := newFake(major)
		server := crmtest.NewServer(t, f)
		program := crmtest.NewProgram(t, 12)
		program.Configure(t, configuration(server.URL, key), mapping)
		kills := program.RunKilled(t, server)
		calls, leads, tasks, notes := f.state(t).AssertOnce(t)
		if kills < 10 || calls < 6 || notes == 0 {
			t.Errorf("%d kills; %d calls, %d notes", kills, calls, notes)
		}
		t.Logf("version %d: %d kills; %d calls of %d leads, %d tasks, %d notes", major, kills, calls, leads, tasks, notes)
	}
}
