package hubspot_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/hubspot"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWriter runs the suite against portals that take unique values everywhere, on contacts only, and that were never set up.
func TestWriter(t *testing.T) {
	for name, fresh := range map[string]func() *portal{
		"unique": func() *portal { return newPortal().setUp() },
		"not unique": func() *portal {
			p := newPortal()
			p.noUnique = true
			return p.setUp()
		},
	} {
		t.Run(name, func(t *testing.T) {
			crmtest.Run(t, crmtest.Target{
				DropsNUL: true,
				Name:     func(s string) string { return text.Line(s, 250) },
				Text:     func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") },
				New:      func(t *testing.T) crmtest.Destination { return destination(t, fresh()) },
			})
		})
	}
}

func destination(t *testing.T, p *portal) crmtest.Destination {
	server := crmtest.NewServer(t, p)
	configured := func(t *testing.T, edit func(*crm.Settings)) crm.Writer {
		t.Helper()
		return open(t, server.URL, edit)
	}
	return crmtest.Destination{
		Open:       func(t *testing.T) crm.Writer { return configured(t, nil) },
		Configured: configured,
		State:      func(*testing.T) crmtest.State { return p.state() },
		AddContact: func(_ *testing.T, c crmtest.Contact) string { return p.person(c.Name, c.Phone) },
		SetStatus: func(_ *testing.T, contact, status string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.write("contacts", p.find("contacts", contact, ""), map[string]string{"hs_lead_status": status})
		},
		Delete: func(_ *testing.T, ref, id string) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.find(map[string]string{"activity": "calls", "task": "tasks", "contact": "contacts"}[ref], id, "").archived = true
		},
		Meanwhile: crmtest.Meanwhile{
			Follows: true,
			Merge:   func(_ *testing.T, loser, survivor string) { p.merge(loser, survivor) },
			Reassign: func(_ *testing.T, contact string) {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.write("contacts", p.find("contacts", contact, ""), map[string]string{"hubspot_owner_id": "118"})
			},
			Owner: func(_ *testing.T, contact string) string {
				p.mu.Lock()
				defer p.mu.Unlock()
				return p.find("contacts", contact, "").held["hubspot_owner_id"]
			},
			Rename: func(_ *testing.T, status, name string) {
				p.mu.Lock()
				defer p.mu.Unlock()
				d := p.properties["contacts"]["hs_lead_status"]
				d.options = slices.DeleteFunc(slices.Clone(d.options), func(o string) bool { return strings.HasPrefix(o, status+"|") })
				d.options = append(d.options, name+"|"+name)
			},
			Hide: func(*testing.T) { p.mu.Lock(); delete(p.properties["contacts"], "hs_lead_status"); p.mu.Unlock() },
		},
		Lag: func(on bool) { p.mu.Lock(); p.hide = on; p.mu.Unlock() },
		Unknown: func() string {
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.properties["calls"], "vinfer_mood")
			return "vinfer_mood"
		},
		Refuse:  func() { p.mu.Lock(); p.refuse = "vinfer_mood"; p.mu.Unlock() },
		Server:  server,
		Secrets: []string{token},
	}
}

// open returns a writer that does not wait for HubSpot's limit on searches.
func open(t *testing.T, url string, edit func(*crm.Settings)) *hubspot.Writer {
	t.Helper()
	s := crm.Settings{Region: "IN", Workers: 4, Fields: map[string]string{"sentiment": "vinfer_mood"}}
	if edit != nil {
		edit(&s)
	}
	w, err := hubspot.New(hubspot.Config{BaseURL: url, AccessToken: secret.New(token), SearchRate: 1000}, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// person adds a contact as people do.
func (p *portal) person(name, phone string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	first, last, _ := strings.Cut(name, " ")
	o := p.add("contacts", map[string]string{"firstname": first, "lastname": last, "phone": phone, "hs_lead_status": "NEW", "hubspot_owner_id": human})
	return strconv.Itoa(o.id)
}

// merge makes one contact of two. HubSpot goes on answering to the id of the one that is gone, with the other.
func (p *portal) merge(loser, survivor string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gone := p.find("contacts", loser, "")
	for _, kind := range []string{"calls", "notes", "tasks"} {
		for _, o := range p.rows[kind] {
			for i, id := range o.links["contacts"] {
				if id == loser {
					o.links["contacts"][i] = survivor
				}
			}
		}
	}
	kept := p.find("contacts", survivor, "")
	kept.merged = append(kept.merged, gone.id)
	gone.archived = true
}

// live returns the records of a type that nobody has deleted.
func (p *portal) live(kind string) []*row {
	return slices.DeleteFunc(slices.Clone(p.rows[kind]), func(o *row) bool { return o.archived })
}

// state returns what people see.
func (p *portal) state() (out crmtest.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.live("contacts") {
		out.Contacts = append(out.Contacts, crmtest.Contact{
			ID: strconv.Itoa(o.id), Phone: o.held["phone"], Name: strings.TrimSpace(o.held["firstname"] + " " + o.held["lastname"]),
			Status: o.held["hs_lead_status"], DoNotCall: o.held["vinfer_do_not_call"] == "true",
		})
	}
	for _, o := range p.live("calls") {
		body := text.Plain(o.held["hs_call_body"])
		c := crmtest.Call{ID: callOf(o, body)}
		if len(o.links["contacts"]) > 0 {
			c.Contact = o.links["contacts"][0]
		}
		var rest string
		c.Disposition, c.Summary, rest = crmtest.ReadBody(body, c.ID)
		for _, name := range []string{"title", "status", "direction", "duration", "disposition", "to_number", "from_number"} {
			rest += o.held["hs_call_"+name] + "; "
		}
		c.Rest = rest + fmt.Sprint(o.held["hs_timestamp"], o.held["hubspot_owner_id"], o.held["vinfer_mood"])
		out.Calls = append(out.Calls, c)
	}
	for _, o := range p.live("notes") {
		if n, ok := crmtest.ReadNote(text.Plain(o.held["hs_note_body"])); ok {
			out.Notes = append(out.Notes, n)
		}
	}
	for _, o := range p.live("tasks") {
		out.Tasks = append(out.Tasks, crmtest.Task{Call: callOf(o, text.Plain(o.held["hs_task_body"])), Title: o.held["hs_task_subject"]})
	}
	return out
}

// callOf returns VInfer's id of the call that a record is about: from its property, or from the text.
func callOf(o *row, body string) string {
	if id := o.held["vinfer_call_id"]; id != "" {
		return id
	}
	_, id, _ := strings.Cut(body, "VInfer call: ")
	id, _, _ = strings.Cut(id, "\n")
	return id
}
