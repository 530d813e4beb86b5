package record

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// once creates a record once, or updates the existing one, and returns its id; empty: a person deleted it.
func (t *target) once(ctx context.Context, r *Record) (string, error) {
	s := step.Step{
		Ref: r.ref, Content: t.content(r), Fresh: r.Fresh || r.Keyed, Linger: r.Linger,
		Look: func(ctx context.Context) (string, error) {
			f, err := r.Table.Find(ctx, &t.Job, r)
			t.held = f.Held
			return f.ID, err
		},
		Create: func(ctx context.Context) (string, error) { return t.create(ctx, r) },
	}
	// The entry of a transcript may hold an older state of the call than the CRM.
	if !r.Fixed && t.Entry.Event != crm.TranscriptReady {
		s.Update = func(ctx context.Context, id string) error { return t.update(ctx, r, id) }
	}
	id, err := step.Do(ctx, t.Progress, s)
	t.held = nil
	if err != nil {
		return "", err
	}
	t.Progress.Forget(r.ref + ".tried")
	if id != "" && r.After != nil {
		err = r.After(ctx, id)
	}
	return id, err
}

// content returns what is compared to tell whether the record must be sent again.
func (t *target) content(r *Record) any {
	switch {
	case r.Content != nil || r.Fixed:
		return r.Content
	case r.Body.Field == "":
		return r.Values
	}
	return []any{r.Values, text.NewBody(t.Entry).String()}
}

// create creates the record.
func (t *target) create(ctx context.Context, r *Record) (id string, err error) {
	f := Fields{}
	maps.Copy(f, r.New)
	maps.Copy(f, r.Values)
	if r.Body.Field != "" {
		f[r.Body.Field] = r.Body.write(text.NewBody(t.Entry))
	}
	if r.Owner.Field != "" {
		owner, err := t.owner(ctx, r.Owner)
		if err != nil {
			return "", err
		}
		f.Set(r.Owner.Field, owner)
	}
	if r.Tried {
		if err := t.Progress.Save(r.ref+".tried", time.Now().UTC().Format(time.RFC3339)); err != nil {
			return "", err
		}
	}
	err = t.w.options.Optional.Send(t.Progress, r.Name, f, r.Optional, r.Named, func(fields map[string]any) (err error) {
		id, err = r.Table.Create(ctx, &t.Job, fields)
		return err
	})
	if there := (*Exists)(nil); errors.As(err, &there) {
		return t.useExisting(ctx, r, there.ID)
	}
	t.fresh = t.fresh || err == nil && strings.HasPrefix(r.ref, "activity")
	return id, err
}

// useExisting updates a record that the CRM has already. An earlier attempt created it, or a person has deleted it since and it still blocks its key.
func (t *target) useExisting(ctx context.Context, r *Record, id string) (string, error) {
	held, err := r.Table.Read(ctx, &t.Job, id)
	if err == nil && !r.Fixed && t.Entry.Event != crm.TranscriptReady {
		t.held = held
		err = t.update(ctx, r, id)
	}
	if errors.Is(err, step.ErrGone) {
		t.Progress.Warn("%s %s was deleted in the CRM; it is not made again", r.ref, id)
		return step.Deleted(id), nil
	}
	return id, err
}

// owner returns the id of the owner of a new record; empty: none.
func (t *target) owner(ctx context.Context, o Owner) (string, error) {
	id, err := t.w.options.Owners.Or(ctx, o.Named, t.Contact.Owner, t.Progress)
	if err != nil || id != "" || o.Else == nil {
		return id, err
	}
	return o.Else(ctx)
}

// update sends the fields that differ from those of the record.
func (t *target) update(ctx context.Context, r *Record, id string) (err error) {
	if len(r.Values) == 0 && r.Body.Field == "" {
		return nil
	}
	held := t.held
	if held == nil {
		if held, err = r.Table.Read(ctx, &t.Job, id); err != nil {
			return err
		}
	}
	if r.Untouched != nil && !r.Untouched(held) {
		return nil // somebody has begun with it
	}
	newer := t.newer(r, held)
	if len(newer) == 0 {
		return nil
	}
	return t.w.options.Optional.Send(t.Progress, r.Name, newer, r.Optional, r.Named, func(fields map[string]any) error {
		if len(fields) == 0 {
			return nil
		}
		return r.Table.Update(ctx, &t.Job, id, held, fields)
	})
}

// newer returns the fields of the record that must change, without what people changed.
func (t *target) newer(r *Record, held Fields) Fields {
	equal := r.Same
	if equal == nil {
		equal = same
	}
	out := maps.Clone(r.Values)
	maps.DeleteFunc(out, func(name string, v any) bool { return equal(held, name, v) })
	for _, name := range r.Keep {
		if held[name] != nil && held[name] != "" {
			delete(out, name)
		}
	}
	if !text.Retitles(t.Entry, held.Text(r.Title)) {
		delete(out, r.Title)
	}
	if r.Body.Field != "" {
		old := r.Body.plain(held.Text(r.Body.Field))
		body := r.Body.write(text.NewBody(t.Entry).Over(old))
		if r.Body.plain(body) != old {
			out[r.Body.Field] = body
		}
	}
	return out
}

// same compares values for Records without a Same.
func same(held Fields, name string, v any) bool { return fmt.Sprint(held[name]) == fmt.Sprint(v) }
