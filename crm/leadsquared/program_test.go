package leadsquared_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

const mapping = "mapping: {unknown: skip, dispositions: {not_interested: {status: Cold}, not_reachable: {}, dispute: {}, already_paid: {}, payment_promised: {}, interested: {status: Hot Lead}, " +
	"callback_requested: {status: Prospect, task: {title: \"Call back {{.Contact.Name}}\", due: 48h}}}}"

func section(url, more string) string {
	return fmt.Sprintf("  - name: sales\n    protect: [Customer]\n    owner: asha@example.com\n    leadsquared: {url: %q, access_key: %q, secret_key: %s, rate: 1000000%s}\n    workers: 8",
		url, accessKey, secretKey, more)
}

// TestProgram goes the way of an operator with the real program: check, setup, and a sync of 1,000 calls while the search shows no
// new leads and answers get lost; then the same range again.
func TestProgram(t *testing.T) {
	t.Parallel()
	a := newAccount()
	a.types = nil
	a.noHeaders = true
	server := crmtest.NewServer(t, a)
	p := crmtest.NewProgram(t, 1000)

	p.Configure(t, strings.Replace(section(server.URL, ""), secretKey, "a-wrong-key", 1), mapping)
	p.MustRun(t, 77, []string{"401 Unauthorized", "API and Webhooks"}, "check")
	p.Configure(t, strings.Replace(section(server.URL, ""), server.URL, "http://127.0.0.1:1", 1), mapping)
	p.MustRun(t, 69, []string{"connection", "see host and port in region, url,"}, "check")
	p.Configure(t, section(server.URL, ""), "mapping: {dispositions: {interested: {status: Intrested}}}")
	p.MustRun(t, 1, []string{`["Intrested"], which ProspectStage does not take`, "Prospect, Hot Lead, Cold", `none that is called "VInfer call"`, "run vinfer-sync setup"}, "check")
	p.Configure(t, section(server.URL, ""), mapping)
	p.MustRun(t, 1, []string{"has no activity type", "halted"}, "once")
	p.MustRun(t, 0, []string{"to do", `activity type "VInfer call"`}, "setup", "--dry-run")
	if len(a.types) != 0 {
		t.Fatal("the dry run made an activity type")
	}
	p.MustRun(t, 0, []string{"done", `activity type "VInfer call"`, "VInfer call ID"}, "setup")
	p.MustRun(t, 0, []string{"nothing to do"}, "setup")
	p.MustRun(t, 0, []string{}, "plan")
	if len(a.types) != 1 {
		t.Errorf("%d activity types", len(a.types))
	}
	p.MustRun(t, 0, []string{"in the query of every request", "213 VInfer call", "mx_Custom_1", "asha@example.com"}, "check")

	a.hide = true
	var lost []crmtest.Fault
	for n := 50; n < 8000; n += 1000 {
		lost = append(lost, crmtest.Fault{After: n, Times: 1, Lost: true})
	}
	server.Misbehave(lost...)
	p.Run(t, "resume", "sales")
	out := ""
	for range 10 {
		var code int
		if out, code = p.Run(t, "once"); code == 0 {
			break
		}
	}
	got := a.state()
	got.AssertOnce(t)
	if len(got.Calls) < 700 || len(got.Tasks) < 50 || len(got.Notes) < 300 {
		t.Errorf("%d calls, %d tasks, %d notes:\n%s", len(got.Calls), len(got.Tasks), len(got.Notes), out)
	}
	t.Logf("%d calls, %d leads, %d notes, %d tasks by %d requests", len(got.Calls), len(got.Contacts), len(got.Notes), len(got.Tasks), server.Count())
	server.Misbehave()
	p.MustRun(t, 0, []string{}, "backfill", "--since", "-48h")
	if again := a.state(); len(again.Calls) != len(got.Calls) || len(again.Contacts) != len(got.Contacts) || len(again.Tasks) != len(got.Tasks) {
		t.Errorf("after the same range again: %d calls, %d leads", len(again.Calls), len(again.Contacts))
	}
	crmtest.AssertNoLeak(t, "once", []string{accessKey, secretKey}, out)
}

// TestProgramKilled kills the real program after every number of requests, one of them done and its answer lost.
func TestProgramKilled(t *testing.T) {
	t.Parallel()
	a := newAccount()
	a.hide = true
	server := crmtest.NewServer(t, a)
	p := crmtest.NewProgram(t, 12)
	p.Configure(t, section(server.URL, ""),
		"mapping: {unknown: skip, dispositions: {not_interested: {status: Cold, task: {title: Sorry, due: 96h}}, not_reachable: {}, interested: {status: Hot Lead}, callback_requested: {}}}")
	kills := p.RunKilled(t, server)
	got := a.state()
	got.AssertOnce(t)
	if kills < 10 || len(got.Calls) < 8 || len(got.Tasks) == 0 || len(got.Notes) == 0 {
		t.Errorf("%d kills; %d calls, %d tasks, %d notes", kills, len(got.Calls), len(got.Tasks), len(got.Notes))
	}
	t.Logf("%d kills; %d calls of %d leads, %d tasks, %d notes", kills, len(got.Calls), len(got.Contacts), len(got.Tasks), len(got.Notes))
}
