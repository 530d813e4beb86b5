package leadsquared

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// The fields of an activity besides those of its type.
const (
	noteField = "ActivityNote"
	timeField = "ActivityDateTime"
)

// Activity returns the activity. The link to the transcript stands in its note.
func (s schema) Activity(_ context.Context, j *record.Job) (*record.Record, error) {
	at := j.State.(layout) // which Begin has looked up
	values := record.Fields{}
	for ours, v := range record.Extras(&j.Entry.Call, 200) {
		if ours == text.Summary {
			v = text.Line(v, 200)
		}
		if len(v) <= 2000 {
			values.Set(at.fields[ours], v)
		}
	}
	fresh := record.Fields{}
	began, _, _ := record.Span(&j.Entry.Call)
	fresh.Set(timeField, stamp(began))
	return &record.Record{
		Table: activities{s.Writer, at}, Name: "activity", Values: values, New: fresh, Body: record.Body{Field: noteField, Limit: s.cfg.ActivityLimit},
		Optional: slices.Sorted(maps.Keys(values)), Linger: s.linger, // their values stand in the note too
		// A lead gets its name before its first activity, so one that was made just now and had none has no activity either.
		Fresh: j.Contact.Made && nameOf(j.Entry.Call.Contact.Name) != "" && j.Entry.Event != crm.TranscriptReady,
	}, nil
}

// activities are those of a lead, of one type.
type activities struct {
	w      *Writer
	layout layout
}

// lineOf is the last line of every text of ours about the call.
func lineOf(j *record.Job) string { return "VInfer call: " + j.Entry.Call.ID }

// Find looks for the activity of the call.
func (t activities) Find(ctx context.Context, j *record.Job, _ *record.Record) (record.Found, error) {
	r, err := t.find(ctx, j, "")
	if err != nil || r == nil {
		return record.Found{}, err
	}
	held, err := t.fields(ctx, j, r)
	return record.Found{ID: idOf(r), Body: held.Text(noteField), Held: held}, err
}

// Read looks for the activity of an id.
func (t activities) Read(ctx context.Context, j *record.Job, id string) (record.Fields, error) {
	r, err := t.find(ctx, j, id)
	if err == nil && r == nil {
		err = step.ErrGone
	}
	if err != nil {
		return nil, err
	}
	return t.fields(ctx, j, r)
}

// Create makes an activity.
func (t activities) Create(ctx context.Context, j *record.Job, f record.Fields) (string, error) {
	return t.w.api.create(ctx, "ProspectActivity.svc/Create", nil, t.body(j, f, map[string]any{"RelatedProspectId": j.Contact.ID}))
}

// Update changes an activity. Its note goes with that in any case: what is not sent might be emptied.
func (t activities) Update(ctx context.Context, j *record.Job, id string, held, f record.Fields) error {
	switch note, shown := held[noteField]; {
	case !shown && j.Entry.Call.Summary == "": // else nothing that VInfer knows of the call is missing
		t.w.daily.Warn(j.Progress, "hidden notes", "LeadSquared does not show the notes of activities: what is new of a call goes to the fields of its activity only")
		if delete(f, noteField); len(f) == 0 {
			return nil
		}
	case shown && f[noteField] == nil:
		f[noteField] = note
	}
	err := t.w.api.call(ctx, http.MethodPost, "ProspectActivity.svc/CustomActivity/Update", nil, t.body(j, f, map[string]any{"ProspectActivityId": id}), nil)
	if unavailable(err) || crm.VerdictOf(err) == crm.Reject && strings.Contains(exceptionOf(err), "lock") {
		t.w.daily.Warn(j.Progress, "activity update", "activities cannot be changed (%v): what is new of a call is not in its activity", err)
		return nil
	}
	return err
}

// body adds fields to a request, those of the type in a list that begins with the call's id.
func (t activities) body(j *record.Job, f record.Fields, body map[string]any) map[string]any {
	type schemaValue struct {
		SchemaName string
		Value      any
	}
	body["ActivityEvent"] = t.layout.code
	list := []schemaValue{{t.layout.fields[fieldCall], j.Entry.Call.ID}}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if name == noteField || name == timeField {
			body[name] = f[name]
		} else {
			list = append(list, schemaValue{name, f[name]})
		}
	}
	body["Fields"] = list
	return body
}

func idOf(activity row) string { return activity.text("Id", "ID", "ProspectActivityId") }

// fields returns what an activity of the call holds, by the names of its fields; without its note: LeadSquared does not show that. It stands in the
// activity's details where a list does not show it.
func (t activities) fields(ctx context.Context, j *record.Job, activity row) (record.Fields, error) {
	held := record.Fields{}
	each(activity, "", func(name, v string) { held[name] = v })
	delete(held, noteField)
	note, ok := noteIn(j, activity)
	if !ok {
		var whole map[string]any
		err := t.w.api.call(ctx, http.MethodGet, "ProspectActivity.svc/GetActivityDetails", url.Values{"activityId": {idOf(activity)}}, nil, &whole)
		if err != nil && crm.VerdictOf(err) != crm.Reject {
			return nil, err
		}
		note, ok = noteIn(j, whole)
	}
	if ok {
		held[noteField] = note
	}
	return held, nil
}

func noteIn(j *record.Job, activity any) (note string, ok bool) {
	each(activity, "", func(_, v string) {
		if _, is := text.ParseBody(v, j.Entry.Call.ID); is && !ok {
			note, ok = v, true
		}
	})
	return note, ok
}

// mine tells whether an activity is the one of the given id, or, without one, the one of the call.
func (t activities) mine(j *record.Job, r row, id string) (is bool) {
	if code := r.text("EventCode", "ActivityEvent"); code != "" && code != strconv.Itoa(t.layout.code) {
		return false
	}
	if id != "" {
		return strings.EqualFold(idOf(r), id)
	}
	each(r, "", func(_, v string) {
		is = is || v == j.Entry.Call.ID || hasLine(v, lineOf(j))
	})
	return is
}
