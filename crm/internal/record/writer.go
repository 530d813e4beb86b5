package record

import (
	"context"
	"errors"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Writer writes to one CRM by its Schema.
type Writer struct {
	schema  Schema
	options Options
}

// Options are what does not change from call to call.
type Options struct {
	Settings  crm.Settings
	Owners    *people.Owners
	Optional  *step.Optional // shared with the kind's Contacts; nil: the Writer has its own
	Many      Many
	Link      bool   // without an activity, the link to the transcript becomes a note
	NoContact string // why a call without a contact is skipped; empty: it is written
}

// Many says how a call is written to several contacts.
type Many int

// Values of Many.
const (
	Together   Many = iota // one activity is linked to all contacts; the first contact gets the task and the note
	Each                   // each contact gets all records
	Activities             // each contact gets an activity; the oldest contact gets the task and the note
)

// New returns a Writer.
func New(s Schema, o Options) *Writer {
	if o.Optional == nil {
		o.Optional = &step.Optional{}
	}
	return &Writer{schema: s, options: o}
}

// Find tells which contact a call would be written to, for crm.Finder.
func (w *Writer) Find(ctx context.Context, c crm.Contact) (crm.Match, error) {
	j := &Job{Entry: &crm.Entry{Call: crm.Call{Contact: c}, NoActivity: true}, Progress: crm.NewProgress(nil, nil), w: w}
	contacts, book, err := w.schema.Begin(ctx, j)
	if err != nil {
		return crm.Match{}, err
	}
	j.Number = book.Number(c)
	return book.Find(ctx, directory{contacts, j}, c)
}

var errNoID = errors.New("the call has no id")

// Write writes the entry, for crm.Writer.
func (w *Writer) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Call.ID == "" {
		return crm.Rejected(errNoID, "")
	}
	j := &Job{Entry: &e, Progress: p, w: w}
	contacts, book, err := w.schema.Begin(ctx, j)
	if err != nil {
		return err
	}
	j.Number = book.Number(e.Call.Contact)
	found, err := book.Resolve(ctx, directory{contacts, j}, &e, p)
	switch {
	case err != nil:
		return err
	case len(found) == 0 && w.options.NoContact != "" && p.Refs[people.Ref] != "":
		return nil // a person deleted the contact, so there is no place for the call
	case len(found) == 0 && w.options.NoContact != "":
		return crm.Skipped(w.options.NoContact)
	}
	targets := w.targets(found, p)
	for i, t := range targets {
		t.Entry, t.Progress, t.Number, t.State, t.w = j.Entry, j.Progress, j.Number, j.State, j.w
		activity, err := t.activity(ctx)
		if err == nil && i == 0 {
			err = t.recall(ctx, book, found, activity)
		}
		if err != nil {
			return err
		}
		steps := step.Steps{
			Touch: func(ctx context.Context) error {
				if err := t.touch(ctx, contacts, book); err != nil {
					return err
				}
				if i == len(targets)-1 {
					people.Wrote(&e, p)
				}
				return nil
			},
			Activity: func(ctx context.Context) (err error) {
				if activity != nil {
					t.Activity, err = t.once(ctx, activity)
				}
				return err
			},
			Task: t.task,
			Note: t.notes,
		}
		if err := steps.Take(ctx, &e); err != nil {
			return err
		}
	}
	return nil
}

// target is a Job, and whether its contact gets the task and the note.
type target struct {
	Job
	main   bool
	suffix string // of the refs of those
}

// targets returns the jobs of a write, in order.
func (w *Writer) targets(found []people.Record, p *crm.Progress) (out []*target) {
	if len(found) == 0 {
		return []*target{{main: true}} // the call has no number, or its contact was deleted
	}
	if w.options.Many == Together {
		return []*target{{Job: Job{Contacts: found, Contact: found[0]}, main: true}}
	}
	oldest := people.Oldest(found) // not the last changed, which differs with every write
	for _, r := range found {
		t := &target{Job: Job{Contacts: []people.Record{r}, Contact: r, Suffix: people.Suffix(p, r.ID)}, main: r.ID == oldest.ID}
		if w.options.Many == Each {
			t.main, t.suffix = true, t.Suffix
		}
		out = append(out, t)
	}
	return out
}

// activity returns the record of the call; nil: none.
func (t *target) activity(ctx context.Context) (*Record, error) {
	if t.Entry.NoActivity {
		return nil, nil
	}
	r, err := t.w.schema.Activity(ctx, &t.Job)
	if r != nil {
		r.ref = "activity" + t.Suffix
	}
	return r, err
}

// recall finds what an earlier attempt did where the refs do not tell.
func (t *target) recall(ctx context.Context, book *people.Book, found []people.Record, activity *Record) (err error) {
	if activity == nil || activity.Fresh {
		return nil
	}
	activity.Fresh, err = book.Recall(ctx, found, t.Entry, t.Progress, func(ctx context.Context) (id, says string, there bool, err error) {
		f, err := activity.Table.Find(ctx, &t.Job, activity)
		t.held = f.Held
		return f.ID, activity.Body.plain(f.Body), f.ID != "", err
	})
	return err
}

// task creates or updates the follow-up.
func (t *target) task(ctx context.Context) error {
	if !t.main {
		return nil
	}
	r, err := t.w.schema.Task(ctx, &t.Job)
	if err != nil || r == nil {
		return err
	}
	r.ref = "task" + t.suffix
	r.Fresh = r.Fresh || t.fresh
	_, err = t.once(ctx, r)
	return err
}

// notes creates the note with the transcript, and the one with the link where there is no activity to hold it.
func (t *target) notes(ctx context.Context) error {
	if !t.main {
		return nil
	}
	e := t.Entry
	if e.NoActivity && t.w.options.Link && e.Call.TranscriptURL != "" {
		n := Note{Head: text.LinkHead(e.Call.ID), Text: func(limit int) string { return text.Cut(text.Link(&e.Call), limit) }, Link: true}
		if err := t.note(ctx, "link", n); err != nil {
			return err
		}
	}
	if !text.HasNote(e) {
		return nil
	}
	return t.note(ctx, "note", Note{Head: text.NoteHead(e.Call.ID), Text: func(limit int) string { return text.Note(e, t.w.options.Settings.In, limit) }})
}

func (t *target) note(ctx context.Context, ref string, n Note) error {
	r, err := t.w.schema.Note(ctx, &t.Job, n)
	if err != nil || r == nil {
		return err
	}
	r.ref = ref + t.suffix
	r.Fresh, r.Fixed = r.Fresh || t.fresh, true
	_, err = t.once(ctx, r)
	return err
}
