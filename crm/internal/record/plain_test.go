package record_test

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// The kind of docs/ADDING-A-CRM.md, in the order of its files: config.go, writer.go, api.go, errors.go, contacts.go, activity.go, task.go, note.go,
// setup.go.

// Config says where the CRM is and who writes.
type Config struct {
	URL          string      `yaml:"url"`
	APIKey       secret.Text `yaml:"api_key"`
	httpx.Config `yaml:",inline"`
}

// Fields are our names of fields to the CRM's, for those that the configuration can give others for.
var Fields = map[string]string{"call_id": "external_id", "status": "status", "do_not_call": "do_not_call", "language": "", "qa_score": ""}

// Validate checks the configuration without touching the network. Each fault begins with its key.
func (c Config) Validate() error {
	var faults []error
	if _, err := httpx.Origin("url", c.URL); err != nil {
		faults = append(faults, err)
	}
	if c.APIKey.Empty() {
		faults = append(faults, errors.New("api_key: missing; make one under Settings > API"))
	}
	return errors.Join(append(faults, c.Config.Validate("X-Api-Key"))...)
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.URL }

// FieldNames returns Fields.
func (Config) FieldNames() map[string]string { return Fields }

// Writer writes to one account.
type Writer struct {
	*record.Writer
	api    *api
	s      crm.Settings
	book   *people.Book
	owners *people.Owners
}

// New returns a Writer. It sends nothing.
func New(cfg Config, s crm.Settings) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	client, err := httpx.Open("url", cfg.URL, cfg.Config, s.Workers, cfg.APIKey.Reveal())
	if err != nil {
		return nil, err
	}
	a := &api{client, cfg.APIKey.Reveal()}
	w := &Writer{api: a, s: s, book: people.NewBook(s, 0), owners: people.NewOwners(a.user)}
	w.Writer = record.New(schema{w}, record.Options{Settings: s, Owners: w.owners, Link: true})
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.api.client.Close() }

// schema is what the frame asks of this kind.
type schema struct{ *Writer }

// Begin returns the contacts: nothing need be looked up before.
func (s schema) Begin(_ context.Context, _ *record.Job) (record.Contacts, *people.Book, error) {
	return contacts(s), s.book, nil
}

// field returns the CRM's name of one of our fields.
func (w *Writer) field(ours string) string { return w.s.Field(ours, Fields[ours]) }

type api struct {
	client *httpx.Client
	key    string
}

// call makes one request and decodes its answer into out, unless that is nil.
func (a *api) call(ctx context.Context, method, module, id string, query url.Values, body record.Fields, out any) error {
	r := httpx.Request{Method: method, Path: module, Query: query, Header: http.Header{"X-Api-Key": {a.key}}, Shape: method + " " + module + httpx.Names(body)}
	if id != "" {
		r.Path += "/" + url.PathEscape(id)
	}
	if body != nil {
		r.Body = body
	}
	answer, err := a.client.Send(ctx, r)
	if err != nil {
		return err
	}
	if err := refusal(answer, r.Shape); err != nil || out == nil {
		return err
	}
	return answer.JSON(out)
}

// list asks for the records of a module that have a value.
func (a *api) list(ctx context.Context, module, field, value string) ([]record.Fields, error) {
	var answer struct {
		Records []record.Fields `json:"records"`
	}
	err := a.call(ctx, http.MethodGet, module, "", url.Values{field: {value}}, nil, &answer)
	return answer.Records, err
}

// user asks for the id of a user by mail address; empty: there is none.
func (a *api) user(ctx context.Context, name string) (string, error) {
	found, err := a.list(ctx, "users", "email", name)
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0].Text("id"), nil
}

// refusal reads an answer as the error that a Write returns; nil: it is a success.
func refusal(answer *httpx.Answer, shape string) error {
	err := httpx.Verdict(answer, shape)
	if err == nil {
		return nil
	}
	return &httpx.Refused{Err: err, Status: answer.Status, Body: answer.Body}
}

// contacts are the account's contacts.
type contacts struct{ *Writer }

// Search asks by the last digits, which this CRM compares however a number was typed. The frame compares whole numbers.
func (c contacts) Search(ctx context.Context, n phone.Number) (found []people.Record, err error) {
	rows, err := c.api.list(ctx, "contacts", "phone_ends", n.Tail(10))
	for _, r := range rows {
		found = append(found, c.person(r))
	}
	return found, err
}

// Read reads a contact.
func (c contacts) Read(ctx context.Context, id string) (people.Record, bool, error) {
	held, err := table{c.Writer, "contacts"}.Read(ctx, nil, id)
	if errors.Is(err, step.ErrGone) {
		return people.Record{}, false, nil
	}
	return c.person(held), err == nil, err
}

// Create makes a contact.
func (c contacts) Create(ctx context.Context, n phone.Number, r people.Record) (people.Record, error) {
	f := c.fields(record.Change{Status: r.Status, Name: cmp.Or(r.Name, people.Placeholder(n)), DoNotCall: r.DoNotCall})
	f["phone"] = n.String()
	f.Set("owner", r.Owner)
	var made record.Fields
	err := c.api.call(ctx, http.MethodPost, "contacts", "", nil, f, &made)
	r.ID = made.Text("id")
	return r, err
}

// Change changes a contact.
func (c contacts) Change(ctx context.Context, r people.Record, change record.Change) error {
	return c.api.call(ctx, http.MethodPatch, "contacts", r.ID, nil, c.fields(change), nil)
}

func (c contacts) fields(change record.Change) record.Fields {
	f := record.Fields{}
	f.Set(c.field("status"), change.Status)
	f.Set("name", text.Clean(change.Name))
	if change.DoNotCall {
		f[c.field("do_not_call")] = true
	}
	return f
}

func (c contacts) person(r record.Fields) people.Record {
	return people.Record{
		ID: r.Text("id"), Phones: []string{r.Text("phone")}, Name: r.Text("name"), Status: r.Text(c.field("status")), Owner: r.Text("owner"),
		DoNotCall: r[c.field("do_not_call")] == true, Created: record.When(r.Text("created")),
	}
}

// table is a module whose records carry the call's id.
type table struct {
	*Writer
	module string
}

// Find asks for the record of the call.
func (t table) Find(ctx context.Context, j *record.Job, _ *record.Record) (record.Found, error) {
	found, err := t.api.list(ctx, t.module, t.field("call_id"), j.Key())
	if err != nil || len(found) == 0 {
		return record.Found{}, err
	}
	return record.Found{ID: found[0].Text("id"), Body: found[0].Text("description"), Held: found[0]}, nil
}

// Read reads a record.
func (t table) Read(ctx context.Context, _ *record.Job, id string) (held record.Fields, err error) {
	err = t.api.call(ctx, http.MethodGet, t.module, id, nil, nil, &held)
	if httpx.StatusOf(err) == http.StatusNotFound {
		err = step.ErrGone
	}
	return held, err
}

// Create makes a record.
func (t table) Create(ctx context.Context, j *record.Job, f record.Fields) (string, error) {
	f[t.field("call_id")] = j.Key()
	f.Set("contact", j.Contact.ID)
	var made record.Fields
	err := t.api.call(ctx, http.MethodPost, t.module, "", nil, f, &made)
	return made.Text("id"), err
}

// Update changes a record.
func (t table) Update(ctx context.Context, _ *record.Job, id string, _, f record.Fields) error {
	return t.api.call(ctx, http.MethodPatch, t.module, id, nil, f, nil)
}

// Activity returns the call.
func (s schema) Activity(_ context.Context, j *record.Job) (*record.Record, error) {
	c := &j.Entry.Call
	values := record.Fields{"title": text.Title(j.Entry, 100)}
	values.Set("direction", c.Direction)
	if start, end, known := record.Span(c); known {
		values["started"], values["ended"] = start.Format(time.RFC3339), end.Format(time.RFC3339)
	}
	var optional []string
	for ours, v := range record.Extras(c, 100) {
		if f := s.field(ours); f != "" {
			optional = append(optional, f)
			values.Set(f, record.Numbered(ours, v))
		}
	}
	slices.Sort(optional)
	return &record.Record{
		Table: table{s.Writer, "calls"}, Name: "call", Values: values, Title: "title", Body: record.Body{Field: "description", Limit: 100_000},
		Owner: record.Owner{Field: "owner", Named: s.s.Owner}, Optional: optional,
	}, nil
}

// Task returns the follow-up, which moves with the call-back time as long as nobody has begun with it.
func (s schema) Task(_ context.Context, j *record.Job) (*record.Record, error) {
	t := j.Entry.Task
	return &record.Record{
		Table: table{s.Writer, "tasks"}, Name: "task", Values: record.Fields{"due": t.Due.Format(time.RFC3339)},
		New:       record.Fields{"title": cmp.Or(text.Line(t.Title, 100), "Call back"), "status": "open"},
		Owner:     record.Owner{Field: "owner", Named: cmp.Or(t.Owner, s.s.Owner)},
		Untouched: func(held record.Fields) bool { return held.Text("status") == "open" },
	}, nil
}

// Note returns the note with the transcript, or with the link to it.
func (s schema) Note(_ context.Context, j *record.Job, n record.Note) (*record.Record, error) {
	if j.Contact.ID == "" {
		return nil, nil // a note belongs to a contact
	}
	return &record.Record{Table: notes{table{s.Writer, "notes"}, n}, Name: "note", New: record.Fields{"text": n.Text(100_000)}}, nil
}

// notes are found by how they begin: a call may have two.
type notes struct {
	table
	note record.Note
}

// Find asks for the note.
func (t notes) Find(ctx context.Context, j *record.Job, _ *record.Record) (record.Found, error) {
	found, err := t.api.list(ctx, t.module, "text", t.note.Head)
	if err != nil || len(found) == 0 {
		return record.Found{}, err
	}
	return record.Found{ID: found[0].Text("id")}, nil
}

// Check asks who the key's user is, and whether the owner is there.
func (w *Writer) Check(ctx context.Context, _ []string) []crm.Finding {
	if _, err := w.api.list(ctx, "users", "email", "me"); err != nil {
		if found := people.CheckLimit(err); found != nil {
			return found
		}
		return []crm.Finding{{Subject: "key", Err: err, Detail: "copy the key under Settings > API"}}
	}
	found := []crm.Finding{{Subject: "key", Detail: w.api.client.Base().Host + " accepts it"}}
	return append(found, w.owners.Check(ctx, w.s.Owner, "there is no user with this mail address")...)
}
