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
	if call["duration_hours"] != "1" || call["duration_minutes"] != "2" || call["date_end"] != "2024-01-15 10:37:42" || call["date_start"] != "2024-01-15 09:35:42" {
		t.Errorf("got %v", call)
	}
	short := crmtest.Completed(3)
	minutes := 344.0
	short.Call.Duration, short.Call.StartedAt = &minutes, time.Time{}
	refs = deliver(t, w, short, nil).Refs
	deliver(t, w, crmtest.Revised(short, "not_interested", "Dead"), refs)
	call = f.must(t, "Calls", refs["activity"])
	if call["duration_hours"] != "0" || call["duration_minutes"] != "6" || call["date_end"] == call["date_start"] {
		t.Errorf("a call of 6 minutes, its disposition set later: %v", call)
	}
}

// A name that people gave the call stays, and so does the length that they corrected.
func TestNameThatPeopleGave(t *testing.T) {
	f := newFake()
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	refs := deliver(t, w, crmtest.Full(1), nil).Refs
	call := f.must(t, "Calls", refs["activity"])
	call["name"], call["duration_minutes"] = "The loan", "4"
	deliver(t, w, crmtest.Revised(crmtest.Full(1), "not_interested", "Dead"), refs)
	if call := f.must(t, "Calls", refs["activity"]); call["name"] != "The loan" || call["duration_minutes"] != "4" || !strings.Contains(fmt.Sprint(call["description"]), "Not interested") {
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

// SuiteCRM strips what looks like markup from a text, and empties one with a script in it: nothing of ours may get lost so.
func TestMarkupStays(t *testing.T) {
	f := newFake()
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	e := crmtest.Full(1)
	e.Call.Summary = `5 < 6 & "Tom's" <noise> &lt;b&gt; <script>alert(1)</script> &amp;lt;script&amp;gt;`
	refs := deliver(t, w, e, nil).Refs
	want := `5 ‹ 6 & "Tom's" ‹noise› & lt;b& gt; ‹script›alert(1)‹/script› & amp;lt;script& amp;gt;`
	for range 2 {
		s := f.state()
		if len(s.Calls) != 1 || s.Calls[0].ID != e.Call.ID || s.Calls[0].Summary != want {
			t.Errorf("got %+v", s.Calls)
		}
		again := crmtest.Revised(e, "not_interested", "Cold")
		again.Call.Summary = "" // the one that is there stays
		refs = deliver(t, w, again, refs).Refs
	}
}

func TestRights(t *testing.T) {
	f := newFake()
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	f.deny = http.MethodPost
	if err := w.Write(t.Context(), crmtest.Full(1), crm.NewProgress(nil, nil)); crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), "role of the client's user does not allow it: POST Leads: ") || strings.Contains(err.Error(), "title") {
		t.Errorf("creating: %v", err)
	}
	f.deny = ""
	refs := deliver(t, w, crmtest.Full(1), nil).Refs
	f.deny = http.MethodPatch // of one record somebody may not be allowed to change what others are
	if err := w.Write(t.Context(), crmtest.Revised(crmtest.Full(1), "not_interested", "Cold"), crm.NewProgress(refs, nil)); crm.VerdictOf(err) != crm.Reject {
		t.Errorf("changing: %v", err)
	}
	f.deny = ""
	// The client's own user is not a record that a person deleted.
	f.userGone = true
	p := crm.NewProgress(refs, nil)
	if err := w.Write(t.Context(), crmtest.Revised(crmtest.Full(1), "not_interested", "Dead"), p); crm.VerdictOf(err) != crm.Halt || strings.Contains(fmt.Sprint(p.Refs), "deleted") {
		t.Errorf("the user is gone: %v %q", err, p.Refs)
	}
}

func TestHiddenModulesAndOldVersions(t *testing.T) {
	f := newFake()
	f.hidden, f.old = true, true
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	e := crmtest.Full(1)
	f.insert("Contacts", "", map[string]any{"last_name": "A contact", "phone_home": e.Call.Contact.E164})
	if p := deliver(t, w, e, nil); len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "by its parent only") {
		t.Errorf("got %q", p.Warnings)
	}
	if s := f.state(); len(s.Calls) != 1 || len(s.Tasks) != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestMadeBySomebodyElse(t *testing.T) {
	f := newFake()
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	deliver(t, w, crmtest.Full(1), nil)
	f.raced = true
	deliver(t, w, crmtest.Full(1), nil)
	if s := f.state(); len(s.Calls) != 1 {
		t.Errorf("got %+v", s)
	}
}

// Of several contacts the first is deleted: the other's call is the one that is brought up to date.
func TestFirstOfManyDeleted(t *testing.T) {
	f := newFake()
	w := open(t, crmtest.NewServer(t, f).URL, func(s *crm.Settings) { s.OnMany = crm.ManyAll })
	e := crmtest.Full(1)
	for _, name := range []string{"One", "Two"} {
		f.insert("Leads", "", map[string]any{"last_name": name, "phone_mobile": e.Call.Contact.E164})
	}
	refs := deliver(t, w, e, nil).Refs
	first, second, _ := strings.Cut(refs["contact"], ",")
	_, id, _ := strings.Cut(first, "/")
	f.remove("Leads", id)
	deliver(t, w, crmtest.Revised(e, "not_interested", "Dead"), refs)
	for _, call := range f.state().Calls {
		if want := map[bool]string{true: "not_interested", false: "escalated"}[call.Contact == second]; call.Disposition != want {
			t.Errorf("the call of %s says %s, want %s", call.Contact, call.Disposition, want)
		}
	}
	if n := len(f.tables["Calls"]); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func TestOwnerFromElsewhere(t *testing.T) {
	f := newFake()
	e := crmtest.Full(1)
	f.insert("Leads", "", map[string]any{"last_name": "A lead", "phone_mobile": e.Call.Contact.E164, "assigned_user_id": "seed_sarah_id"})
	deliver(t, open(t, crmtest.NewServer(t, f).URL, nil), e, nil)
	for _, module := range []string{"Calls", "Tasks"} {
		if got := f.tables[module][0]["assigned_user_id"]; got != "seed_sarah_id" {
			t.Errorf("%s: %v", module, got)
		}
	}
}

// TestEmoji writes what the tables of older installations cannot hold in a way that people can read.
func TestEmoji(t *testing.T) {
	for name, test := range map[string]struct {
		narrow, strict bool
		want           string
	}{
		"utf8mb4":         {false, false, "Fine 👍🏽, thanks"},
		"utf8mb3":         {true, false, "Fine [U+1F44D][U+1F3FD], thanks"},
		"utf8mb3, strict": {true, true, "Fine [U+1F44D][U+1F3FD], thanks"},
	} {
		f := newFake()
		f.narrow, f.strict = test.narrow, test.strict
		server := crmtest.NewServer(t, f)
		w := open(t, server.URL, nil)
		for n := range 3 {
			e := crmtest.Completed(n)
			e.Call.Summary, e.Call.Contact.Name = "Fine 👍🏽, thanks", "Asha 🌸"
			before := len(server.Requests())
			refs := deliver(t, w, e, nil).Refs
			if n == 1 && !test.narrow { // what is known is not asked for again: lead, contact, lead made, call, relation
				if got := len(server.Requests()) - before; got != 5 {
					t.Errorf("%s: %d requests", name, got)
				}
			}
			ready := crmtest.Transcribed(n)
			ready.Call, ready.Transcript.Text = e.Call, "customer: Fine 👍🏽, thanks"
			deliver(t, w, ready, refs)
		}
		s := f.state()
		for i, c := range s.Calls {
			if c.Summary != test.want || s.Notes[i].Text != "customer: "+test.want || strings.Contains(s.Contacts[i].Name, "?") {
				t.Errorf("%s: %+v, %+v, %+v", name, c, s.Notes[i], s.Contacts[i])
			}
		}
		told := false
		for _, found := range w.(crm.Checker).Check(t.Context(), nil) {
			told = told || found.Subject == "emoji" && strings.Contains(found.Detail, "utf8mb4")
		}
		if told != test.narrow {
			t.Errorf("%s: check tells of the tables: %t", name, told)
		}
	}
}
