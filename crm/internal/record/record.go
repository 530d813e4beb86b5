// Package record is the frame of the writers to CRMs with contacts, activities, tasks and notes. It finds or creates the contact, updates it,
// creates each record of a call once, updates what differs, and keeps what people changed.
//
// A kind supplies three things:
//
//   - Contacts: how contacts are searched for, read, created and updated;
//   - a Table for each type of record: how a record is found, read, created and updated;
//   - a Schema: for the activity, the task and the note, a Record with the CRM's names and values of fields.
//
// A Record is data: a kind may write it in Go or read it from a file. The peculiarities of one CRM belong into the kind's Contacts and Tables, or into
// a hook of a Record (Same, Untouched, After).
//
// # The order of a Write
//
// Begin is called. The contact is found or created. Where the refs do not tell whether the call has set its status, the activity is looked up
// (people.Book.Recall). The contact is updated. The activity, the task and the note are created or updated. Each id is saved before the next request.
package record

import (
	"context"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
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
	// Begin prepares the write of j.Entry. It may shorten the entry's texts to what the CRM holds, and it returns an error where the CRM lacks what
	// a call needs, before anything is written. It returns the contacts, and the Book that fits how late their search shows new ones.
	Begin(ctx context.Context, j *Job) (Contacts, *people.Book, error)
	// Activity, Task and Note return the record to create for j.Contact; a nil Record: none.
	Activity(ctx context.Context, j *Job) (*Record, error)
	Task(ctx context.Context, j *Job) (*Record, error)
	Note(ctx context.Context, j *Job, n Note) (*Record, error)
}

// Table gives access to the records of one type. Its errors are those of a Write.
type Table interface {
	// Find looks up the record that an earlier attempt created, by the strongest key that the CRM has, never by an index that lags.
	Find(ctx context.Context, j *Job, r *Record) (Found, error)
	// Read returns a record; step.ErrGone: it was deleted.
	Read(ctx context.Context, j *Job, id string) (Fields, error)
	// Create creates a record and returns its id. It returns an Exists where the CRM has a record of the same key.
	Create(ctx context.Context, j *Job, f Fields) (id string, err error)
	// Update changes the fields given and no others. held are the fields that the record has.
	Update(ctx context.Context, j *Job, id string, held, f Fields) error
}

// Found is the result of a lookup.
type Found struct {
	ID   string // empty: no record was found
	Body string // the text of an activity
	Held Fields // all fields, where the lookup returns them; nil: the frame calls Read
}

// Fixed completes a Table whose records are never updated, such as notes.
type Fixed struct{}

// Read is called only for a record that Create reports as existing. It returns nothing.
func (Fixed) Read(context.Context, *Job, string) (Fields, error) { return nil, nil }

// Update does nothing.
func (Fixed) Update(context.Context, *Job, string, Fields, Fields) error { return nil }

// Exists is the error of Table.Create where the CRM has the record already.
type Exists struct {
	ID  string
	Err error
}

func (e *Exists) Error() string { return e.Err.Error() }

// Unwrap returns the CRM's own error.
func (e *Exists) Unwrap() error { return e.Err }

// Record describes one record of a call.
type Record struct {
	Table Table
	Name  string // for reports: "Call"

	Values Fields   // what is known of the call; a new record is created with it, and an existing one is updated to it
	New    Fields   // further fields of a new record: its links, and defaults for what is not known
	Title  string   // the field of Values that holds text.Title; a title that people changed is kept
	Body   Body     // the field that holds a text.Body
	Keep   []string // fields of Values that are not updated where the record has a value
	Owner  Owner

	Optional []string                           // fields that the record can do without, if the CRM refuses them
	Named    func(err error, field string) bool // whether an error is about a field; nil: see step.Optional

	Content any           // see step.Step; nil: Values and the body
	Keyed   bool          // the CRM refuses a second record of the same key: Find is called only after a failed Create
	Fresh   bool          // no earlier attempt can have created the record
	Fixed   bool          // the record is never updated
	Linger  time.Duration // see step.Step
	Tried   bool          // Find needs the time of the last Create: see Job.Tried

	// Same tells whether a record has a value, for CRMs that return values in another form than they take them; nil: the forms are equal.
	Same func(held Fields, name string, v any) bool
	// Untouched tells whether nobody has begun with a task, so that it may be updated; nil: it always may.
	Untouched func(held Fields) bool
	// After creates what needs the id of the record, by steps of its own.
	After func(ctx context.Context, id string) error

	ref string
}

// Ref returns the name under which the refs keep the record's id.
func (r *Record) Ref() string { return r.ref }

// Body is the field for the text of a call: the outcome, the summary and what the CRM has no field for. An update keeps what only the older text of
// the call knew, and what people wrote around it.
type Body struct {
	Field string // empty: the record has no such text
	Limit int    // in characters
	// Write converts the text, cut to a limit, to the form of the field, and Plain converts it back; nil: plain text.
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

// Owner names the owner of a new record.
type Owner struct {
	Field string // empty: the CRM assigns the record to the user who writes
	Named string // the user whom the configuration names; the contact's owner where it names none, or the CRM knows no such user
	// Else returns the owner where neither is known, for CRMs that require one; nil: none.
	Else func(ctx context.Context) (string, error)
}

// Note is a text for the timeline.
type Note struct {
	Head string // its first words, by which the note of an earlier attempt is found
	Text func(limit int) string
	Link bool // it holds the link to the transcript instead of the transcript
}

// Job is the write of one entry to one contact.
type Job struct {
	Entry    *crm.Entry
	Progress *crm.Progress
	Number   phone.Number    // of the call's contact; zero where it is one of our own
	Contacts []people.Record // all contacts of this job: several only with Together
	Contact  people.Record   // the first of them, which gets the task and the note; zero: the call has no contact
	Suffix   string          // of the refs, where records are created for each of several contacts
	Activity string          // id of the activity, once it exists; empty: there is none
	State    any             // what Begin has looked up, for the Schema's other methods

	w     *Writer
	fresh bool   // this attempt created the activity, so later records cannot exist yet
	held  Fields // what the last Find returned
}

// Key identifies the call at this contact: the call's id, and the Suffix.
func (j *Job) Key() string { return j.Entry.Call.ID + j.Suffix }

// Target splits the contact's id: "Lead" and "6b04" of "Lead/6b04".
func (j *Job) Target() (kind, id string) {
	kind, id, ok := strings.Cut(j.Contact.ID, "/")
	if !ok {
		return "", kind
	}
	return kind, id
}

// Tried returns when Create was last called for the record of a ref that is not known to exist; zero: never.
func (j *Job) Tried(ref string) time.Time {
	at, _ := time.Parse(time.RFC3339, j.Progress.Refs[ref+".tried"])
	return at
}
