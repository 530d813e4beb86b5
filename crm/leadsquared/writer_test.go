package leadsquared_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/leadsquared"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWriter runs the suite, with the keys in headers and in the query. LeadSquared's search shows one lead of a number, whatever
// there is: TestOnMany is about several.
func TestWriter(t *testing.T) {
	for _, auth := range []string{leadsquared.AuthHeaders, leadsquared.AuthQuery} {
		t.Run(auth, func(t *testing.T) {
			crmtest.Run(t, crmtest.Target{
				DropsNUL: true, NoAnonymous: true, NoMany: true, Name: func(s string) string { return cutName(safe(s)) }, Text: safe,
				New: func(t *testing.T) crmtest.Destination { return destination(t, newAccount(), auth) },
			})
		})
	}
}

// safe is what becomes of a text in which the account sees an attack.
func safe(s string) string {
	if strings.Contains(s, "<script") {
		return strings.NewReplacer("<", "‹", ">", "›").Replace(s)
	}
	return s
}

func cutName(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 100 {
		s = strings.TrimSpace(string(r[:99])) + "…"
	}
	return s
}

func config(url, auth string) leadsquared.Config {
	return leadsquared.Config{
		URL: url, AccessKey: secret.New(accessKey), SecretKey: secret.New(secretKey), Auth: auth, Rate: 1_000_000, ActivityLimit: 100_000,
	}
}

func destination(t *testing.T, a *account, auth string) crmtest.Destination {
	server := crmtest.NewServer(t, a)
	configured := func(t *testing.T, edit func(*crm.Settings)) crm.Writer {
		t.Helper()
		settings := crm.Settings{Region: "IN", Workers: 4}
		edit(&settings)
		return open(t, config(server.URL, auth), settings)
	}
	return crmtest.Destination{
		Open:       func(t *testing.T) crm.Writer { return configured(t, func(*crm.Settings) {}) },
		Configured: configured,
		State:      func(*testing.T) crmtest.State { return a.state() },
		AddContact: func(_ *testing.T, c crmtest.Contact) string { return a.add(c.Phone, c.Name) },
		SetStatus: func(_ *testing.T, contact, status string) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.lead(contact)["ProspectStage"] = status
		},
		Delete: func(_ *testing.T, ref, id string) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.leads = without(a.leads, "ProspectID", id)
			a.activities = without(a.activities, "Id", id)
			a.tasks = without(a.tasks, "TaskID", id)
		},
		Meanwhile: crmtest.Meanwhile{
			Merge: func(_ *testing.T, loser, survivor string) { a.merge(loser, survivor) },
			Reassign: func(_ *testing.T, contact string) {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.lead(contact)["OwnerId"] = human
			},
			Owner: func(_ *testing.T, contact string) string {
				a.mu.Lock()
				defer a.mu.Unlock()
				return str(a.lead(contact)["OwnerId"])
			},
			Rename: func(_ *testing.T, status, name string) {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.stages[slices.Index(a.stages, status)] = name
			},
			Hide: func(*testing.T) {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.noStage = true
				for _, l := range a.leads {
					delete(l, "ProspectStage")
				}
			},
		},
		Lag: func(on bool) { a.mu.Lock(); a.hide, a.hidden = on, map[string]bool{}; a.mu.Unlock() },
		Unknown: func() string {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.types[0]["ActivityProperties"] = strings.ReplaceAll(str(a.types[0]["ActivityProperties"]), "mx_Custom_3", "mx_Custom_33")
			return "mx_Custom_3"
		},
		Refuse:  func() { a.mu.Lock(); a.refuse = "mx_Custom_3"; a.mu.Unlock() },
		Server:  server,
		Secrets: []string{accessKey, secretKey},
	}
}

func without(all []object, key, id string) []object {
	return slices.DeleteFunc(all, func(o object) bool { return o[key] == id })
}

// merge moves what hangs on a lead to another one, and deletes it.
func (a *account) merge(loser, survivor string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, made := range a.activities {
		if made["lead"] == loser {
			made["lead"] = survivor
		}
	}
	for _, key := range []string{"RelatedProspectId", "lead"} {
		for _, o := range append(slices.Clone(a.notes), a.tasks...) {
			if o[key] == loser {
				o[key] = survivor
			}
		}
	}
	a.leads = without(a.leads, "ProspectID", loser)
}

// add makes a lead as people do.
func (a *account) add(phone, name string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.newLead(phone)
	l["FirstName"], l["LastName"], _ = strings.Cut(name, " ")
	l["OwnerId"] = human
	a.leads = append(a.leads, l)
	return str(l["ProspectID"])
}

func open(t *testing.T, cfg leadsquared.Config, s crm.Settings) *leadsquared.Writer {
	t.Helper()
	w, err := leadsquared.New(cfg, s)
	if err != nil {
		t.Fatal(err)
	}
	w.Hasty()
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// state returns what an administrator sees.
func (a *account) state() (out crmtest.State) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.leads {
		status := str(l["ProspectStage"])
		if status == "Prospect" {
			status = "" // what every lead has that was given none
		}
		out.Contacts = append(out.Contacts, crmtest.Contact{
			ID: str(l["ProspectID"]), Phone: str(l["Phone"]), Name: strings.TrimSpace(str(l["FirstName"]) + " " + str(l["LastName"])),
			Status: status, DoNotCall: l["DoNotCall"] == "1",
		})
	}
	for _, made := range a.activities {
		fields := made["fields"].(object)
		c := crmtest.Call{ID: str(fields["mx_Custom_1"]), Contact: str(made["lead"])}
		var rest string
		c.Disposition, c.Summary, rest = crmtest.ReadBody(str(made["note"]), c.ID)
		c.Rest = fmt.Sprint(made["at"], made["code"], fields, rest)
		out.Calls = append(out.Calls, c)
	}
	for _, n := range a.notes {
		if n, ok := crmtest.ReadNote(str(n["Note"])); ok {
			out.Notes = append(out.Notes, n)
		}
	}
	for _, k := range a.tasks {
		_, call, _ := strings.Cut(str(k["Description"]), "VInfer call: ")
		out.Tasks = append(out.Tasks, crmtest.Task{Call: call, Title: str(k["Name"])})
	}
	return out
}
