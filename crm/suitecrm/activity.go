package suitecrm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const (
	longTitle = 50     // characters of a call's and a task's name
	longNote  = 255    // and of a note's
	longText  = 57_000 // bytes of a summary or a transcript, as stored: a description holds 65,535
)

// record makes a record once, under an id of its own. changes brings one that is there up to date; nil: it is left as it is.
func (at *place) record(ctx context.Context, ref string, b bean, content any, send func(b bean) error, changes func(ctx context.Context, id string) error) (string, error) {
	s := step.Step{
		Ref: ref, Content: content, Update: changes,
		Create: func(ctx context.Context) (string, error) {
			err := send(b)
			if crm.VerdictOf(err) == crm.Reject && !errors.Is(err, errExists) {
				// Two who make it at once are told different things: it may be there.
				if _, e := at.w.suite.get(ctx, b.Type, b.ID, "name", "deleted"); e == nil {
					err = errExists
				}
			}
			if !errors.Is(err, errExists) {
				return b.ID, err
			}
			// An earlier attempt made it, or somebody has deleted it since: that blocks the id for good.
			if _, err := at.w.suite.get(ctx, b.Type, b.ID, "name", "deleted"); errors.Is(err, step.ErrGone) {
				at.p.Warn("%s %s was deleted in SuiteCRM; it is not made again", b.Type, b.ID)
				return "deleted:" + b.ID, nil
			} else if err != nil {
				return "", err
			}
			if changes == nil {
				return b.ID, nil
			}
			return b.ID, changes(ctx, b.ID)
		},
	}
	id, err := step.Do(ctx, at.p, s)
	if strings.HasPrefix(id, "deleted:") {
		id = ""
	}
	return id, err
}

// update returns the means to change a record, for entries that may.
func (at *place) update(f func(ctx context.Context, id string) error) func(ctx context.Context, id string) error {
	if at.e.Event == crm.TranscriptReady {
		return nil // its call may be older than what stands there
	}
	return f
}

// activity makes the record of the call.
func (at *place) activity(ctx context.Context) error {
	custom, err := at.custom(ctx)
	if err != nil {
		return err
	}
	c := &at.e.Call
	body := text.NewBody(at.e)
	values := map[string]any{"name": text.Title(at.e, longTitle), "status": "Held", "direction": "Outbound"}
	if c.Direction == "inbound" {
		values["direction"] = "Inbound"
	}
	if c.Status == "failed" || c.Duration != nil && *c.Duration == 0 {
		values["status"] = "Not Held"
	}
	maps.Copy(values, custom)
	fresh := maps.Clone(values) // with what is never changed again
	fresh["description"] = body.String()
	start, end := span(c)
	fresh["date_start"], fresh["date_end"] = stamp(start), stamp(end)
	minutes := int(math.Ceil(end.Sub(start).Minutes()))
	fresh["duration_hours"], fresh["duration_minutes"] = digits(minutes/60), digits(minutes%60)
	if at.id != "" {
		fresh["parent_type"], fresh["parent_id"] = at.module, at.id
	}
	if at.contact.Owner != "" {
		fresh["assigned_user_id"] = at.contact.Owner
	}
	b := bean{Type: "Calls", ID: ourID("call", c.ID+at.suffix)}
	send := func(b bean) error {
		return at.send(ctx, b, fresh, custom, func(b bean) error { _, err := at.w.suite.create(ctx, b); return err })
	}
	id, err := at.record(ctx, "activity"+at.suffix, b, []any{values, body.String()}, send, at.update(func(ctx context.Context, id string) error {
		held, err := at.w.suite.get(ctx, "Calls", id, "description", "status", "deleted", "duration_hours", "duration_minutes")
		if err != nil {
			return err
		}
		newer := maps.Clone(values)
		for _, length := range []string{"duration_hours", "duration_minutes"} {
			if n, err := strconv.Atoi(held.text(length)); err == nil {
				newer[length] = digits(n)
			}
		}
		newer["description"] = body.Over(held.plain("description")).String()
		if c.Duration == nil { // nothing is known of what the title and the status say
			delete(newer, "name")
			delete(newer, "status")
		}
		if c.Direction == "" {
			delete(newer, "direction")
		}
		return at.send(ctx, bean{Type: "Calls", ID: id}, newer, custom, func(b bean) error { return at.w.suite.change(ctx, b) })
	}))
	if err != nil || id == "" || at.id == "" {
		return err
	}
	// The parent shows it on the lead; a contact's history asks for this relation.
	_, err = step.Do(ctx, at.p, step.Step{Ref: "relation" + at.suffix, Create: func(ctx context.Context) (string, error) {
		err := at.w.suite.link(ctx, bean{Type: "Calls", ID: id}, bean{Type: at.module, ID: at.id}, strings.ToLower(at.module))
		if crm.VerdictOf(err) == crm.Reject {
			at.p.Warn("the call is shown at its contact by its parent only: %v", err)
			err = nil
		}
		return at.id, err
	}})
	return err
}

// digits writes a part of a call's length. SuiteCRM works out a call's end whenever one is saved, and its versions before 7.14 take 0 for
// no length at all, so that calls of less than an hour would end as they begin. They do not know 00 as that, and store it as 0.
func digits(n int) string { return fmt.Sprintf("%02d", n) }

// send sends a record without the custom fields that SuiteCRM refuses.
func (at *place) send(_ context.Context, b bean, values, custom map[string]any, send func(b bean) error) error {
	return at.w.optional.Send(at.p, b.Type, values, sortedKeys(custom), nil, func(fields map[string]any) error {
		b.Attributes = fields
		return send(b)
	})
}

// custom returns the values of those custom fields that there are.
func (at *place) custom(ctx context.Context) (map[string]any, error) {
	has, err := at.w.suite.has(ctx, "Calls")
	if err != nil {
		return nil, err
	}
	c := &at.e.Call
	known := map[string]string{
		"call_id": c.ID, "disposition": c.Disposition, "duration": text.Number(c.Duration), "language": c.Language, "campaign": c.Campaign,
		"sentiment": c.Sentiment, "qa_score": text.Number(c.QAScore), "transcript_url": c.TranscriptURL,
	}
	values := map[string]any{}
	for ours, v := range known {
		if theirs := at.w.s.Field(ours, Fields[ours]); v != "" && has[theirs] {
			values[theirs] = v
		}
	}
	return values, nil
}

// span returns when the call began and ended; it may be known in parts only.
func span(c *crm.Call) (start, end time.Time) {
	start, end = c.StartedAt, c.EndedAt
	length := time.Duration(0)
	if c.Duration != nil {
		length = time.Duration(max(*c.Duration, 0) * float64(time.Second))
	}
	if end.IsZero() {
		end = start.Add(length)
	}
	if begun := end.Add(-length); start.IsZero() || length > 0 && begun.After(start) {
		start = begun // the talk, without the ringing
	}
	return start, end
}

// stamp writes a time as SuiteCRM takes it: of ISO 8601 it makes nothing, and says 201.
func stamp(t time.Time) string { return t.UTC().Format(time.DateTime) }

// task makes the follow-up, once.
func (at *place) task(ctx context.Context) error {
	t := at.e.Task
	values := map[string]any{
		"name": text.Line(t.Title, longTitle), "date_due": stamp(t.Due),
		"description": text.Line(t.Title, longNote) + "\nFollow-up of the VInfer call " + at.e.Call.ID,
	}
	fresh := maps.Clone(values)
	fresh["status"], fresh["priority"] = "Not Started", "High"
	if at.id != "" {
		fresh["parent_type"], fresh["parent_id"] = at.module, at.id
	}
	named := t.Owner
	if at.contact.Owner == "" {
		named = cmp.Or(t.Owner, at.w.s.Owner)
	}
	owner, err := at.w.owners.Or(ctx, named, at.contact.Owner, at.p)
	if err != nil {
		return err
	}
	if owner != "" {
		fresh["assigned_user_id"] = owner
	}
	b := bean{Type: "Tasks", ID: ourID("task", at.e.Call.ID+at.suffix)}
	send := func(b bean) error {
		b.Attributes = fresh
		_, err := at.w.suite.create(ctx, b)
		return err
	}
	_, err = at.record(ctx, "task"+at.suffix, b, values, send, at.update(func(ctx context.Context, id string) error {
		held, err := at.w.suite.get(ctx, "Tasks", id, "status", "deleted")
		if err != nil || held.text("status") != "Not Started" {
			return err // somebody has taken it up
		}
		return at.w.suite.change(ctx, bean{Type: "Tasks", ID: id, Attributes: values})
	}))
	return err
}

// note makes the note with the transcript.
func (at *place) note(ctx context.Context) error {
	if !text.HasNote(at.e) {
		return nil
	}
	e := *at.e
	transcript := *e.Transcript
	transcript.Text = text.CutBy(text.Clean(transcript.Text), longText, stored)
	e.Transcript = &transcript
	values := map[string]any{"name": text.Line("Transcript of "+text.Spoken(&e, at.w.s.In), longNote), "description": text.Note(&e, at.w.s.In, 65_000)}
	if at.id != "" {
		values["parent_type"], values["parent_id"] = at.module, at.id
		if at.module == "Contacts" {
			values["contact_id"] = at.id
		}
	}
	b := bean{Type: "Notes", ID: ourID("note", e.Call.ID+at.suffix), Attributes: values}
	_, err := at.record(ctx, "note"+at.suffix, b, values["description"], func(b bean) error {
		_, err := at.w.suite.create(ctx, b)
		return err
	}, nil)
	return err
}
