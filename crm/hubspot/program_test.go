package hubspot_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

const mapping = "mapping: {unknown: skip, dispositions: {not_interested: {status: UNQUALIFIED}, not_reachable: {status: OPEN}, interested: {status: CONNECTED}, " +
	"callback_requested: {status: BAD_TIMING, task: {title: \"Call back {{.Contact.Name}}\", due: 48h}}}}"

func configuration(url, more string) string {
	return fmt.Sprintf("  - name: hub\n    workers: 8\n    protect: [UNQUALIFIED]\n    hubspot: {base_url: %q, access_token: %s, search_rate: 1000%s}", url, token, more)
}

// once tells which records are there more than once, or hang on nobody.
func (p *portal) once(t *testing.T) {
	t.Helper()
	seen := map[string]int{}
	for _, c := range p.state().Contacts {
		seen["contact "+c.Phone]++
	}
	for _, kind := range []string{"calls", "notes", "tasks"} {
		for _, o := range p.rows[kind] {
			seen[kind+" of "+o.held["vinfer_call_id"]]++
			if len(o.links["contacts"]) != 1 {
				t.Errorf("%s %d hangs on %q", kind, o.id, o.links["contacts"])
			}
		}
	}
	for what, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", what, n)
		}
	}
}

// TestProgram goes the way of an operator with the real program: check, setup, a sync, and the same again.
func TestProgram(t *testing.T) {
	t.Parallel()
	p := newPortal()
	server := crmtest.NewServer(t, p)
	program := crmtest.NewProgram(t, 60)
	program.Configure(t, strings.Replace(configuration(server.URL, ""), token, "a-wrong-token", 1), mapping)
	program.MustRun(t, 77, []string{"401 Unauthorized", "Service Keys"}, "check")
	program.Configure(t, configuration("http://127.0.0.1:1", ""), mapping)
	program.MustRun(t, 69, []string{"connection", "see host and port in base_url,"}, "check")
	program.Configure(t, configuration(server.URL, ""), "mapping: {dispositions: {interested: {status: Connected}}}")
	program.MustRun(t, 1, []string{`["Connected"], which hs_lead_status does not take`, "CONNECTED (Connected)", "property calls.vinfer_call_id", "run vinfer-sync setup"}, "check")

	program.Configure(t, configuration(server.URL, ""), mapping)
	program.MustRun(t, 0, []string{"to do", "property group calls.vinfer", "property tasks.vinfer_call_id"}, "setup", "--dry-run")
	if len(p.groups) != 0 || p.properties["calls"]["vinfer_call_id"] != nil {
		t.Fatal("the dry run made something")
	}
	program.MustRun(t, 0, []string{"done", "property contacts.vinfer_phone", "unique values"}, "setup")
	program.MustRun(t, 0, []string{"nothing to do"}, "setup")
	program.MustRun(t, 0, []string{"portal 62515", "Asia/Kolkata", "is there, unique", "valid: NEW (New)"}, "check")
	program.MustRun(t, 0, []string{}, "plan")
	if n := len(p.rows["contacts"]); n != 0 {
		t.Fatalf("looking made %d contacts", n)
	}
	program.MustRun(t, 0, []string{}, "once")
	p.once(t)
	got := p.state()
	if len(got.Calls) == 0 || len(got.Contacts) == 0 || len(got.Notes) == 0 || len(got.Tasks) == 0 {
		t.Fatalf("%d calls, %d contacts, %d notes, %d tasks", len(got.Calls), len(got.Contacts), len(got.Notes), len(got.Tasks))
	}
	program.MustRun(t, 0, []string{}, "backfill", "--since", "-48h")
	if again := p.state(); len(again.Calls) != len(got.Calls) || len(again.Contacts) != len(got.Contacts) || len(again.Tasks) != len(got.Tasks) {
		t.Errorf("after the same range again: %d calls, %d contacts", len(again.Calls), len(again.Contacts))
	}
	if out, _ := program.Run(t, "status"); strings.Contains(out, token) {
		t.Errorf("the token is shown:\n%s", out)
	}
	t.Logf("%d calls, %d contacts, %d notes, %d tasks by %d requests", len(got.Calls), len(got.Contacts), len(got.Notes), len(got.Tasks), len(server.Requests()))
}

// TestProgramKilled kills the real program after every number of requests, one of them done and its answer lost.
func TestProgramKilled(t *testing.T) {
	t.Parallel()
	for name, unique := range map[string]bool{"unique": true, "not unique": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPortal()
			p.noUnique, p.lag = !unique, 20*time.Millisecond
			p.setUp()
			server := crmtest.NewServer(t, p)
			program := crmtest.NewProgram(t, 12)
			program.Configure(t, configuration(server.URL, ""), mapping)
			kills := program.RunKilled(t, server)
			p.once(t)
			got := p.state()
			if kills < 10 || len(got.Calls) < 6 || len(got.Notes) == 0 {
				t.Errorf("%d kills; %d calls, %d notes", kills, len(got.Calls), len(got.Notes))
			}
			t.Logf("%d kills; %d calls of %d contacts, %d tasks, %d notes", kills, len(got.Calls), len(got.Contacts), len(got.Tasks), len(got.Notes))
		})
	}
}

// TestProgramLag syncs a thousand calls to a portal whose search lags by seconds and that loses an answer every now and then.
func TestProgramLag(t *testing.T) {
	t.Parallel()
	p := newPortal().setUp()
	p.lag = 3 * time.Second
	server := crmtest.NewServer(t, p)
	program := crmtest.NewProgram(t, 1000)
	program.Configure(t, configuration(server.URL, ""), mapping)
	var faults []crmtest.Fault
	for n := 20; n < 6000; n += 97 {
		faults = append(faults, crmtest.Fault{After: n, Times: 1, Lost: true})
	}
	server.Misbehave(faults...)
	begun := time.Now()
	for range 20 {
		if _, code := program.Run(t, "once"); code == 0 {
			break
		}
	}
	server.Misbehave()
	program.MustRun(t, 0, nil, "once")
	p.once(t)
	got := p.state()
	if len(got.Calls) < 500 {
		t.Errorf("%d calls", len(got.Calls))
	}
	t.Logf("%d calls of %d contacts, %d tasks, %d notes by %d requests in %s", len(got.Calls), len(got.Contacts), len(got.Tasks), len(got.Notes), len(server.Requests()),
		time.Since(begun).Round(time.Second))
}
