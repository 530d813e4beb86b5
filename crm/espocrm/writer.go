package espocrm

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/warn"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Writer writes to one site.
type Writer struct {
	*record.Writer
	api    *api
	admin  *api // nil: no administrator is configured
	s      crm.Settings
	book   *people.Book
	owners *people.Owners
	hmac   bool
	daily  warn.Daily

	self  cache.Cache[string]   // the API user's id
	there cache.Cache[struct{}] // custom fields that are known to be there, as "Call.cVinferCallId"
}

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
		api: &api{client, byKey(cfg.APIKey.Reveal())}, s: s, hmac: !cfg.SecretKey.Empty(),
		book: people.NewBook(s, 0), // EspoCRM searches its database: what was made is found at once
	}
	if w.hmac {
		w.api.sign = byHMAC(cfg.APIKey.Reveal(), cfg.SecretKey.Reveal())
	}
	if cfg.AdminUser != "" {
		w.admin = &api{client, byPassword(cfg.AdminUser, cfg.AdminPassword.Reveal())}
	}
	w.owners = people.NewOwners(w.owner)
	w.Writer = record.New(schema{w}, record.Options{Settings: s, Owners: w.owners, Link: true})
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.api.client.Close() }

// schema is what the frame asks of this kind.
type schema struct{ *Writer }

// Begin looks whether the call's id can be kept.
func (s schema) Begin(ctx context.Context, j *record.Job) (record.Contacts, *people.Book, error) {
	if !j.Entry.NoActivity {
		if err := s.ready(ctx, "Call"); err != nil {
			return nil, nil, err
		}
	}
	return contacts{s.Writer, j.Progress}, s.book, nil
}

// entity is a type of records that carry the call's id.
type entity struct {
	w         *Writer
	name      string
	optionals []string // attributes whose loss is told
}

// Find asks for the record that holds the call's id.
func (t entity) Find(ctx context.Context, j *record.Job, _ *record.Record) (record.Found, error) {
	rows, err := t.w.api.list(ctx, t.name, where("equals", t.w.callField(), j.Entry.Call.ID, "id", "description"))
	if err != nil || len(rows) == 0 {
		return record.Found{}, err
	}
	oldest := rows[len(rows)-1] // should there ever be two
	return record.Found{ID: oldest.Text("id"), Body: oldest.Text("description")}, nil
}

// Read reads the whole record.
func (t entity) Read(ctx context.Context, _ *record.Job, id string) (record.Fields, error) {
	return t.w.api.read(ctx, t.name, id)
}

// Create makes the record and tells of what EspoCRM has dropped of it. The next call is not written without the field for its id: see ready.
func (t entity) Create(ctx context.Context, j *record.Job, f record.Fields) (string, error) {
	f[t.w.callField()] = j.Entry.Call.ID
	made, err := t.w.api.create(ctx, t.name, f, nil)
	if err != nil {
		return "", err
	}
	for _, a := range append(t.optionals, t.w.callField()) {
		if !dropped(f, made, a) {
			continue
		}
		if a == t.w.callField() {
			t.w.there.Forget(t.name + "." + a)
		}
		t.w.daily.Warn(j.Progress, t.name+"."+a, "EspoCRM drops %s.%s: the field is not there any more, or the API user's role may not see it", t.name, a)
	}
	return made.Text("id"), nil
}

// Update changes the record.
func (t entity) Update(ctx context.Context, _ *record.Job, id string, _, f record.Fields) error {
	_, err := t.w.api.update(ctx, t.name, id, f)
	return err
}

// callField returns the attribute of Call and Task that holds VInfer's id of the call.
func (w *Writer) callField() string { return w.s.Field(fieldCall, Fields[fieldCall]) }

// ready looks once whether the call's id can be kept: without the field EspoCRM would drop it silently, and repeats would double.
func (w *Writer) ready(ctx context.Context, entity string) error {
	field := entity + "." + w.callField()
	_, err := w.there.Get(ctx, field, func(ctx context.Context) (none struct{}, keep time.Duration, err error) {
		def, err := w.define(ctx, field)
		if err == nil && def == nil {
			err = crm.Halted(fmt.Errorf("%s has no field %s, which keeps the call's id: run vinfer-sync setup (or give the API user's role access to %s)",
				w.api.host(), field, entity))
		}
		return none, cache.Forever, err
	})
	return err
}

// user returns the API user's id.
func (w *Writer) user(ctx context.Context) (string, error) {
	return w.self.Get(ctx, "", func(ctx context.Context) (string, time.Duration, error) {
		var answer struct{ User object }
		err := w.api.call(ctx, http.MethodGet, "App/user", nil, nil, nil, &answer)
		self := answer.User.Text("id")
		if err == nil && self == "" {
			err = fmt.Errorf("%s does not say who the API user is", w.api.host())
		}
		return self, cache.Forever, err
	})
}

var espoID = regexp.MustCompile(`^[0-9a-f]{17}$`)

// owner asks for the id of a user who is given by id or user name.
func (w *Writer) owner(ctx context.Context, owner string) (id string, err error) {
	if espoID.MatchString(owner) {
		return owner, nil
	}
	rows, err := w.api.list(ctx, "User", where("equals", "userName", owner, "id", "userName"))
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return rows[0].Text("id"), nil
}

// owned says whose a new record is: EspoCRM demands an owner.
func (w *Writer) owned(named string) record.Owner {
	return record.Owner{Field: "assignedUserId", Named: named, Else: w.user}
}
