package leadsquared

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Check looks whether the keys are taken and how, and whether the stages, the fields, the activity type, the task type and the owner
// are there.
func (w *Writer) Check(ctx context.Context, statuses []string) []crm.Finding {
	host := w.api.host()
	options, there, err := w.leadField(ctx, w.s.Field(fieldStatus, Fields[fieldStatus]))
	access := record.Access{
		Subject: "key", Unreached: "see region, url, proxy and the firewall",
		Refused: "copy the keys of an active user, and the host, from My Profile > Settings > API and Webhooks",
		Other:   "is region the account's? The host is shown under My Profile > Settings > API and Webhooks",
	}
	if found := access.Check(err); found != nil {
		return found
	}
	how := map[string]string{AuthHeaders: "in headers", AuthQuery: "in the query of every request, where proxies may log them"}[w.api.way()]
	found := []crm.Finding{{Subject: "key", Detail: host + " accepts the keys " + how}}
	found = append(found, record.CheckTLS(w.api.client.Base(), "keys")...)
	found = append(found, w.checkStages(options, there, statuses))
	name := w.doNotCall()
	f := crm.Finding{Subject: "field " + name, Detail: "is there"}
	switch _, there, err := w.leadField(ctx, name); {
	case err != nil:
		f.Err, f.Detail = err, ""
	case !there && w.s.Fields[fieldDoNotCall] != "":
		f.Err, f.Detail = errors.New("there is no such lead field"), "see fields"
	case !there:
		f.Detail = "is not shown: if it is refused, the wish not to be called is only in the call; fields: {do_not_call: …} names another"
	}
	found = append(found, f)
	found = append(found, w.checkType(ctx)...)
	found = append(found, w.checkTaskType(ctx), w.checkSearch(ctx))
	return append(found, w.owners.Check(ctx, w.s.Owner, "there is no user with this email address, or the keys' user may not read users")...)
}

// leadField returns the options of a lead field, and whether there is one.
func (w *Writer) leadField(ctx context.Context, name string) (options []string, there bool, err error) {
	rows, err := w.api.rows(ctx, http.MethodGet, "LeadManagement.svc/LeadsMetaData.Get", url.Values{"schemaName": {name}}, nil)
	for _, r := range rows {
		if r.text("SchemaName") != name {
			continue
		}
		list := r["Options"]
		for _, key := range []string{"OptionsJson", "OptionSet"} {
			if s, _ := r[key].(string); list == nil && s != "" {
				_ = json.Unmarshal([]byte(s), &list) // what is no JSON has no options
			}
		}
		all, _ := list.([]any)
		for _, o := range all {
			switch o := o.(type) {
			case string:
				options = append(options, o)
			case map[string]any:
				if v := row(o).text("Value", "Text"); v != "" {
					options = append(options, v)
				}
			}
		}
		return options, true, nil
	}
	return nil, false, err
}

// explain adds to a refused stage what the account would take.
func (w *Writer) explain(ctx context.Context, err error) error {
	name := w.s.Field(fieldStatus, Fields[fieldStatus])
	if crm.VerdictOf(err) != crm.Reject || !step.InText(err, name) {
		return err
	}
	options, _, e := w.leadField(ctx, name)
	if e != nil || len(options) == 0 {
		return err
	}
	return httpx.Explain(err, name+" takes "+strings.Join(options, ", "))
}

func (w *Writer) checkStages(valid []string, there bool, wanted []string) crm.Finding {
	name := w.s.Field(fieldStatus, Fields[fieldStatus])
	f := crm.Finding{Subject: "lead stages"}
	if !there {
		f.Err, f.Detail = fmt.Errorf("there is no lead field %s", name), "see fields: {status: …}"
		return f
	}
	return record.CheckStatuses("lead stages", name, valid, wanted, w.s.Protect, func(s string) bool { return slices.Contains(valid, s) })
}

func (w *Writer) checkType(ctx context.Context) []crm.Finding {
	f := crm.Finding{Subject: "activity type"}
	at, err := w.findType(ctx)
	switch {
	case err != nil:
		f.Err = err
	case at.code == 0:
		f.Err, f.Detail = fmt.Errorf("there is none that is called %q", w.cfg.Activity), "run vinfer-sync setup, or set activity or activity_code"
	default:
		f.Detail = strings.TrimSpace(fmt.Sprint(at.code, " ", at.name))
	}
	found := []crm.Finding{f}
	if f.Err != nil {
		return found
	}
	call := crm.Finding{Subject: "call id", Detail: "in " + at.fields[fieldCall]}
	if at.fields[fieldCall] == "" {
		call.Err, call.Detail = fmt.Errorf("activity type %d has no field %q", at.code, labels[0].label), "add one of type Text, or set fields: {call_id: mx_Custom_…}"
	}
	found = append(found, call)
	for ours, name := range at.fields {
		if ours == fieldStatus || ours == fieldDoNotCall || at.all == nil {
			continue
		}
		if !slices.ContainsFunc(at.all, func(f field) bool { return f.schema == name }) {
			found = append(found, crm.Finding{Subject: "field " + name, Err: fmt.Errorf("activity type %d has no such field for %s", at.code, ours), Detail: "see fields"})
		}
	}
	return found
}

// checkTaskType looks for the type of follow-ups. One that is missing stops nothing: LeadSquared's default is taken.
func (w *Writer) checkTaskType(ctx context.Context) crm.Finding {
	f := crm.Finding{Subject: "task type", Detail: w.cfg.TaskType}
	rows, err := w.api.rows(ctx, http.MethodGet, "Task.svc/RetrieveTaskType", nil, nil)
	if unavailable(err) {
		f.Detail += ", which could not be looked up"
		return f
	}
	if f.Err = err; err != nil {
		return f
	}
	var names []string
	for _, r := range rows {
		names = append(names, r.text("Name", "TaskTypeName", "TypeName"))
	}
	if !slices.Contains(names, w.cfg.TaskType) {
		f.Detail = fmt.Sprintf("there is none that is called %q; tasks get LeadSquared's default. Set task_type to one of: %s", w.cfg.TaskType, strings.Join(names, ", "))
	}
	return f
}

// checkSearch tries the search by a part of a number, which finds those that were typed with spaces.
func (w *Writer) checkSearch(ctx context.Context) crm.Finding {
	f := crm.Finding{Subject: "search", Detail: "by number, and by parts of one"}
	if _, err := (&leads{w: w}).typed(ctx, phone.Of(crm.Contact{Phone: "+910000000000"}, w.s.Region)); err != nil {
		f.Err = err
	} else if w.narrow.Load() {
		f.Detail = "by number only: leads whose number has spaces may not be found, and on_many knows only the lead with the latest activity"
	}
	return f
}

// Provision makes the activity type, with its fields.
func (w *Writer) Provision(ctx context.Context, dryRun bool) ([]crm.Change, error) {
	at, err := w.findType(ctx)
	if err != nil {
		return nil, err
	}
	if at.code != 0 {
		if at.fields[fieldCall] != "" {
			return nil, nil
		}
		return []crm.Change{{Subject: fmt.Sprintf("field %q of activity type %d", labels[0].label, at.code), Detail: "by hand, as a change by API would replace the type's " +
			"other fields: Settings > Leads > Custom Activities & Scores > Edit > Add Custom Field, type Text; or set fields: {call_id: mx_Custom_…} to a field that is there"}}, nil
	}
	var names []string
	var fields []map[string]any
	for i, l := range labels {
		names = append(names, l.label)
		fields = append(fields, map[string]any{
			"SchemaName": fmt.Sprintf("mx_Custom_%d", i+1), "DisplayName": l.label, "Value": nil, "DataType": "String",
			"IsMandatory": false, "ShowInForm": true, "Sequence": i + 1, "OptionSet": nil,
		})
	}
	change := crm.Change{Subject: fmt.Sprintf("activity type %q", w.cfg.Activity), Detail: "with the fields " + strings.Join(names, ", ")}
	if dryRun {
		return []crm.Change{change}, nil
	}
	err = w.api.call(ctx, http.MethodPost, "ProspectActivity.svc/CreateType", nil, map[string]any{
		"ActivityEventName": w.cfg.Activity, "Score": 0, "Description": "Calls of VInfer's agents, written by vinfer-sync", "Direction": 1,
		"ShowInActivityGrid": 1, "CanDeleteActivity": true, "Fields": fields,
	}, nil)
	// It may be there all the same: the answer was lost, or somebody else was faster.
	at, again := w.findType(ctx)
	switch {
	case again == nil && at.code != 0:
		change.Done, change.Detail = true, fmt.Sprintf("code %d, %s", at.code, change.Detail)
		return []crm.Change{change}, nil
	case err == nil && again == nil:
		err = errors.New("LeadSquared accepted the activity type, but does not show it")
	}
	if v := crm.VerdictOf(err); v == crm.Halt && httpx.StatusOf(err) != http.StatusUnauthorized || v == crm.Reject {
		change.Detail = fmt.Sprintf("by hand, as the API refuses it (%v): Settings > Leads > Custom Activities & Scores > Add, name %s, custom fields of type Text: %s", err, w.cfg.Activity, strings.Join(names, ", "))
		return []crm.Change{change}, nil
	}
	return []crm.Change{change}, errors.Join(err, again)
}
