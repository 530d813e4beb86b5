package zoho

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Writer writes to one organisation.
type Writer struct {
	*record.Writer
	s       crm.Settings
	api     *api
	live    *people.Book // where the database can be asked for a new lead
	late    *people.Book // where only the search can, which lags
	owners  *people.Owners
	linger  time.Duration // see step.Step
	company atomic.Bool   // leads must have a company here
}

// New returns a Writer. It sends nothing yet.
func New(cfg Config, s crm.Settings) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.TokenFile == "" {
		return nil, errors.New("token_file: missing: name a file in a directory that only this program writes to")
	}
	a, err := newAPI(cfg, s.Workers)
	if err != nil {
		return nil, err
	}
	w := &Writer{s: s, api: a, owners: people.NewOwners(a.user), linger: step.Lingering, live: people.NewBook(s, step.Lingering), late: people.NewBook(s, lag)}
	w.Writer = record.New(schema{w}, record.Options{Settings: s, Owners: w.owners, Many: record.Each})
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.api.close() }

// schema is what the frame asks of this kind.
type schema struct{ *Writer }

// Begin cuts the summary and the transcript to what a description holds, and chooses the Book that knows how late a search shows what was made.
func (s schema) Begin(ctx context.Context, j *record.Job) (record.Contacts, *people.Book, error) {
	e := j.Entry
	e.Call.Summary = text.Cut(text.Clean(e.Call.Summary), longText)
	if e.Transcript != nil {
		t := *e.Transcript
		t.Text = text.Cut(text.Clean(t.Text), longText)
		e.Transcript = &t
	}
	m, err := s.api.module(ctx, leads)
	if err != nil {
		return nil, nil, err
	}
	able, err := s.api.canQuery(ctx, leads, s.byNumber(leads, m, []string{quote("0")}))
	if able {
		return contacts{s.Writer, j.Progress}, s.live, err
	}
	return contacts{s.Writer, j.Progress}, s.late, err
}

// table is a module whose records carry the call's id.
type table struct {
	w     *Writer
	name  string
	where string // the condition of a query that finds the record among others, where the module has no field for the call's id
}

// Read reads a record with all its fields.
func (t table) Read(ctx context.Context, _ *record.Job, id string) (record.Fields, error) {
	r, err := t.w.api.get(ctx, t.name, id)
	return record.Fields(r), err
}

// Create makes a record.
func (t table) Create(ctx context.Context, _ *record.Job, f record.Fields) (string, error) {
	if owner := f.Text("Owner"); owner != "" {
		f["Owner"] = row{"id": owner}
	}
	id, err := t.w.api.create(ctx, "/"+t.name, row(f))
	if twin := twin(err); twin != "" {
		return "", &record.Exists{ID: twin, Err: err}
	}
	return id, err
}

// Update changes a record.
func (t table) Update(ctx context.Context, _ *record.Job, id string, _, f record.Fields) error {
	return t.w.api.change(ctx, t.name, id, row(f))
}

// keyed returns what calls and tasks have in common: the contact, the call's id, and how a repeat is recognised. A contact of Zoho's has a field of its
// own, anything else shares another.
func (s schema) keyed(j *record.Job, t table, m module, name, ref string) *record.Record {
	r := &record.Record{Table: t, Name: name, New: record.Fields{}, Optional: []string{"Owner"}, Named: refusesField, Linger: s.linger, Tried: true}
	if s.guarded(m) {
		r.Linger = 0
		r.Keyed = j.Tried(ref + j.Suffix).IsZero() // Zoho itself refuses a second one: nothing need be asked before the first attempt
	}
	if f := s.callField(); m.has(f) {
		r.New[f] = j.Key()
		r.Optional = append(r.Optional, f)
	}
	switch module, id := j.Target(); {
	case id == "":
	case module == contactModule:
		r.New["Who_Id"] = row{"id": id}
	default:
		r.New["What_Id"], r.New["$se_module"] = row{"id": id}, module
		if j.Contact.Superseded { // a lead that was converted takes no calls and tasks any more
			r.Optional = append(r.Optional, "What_Id", "$se_module")
		}
	}
	return r
}

// refusesField tells whether a refusal is about a field. A value that another record has is no such refusal.
func refusesField(err error, field string) bool { return codeOf(err) != duplicate && about(err, field) }

func (w *Writer) callField() string { return w.s.Field("call_id", Fields["call_id"]) }
