package rest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/pace"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/token"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Writer writes to one system by a recipe.
type Writer struct {
	*record.Writer
	recipe     *Recipe
	s          crm.Settings
	api        *api
	book       *people.Book
	owners     *people.Owners
	vars       map[string]string
	secrets    map[string]string
	zone       *time.Location
	linger     time.Duration
	namesToken bool // a header has the token
}

var (
	_ crm.Writer  = (*Writer)(nil)
	_ crm.Checker = (*Writer)(nil)
	_ crm.Finder  = (*Writer)(nil)
)

// New returns a Writer. It sends nothing.
func New(cfg Config, s crm.Settings) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	recipe, err := cfg.Recipe()
	if err == nil {
		err = recipe.Missing(cfg)
	}
	if err != nil {
		return nil, err
	}
	if recipe.Contact.Create == nil && cmp.Or(s.OnMissing, crm.MissingCreate) == crm.MissingCreate {
		return nil, fmt.Errorf("on_missing: the recipe %s makes no contacts: write on_missing: skip, or dead", recipe.Name)
	}
	w := &Writer{recipe: recipe, s: s, secrets: map[string]string{}, linger: step.Lingering}
	var hide []string
	for name, v := range cfg.Secrets {
		w.secrets[name] = v.Reveal()
		hide = append(hide, v.Reveal())
	}
	if err := w.prepare(cfg.Vars); err != nil {
		return nil, err
	}
	base, err := httpx.Origin("url", cfg.URL)
	if err != nil {
		return nil, err
	}
	client, err := httpx.New(base, cfg.Config, s.Workers, hide...)
	if err != nil {
		return nil, err
	}
	w.api = &api{w: w, client: client}
	if r := recipe.Rate; r != nil {
		w.api.pace = pace.New(r.Requests, r.Per)
	}
	if recipe.Auth.Token != nil {
		w.api.tokens = token.New(w.api.login)
	}
	w.book = people.NewBook(s, recipe.Contact.Lag)
	w.owners = people.NewOwners(w.user)
	w.Writer = record.New(schema{w}, record.Options{
		Settings: s, Owners: w.owners, Link: recipe.Note != nil, Many: record.Activities,
		NoContact: map[string]string{"skip": "the recipe " + recipe.Name + " writes no call without a contact"}[recipe.NoContact],
	})
	return w, nil
}

// prepare fills in what templates need.
func (w *Writer) prepare(vars map[string]string) error {
	w.vars = maps.Clone(w.recipe.Vars)
	if w.vars == nil {
		w.vars = map[string]string{}
	}
	maps.Copy(w.vars, vars)
	w.zone = time.UTC
	if z := w.recipe.Times.Zone; z.source != "" {
		var err error
		name, _ := z.render(&scope{w: w}).(string)
		if w.zone, err = time.LoadLocation(name); err != nil {
			return fmt.Errorf("vars: times.zone of the recipe %s: %w: write it as Asia/Kolkata", w.recipe.Name, err)
		}
	}
	for _, l := range w.recipe.Headers {
		l.expressions(func(e expression) { w.namesToken = w.namesToken || e.name == "Token" })
	}
	return nil
}

// secret returns a secret by its name.
func (w *Writer) secret(name string) any {
	if v := w.secrets[name]; v != "" {
		return v
	}
	return nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.api.client.Close() }

// user finds the user whom the configuration names. Without a request for that, the name is the id.
func (w *Writer) user(ctx context.Context, name string) (string, error) {
	q := w.recipe.User
	if q == nil {
		return name, nil
	}
	found, err := w.api.look(ctx, q, &scope{w: w, owner: name})
	if err != nil || len(found) == 0 {
		return "", err
	}
	id := q.ID.or(w.recipe.Contact.Paths.ID).text(found[0])
	if id == "" {
		return "", errors.New("a user was found, and has no id where the recipe says")
	}
	return id, nil
}

// schema is what the frame asks of this kind.
type schema struct{ *Writer }

// Begin returns the contacts.
func (s schema) Begin(_ context.Context, j *record.Job) (record.Contacts, *people.Book, error) {
	return contacts{s.Writer, j}, s.book, nil
}

// Activity returns the record of the call.
func (s schema) Activity(_ context.Context, j *record.Job) (*record.Record, error) {
	return table{w: s.Writer, kind: s.recipe.Call, step: "call"}.record(j), nil
}

// Task returns the follow-up; none where the recipe has no tasks.
func (s schema) Task(_ context.Context, j *record.Job) (*record.Record, error) {
	if s.recipe.Task == nil {
		return nil, nil
	}
	r := table{w: s.Writer, kind: s.recipe.Task, step: "task"}.record(j)
	r.Owner.Named = cmp.Or(j.Entry.Task.Owner, s.s.Owner)
	return r, nil
}

// Note returns the note with the transcript, or with the link to it; none where the recipe has no notes.
func (s schema) Note(_ context.Context, j *record.Job, n record.Note) (*record.Record, error) {
	if s.recipe.Note == nil {
		return nil, nil
	}
	name := "note"
	if n.Link {
		name = "link"
	}
	return table{w: s.Writer, kind: s.recipe.Note, step: name, note: &n}.record(j), nil
}
