package espocrm_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/espocrm"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWriter runs the suite against a site of today, which stores international numbers, and one that was upgraded and holds free text.
func TestWriter(t *testing.T) {
	for name, free := range map[string]bool{"international": false, "free text": true} {
		t.Run(name, func(t *testing.T) {
			target := crmtest.Target{
				DropsNUL: true, Name: func(s string) string { return cutName(s) },
				New: func(t *testing.T) crmtest.Destination {
					s := newSite()
					s.free = free
					return destination(t, s)
				},
			}
			if !free {
				target.Phones = func(n int) []string { return crmtest.Spellings(n)[:1] }
			}
			crmtest.Run(t, target)
		})
	}
}

// cutName is what a lead's name becomes: one line of 100 characters without <, > and =.
func cutName(s string) string {
	s = strings.Join(strings.Fields(strings.NewReplacer("<", " ", ">", " ", "=", " ").Replace(s)), " ")
	if r := []rune(s); len(r) > 100 {
		s = strings.TrimSpace(string(r[:99])) + "…"
	}
	return s
}

func destination(t *testing.T, s *site) crmtest.Destination {
	server := crmtest.NewServer(t, s)
	configured := func(t *testing.T, edit func(*crm.Settings)) crm.Writer {
		t.Helper()
		settings := crm.Settings{Region: "IN", Workers: 4, Fields: map[string]string{"sentiment": "cMood"}}
		edit(&settings)
		return open(t, espocrm.Config{URL: server.URL + "/crm/", APIKey: secret.New(apiKey)}, settings)
	}
	return crmtest.Destination{
		Open:       func(t *testing.T) crm.Writer { return configured(t, func(*crm.Settings) {}) },
		Configured: configured,
		State:      func(*testing.T) crmtest.State { return s.state() },
		AddContact: func(_ *testing.T, c crmtest.Contact) string {
			s.mu.Lock()
			defer s.mu.Unlock()
			at := s.tick()
			first, last, ok := strings.Cut(c.Name, " ")
			if !ok {
				first, last = "", first
			}
			o := object{
				"id": s.id(), "firstName": first, "lastName": last, "phoneNumber": c.Phone, "status": "New", "doNotCall": false,
				"phoneNumberData": []any{object{"phoneNumber": c.Phone, "primary": true}}, "createdAt": at, "modifiedAt": at, "assignedUserId": human,
			}
			s.records["Lead"] = append(s.records["Lead"], o)
			return "Lead/" + text(o["id"])
		},
		SetStatus: func(_ *testing.T, contact, status string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.find("Lead", strings.TrimPrefix(contact, "Lead/"))["status"] = status
		},
		Delete: func(_ *testing.T, ref, id string) {
			entity := map[string]string{"activity": "Call", "task": "Task", "contact": "Lead"}[ref]
			s.remove(entity, strings.TrimPrefix(id, "Lead/"))
		},
		Meanwhile: crmtest.Meanwhile{
			Follows: true,
			Convert: func(_ *testing.T, lead string) string { return s.convert(strings.TrimPrefix(lead, "Lead/")) },
			Merge: func(_ *testing.T, loser, survivor string) {
				s.merge(strings.TrimPrefix(loser, "Lead/"), strings.TrimPrefix(survivor, "Lead/"))
			},
			Reassign: func(_ *testing.T, contact string) { s.change(contact, "assignedUserId", human) },
			Owner:    func(_ *testing.T, contact string) string { return text(s.held(contact)["assignedUserId"]) },
			Rename: func(_ *testing.T, status, name string) {
				s.mu.Lock()
				defer s.mu.Unlock()
				options := s.fields["Lead.status"]["options"].([]string)
				options[slices.Index(options, status)] = name
			},
			Hide: func(*testing.T) { s.mu.Lock(); delete(s.fields, "Lead.status"); s.mu.Unlock() },
		},
		Lag:     func(on bool) { s.mu.Lock(); s.hide, s.hidden = on, nil; s.mu.Unlock() },
		Refuse:  func() { s.mu.Lock(); s.refuse = "cMood"; s.mu.Unlock() },
		Server:  server,
		Secrets: []string{apiKey},
	}
}

func open(t *testing.T, cfg espocrm.Config, s crm.Settings) *espocrm.Writer {
	t.Helper()
	w, err := espocrm.New(cfg, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// held returns a record that is named "Lead/ID".
func (s *site) held(name string) object {
	s.mu.Lock()
	defer s.mu.Unlock()
	entity, id, _ := strings.Cut(name, "/")
	return s.find(entity, id)
}

func (s *site) change(name, attribute string, v any) {
	o := s.held(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	o[attribute], o["modifiedAt"] = v, s.tick()
}

// convert makes a contact of a lead. EspoCRM copies what both have, and the lead stays, converted.
func (s *site) convert(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.find("Lead", id)
	c := object{"id": s.id(), "createdAt": s.tick(), "modifiedAt": s.tick(), "assignedUserId": l["assignedUserId"]}
	for _, name := range []string{"firstName", "lastName", "phoneNumber", "phoneNumberData", "doNotCall"} {
		c[name] = l[name]
	}
	s.records["Contact"] = append(s.records["Contact"], c)
	l["status"], l["createdContactId"] = "Converted", c["id"]
	return "Contact/" + text(c["id"])
}

// merge moves what hangs on a lead to another one and deletes it.
func (s *site) merge(loser, survivor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entity := range []string{"Call", "Task", "Note"} {
		for _, o := range s.records[entity] {
			if o["parentType"] == "Lead" && o["parentId"] == loser {
				o["parentId"] = survivor
			}
		}
	}
	s.records["Lead"] = slices.DeleteFunc(s.records["Lead"], func(o object) bool { return o["id"] == loser })
}

func (s *site) remove(entity, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[entity] = slices.DeleteFunc(s.records[entity], func(o object) bool { return o["id"] == id })
}

// state returns what an administrator sees.
func (s *site) state() (out crmtest.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, entity := range []string{"Lead", "Contact"} {
		for _, o := range s.records[entity] {
			o = s.whole(entity, o)
			out.Contacts = append(out.Contacts, crmtest.Contact{
				ID: entity + "/" + text(o["id"]), Phone: text(o["phoneNumber"]), Name: text(o["name"]), Status: text(o["status"]), DoNotCall: o["doNotCall"] == true,
			})
		}
	}
	for _, o := range s.records["Call"] {
		c := crmtest.Call{ID: text(o["cVinferCallId"])}
		if o["parentId"] != nil {
			c.Contact = fmt.Sprint(o["parentType"], "/", o["parentId"])
		}
		var rest string
		c.Disposition, c.Summary, rest = crmtest.ReadBody(text(o["description"]), c.ID)
		c.Rest = fmt.Sprint(o["name"], o["status"], o["direction"], o["dateStart"], o["dateEnd"], o["assignedUserId"], rest)
		out.Calls = append(out.Calls, c)
	}
	for _, o := range s.records["Note"] {
		if n, ok := crmtest.ReadNote(text(o["post"])); ok {
			out.Notes = append(out.Notes, n)
		}
	}
	for _, o := range s.records["Task"] {
		out.Tasks = append(out.Tasks, crmtest.Task{Call: text(o["cVinferCallId"]), Title: text(o["name"])})
	}
	return out
}

var _ io.Closer = (*espocrm.Writer)(nil)
