package suitecrm

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Writer writes to one SuiteCRM.
type Writer struct {
	s        crm.Settings
	suite    *api
	book     *people.Book
	owners   *people.Owners
	optional step.Optional
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
	suite, err := newAPI(cfg, s.Workers)
	if err != nil {
		return nil, err
	}
	w := &Writer{s: s, suite: suite, book: people.NewBook(s, 0)}
	w.owners = people.NewOwners(w.user)
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.suite.client.Close() }

// Write finds or makes the lead, gives it its status, and makes the call, the task and the transcript's note.
func (w *Writer) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Call.ID == "" {
		return crm.Rejected(errors.New("the call has no id"), "POST Calls")
	}
	e.Call.Summary = text.CutBy(text.Clean(e.Call.Summary), longText, stored)
	found, err := w.book.Resolve(ctx, contacts{w, p}, &e, p)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		found = []people.Record{{}} // a call of nobody: it has no number, or its contact was deleted
	}
	if _, err := w.book.Recall(ctx, found, &e, p, func(ctx context.Context) (id, says string, there bool, err error) {
		b, err := w.suite.get(ctx, "Calls", ourID("call", e.Call.ID), "description", "deleted")
		if errors.Is(err, step.ErrGone) {
			return "", "", false, nil
		}
		return ourID("call", e.Call.ID), b.plain("description"), err == nil, err
	}); err != nil {
		return err
	}
	for _, r := range found {
		at := place{w: w, e: &e, p: p, contact: r, suffix: people.Suffix(p, r.ID)}
		at.module, at.id, _ = strings.Cut(r.ID, "/")
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
}

func (at *place) write(ctx context.Context) error {
	steps := step.Steps{Activity: at.activity, Task: at.task, Note: at.note}
	if at.id != "" {
		steps.Touch = func(ctx context.Context) error { return at.w.touch(ctx, at.e, at.contact, at.p) }
	}
	return steps.Take(ctx, at.e)
}

// namespace is that of the ids that are made of a call's id.
var namespace = uuid.MustParse("6d0b7f4e-3c52-4d0f-9c64-5b1d3f0a2c11")

// ourID returns the id of a record by what it is and whose it is.
func ourID(parts ...string) string {
	return uuid.NewSHA1(namespace, []byte(strings.Join(parts, "\n"))).String()
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
