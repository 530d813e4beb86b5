package freshsales_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/freshsales"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
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
	server := crmtest.NewServer(t, serve(f))
	w := open(t, server.URL, func(s *crm.Settings) { s.Owner = "asha@example.com" })
	refs := deliver(t, w, crmtest.Full(1), nil).Refs
	refs = deliver(t, w, crmtest.Revised(crmtest.Full(1), "not_interested", "Dead"), refs).Refs
	deliver(t, w, crmtest.Transcribed(1), refs)
	var log strings.Builder
	for _, r := range server.Requests() {
		fmt.Fprintf(&log, "%s %s\n%s\n\n", r.Method, r.Path, r.Body)
	}
	crmtest.Golden(t, "testdata/requests.txt", []byte(log.String()))
}

// TestQuota stops at the requests of an hour, and says so.
func TestQuota(t *testing.T) {
	server := crmtest.NewServer(t, serve(newFake()))
	w, err := freshsales.New(freshsales.Config{URL: server.URL, APIKey: secret.New(key), PerHour: 12}, crm.Settings{Region: "IN", Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	for n := 0; err == nil; n++ {
		err = w.Write(t.Context(), crmtest.Completed(n), crm.NewProgress(nil, nil))
	}
	if crm.VerdictOf(err) != crm.Throttle || crm.Wait(err) <= 0 || !strings.Contains(err.Error(), "the 12 requests an hour that per_hour allows") || len(server.Requests()) != 12 {
		t.Errorf("after %d requests: %v", len(server.Requests()), err)
	}
}

// TestFickleStatus writes calls without a status that Freshsales has and refuses.
func TestFickleStatus(t *testing.T) {
	f := newFake()
	w := open(t, crmtest.NewServer(t, serve(f)).URL, nil)
	f.fickle = true
	e := crmtest.Full(1)
	p := deliver(t, w, e, nil)
	if s := f.state(); len(s.Calls) != 1 || s.Contacts[0].Status != "" || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "refuses the status") {
		t.Errorf("%+v %q", s, p.Warnings)
	}
	f.fickle = false
	f.add(t, "Old status", crmtest.Completed(2).Call.Contact.E164)
	f.fickle = true
	deliver(t, w, crmtest.Completed(2), nil)
	if s := f.state(); len(s.Calls) != 2 || s.Contacts[1].Status != "Old status" {
		t.Errorf("%+v", s)
	}
}

func TestCheckAndSetup(t *testing.T) {
	f := newFake()
	f.required = "lead_source_id"
	delete(f.fields, "cf_vinfer_call_id")
	w := open(t, crmtest.NewServer(t, serve(f)).URL, func(s *crm.Settings) { s.Owner = "left@example.com" })
	var lines []string
	for _, found := range w.(crm.Checker).Check(t.Context(), []string{"Hot Lead", "Lukewarm"}) {
		lines = append(lines, fmt.Sprintf("%s: %v %s", found.Subject, found.Err, found.Detail))
	}
	got := strings.Join(lines, "\n")
	for _, want := range []string{"3 users", `"Lukewarm"`, "needs lead_source_id", `no active user "left@example.com"`, "last line of its notes", "calls an hour"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	changes, err := w.(crm.Provisioner).Provision(t.Context(), false)
	if err != nil || len(changes) != 1 || changes[0].Done {
		t.Errorf("%+v, %v", changes, err)
	}
	// Without the field the last line of the notes tells a repeat.
	f.required = ""
	e := crmtest.Full(1)
	deliver(t, w, e, nil)
	deliver(t, w, e, nil)
	if n := len(f.records["sales_activities"]); n != 1 {
		t.Errorf("%d activities", n)
	}
}

func TestActivityType(t *testing.T) {
	server := crmtest.NewServer(t, serve(newFake()))
	for name, want := range map[string]crm.Verdict{"": crm.Delivered, "meeting": crm.Delivered, "AI call": crm.Halt} {
		w, err := freshsales.New(freshsales.Config{URL: server.URL, APIKey: secret.New(key), ActivityType: name}, crm.Settings{Region: "IN", Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil)); crm.VerdictOf(err) != want {
			t.Errorf("%q: %v", name, err)
		}
		_ = w.Close()
	}
}

func TestValidate(t *testing.T) {
	for url, want := range map[string]string{"name.example": "url: ", "https://name.freshsales.io": "url: Freshsales Classic"} {
		err := freshsales.Config{URL: url, PerHour: -1, Phones: []string{"a", "a"}}.Validate()
		for _, want := range []string{want, "api_key: ", "per_hour: ", `phones: "a"`} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q is missing: %v", want, err)
			}
		}
	}
}
