package freshsales

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
)

var access = record.Access{
	Subject: "key", Unreached: "see url", Refused: "copy the API key from Profile settings > API settings of a user who may create contacts, activities, tasks and notes",
	Other: "is url that of Freshsales Suite, as https://NAME.myfreshworks.com?",
}

// Check asks for the account's users, its lead statuses, the type of sales activities, and which fields of contacts are required.
func (w *Writer) Check(ctx context.Context, statuses []string) []crm.Finding {
	w.choices.Forget()
	users, err := w.choose(ctx, owners)
	if found := access.Check(err); found != nil {
		return found
	}
	base := w.api.client.Base()
	found := append([]crm.Finding{{Subject: "key", Detail: fmt.Sprintf("%d users at %s", len(users), base.Host)}}, record.CheckTLS(base, "key")...)
	found = append(found, w.checkStatuses(ctx, statuses), w.checkType(ctx), w.checkRequired(ctx), w.checkField(ctx))
	found = append(found, w.owners.Check(ctx, w.s.Owner, fmt.Sprintf("there is no active user %q: give an email address", w.s.Owner))...)
	return append(found, crm.Finding{
		Subject: "requests an hour", Detail: fmt.Sprintf("per_hour: %d; a call takes about six, so some %d calls an hour", w.api.quota.most, w.api.quota.most/6),
	})
}

func (w *Writer) checkStatuses(ctx context.Context, mapped []string) crm.Finding {
	all, err := w.statuses(ctx)
	if err != nil {
		return crm.Finding{Subject: "lead statuses", Err: err}
	}
	if len(all) == 0 {
		return crm.Finding{Subject: "lead statuses", Err: fmt.Errorf("this key is shown no values of %s", w.statusField())}
	}
	var valid []string
	for _, c := range all {
		valid = append(valid, c.name)
	}
	return record.CheckStatuses("lead statuses", w.statusField(), valid, mapped, w.s.Protect, func(s string) bool { return find(all, s) != nil })
}

func (w *Writer) checkType(ctx context.Context) crm.Finding {
	id, err := w.activityType(ctx)
	return crm.Finding{Subject: "sales activity type", Err: err, Detail: id}
}

// checkRequired looks for fields that a contact needs and that no call has: Freshsales refuses every new contact without them.
func (w *Writer) checkRequired(ctx context.Context) crm.Finding {
	f := crm.Finding{Subject: "required fields", Detail: "none that a call does not have"}
	rows, err := w.api.rows(ctx, root+"settings/contacts/fields", "fields", nil)
	if f.Err = err; err != nil {
		if crm.VerdictOf(err) == crm.Reject {
			f.Err, f.Detail = nil, "this key may not look; where a contact needs more than a name and a number, new ones are refused"
		}
		return f
	}
	var needed []string
	sent := []string{"first_name", "last_name", mobile, "owner_id", w.statusField(), lifecycleStage}
	for _, row := range rows {
		if name := row.Text("name"); row["required"] == true && !slices.Contains(sent, name) {
			needed = append(needed, name)
		}
	}
	if len(needed) > 0 {
		f.Err, f.Detail = errors.New("a new contact needs "+strings.Join(needed, ", ")), "make them optional under Admin settings > Contacts, or set on_missing: skip"
	}
	return f
}

func (w *Writer) checkField(ctx context.Context) crm.Finding {
	name := w.s.Field(fieldCallID, Fields[fieldCallID])
	w.custom.Forget()
	has, err := w.fields(ctx)
	f := crm.Finding{Subject: "field " + name, Err: err, Detail: "is there"}
	if err == nil && !has[name] {
		f.Detail = "is not there: a call is recognised by the last line of its notes; vinfer-sync setup says how to create it"
	}
	return f
}

// Provision says how to create the custom field for the call's id: the API creates none.
func (w *Writer) Provision(ctx context.Context, _ bool) ([]crm.Change, error) {
	w.custom.Forget()
	name := w.s.Field(fieldCallID, Fields[fieldCallID])
	has, err := w.fields(ctx)
	if err != nil || has[name] {
		return nil, err
	}
	return []crm.Change{{
		Subject: "field " + name + " of sales activities", Optional: true,
		Detail: "create it by hand if you want it: Admin settings > Activities > Custom sales activities > Add field: text, named as its internal name " + name + " without cf_",
	}}, nil
}
