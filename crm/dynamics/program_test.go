package dynamics_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

const mapping = "mapping: {unknown: skip, dispositions: {interested: {status: In Process}, not_interested: {status: Dead}, not_reachable: {status: Contacted}, " +
	"callback_requested: {status: Contacted, task: {title: \"Call back {{.Contact.Name}}\", due: 48h}}}}"

func configuration(url, clientSecret string) string {
	return fmt.Sprintf("  - name: dynamics\n    dynamics: {url: %q, token_url: %q, client_id: %s, client_secret: %q}", url, url+"/adfs/oauth2/token", clientID, clientSecret)
}

// TestProgram goes the way of an operator with the real program: check, setup, plan, a sync, and the same again.
func TestProgram(t *testing.T) {
	t.Parallel()
	f := newFake()
	server := crmtest.NewServer(t, f)
	program := crmtest.NewProgram(t, 120)
	program.Configure(t, configuration(server.URL, "another"), mapping)
	program.MustRun(t, 77, []string{"Invalid client secret provided"}, "check")
	program.Configure(t, configuration("http://127.0.0.1:1", secret), mapping)
	program.MustRun(t, 69, []string{"connection"}, "check")

	program.Configure(t, configuration(server.URL, secret), mapping)
	program.MustRun(t, 0, []string{"application user", "vinfer_disposition"}, "check")
	program.MustRun(t, 0, []string{"column phonecall.vinfer_disposition"}, "setup", "--dry-run")
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
	if out, _ := program.Run(t, "status"); strings.Contains(out, secret) {
		t.Errorf("the secret is shown:\n%s", out)
	}
}

// TestProgramKilled kills the real program after every number of requests, one of them done and its answer lost.
func TestProgramKilled(t *testing.T) {
	t.Parallel()
	f := newFake()
	server := crmtest.NewServer(t, f)
	program := crmtest.NewProgram(t, 12)
	program.Configure(t, configuration(server.URL, secret), mapping)
	kills := program.RunKilled(t, server)
	calls, leads, tasks, notes := f.state().AssertOnce(t)
	if kills < 10 || calls < 6 || notes == 0 {
		t.Errorf("%d kills; %d calls, %d notes", kills, calls, notes)
	}
	t.Logf("%d kills; %d calls of %d leads, %d tasks, %d notes", kills, calls, leads, tasks, notes)
}
