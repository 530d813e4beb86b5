package odoo_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/odoo"
)

// deliver writes an entry to the fake and returns the refs.
func deliver(t *testing.T, w crm.Writer, e crm.Entry, refs crm.Refs) *crm.Progress {
	t.Helper()
	p := crm.NewProgress(refs, nil)
	if err := w.Write(t.Context(), e, p); err != nil {
		t.Fatalf("%s: %v", e.Key, err)
	}
	return p
}

func TestRequests(t *testing.T) {
	f := newFake(19)
	f.fields["mail.activity"]["x_vinfer_call_id"] = true
	server := crmtest.NewServer(t, f)
	w := open(t, server.URL, func(s *crm.Settings) { s.Zone = time.FixedZone("IST", 19800); s.Owner = login })
	refs := deliver(t, w, crmtest.Full(1), nil).Refs
	deliver(t, w, crmtest.Transcribed(1), refs)
	var log strings.Builder
	for _, r := range server.Requests() {
		fmt.Fprintf(&log, "%s %s\n%s\n\n", r.Method, r.Path, r.Body)
	}
	crmtest.Golden(t, "testdata/requests.txt", []byte(log.String()))
}

func TestLost(t *testing.T) {
	f := newFake(19)
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	e := crmtest.Completed(1)
	e.Status = "Lost: too expensive"
	refs := deliver(t, w, e, nil).Refs
	lead := f.tables["crm.lead"][0]
	if lead["active"] != false || lead["lost_reason_id"] == nil {
		t.Fatalf("not lost: %v", lead)
	}
	// The same again, and a later call of somebody who is lost: no second lead, and no second loss.
	deliver(t, w, e, refs)
	later := crmtest.Completed(2)
	later.Call.Contact = e.Call.Contact
	deliver(t, w, later, nil)
	if len(f.tables["crm.lead"]) != 1 || lead["active"] != true || f.state(t).Contacts[0].Status != "Hot Lead" {
		t.Errorf("got %v", f.tables["crm.lead"])
	}
}

func TestOpenLeadBeforeLost(t *testing.T) {
	f := newFake(18)
	w := open(t, crmtest.NewServer(t, f).URL, func(s *crm.Settings) { s.OnMany = crm.ManySkip })
	phone := crmtest.Completed(1).Call.Contact.E164
	current := f.insert("crm.lead", map[string]any{"name": "Second try", "phone": phone, "stage_id": f.tables["crm.stage"][0]["id"]})
	f.insert("crm.lead", map[string]any{"name": "First try", "phone": phone, "active": false})
	f.insert("res.partner", map[string]any{"name": "The person", "phone": phone})
	if refs := deliver(t, w, crmtest.Completed(1), nil).Refs; refs["contact"] != fmt.Sprint("crm.lead/", current) {
		t.Errorf("got %q", refs)
	}
}

// A state file of before the call is restored, and of its contact's leads another one would be taken today: nothing is doubled.
func TestLostRefsOfOneOfSeveralLeads(t *testing.T) {
	f := newFake(19)
	f.fields["mail.activity"]["x_vinfer_call_id"] = true
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	e := crmtest.Full(1)
	first := deliver(t, w, e, nil).Refs
	deliver(t, w, crmtest.Transcribed(1), first)
	f.insert("crm.lead", map[string]any{"name": "Newer", "phone": e.Call.Contact.E164})
	for _, lost := range []bool{false, true} {
		f.tables["crm.lead"][0]["active"] = !lost
		before := fmt.Sprint(len(f.tables["mail.activity"]), len(f.tables["mail.message"]))
		refs := deliver(t, w, e, nil).Refs
		deliver(t, w, crmtest.Transcribed(1), refs)
		if after := fmt.Sprint(len(f.tables["mail.activity"]), len(f.tables["mail.message"])); after != before || refs["contact"] != first["contact"] {
			t.Errorf("lost %v: activities and messages %s, before %s, at %s", lost, after, before, refs["contact"])
		}
	}
}

func TestPartnerWithoutLead(t *testing.T) {
	f := newFake(19)
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	id := f.insert("res.partner", map[string]any{"name": "A customer", "phone": "098765 00001"})
	deliver(t, w, crmtest.Full(1), nil)
	s := f.state(t)
	if len(s.Contacts) != 0 || len(s.Calls) != 1 || s.Calls[0].Contact != fmt.Sprint("res.partner/", id) || len(s.Tasks) != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestArchivedPartner(t *testing.T) {
	f := newFake(18)
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	f.insert("res.partner", map[string]any{"name": "Thrown away", "phone": "098765 00001", "active": false})
	if refs := deliver(t, w, crmtest.Full(1), nil).Refs; !strings.HasPrefix(refs["contact"], "crm.lead/") {
		t.Errorf("got %q", refs)
	}
}

func TestUnknownStage(t *testing.T) {
	for status, want := range map[string]string{"Hotter": "New, Hot Lead, Cold", "Lost: no idea": "Too expensive"} {
		f := newFake(19)
		w := open(t, crmtest.NewServer(t, f).URL, nil)
		e := crmtest.Completed(1)
		e.Status = status
		err := w.Write(t.Context(), e, crm.NewProgress(nil, nil))
		if crm.VerdictOf(err) != crm.Reject || !strings.Contains(err.Error(), want) || len(f.tables["crm.lead"]) != 0 {
			t.Errorf("%q: %v, %v", status, err, f.tables["crm.lead"])
		}
		failed := 0
		for _, found := range w.(crm.Checker).Check(t.Context(), []string{"Hot Lead", "Lost", status}) {
			if found.Err != nil && strings.Contains(found.Err.Error(), want) {
				failed++
			}
		}
		if failed != 1 {
			t.Errorf("%q: check finds %d", status, failed)
		}
	}
}

func TestFaultsOfOdoo(t *testing.T) {
	for _, major := range []int{19, 18} {
		for _, test := range []struct {
			name, message string
			want          crm.Verdict
		}{
			{"odoo.exceptions.AccessError", "You are not allowed to create 'Lead/Opportunity' (crm.lead) records.\n\nThis operation is allowed for the following groups:\n\t- Sales", crm.Halt},
			{"odoo.exceptions.AccessDenied", "Access Denied", crm.Halt},
			{"odoo.exceptions.ValidationError", "The phone +919876500001 is bad", crm.Reject},
			{"odoo.exceptions.UserError", "no", crm.Reject},
			{"builtins.ValueError", "Invalid field 'nosuch' in 'crm.lead'", crm.Reject},
			{"psycopg2.errors.UniqueViolation", "duplicate key", crm.Reject},
			{"psycopg2.errors.SerializationFailure", "could not serialize access", crm.Retry},
			{"psycopg2.OperationalError", "server closed the connection", crm.Retry},
		} {
			server := crmtest.NewServer(t, &raising{newFake(major), problem{500, test.name, test.message}})
			err := open(t, server.URL, nil).Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil))
			if got := crm.VerdictOf(err); got != test.want || strings.Contains(err.Error(), "allowed for") || strings.Contains(err.Error(), "Traceback") {
				t.Errorf("%d %s: %s: %v", major, test.name, got, err)
			}
			crmtest.AssertNoLeak(t, test.name, []string{key}, err.Error())
		}
	}
}

// raising answers the making of a lead with an exception.
type raising struct {
	*fake
	problem
}

func TestBlacklistNotAllowed(t *testing.T) {
	f := newFake(19)
	f.noList = true
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	for n, warnings := range []int{1, 0} {
		if p := deliver(t, w, crmtest.Full(n), nil); len(p.Warnings) != warnings {
			t.Errorf("call %d: %q", n, p.Warnings)
		}
	}
	if s := f.state(t); len(s.Calls) != 2 {
		t.Errorf("got %+v", s)
	}
}

// Before version 19 a user without a mail address may write nothing into a chatter: check says so, and no call is lost to it.
func TestUserWithoutMail(t *testing.T) {
	for _, major := range []int{16, 17, 18} {
		f := newFake(major)
		f.tables["res.users"][1]["email"] = nil
		w := open(t, crmtest.NewServer(t, f).URL, nil)
		err := w.Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil))
		if err == nil || crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), "Settings > Users") {
			t.Errorf("%d: %v", major, err)
		}
		warned := false
		for _, found := range w.(crm.Checker).Check(t.Context(), nil) {
			warned = warned || found.Subject == "sender" && found.Err != nil
		}
		if !warned {
			t.Errorf("%d: check says nothing", major)
		}
		f.tables["res.users"][1]["email"] = "voice@crm.example"
		deliver(t, w, crmtest.Completed(1), nil)
	}
}

func TestTaskThatWasDone(t *testing.T) {
	f := newFake(19)
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	refs := deliver(t, w, crmtest.Full(1), nil).Refs
	if bad := f.each("mail.activity", []int64{number(refs["task"])}, func(r map[string]any) { r["active"], r["date_done"] = false, "2026-01-02" }); bad != nil {
		t.Fatal(bad)
	}
	newer := crmtest.Revised(crmtest.Full(1), "callback_requested", "Cold")
	newer.Task = &crm.Task{Title: "Another title", Due: newer.Call.CallbackAt.Add(time.Hour)}
	deliver(t, w, newer, refs)
	deliver(t, w, newer, nil)
	for _, r := range f.tables["mail.activity"] {
		if r["summary"] == "Another title" || r["date_done"] == nil {
			t.Errorf("what a person did was undone: %v", r)
		}
	}
}

func TestCheckAndSetup(t *testing.T) {
	f := newFake(19)
	f.insert("res.users.apikeys", map[string]any{"name": "vinfer-sync", "user_id": uid, "expiration_date": time.Now().Add(72 * time.Hour).UTC().Format(time.DateTime)})
	w := open(t, crmtest.NewServer(t, f).URL, func(s *crm.Settings) { s.Owner = "nobody" })
	var lines []string
	for _, found := range w.(crm.Checker).Check(t.Context(), nil) {
		lines = append(lines, fmt.Sprintf("%s: %v %s", found.Subject, found.Err, found.Detail))
	}
	got := strings.Join(lines, "\n")
	for _, want := range []string{"Odoo 19", "over /json/2", "key vinfer-sync: it expires on", `no active user with the login "nobody"`, "it is not there run vinfer-sync setup"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	setup := w.(crm.Provisioner)
	changes, err := setup.Provision(t.Context(), false)
	if err != nil || len(changes) != 1 || changes[0].Done || !strings.Contains(changes[0].Detail, "As an administrator") {
		t.Errorf("without the right: %+v, %v", changes, err)
	}
	f.admin = true
	for _, dry := range []bool{true, true, false} {
		changes, err = setup.Provision(t.Context(), dry)
		if err != nil || len(changes) != 1 || changes[0].Done == dry {
			t.Errorf("dry %t: %+v, %v", dry, changes, err)
		}
	}
	if changes, err = setup.Provision(t.Context(), false); err != nil || len(changes) != 0 || !f.fields["mail.activity"]["x_vinfer_call_id"] {
		t.Errorf("again: %+v, %v", changes, err)
	}
	// Calls from before are found by their text, those from now on by the field.
	refs := deliver(t, open(t, crmtest.NewServer(t, f).URL, nil), crmtest.Full(1), nil).Refs
	if a := f.leadOf(t, "mail.activity", number(refs["activity"])); a["x_vinfer_call_id"] != crmtest.Full(1).Call.ID {
		t.Errorf("the activity is %v", a)
	}
}

func TestRefusedKey(t *testing.T) {
	for _, major := range []int{19, 18} {
		server := crmtest.NewServer(t, newFake(major))
		cfg := config(server.URL)
		cfg.User, cfg.Database = "", ""
		if major == 19 {
			cfg.User, cfg.Database = login, "nope"
		}
		w, err := odoo.New(cfg, crm.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		err = w.Write(context.Background(), crmtest.Completed(1), crm.NewProgress(nil, nil))
		if err == nil || major == 18 && (crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), "database and user")) {
			t.Errorf("%d: %v", major, err)
		}
		_ = w.Close()
	}
}

func TestValidate(t *testing.T) {
	err := odoo.Config{URL: "odoo.example", API: "soap"}.Validate()
	for _, want := range []string{"url: ", "api_key: ", "api: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing: %v", want, err)
		}
	}
	if err := (odoo.Config{URL: "https://odoo.example", API: odoo.APIJSONRPC}).Validate(); !strings.Contains(fmt.Sprint(err), "database: ") || !strings.Contains(fmt.Sprint(err), "user: ") {
		t.Errorf("got %v", err)
	}
	if err := config("https://odoo.example").Validate(); err != nil || errors.Unwrap(err) != nil {
		t.Errorf("got %v", err)
	}
}

// Before version 19 what a method returns as records stands in the answer as Python shows it; each step is still done once, and at the first attempt.
func TestRecordsInAnswers(t *testing.T) {
	for _, major := range []int{16, 18} {
		f := newFake(major)
		w := open(t, crmtest.NewServer(t, f).URL, func(s *crm.Settings) { s.Owner = "admin" })
		e := crmtest.Full(1)
		e.Call.ID = `cal_"1" & 'x'`
		deliver(t, w, e, nil)
		deliver(t, w, e, nil) // the refs were lost
		if s := f.state(t); len(s.Calls) != 1 || len(s.Tasks) != 1 {
			t.Errorf("%d: got %+v", major, s)
		}
		if f.mails != 1 { // for the follow-up
			t.Errorf("%d: %d mails", major, f.mails)
		}
	}
}

func TestLostReasonIsCleared(t *testing.T) {
	f := newFake(19)
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	phone := crmtest.Completed(1).Call.Contact.E164
	f.insert("crm.lead", map[string]any{"name": "Lost", "phone": phone, "active": false, "lost_reason_id": 1, "stage_id": f.tables["crm.stage"][0]["id"]})
	deliver(t, w, crmtest.Completed(1), nil)
	if lead := f.tables["crm.lead"][0]; lead["active"] != true || lead["lost_reason_id"] != nil {
		t.Errorf("got %v", lead)
	}
}

func TestBlacklistRefusesTheNumber(t *testing.T) {
	f := newFake(19)
	f.refused = "phone.blacklist.create"
	if p := deliver(t, open(t, crmtest.NewServer(t, f).URL, nil), crmtest.Full(1), nil); len(p.Warnings) != 1 || len(f.state(t).Calls) != 1 {
		t.Errorf("%q", p.Warnings)
	}
}

// TestMergedIntoAnotherNumber has people merge the call's lead into one that has another number: the call's message is there.
func TestMergedIntoAnotherNumber(t *testing.T) {
	for _, major := range []int{19, 17} {
		f := newFake(major)
		w := open(t, crmtest.NewServer(t, f).URL, nil)
		e := crmtest.Full(1)
		refs := deliver(t, w, e, nil).Refs
		survivor := f.insert("crm.lead", map[string]any{"name": "The survivor", "phone": "+442079460000", "stage_id": f.tables["crm.stage"][0]["id"]})
		f.merge(number(refs["contact"]), survivor)
		e = crmtest.Revised(e, "not_interested", "Cold")
		p := deliver(t, w, e, refs)
		deliver(t, w, crmtest.Transcribed(1), p.Refs)
		got := f.state(t)
		if len(got.Contacts) != 1 || got.Contacts[0].Status != "Cold" || len(got.Calls) != 1 || got.Calls[0].Disposition != "not_interested" ||
			len(got.Notes) != 1 || len(got.Tasks) != 1 || len(p.Warnings) != 0 || p.Refs["contact"] != fmt.Sprint("crm.lead/", survivor) {
			t.Errorf("%d: %+v, warnings %q, refs %q", major, got, p.Warnings, p.Refs)
		}
	}
}

// TestWishOfADeletedLead keeps the number from being called though nothing is left that the call could stand at.
func TestWishOfADeletedLead(t *testing.T) {
	f := newFake(19)
	w := open(t, crmtest.NewServer(t, f).URL, nil)
	refs := deliver(t, w, crmtest.Completed(1), nil).Refs
	f.remove("crm.lead", number(refs["contact"]))
	e := crmtest.Revised(crmtest.Completed(1), "dnc", "Cold")
	e.DoNotCall = true
	deliver(t, w, e, refs)
	if list := f.tables["phone.blacklist"]; len(list) != 1 || list[0]["number"] != e.Call.Contact.E164 {
		t.Errorf("the blacklist has %v", list)
	}
}
