package zoho_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

const mapping = "mapping: {unknown: skip, dispositions: {not_interested: {status: Cold}, not_reachable: {}, dispute: {}, already_paid: {}, payment_promised: {}, interested: {status: Hot Lead}, " +
	"callback_requested: {status: Callback, task: {title: \"Call back {{.Contact.Name}}\", due: 48h}}}}"

func section(url string) string {
	return fmt.Sprintf("  - name: sales\n    protect: [Dead]\n    owner: asha@example.com\n    workers: 8\n    zoho: {accounts_url: %q, api_url: %q, client_id: %q, client_secret: %s, refresh_token: %s}",
		url, url, clientID, secret, refresh)
}

// TestProgram goes the way of an operator with the real program: check, setup, and a sync of 1,000 calls while the search shows no new
// leads and answers get lost; then the same range again.
func TestProgram(t *testing.T) {
	t.Parallel()
	f := newFake()
	for _, module := range []string{"Leads", "Contacts", "Calls", "Tasks"} {
		f.fields[module] = keep(f.fields[module], func(d row) bool { return !strings.HasPrefix(fmt.Sprint(d["api_name"]), "VInfer") })
	}
	server := serve(t, f)
	p := crmtest.NewProgram(t, 1000)

	p.Configure(t, strings.Replace(section(server.URL), secret, "a-wrong-secret", 1), mapping)
	p.MustRun(t, 77, []string{"invalid_client", "client_secret"}, "check")
	p.Configure(t, strings.Replace(section(server.URL), "api_url: \""+server.URL, "data_center: \"in", 1), mapping)
	p.MustRun(t, 77, []string{"api_domain", "data_center"}, "check")
	p.Configure(t, strings.ReplaceAll(section(server.URL), server.URL, "http://127.0.0.1:1"), mapping)
	p.MustRun(t, 69, []string{"connection"}, "check")
	p.Configure(t, section(server.URL), "mapping: {dispositions: {interested: {status: Intrested}}}")
	p.MustRun(t, 1, []string{`["Intrested"], which Lead_Status does not take`, "New, Hot Lead, Cold", "Calls.VInfer_Call_ID", "setup makes them"}, "check")
	p.Configure(t, section(server.URL), mapping)
	p.MustRun(t, 0, []string{"to do", "field Calls.VInfer_Call_ID"}, "setup", "--dry-run")
	if f.field("Calls", "VInfer_Call_ID") != nil {
		t.Fatal("the dry run made a field")
	}
	p.MustRun(t, 0, []string{"done", "field Tasks.VInfer_Call_ID", "field Leads.VInfer_Do_Not_Call"}, "setup")
	p.MustRun(t, 0, []string{"nothing to do"}, "setup")
	p.MustRun(t, 0, []string{}, "plan")
	p.MustRun(t, 0, []string{"COQL works", "by the unique field", "asha@example.com", "all there"}, "check")

	f.lagging = true
	var faults []crmtest.Fault
	for n := 60; n < 8000; n += 450 {
		faults = append(faults, crmtest.Fault{After: n, Times: 1, Lost: true},
			crmtest.Fault{After: n + 200, Times: 1, Status: 429, Header: http.Header{"Retry-After": {"1"}}, Body: func(*http.Request, []byte) string {
				return `{"code":"TOO_MANY_REQUESTS","details":{},"message":"too many requests","status":"error"}`
			}})
	}
	server.Misbehave(faults...)
	out := ""
	for range 10 {
		var code int
		if out, code = p.Run(t, "once"); code == 0 {
			break
		}
	}
	got := f.state()
	got.AssertOnce(t)
	if len(got.Calls) < 700 || len(got.Tasks) < 50 || len(got.Notes) < 300 {
		t.Errorf("%d calls, %d tasks, %d notes:\n%s", len(got.Calls), len(got.Tasks), len(got.Notes), out)
	}
	t.Logf("%d calls, %d leads, %d notes, %d tasks by %d requests", len(got.Calls), len(got.Contacts), len(got.Notes), len(got.Tasks), server.Count())
	server.Misbehave()
	p.MustRun(t, 0, []string{}, "backfill", "--since", "-48h")
	again := f.state() // with those calls that have ended meanwhile
	again.AssertOnce(t)
	if n := len(again.Calls) - len(got.Calls); n < 0 || n > 20 {
		t.Errorf("after the same range again: %d calls, %d leads", len(again.Calls), len(again.Contacts))
	}
	if f.tokens != 2 { // one for the wrong api_url
		t.Errorf("%d access tokens were asked for by all these processes", f.tokens)
	}
	crmtest.AssertNoLeak(t, "once", []string{secret, refresh, "access-token-number"}, out)
}

// TestProgramKilled kills the real program after every number of requests, one of them done and its answer lost, in an organisation
// that takes no unique fields.
func TestProgramKilled(t *testing.T) {
	t.Parallel()
	f := newFake()
	organisations["plain"](f)
	f.lagging = true
	server := serve(t, f)
	p := crmtest.NewProgram(t, 12)
	p.Configure(t, section(server.URL), "mapping: {unknown: skip, dispositions: {not_interested: {status: Cold, task: {title: Sorry, due: 96h}}, not_reachable: {}, interested: {status: Hot Lead}, callback_requested: {}}}")
	kills := p.RunKilled(t, server)
	got := f.state()
	got.AssertOnce(t)
	if kills < 10 || len(got.Calls) < 8 || len(got.Tasks) == 0 || len(got.Notes) == 0 || f.tokens > 3 {
		t.Errorf("%d kills; %d calls, %d tasks, %d notes, %d tokens", kills, len(got.Calls), len(got.Tasks), len(got.Notes), f.tokens)
	}
	t.Logf("%d kills; %d calls of %d leads, %d tasks, %d notes, %d tokens", kills, len(got.Calls), len(got.Contacts), len(got.Tasks), len(got.Notes), f.tokens)
}
