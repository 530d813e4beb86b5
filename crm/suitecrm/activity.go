package suitecrm

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const (
	longTitle = 50     // characters of a call's and a task's name
	longText  = 57_000 // bytes of a summary or a transcript, as stored: a description holds 65,535
	longBody  = 65_000 // characters of a description: more than those, and what stands around them
)

// Activity returns the call. Its length and its times are never changed, as people may have.
func (s schema) Activity(ctx context.Context, j *record.Job) (*record.Record, error) {
	has, err := s.suite.has(ctx, "Calls")
	if err != nil {
		return nil, err
	}
	c := &j.Entry.Call
	values := record.Fields{"name": text.Title(j.Entry, longTitle)}
	values.Set("direction", map[string]string{"outbound": "Outbound", "inbound": "Inbound"}[c.Direction])
	if answered, known := record.Connected(c); known && c.Duration != nil {
		values["status"] = map[bool]string{true: "Held", false: "Not Held"}[answered]
	}
	custom := record.Fields{}
	extras := record.Extras(c, 255)
	extras["call_id"], extras[text.Seconds] = c.ID, text.Number(c.Duration) // exact: Calls have hours and minutes of their own
	for ours, v := range extras {
		if theirs := s.s.Field(ours, Fields[ours]); has[theirs] {
			custom.Set(theirs, v)
		}
	}
	maps.Copy(values, custom)
	start, end, _ := record.Span(c)
	minutes := int(math.Ceil(end.Sub(start).Minutes()))
	fresh := record.Fields{
		"status": "Held", "direction": "Outbound", "date_start": stamp(start), "date_end": stamp(end),
		"duration_hours": digits(minutes / 60), "duration_minutes": digits(minutes % 60),
	}
	if c.Status == "failed" {
		fresh["status"] = "Not Held"
	}
	s.relate(fresh, j)
	// Custom fields are not read: SuiteCRM refuses to read one that somebody has deleted. So they go with every change.
	shown := []string{"name", "description", "status", "direction", "duration_hours", "duration_minutes"}
	return &record.Record{
		Table: calls{module{s.suite, "Calls", "call", shown}}, Name: "Calls", Keyed: true,
		Values: values, New: fresh, Title: "name", Body: record.Body{Field: "description", Limit: longBody, Write: harmlessly},
		Owner: record.Owner{Field: "assigned_user_id"}, Optional: slices.Sorted(maps.Keys(custom)), Same: sameText,
		After: func(ctx context.Context, id string) error { return s.showAtContact(ctx, j, id) },
	}, nil
}

// calls are the module Calls. SuiteCRM works out a call's end whenever one is saved, from the length that is sent with it: see digits.
type calls struct{ module }

// Update sends the length that the call has besides what changes.
func (c calls) Update(ctx context.Context, j *record.Job, id string, held, f record.Fields) error {
	for _, length := range []string{"duration_hours", "duration_minutes"} {
		if n, err := strconv.Atoi(held.Text(length)); err == nil {
			f[length] = digits(n)
		}
	}
	return c.module.Update(ctx, j, id, held, f)
}

// digits writes a part of a call's length. SuiteCRM's versions before 7.14 take 0 for no length at all, so that calls of less than an hour would end as
// they begin. They do not know 00 as that, and store it as 0.
func digits(n int) string { return fmt.Sprintf("%02d", n) }

// showAtContact relates the call to its contact: its parent shows it on a lead, but a contact's history asks for this relation.
func (s schema) showAtContact(ctx context.Context, j *record.Job, id string) error {
	module, contact := j.Target()
	if contact == "" {
		return nil
	}
	_, err := step.Do(ctx, j.Progress, step.Step{Ref: "relation" + j.Suffix, Create: func(ctx context.Context) (string, error) {
		err := s.suite.link(ctx, bean{Type: "Calls", ID: id}, bean{Type: module, ID: contact}, strings.ToLower(module))
		if crm.VerdictOf(err) == crm.Reject {
			j.Progress.Warn("the call is shown at its contact by its parent only: %v", err)
			err = nil
		}
		return contact, err
	}})
	return err
}

// relate makes the contact the parent of a new record.
func (s schema) relate(fresh record.Fields, j *record.Job) {
	module, id := j.Target()
	fresh.Set("parent_type", module)
	fresh.Set("parent_id", id)
}

// stamp writes a time as SuiteCRM takes it: of ISO 8601 it makes nothing, and says 201.
func stamp(t time.Time) string { return t.UTC().Format(time.DateTime) }
