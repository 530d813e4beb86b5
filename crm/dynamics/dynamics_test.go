package dynamics_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/dynamics"
	secrets "github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// deliver writes an entry and returns the progress.
func deliver(t *testing.T, w crm.Writer, e crm.Entry, refs crm.Refs) *crm.Progress {
	t.Helper()
	p := crm.NewProgress(refs, nil)
	if err := w.Write(t.Context(), e, p); err != nil {
		t.Fatalf("%s: %v", e.Key, err)
	}
	return p
}

func TestRequests(t *testing.T) {
	f := newFake()
	server := crmtest.NewServer(t, f)
	w := open(t, f, server.URL, func(s *crm.Settings) { s.Owner = "asha@example.com" })
	refs := deliver(t, w, crmtest.Full(1), nil).Refs
	refs = deliver(t, w, crmtest.Revised(crmtest.Full(1), "not_interested", "Dead"), refs).Refs
	deliver(t, w, crmtest.Transcribed(1), refs)
	var log strings.Builder
	for _, r := range server.Requests() {
		fmt.Fprintf(&log, "%s %s\n%s\n\n", r.Method, r.Path, strings.NewReplacer("s3cr3t~of-the-app", "SECRET", strings.TrimPrefix(server.URL, "http://"), "HOST").
			Replace(strings.ReplaceAll(string(r.Body), "%7Eof-the-app", "~of-the-app")))
	}
	crmtest.Golden(t, "testdata/requests.txt", []byte(strings.ReplaceAll(log.String(), strings.ReplaceAll(strings.TrimPrefix(server.URL, "http://"), ":", "%3A"), "HOST")))
}

func TestToken(t *testing.T) {
	for status, want := range map[int]crm.Verdict{400: crm.Halt, 401: crm.Halt, 404: crm.Halt, 429: crm.Throttle, 500: crm.Retry} {
		f := newFake()
		server := crmtest.NewServer(t, f)
		server.Misbehave(crmtest.Fault{Status: status, Body: func(*http.Request, []byte) string {
			return `{"error":"invalid_client","error_description":"AADSTS700016"}`
		}})
		err := open(t, f, server.URL, nil).Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil))
		if crm.VerdictOf(err) != want || !strings.Contains(err.Error(), "AADSTS700016") {
			t.Errorf("%d: %v", status, err)
		}
	}
	wrong := config(crmtest.NewServer(t, newFake()).URL)
	wrong.ClientSecret = secrets.New("something-else")
	w, err := dynamics.New(wrong, crm.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if err := w.Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil)); crm.VerdictOf(err) != crm.Halt || strings.Contains(err.Error(), "something-else") {
		t.Errorf("a wrong secret: %v", err)
	}
}

// TestCompleted completes calls, and completes them again after a change, whatever a kill left.
func TestCompleted(t *testing.T) {
	f := newFake()
	w := open(t, f, crmtest.NewServer(t, f).URL, nil)
	e := crmtest.Full(1)
	e.Call.Direction = "inbound"
	refs := deliver(t, w, e, nil).Refs
	call := f.sets["phonecalls"][refs["activity"]]
	if fmt.Sprint(call["statecode"], call["statuscode"], call["directioncode"], call["actualdurationminutes"]) != "1 4 false 3" {
		t.Errorf("got %v", call)
	}
	newer := crmtest.Revised(e, "not_interested", "Dead")
	for ended := range 4 { // the process ends after each save
		left := ended
		p := crm.NewProgress(refs, func(crm.Refs) error {
			if left--; left < 0 {
				return crm.Halted(fmt.Errorf("killed"))
			}
			return nil
		})
		if err := w.Write(t.Context(), newer, p); err == nil {
			refs = p.Refs
			break
		}
	}
	if fmt.Sprint(call["statecode"], call["statuscode"]) != "1 4" || !strings.Contains(fmt.Sprint(call["description"]), "Not interested") {
		t.Errorf("after a change: %v", call)
	}
	// A call that a person has reopened stays open.
	call["statecode"], call["statuscode"] = 0, 1
	newer = crmtest.Revised(e, "interested", "Hot Lead")
	newer.Revision, newer.Key = 3, "third"
	deliver(t, w, newer, refs)
	if fmt.Sprint(call["statecode"]) != "0" || !strings.Contains(fmt.Sprint(call["description"]), "Interested") {
		t.Errorf("reopened by a person: %v", call)
	}
}

// TestLeadsThatAreClosed takes a disqualified lead up again by a status of another state, and leaves a qualified one.
func TestLeadsThatAreClosed(t *testing.T) {
	f := newFake()
	w := open(t, f, crmtest.NewServer(t, f).URL, nil)
	phone := crmtest.Completed(1).Call.Contact.E164
	id := f.add("leads", crmtest.Contact{Phone: phone, Name: "Known", Status: "Lost"})
	deliver(t, w, crmtest.Completed(1), nil)
	if held := f.held(t, id); f.label("lead", held) != "Hot Lead" || fmt.Sprint(held["statecode"]) != "0" {
		t.Errorf("disqualified: %v", held)
	}
	closed := crmtest.Completed(5)
	closed.Status = "Dead"
	deliver(t, w, closed, nil)
	if s := f.state(); len(s.Contacts) != 2 || s.Contacts[1].Status != "Dead" {
		t.Errorf("created with a status of another state: %+v", s.Contacts)
	}
	held := f.held(t, id)
	held["statecode"], held["statuscode"] = 1, 3
	wish := crmtest.Completed(2)
	wish.Call.Contact, wish.DoNotCall, wish.Status = crmtest.Completed(1).Call.Contact, true, "Dead"
	p := deliver(t, w, wish, nil)
	if f.label("lead", held) != "Qualified" || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "could not be changed") {
		t.Errorf("qualified: %v %q", held, p.Warnings)
	}
}

func TestContactsAlone(t *testing.T) {
	f := newFake()
	delete(f.sets, "leads") // an environment without the app for sales
	cfg := config(crmtest.NewServer(t, f).URL)
	cfg.Tables = []string{"contacts"}
	w, err := dynamics.New(cfg, crm.Settings{Region: "IN", Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	deliver(t, w, crmtest.Full(1), nil)
	if s := f.state(); len(s.Contacts) != 1 || !strings.HasPrefix(s.Contacts[0].ID, "contacts/") || s.Calls[0].Contact != s.Contacts[0].ID || len(s.Tasks) != 1 {
		t.Errorf("got %+v", s)
	}
	cfg.Tables = nil
	both, err := dynamics.New(cfg, crm.Settings{Region: "IN", Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = both.Close() }()
	if err := both.Write(t.Context(), crmtest.Completed(2), crm.NewProgress(nil, nil)); crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), "see tables") {
		t.Errorf("leads that are not there: %v", err)
	}
}

func TestCheckAndSetup(t *testing.T) {
	f := newFake()
	f.roles = slices.DeleteFunc(f.roles, func(s string) bool { return s == "prvCreateActivity" })
	w := open(t, f, crmtest.NewServer(t, f).URL, func(s *crm.Settings) { s.Owner = "nobody@example.com" })
	var lines []string
	for _, found := range w.(crm.Checker).Check(t.Context(), []string{"Hot Lead", "Lukewarm"}) {
		lines = append(lines, fmt.Sprintf("%s: %v %s", found.Subject, found.Err, found.Detail))
	}
	got := strings.Join(lines, "\n")
	for _, want := range []string{"application user " + me, "roles lack prvCreateActivity", `"Lukewarm"`, `no active user "nobody@example.com"`, "vinfer_disposition", "without TLS"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	setup := w.(crm.Provisioner)
	planned, err := setup.Provision(t.Context(), true)
	if err != nil || len(planned) != 5 || planned[0].Done {
		t.Errorf("%+v, %v", planned, err)
	}
	if done, err := setup.Provision(t.Context(), false); err != nil || len(done) != 5 || !done[0].Done {
		t.Errorf("%+v, %v", done, err)
	}
	if again, err := setup.Provision(t.Context(), false); err != nil || len(again) != 0 {
		t.Errorf("again: %+v, %v", again, err)
	}
	deliver(t, w, crmtest.Full(1), nil)
	for _, call := range f.sets["phonecalls"] {
		if call["vinfer_disposition"] != "escalated" || fmt.Sprint(call["vinfer_seconds"]) != "145" {
			t.Errorf("got %v", call)
		}
	}
}

func TestValidate(t *testing.T) {
	err := dynamics.Config{URL: "org.example", Tenant: "a", TokenURL: "b", Version: "9", Tables: []string{"leads", "accounts", "leads"}}.Validate()
	for _, want := range []string{"url: ", "token_url: takes the place", "client_id: ", "client_secret: ", "version: ", `"accounts"`, `tables: "leads"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing: %v", want, err)
		}
	}
}

// One record that others own is no reason to halt, a missing privilege is.
func TestRights(t *testing.T) {
	f := newFake()
	w := open(t, f, crmtest.NewServer(t, f).URL, nil)
	refs := deliver(t, w, crmtest.Full(1), nil).Refs
	for message, want := range map[string]crm.Verdict{
		"SecLib::AccessCheckEx failed. Returned hr = -2147187962": crm.Reject,
		"Principal user is missing prvWriteLead privilege":        crm.Halt,
	} {
		f.deny = message
		if err := w.Write(t.Context(), crmtest.Revised(crmtest.Full(1), "not_interested", "Dead"), crm.NewProgress(refs, nil)); crm.VerdictOf(err) != want {
			t.Errorf("%s: %v", message, err)
		}
	}
}
