package odoo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// expiresSoon is how long before its end an API key is warned of.
const expiresSoon = 14 * 24 * time.Hour

// Check looks whether the key works, what its user may do, whether the mapping's statuses are stages, and whether setup has been run.
func (w *Writer) Check(ctx context.Context, statuses []string) []crm.Finding {
	var user struct {
		ID int64 `json:"uid"`
	}
	if err := w.odoo.call(ctx, "res.users", "context_get", nil, named{}, &user); err != nil {
		return []crm.Finding{{Subject: "connection", Err: err, Detail: w.odoo.client.Base().Host}}
	}
	api := "JSON-RPC"
	if w.odoo.json2 {
		api = "/json/2"
	}
	found := []crm.Finding{{Subject: "connection", Detail: fmt.Sprintf("Odoo %d at %s, over %s", w.odoo.majorVersion(), w.odoo.client.Base().Host, api)}}
	found = append(found, record.CheckTLS(w.odoo.client.Base(), "key")...)
	found = append(found, w.checkRights(ctx)...)
	found = append(found, w.checkKey(ctx, user.ID)...)
	found = append(found, w.checkMail(ctx)...)
	for _, status := range statuses {
		if _, err := w.stage(ctx, status); err != nil {
			found = append(found, crm.Finding{Subject: "lead status " + status, Err: err, Detail: "change the mapping, or make the stage in Odoo: CRM > Configuration > Stages"})
		}
	}
	found = append(found, w.owners.Check(ctx, w.s.Owner, fmt.Sprintf("Odoo has no active user with the login %q", w.s.Owner))...)
	return append(found, w.checkField(ctx))
}

// checkRights looks whether the key's user may do what a write does.
func (w *Writer) checkRights(ctx context.Context) (found []crm.Finding) {
	for _, x := range []struct{ model, operation string }{{leads, "create"}, {leads, "write"}, {"mail.activity", "create"}, {partners, "read"}} {
		method, ids, args := "has_access", []int64{}, named{"operation": x.operation}
		if w.odoo.majorVersion() < 18 {
			method, ids, args = "check_access_rights", nil, named{"operation": x.operation, "raise_exception": false}
		}
		var may bool
		err := w.odoo.call(ctx, x.model, method, ids, args, &may)
		switch subject := "may " + x.operation + " " + x.model; {
		case err != nil:
			found = append(found, crm.Finding{Subject: subject, Err: err})
		case !may:
			found = append(found, crm.Finding{
				Subject: subject, Err: errors.New("the API key's user may not do it"),
				Detail: "give the user the role Sales / User: All Documents",
			})
		}
	}
	if len(found) == 0 {
		found = append(found, crm.Finding{Subject: "rights", Detail: "leads, activities and contacts"})
	}
	return found
}

// checkKey tells when the user's keys expire. Which of them is ours nobody can tell, and older versions have no such date.
func (w *Writer) checkKey(ctx context.Context, user int64) []crm.Finding {
	rows, err := w.odoo.find(ctx, "res.users.apikeys", []any{[]any{"user_id", "=", user}}, []string{"name", "expiration_date"}, enough)
	if err != nil {
		return nil // before version 18, or not to be seen by the user
	}
	var found []crm.Finding
	for _, r := range rows {
		until := record.When(r.text("expiration_date"))
		switch left := time.Until(until); {
		case until.IsZero():
		case left < 0:
			found = append(found, crm.Finding{Subject: "key " + r.text("name"), Detail: "expired on " + until.Format(time.DateOnly) + "; another one is in use, or it would not have been accepted"})
		case left < expiresSoon:
			found = append(found, crm.Finding{
				Subject: "key " + r.text("name"), Err: fmt.Errorf("it expires on %s", until.Format(time.DateOnly)),
				Detail: "make a new one in Odoo, Preferences > Account Security, and put it into api_key; if this one is not in use, delete it there",
			})
		default:
			found = append(found, crm.Finding{Subject: "key " + r.text("name"), Detail: "valid until " + until.Format(time.DateOnly)})
		}
	}
	return found
}

// checkMail looks whether the key's user has a mail address, where Odoo wants one.
func (w *Writer) checkMail(ctx context.Context) []crm.Finding {
	if w.odoo.majorVersion() >= 19 {
		return nil
	}
	rows, err := w.odoo.find(ctx, "res.users", []any{[]any{"id", "=", w.odoo.uid}}, []string{"email"}, 1)
	if err == nil && len(rows) == 1 && rows[0].text("email") == "" {
		err = errors.New("the API key's user has no email address, without which Odoo writes nothing into a chatter")
	}
	if err == nil {
		return nil
	}
	return []crm.Finding{{Subject: "sender", Err: err, Detail: mailAdvice}}
}

func (w *Writer) checkField(ctx context.Context) crm.Finding {
	own := w.s.Field("call_id", Fields["call_id"])
	f := crm.Finding{Subject: "field mail.activity." + own, Detail: "calls are recognised by it"}
	has, err := w.odoo.fields(ctx, "mail.activity", own)
	switch {
	case err != nil:
		f.Err = err
	case !has[own]:
		f.Err, f.Detail = errors.New("it is not there"), "run vinfer-sync setup, with a key of a user who may change the settings; until then calls are recognised by the id in their text"
	}
	return f
}

// Find tells which lead or partner a call would be written to.
func (w *Writer) Find(ctx context.Context, c crm.Contact) (crm.Match, error) {
	return w.book.Find(ctx, contacts{w, crm.NewProgress(nil, nil)}, c)
}

// Provision makes the field for the call's id. It takes a key of a user who may change the settings.
func (w *Writer) Provision(ctx context.Context, dryRun bool) ([]crm.Change, error) {
	own := w.s.Field("call_id", Fields["call_id"])
	w.odoo.known.Forget()
	has, err := w.odoo.fields(ctx, "mail.activity", own)
	if err != nil || has[own] {
		return nil, err
	}
	change := crm.Change{Subject: "field mail.activity." + own, Detail: "VInfer's id of a call, a text with an index"}
	if !strings.HasPrefix(own, "x_") {
		change.Detail = "fields made by API begin with x_: rename it in fields, or make it in a module of your own"
		return []crm.Change{change}, nil
	}
	rows, err := w.odoo.find(ctx, "ir.model", []any{[]any{"model", "=", "mail.activity"}}, []string{"model"}, 1)
	switch {
	case httpx.RefusedBy(err).Code == accessError:
		change.Detail = "the API key's user may not make fields. As an administrator: Settings > Technical > Database Structure > Fields > New: name " +
			own + ", model Activity (mail.activity), type char, indexed; or run setup once with an administrator's key"
		return []crm.Change{change}, nil
	case err != nil:
		return nil, err
	case len(rows) == 0:
		return nil, crm.Rejected(errors.New("odoo has no model mail.activity: is the app CRM installed?"), "ir.model")
	}
	if dryRun {
		return []crm.Change{change}, nil
	}
	values := named{"model_id": rows[0].id(), "name": own, "ttype": "char", "field_description": "VInfer call ID", "state": "manual", "index": true, "copied": false}
	if err := w.odoo.call(ctx, "ir.model.fields", "create", nil, named{"vals_list": []any{values}}, nil); err != nil {
		return nil, fmt.Errorf("cannot make the field: %w", err)
	}
	w.odoo.known.Forget()
	change.Done = true
	return []crm.Change{change}, nil
}
