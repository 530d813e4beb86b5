package suitecrm_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/suitecrm"
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
	server := crmtest.NewServer(t, newFake())
	w := open(t, server.URL, func(s *crm.Settings) { s.Owner = "asha" })
	refs := deliver(t, w, crmtest.Full(1), nil).Refs
	refs = deliver(t, w, crmtest.Revised(crmtest.Full(1), "not_interested", "Dead"), refs).Refs
	deliver(t, w, crmtest.Transcribed(1), refs)
	var log strings.Builder
	for _, r := range server.Requests() {
		fmt.Fprintf(&log, "%s %s\n%s\n\n", r.Method, r.Path, strings.ReplaceAll(string(r.Body), secret, "SECRET"))
	}
	crmtest.Golden(t, "testdata/requests.txt", []byte(log.String()))
}

func TestToken(t *testing.T) {
	for status, want := range map[int]crm.Verdict{400: crm.Halt, 401: crm.Halt, 404: crm.Halt, 429: crm.Throttle, 500: crm.Retry} {
		server := crmtest.NewServer(t, newFake())
		server.Misbehave(crmtest.Fault{Status: status, Body: func(*http.Request, []byte) string { return `{"error":"invalid_client","message":"no such client"}` }})
		err := open(t, server.URL, nil).Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil))
		if crm.VerdictOf(err) != want || !strings.Contains(err.Error(), "no such client") {
			t.Errorf("%d: %v", status, err)
		}
	}
	wrong := config(crmtest.NewServer(t, newFake()).URL)
	wrong.ClientSecret = secrets.New("something-else")
	w, err := suitecrm.New(wrong, crm.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if err := w.Write(context.Background(), crmtest.Completed(1), crm.NewProgress(nil, nil)); crm.VerdictOf(err) != crm.Halt || strings.Contains(err.Error(), "something-else") {
		t.Errorf("a wrong secret: %v", err)
	}
}

func TestTokenIsRenewed(t *testing.T) {
	f := newFake()
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	deliver(t, w, crmtest.Completed(1), nil)
	for range 2 {
		f.expired = true
		deliver(t, w, crmtest.Completed(2), nil)
	}
	if s := f.state(); f.tokens != 3 || len(s.Calls) != 2 {
		t.Errorf("%d tokens, %+v", f.tokens, s)
	}
}

func TestDeletedAndForgotten(t *testing.T) {
	f := newFake()
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	refs := deliver(t, w, crmtest.Full(1), nil).Refs
	f.remove("Calls", refs["activity"])
	f.remove("Tasks", refs["task"])
	// The refs are lost too, with an old state file: what a person deleted is not made again, though nothing but its id tells.
	p := deliver(t, w, crmtest.Full(1), nil)
	if s := f.state(); len(s.Calls) != 0 || len(s.Tasks) != 0 || len(p.Warnings) != 2 {
		t.Errorf("%+v %q", s, p.Warnings)
	}
	// A lead that was deleted is made again for the next call of its number: that call is news.
	_, lead, _ := strings.Cut(refs["contact"], "/")
	f.remove("Leads", lead)
	later := crmtest.Completed(2)
	later.Call.Contact = crmtest.Full(1).Call.Contact
	deliver(t, w, later, nil)
	if s := f.state(); len(s.Contacts) != 1 || len(s.Calls) != 1 || s.Calls[0].Contact != s.Contacts[0].ID {
		t.Errorf("%+v", s)
	}
}

func TestConvertedLead(t *testing.T) {
	f := newFake()
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	phone := crmtest.Completed(1).Call.Contact.E164
	f.insert("Leads", "", map[string]any{"last_name": "As a lead", "phone_mobile": phone, "status": "Converted", "converted": "1"})
	contact := f.insert("Contacts", "", map[string]any{"last_name": "As a contact", "phone_home": "098765-00001"})
	if refs := deliver(t, w, crmtest.Completed(1), nil).Refs; refs["contact"] != fmt.Sprint("Contacts/", contact["id"]) {
		t.Errorf("got %q", refs)
	}
	f.remove("Contacts", fmt.Sprint(contact["id"]))
	deliver(t, w, crmtest.Completed(2), nil)
	again := crmtest.Completed(3)
	again.Call.Contact = crmtest.Completed(1).Call.Contact
	deliver(t, w, again, nil)
	if s := f.state(); len(s.Contacts) != 2 || s.Contacts[0].Status != "Converted" {
		t.Errorf("got %+v", s.Contacts)
	}
}

func TestWhatTheCallSays(t *testing.T) {
	f := newFake()
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	e := crmtest.Completed(1)
	zero := 0.0
	e.Call.Duration, e.Call.Direction, e.Call.Status = &zero, "inbound", "failed"
	refs := deliver(t, w, e, nil).Refs
	call := f.must(t, "Calls", refs["activity"])
	for field, want := range map[string]string{"status": "Not Held", "direction": "Inbound", "date_start": "2024-01-15 10:33:57", "vinfer_call_id_c": e.Call.ID, "vinfer_language_c": "hi-IN"} {
		if call[field] != want {
			t.Errorf("%s is %q, want %q", field, call[field], want)
		}
	}
	long := crmtest.Completed(2)
	seconds := 3_700.0
	long.Call.Duration, long.Call.StartedAt = &seconds, time.Time{}
	call = f.must(t, "Calls", deliver(t, w, long, nil).Refs["activity"])
	if call["duration_hours"] != "1" || call["duration_minutes"] != "2" || call["date_end"] != "2024-01-15 10:37:22" || call["date_start"] != "2024-01-15 09:35:42" {
		t.Errorf("got %v", call)
	}
}

func TestTaskThatIsTakenUp(t *testing.T) {
	f := newFake()
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	refs := deliver(t, w, crmtest.Full(1), nil).Refs
	f.must(t, "Tasks", refs["task"])["status"] = "In Progress"
	newer := crmtest.Revised(crmtest.Full(1), "callback_requested", "Cold")
	newer.Task = &crm.Task{Title: "Another title", Due: newer.Call.CallbackAt.Add(time.Hour)}
	deliver(t, w, newer, refs)
	if got := f.must(t, "Tasks", refs["task"]); got["name"] == "Another title" || got["status"] != "In Progress" {
		t.Errorf("got %v", got)
	}
}

func TestCheckAndSetup(t *testing.T) {
	f := newFake()
	w := open(t, crmtest.NewServer(t, f).URL, func(s *crm.Settings) { s.Owner = "nobody" })
	var lines []string
	for _, found := range w.(crm.Checker).Check(t.Context(), []string{"Hot Lead"}) {
		lines = append(lines, fmt.Sprintf("%s: %v %s", found.Subject, found.Err, found.Detail))
	}
	got := strings.Join(lines, "\n")
	for _, want := range []string{"V8 API", "no lead has Hot Lead yet", `no user "nobody"`, "vinfer_qa_score_c"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	changes, err := w.(crm.Provisioner).Provision(t.Context(), false)
	if err != nil || len(changes) != 6 || changes[0].Done || !strings.Contains(changes[0].Detail, "Admin > Studio > Calls") {
		t.Errorf("%+v, %v", changes, err)
	}
}

func TestValidate(t *testing.T) {
	err := suitecrm.Config{URL: "suite.example"}.Validate()
	for _, want := range []string{"url: ", "client_id: ", "client_secret: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing: %v", want, err)
		}
	}
}
