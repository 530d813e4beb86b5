package salesforce_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/crm/salesforce"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWriter runs the suite against an org that is set up, one whose field is no external id and that has no notes, and one without
// the field.
func TestWriter(t *testing.T) {
	whole := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
	head := text.NoteHead(crmtest.Completed(1).Call.ID) + " hi-IN\nOf the AI call of 15 Jan 2024, 10:33 (Escalated)\nAsks for a call tomorrow.\n\n"
	for name, test := range map[string]struct {
		edit func(*org)
		note func(string) string
	}{
		"external id": {func(*org) {}, whole},
		"plain field, no notes": {func(g *org) {
			delete(g.fields["Task"]["VInfer_Key__c"], "externalId")
			g.hiddenEntities["ContentNote"] = true
		}, func(s string) string { return strings.TrimPrefix(text.Cut(head+whole(s), 20_000), head) }},
		"no field": {func(g *org) {
			delete(g.fields["Task"], "VInfer_Key__c")
			delete(g.fields["Task"], "VInfer_Started_At__c")
		}, whole},
	} {
		t.Run(name, func(t *testing.T) {
			crmtest.Run(t, crmtest.Target{
				DropsNUL: true, Renews: true, NotSetUp: name == "no field",
				Name: func(s string) string { return text.Line(s, 80) },
				Text: func(s string) string { return text.Cut(whole(s), 8_000) },
				Note: test.note,
				New: func(t *testing.T) crmtest.Destination {
					g := newOrg()
					test.edit(g)
					return destination(t, g)
				},
			})
		})
	}
}

func config(url string) salesforce.Config {
	return salesforce.Config{URL: url, ClientID: clientID, ClientSecret: secret.New(clientSecret)}
}

func open(t *testing.T, cfg salesforce.Config, edit func(*crm.Settings)) *salesforce.Writer {
	t.Helper()
	s := crm.Settings{Workers: 4, Region: "IN", Fields: map[string]string{"sentiment": "Mood__c"}}
	if edit != nil {
		edit(&s)
	}
	w, err := salesforce.New(cfg, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func destination(t *testing.T, g *org) crmtest.Destination {
	server := crmtest.NewServer(t, g)
	ready := func(t *testing.T, edit func(*crm.Settings)) crm.Writer {
		w := open(t, config(server.URL), edit)
		w.Check(t.Context(), nil) // the suite's faults are those of requests with a token; TestToken has the others
		return w
	}
	return crmtest.Destination{
		Open:       func(t *testing.T) crm.Writer { return ready(t, nil) },
		Configured: ready,
		State:      func(*testing.T) crmtest.State { return g.state() },
		AddContact: func(t *testing.T, c crmtest.Contact) string {
			g.mu.Lock()
			defer g.mu.Unlock()
			first, last, ok := strings.Cut(c.Name, " ")
			if !ok {
				first, last = "", first
			}
			o, fault := g.insert("Lead", object{"FirstName": first, "LastName": last, "Company": "A", "MobilePhone": c.Phone, "OwnerId": human}, "")
			if fault != nil {
				t.Fatal(fault)
			}
			return "Lead/" + text2(o["Id"])
		},
		SetStatus: func(_ *testing.T, contact, status string) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.find("Lead", strings.TrimPrefix(contact, "Lead/"))["Status"] = status
		},
		Delete: func(_ *testing.T, ref, id string) {
			entity := map[string]string{"activity": "Task", "task": "Task", "contact": "Lead"}[ref]
			g.remove(entity, strings.TrimPrefix(id, "Lead/"))
		},
		Meanwhile: crmtest.Meanwhile{
			Follows: true,
			Convert: func(_ *testing.T, lead string) string { return g.convert(strings.TrimPrefix(lead, "Lead/")) },
			Merge: func(_ *testing.T, loser, survivor string) {
				g.merge(strings.TrimPrefix(loser, "Lead/"), strings.TrimPrefix(survivor, "Lead/"))
			},
			Reassign: func(_ *testing.T, contact string) {
				g.mu.Lock()
				defer g.mu.Unlock()
				g.find("Lead", strings.TrimPrefix(contact, "Lead/"))["OwnerId"] = human
			},
			Owner: func(_ *testing.T, contact string) string {
				g.mu.Lock()
				defer g.mu.Unlock()
				return text2(g.find("Lead", strings.TrimPrefix(contact, "Lead/"))["OwnerId"])
			},
			Rename: func(_ *testing.T, status, name string) {
				g.mu.Lock()
				defer g.mu.Unlock()
				for _, v := range g.fields["Lead"]["Status"]["picklistValues"].([]any) {
					if o := v.(object); o["value"] == status {
						o["value"], o["label"] = name, name
					}
				}
			},
			Hide: func(*testing.T) { g.mu.Lock(); delete(g.fields["Lead"], "Status"); g.mu.Unlock() },
		},
		Lag: func(on bool) { g.mu.Lock(); g.hide, g.unseen = on, map[string]bool{}; g.mu.Unlock() },
		Unknown: func() string {
			g.mu.Lock()
			defer g.mu.Unlock()
			delete(g.fields["Task"], "Mood__c")
			return "Mood__c"
		},
		Refuse:  func() { g.mu.Lock(); g.refuse = "Mood__c"; g.mu.Unlock() },
		Server:  server,
		Secrets: []string{clientSecret, "token-number"},
	}
}

func (g *org) remove(entity, id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.records[entity] = slices.DeleteFunc(g.records[entity], func(o object) bool { return o["Id"] == id })
}

// convert makes a contact of a lead, which stays, closed to changes, and names what it became.
func (g *org) convert(id string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.find("Lead", id)
	at := g.tick()
	c := object{"Id": g.id("Contact"), "OwnerId": l["OwnerId"], "CreatedDate": at, "LastModifiedDate": at}
	for _, name := range []string{"FirstName", "LastName", "Phone", "MobilePhone"} {
		if l[name] != nil {
			c[name] = l[name]
		}
	}
	g.records["Contact"] = append(g.records["Contact"], c)
	l["IsConverted"], l["ConvertedContactId"] = true, c["Id"]
	for _, o := range g.records["Task"] {
		if o["WhoId"] == id {
			o["WhoId"] = c["Id"]
		}
	}
	return "Contact/" + text2(c["Id"])
}

// merge moves what hangs on a lead to another one, and deletes it.
func (g *org) merge(loser, survivor string) {
	g.mu.Lock()
	for _, o := range g.records["Task"] {
		if o["WhoId"] == loser {
			o["WhoId"] = survivor
		}
	}
	for _, o := range g.records["ContentDocumentLink"] {
		if o["LinkedEntityId"] == loser {
			o["LinkedEntityId"] = survivor
		}
	}
	g.mu.Unlock()
	g.remove("Lead", loser)
}

// state returns what an administrator sees.
func (g *org) state() (out crmtest.State) {
	g.mu.Lock()
	defer g.mu.Unlock()
	who := func(id any) string {
		for _, entity := range []string{"Lead", "Contact"} {
			if g.find(entity, text2(id)) != nil {
				return entity + "/" + text2(id)
			}
		}
		return ""
	}
	for _, entity := range []string{"Lead", "Contact"} {
		for _, o := range g.records[entity] {
			out.Contacts = append(out.Contacts, crmtest.Contact{
				ID: entity + "/" + text2(o["Id"]), Phone: text2(o["Phone"]) + text2(o["MobilePhone"]), Name: text2(g.shown(entity, "Name", o)),
				Status: text2(o["Status"]), DoNotCall: o["DoNotCall"] == true,
			})
		}
	}
	for _, o := range g.records["Task"] {
		key := or2(text2(o["VInfer_Key__c"]), text2(o["CallObject"]))
		if call, ok := strings.CutSuffix(key, "-callback"); ok {
			out.Tasks = append(out.Tasks, crmtest.Task{Call: call, Title: text2(o["Subject"])})
			continue
		}
		c := crmtest.Call{ID: key, Contact: who(o["WhoId"])}
		var rest string
		description := text2(o["Description"])
		if at := strings.Index(description, "\n\nTranscript of VInfer call"); at >= 0 {
			if n, ok := crmtest.ReadNote(description[at+2:]); ok {
				out.Notes = append(out.Notes, n)
				description = description[:at]
			}
		}
		c.Disposition, c.Summary, rest = crmtest.ReadBody(description, c.ID)
		c.Rest = fmt.Sprint(o["Subject"], o["Status"], o["CallType"], o["CallDurationInSeconds"], o["ActivityDate"], o["CallDisposition"], o["VInfer_Started_At__c"], o["OwnerId"], o["TaskSubtype"], rest)
		out.Calls = append(out.Calls, c)
	}
	for _, o := range g.records["ContentNote"] {
		linked := 0
		for _, l := range g.records["ContentDocumentLink"] {
			if l["ContentDocumentId"] == o["Id"] {
				linked++
			}
		}
		if n, ok := crmtest.ReadNote(text.Plain(decodeNote(o["Content"]))); ok && linked == 1 {
			n.Text = strings.TrimSuffix(n.Text, "\n")
			out.Notes = append(out.Notes, n)
		}
	}
	return out
}
