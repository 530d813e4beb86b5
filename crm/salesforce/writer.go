package salesforce

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
)

// refresh is how long what administrators rarely change is taken for true.
const refresh = time.Hour

// indexLag is how long a new contact may be missing in the search index. Salesforce promises nothing; less than five minutes have been
// seen.
const indexLag = 10 * time.Minute

// Writer writes to one org.
type Writer struct {
	api      *api
	cfg      Config
	s        crm.Settings
	people   *people.Book
	owners   *people.Owners
	optional step.Optional
	hidden   hidden

	mu     sync.Mutex
	tasks  *entity         // what the org says of Tasks
	asked  time.Time       // when it said so
	noNote time.Time       // when the org last said that it has no notes
	told   map[string]bool // what has been warned of
}

var (
	_ crm.Writer      = (*Writer)(nil)
	_ crm.Checker     = (*Writer)(nil)
	_ crm.Finder      = (*Writer)(nil)
	_ crm.Provisioner = (*Writer)(nil)
)

// New returns a Writer. It sends nothing.
func New(cfg Config, s crm.Settings) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a, err := newAPI(cfg, s.Workers)
	if err != nil {
		return nil, err
	}
	// Contacts are made with the number in a form that the database is asked for: what was made is found at once. The book
	// remembers them all the same, should the org write numbers in a form of its own.
	lag := time.Duration(0)
	if cfg.Search == "index" {
		lag = indexLag
	}
	w := &Writer{api: a, cfg: cfg, s: s, people: people.NewBook(s, lag)}
	w.owners = people.NewOwners(w.owner)
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.api.close() }

// Find tells which lead or contact a call would be written to.
func (w *Writer) Find(ctx context.Context, c crm.Contact) (crm.Match, error) {
	return w.people.Find(ctx, visit{w: w}, c)
}

// Write writes the entry.
func (w *Writer) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Call.ID == "" {
		return crm.Rejected(errors.New("the call has no id"), "POST Task")
	}
	tasks, err := w.describeTasks(ctx)
	if err != nil {
		return err
	}
	j := &job{w: w, e: &e, p: p, key: keyOf(e.Call.ID), store: w.store(tasks), task: tasks}
	if j.contacts, err = w.people.Resolve(ctx, visit{w: w, j: j}, &e, p); err != nil {
		return err
	}
	return j.run(ctx)
}

// statusField returns the field that holds the lead status; empty: records of this entity have none.
func (w *Writer) statusField(entity string) string {
	if entity == lead {
		return w.s.Field(fieldStatus, Fields[fieldStatus])
	}
	return w.s.Field(fieldContactStatus, "")
}

// doNotCall returns the field that holds the wish not to be called.
func (w *Writer) doNotCall() string { return w.s.Field(fieldDoNotCall, Fields[fieldDoNotCall]) }

// newEntity is what a new contact is.
func (w *Writer) newEntity() string {
	if w.cfg.Create == "contact" {
		return contact
	}
	return lead
}

// explain adds to a refused status what the org takes.
func (w *Writer) explain(ctx context.Context, entity string, err error) error {
	f := w.statusField(entity)
	if f == "" || crm.VerdictOf(err) != crm.Reject || !about(err, f) {
		return err
	}
	d, e := w.describe(ctx, entity)
	if e != nil || len(d.values(f)) == 0 {
		return err
	}
	return crm.Rejected(fmt.Errorf("%w; %s.%s takes %s", err, entity, f, strings.Join(d.values(f), ", ")), crm.Request(err))
}

// hidden are fields that the org said it does not have, or does not show us, by entity; the field * is the entity itself.
// The zero value is ready; it is safe for concurrent use.
type hidden struct {
	mu  sync.Mutex
	all map[string]time.Time
}

func (h *hidden) has(entity, field string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok := h.all[entity+"."+field]
	return ok && time.Since(at) < refresh
}

func (h *hidden) put(entity, field string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[string]time.Time{}
	}
	h.all[entity+"."+field] = time.Now()
}

func (h *hidden) without(entity string, fields []string) []string {
	return slices.DeleteFunc(slices.Clone(fields), func(f string) bool { return h.has(entity, f) })
}

// hide notes which field a query was refused for, so that the next one goes without; false: it is about something else, or about a
// field that nothing can go without.
func (w *Writer) hide(err error) bool {
	var r *refused
	if !errors.As(err, &r) {
		return false
	}
	if r.part == lead && w.newEntity() == contact && has(err, "INVALID_TYPE") {
		w.hidden.put(lead, "*")
		return true
	}
	if r.part == partNotes && has(err, "INVALID_TYPE") {
		w.noNotes()
		return true
	}
	if !has(err, "INVALID_FIELD") {
		return false
	}
	var candidates []string
	switch r.part {
	case lead, contact:
		candidates = slices.DeleteFunc(w.columns(r.part), func(f string) bool { return f == "Id" || f == "Phone" || f == w.statusField(r.part) })
	case partTasks, partKnown:
		candidates = slices.DeleteFunc(w.taskColumns(), func(f string) bool { return f == "Id" || f == w.callField() })
	}
	if strings.HasSuffix(r.part, partTasks) && about(err, w.callField()) {
		w.hidden.put(partTasks, w.callField()) // the next attempt goes without
		return false
	}
	for _, f := range candidates {
		if about(err, f) {
			w.hidden.put(strings.TrimPrefix(r.part, "Known"), f)
			return true
		}
	}
	return false
}

// again makes of the refusal of a query for a key's field that was just found missing one that asks for a repetition.
func (w *Writer) again(err error) error {
	if strings.HasSuffix(partOf(err), partTasks) && w.hidden.has(partTasks, w.callField()) {
		return plain(err)
	}
	return err
}

var recordID = regexp.MustCompile(`^[a-zA-Z0-9]{15}(?:[a-zA-Z0-9]{3})?$`)

// owner asks for the id of a user or queue that is given by id, user name or name.
func (w *Writer) owner(ctx context.Context, owner string) (id string, err error) {
	if recordID.MatchString(owner) && (strings.HasPrefix(owner, "005") || strings.HasPrefix(owner, "00G")) {
		return owner, nil
	}
	rows, err := w.api.query(ctx, "SELECT Id, Username, Name FROM User WHERE IsActive = true AND (Username = "+quote(owner)+" OR Name = "+quote(owner)+")")
	if err != nil {
		return "", err
	}
	for _, o := range rows {
		if id == "" || strings.EqualFold(o.text("Username"), owner) {
			id = o.text("Id")
		}
	}
	return id, nil
}

// entity is what the org says of one of its kinds of records, as far as we are allowed to see it.
type entity struct {
	Createable *bool        `json:"createable"` // nil: not said
	Updateable *bool        `json:"updateable"`
	Fields     []definition `json:"fields"`
}

type definition struct {
	Name       string `json:"name"`
	ExternalID bool   `json:"externalId"`
	Unique     bool   `json:"unique"`
	Updateable *bool  `json:"updateable"` // nil: not said
	Values     []struct {
		Value  string `json:"value"`
		Active bool   `json:"active"`
	} `json:"picklistValues"`
}

// may tells whether something is allowed, or the org does not say that it is not.
func may(allowed *bool) bool { return allowed == nil || *allowed }

func (d *entity) field(name string) *definition {
	for i := range d.Fields {
		if strings.EqualFold(d.Fields[i].Name, name) {
			return &d.Fields[i]
		}
	}
	return nil
}

// values are the active values of a picklist; none: the field has none.
func (d *entity) values(name string) (all []string) {
	f := d.field(name)
	if f == nil {
		return nil
	}
	for _, v := range f.Values {
		if v.Active {
			all = append(all, v.Value)
		}
	}
	return all
}

func (w *Writer) describe(ctx context.Context, name string) (*entity, error) {
	d := &entity{}
	if err := w.api.call(ctx, http.MethodGet, "/sobjects/"+name+"/describe", nil, nil, nil, d); err != nil {
		return nil, err
	}
	return d, nil
}

// describeTasks returns what the org says of Tasks, at most an hour old.
func (w *Writer) describeTasks(ctx context.Context) (*entity, error) {
	w.mu.Lock()
	d, fresh := w.tasks, time.Since(w.asked) < refresh
	w.mu.Unlock()
	if d != nil && fresh {
		return d, nil
	}
	d, err := w.describe(ctx, "Task")
	if crm.VerdictOf(err) == crm.Reject { // it does not say: what setup makes is taken to be there until a Task says otherwise
		return &entity{Fields: []definition{{Name: w.callField(), ExternalID: true, Unique: true}}}, nil
	}
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tasks, w.asked = d, time.Now()
	return d, nil
}

// forget has the org asked anew what it says of Tasks.
func (w *Writer) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tasks = nil
}

// extraFields are the fields of Tasks for which the configuration gives names, and those that have one by default.
func (w *Writer) extraFields() map[string]string {
	out := map[string]string{}
	for _, ours := range slices.Sorted(maps.Keys(Fields)) {
		switch ours {
		case fieldCall, fieldStatus, fieldContactStatus, fieldDoNotCall, fieldPhone:
			continue
		}
		if f := w.s.Field(ours, Fields[ours]); f != "" {
			out[ours] = f
		}
	}
	return out
}

// first tells whether something is to be warned of: once in the process's life.
func (w *Writer) first(what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told == nil {
		w.told = map[string]bool{}
	}
	before := w.told[what]
	w.told[what] = true
	return !before
}
