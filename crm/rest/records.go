package rest

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"unicode/utf8"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// table gives the frame access to the records of one type.
type table struct {
	w    *Writer
	kind *callRecord
	step string
	note *record.Note
}

var _ record.Table = table{}

// scope returns what the requests about a record are made of.
func (t table) scope(j *record.Job) *scope {
	return &scope{w: t.w, entry: j.Entry, number: j.Number, contact: j.Contact, note: t.note, step: t.step, key: j.Key()}
}

// Find looks for the record of an earlier attempt, by the way that the recipe declares.
func (t table) Find(ctx context.Context, j *record.Job, _ *record.Record) (record.Found, error) {
	s := t.scope(j)
	if t.kind.Once.ID.source != "" {
		return t.read(ctx, j, s.text(t.kind.Once.ID.render(s)))
	}
	q := t.kind.Once.Look
	if q == nil {
		return record.Found{}, nil
	}
	found, err := t.w.api.look(ctx, q, s)
	if err != nil || len(found) == 0 {
		return record.Found{}, err
	}
	id := q.ID
	if !id.set {
		id = t.w.recipe.Contact.Paths.ID
	}
	f := record.Found{ID: id.text(found[0])}
	if f.ID == "" {
		return f, errors.New("a record was found, and has no id where the recipe says")
	}
	held, _ := found[0].(map[string]any)
	if f.Body = record.Fields(held).Text(t.kind.body); f.Body == "" && t.kind.body != "" && t.kind.Read != nil {
		return t.read(ctx, j, f.ID)
	}
	return f, nil
}

// read finds the record of an id.
func (t table) read(ctx context.Context, j *record.Job, id string) (record.Found, error) {
	if t.kind.Read == nil {
		return record.Found{}, nil
	}
	held, err := t.Read(ctx, j, id)
	if errors.Is(err, step.ErrGone) {
		return record.Found{}, nil
	}
	return record.Found{ID: id, Body: held.Text(t.kind.body), Held: held}, err
}

// Read reads a record.
func (t table) Read(ctx context.Context, j *record.Job, id string) (record.Fields, error) {
	if t.kind.Read == nil {
		return nil, nil
	}
	s := t.scope(j)
	s.id = id
	said, err := t.w.api.send(ctx, t.kind.Read, s, nil)
	held, there := t.kind.Read.Record.in(said).(map[string]any)
	if gone(err) || err == nil && !there {
		err = step.ErrGone
	}
	return record.Fields(held), err
}

// Create makes a record.
func (t table) Create(ctx context.Context, j *record.Job, f record.Fields) (string, error) {
	s := t.scope(j)
	s.fields = f
	id := s.text(t.kind.Once.ID.render(s))
	var header http.Header
	if name := t.kind.Once.Header; name != "" {
		header = http.Header{http.CanonicalHeaderKey(name): {s.text(values["Key"].of(s))}}
	}
	said, err := t.w.api.send(ctx, t.kind.Create, s, header)
	if errors.Is(err, errExists) && id != "" {
		return "", &record.Exists{ID: id, Err: err}
	}
	if err != nil || id != "" {
		return id, err
	}
	return t.kind.Create.ID.or(t.w.recipe.Answers.ID).text(said), nil
}

// Update changes a record.
func (t table) Update(ctx context.Context, j *record.Job, id string, _, f record.Fields) error {
	s := t.scope(j)
	s.id, s.fields = id, f
	_, err := t.w.api.send(ctx, t.kind.Update, s, nil)
	if gone(err) {
		return step.ErrGone
	}
	return err
}

// record describes a record to the frame.
func (t table) record(j *record.Job) *record.Record {
	s, k := t.scope(j), t.kind
	r := &record.Record{
		Table: t, Name: t.step, Values: record.Fields{}, New: s.render(k.New), Title: k.title, Optional: k.Optional, Fixed: k.Update == nil,
		Keyed: k.Once.ID.source != "" && k.Create.method == http.MethodPost,
		Owner: record.Owner{Field: k.owner, Named: t.w.s.Owner},
	}
	if k.Once.Look != nil {
		r.Linger = t.w.linger
	}
	for name, field := range k.Fields {
		if v := field.render(s); v != nil && (name != k.body || t.note != nil) {
			r.Values[name] = v
		}
	}
	if k.body != "" && t.note == nil {
		r.Body = record.Body{Field: k.body, Limit: cmp.Or(k.bodyLimit, longest)}
		if k.html {
			r.Body.Plain = text.Plain
			r.Body.Write = func(words func(limit int) string) string { return htmlOf(words, cmp.Or(k.bodyLimit, longest)) }
		}
	}
	if k.Open != nil {
		r.Untouched = func(held record.Fields) bool { return k.Open.fits(map[string]any(held)) }
	}
	return r
}

// htmlOf writes a text as HTML of at most limit characters.
func htmlOf(words func(limit int) string, limit int) string {
	for room := limit; ; {
		s := text.HTML(words(room))
		over := utf8.RuneCountInString(s) - limit
		if over <= 0 || room <= over {
			return s
		}
		room -= over
	}
}
