package suitecrm_test

import (
	"fmt"
	"html"
	"slices"
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
		Meanwhile: crmtest.Meanwhile{
			Follows: true,
			Convert: func(t *testing.T, lead string) string { return f.convert(t, strings.TrimPrefix(lead, "Leads/")) },
			Merge: func(_ *testing.T, loser, survivor string) {
				f.merge(strings.TrimPrefix(loser, "Leads/"), strings.TrimPrefix(survivor, "Leads/"))
			},
			Reassign: func(t *testing.T, contact string) {
				f.must(t, "Leads", strings.TrimPrefix(contact, "Leads/"))["assigned_user_id"] = "1"
			},
			Owner: func(t *testing.T, contact string) string {
				return fmt.Sprint(f.must(t, "Leads", strings.TrimPrefix(contact, "Leads/"))["assigned_user_id"])
			},
			// SuiteCRM takes any status: one that was renamed is taken too.
			Hide: func(*testing.T) {
				f.fields["Leads"] = slices.DeleteFunc(slices.Clone(f.fields["Leads"]), func(name string) bool { return name == "status" })
			},
		},
		Unknown: func() string {
			f.fields["Calls"] = slices.DeleteFunc(slices.Clone(f.fields["Calls"]), func(name string) bool { return name == "vinfer_language_c" })
			return "vinfer_language_c"
		},
		Refuse: func() { f.refuse = "vinfer_language_c" },
		Server: server, Secrets: []string{secret, "token-number"},
	}
}

// convert makes a contact of a lead, with what the form of SuiteCRM takes over. The lead stays, converted.
func (f *fake) convert(t *testing.T, id string) string {
	lead := f.must(t, "Leads", id)
	values := map[string]any{}
	for _, name := range []string{"first_name", "last_name", "phone_mobile", "phone_work"} {
		if lead[name] != nil {
			values[name] = lead[name]
		}
	}
	lead["converted"], lead["status"] = "1", "Converted"
	return "Contacts/" + fmt.Sprint(f.insert("Contacts", "", values)["id"])
}

// merge moves what hangs on a lead to another one, and deletes it.
func (f *fake) merge(loser, survivor string) {
	for _, module := range []string{"Calls", "Tasks", "Notes"} {
		for _, r := range f.tables[module] {
			if r["parent_id"] == loser {
				r["parent_id"] = survivor
			}
		}
	}
	f.remove("Leads", loser)
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
	for _, module := range []string{"Leads", "Contacts"} {
		for _, r := range f.tables[module] {
			phone := text(r, "phone_mobile") + text(r, "phone_work")
			s.Contacts = append(s.Contacts, crmtest.Contact{
				ID: module + "/" + text(r, "id"), Phone: phone, Name: strings.TrimSpace(text(r, "first_name") + " " + text(r, "last_name")),
				Status: text(r, "status"), DoNotCall: text(r, "do_not_call") == "1",
			})
		}
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
