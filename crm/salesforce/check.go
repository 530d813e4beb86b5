package salesforce

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
)

// Check asks for a token, how many requests are left, and whether the entities, fields, statuses and the owner are there.
func (w *Writer) Check(ctx context.Context, statuses []string) []crm.Finding {
	if _, err := w.api.tokens.Token(ctx); err != nil {
		if crm.VerdictOf(err) == crm.Halt {
			return []crm.Finding{{Subject: "key", Err: err, Detail: "see docs/crm/salesforce.md, The app"}}
		}
		return []crm.Finding{{Subject: "connection", Err: err, Detail: "see url, login_url, ca_file, proxy and the firewall"}}
	}
	limits, err := w.checkLimits(ctx)
	if found := people.CheckLimit(err); found != nil {
		return found
	}
	if err != nil {
		return []crm.Finding{{Subject: "key", Err: err, Detail: "may the user use the API (permission API Enabled), and is url the org's My Domain?"}}
	}
	host := w.api.client.Base().Host
	found := []crm.Finding{{Subject: "key", Detail: host + " gives a token and accepts it, API " + version}}
	if w.api.client.Base().Scheme == "http" {
		found = append(found, crm.Finding{Subject: "encryption", Detail: host + " is reached without TLS: the key, names and numbers cross the network readably"})
	}
	if other := w.api.foreign(); other != "" {
		found = append(found, crm.Finding{Subject: "My Domain", Detail: "the token is for " + other + ": if requests to " + host + " fail, set url to that"})
	}
	found = append(found, limits)
	for _, name := range []string{lead, contact, "Task"} {
		d, err := w.describe(ctx, name)
		switch {
		case err != nil && name == lead && w.newEntity() == contact:
			found = append(found, crm.Finding{Subject: name, Detail: "the user does not see leads: only contacts are looked for"})
		case err != nil:
			found = append(found, crm.Finding{Subject: name, Err: err, Detail: "give the user's profile or a permission set access to " + name})
		case name == "Task":
			found = append(found, w.checkTasks(d)...)
		default:
			found = append(found, w.checkPeople(name, d, statuses)...)
		}
	}
	return append(append(found, w.checkNotes(ctx)), w.checkOwner(ctx)...)
}

// checkLimits tells how much of the day's requests is used.
func (w *Writer) checkLimits(ctx context.Context) (crm.Finding, error) {
	f := crm.Finding{Subject: "requests"}
	var limits map[string]struct {
		Max       int `json:"Max"`
		Remaining int `json:"Remaining"`
	}
	if err := w.api.call(ctx, http.MethodGet, "/limits", nil, nil, nil, &limits); err != nil {
		if crm.VerdictOf(err) == crm.Reject {
			f.Detail = "the org does not tell its limits"
			return f, nil
		}
		return f, err
	}
	day := limits["DailyApiRequests"]
	f.Detail = fmt.Sprintf("%d of %d of the last 24 hours are left to all that use the org's API", day.Remaining, day.Max)
	if day.Max > 0 && day.Remaining <= w.cfg.KeepFree {
		f.Err = errors.New("no API requests are left")
	}
	return f, nil
}

// lacking lists which fields an entity lacks, or does not let us write.
func lacking(d *entity, writable bool, fields ...string) (out []string) {
	for _, name := range fields {
		if f := d.field(name); name != "" && (f == nil || writable && !may(f.Updateable)) {
			out = append(out, name)
		}
	}
	return out
}

// checkPeople looks at leads or contacts.
func (w *Writer) checkPeople(name string, d *entity, statuses []string) (found []crm.Finding) {
	f := crm.Finding{Subject: name, Detail: "may be read and changed"}
	var errs []error
	created := name == w.newEntity() && (w.s.OnMissing == "" || w.s.OnMissing == crm.MissingCreate)
	if !may(d.Updateable) || created && !may(d.Createable) {
		errs = append(errs, fmt.Errorf("the user may not create and edit records of %s", name))
	}
	writable := []string{w.statusField(name), w.s.Field(fieldDoNotCall, Fields[fieldDoNotCall])}
	if created {
		writable = append(writable, "LastName", "FirstName", w.s.Field(fieldPhone, Fields[fieldPhone]))
	}
	if all := lacking(d, true, writable...); len(all) > 0 {
		errs = append(errs, fmt.Errorf("the user does not see these fields of %s, or may not edit them: %s", name, strings.Join(all, ", ")))
	}
	if f.Err = errors.Join(errs...); f.Err != nil {
		f.Detail = "see Setup > Permission Sets, object and field permissions"
	}
	found = append(found, f)
	if name == contact && w.statusField(name) == "" {
		return append(found, crm.Finding{Subject: "contact status", Detail: "Contacts have none: only Leads get a status; fields: {contact_status: …} names a custom field"})
	}
	return append(found, w.checkStatuses(name, d, statuses))
}

func (w *Writer) checkStatuses(name string, d *entity, wanted []string) crm.Finding {
	field := name + "." + w.statusField(name)
	f := crm.Finding{Subject: strings.ToLower(name) + " statuses"}
	valid := d.values(w.statusField(name))
	if len(valid) == 0 {
		f.Detail = field + " takes any text"
		return f
	}
	for subject, all := range map[string][]string{"the mapping sets": wanted, "protect names": w.s.Protect} {
		unknown := slices.DeleteFunc(slices.Clone(all), func(s string) bool {
			return slices.ContainsFunc(valid, func(v string) bool {
				return v == s || subject == "protect names" && strings.EqualFold(strings.TrimSpace(s), v)
			})
		})
		if len(unknown) > 0 {
			f.Err = errors.Join(f.Err, fmt.Errorf("%s %q, which %s does not have", subject, unknown, field))
		}
	}
	f.Detail = "valid: " + strings.Join(valid, ", ")
	return f
}

// checkTasks looks at Tasks and how they are found again.
func (w *Writer) checkTasks(d *entity) (found []crm.Finding) {
	f := crm.Finding{Subject: "Task", Detail: "may be created and changed"}
	if !may(d.Createable) || !may(d.Updateable) {
		f.Err, f.Detail = errors.New("the user may not create and edit Tasks"), "give it the permissions Edit Tasks and Access Activities"
	}
	found = append(found, f)
	key := crm.Finding{Subject: "field Task." + w.callField()}
	switch def := d.field(w.callField()); {
	case def == nil:
		key.Err = errors.New("it is not there, or the user does not see it")
		key.Detail = "run vinfer-sync setup, or deploy contrib/salesforce; until then CallObject keeps the call's id, which takes one more request a call"
	case !may(def.Updateable):
		key.Err, key.Detail = errors.New("the user may not edit it"), "allow it in a permission set (field permissions of Task)"
	case !def.ExternalID:
		key.Detail = "is there, but is no external id: a look comes before each create, which takes one more request a call"
	case !def.Unique:
		key.Detail = "is an external id, but not unique: without View All Data a look comes before each create"
	default:
		key.Detail = "is an external id: Tasks are upserted by it"
	}
	found = append(found, key)
	for _, status := range []string{or(w.cfg.CallStatus, "Completed"), or(w.cfg.TaskStatus, "Not Started")} {
		if all := d.values("Status"); len(all) > 0 && !slices.Contains(all, status) {
			found = append(found, crm.Finding{
				Subject: "status of Task", Err: fmt.Errorf("Task.Status has no %q", status),
				Detail: "set call_status and task_status; valid: " + strings.Join(all, ", "),
			})
		}
	}
	for _, ours := range slices.Sorted(maps.Keys(w.extraFields())) {
		name := w.extraFields()[ours]
		switch missing := len(lacking(d, true, name)) > 0; {
		case !missing && Fields[ours] != name:
			found = append(found, crm.Finding{Subject: "field Task." + name, Detail: "is there"})
		case missing && Fields[ours] != name:
			found = append(found, crm.Finding{Subject: "field Task." + name, Err: errors.New("it is not there, or the user may not edit it"), Detail: "see fields: " + ours})
		case missing:
			found = append(found, crm.Finding{Subject: "field Task." + name, Detail: "is not there: " + ours + " stands in the description only"})
		}
	}
	return found
}

// checkNotes looks whether the org has notes.
func (w *Writer) checkNotes(ctx context.Context) crm.Finding {
	f := crm.Finding{Subject: "notes", Detail: "transcripts become notes of the contact"}
	d, err := w.describe(ctx, "ContentNote")
	switch {
	case err != nil && crm.VerdictOf(err) != crm.Reject:
		f.Err, f.Detail = err, ""
	case err != nil || !may(d.Createable):
		f.Detail = "are switched off (Setup > Notes Settings): transcripts go into the Task's description, cut to what it holds"
	}
	return f
}

func (w *Writer) checkOwner(ctx context.Context) []crm.Finding {
	return w.owners.Check(ctx, w.s.Owner, "there is no active user of this user name or name")
}
