package zoho

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Writer writes to one organisation.
type Writer struct {
	s        crm.Settings
	api      *api
	live     *people.Book // where the database can be asked for a new lead
	late     *people.Book // where only the search can, which lags
	owners   *people.Owners
	optional step.Optional
	linger   time.Duration // see step.Step
	company  atomic.Bool   // leads must have a company here
}

var (
	_ crm.Writer      = (*Writer)(nil)
	_ crm.Checker     = (*Writer)(nil)
	_ crm.Finder      = (*Writer)(nil)
	_ crm.Provisioner = (*Writer)(nil)
)

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
	return &Writer{s: s, api: a, owners: people.NewOwners(a.user), linger: step.Lingering, live: people.NewBook(s, step.Lingering), late: people.NewBook(s, lag)}, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.api.close() }

// Find tells which lead or contact a call would be written to.
func (w *Writer) Find(ctx context.Context, c crm.Contact) (crm.Match, error) {
	book, err := w.book(ctx)
	if err != nil {
		return crm.Match{}, err
	}
	return book.Find(ctx, directory{Writer: w}, c)
}

// book returns the one that knows how late a search shows what was made.
func (w *Writer) book(ctx context.Context) (*people.Book, error) {
	m, err := w.api.module(ctx, leads)
	if err != nil {
		return nil, err
	}
	able, err := w.api.canQuery(ctx, leads, w.byNumber(leads, m, []string{quote("0")}))
	if able {
		return w.live, err
	}
	return w.late, err
}

// Write finds or makes the lead, gives it its status, and makes the call, the task and the transcript's note.
func (w *Writer) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Call.ID == "" {
		return crm.Rejected(errors.New("the call has no id"), "POST Calls")
	}
	e.Call.Summary = text.Cut(text.Clean(e.Call.Summary), longText)
	book, err := w.book(ctx)
	if err != nil {
		return err
	}
	found, err := book.Resolve(ctx, directory{w, p}, &e, p)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		found = []people.Record{{}} // a call of nobody: it has no number, or its contact was deleted
	}
	for i, r := range found {
		at := place{w: w, e: &e, p: p, contact: r, key: e.Call.ID}
		at.module, at.id, _ = strings.Cut(r.ID, "/")
		if i > 0 {
			at.suffix = "@" + r.ID
			at.key += at.suffix
		} else if at.looked, err = book.Recall(ctx, found, &e, p, at.held); err != nil {
			return err
		}
		if err := at.write(ctx); err != nil {
			return err
		}
	}
	people.Wrote(&e, p)
	return nil
}

// place is one contact to which an entry is written, or none.
type place struct {
	w          *Writer
	e          *crm.Entry
	p          *crm.Progress
	contact    people.Record
	module, id string
	suffix     string // of the refs, where there are several contacts
	key        string // what the field for the call's id holds
	looked     bool   // the activity was looked for, and is not there
	call       string // id of the activity; empty: there is none
	fresh      bool   // it was made by this attempt
}

func (at *place) write(ctx context.Context) error {
	steps := step.Steps{Activity: at.activity, Task: at.task, Note: at.note}
	if at.id != "" {
		steps.Touch = func(ctx context.Context) error { return at.w.touch(ctx, at.e, at.contact, at.p) }
	}
	return steps.Take(ctx, at.e)
}

// relate names the contact in what is written: a contact of Zoho's has a field of its own, anything else shares another. It returns
// which of them the record can do without: a lead that was converted takes no calls and tasks any more.
func (at *place) relate(values record) (optional []string) {
	switch {
	case at.id == "":
	case at.module == contacts:
		values["Who_Id"] = record{"id": at.id}
	default:
		values["What_Id"], values["$se_module"] = record{"id": at.id}, at.module
		if at.contact.Superseded {
			return []string{"What_Id", "$se_module"}
		}
	}
	return nil
}
