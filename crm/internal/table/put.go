// Package table holds what the writers to SQL databases have in common: which rows an entry becomes, and in which order.
// The statements themselves are each database's own.
//
// The rules are the same everywhere. Everything is keyed by the id of the call, so whatever is written again changes its own
// rows. A field that the call does not have never empties one that is there; what the transcript's entry says of the call is
// older than the call's own entries and only fills gaps. A lead status is written with leave only, and never over that of
// a newer call. A task is made once for a call.
package table

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Tx runs one statement of a transaction. The query is one of Statements, the arguments are as those say.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	// Insert runs AddContact or AddAnonymous. It returns the id; 0 when another process has made the row at this moment.
	Insert(ctx context.Context, query string, args ...any) (id int64, err error)
}

// Statements are the queries in one database's SQL, with the arguments that each gets, in their order. Times and texts are as
// Values make them; NULL is a value that is not known.
type Statements struct {
	FindCall      string // call: its contact, its callback_at, its lead status, and whether that contact has no number
	FindContact   string // e164, phone: id and name of the contact; the second only counts where one of the two has no e164
	AddContact    string // e164, phone, name, now
	AddAnonymous  string // call, name, now: the contact of a call without a number
	FindAnonymous string // call: id of the contact that AddAnonymous made; empty where no other process can be faster
	FillIn        string // contact, e164, phone, name, now: sets what the contact lacks
	SetStatus     string // contact, status, when the call ended, now: unless a newer call set it
	SetDoNotCall  string // contact, now
	PutCall       string // id, Columns, revision, late, now: inserts a call, or updates the one that is there
	FillCall      string // the same: inserts it, or fills its gaps
	AddTask       string // call, title, due, owner, now: unless the call has one
	MoveTask      string // call, new due, old due, now: if it is open, still due as it was made, and that is another time
	Absorb        string // contact, other: takes over the other's name and wish not to be called
	InheritStatus string // contact, other: takes over its status where there is none
	DropContact   string // contact: if it has no call
	PutNote       string // call, text, segments, language, summary, now
}

// Statement is one of Statements and how many arguments it gets.
type Statement struct {
	Query string
	Args  int
}

// All lists the statements, but for those that are empty.
func (s *Statements) All() []Statement {
	all := []Statement{
		{s.FindCall, 1},
		{s.FindContact, 2},
		{s.AddContact, 4},
		{s.AddAnonymous, 3},
		{s.FindAnonymous, 1},
		{s.FillIn, 5},
		{s.SetStatus, 4},
		{s.SetDoNotCall, 2},
		{s.PutCall, len(Columns) + 4},
		{s.FillCall, len(Columns) + 4},
		{s.AddTask, 5},
		{s.MoveTask, 4},
		{s.Absorb, 2},
		{s.InheritStatus, 2},
		{s.DropContact, 1},
		{s.PutNote, 6},
	}
	return slices.DeleteFunc(all, func(st Statement) bool { return st.Query == "" })
}

// Columns are the columns of calls that PutCall and FillCall set, after the id.
var Columns = []string{
	"contact_id", "campaign", "direction", "status", "disposition", "raw_disposition", "lead_status", "duration_seconds", "language",
	"started_at", "ended_at", "callback_at", "transcript_url", "sentiment", "qa_score", "summary",
}

// Put writes e by the statements of s, within a transaction, and returns the id of its contact.
func Put(ctx context.Context, tx Tx, s *Statements, v Values, e *crm.Entry) (contact int64, err error) {
	c, clock := &e.Call, time.Now()
	now := v.Time(clock)
	contact, was, err := place(ctx, tx, s, v, c, now)
	if err != nil {
		return 0, err
	}
	run := func(query string, args ...any) {
		if err == nil {
			_, err = tx.ExecContext(ctx, query, args...)
		}
	}
	// What the call has set already is not set again, even if the state was lost: people may have moved on since.
	if e.SetStatus && e.Status != "" && (was.contact != contact || any(was.status.V) != v.Text(e.Status)) {
		run(s.SetStatus, contact, v.Text(e.Status), v.when(c, clock), now)
	}
	if e.DoNotCall || was.made && e.Before[crm.Wish] != "" { // the wish is the number's: it outlives a contact that was deleted
		run(s.SetDoNotCall, contact, now)
	}
	put := s.PutCall
	if e.Event == crm.TranscriptReady {
		put = s.FillCall
	}
	args := []any{v.Text(c.ID), contact}
	if e.NoActivity {
		// The row stays as the key of what hangs on it; it tells nothing of the call.
		args = append(args, make([]any, len(Columns)-1)...)
	} else {
		args = append(args, v.Text(c.Campaign), v.Text(c.Direction), v.Text(c.Status), v.Text(c.Disposition), v.Text(c.RawDisposition),
			v.Text(e.Status), number(c.Duration), v.Text(c.Language), v.Time(c.StartedAt), v.Time(c.EndedAt), v.Time(c.CallbackAt),
			v.Text(c.TranscriptURL), v.Text(c.Sentiment), number(c.QAScore), v.Text(c.Summary))
	}
	run(put, append(args, e.Revision, e.Late, now)...)
	if t := e.Task; t != nil {
		run(s.AddTask, v.Text(c.ID), v.Text(t.Title), v.Time(t.Due), v.Text(t.Owner), now)
	}
	if was.callback.Valid && !c.CallbackAt.IsZero() {
		run(s.MoveTask, v.Text(c.ID), v.Time(c.CallbackAt), was.callback.V, now)
	}
	if was.anonymous && was.contact != contact {
		run(s.Absorb, contact, was.contact)
		run(s.InheritStatus, contact, was.contact)
		run(s.DropContact, was.contact)
	}
	if HasNote(e) {
		t := e.Transcript
		var segments any
		if len(t.Segments) > 0 {
			b, err := json.Marshal(v.segments(t.Segments))
			if err != nil {
				return 0, crm.Rejected(err, "notes.segments")
			}
			segments = string(b)
		}
		run(s.PutNote, v.Text(c.ID), v.Text(t.Text), segments, v.Text(t.Language), v.Text(t.Summary), now)
	}
	return contact, err
}

// known is what a call that is written again was so far.
type known struct {
	contact   int64         // 0: the call is new
	callback  sql.Null[any] // as the database gives it
	status    sql.Null[string]
	anonymous bool // the contact has no number
	made      bool // a contact was made just now
}

// place finds or makes the contact of c and fills its gaps. A call without a number keeps the contact that it has; one whose
// number has become known gives it to that contact, unless the number has a contact already.
func place(ctx context.Context, tx Tx, s *Statements, v Values, c *crm.Call, now any) (id int64, was known, err error) {
	err = tx.QueryRowContext(ctx, s.FindCall, v.Text(c.ID)).Scan(&was.contact, &was.callback, &was.status, &was.anonymous)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, was, err
	}
	e164, phone, name := v.Text(c.Contact.E164), v.Text(c.Contact.Phone), v.Text(c.Contact.Name)
	if e164 != nil || phone != nil {
		id, err = find(ctx, tx, s, e164, phone)
		if err != nil {
			return 0, was, err
		}
		if id == 0 && was.anonymous {
			id = was.contact
		}
	} else {
		id = was.contact
	}
	if id == 0 {
		anonymous := e164 == nil && phone == nil
		if anonymous {
			id, err = tx.Insert(ctx, s.AddAnonymous, v.Text(c.ID), name, now)
		} else {
			id, err = tx.Insert(ctx, s.AddContact, e164, phone, name, now)
		}
		if err != nil || id != 0 {
			was.made = err == nil
			return id, was, err
		}
		// Another process was faster: theirs it is.
		if anonymous {
			err = tx.QueryRowContext(ctx, s.FindAnonymous, v.Text(c.ID)).Scan(&id)
		} else if id, err = find(ctx, tx, s, e164, phone); err == nil && id == 0 {
			err = errors.New("a contact was made and taken away again at this moment")
		}
		if err != nil {
			return 0, was, err
		}
	}
	_, err = tx.ExecContext(ctx, s.FillIn, id, e164, phone, name, now)
	return id, was, err
}

// find returns a contact's id, 0 if there is none.
func find(ctx context.Context, tx Tx, s *Statements, e164, phone any) (id int64, err error) {
	err = tx.QueryRowContext(ctx, s.FindContact, e164, phone).Scan(&id, new(any))
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return id, err
}
