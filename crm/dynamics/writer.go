package dynamics

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

// Writer writes to one environment.
type Writer struct {
	*record.Writer
	s      crm.Settings
	api    *api
	tables []string
	book   *people.Book
	owners *people.Owners
}

// New returns a Writer. It sends nothing.
func New(cfg Config, s crm.Settings) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a, err := newAPI(cfg, s.Workers)
	if err != nil {
		return nil, err
	}
	w := &Writer{s: s, api: a, tables: cfg.Tables, book: people.NewBook(s, 0)}
	if len(w.tables) == 0 {
		w.tables = []string{leads, contacts}
	}
	w.owners = people.NewOwners(w.user)
	w.Writer = record.New(schema{w}, record.Options{Settings: s, Owners: w.owners, Many: record.Each, Link: true})
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return errors.Join(w.api.client.Close(), w.api.logins.Close()) }

func (w *Writer) field(ours string) string { return w.s.Field(ours, Fields[ours]) }

// schema is what the frame asks of this kind.
type schema struct{ *Writer }

// Begin reads which statuses the tables take. A call whose status none of them takes is refused before anything is written. The summary is cut to what
// leaves room for the rest of a description.
func (s schema) Begin(ctx context.Context, j *record.Job) (record.Contacts, *people.Book, error) {
	j.Entry.Call.Summary = text.Cut(text.Clean(j.Entry.Call.Summary), longWords)
	p := persons{s.Writer, map[string]*column{}, j.Progress}
	for _, set := range s.tables {
		c, err := s.statusColumn(ctx, set)
		if err != nil {
			return nil, nil, err
		}
		p.status[set] = c
	}
	if e := j.Entry; e.SetStatus && e.Status != "" {
		if err := s.takes(ctx, p.status, e.Status); err != nil {
			return nil, nil, err
		}
	}
	return p, s.book, nil
}

// set is a set of records whose ids are made of the call's.
type set struct {
	api   *api
	name  string   // of the set
	what  string   // what the ids are made of besides
	shown []string // the columns that are read
}

// Find reads the record by its id.
func (t set) Find(ctx context.Context, j *record.Job, _ *record.Record) (record.Found, error) {
	id := ourID(t.what, j.Key())
	held, err := t.Read(ctx, j, id)
	if errors.Is(err, step.ErrGone) {
		return record.Found{}, nil
	}
	return record.Found{ID: id, Body: held.Text("description"), Held: held}, err
}

// Read reads a record.
func (t set) Read(ctx context.Context, _ *record.Job, id string) (record.Fields, error) {
	return t.api.get(ctx, t.name, id, t.shown)
}

// Create creates the record under its id.
func (t set) Create(ctx context.Context, j *record.Job, f record.Fields) (string, error) {
	id := ourID(t.what, j.Key())
	err := t.api.create(ctx, t.name, id, bound(f))
	if errors.Is(err, errExists) {
		return "", &record.Exists{ID: id, Err: err}
	}
	return id, err
}

// Update updates a record.
func (t set) Update(ctx context.Context, _ *record.Job, id string, _, f record.Fields) error {
	return t.api.change(ctx, t.name, id, f)
}

// owner is the column of a record's owner, which is written by a reference.
const owner = "ownerid"

// bound writes the owner as a reference: of "systemusers(ID)".
func bound(f record.Fields) record.Fields {
	if id := f.Text(owner); id != "" {
		delete(f, owner)
		f[owner+"@odata.bind"] = "/" + id
	}
	return f
}

// refer makes a new record one of the job's contact, by the navigation property that its table has for it.
func refer(f record.Fields, j *record.Job, property string) {
	if set, id := j.Target(); id != "" {
		f[strings.Replace(property, "*", tableOf[set], 1)+"@odata.bind"] = "/" + set + "(" + id + ")"
	}
}

// namespace is that of the ids that are made of a call's id.
var namespace = uuid.MustParse("b3a1a3f2-52c5-4f53-8f0e-6f3b6d3c9a55")

// ourID returns the id of a record by what it is and whose it is.
func ourID(parts ...string) string {
	return uuid.NewSHA1(namespace, []byte(strings.Join(parts, "\n"))).String()
}
