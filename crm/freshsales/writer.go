package freshsales

import (
	"cmp"
	"context"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/warn"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Writer writes to one account.
type Writer struct {
	*record.Writer
	cfg    Config
	s      crm.Settings
	api    *api
	book   *people.Book
	owners *people.Owners
	daily  warn.Daily
	linger time.Duration // see step.Step

	choices cache.Cache[[]choice]        // what a selector offers, by its name
	custom  cache.Cache[map[string]bool] // the custom fields of sales activities
	narrow  cache.Cache[bool]            // whether contacts are looked up one spelling at a time
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
	client, err := httpx.New(base, cfg.Config, s.Workers, cfg.APIKey.Reveal())
	if err != nil {
		return nil, err
	}
	if len(cfg.Phones) == 0 {
		cfg.Phones = []string{mobile, "work_number"}
	}
	a := &api{client: client, key: cfg.APIKey.Reveal(), quota: quota{most: cmp.Or(cfg.PerHour, 900)}}
	// Whatever its search shows, Freshsales itself makes no second contact of a mobile number.
	w := &Writer{cfg: cfg, s: s, api: a, book: people.NewBook(s, 0), linger: step.Lingering}
	w.owners = people.NewOwners(w.user)
	w.Writer = record.New(schema{w}, record.Options{
		Settings: s, Owners: w.owners, Many: record.Each, Link: true,
		NoContact: "the call has no number of a contact, and in Freshsales an activity belongs to a contact",
	})
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.api.client.Close() }

// schema is what the frame asks of this kind.
type schema struct{ *Writer }

// Begin refuses a call whose status Freshsales does not take before anything is written.
func (s schema) Begin(ctx context.Context, j *record.Job) (record.Contacts, *people.Book, error) {
	statuses, err := s.statuses(ctx)
	if err != nil {
		return nil, nil, err
	}
	if e := j.Entry; e.SetStatus && e.Status != "" && find(statuses, e.Status) == nil {
		if statuses, err = s.takes(ctx, e.Status); err != nil {
			return nil, nil, err
		}
	}
	return persons{s.Writer, statuses, j.Progress}, s.book, nil
}

// targeted makes a new record one of the job's contact.
func targeted(f record.Fields, j *record.Job) record.Fields {
	f["targetable_type"], f["targetable_id"] = "Contact", number(j.Contact.ID)
	return f
}

// marker is the last line of every text of ours about a call.
func marker(j *record.Job) string { return "VInfer call: " + j.Entry.Call.ID }
