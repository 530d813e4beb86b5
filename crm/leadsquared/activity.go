package leadsquared

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// job is one entry on its way to one lead.
type job struct {
	w      *Writer
	e      *crm.Entry
	p      *crm.Progress
	lead   people.Record
	at     layout
	main   bool   // of several leads: it gets the task and the transcript
	suffix string // of the refs, where there are several leads

	bare  bool // the activity is not there: the lead was made just now, or it was looked for
	there row  // the activity, as the look for it has just brought it; nil: not looked for
	fresh bool // the activity was made by this attempt: what comes after it cannot be there yet
}

func (j *job) run(ctx context.Context) error {
	if !j.e.NoActivity {
		if err := j.activity(ctx); err != nil {
			return err
		}
	}
	if !j.main {
		return nil
	}
	if j.e.NoActivity && j.e.Call.TranscriptURL != "" {
		if err := j.note(ctx, "link", text.LinkHead(j.e.Call.ID), func(int) string { return text.Link(&j.e.Call) }); err != nil {
			return err
		}
	}
	if j.e.Task != nil {
		if err := j.task(ctx); err != nil {
			return err
		}
	}
	if !text.HasNote(j.e) {
		return nil
	}
	return j.note(ctx, "note", text.NoteHead(j.e.Call.ID), func(limit int) string { return text.Note(j.e, j.w.s.In, limit) })
}

// line is the last line of every text of ours about the call.
func (j *job) line() string { return "VInfer call: " + j.e.Call.ID }

// activity makes the activity or brings it up to date. The link to the transcript stands in its note.
func (j *job) activity(ctx context.Context) error {
	fields := j.fields()
	s := step.Step{
		Ref: "activity" + j.suffix, Fresh: j.bare, Linger: j.w.linger, Content: []any{text.NewBody(j.e).String(), fields},
		Look: func(ctx context.Context) (string, error) {
			var err error
			j.there, err = j.find(ctx, "")
			return idOf(j.there), err
		},
		Create: func(ctx context.Context) (string, error) {
			id, err := j.createActivity(ctx, fields)
			j.fresh = err == nil
			return id, err
		},
	}
	if j.e.Event != crm.TranscriptReady {
		s.Update = func(ctx context.Context, id string) error { return j.updateActivity(ctx, id, fields) }
	}
	_, err := step.Do(ctx, j.p, s)
	return err
}

// fields returns the values that stand in fields of the activity type besides its note, by schema name.
func (j *job) fields() map[string]string {
	c := &j.e.Call
	out := map[string]string{}
	for ours, v := range map[string]string{
		"disposition": text.Line(c.Disposition, 200), "summary": text.Line(c.Summary, 200), "language": text.Line(c.Language, 100),
		"campaign": text.Line(c.Campaign, 200), "sentiment": text.Line(c.Sentiment, 100), "transcript_url": c.TranscriptURL,
		"duration": seconds(c.Duration), "qa_score": text.Number(c.QAScore),
	} {
		if name := j.at.fields[ours]; name != "" && v != "" && len(v) <= 2000 {
			out[name] = v
		}
	}
	return out
}

func seconds(d *float64) string {
	if d == nil || *d < 0 || *d > 1e7 {
		return ""
	}
	whole := float64(int(*d + 0.5))
	return text.Number(&whole)
}

type schemaValue struct{ SchemaName, Value string }

func (j *job) createActivity(ctx context.Context, fields map[string]string) (id string, err error) {
	body := map[string]any{
		"RelatedProspectId": j.lead.ID, "ActivityEvent": j.at.code, "ActivityNote": text.NewBody(j.e).Within(j.w.cfg.ActivityLimit),
	}
	if at := stamp(j.began()); at != "" {
		body["ActivityDateTime"] = at
	}
	err = j.send(fields, func(fields []schemaValue) error {
		body["Fields"] = append([]schemaValue{{j.at.fields[fieldCall], j.e.Call.ID}}, fields...)
		id, err = j.w.api.create(ctx, "ProspectActivity.svc/Create", nil, body)
		return err
	})
	return id, err
}

// send sends an activity, if need be without those fields that LeadSquared refuses: their values stand in the note too.
func (j *job) send(fields map[string]string, send func([]schemaValue) error) error {
	all := map[string]any{}
	for name, v := range fields {
		all[name] = v
	}
	return j.w.optional.Send(j.p, "activity", all, slices.Sorted(maps.Keys(fields)), nil, func(left map[string]any) error {
		var out []schemaValue
		for _, name := range slices.Sorted(maps.Keys(left)) {
			out = append(out, schemaValue{name, left[name].(string)})
		}
		return send(out)
	})
}

// began returns when the call was dialled; of one that does not say, when it ended.
func (j *job) began() time.Time {
	if t := j.e.Call.StartedAt; !t.IsZero() {
		return t
	}
	return j.e.Call.EndedAt
}

// updateActivity sends what differs from what the activity holds. Its note goes with it in any case: what is not sent might be
// emptied.
func (j *job) updateActivity(ctx context.Context, id string, fields map[string]string) error {
	held := j.there
	if held == nil {
		var err error
		if held, err = j.find(ctx, id); err != nil {
			return err
		}
	}
	if held == nil {
		return step.ErrGone
	}
	old, ok, err := j.noteOf(ctx, held)
	if err != nil {
		return err
	}
	body := map[string]any{"ProspectActivityId": id, "ActivityEvent": j.at.code}
	changed, note := map[string]string{}, ""
	for name, v := range fields {
		if !holds(held, name, v) {
			changed[name] = v
		}
	}
	switch fresh := text.NewBody(j.e); {
	case ok:
		note = fresh.Over(old).Within(j.w.cfg.ActivityLimit)
	case j.e.Call.Summary != "":
		note = fresh.Within(j.w.cfg.ActivityLimit) // nothing that VInfer knows of a call is missing
	default:
		j.w.warn(j.p, "LeadSquared does not show the notes of activities: what is new of a call goes to the fields of its activity only")
	}
	if note == old && len(changed) == 0 {
		return nil
	}
	if note != "" {
		body["ActivityNote"] = note
	}
	err = j.send(changed, func(fields []schemaValue) error {
		body["Fields"] = append([]schemaValue{{j.at.fields[fieldCall], j.e.Call.ID}}, fields...)
		return j.w.api.call(ctx, http.MethodPost, "ProspectActivity.svc/CustomActivity/Update", nil, body, nil)
	})
	if unavailable(err) || crm.VerdictOf(err) == crm.Reject && strings.Contains(refusal(err).exception, "lock") {
		j.w.warn(j.p, "activities cannot be changed (%v): what is new of a call is not in its activity", err)
		return nil
	}
	return err
}

// holds tells whether a record has the value in a field.
func holds(record any, field, value string) (found bool) {
	each(record, "", func(name, v string) { found = found || name == field && v == value })
	return found
}

// held is the activity of an attempt of which the refs know nothing, for the Book.
func (j *job) held(ctx context.Context) (id, says string, there bool, err error) {
	if j.there, err = j.find(ctx, ""); err != nil || j.there == nil {
		return "", "", false, err
	}
	says, _, err = j.noteOf(ctx, j.there)
	return idOf(j.there), says, true, err
}

func idOf(activity row) string { return activity.text("Id", "ID", "ProspectActivityId") }

// noteOf returns the note of an activity of the call, from its details where a list does not show it; false: no more do they.
func (j *job) noteOf(ctx context.Context, activity row) (note string, ok bool, err error) {
	if note, ok = j.noteIn(activity); ok {
		return note, true, nil
	}
	var whole map[string]any
	err = j.w.api.call(ctx, http.MethodGet, "ProspectActivity.svc/GetActivityDetails", url.Values{"activityId": {idOf(activity)}}, nil, &whole)
	if err != nil && crm.VerdictOf(err) != crm.Reject {
		return "", false, err
	}
	note, ok = j.noteIn(whole)
	return note, ok, nil
}

func (j *job) noteIn(record any) (note string, ok bool) {
	each(record, "", func(_, v string) {
		if _, is := text.ParseBody(v, j.e.Call.ID); is && !ok {
			note, ok = v, true
		}
	})
	return note, ok
}

// mine tells whether an activity is the one of the given id, or, without one, the one of the call.
func (j *job) mine(r row, id string) (is bool) {
	if code := r.text("EventCode", "ActivityEvent"); code != "" && code != strconv.Itoa(j.at.code) {
		return false
	}
	if id != "" {
		return strings.EqualFold(idOf(r), id)
	}
	each(r, "", func(_, v string) {
		is = is || v == j.e.Call.ID || hasLine(v, j.line())
	})
	return is
}
