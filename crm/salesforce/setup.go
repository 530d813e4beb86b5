package salesforce

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

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
		w.forget()
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
		return false, crm.Rejected(fmt.Errorf("%s is no name of a custom field: it does not end in __c", name), "POST CustomField")
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
			return rows[0].text("Id"), err
		}
		return "", err
	}
	id, err := w.api.create(ctx, "/sobjects/"+entity, o, nil)
	if err != nil {
		if rows, e := w.api.query(ctx, soql); e == nil && len(rows) > 0 {
			return rows[0].text("Id"), nil
		}
	}
	return id, err
}
