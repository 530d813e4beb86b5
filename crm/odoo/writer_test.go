package odoo_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/crm/odoo"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWriter(t *testing.T) {
	for name, major := range map[string]int{"json2": 19, "json2, set up": 19, "jsonrpc 18": 18, "jsonrpc 16": 16, "jsonrpc 16, set up": 16} {
		t.Run(name, func(t *testing.T) {
			ready := strings.HasSuffix(name, "set up")
			crmtest.Run(t, crmtest.Target{
				DropsNUL: true, NoAnonymous: true, NotSetUp: !ready,
				Name: func(s string) string { return text.Line(s, 200) },
				Text: func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") },
				New: func(t *testing.T) crmtest.Destination {
					f := newFake(major)
					if ready {
						f.fields["mail.activity"]["x_vinfer_call_id"] = true
					}
					return newDestination(t, f)
				},
			})
		})
	}
}

func config(url string) odoo.Config {
	return odoo.Config{URL: url, Database: database, User: login, APIKey: secret.New(key)}
}

func open(t *testing.T, url string, edit func(*crm.Settings)) crm.Writer {
	t.Helper()
	s := crm.Settings{Workers: 8, Region: "IN"}
	if edit != nil {
		edit(&s)
	}
	w, err := odoo.New(config(url), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func newDestination(t *testing.T, f *fake) crmtest.Destination {
	server := crmtest.NewServer(t, f)
	return crmtest.Destination{
		Open:       func(t *testing.T) crm.Writer { return open(t, server.URL, nil) },
		Configured: func(t *testing.T, edit func(*crm.Settings)) crm.Writer { return open(t, server.URL, edit) },
		State:      func(t *testing.T) crmtest.State { return f.state(t) },
		AddContact: func(_ *testing.T, c crmtest.Contact) string {
			id := f.insert("crm.lead", map[string]any{"name": c.Name, "contact_name": c.Name, "phone": c.Phone, "stage_id": f.tables["crm.stage"][0]["id"]})
			return fmt.Sprint("crm.lead/", id)
		},
		SetStatus: func(t *testing.T, contact, status string) {
			for _, s := range f.tables["crm.stage"] {
				if s["name"] == status {
					f.leadOf(t, "crm.lead", number(contact))["stage_id"] = s["id"]
				}
			}
		},
		Delete: func(_ *testing.T, ref, id string) {
			switch ref {
			case "contact":
				f.remove("crm.lead", number(id))
			case "activity", "task":
				for _, a := range f.tables["mail.activity"] {
					if m, ok := a["_message"].(int64); ok && a["id"] == number(id) {
						f.remove("mail.message", m)
					}
				}
				f.remove("mail.activity", number(id))
				if f.major < 19 && ref == "activity" {
					f.tables["mail.message"] = nil
				}
			}
		},
		Meanwhile: crmtest.Meanwhile{
			Follows:  true,
			Merge:    func(_ *testing.T, loser, survivor string) { f.merge(number(loser), number(survivor)) },
			Reassign: func(t *testing.T, contact string) { f.leadOf(t, "crm.lead", number(contact))["user_id"] = int64(2) },
			Owner: func(t *testing.T, contact string) string {
				return fmt.Sprint(f.leadOf(t, "crm.lead", number(contact))["user_id"])
			},
			Rename: func(_ *testing.T, status, name string) {
				for _, s := range f.tables["crm.stage"] {
					if s["name"] == status {
						s["name"] = name
					}
				}
			},
		},
		Server: server, Secrets: []string{key},
	}
}

// merge does what merging two leads does: messages and activities move to the survivor, the other one is deleted.
func (f *fake) merge(loser, survivor int64) {
	for _, model := range []string{"mail.message", "mail.activity"} {
		for _, r := range f.tables[model] {
			if fmt.Sprint(r["res_id"]) == fmt.Sprint(loser) {
				r["res_id"] = survivor
			}
		}
	}
	f.remove("crm.lead", loser)
}

// number takes the id out of "crm.lead/12", "message/12" and "12".
func number(id string) int64 {
	n, _ := strconv.ParseInt(id[strings.LastIndexByte(id, '/')+1:], 10, 64)
	return n
}

// state reads what an administrator sees: leads, and what stands in their chatter.
func (f *fake) state(t *testing.T) crmtest.State {
	t.Helper()
	var s crmtest.State
	for _, r := range f.tables["crm.lead"] {
		stage, _ := f.value("crm.lead", r, "stage_id").([]any)
		c := crmtest.Contact{ID: fmt.Sprint("crm.lead/", r["id"]), Phone: fmt.Sprint(r["phone"]), Name: fmt.Sprint(r["name"]), Status: fmt.Sprint(stage[1])}
		if r["active"] == false {
			c.Status = "Lost"
		}
		c.DoNotCall = f.value("crm.lead", r, "phone_blacklisted") == true
		s.Contacts = append(s.Contacts, c)
	}
	for _, r := range f.tables["mail.message"] {
		body := text.Plain(fmt.Sprint(r["body"]))
		if note, ok := crmtest.ReadNote(body); ok {
			note.Text = strings.TrimSuffix(note.Text, "\n")
			s.Notes = append(s.Notes, note)
			continue
		}
		_, id, ok := strings.Cut(body, "\nVInfer call: ")
		if !ok {
			t.Errorf("a message that is nobody's: %s", body)
			continue
		}
		call := crmtest.Call{ID: strings.Fields(id)[0], Contact: fmt.Sprint(r["model"], "/", r["res_id"])}
		if at := strings.Index(body, "Outcome: "); at >= 0 {
			body = body[at:]
		}
		call.Disposition, call.Summary, call.Rest = crmtest.ReadBody(strings.TrimRight(body, " \n"), call.ID)
		s.Calls = append(s.Calls, call)
	}
	for _, r := range f.tables["mail.activity"] {
		if note := text.Plain(fmt.Sprint(r["note"])); r["date_done"] == nil && strings.Contains(note, "Follow-up of the VInfer call ") {
			_, call, _ := strings.Cut(note, "Follow-up of the VInfer call ")
			s.Tasks = append(s.Tasks, crmtest.Task{Call: strings.TrimSpace(call), Title: fmt.Sprint(r["summary"])})
		} else if r["date_done"] == nil {
			s.Calls = append(s.Calls, crmtest.Call{ID: "a logged call stands there as one to be made"})
		}
	}
	return s
}
