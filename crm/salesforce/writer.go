package salesforce

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/warn"
)

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
	daily    warn.Daily
	tasks    cache.Cache[*entity] // what the org says of Tasks
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
	return w.people.Find(ctx, contacts{w: w}, c)
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
	if j.contacts, err = w.people.Resolve(ctx, contacts{w: w, j: j}, &e, p); err != nil {
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
		if id == "" || strings.EqualFold(o.Text("Username"), owner) {
			id = o.Text("Id")
		}
	}
	return id, nil
}
