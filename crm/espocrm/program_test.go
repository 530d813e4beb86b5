package espocrm_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

// TestProgram goes the way of an operator with the real program: check, setup, a sync, and the same again.
func TestProgram(t *testing.T) {
	t.Parallel()
	s := newSite()
	delete(s.fields, "Call.cVinferCallId")
	delete(s.fields, "Task.cVinferCallId")
	server := crmtest.NewServer(t, s)
	p := crmtest.NewProgram(t, 40)
	destination := func(more string) string {
		return fmt.Sprintf("  - name: sales\n    protect: [Converted]\n    owner: asha\n    espocrm: {url: %q, api_key: %s%s}", server.URL+"/crm", apiKey, more)
	}
	mapping := "mapping: {unknown: skip, dispositions: {not_interested: {status: Dead}, not_reachable: {status: New}, interested: {status: In Process}, callback_requested: {status: Assigned, task: {title: \"Call back {{.Contact.Name}}\", due: 48h}}}}"

	p.Configure(t, strings.Replace(destination(""), apiKey, "a-wrong-key", 1), mapping)
	p.MustRun(t, 77, []string{"401 Unauthorized", "API Users"}, "check")
	p.Configure(t, strings.Replace(destination(""), server.URL, "http://127.0.0.1:1", 1), mapping)
	p.MustRun(t, 69, []string{"connection", "see host and port in url,"}, "check")

	p.Configure(t, destination(""), "mapping: {dispositions: {interested: {status: Intrested}}}")
	p.MustRun(t, 1, []string{`["Intrested"], which Lead.status does not take`, "New, Assigned, In Process", "field Call.cVinferCallId", "run vinfer-sync setup"}, "check")
	p.Configure(t, destination(""), mapping)
	p.MustRun(t, 1, []string{"to do", "left to be made by hand", "Administration > Entity Manager > Call", "name vinferCallId"}, "setup")
	p.MustRun(t, 1, []string{"has no field Call.cVinferCallId", "halted"}, "once")

	p.Configure(t, destination(", admin_user: admin, admin_password: "+adminPass), mapping)
	p.MustRun(t, 0, []string{"to do", "field Task.cVinferCallId"}, "setup", "--dry-run")
	if s.fields["Call.cVinferCallId"] != nil {
		t.Fatal("the dry run made a field")
	}
	p.MustRun(t, 0, []string{"done", "field Call.cVinferCallId", "rebuild"}, "setup")
	p.MustRun(t, 0, []string{"nothing to do"}, "setup")
	if s.rebuilds != 1 || s.fields["Task.cVinferCallId"] == nil {
		t.Errorf("%d rebuilds", s.rebuilds)
	}
	p.MustRun(t, 0, []string{"accepts user vinfer", "it may do all that is needed", "asha"}, "check")
	p.MustRun(t, 0, []string{}, "once") // other credentials lift the halt

	got := s.state()
	if len(got.Calls) == 0 || len(got.Contacts) == 0 || len(got.Notes) == 0 || len(got.Tasks) == 0 {
		t.Fatalf("%d calls, %d contacts, %d notes, %d tasks", len(got.Calls), len(got.Contacts), len(got.Notes), len(got.Tasks))
	}
	got.AssertOnce(t)
	p.MustRun(t, 0, []string{}, "backfill", "--since", "-48h")
	if again := s.state(); len(again.Calls) != len(got.Calls) || len(again.Contacts) != len(got.Contacts) || len(again.Tasks) != len(got.Tasks) {
		t.Errorf("after the same range again: %d calls, %d contacts", len(again.Calls), len(again.Contacts))
	}
	out, _ := p.Run(t, "status")
	if strings.Contains(out, apiKey) || strings.Contains(out, adminPass) {
		t.Errorf("a secret is shown:\n%s", out)
	}
	t.Logf("%d calls, %d leads, %d notes, %d tasks by %d requests", len(got.Calls), len(got.Contacts), len(got.Notes), len(got.Tasks), len(server.Requests()))
}

// TestProgramKilled kills the real program after every number of requests, one of them done and its answer lost.
func TestProgramKilled(t *testing.T) {
	t.Parallel()
	s := newSite()
	server := crmtest.NewServer(t, s)
	p := crmtest.NewProgram(t, 12)
	p.Configure(t, fmt.Sprintf("  - name: sales\n    espocrm: {url: %q, api_key: %s}", server.URL+"/crm", apiKey),
		"mapping: {unknown: skip, dispositions: {not_interested: {status: Dead, task: {title: Sorry, due: 96h}}, not_reachable: {status: New}, interested: {status: In Process}, callback_requested: {}}}")
	kills := p.RunKilled(t, server)
	got := s.state()
	got.AssertOnce(t)
	seen := map[string]int{}
	for _, n := range s.records["Note"] {
		seen[text(n["post"])]++
	}
	for what, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", what, n)
		}
	}
	if kills < 10 || len(got.Calls) < 8 || len(got.Tasks) == 0 || len(got.Notes) == 0 {
		t.Errorf("%d kills; %d calls, %d tasks, %d notes", kills, len(got.Calls), len(got.Tasks), len(s.records["Note"]))
	}
	t.Logf("%d kills; %d calls of %d contacts, %d tasks, %d posts", kills, len(got.Calls), len(got.Contacts), len(got.Tasks), len(s.records["Note"]))
}
