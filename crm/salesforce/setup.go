package salesforce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
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
	found = append(found, record.CheckTLS(w.api.client.Base(), "key")...)
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
	return append(append(found, w.checkNotes(ctx)), w.owners.Check(ctx, w.s.Owner, "there is no active user of this user name or name")...)
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
	valid := d.values(w.statusField(name))
	return record.CheckStatuses(strings.ToLower(name)+" statuses", name+"."+w.statusField(name), valid, wanted, w.s.Protect,
		func(s string) bool { return slices.Contains(valid, s) })
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
		key.Detail = "exists, but is not an external id: a look comes before each create, which takes one more request a call"
	case !def.Unique:
		key.Detail = "is an external id, but not unique: without View All Data a look comes before each create"
	default:
		key.Detail = "is an external id: Tasks are upserted by it"
	}
	found = append(found, key)
	for _, status := range []string{cmp.Or(w.cfg.CallStatus, "Completed"), cmp.Or(w.cfg.TaskStatus, "Not Started")} {
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
			found = append(found, crm.Finding{Subject: "field Task." + name, Detail: "is not there: " + ours + " is in the description only"})
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

// permissionSet is the name of what gives the user the fields: custom fields are invisible to all until somebody does.
const permissionSet = "VInfer_Sync"

// custom are the fields that Provision makes, with the forms that are tried one after the other. They are Activity's, and so Task's.
func (w *Writer) custom() []struct {
	name  string
	forms []object
} {
	key := func(external, unique bool) object {
		m := object{"type": "Text", "length": 120, "label": "VInfer key", "description": "Id of the VInfer call, by which vinfer-sync finds its Tasks", "externalId": external}
		if unique {
			m["unique"], m["caseSensitive"] = true, true
		}
		return m
	}
	return []struct {
		name  string
		forms []object
	}{
		{w.callField(), []object{key(true, true), key(true, false), key(false, false)}},
		{w.s.Field(fieldStarted, Fields[fieldStarted]), []object{{"type": "DateTime", "label": "VInfer call started at", "description": "When the call began; Due Date has no time of day"}}},
	}
}

// Provision makes the custom fields of Activity, a permission set that shows them, and gives that to the user who writes.
func (w *Writer) Provision(ctx context.Context, dryRun bool) ([]crm.Change, error) {
	tasks, err := w.describe(ctx, "Task")
	if err != nil {
		return nil, err
	}
	var changes []crm.Change
	var lack []string
	for _, c := range w.custom() {
		if f := tasks.field(c.name); f != nil && may(f.Updateable) {
			continue
		}
		lack = append(lack, c.name)
		change := crm.Change{Subject: "field Activity." + c.name, Detail: fmt.Sprint(c.forms[0]["type"], ", label ", c.forms[0]["label"])}
		if !dryRun {
			made, err := w.makeField(ctx, c.name, c.forms)
			if err != nil {
				return append(changes, byHand(change, err)), afterRefusal(err)
			}
			if !made {
				continue // it is there; the user does not see it
			}
			change.Done = true
		}
		changes = append(changes, change)
	}
	if len(lack) == 0 {
		return nil, nil
	}
	change := crm.Change{Subject: "permission set " + permissionSet, Detail: "shows the user who writes: " + strings.Join(lack, ", ")}
	if !dryRun {
		if err := w.permit(ctx, lack); err != nil {
			return append(changes, byHand(change, err)), afterRefusal(err)
		}
		change.Done = true
		w.tasks.Forget()
	}
	return append(changes, change), nil
}

// byHand says what an administrator is to do where the org does not let the user.
func byHand(c crm.Change, err error) crm.Change {
	c.Detail = "deploy contrib/salesforce (sf project deploy start --metadata-dir contrib/salesforce) and assign the permission set " + permissionSet +
		" to the user, as an administrator; or make it in Setup > Object Manager > Activity: " + c.Detail + ". The org says: " + err.Error()
	return c
}

// afterRefusal tells apart what an administrator has to do by hand from what is wrong with the access as such.
func afterRefusal(err error) error {
	if has(err, "INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS_OR_READONLY", "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "INVALID_TYPE", "NOT_FOUND", "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY") ||
		crm.VerdictOf(err) == crm.Reject {
		return nil
	}
	return err
}

// makeField makes a field of Activity in the first of the forms that the org takes; false: it was there.
func (w *Writer) makeField(ctx context.Context, name string, forms []object) (bool, error) {
	short, custom := strings.CutSuffix(name, "__c")
	if !custom {
		return false, crm.Rejected(fmt.Errorf("%s is not the name of a custom field: it does not end in __c", name), "POST CustomField")
	}
	there := func() bool {
		var p page
		soql := "SELECT Id FROM CustomField WHERE TableEnumOrId = 'Activity' AND DeveloperName = " + quote(short)
		err := w.api.call(ctx, http.MethodGet, "/tooling/query", url.Values{"q": {soql}}, nil, nil, &p)
		return err == nil && p.Records != nil && len(*p.Records) > 0
	}
	if there() {
		return false, nil
	}
	var last error
	for _, form := range forms {
		_, err := w.api.create(ctx, "/tooling/sobjects/CustomField", object{"FullName": "Activity." + name, "Metadata": form}, nil)
		switch {
		case err == nil:
			return true, nil
		case has(err, "DUPLICATE_DEVELOPER_NAME"), there(): // the answer was lost, or somebody else was faster
			return true, nil
		case crm.VerdictOf(err) != crm.Reject:
			return false, err
		}
		last = err
	}
	return false, last
}

// permit shows fields of Task to the user who writes.
func (w *Writer) permit(ctx context.Context, fields []string) error {
	set, err := w.ensure(ctx, "PermissionSet", "Name = "+quote(permissionSet), object{"Name": permissionSet, "Label": "VInfer sync", "Description": "Fields of the calls that vinfer-sync writes"})
	if err != nil {
		return err
	}
	for _, f := range fields {
		where := "ParentId = " + quote(set) + " AND SobjectType = 'Task' AND Field = " + quote("Task."+f)
		if _, err := w.ensure(ctx, "FieldPermissions", where, object{"ParentId": set, "SobjectType": "Task", "Field": "Task." + f, "PermissionsRead": true, "PermissionsEdit": true}); err != nil {
			return err
		}
	}
	w.api.mu.Lock()
	user := w.api.user
	w.api.mu.Unlock()
	if !recordID.MatchString(user) {
		return crm.Rejected(errors.New("the token does not say who the user is: assign the permission set by hand"), "POST PermissionSetAssignment")
	}
	_, err = w.ensure(ctx, "PermissionSetAssignment", "AssigneeId = "+quote(user)+" AND PermissionSetId = "+quote(set), object{"AssigneeId": user, "PermissionSetId": set})
	return err
}

// ensure returns the id of a record, which is made if it is not there.
func (w *Writer) ensure(ctx context.Context, entity, where string, o object) (string, error) {
	soql := "SELECT Id FROM " + entity + " WHERE " + where
	rows, err := w.api.query(ctx, soql)
	if err != nil || len(rows) > 0 {
		if len(rows) > 0 {
			return rows[0].Text("Id"), err
		}
		return "", err
	}
	id, err := w.api.create(ctx, "/sobjects/"+entity, o, nil)
	if err != nil {
		if rows, e := w.api.query(ctx, soql); e == nil && len(rows) > 0 {
			return rows[0].Text("Id"), nil
		}
	}
	return id, err
}
