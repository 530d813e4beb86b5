package leadsquared

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Writer writes to one account.
type Writer struct {
	api      *api
	cfg      Config
	s        crm.Settings
	people   *people.Book
	owners   *people.Owners
	optional step.Optional
	linger   time.Duration // see step.Step

	narrow atomic.Bool  // this account has no search by a part of a number
	longer atomic.Int64 // characters of a note that the account has refused as too many; 0: none

	mu     sync.Mutex
	layout *layout              // nil: not looked up yet
	told   map[string]time.Time // what has been warned of
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
	client, err := httpx.New(base, cfg.Config, s.Workers, cfg.AccessKey.Reveal(), cfg.SecretKey.Reveal())
	if err != nil {
		return nil, err
	}
	cfg.Activity, cfg.TaskType = orDefault(cfg.Activity, "VInfer call"), orDefault(cfg.TaskType, "Call Back")
	cfg.ActivityLimit, cfg.NoteLimit = orDefault(cfg.ActivityLimit, 2000), orDefault(cfg.NoteLimit, 60_000)
	a := &api{client: client, base: base, access: cfg.AccessKey.Reveal(), secret: cfg.SecretKey.Reveal(), limit: newLimiter(orDefault(cfg.Rate, 10))}
	switch cfg.Auth {
	case AuthHeaders, AuthQuery:
		a.auth, a.certain = cfg.Auth, true
	default:
		a.auth = AuthHeaders
	}
	w := &Writer{
		api: a, cfg: cfg, s: s,
		// Whatever its search shows, LeadSquared itself makes no second lead of a number: leads are made by an upsert.
		people: people.NewBook(s, 0),
		linger: step.Lingering,
		told:   map[string]time.Time{},
	}
	w.owners = people.NewOwners(w.owner)
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.api.client.Close() }

// Find tells which lead a call would be written to.
func (w *Writer) Find(ctx context.Context, c crm.Contact) (crm.Match, error) {
	return w.people.Find(ctx, &directory{w: w}, c)
}

// Write writes the entry.
func (w *Writer) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Call.ID == "" {
		return crm.Rejected(errors.New("the call has no id"), "POST ProspectActivity.svc/Create")
	}
	at := layout{}
	if !e.NoActivity {
		var err error
		if at, err = w.activityType(ctx); err != nil {
			return err
		}
	}
	d := &directory{w: w, number: w.people.Number(e.Call.Contact), all: e.DoNotCall}
	found, err := w.people.Resolve(ctx, d, &e, p)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		if p.Refs[people.Ref] != "" {
			return nil // deleted by a person; there is nothing left that the call could stand at
		}
		return crm.Skipped("the call has no number of a lead, and in LeadSquared a call stands at a lead")
	}
	// Of several leads the oldest gets the task and the transcript: which one was changed last changes with each write.
	oldest := slices.MinFunc(found, func(a, b people.Record) int { return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID)) })
	for i, r := range found {
		j := &job{w: w, e: &e, p: p, lead: r, at: at, main: r.ID == oldest.ID, suffix: people.Suffix(p, r.ID)}
		// A lead gets its name before its first activity, so one that was made just now and had none has no activity either.
		j.bare = r.ID == d.made && nameOf(e.Call.Contact.Name) != "" && e.Event != crm.TranscriptReady
		if i == 0 && !j.bare {
			if j.bare, err = w.people.Recall(ctx, found, &e, p, j.held); err != nil {
				return err
			}
		}
		if err := w.updateLead(ctx, r, r.ID == d.made, &e, p); err != nil {
			return err
		}
		if err := j.run(ctx); err != nil {
			return err
		}
	}
	people.Wrote(&e, p)
	return nil
}

// updateLead sends what the entry changes of a lead: its stage, the wish not to be called, a name that it lacks, the owner of one
// that was made just now.
func (w *Writer) updateLead(ctx context.Context, r people.Record, made bool, e *crm.Entry, p *crm.Progress) error {
	if e.Event == crm.TranscriptReady {
		return nil
	}
	var fields []pair
	if status := w.people.Status(r, e, p); status != "" {
		fields = append(fields, pair{w.s.Field(fieldStatus, Fields[fieldStatus]), status})
	}
	if e.DoNotCall && !r.DoNotCall {
		fields = append(fields, pair{w.doNotCall(), "1"})
	}
	if name := w.people.NewName(r, e); nameOf(name) != "" && nameOf(name) != r.Name {
		fields = append(fields, namePairs(name)...)
	}
	if w.s.Owner != "" && made {
		id, err := w.owners.Or(ctx, w.s.Owner, "", p)
		if err != nil {
			return err
		}
		if id != "" && id != r.Owner {
			fields = append(fields, pair{"OwnerId", id})
		}
	}
	return w.explain(ctx, w.changeLead(ctx, r.ID, fields, p))
}

// changeLead sends fields of a lead, without the wish not to be called where the account has no such field.
func (w *Writer) changeLead(ctx context.Context, id string, fields []pair, p *crm.Progress) error {
	given := map[string]any{}
	for _, f := range fields {
		given[f.Attribute] = f.Value
	}
	return w.optional.Send(p, "Lead", given, []string{w.doNotCall()}, nil, func(left map[string]any) error {
		some := slices.DeleteFunc(slices.Clone(fields), func(f pair) bool { _, ok := left[f.Attribute]; return !ok })
		if len(some) == 0 {
			return nil
		}
		return w.api.call(ctx, "POST", "LeadManagement.svc/Lead.Update", w.leadQuery(id), some, nil)
	})
}

// doNotCall returns the field of leads that holds the wish not to be called.
func (w *Writer) doNotCall() string { return w.s.Field(fieldDoNotCall, Fields[fieldDoNotCall]) }

// warn warns of what does not change: once a day.
func (w *Writer) warn(p *crm.Progress, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if at, ok := w.told[format]; ok && time.Since(at) < 24*time.Hour {
		return
	}
	w.told[format] = time.Now()
	p.Warn(format, args...)
}

// owner asks for the id of a user who is given by id or email address.
func (w *Writer) owner(ctx context.Context, owner string) (id string, err error) {
	if !strings.Contains(owner, "@") {
		return owner, nil
	}
	var answer any
	if err := w.api.call(ctx, "GET", "UserManagement.svc/Users.Get", nil, nil, &answer); err != nil && !unavailable(err) {
		return "", err
	}
	users, err := rowsOf(answer, "List", "Users")
	if err != nil {
		return "", err
	}
	for _, u := range users {
		if strings.EqualFold(u.text("EmailAddress"), owner) {
			id = u.text("ID", "UserId", "Id")
		}
	}
	return id, nil
}
