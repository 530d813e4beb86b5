package hubspot_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/hubspot"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// deliver writes an entry to the fake and returns the progress.
func deliver(t *testing.T, w crm.Writer, e crm.Entry, refs crm.Refs) *crm.Progress {
	t.Helper()
	p := crm.NewProgress(refs, nil)
	if err := w.Write(t.Context(), e, p); err != nil {
		t.Fatalf("%s: %v", e.Key, err)
	}
	return p
}

func TestRequests(t *testing.T) {
	for name, unique := range map[string]bool{"unique": true, "not-unique": false} {
		p := newPortal()
		p.noUnique = !unique
		p.setUp()
		id := p.person("Asha Rao", "098765 00002")
		server := crmtest.NewServer(t, p)
		w := open(t, server.URL, func(s *crm.Settings) { s.Owner = "asha@example.com" })
		refs := deliver(t, w, crmtest.Full(1), nil).Refs
		deliver(t, w, crmtest.Transcribed(1), refs)
		deliver(t, w, crmtest.Completed(2), nil)
		if got := p.state().Calls[1].Contact; got != id {
			t.Errorf("%s: the second call is on %s", name, got)
		}
		var log strings.Builder
		for _, r := range server.Requests() {
			fmt.Fprintf(&log, "%s %s\n%s\n\n", r.Method, r.Path, r.Body)
		}
		crmtest.Golden(t, "testdata/"+name+".txt", []byte(log.String()))
	}
}

// TestStaleIndex has people change a contact that the index still shows as it was.
func TestStaleIndex(t *testing.T) {
	p := newPortal().setUp()
	w := open(t, crmtest.NewServer(t, p).URL, func(s *crm.Settings) { s.Protect = []string{"UNQUALIFIED"} })
	moved, kept := p.person("Moved Away", crmtest.Completed(1).Call.Contact.E164), p.person("Kept Status", crmtest.Completed(2).Call.Contact.E164)
	p.hide = true
	p.write("contacts", p.find("contacts", moved, ""), map[string]string{"phone": "+442079460000"})
	p.write("contacts", p.find("contacts", kept, ""), map[string]string{"hs_lead_status": "UNQUALIFIED"})
	deliver(t, w, crmtest.Completed(1), nil)
	deliver(t, w, crmtest.Completed(2), nil)
	s := p.state()
	if len(s.Contacts) != 3 || s.Calls[0].Contact == moved || s.Contacts[0].Status != "NEW" {
		t.Errorf("the call of a number that its contact has no more: %+v", s)
	}
	if s.Contacts[1].Status != "UNQUALIFIED" || s.Calls[1].Contact != kept {
		t.Errorf("a status that the index does not know yet was overwritten: %+v", s)
	}
}

// TestKeyOfAnotherNumber has people give a contact of ours another number: the next call of the old one is somebody new.
func TestKeyOfAnotherNumber(t *testing.T) {
	p := newPortal().setUp()
	w := open(t, crmtest.NewServer(t, p).URL, nil)
	deliver(t, w, crmtest.Completed(1), nil)
	p.write("contacts", p.rows["contacts"][0], map[string]string{"phone": "+442079460000"})
	again := crmtest.Completed(2)
	again.Call.Contact = crmtest.Completed(1).Call.Contact
	deliver(t, w, again, nil)
	if s := p.state(); len(s.Contacts) != 2 || s.Calls[1].Contact == s.Calls[0].Contact || s.Contacts[0].Phone != "+442079460000" {
		t.Errorf("got %+v", s)
	}
}

// TestNameless has calls of people whose name is not known: HubSpot takes no contact without a name or an address.
func TestNameless(t *testing.T) {
	p := newPortal().setUp()
	w := open(t, crmtest.NewServer(t, p).URL, nil)
	e := crmtest.Completed(1)
	name := e.Call.Contact.Name
	e.Call.Contact.Name = " "
	deliver(t, w, e, nil)
	if s := p.state(); len(s.Contacts) != 1 || s.Contacts[0].Name != e.Call.Contact.E164 || len(s.Calls) != 1 {
		t.Fatalf("got %+v", s)
	}
	again := crmtest.Completed(2)
	again.Call.Contact = e.Call.Contact
	again.Call.Contact.Name = name
	deliver(t, w, again, nil)
	if s := p.state(); len(s.Contacts) != 1 || s.Contacts[0].Name != name || len(s.Calls) != 2 {
		t.Errorf("got %+v", s)
	}
}

// TestWithoutProperties writes to a portal that was never set up, by a token that may not look whether it was.
func TestWithoutProperties(t *testing.T) {
	for name, forbidden := range map[string]bool{"not set up": false, "not allowed to look": true} {
		p := newPortal()
		if forbidden {
			p.setUp()
		}
		p.noSchema = forbidden
		w := open(t, crmtest.NewServer(t, p).URL, nil)
		for range 2 {
			refs := deliver(t, w, crmtest.Full(1), nil).Refs
			deliver(t, w, crmtest.Transcribed(1), refs)
			anonymous := crmtest.Full(2)
			anonymous.Call.Contact = crm.Contact{}
			refs = deliver(t, w, anonymous, nil).Refs
			heard := crmtest.Transcribed(2)
			heard.Call.Contact = crm.Contact{}
			deliver(t, w, heard, refs)
		}
		s := p.state()
		if len(s.Contacts) != 1 || len(s.Calls) != 2 || len(s.Notes) != 1 || len(s.Tasks) != 2 {
			t.Errorf("%s: %+v", name, s)
		}
		if body := p.rows["calls"][1].held["hs_call_body"]; strings.Count(body, "Yes, tomorrow.") != 1 || strings.Count(body, `<a href="https://`) != 1 {
			t.Errorf("%s: the body of the call without a contact: %s", name, body)
		}
	}
}

// TestUnansweredContact loses the answer to a new contact at a portal without our key, whose search does not show it for a while.
func TestUnansweredContact(t *testing.T) {
	p := newPortal().setUp()
	delete(p.properties["contacts"], "vinfer_phone")
	p.hide = true
	server := crmtest.NewServer(t, p)
	server.Misbehave(crmtest.Fault{After: 2, Times: 1, Lost: true})
	progress := crm.NewProgress(nil, nil)
	for i, want := range []crm.Verdict{crm.Retry, crm.Postpone, crm.Postpone} {
		fresh := i == 2
		w := open(t, server.URL, nil)
		if err := w.Write(t.Context(), crmtest.Completed(1), progress); crm.VerdictOf(err) != want {
			t.Errorf("got %v", err)
		}
		if n := len(p.rows["contacts"]); n != 1 {
			t.Fatalf("%d contacts (another process: %t)", n, fresh)
		}
	}
	p.rows["contacts"][0].indexed = p.rows["contacts"][0].held // the index has caught up
	progress = deliver(t, open(t, server.URL, nil), crmtest.Completed(1), progress.Refs)
	if s := p.state(); len(s.Contacts) != 1 || len(s.Calls) != 1 || s.Calls[0].Contact != progress.Refs["contact"] {
		t.Errorf("got %+v", s)
	}
}

// TestContactThatHubSpotKnows has HubSpot answer that there is such a contact, which its search does not show.
func TestContactThatHubSpotKnows(t *testing.T) {
	for name, same := range map[string]bool{"the same number": true, "another number": false} {
		p := newPortal().setUp()
		p.hide = true
		n := 2
		if same {
			n = 1
		}
		id := p.person("Known", crmtest.Completed(n).Call.Contact.E164)
		server := crmtest.NewServer(t, p)
		server.Misbehave(crmtest.Fault{After: 3, Times: 1, Status: 409, Body: func(*http.Request, []byte) string {
			return `{"status":"error","message":"Contact already exists. Existing ID: ` + id + `","category":"CONFLICT"}`
		}})
		err := open(t, server.URL, nil).Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil))
		s := p.state()
		if same && (err != nil || len(s.Calls) != 1 || s.Calls[0].Contact != id) || !same && (crm.VerdictOf(err) != crm.Reject || len(s.Calls) != 0) || len(s.Contacts) != 1 {
			t.Errorf("%s: %v, %+v", name, err, s)
		}
	}
}

// TestDeletedProperty has an administrator delete a property of ours while the program runs.
func TestDeletedProperty(t *testing.T) {
	for kind, name := range map[string]string{"calls": "vinfer_call_id", "tasks": "vinfer_call_id", "notes": "vinfer_call_id", "contacts": "vinfer_phone"} {
		p := newPortal().setUp()
		w := open(t, crmtest.NewServer(t, p).URL, nil)
		deliver(t, w, crmtest.Transcribed(1), deliver(t, w, crmtest.Full(1), nil).Refs)
		p.person("Known", crmtest.Full(2).Call.Contact.E164)
		delete(p.properties[kind], name)
		for n := range 3 {
			for _, e := range []crm.Entry{crmtest.Full(n + 2), crmtest.Transcribed(n + 2)} {
				progress := crm.NewProgress(nil, nil)
				for try := 1; ; try++ {
					err := w.Write(t.Context(), e, progress)
					if err == nil {
						break
					}
					if crm.VerdictOf(err) != crm.Retry || try == 3 {
						t.Fatalf("%s: %s: %v", kind, e.Key, err)
					}
				}
			}
		}
		if s := p.state(); len(s.Calls) != 4 || len(s.Contacts) != 4 || len(s.Tasks) != 4 || len(s.Notes) != 4 {
			t.Errorf("%s: %d calls, %d contacts, %d tasks, %d notes", kind, len(s.Calls), len(s.Contacts), len(s.Tasks), len(s.Notes))
		}
	}
}

func TestOutcome(t *testing.T) {
	zero := 0.0
	for want, change := range map[string]func(*crm.Call){
		"f240bbac-87c9-4f6e-bf70-924b57d47db7 COMPLETED 145000": func(*crm.Call) {},
		"11111111-2222-3333-4444-555555555555 COMPLETED 145000": func(c *crm.Call) { c.Disposition = "not_interested" },
		"73a0d17f-1163-4015-bdd5-ec830791da20 NO_ANSWER 0":      func(c *crm.Call) { c.Disposition, c.Duration = "not_reachable", &zero },
		"73a0d17f-1163-4015-bdd5-ec830791da20 FAILED 0":         func(c *crm.Call) { c.Disposition, c.Status, c.Duration = "", "failed", &zero },
		" COMPLETED ": func(c *crm.Call) { c.Duration = nil },
	} {
		p := newPortal().setUp()
		w := open(t, crmtest.NewServer(t, p).URL, nil)
		e := crmtest.Completed(1)
		change(&e.Call)
		deliver(t, w, e, nil)
		o := p.rows["calls"][0].held
		if got := fmt.Sprint(o["hs_call_disposition"], " ", o["hs_call_status"], " ", o["hs_call_duration"]); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestUnknownStatus(t *testing.T) {
	p := newPortal().setUp()
	w := open(t, crmtest.NewServer(t, p).URL, nil)
	e := crmtest.Completed(1)
	e.Status = "Hotter"
	p.person("Known", e.Call.Contact.E164)
	for range 2 {
		err := w.Write(t.Context(), e, crm.NewProgress(nil, nil))
		if crm.VerdictOf(err) != crm.Reject || !strings.Contains(fmt.Sprint(err), "CONNECTED (Connected)") || len(p.rows["calls"]) != 0 || len(p.rows["contacts"]) != 1 {
			t.Errorf("%v; %d calls", err, len(p.rows["calls"]))
		}
		e.Call.Contact = crmtest.Completed(3).Call.Contact // and for somebody new
	}
}

func TestTaskThatWasDone(t *testing.T) {
	p := newPortal().setUp()
	w := open(t, crmtest.NewServer(t, p).URL, nil)
	refs := deliver(t, w, crmtest.Full(1), nil).Refs
	later := crmtest.Revised(crmtest.Full(1), "callback_requested", "Cold")
	later.Call.CallbackAt = later.Call.CallbackAt.Add(time.Hour)
	later.Task = &crm.Task{Title: "Another title", Due: later.Call.CallbackAt}
	refs = deliver(t, w, later, refs).Refs
	task := p.rows["tasks"][0].held
	if task["hs_timestamp"] != "2024-01-15T13:36:22.000Z" || task["hs_task_subject"] != "Call back Priya Sharma 1" || task["hs_task_priority"] != "HIGH" {
		t.Errorf("the call-back was moved: %q", task)
	}
	task["hs_task_status"] = "COMPLETED"
	later.Call.CallbackAt, later.Revision = later.Call.CallbackAt.Add(time.Hour), 3
	later.Task = &crm.Task{Title: "Another title", Due: later.Call.CallbackAt}
	deliver(t, w, later, refs)
	if task["hs_timestamp"] != "2024-01-15T13:36:22.000Z" {
		t.Errorf("a task that was done is moved: %q", task)
	}
}

func TestNoActivity(t *testing.T) {
	p := newPortal().setUp()
	w := open(t, crmtest.NewServer(t, p).URL, nil)
	e := crmtest.Completed(1)
	e.NoActivity = true
	heard := crmtest.Transcribed(1)
	heard.NoActivity = true
	for range 2 {
		deliver(t, w, e, nil)
		deliver(t, w, heard, nil)
	}
	if len(p.rows["calls"]) != 0 || len(p.rows["notes"]) != 2 || !strings.Contains(p.rows["notes"][0].held["hs_note_body"], `<a href="https://api.vinfer.ai/`) {
		t.Errorf("%d calls, notes %+v", len(p.rows["calls"]), p.rows["notes"])
	}
}

func TestLongTexts(t *testing.T) {
	p := newPortal().setUp()
	w := open(t, crmtest.NewServer(t, p).URL, nil)
	e := crmtest.Transcribed(1)
	e.Transcript.Text = strings.Repeat(`"<&>" नमस्ते `, 20_000)
	e.Call.Summary = e.Transcript.Text
	deliver(t, w, e, nil)
	for _, body := range []string{p.rows["notes"][0].held["hs_note_body"], p.rows["calls"][0].held["hs_call_body"]} {
		if n := len([]rune(body)); n > 65_536 || n < 60_000 || !strings.Contains(body, "cut here") {
			t.Errorf("%d characters", n)
		}
	}
}

func TestVerdictsOfHubSpot(t *testing.T) {
	for _, test := range []struct {
		status int
		header http.Header
		body   string
		want   crm.Verdict
		wait   time.Duration
	}{
		{423, nil, `{"message":"locked"}`, crm.Retry, 0},
		{477, http.Header{"Retry-After": {"600"}}, `{"message":"migration"}`, crm.Throttle, 10 * time.Minute},
		{477, nil, `{"message":"migration"}`, crm.Retry, 0},
		{524, nil, `timeout`, crm.Retry, 0},
		{429, nil, `{"message":"You have reached your ten_secondly_rolling limit.","policyName":"TEN_SECONDLY_ROLLING"}`, crm.Throttle, 10 * time.Second},
		{429, nil, `{"message":"You have reached your secondly limit."}`, crm.Throttle, time.Second},
		{429, nil, `{"message":"You have reached your daily limit.","policyName":"DAILY"}`, crm.Throttle, 30 * time.Minute},
		{429, http.Header{"Retry-After": {"7"}}, `{"message":"You have reached your daily limit.","policyName":"DAILY"}`, crm.Throttle, 7 * time.Second},
		{403, nil, `{"message":"This app hasn't been granted all required scopes","category":"MISSING_SCOPES"}`, crm.Halt, 0},
	} {
		server := crmtest.NewServer(t, newPortal().setUp())
		server.Misbehave(crmtest.Fault{Status: test.status, Header: test.header, Body: func(*http.Request, []byte) string { return test.body }})
		err := open(t, server.URL, nil).Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil))
		if crm.VerdictOf(err) != test.want || crm.Wait(err) != test.wait {
			t.Errorf("%d %s: %s, wait %s: %v", test.status, test.body, crm.VerdictOf(err), crm.Wait(err), err)
		}
	}
}

// TestLimits has workers write as fast as they can.
func TestLimits(t *testing.T) {
	p := newPortal().setUp()
	p.most, p.window, p.searches = 20, 300*time.Millisecond, 5
	server := crmtest.NewServer(t, p)
	const each, workers = 3, 6
	errs := make(chan error, workers)
	w, err := hubspot.New(hubspot.Config{BaseURL: server.URL, AccessToken: secret.New(token)}, crm.Settings{Workers: workers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	for n := range workers {
		go func() {
			var all []error
			for i := range each {
				all = append(all, w.Write(t.Context(), crmtest.Completed(n*each+i), crm.NewProgress(nil, nil)))
			}
			errs <- errors.Join(all...)
		}()
	}
	for range workers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if s := p.state(); p.overrun > 0 || len(s.Calls) != each*workers {
		t.Errorf("%d requests over the limit, %d calls", p.overrun, len(s.Calls))
	}
}

// TestPauses has HubSpot refuse a request, or say that the day is over: nothing more is sent by anybody.
func TestPauses(t *testing.T) {
	for name, fault := range map[string]crmtest.Fault{
		"ten seconds": {Status: 429, Body: func(*http.Request, []byte) string { return `{"policyName":"TEN_SECONDLY_ROLLING"}` }},
		"the day":     {Status: 429, Body: func(*http.Request, []byte) string { return `{"policyName":"DAILY"}` }},
		"almost":      {Status: 404, Header: http.Header{"X-Hubspot-Ratelimit-Daily-Remaining": {"3"}}},
	} {
		server := crmtest.NewServer(t, newPortal().setUp())
		w := open(t, server.URL, nil)
		fault.After, fault.Times = 1, 1
		server.Misbehave(fault)
		for range 3 {
			err := w.Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil))
			if name != "almost" && (crm.VerdictOf(err) != crm.Throttle || crm.Wait(err) < 9*time.Second) || err == nil {
				t.Errorf("%s: %s, %v", name, crm.Wait(err), err)
			}
		}
		if n := server.Count(); n != 2 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

func TestCheckAndSetup(t *testing.T) {
	p := newPortal()
	p.noUnique, p.scopes = true, []string{"oauth", "crm.objects.contacts.read"}
	w := open(t, crmtest.NewServer(t, p).URL, func(s *crm.Settings) {
		s.Owner = "nobody@example.com"
		s.Protect = []string{"Won"}
		s.Fields = map[string]string{"qa_score": "vinfer_score"}
	})
	findings := func() string {
		var lines []string
		for _, found := range w.Check(t.Context(), []string{"CONNECTED", "Interested"}) {
			lines = append(lines, fmt.Sprintf("%s: %v %s", found.Subject, found.Err, found.Detail))
		}
		return strings.Join(lines, "\n")
	}
	before := findings()
	for _, want := range []string{
		"portal 62515", "the token lacks crm.objects.contacts.write", `the mapping sets ["Interested"]`, `protect names ["Won"]`,
		"property contacts.vinfer_phone: it is not there", "there is no owner with this mail address",
	} {
		if !strings.Contains(before, want) {
			t.Errorf("%q is missing in\n%s", want, before)
		}
	}
	for _, dry := range []bool{true, true, false} {
		changes, err := w.Provision(t.Context(), dry)
		if err != nil || len(changes) != 10 || slices.ContainsFunc(changes, func(c crm.Change) bool { return c.Done == dry }) {
			t.Errorf("dry %t: %+v, %v", dry, changes, err)
		}
	}
	if changes, err := w.Provision(t.Context(), false); err != nil || len(changes) != 0 {
		t.Errorf("again: %+v, %v", changes, err)
	}
	if d := p.properties["calls"]["vinfer_call_id"]; d == nil || d.unique || !p.properties["contacts"]["vinfer_phone"].unique || p.properties["calls"]["vinfer_score"].typ != "number" {
		t.Errorf("calls have %+v", d)
	}
	if after := findings(); !strings.Contains(after, "its values are not unique") || strings.Contains(after, "it is not there") {
		t.Errorf("after setup:\n%s", after)
	}
	deliver(t, w, crmtest.Completed(1), nil)
	if got := p.rows["calls"][0].held["vinfer_score"]; got != "87" {
		t.Errorf("the score is %q", got)
	}
}

func TestValidate(t *testing.T) {
	err := hubspot.Config{BaseURL: "api.hubapi.com", SearchRate: -1}.Validate()
	for _, want := range []string{"base_url: ", "access_token: ", "search_rate: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing: %v", want, err)
		}
	}
	if err := (hubspot.Config{AccessToken: secret.New(token)}).Validate(); err != nil {
		t.Errorf("got %v", err)
	}
	if u, err := url.Parse(hubspot.DefaultURL); err != nil || u.Host != "api.hubapi.com" {
		t.Errorf("%v %v", u, err)
	}
}
