package hubspot

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// bodies are the properties that hold our words, by type.
var bodies = map[string]string{calls: "hs_call_body", notes: "hs_note_body", tasks: "hs_task_body"}

// isCall tells whether a text is the one of the entry's call.
func (j *job) isCall(s string) bool {
	_, ours := text.ParseBody(s, j.e.Call.ID)
	return ours
}

// look returns the id of the record that an earlier attempt made; empty: there is none.
func (j *job) look(ctx context.Context, kind, key string, at time.Time, ours func(plain string) bool) (string, error) {
	o, err := j.find(ctx, kind, key, at, ours)
	if o == nil {
		return "", err
	}
	return string(o.ID), err
}

// held is the call of an attempt of which the refs know nothing, for the Book.
func (j *job) held(ctx context.Context) (id, says string, there bool, err error) {
	o, err := j.find(ctx, calls, j.e.Call.ID, cmp.Or(began(&j.e.Call), j.e.Call.EndedAt), j.isCall)
	if o == nil {
		return "", "", false, err
	}
	return string(o.ID), text.Plain(o.text(bodies[calls])), true, err
}

// find returns the record that an earlier attempt made, with its body: by our key where its values are unique, else among the contact's
// records of this type, by the key or by our words. nil: there is none. at is its hs_timestamp, where that is known.
func (j *job) find(ctx context.Context, kind, key string, at time.Time, ours func(plain string) bool) (*object, error) {
	property, unique, err := j.w.key(ctx, kind)
	if err != nil {
		return nil, err
	}
	if unique {
		o, err := j.w.api.read(ctx, kind, key, property, []string{property, bodies[kind]})
		if statusOf(err) != http.StatusBadRequest {
			return o, err
		}
		j.w.distrust(kind, property)
	}
	properties := []string{bodies[kind]}
	if property != "" {
		properties = append(properties, property)
	}
	mine := func(o object) bool {
		return property != "" && o.text(property) == key || ours(text.Plain(o.text(bodies[kind])))
	}
	if len(j.contacts) == 0 {
		return j.searchFor(ctx, kind, filter{property, "EQ", key}, at, properties, mine)
	}
	ids, err := j.w.api.associated(ctx, j.contacts[0].ID, kind)
	if err != nil {
		return nil, err
	}
	// The newest first: ids grow.
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(b, a)) })
	for page := range slices.Chunk(ids, 100) {
		rows, err := j.w.api.readAll(ctx, kind, page, properties)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(rows, mine); i >= 0 {
			return &rows[i], nil
		}
	}
	return nil, nil
}

// searchFor asks the index, the last resort for a call that has no contact and no unique key. What it finds is right; that it finds
// nothing proves nothing until it has had time to catch up with an earlier attempt.
func (j *job) searchFor(ctx context.Context, kind string, by filter, at time.Time, properties []string, mine func(object) bool) (*object, error) {
	if by.Property == "" {
		if at.IsZero() {
			return nil, nil
		}
		by = filter{"hs_timestamp", "EQ", fmt.Sprint(at.UnixMilli())}
	}
	rows, err := j.w.api.search(ctx, kind, []group{{[]filter{by}}}, properties)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(rows, mine); i >= 0 {
		return &rows[i], nil
	}
	ref := map[string]string{calls: "activity", tasks: "task"}[kind]
	if at, err := time.Parse(time.RFC3339, j.p.Refs[ref+".tried"]); err == nil && time.Since(at) < lag {
		return nil, crm.Postponed(fmt.Errorf("whether the %s was made is not known yet: HubSpot's search shows new records within %s; asking again", ref, lag), lag-time.Since(at))
	}
	return nil, nil
}

// task makes the follow-up. Later only a new call-back time moves it, as long as nobody has begun with it.
func (j *job) task(ctx context.Context) error {
	t := j.e.Task
	_, err := step.Do(ctx, j.p, step.Step{
		Ref: "task", Content: stamp(j.e.Call.CallbackAt), Fresh: j.fresh,
		Look: func(ctx context.Context) (string, error) { return j.look(ctx, tasks, j.e.Call.ID, t.Due, j.isCall) },
		Create: func(ctx context.Context) (string, error) {
			o := map[string]any{
				"hs_timestamp": stamp(t.Due), "hs_task_subject": cmp.Or(text.Line(t.Title, titleLimit), "Call back"), "hs_task_status": "NOT_STARTED",
				"hs_task_type": "CALL", "hs_task_priority": "MEDIUM",
				"hs_task_body": html(func(limit int) string { return text.NewBody(j.e).Within(limit) }, j.e.Call.TranscriptURL),
			}
			if j.e.Call.Disposition == "escalated" {
				o["hs_task_priority"] = "HIGH"
			}
			return j.create(ctx, "task", tasks, j.e.Call.ID, o, cmp.Or(t.Owner, j.w.s.Owner), j.one(), []string{"hs_task_priority", "hs_task_type"})
		},
		Update: func(ctx context.Context, id string) error {
			held, err := j.w.api.read(ctx, tasks, id, "", []string{"hs_task_status", "hs_timestamp"})
			switch {
			case err != nil:
				return err
			case held == nil:
				return step.ErrGone
			case j.e.Call.CallbackAt.IsZero() || held.text("hs_task_status") != "NOT_STARTED" || when(held.text("hs_timestamp")).Equal(t.Due.Truncate(time.Millisecond)):
				return nil
			}
			return j.w.api.update(ctx, tasks, id, map[string]any{"hs_timestamp": stamp(t.Due)})
		},
	})
	return err
}

// note puts a text on the contact's timeline. Where there is no contact it goes below the call's own.
func (j *job) note(ctx context.Context, ref, head string, words func(limit int) string) error {
	if len(j.contacts) == 0 {
		return j.below(ctx, ref, head, words)
	}
	key := j.e.Call.ID
	if ref == "link" {
		key += "#link"
	}
	at := j.e.Call.EndedAt
	if at.IsZero() {
		at = time.Now()
	}
	_, err := step.Do(ctx, j.p, step.Step{
		Ref: ref, Fresh: j.fresh,
		Look: func(ctx context.Context) (string, error) {
			return j.look(ctx, notes, key, at, func(s string) bool { return strings.HasPrefix(s, head) })
		},
		Create: func(ctx context.Context) (string, error) {
			o := map[string]any{"hs_timestamp": stamp(at), "hs_note_body": html(words, j.e.Call.TranscriptURL)}
			return j.create(ctx, ref, notes, key, o, j.w.s.Owner, j.one(), nil)
		},
	})
	return err
}

// below adds a text to the call's body.
func (j *job) below(ctx context.Context, ref, head string, words func(limit int) string) error {
	if j.activity == "" {
		return nil // a person deleted it, or it is not wanted: there is no place for more
	}
	var held string
	_, err := step.Do(ctx, j.p, step.Step{
		Ref: ref,
		Look: func(ctx context.Context) (string, error) {
			o, err := j.w.api.read(ctx, calls, j.activity, "", []string{"hs_call_body"})
			if err != nil || o == nil {
				return "", err
			}
			if held = text.Plain(o.text("hs_call_body")); strings.Contains(held, head) {
				return j.activity, nil
			}
			return "", nil
		},
		Create: func(ctx context.Context) (string, error) {
			body := html(func(limit int) string { return text.Cut(held+"\n\n"+words(limit), limit) }, j.e.Call.TranscriptURL)
			return j.activity, j.w.api.update(ctx, calls, j.activity, map[string]any{"hs_call_body": body})
		},
	})
	return err
}

// one returns the contact that gets the notes and the task.
func (j *job) one() []people.Record { return j.contacts[:min(1, len(j.contacts))] }
