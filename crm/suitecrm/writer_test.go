package suitecrm_test

import (
	"fmt"
	"html"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/crm/suitecrm"
	secrets "github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWriter(t *testing.T) {
	crmtest.Run(t, crmtest.Target{
		DropsNUL: true, Renews: true,
		Name: func(s string) string { return suitecrm.Harmless(text.Line(s, 100)) },
		Text: func(s string) string { return suitecrm.Harmless(text.CutBy(s, 57_000, suitecrm.Stored)) },
		New:  func(t *testing.T) crmtest.Destination { return newDestination(t, newFake()) },
	})
}

func config(url string) suitecrm.Config {
	return suitecrm.Config{URL: url, ClientID: clientID, ClientSecret: secrets.New(secret)}
}

func open(t *testing.T, url string, edit func(*crm.Settings)) crm.Writer {
	t.Helper()
	s := crm.Settings{Workers: 8, Region: "IN"}
	if edit != nil {
		edit(&s)
	}
	w, err := suitecrm.New(config(url), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

var modules = map[string]string{"activity": "Calls", "task": "Tasks", "note": "Notes"}

func newDestination(t *testing.T, f *fake) crmtest.Destination {
	server := crmtest.NewServer(t, f)
	return crmtest.Destination{
		Open: func(t *testing.T) crm.Writer {
			w := open(t, server.URL, nil)
			// The suite's faults are those of requests with a token; TestToken has the others.
			w.(crm.Checker).Check(t.Context(), nil)
			return w
		},
		Configured: func(t *testing.T, edit func(*crm.Settings)) crm.Writer { return open(t, server.URL, edit) },
		State:      func(t *testing.T) crmtest.State { return f.state() },
		AddContact: func(_ *testing.T, c crmtest.Contact) string {
			return "Leads/" + fmt.Sprint(f.insert("Leads", "", map[string]any{"last_name": c.Name, "phone_work": c.Phone, "status": "New"})["id"])
		},
		SetStatus: func(t *testing.T, contact, status string) {
			f.must(t, "Leads", strings.TrimPrefix(contact, "Leads/"))["status"] = status
		},
		Delete: func(_ *testing.T, ref, id string) {
			if ref == "contact" {
				ref, id, _ = strings.Cut(id, "/")
				modules[ref] = ref
			}
			f.remove(modules[ref], id)
		},
		Refuse: func() { f.refuse = "vinfer_language_c" },
		Server: server, Secrets: []string{secret, "token-number"},
	}
}

// state reads what an administrator sees.
func (f *fake) state() crmtest.State {
	var s crmtest.State
	text := func(r map[string]any, name string) string {
		v, _ := r[name].(string)
		for range 3 {
			v = html.UnescapeString(v)
		}
		return v
	}
	for _, r := range f.tables["Leads"] {
		phone := text(r, "phone_mobile") + text(r, "phone_work")
		s.Contacts = append(s.Contacts, crmtest.Contact{
			ID: "Leads/" + text(r, "id"), Phone: phone, Name: strings.TrimSpace(text(r, "first_name") + " " + text(r, "last_name")),
			Status: text(r, "status"), DoNotCall: text(r, "do_not_call") == "1",
		})
	}
	for _, r := range f.tables["Calls"] {
		description := text(r, "description")
		c := crmtest.Call{}
		_, id, _ := strings.Cut("\n"+description, "\nVInfer call: ")
		c.ID, _, _ = strings.Cut(id, "\n")
		c.Disposition, c.Summary, c.Rest = crmtest.ReadBody(description, c.ID)
		for _, name := range []string{"name", "status", "direction", "date_start", "date_end", "duration_hours", "duration_minutes", "vinfer_call_id_c", "vinfer_language_c"} {
			c.Rest += name + "=" + text(r, name) + "; "
		}
		if text(r, "parent_id") != "" {
			c.Contact = text(r, "parent_type") + "/" + text(r, "parent_id")
		}
		s.Calls = append(s.Calls, c)
	}
	for _, r := range f.tables["Notes"] {
		if note, ok := crmtest.ReadNote(text(r, "description")); ok {
			s.Notes = append(s.Notes, note)
		}
	}
	for _, r := range f.tables["Tasks"] {
		_, call, _ := strings.Cut(text(r, "description"), "Follow-up of the VInfer call ")
		s.Tasks = append(s.Tasks, crmtest.Task{Call: call, Title: text(r, "name")})
	}
	return s
}
