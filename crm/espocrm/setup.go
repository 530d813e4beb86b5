package espocrm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
)

// Check asks who the API user is, what its role allows, and whether the lead statuses, the fields and the owner are there.
func (w *Writer) Check(ctx context.Context, statuses []string) []crm.Finding {
	host := w.api.host()
	var who struct {
		User object `json:"user"`
		ACL  struct {
			Table                map[string]any `json:"table"`
			AssignmentPermission string         `json:"assignmentPermission"`
		} `json:"acl"`
	}
	access := record.Access{
		Subject: "key", Unreached: "see url, ca_file, proxy and the firewall", Other: "is url the address of an EspoCRM site?",
		Refused: "copy the API key of an active user under Administration > API Users; its authentication must be " + w.method(),
	}
	if found := access.Check(w.api.call(ctx, http.MethodGet, "App/user", nil, nil, nil, &who)); found != nil {
		return found
	}
	name := who.User.Text("userName")
	if who.User.Text("id") == "" {
		return []crm.Finding{{Subject: "key", Err: fmt.Errorf("%s answers, but not as EspoCRM does", host), Detail: access.Other}}
	}
	found := []crm.Finding{{Subject: "key", Detail: fmt.Sprintf("%s accepts user %s, %s, by %s", host, name, who.User.Text("type"), w.method())}}
	found = append(found, record.CheckTLS(w.api.client.Base(), "key")...)
	found = append(found, role(who.ACL.Table, who.User.Text("type"), w.s))
	if who.ACL.AssignmentPermission == "no" && who.User.Text("type") != "admin" {
		found = append(found, crm.Finding{
			Subject: "assignment", Err: errors.New("the API user may assign records to nobody but itself"),
			Detail: "set Assignment Permission of its role to all, or team",
		})
	}
	found = append(found, w.checkStatuses(ctx, statuses))
	if w.statusField(contact) == "" {
		found = append(found, crm.Finding{Subject: "contact status", Detail: "Contacts have none: only Leads get a status; fields: {contact_status: …} names a custom field"})
	}
	found = append(found, w.checkOptions(ctx)...)
	found = append(found, w.checkFields(ctx)...)
	return append(found, w.owners.Check(ctx, w.s.Owner, "there is no such user, or the API user's role may not read users")...)
}

func (w *Writer) method() string {
	if w.hmac {
		return "HMAC"
	}
	return "API key"
}

// needs are the rights that a role must give, by entity type.
var needs = []struct {
	entity  string
	actions []string
}{
	{lead, []string{"create", "read", "edit", "stream"}},
	{contact, []string{"read", "edit", "stream"}},
	{"Call", []string{"create", "read", "edit"}},
	{"Task", []string{"create", "read", "edit"}},
	{"Note", []string{"create"}},
	{"User", []string{"read"}},
}

// role looks whether the API user's rights suffice.
func role(table map[string]any, userType string, s crm.Settings) crm.Finding {
	f := crm.Finding{Subject: "role", Detail: "it may do all that is needed"}
	if userType == "admin" {
		return f
	}
	var lacking []string
	for _, n := range needs {
		rights, listed := table[n.entity].(map[string]any)
		if n.entity == "Note" && !listed {
			continue // not all versions list it: whoever may see a stream may post there
		}
		for _, action := range n.actions {
			if action == "create" && n.entity == lead && s.OnMissing != "" && s.OnMissing != crm.MissingCreate {
				continue
			}
			level, _ := rights[action].(string)
			// A level below "all" is the operator's choice: the others' records are then not seen.
			if level == "" || level == "no" {
				lacking = append(lacking, n.entity+" "+action)
			}
		}
	}
	if len(lacking) > 0 {
		f.Err = errors.New("the role of the API user lacks: " + strings.Join(lacking, ", "))
		f.Detail = "grant it under Administration > Roles"
	}
	return f
}

// options returns the values that a field takes; none: any.
func (w *Writer) options(ctx context.Context, entity, field string) ([]string, error) {
	v, err := w.api.metadata(ctx, "entityDefs."+entity+".fields."+field+".options")
	if err != nil {
		return nil, err
	}
	var out []string
	list, _ := v.([]any)
	for _, o := range list {
		if s, ok := o.(string); ok && s != "" {
			out = append(out, s)
		}
	}
	return out, nil
}

func (w *Writer) checkStatuses(ctx context.Context, mapped []string) crm.Finding {
	field := w.statusField(lead)
	valid, err := w.options(ctx, lead, field)
	if err != nil {
		return crm.Finding{Subject: "lead statuses", Err: err}
	}
	return record.CheckStatuses("lead statuses", "Lead."+field, valid, mapped, w.s.Protect, func(s string) bool { return slices.Contains(valid, s) })
}

// checkOptions looks whether the site still has the values that every Call and Task is given. It says nothing if so.
func (w *Writer) checkOptions(ctx context.Context) (found []crm.Finding) {
	for _, entity := range []string{"Call", "Task"} {
		have, err := w.options(ctx, entity, "status")
		need := map[string][]string{"Call": {"Held", "Not Held"}, "Task": {"Not Started"}}[entity]
		lacking := slices.DeleteFunc(need, func(s string) bool { return slices.Contains(have, s) })
		if err == nil && len(have) > 0 && len(lacking) > 0 {
			err = fmt.Errorf("%s.status has lost %q", entity, lacking)
		}
		if err != nil {
			found = append(found, crm.Finding{Subject: "status of " + entity, Err: err, Detail: "add the option again under Administration > Entity Manager"})
		}
	}
	return found
}

// custom returns the fields that must be there, as "Call.cVinferCallId".
func (w *Writer) custom() []string {
	all := []string{"Call." + w.callField(), "Task." + w.callField(), lead + "." + w.statusField(lead), lead + "." + w.doNotCall()}
	if f := w.statusField(contact); f != "" {
		all = append(all, contact+"."+f)
	}
	for _, ours := range slices.Sorted(maps.Keys(w.s.Fields)) {
		if Fields[ours] == "" && ours != fieldContactStatus {
			all = append(all, "Call."+w.s.Fields[ours])
		}
	}
	return all
}

func (w *Writer) checkFields(ctx context.Context) (found []crm.Finding) {
	for _, name := range w.custom() {
		f := crm.Finding{Subject: "field " + name, Detail: "is there"}
		def, err := w.define(ctx, name)
		switch {
		case err != nil:
			f.Err, f.Detail = err, ""
		case def == nil:
			f.Err, f.Detail = errors.New("it is not there: what is written to it would be dropped without a word"), "run vinfer-sync setup, or see fields"
		}
		found = append(found, f)
	}
	return found
}

// define returns the definition of a field named as "Call.cVinferCallId"; nil: there is none.
func (w *Writer) define(ctx context.Context, name string) (any, error) {
	entity, field, _ := strings.Cut(name, ".")
	return w.api.metadata(ctx, "entityDefs."+entity+".fields."+field)
}

// Provision makes the custom fields that keep the call's id on Call and Task, and has the site rebuild its tables.
func (w *Writer) Provision(ctx context.Context, dryRun bool) ([]crm.Change, error) {
	var changes []crm.Change
	made := false
	for _, entity := range []string{"Call", "Task"} {
		name := entity + "." + w.callField()
		def, err := w.define(ctx, name)
		if err != nil {
			return changes, err
		}
		if def != nil {
			continue
		}
		base, able := baseName(w.callField())
		change := crm.Change{Subject: "field " + name, Detail: fmt.Sprintf("varchar of 100 characters, label %q", label)}
		switch {
		case !able:
			change.Detail = fmt.Sprintf("make a field of type Varchar on %s by hand under Administration > Entity Manager; custom fields begin with c and a capital letter", entity)
		case w.admin == nil:
			change.Detail = fmt.Sprintf("an API user cannot make fields: set admin_user and admin_password and run setup again, or as an administrator: "+
				"Administration > Entity Manager > %s > Fields > Add Field > Varchar, name %s, label %q, max length 100, save; then Administration > Rebuild", entity, base, label)
		case !dryRun:
			body := object{"type": "varchar", "name": base, "label": label, "maxLength": 100, "required": false, "audited": false}
			if err := w.admin.call(ctx, http.MethodPost, "Admin/fieldManager/"+entity, nil, body, nil, nil); err != nil {
				// It may be there all the same: the answer was lost, or somebody else was faster.
				if def, again := w.define(ctx, name); again != nil || def == nil {
					return append(changes, change), err
				}
			}
			change.Done, made = true, true
		}
		changes = append(changes, change)
	}
	if made {
		err := w.admin.call(ctx, http.MethodPost, "Admin/rebuild", nil, object{}, nil, nil)
		return append(changes, crm.Change{Subject: "rebuild", Done: err == nil, Detail: "the site's tables"}), err
	}
	return changes, nil
}

const label = "VInfer call ID"

// baseName returns the name to make a custom field by: EspoCRM puts a c in front of it.
func baseName(attribute string) (string, bool) {
	rest, ok := strings.CutPrefix(attribute, "c")
	if !ok || rest == "" || !unicode.IsUpper(rune(rest[0])) {
		return "", false
	}
	return strings.ToLower(rest[:1]) + rest[1:], true
}
