package rest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

const mapping = "mapping: {unknown: skip, dispositions: {interested: {status: Hot}, not_interested: {status: Dead}, not_reachable: {status: Cold}, " +
	"callback_requested: {status: Callback, task: {title: \"Call back {{.Contact.Name}}\", due: 48h}}}}"

// configuration returns the destination as the file has it.
func configuration(name, url string) string {
	x := systems[name]
	text := fmt.Sprintf("  - name: rest\n    rest:\n      use: %s\n      url: %q\n      secrets:\n", name, url)
	for k, v := range x.secrets {
		text += fmt.Sprintf("        %s: %q\n", k, v)
	}
	if len(x.vars) > 0 {
		text += "      vars:\n"
	}
	for k, v := range x.vars {
		text += fmt.Sprintf("        %s: %q\n", k, v)
	}
	return text
}

// TestProgram goes the way of an operator with the real program: check, plan, a sync, and the same again.
func TestProgram(t *testing.T) {
	t.Parallel()
	f := newLMS()
	server := crmtest.NewServer(t, f)
	program := crmtest.NewProgram(t, 120)
	program.Configure(t, strings.ReplaceAll(configuration("lms", server.URL), secretOf("client_secret"), "another"), mapping)
	program.MustRun(t, 77, []string{"invalid_client"}, "check")
	program.Configure(t, configuration("lms", "http://127.0.0.1:1"), mapping)
	program.MustRun(t, 69, []string{"connection"}, "check")

	program.Configure(t, configuration("lms", server.URL), mapping)
	program.MustRun(t, 0, []string{"answers: test", "a repeat has the same id"}, "check")
	program.MustRun(t, 0, []string{"nothing to set up"}, "setup", "--dry-run")
	program.MustRun(t, 0, []string{"create"}, "plan")
	if calls, people, _, _ := f.state().AssertOnce(t); calls+people != 0 {
		t.Fatal("looking made something")
	}
	program.MustRun(t, 0, nil, "once")
	calls, people, tasks, notes := f.state().AssertOnce(t)
	if calls == 0 || people == 0 || tasks == 0 || notes == 0 {
		t.Fatalf("%d calls, %d borrowers, %d tasks, %d notes", calls, people, tasks, notes)
	}
	program.MustRun(t, 0, nil, "backfill", "--since", "-48h")
	if again, same, _, _ := f.state().AssertOnce(t); again != calls || same != people {
		t.Errorf("after the same range again: %d calls, %d borrowers", again, same)
	}
	if out, _ := program.Run(t, "status"); strings.Contains(out, secretOf("client_secret")) {
		t.Errorf("the secret is shown:\n%s", out)
	}
}

// TestProgramKilled kills the real program after every number of requests to every embedded recipe's system, one of them done and its answer lost.
func TestProgramKilled(t *testing.T) {
	for name, x := range systems {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := x.fresh()
			server := crmtest.NewServer(t, f)
			program := crmtest.NewProgram(t, 12)
			program.Configure(t, configuration(name, server.URL), mapping)
			kills := program.RunKilled(t, server)
			calls, people, tasks, notes := f.state().AssertOnce(t)
			if kills < 10 || calls < 6 || notes == 0 {
				t.Errorf("%d kills; %d calls, %d notes", kills, calls, notes)
			}
			t.Logf("%d kills; %d calls of %d contacts, %d tasks, %d notes", kills, calls, people, tasks, notes)
		})
	}
}
