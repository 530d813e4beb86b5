package odoo

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/warn"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Writer writes to one database of Odoo.
type Writer struct {
	s      crm.Settings
	odoo   *server
	book   *people.Book
	names  *names // of stages and lost reasons
	owners *people.Owners

	daily warn.Daily
}

// New returns a Writer. It sends nothing yet.
func New(cfg Config, s crm.Settings) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	client, err := httpx.Open("url", cfg.URL, cfg.Config, s.Workers, cfg.APIKey.Reveal())
	if err != nil {
		return nil, err
	}
	odoo := &server{cfg: cfg, client: client}
	w := &Writer{
		s: s, odoo: odoo, book: people.NewBook(s, 0),
		names: &names{odoo: odoo, field: "name"},
	}
	logins := &names{odoo: odoo, field: "login"}
	w.owners = people.NewOwners(func(ctx context.Context, name string) (string, error) {
		if _, err := strconv.ParseInt(name, 10, 64); err == nil {
			return name, nil
		}
		id, _, err := logins.find(ctx, "res.users", name)
		if err != nil || id == 0 {
			return "", err
		}
		return strconv.FormatInt(id, 10), nil
	})
	return w, nil
}

// Close closes the idle connections.
func (w *Writer) Close() error { return w.odoo.client.Close() }

// Write finds or makes the lead, gives it its status, and puts the call, the follow-up and the transcript into its chatter.
func (w *Writer) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Call.ID == "" {
		return crm.Rejected(errors.New("the call has no id"), "mail.activity")
	}
	isNew, err := w.recall(ctx, &e, p)
	if err != nil {
		return err
	}
	found, err := w.book.Resolve(ctx, contacts{w, p}, &e, p)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		if p.Refs[people.Ref] == "" {
			return crm.Skipped("the call has no number of a contact, and in Odoo a call belongs to a contact")
		}
		// Deleted by a person: there is nothing left that the call could stand at. The wish not to be called is the number's.
		if e.DoNotCall && e.Event != crm.TranscriptReady {
			return w.blacklist(ctx, w.book.Number(e.Call.Contact), p)
		}
		return nil
	}
	for i, r := range found {
		j := job{w: w, e: &e, p: p, contact: r, suffix: people.Suffix(p, r.ID), isNew: isNew}
		j.model, j.id = target(r.ID)
		if i == 0 {
			if _, err := w.book.Recall(ctx, found, &e, p, j.held); err != nil {
				return err
			}
		}
		if err := j.write(ctx); err != nil {
			return err
		}
	}
	people.Wrote(&e, p)
	return nil
}

// job is one entry on its way to one contact.
type job struct {
	w       *Writer
	e       *crm.Entry
	p       *crm.Progress
	contact people.Record
	model   string
	id      int64
	suffix  string // of the refs, where there are several contacts
	isNew   bool   // it is known that the call was not logged yet
}

func (j *job) write(ctx context.Context) error {
	touch := func(ctx context.Context) error { return j.w.touch(ctx, j.e, j.contact, j.p) }
	return step.Steps{Touch: touch, Activity: j.activity, Task: j.task, Note: j.note}.Take(ctx, j.e)
}

// hasLine tells whether one of the lines of s is line.
func hasLine(s, line string) bool {
	for l := range strings.Lines(s) {
		if strings.TrimSpace(l) == line {
			return true
		}
	}
	return false
}
