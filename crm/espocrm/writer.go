package espocrm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Writer writes to one site.
type Writer struct {
	api      *api
	admin    *api // nil: no administrator is configured
	s        crm.Settings
	people   *people.Book
	owners   *people.Owners
	optional step.Optional
	hmac     bool

	mu    sync.Mutex
	self  string          // the API user's id
	there map[string]bool // custom fields that are known to be there, as "Call.cVinferCallId"
	told  map[string]bool // what has been warned of
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
	client, err := httpx.New(base, cfg.Config, s.Workers, cfg.APIKey.Reveal(), cfg.SecretKey.Reveal(), cfg.AdminPassword.Reveal())
	if err != nil {
		return nil, err
	}
	w := &Writer{
		api: &api{client, base, byKey(cfg.APIKey.Reveal())}, s: s, hmac: !cfg.SecretKey.Empty(),
		// EspoCRM searches its database: what was made is found at once.
		people: people.NewBook(s, 0), there: map[string]bool{}, told: map[string]bool{},
	}
	w.owners = people.NewOwners(w.owner)
	if w.hmac {
		w.api.sign = byHMAC(cfg.APIKey.Reveal(), cfg.SecretKey.Reveal())
	}
	if cfg.AdminUser != "" {
		w.admin = &api{client, base, byPassword(cfg.AdminUser, cfg.AdminPassword.Reveal())}
	}
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.api.client.Close() }

// Find tells which lead or contact a call would be written to.
func (w *Writer) Find(ctx context.Context, c crm.Contact) (crm.Match, error) {
	return w.people.Find(ctx, directory{w: w}, c)
}

// Write writes the entry.
func (w *Writer) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Call.ID == "" {
		return crm.Rejected(errors.New("the call has no id"), "POST Call")
	}
	if !e.NoActivity {
		if err := w.ready(ctx, "Call"); err != nil {
			return err
		}
	}
	found, err := w.people.Resolve(ctx, directory{w, p}, &e, p)
	if err != nil {
		return err
	}
	j := &job{w: w, e: &e, p: p, contacts: found}
	if j.looked, err = w.people.Recall(ctx, found, &e, p, j.held); err != nil {
		return err
	}
	for _, r := range found {
		if err := w.updateContact(ctx, r, &e, p); err != nil {
			return err
		}
	}
	people.Wrote(&e, p)
	return j.run(ctx)
}

// updateContact sends what the entry changes of a contact: its status, the wish not to be called, a name that it lacks.
func (w *Writer) updateContact(ctx context.Context, r people.Record, e *crm.Entry, p *crm.Progress) error {
	if e.Event == crm.TranscriptReady {
		return nil
	}
	entity, id, _ := strings.Cut(r.ID, "/")
	o := object{}
	if f := w.statusField(entity); f != "" {
		if status := w.people.Status(r, e, p); status != "" {
			o[f] = status
		}
	}
	if e.DoNotCall && !r.DoNotCall {
		o[w.doNotCall()] = true
	}
	if name := nameOf(w.people.NewName(r, e)); name != "" && name != r.Name {
		setName(o, name)
	}
	if len(o) == 0 {
		return nil
	}
	answer, err := w.api.update(ctx, entity, id, o)
	if err != nil {
		return w.explain(ctx, err)
	}
	return w.kept(entity, o, answer, p)
}

// kept looks whether a Lead or Contact, as EspoCRM answers it, has the attributes that matter: EspoCRM drops without a word what it does not know, or
// what the API user's role may not see.
func (w *Writer) kept(entity string, sent, answer object, p *crm.Progress) error {
	dropped := func(field string) bool {
		_, given := sent[field]
		_, held := answer[field]
		return given && !held
	}
	if f := w.doNotCall(); dropped(f) {
		p.Warn("the contact asked not to be called again, and EspoCRM drops %s.%s, which is to say so: see that the field is there and that the API user's role may edit it", entity, f)
	}
	if f := w.statusField(entity); dropped(f) {
		return crm.Rejected(fmt.Errorf("%s drops the lead status: %s has no field %s, or the API user's role may not see it: add the field, or name another by fields: {status: …}",
			w.api.base.Host, entity, f), "PUT "+entity+" {"+f+"}")
	}
	return nil
}

// statusField returns the attribute that holds the lead status; empty: records of this type have none.
func (w *Writer) statusField(entity string) string {
	if entity == lead {
		return w.s.Field(fieldStatus, "status")
	}
	return w.s.Field(fieldContactStatus, "")
}

// doNotCall returns the attribute that holds the wish not to be called.
func (w *Writer) doNotCall() string { return w.s.Field(fieldDoNotCall, Fields[fieldDoNotCall]) }

// callField returns the attribute of Call and Task that holds VInfer's id of the call.
func (w *Writer) callField() string { return w.s.Field(fieldCall, Fields[fieldCall]) }

// explain adds to a refused status what the site would take.
func (w *Writer) explain(ctx context.Context, err error) error {
	f := w.statusField(lead)
	if statusOf(err) != http.StatusBadRequest || !step.InText(err, f) {
		return err
	}
	options, e := w.statuses(ctx, lead)
	if e != nil || len(options) == 0 {
		return err
	}
	var r *refused
	errors.As(err, &r)
	return &refused{fmt.Errorf("%w; Lead.%s takes %s", r.error, f, strings.Join(options, ", ")), r.status, r.body}
}

// ready looks once whether the call's id can be kept: without the field EspoCRM would drop it silently, and repeats would double.
func (w *Writer) ready(ctx context.Context, entity string) error {
	field := entity + "." + w.callField()
	w.mu.Lock()
	known := w.there[field]
	w.mu.Unlock()
	if known {
		return nil
	}
	def, err := w.api.metadata(ctx, "entityDefs."+entity+".fields."+w.callField())
	if err != nil {
		return err
	}
	if def == nil {
		return crm.Halted(fmt.Errorf("%s has no field %s, which keeps the call's id: run vinfer-sync setup (or give the API user's role access to %s)",
			w.api.base.Host, field, entity))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.there[field] = true
	return nil
}

// user returns the API user's id.
func (w *Writer) user(ctx context.Context) (string, error) {
	w.mu.Lock()
	self := w.self
	w.mu.Unlock()
	if self != "" {
		return self, nil
	}
	var answer struct{ User object }
	if err := w.api.call(ctx, http.MethodGet, "App/user", nil, nil, nil, &answer); err != nil {
		return "", err
	}
	self = answer.User.text("id")
	if self == "" {
		return "", fmt.Errorf("%s does not say who the API user is", w.api.base.Host)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.self = self
	return self, nil
}

var espoID = regexp.MustCompile(`^[0-9a-f]{17}$`)

// owner asks for the id of a user who is given by id or user name.
func (w *Writer) owner(ctx context.Context, owner string) (id string, err error) {
	if espoID.MatchString(owner) {
		return owner, nil
	}
	rows, err := w.api.list(ctx, "User", where("equals", "userName", owner, "id", "userName"))
	if err != nil {
		return "", err
	}
	if len(rows) > 0 {
		id = rows[0].text("id")
	}
	return id, nil
}

// first tells whether something is to be warned of: once in the process's life.
func (w *Writer) first(what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.told[what]
	w.told[what] = true
	return !before
}
