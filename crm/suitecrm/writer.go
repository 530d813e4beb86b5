package suitecrm

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Writer writes to one SuiteCRM.
type Writer struct {
	*record.Writer
	s      crm.Settings
	suite  *api
	book   *people.Book
	owners *people.Owners
}

// New returns a Writer. It sends nothing yet.
func New(cfg Config, s crm.Settings) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	suite, err := newAPI(cfg, s.Workers)
	if err != nil {
		return nil, err
	}
	w := &Writer{s: s, suite: suite, book: people.NewBook(s, 0)}
	w.owners = people.NewOwners(w.user)
	w.Writer = record.New(schema{w}, record.Options{Settings: s, Owners: w.owners, Many: record.Each})
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.suite.client.Close() }

// schema is what the frame asks of this kind.
type schema struct{ *Writer }

// Begin cuts the summary and the transcript to what a description holds.
func (s schema) Begin(_ context.Context, j *record.Job) (record.Contacts, *people.Book, error) {
	e := j.Entry
	e.Call.Summary = text.CutBy(text.Clean(e.Call.Summary), longText, stored)
	if e.Transcript != nil {
		t := *e.Transcript
		t.Text = text.CutBy(text.Clean(t.Text), longText, stored)
		e.Transcript = &t
	}
	return contacts(s), s.book, nil
}

// module is a module whose records have ids that are made of the call's.
type module struct {
	suite *api
	name  string
	what  string   // what the ids are made of besides
	shown []string // the fields that are read
}

// Find reads the record by its id.
func (m module) Find(ctx context.Context, j *record.Job, _ *record.Record) (record.Found, error) {
	id := ourID(m.what, j.Key())
	held, err := m.Read(ctx, j, id)
	if errors.Is(err, step.ErrGone) {
		return record.Found{}, nil
	}
	return record.Found{ID: id, Body: held.Text("description"), Held: held}, err
}

// Read reads a record, its texts as they were before SuiteCRM escaped them.
func (m module) Read(ctx context.Context, _ *record.Job, id string) (record.Fields, error) {
	b, err := m.suite.get(ctx, m.name, id, append(m.shown, "deleted")...)
	held := record.Fields{}
	for name := range b.Attributes {
		held[name] = b.plain(name)
	}
	return held, err
}

// Create makes the record under its id.
func (m module) Create(ctx context.Context, j *record.Job, f record.Fields) (string, error) {
	id := ourID(m.what, j.Key())
	_, err := m.suite.create(ctx, bean{Type: m.name, ID: id, Attributes: attributes(f)})
	if errors.Is(err, errExists) {
		return "", &record.Exists{ID: id, Err: err}
	}
	return id, err
}

// Update changes a record.
func (m module) Update(ctx context.Context, _ *record.Job, id string, _, f record.Fields) error {
	return m.suite.change(ctx, bean{Type: m.name, ID: id, Attributes: attributes(f)})
}

// namespace is that of the ids that are made of a call's id.
var namespace = uuid.MustParse("6d0b7f4e-3c52-4d0f-9c64-5b1d3f0a2c11")

// ourID returns the id of a record by what it is and whose it is.
func ourID(parts ...string) string {
	return uuid.NewSHA1(namespace, []byte(strings.Join(parts, "\n"))).String()
}
