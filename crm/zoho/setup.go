package zoho

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Check looks whether the client works, may read the modules, what the pick lists take, and which custom fields there are.
func (w *Writer) Check(ctx context.Context, statuses []string) []crm.Finding {
	host := w.api.host()
	if _, err := w.api.tokens.Token(ctx); err != nil {
		if found := people.CheckLimit(err); found != nil {
			return found
		}
		return []crm.Finding{{Subject: "connection", Err: err, Detail: w.api.mint.client.Base().Host}}
	}
	w.api.forget()
	found := []crm.Finding{{Subject: "connection", Detail: "API v8 at " + host}}
	plain := record.CheckTLS(w.api.client.Base(), "secrets")
	if plain == nil {
		plain = record.CheckTLS(w.api.mint.client.Base(), "secrets")
	}
	found = append(found, plain...)
	for _, name := range []string{leads, contactModule, "Calls", "Tasks"} {
		m, err := w.api.module(ctx, name)
		if err == nil && m.silent {
			err = fmt.Errorf("%s tells no fields of %s", host, name)
		}
		if err != nil {
			found = append(found, crm.Finding{Subject: "module " + name, Err: err, Detail: "the scopes ZohoCRM.settings.fields.READ and ZohoCRM.modules.ALL, and a profile that shows the module"})
		}
	}
	found = append(found, w.checkStatuses(ctx, statuses), w.checkQueries(ctx))
	found = append(found, w.owners.Check(ctx, w.s.Owner, "there is no active user of this address or name")...)
	return append(found, w.checkFields(ctx), w.checkKey(ctx))
}

func (w *Writer) checkStatuses(ctx context.Context, wanted []string) crm.Finding {
	f := crm.Finding{Subject: "lead statuses"}
	m, err := w.api.module(ctx, leads)
	if err != nil {
		f.Err = err
		return f
	}
	if !m.has(w.status()) {
		f.Err = fmt.Errorf("there is no field Leads.%s", w.status())
		return f
	}
	list := m.fields[w.status()]
	return record.CheckStatuses("lead statuses", w.status(), list.values(), wanted, w.s.Protect, list.takes)
}

// checkQueries looks whether the database may be asked. Without it the writer asks the search, which lags.
func (w *Writer) checkQueries(ctx context.Context) crm.Finding {
	f := crm.Finding{Subject: "queries", Detail: "COQL works: new leads and calls are found at once"}
	for _, name := range []string{leads, contactModule, "Calls", "Tasks"} {
		m, err := w.api.module(ctx, name)
		if err != nil {
			f.Err, f.Detail = err, ""
			return f
		}
		statement := "select id from " + name + " where id is not null limit 1"
		if name == leads || name == contactModule {
			statement = w.byNumber(name, m, []string{quote("0")})
		}
		able, err := w.api.canQuery(ctx, name, statement)
		if err == nil && !able {
			f.Detail = "COQL is refused on " + name + ": calls go through with more requests: grant ZohoCRM.coql.READ"
			return f
		}
		if err != nil {
			f.Err, f.Detail = err, ""
			return f
		}
	}
	return f
}

// checkKey tells how a repeated call is recognised here.
func (w *Writer) checkKey(ctx context.Context) crm.Finding {
	f := crm.Finding{Subject: "repeats"}
	m, err := w.api.module(ctx, "Calls")
	key := m.fields[w.callField()]
	switch {
	case err != nil:
		f.Err = err
	case key.external():
		f.Detail = "by the external field " + w.callField()
	case key.unique():
		f.Detail = "by the unique field " + w.callField()
	case m.has(w.callField()):
		f.Detail = w.callField() + " is not unique: it is asked for before every call, a request more; tick Do not allow duplicate values if your edition has it for Calls"
	default:
		f.Detail = "by the id in the description: run vinfer-sync setup"
	}
	return f
}

func (w *Writer) checkFields(ctx context.Context) crm.Finding {
	lacking, err := w.lacking(ctx)
	f := crm.Finding{Subject: "custom fields", Err: err, Detail: "all there"}
	if len(lacking) > 0 {
		var names, needed []string
		for _, l := range lacking {
			names = append(names, l.module+"."+l.name)
			if !l.optional {
				needed = append(needed, l.module+"."+l.name)
			}
		}
		f.Detail = "not there, so what belongs into them is in the description only: " + strings.Join(names, ", ") + "; vinfer-sync setup makes them"
		if len(needed) > 0 {
			f.Err = errors.New("not there: " + strings.Join(needed, ", "))
		}
	}
	return f
}

// wanted is a custom field to be made.
type wanted struct {
	ours, name, module, kind string
	optional                 bool // what belongs into it stands in the description too
}

// lacking lists the custom fields that nobody has made.
func (w *Writer) lacking(ctx context.Context) (out []wanted, err error) {
	all := []wanted{{ours: "call_id", module: "Calls", kind: "text"}, {ours: "call_id", module: "Tasks", kind: "text"}}
	for _, ours := range []string{"disposition", "language", "campaign", "sentiment", "qa_score", "transcript_url"} {
		kind := "text"
		if ours == "qa_score" {
			kind = "double"
		}
		all = append(all, wanted{ours: ours, module: "Calls", kind: kind, optional: w.s.Fields[ours] == ""})
	}
	all = append(all, wanted{ours: "do_not_call", module: leads, kind: "boolean"}, wanted{ours: "do_not_call", module: contactModule, kind: "boolean"})
	for _, f := range all {
		m, err := w.api.module(ctx, f.module)
		if err != nil {
			return nil, err
		}
		f.name = w.s.Field(f.ours, Fields[f.ours])
		if _, there := m.fields[f.name]; !there {
			out = append(out, f)
		}
	}
	return out, nil
}

// Provision makes the custom fields, the call's id as a unique one where the organisation takes that. What it refuses is told as a
// step to take by hand.
func (w *Writer) Provision(ctx context.Context, dryRun bool) ([]crm.Change, error) {
	w.api.forget()
	lacking, err := w.lacking(ctx)
	if err != nil {
		return nil, err
	}
	var changes []crm.Change
	for _, f := range lacking {
		change := crm.Change{Subject: "field " + f.module + "." + f.name, Detail: f.kind, Optional: f.optional}
		if f.ours == "call_id" {
			change.Detail = "text, unique where the organisation takes that"
		}
		if !strings.HasSuffix(f.name, "__c") && !dryRun {
			change, err = w.makeField(ctx, f, change)
			if err != nil {
				return append(changes, change), err
			}
		}
		changes = append(changes, change)
	}
	w.api.forget()
	return changes, nil
}

func (w *Writer) makeField(ctx context.Context, f wanted, change crm.Change) (crm.Change, error) {
	spec := map[string]any{"field_label": strings.ReplaceAll(f.name, "_", " "), "data_type": f.kind}
	if f.kind == "text" {
		spec["length"] = longValue
	}
	plain := f.ours != "call_id"
	if !plain {
		spec["unique"] = map[string]any{"casesensitive": true}
	}
	err := w.postField(ctx, f, spec)
	if !plain && crm.VerdictOf(err) == crm.Reject && codeOf(err) != duplicate {
		delete(spec, "unique")
		change.Detail = "text, not unique: " + err.Error()
		err = w.postField(ctx, f, spec)
	}
	if err != nil {
		// It may be there all the same: the answer was lost, or somebody else was faster.
		w.api.forget()
		if m, again := w.api.module(ctx, f.module); again == nil && !m.silent && m.has(f.name) {
			err = nil
		}
	}
	switch v := crm.VerdictOf(err); {
	case err == nil:
		change.Done = true
	case v == crm.Reject || v == crm.Halt && codeOf(err) != "":
		change.Detail = fmt.Sprintf("Zoho refuses to make it (%v): grant ZohoCRM.settings.fields.CREATE and an administrator's profile, or make it by hand: "+
			"Setup > Customization > Modules and Fields > %s > layout > new field of type %s, label %q", err, f.module, f.kind, strings.ReplaceAll(f.name, "_", " "))
		err = nil
	}
	return change, err
}

func (w *Writer) postField(ctx context.Context, f wanted, spec map[string]any) error {
	var out struct {
		Fields []verdict `json:"fields"`
	}
	shape := "POST field of " + f.module
	err := w.api.do(ctx, httpx.Request{
		Method: http.MethodPost, Path: "/settings/fields", Query: url.Values{"module": {f.module}}, Body: map[string]any{"fields": []any{spec}}, Shape: shape,
	}, &out)
	if err == nil && len(out.Fields) > 0 && (out.Fields[0].Status == "error" || out.Fields[0].Code != success) {
		err = judge(accepted, w.api.host(), shape, out.Fields[0])
	}
	return err
}
