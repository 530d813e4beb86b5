package leadsquared

import (
	"cmp"
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/pace"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/warn"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Writer writes to one account.
type Writer struct {
	*record.Writer
	api      *api
	cfg      Config
	s        crm.Settings
	book     *people.Book
	owners   *people.Owners
	optional step.Optional
	daily    warn.Daily
	linger   time.Duration // see step.Step

	narrow atomic.Bool  // this account has no search by a part of a number
	longer atomic.Int64 // characters of a note that the account has refused as too many; 0: none

	layout cache.Cache[layout]
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
	client, err := httpx.New(base, cfg.Config, s.Workers, cfg.AccessKey.Reveal(), cfg.SecretKey.Reveal())
	if err != nil {
		return nil, err
	}
	cfg.Activity, cfg.TaskType = cmp.Or(cfg.Activity, "VInfer call"), cmp.Or(cfg.TaskType, "Call Back")
	cfg.ActivityLimit, cfg.NoteLimit = cmp.Or(cfg.ActivityLimit, 2000), cmp.Or(cfg.NoteLimit, 60_000)
	a := &api{client: client, access: cfg.AccessKey.Reveal(), secret: cfg.SecretKey.Reveal(), limit: pace.Even(cmp.Or(cfg.Rate, 10), 5*time.Second), auth: AuthHeaders}
	if cfg.Auth == AuthHeaders || cfg.Auth == AuthQuery {
		a.auth, a.certain = cfg.Auth, true
	}
	w := &Writer{
		api: a, cfg: cfg, s: s, linger: step.Lingering,
		// Whatever its search shows, LeadSquared itself makes no second lead of a number: leads are made by an upsert.
		book: people.NewBook(s, 0),
	}
	w.owners = people.NewOwners(w.owner)
	w.Writer = record.New(schema{w}, record.Options{
		Settings: s, Owners: w.owners, Optional: &w.optional, Many: record.Activities, Link: true,
		NoContact: "the call has no number of a lead, and in LeadSquared a call belongs to a lead",
	})
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.api.client.Close() }

// schema is what the frame asks of this kind.
type schema struct{ *Writer }

// Begin looks the activity type up.
func (s schema) Begin(ctx context.Context, j *record.Job) (record.Contacts, *people.Book, error) {
	if !j.Entry.NoActivity {
		at, err := s.activityType(ctx)
		if err != nil {
			return nil, nil, err
		}
		j.State = at
	}
	return &leads{w: s.Writer, j: j}, s.book, nil
}

// owner asks for the id of a user who is given by id or email address.
func (w *Writer) owner(ctx context.Context, owner string) (id string, err error) {
	if !strings.Contains(owner, "@") {
		return owner, nil
	}
	users, err := w.api.rows(ctx, "GET", "UserManagement.svc/Users.Get", nil, nil)
	if err != nil && !unavailable(err) {
		return "", err
	}
	for _, u := range users {
		if strings.EqualFold(u.text("EmailAddress"), owner) {
			id = u.text("ID", "UserId", "Id")
		}
	}
	return id, nil
}
