package zoho_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/crm/zoho"
	secrets "github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// organisations are what Zoho is like by edition and by what its administrator has done.
var organisations = map[string]func(f *fake){
	"unique":   func(*fake) {},
	"external": func(f *fake) { f.field("Calls", "VInfer_Call_ID")["external"] = row{"type": "org", "show": true} },
	"plain": func(f *fake) {
		delete(f.field("Calls", "VInfer_Call_ID"), "unique")
		delete(f.field("Tasks", "VInfer_Call_ID"), "unique")
	},
	"not set up": func(f *fake) {
		for _, module := range []string{"Calls", "Tasks"} {
			f.fields[module] = keep(f.fields[module], func(d row) bool { return d["api_name"] != "VInfer_Call_ID" })
		}
	},
}

func TestWriter(t *testing.T) {
	for name, edit := range organisations {
		t.Run(name, func(t *testing.T) {
			crmtest.Run(t, crmtest.Target{
				DropsNUL: true, Renews: true, NotSetUp: name == "not set up",
				Name: func(s string) string { return text.Line(s, 80) },
				Text: func(s string) string { return text.Cut(s, 29_000) },
				New: func(t *testing.T) crmtest.Destination {
					f := newFake()
					edit(f)
					return newDestination(t, f)
				},
			})
		})
	}
}

// Without COQL only the records themselves tell what people have done.
func TestMeanwhileWithoutQueries(t *testing.T) {
	crmtest.RunMeanwhile(t, crmtest.Target{New: func(t *testing.T) crmtest.Destination {
		f := newFake()
		f.noCOQL = true
		return newDestination(t, f)
	}})
}

func serve(t *testing.T, f *fake) *crmtest.Server {
	server := crmtest.NewServer(t, f)
	f.url = server.URL
	return server
}

func config(t *testing.T, url string) zoho.Config {
	return zoho.Config{
		AccountsURL: url, APIURL: url, ClientID: clientID, ClientSecret: secrets.New(secret), RefreshToken: secrets.New(refresh),
		TokenFile: filepath.Join(t.TempDir(), "token"),
	}
}

func openWith(t *testing.T, c zoho.Config, edit func(*crm.Settings)) *zoho.Writer {
	t.Helper()
	s := crm.Settings{Workers: 8, Region: "IN"}
	if edit != nil {
		edit(&s)
	}
	w, err := zoho.New(c, s)
	if err != nil {
		t.Fatal(err)
	}
	w.Hasty()
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func open(t *testing.T, url string, edit func(*crm.Settings)) *zoho.Writer {
	t.Helper()
	return openWith(t, config(t, url), edit)
}

func newDestination(t *testing.T, f *fake) crmtest.Destination {
	server := serve(t, f)
	c := config(t, server.URL)
	modules := map[string]string{"activity": "Calls", "task": "Tasks", "note": "Notes"}
	return crmtest.Destination{
		Open: func(t *testing.T) crm.Writer {
			w := openWith(t, c, nil)
			// The suite's faults are those of requests with a token, the pick lists known; other tests have the rest.
			w.Check(t.Context(), nil)
			return w
		},
		Configured: func(t *testing.T, edit func(*crm.Settings)) crm.Writer { return openWith(t, c, edit) },
		State:      func(*testing.T) crmtest.State { return f.state() },
		AddContact: func(_ *testing.T, c crmtest.Contact) string {
			return "Leads/" + fmt.Sprint(f.add("Leads", row{"Last_Name": c.Name, "Mobile": c.Phone, "Lead_Status": "New"})["id"])
		},
		SetStatus: func(t *testing.T, contact, status string) {
			f.set("Leads", f.row("Leads", strings.TrimPrefix(contact, "Leads/")), row{"Lead_Status": status})
		},
		Delete: func(_ *testing.T, ref, id string) {
			module := modules[ref]
			if ref == "contact" {
				module, id, _ = strings.Cut(id, "/")
			}
			f.remove(module, id)
		},
		Meanwhile: crmtest.Meanwhile{
			Follows: true,
			Convert: func(_ *testing.T, lead string) string { return f.convert(strings.TrimPrefix(lead, "Leads/")) },
			Merge: func(_ *testing.T, loser, survivor string) {
				f.merge(strings.TrimPrefix(loser, "Leads/"), strings.TrimPrefix(survivor, "Leads/"))
			},
			Reassign: func(_ *testing.T, contact string) {
				f.set("Leads", f.row("Leads", strings.TrimPrefix(contact, "Leads/")), row{"Owner": row{"id": "4876876000000000009"}})
			},
			Owner: func(_ *testing.T, contact string) string {
				return fmt.Sprint(f.row("Leads", strings.TrimPrefix(contact, "Leads/"))["Owner"])
			},
			Rename: func(_ *testing.T, status, name string) {
				for _, v := range f.field("Leads", "Lead_Status")["pick_list_values"].([]row) {
					if v["actual_value"] == status {
						v["actual_value"], v["display_value"] = name, name
					}
				}
			},
			Hide: func(*testing.T) {
				f.fields["Leads"] = keep(f.fields["Leads"], func(d row) bool { return d["api_name"] != "Lead_Status" })
			},
		},
		Lag:    func(on bool) { f.lagging = on },
		Refuse: func() { f.refuse = "VInfer_Language" },
		Server: server, Secrets: []string{secret, refresh, "access-token-number"},
	}
}

// convert makes a contact of a lead, which stays, converted and closed to changes. Custom fields go along only where an administrator has mapped them.
func (f *fake) convert(id string) string {
	lead := f.row("Leads", id)
	values := row{"First_Name": lead["First_Name"], "Last_Name": lead["Last_Name"], "Phone": lead["Phone"], "Mobile": lead["Mobile"]}
	for name, v := range values {
		if v == nil {
			delete(values, name)
		}
	}
	contact := f.add("Contacts", values)
	f.set("Leads", lead, row{"$converted": true})
	return "Contacts/" + fmt.Sprint(contact["id"])
}

// merge moves what hangs on a lead to another one, and deletes it.
func (f *fake) merge(loser, survivor string) {
	for _, module := range []string{"Calls", "Tasks", "Notes"} {
		for _, r := range f.tables[module] {
			if parent(r) != "Leads/"+loser {
				continue
			}
			if module == "Notes" {
				r["Parent_Id"] = row{"id": survivor}
			} else {
				r["What_Id"] = row{"id": survivor}
			}
		}
	}
	f.remove("Leads", loser)
}

// state reads what an administrator sees.
func (f *fake) state() crmtest.State {
	var s crmtest.State
	text := func(r row, name string) string {
		v, _ := r[name].(string)
		return v
	}
	for _, module := range []string{"Leads", "Contacts"} {
		for _, r := range f.tables[module] {
			s.Contacts = append(s.Contacts, crmtest.Contact{
				ID: module + "/" + text(r, "id"), Phone: text(r, "Mobile") + text(r, "Phone"), Name: strings.TrimSpace(text(r, "First_Name") + " " + text(r, "Last_Name")),
				Status: text(r, "Lead_Status"), DoNotCall: r["VInfer_Do_Not_Call"] == true,
			})
		}
	}
	id := func(description string) string {
		_, id, _ := strings.Cut("\n"+description, "\nVInfer call: ")
		id, _, _ = strings.Cut(id, "\n")
		return id
	}
	for _, r := range f.tables["Calls"] {
		c := crmtest.Call{ID: id(text(r, "Description")), Contact: parent(r)}
		c.Disposition, c.Summary, c.Rest = crmtest.ReadBody(text(r, "Description"), c.ID)
		for _, name := range []string{"Subject", "Call_Type", "Call_Start_Time", "Call_Duration", "Call_Result", "VInfer_Call_ID", "VInfer_Language"} {
			c.Rest += name + "=" + text(r, name) + "; "
		}
		s.Calls = append(s.Calls, c)
	}
	for _, r := range f.tables["Notes"] {
		if note, ok := crmtest.ReadNote(text(r, "Note_Content")); ok {
			s.Notes = append(s.Notes, note)
		}
	}
	for _, r := range f.tables["Tasks"] {
		s.Tasks = append(s.Tasks, crmtest.Task{Call: id(text(r, "Description")), Title: text(r, "Subject")})
	}
	return s
}
