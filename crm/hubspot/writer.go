package hubspot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// lag is how long HubSpot's search may hide a new contact. None is promised; this is several times what users report.
const lag = time.Minute

// Writer writes to one portal.
type Writer struct {
	api      *api
	s        crm.Settings
	keyed    *people.Book // for portals where contacts carry our key: what was made is found at once
	slow     *people.Book // for the others
	owners   *people.Owners
	optional step.Optional

	defining    sync.Mutex
	definitions map[string]remembered // by "calls.vinfer_call_id"
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
	base, err := cfg.base()
	if err != nil {
		return nil, err
	}
	token := cfg.AccessToken.Reveal()
	client, err := httpx.New(base, cfg.Config, s.Workers, token)
	if err != nil {
		return nil, err
	}
	searches := cfg.SearchRate
	if searches == 0 {
		searches = defaultSearches
	}
	w := &Writer{
		api: &api{client, base, token, newPace(defaultMax, defaultWindow), newPace(searches, time.Second)}, s: s,
		keyed: people.NewBook(s, 0), slow: people.NewBook(s, lag),
		definitions: map[string]remembered{},
	}
	w.owners = people.NewOwners(w.owner)
	// A process that was killed a moment ago may have used this second's, and no answer would tell.
	w.api.searches.occupy(min(searches, defaultSearches))
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.api.client.Close() }

// Find tells which contact a call would be written to.
func (w *Writer) Find(ctx context.Context, c crm.Contact) (crm.Match, error) {
	book, err := w.book(ctx)
	if err != nil {
		return crm.Match{}, err
	}
	return book.Find(ctx, &directory{w: w, p: crm.NewProgress(nil, nil)}, c)
}

// book returns the Book that fits what the portal can do.
func (w *Writer) book(ctx context.Context) (*people.Book, error) {
	_, unique, err := w.key(ctx, contacts)
	if unique {
		return w.keyed, err
	}
	return w.slow, err
}

// Write writes the entry.
func (w *Writer) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Call.ID == "" {
		return crm.Rejected(errors.New("the call has no id"), "POST "+objectsPath+calls)
	}
	book, err := w.book(ctx)
	if err != nil {
		return err
	}
	d := &directory{w: w, p: p}
	found, err := book.Resolve(ctx, d, &e, p)
	if err != nil {
		return err
	}
	// Nothing can hang on a contact that this attempt has made.
	j := &job{w: w, e: &e, p: p, contacts: found, number: book.Number(e.Call.Contact), fresh: d.made}
	if j.looked, err = book.Recall(ctx, found, &e, p, j.held); err != nil {
		return err
	}
	for _, r := range found {
		if err := w.updateContact(ctx, book, r, &e, p); err != nil {
			return err
		}
	}
	people.Wrote(&e, p)
	return j.run(ctx)
}

// updateContact sends what the entry changes of a contact: its status, the wish not to be called, a name that it lacks.
func (w *Writer) updateContact(ctx context.Context, book *people.Book, r people.Record, e *crm.Entry, p *crm.Progress) error {
	if e.Event == crm.TranscriptReady {
		return nil
	}
	o := map[string]any{}
	if status := book.Status(r, e, p); status != "" {
		o[w.field(fieldStatus)] = status
	}
	if e.DoNotCall && !r.DoNotCall {
		if err := w.setDoNotCall(ctx, o, p); err != nil {
			return err
		}
	}
	setName(o, book.NewName(r, e))
	if len(o) == 0 {
		return nil
	}
	err := w.optional.Send(p, "contacts", o, w.contactOptionals(), names, func(properties map[string]any) error {
		if len(properties) == 0 {
			return nil
		}
		return w.api.update(ctx, contacts, r.ID, properties)
	})
	return w.explain(ctx, err)
}

// contactOptionals are the properties that a contact can do without. Its status is none of them.
func (w *Writer) contactOptionals() []string {
	return []string{w.field(fieldDoNotCall), "firstname", "lastname", "hubspot_owner_id"}
}

// setDoNotCall adds the wish not to be called, if the portal has a property for it.
func (w *Writer) setDoNotCall(ctx context.Context, o map[string]any, p *crm.Progress) error {
	name := w.field(fieldDoNotCall)
	def, err := w.define(ctx, contacts, name)
	switch {
	case err != nil:
		return err
	case def == nil || def.forbidden:
		p.Warn("the contact asked not to be called again, and HubSpot shows no property %s of contacts to say so: run vinfer-sync setup", name)
	default:
		o[name] = "true"
	}
	return nil
}

// explain adds to a refused status what the portal would take.
func (w *Writer) explain(ctx context.Context, err error) error {
	name := w.field(fieldStatus)
	if statusOf(err) != http.StatusBadRequest || !names(err, name) {
		return err
	}
	def, e := w.define(ctx, contacts, name)
	if e != nil || def == nil || len(def.Options) == 0 {
		return err
	}
	var r *refused
	errors.As(err, &r)
	return &refused{fmt.Errorf("%w; %s takes %s", r.error, name, def.choices()), r.status, r.body}
}

// owner asks for the id of an owner who is given by id or mail address.
func (w *Writer) owner(ctx context.Context, owner string) (id string, err error) {
	if !strings.Contains(owner, "@") {
		return owner, nil
	}
	var answer list
	if err := w.api.call(ctx, http.MethodGet, ownersPath, url.Values{"email": {owner}, "limit": {"1"}}, nil, &answer); err != nil {
		return "", err
	}
	rows, err := answer.rows(w.api, "a search for owners")
	if err != nil {
		return "", err
	}
	if len(rows) > 0 {
		id = string(rows[0].ID)
	}
	return id, nil
}
