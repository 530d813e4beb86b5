// Package record is what all writers to CRMs with contacts, activities, tasks and notes do alike: it finds or makes the contact,
// brings it up to date, and makes each record of a call once, changes in it what differs, and keeps what people changed.
//
// A kind says how its CRM is spoken to and what its records are called. It is three things:
//
//   - Contacts: how contacts are searched for, read, made and changed;
//   - a Table for each kind of record: how one is found, read, made and changed;
//   - a Schema: for the activity, the task and the note, a Record that says by which names the CRM knows what a call says.
//
// A Record is data: a kind may write it down as Go, or read it from a file. What one CRM does and no other stands in the kind's
// Contacts and Tables, or in a named hook of a Record (Same, Untouched, After).
//
// # The order of a Write
//
// Begin; the contact is found or made; the activity is looked for if its outcome decides whether the status is set (people.Book.Recall);
// the contact is changed; the activity, the task and the note are made or changed. Each id is saved before the next request.
package record

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Fields are values of a record by the CRM's names of its fields.
type Fields map[string]any

// Set sets a field to a value; nothing is set for an empty name or an empty value.
func (f Fields) Set(name string, v any) {
	if name != "" && v != nil && v != "" {
		f[name] = v
	}
}

// Text returns a field that holds text; empty: it does not.
func (f Fields) Text(name string) string {
	s, _ := f[name].(string)
	return s
}

// Schema is what a kind says of its CRM.
type Schema interface {
	// Begin prepares the writing of j.Entry, which it may shorten to what the CRM holds, and returns the contacts, and the Book that fits how
	// they are searched. It is where a CRM that lacks what a call needs is found out, before anything is written.
	Begin(ctx context.Context, j *Job) (Contacts, *people.Book, error)
	// Activity, Task and Note return what is to be made for j.Contact; a nil Record: nothing.
	Activity(ctx context.Context, j *Job) (*Record, error)
	Task(ctx context.Context, j *Job) (*Record, error)
	Note(ctx context.Context, j *Job, n Note) (*Record, error)
}

// Contacts are the contacts of a CRM, during one Write. They may implement people.Holder.
type Contacts interface {
	// Search and Read are those of people.Directory.
	Search(ctx context.Context, n phone.Number) ([]people.Record, error)
	Read(ctx context.Context, id string) (people.Record, bool, error)
	// Create makes the contact of a number as r is, and returns it with its id. r has the number and, if they are given, a name, a status, an
	// owner and DoNotCall. A CRM that answers that there is one already returns that one; for people.ErrNumber see there.
	Create(ctx context.Context, n phone.Number, r people.Record) (people.Record, error)
	// Change changes a contact.
	Change(ctx context.Context, r people.Record, c Change) error
}

// Change is what a call changes of a contact: what is not empty.
type Change struct {
	Status, Name string
	DoNotCall    bool
}

// Table is where records of one kind are: how one is found, read, made and changed. Its errors are those of a Write.
type Table interface {
	// Find returns the record that an earlier attempt made, by the strongest key that the CRM has, never by an index that lags.
	Find(ctx context.Context, j *Job, r *Record) (Found, error)
	// Read returns a record; step.ErrGone: it is not there any more.
	Read(ctx context.Context, j *Job, id string) (Fields, error)
	// Create makes a record and returns its id. Exists says that the CRM has one with its key already.
	Create(ctx context.Context, j *Job, f Fields) (id string, err error)
	// Update changes the fields given and no others. held is what the record holds.
	Update(ctx context.Context, j *Job, id string, held, f Fields) error
}

// Found is a record that was looked for.
type Found struct {
	ID   string // empty: there is none
	Body string // its text, for an activity
	Held Fields // the whole of it, where the search shows that; nil: Read is asked
}

// Fixed is the part of a Table whose records stay as they are, such as notes.
type Fixed struct{}

// Read is asked only of what Create says to be there already, and has nothing to add.
func (Fixed) Read(context.Context, *Job, string) (Fields, error) { return nil, nil }

// Update has nothing to do.
func (Fixed) Update(context.Context, *Job, string, Fields, Fields) error { return nil }

// Exists is what Table.Create returns, wrapped or not, where the CRM has the record already.
type Exists struct {
	ID  string
	Err error
}

func (e *Exists) Error() string { return e.Err.Error() }

// Unwrap returns the CRM's own error.
func (e *Exists) Unwrap() error { return e.Err }

// Record is one record of a call: what it says, and by which names.
type Record struct {
	Table Table
	Name  string // for reports: "Call"

	Values Fields   // what is known of the call: a new record gets it, and an old one is changed to it
	New    Fields   // what a new record gets besides: its links, and what stands for what is not known
	Title  string   // the field among Values that holds text.Title; one that people changed is kept
	Body   Body     // the field that holds a text.Body
	Keep   []string // fields among Values that are left alone where the record has any value
	Owner  Owner

	Optional []string                           // fields that the record can do without, if the CRM refuses them
	Named    func(err error, field string) bool // whether an error is about a field; nil: see step.Optional

	Content any           // what an equal repeat does not send again; nil: Values and the body
	Keyed   bool          // the CRM refuses a second one of the same key: Find is asked after a failed Create only
	Fresh   bool          // no earlier attempt can have made it
	Fixed   bool          // it is never changed once it is there
	Linger  time.Duration // see step.Step
	Tried   bool          // Find needs to know when the record was last asked to be made: see Job.Tried

	// Same tells whether a record holds a value already, where the CRM shows values in another form than it takes them; nil: it does not.
	Same func(held Fields, name string, v any) bool
	// Untouched tells whether nobody has begun with a task; nil: it is changed in any case.
	Untouched func(held Fields) bool
	// After makes what belongs to the record and needs its id, by steps of its own.
	After func(ctx context.Context, id string) error

	ref string
}

// Ref returns the name under which the refs keep the record's id.
func (r *Record) Ref() string { return r.ref }

// Body is the field for the text of a call: the outcome, the summary and what the CRM has no field for. In a newer text of a call stays what only the
// older one knew, and what people wrote around it.
type Body struct {
	Field string // empty: the record has no such text
	Limit int    // in characters
	// Write and Plain turn the text, cut to a limit, into what the field holds, and back; nil: as it is.
	Write func(words func(limit int) string) string
	Plain func(held string) string
}

func (b Body) write(t text.Body) string {
	if b.Write != nil {
		return b.Write(t.Within)
	}
	return t.Within(b.Limit)
}

func (b Body) plain(held string) string {
	if b.Plain != nil {
		return b.Plain(held)
	}
	return held
}

// Owner says whose a new record is.
type Owner struct {
	Field string // empty: the CRM gives it to who writes
	Named string // the configuration's name of the user; where there is none, or no such user, it is the contact's owner
	// Else returns who owns what would be nobody's, for CRMs that demand one; nil: nobody.
	Else func(ctx context.Context) (string, error)
}

// Note is a text for the timeline.
type Note struct {
	Head string // how it begins: by it an earlier attempt's is found
	Text func(limit int) string
	Link bool // it leads to the transcript; else it is the transcript
}

// Job is one entry on its way to one contact.
type Job struct {
	Entry    *crm.Entry
	Progress *crm.Progress
	Number   phone.Number    // of the call's contact; none where it is one of our own
	Contacts []people.Record // to which the entry is written at once
	Contact  people.Record   // the first of them, which gets the task and the note; zero: the call is nobody's
	Suffix   string          // of the refs, where records are made for each of several contacts
	Activity string          // id of the activity, once it is made; empty: there is none
	State    any             // what the kind's Begin has looked up for this Write, for its records

	w     *Writer
	fresh bool   // the activity was made by this attempt: what comes after it cannot be there yet
	held  Fields // what the last Find has shown
}

// Key returns what identifies the call at this contact: its id, with a suffix where records are made for each of several contacts.
func (j *Job) Key() string { return j.Entry.Call.ID + j.Suffix }

// Target returns the contact's id without what stands before it, and that: "Lead" of "Lead/6b04".
func (j *Job) Target() (kind, id string) {
	kind, id, ok := strings.Cut(j.Contact.ID, "/")
	if !ok {
		return "", kind
	}
	return kind, id
}

// Tried returns when the record of a ref was last asked to be made; zero: it was not, or it is there.
func (j *Job) Tried(ref string) time.Time {
	at, _ := time.Parse(time.RFC3339, j.Progress.Refs[ref+".tried"])
	return at
}

// Writer writes to one CRM by its Schema.
type Writer struct {
	schema  Schema
	options Options
}

// Options are what does not change from call to call.
type Options struct {
	Settings crm.Settings
	Owners   *people.Owners
	Optional *step.Optional // where the kind's Contacts use it too; nil: the Writer has its own
	Many     Many
	Link     bool   // the link of a transcript is a note of its own where there is no activity
	Nowhere  string // why a call of nobody cannot be written; empty: it can
}

// Many says what becomes of a call that is written to several contacts.
type Many int

// The ways.
const (
	Together   Many = iota // one activity is linked to all; the first contact gets the task and the note
	Each                   // every contact gets all records
	Activities             // every contact gets an activity; the oldest gets the task and the note
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
	case len(found) == 0 && w.options.Nowhere != "" && p.Refs[people.Ref] != "":
		return nil // a person deleted the contact: there is nothing left that the call could stand at
	case len(found) == 0 && w.options.Nowhere != "":
		return crm.Skipped(w.options.Nowhere)
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
	rest bool
	of   string // what the names of their refs end with
}

// targets returns the contacts that are written to one after the other.
func (w *Writer) targets(found []people.Record, p *crm.Progress) (out []*target) {
	if len(found) == 0 {
		return []*target{{rest: true}} // it has no number, or its contact was deleted
	}
	if w.options.Many == Together {
		return []*target{{Job: Job{Contacts: found, Contact: found[0]}, rest: true}}
	}
	oldest := people.Oldest(found) // which was changed last differs with every write
	for _, r := range found {
		t := &target{Job: Job{Contacts: []people.Record{r}, Contact: r, Suffix: people.Suffix(p, r.ID)}, rest: r.ID == oldest.ID}
		if w.options.Many == Each {
			t.rest, t.of = true, t.Suffix
		}
		out = append(out, t)
	}
	return out
}

// activity returns what is to be made of the call; nil: nothing.
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

// recall finds out what an attempt has done of which the refs know nothing.
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

// touch brings the contacts up to date.
func (t *target) touch(ctx context.Context, contacts Contacts, book *people.Book) error {
	for _, r := range t.Contacts {
		c := Change{Status: book.Status(r, t.Entry, t.Progress), Name: book.NewName(r, t.Entry), DoNotCall: t.Entry.DoNotCall && !r.DoNotCall}
		if c == (Change{}) && !r.Made {
			continue
		}
		if err := contacts.Change(ctx, r, c); err != nil {
			return err
		}
	}
	return nil
}

// task makes the follow-up, or brings it up to date.
func (t *target) task(ctx context.Context) error {
	if !t.rest {
		return nil
	}
	r, err := t.w.schema.Task(ctx, &t.Job)
	if err != nil || r == nil {
		return err
	}
	r.ref = "task" + t.of
	r.Fresh = r.Fresh || t.fresh
	_, err = t.once(ctx, r)
	return err
}

// notes makes the notes: the transcript, and its link where no activity holds that.
func (t *target) notes(ctx context.Context) error {
	if !t.rest {
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
	r.ref = ref + t.of
	r.Fresh, r.Fixed = r.Fresh || t.fresh, true
	_, err = t.once(ctx, r)
	return err
}

// directory is the Contacts as people.Book wants them.
type directory struct {
	Contacts
	j *Job
}

var (
	_ people.Directory = directory{}
	_ people.Holder    = directory{}
)

// Create makes the contact of a call.
func (d directory) Create(ctx context.Context, e *crm.Entry, n phone.Number) (people.Record, error) {
	o := d.j.w.options
	owner, err := o.Owners.Or(ctx, o.Settings.Owner, "", d.j.Progress)
	if err != nil {
		return people.Record{}, err
	}
	now := time.Now()
	r := people.Record{Phones: []string{n.String()}, Name: e.Call.Contact.Name, Owner: owner, DoNotCall: e.DoNotCall, Created: now, Changed: now}
	if e.SetStatus {
		r.Status = e.Status
	}
	return d.Contacts.Create(ctx, n, r)
}

// Mark notes the wish not to be called.
func (d directory) Mark(ctx context.Context, r people.Record, _ phone.Number, _ *crm.Progress) error {
	return d.Change(ctx, r, Change{DoNotCall: true})
}

// Holder returns the contact at which an activity stands; none where the CRM does not tell.
func (d directory) Holder(ctx context.Context, activity string) (string, error) {
	if h, ok := d.Contacts.(people.Holder); ok {
		return h.Holder(ctx, activity)
	}
	return "", nil
}

// SplitName returns a name's last word, and what is before it. A name of one word is a last name.
func SplitName(name string) (first, last string) {
	at := strings.LastIndexByte(name, ' ')
	if at <= 0 {
		return "", name
	}
	return name[:at], name[at+1:]
}

func same(held Fields, name string, v any) bool { return fmt.Sprint(held[name]) == fmt.Sprint(v) }
