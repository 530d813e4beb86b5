package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// findContact looks for a contact by ?1, the number in international form, or ?2, the number as sent. The latter finds
// one of another international number only where the call's own could not be told.
const findContact = `SELECT id, name FROM contacts
WHERE phone_e164 = ?1 OR (phone = ?2 AND (phone_e164 IS NULL OR ?1 IS NULL))
ORDER BY phone_e164 IS NOT ?1, phone_e164 IS NULL DESC, id LIMIT 1`

// A value that is NULL never replaces one. What the transcript's entry says of the call is older than the call's
// own entries: it only fills gaps.
const (
	findCall   = `SELECT k.contact_id, k.callback_at, c.phone IS NULL AND c.phone_e164 IS NULL FROM calls k JOIN contacts c ON c.id = k.contact_id WHERE k.id = ?`
	addContact = `INSERT INTO contacts (phone_e164, phone, name, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)`
	fillIn     = `UPDATE contacts SET phone_e164 = coalesce(phone_e164, ?2), phone = coalesce(phone, ?3), name = coalesce(name, ?4), updated_at = ?5
WHERE id = ?1 AND (phone_e164 IS NULL AND ?2 IS NOT NULL OR phone IS NULL AND ?3 IS NOT NULL OR name IS NULL AND ?4 IS NOT NULL)`
	setStatus = `UPDATE contacts SET status = ?2, status_at = coalesce(?3, status_at), updated_at = ?4
WHERE id = ?1 AND (status_at IS NULL OR ?3 IS NULL OR status_at <= ?3)`
	setDoNotCall = `UPDATE contacts SET do_not_call = 1, updated_at = ?2 WHERE id = ?1 AND do_not_call = 0`
	absorb       = `UPDATE contacts SET name = coalesce(contacts.name, o.name), status = coalesce(contacts.status, o.status),
  status_at = CASE WHEN contacts.status IS NULL THEN o.status_at ELSE contacts.status_at END, do_not_call = max(contacts.do_not_call, o.do_not_call)
FROM contacts o WHERE contacts.id = ?1 AND o.id = ?2`
	dropContact = `DELETE FROM contacts WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM calls WHERE contact_id = ?1)`
	putNote     = `INSERT INTO notes (call_id, text, segments, language, summary, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
ON CONFLICT (call_id) DO UPDATE SET text = coalesce(excluded.text, text), segments = coalesce(excluded.segments, segments),
  language = coalesce(excluded.language, language), summary = coalesce(excluded.summary, summary), updated_at = excluded.updated_at`
	addTask  = `INSERT INTO tasks (call_id, title, due_at, owner, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (call_id) DO NOTHING`
	moveTask = `UPDATE tasks SET due_at = ?2, updated_at = ?4 WHERE call_id = ?1 AND done = 0 AND due_at = ?3`
)

var columns = []string{
	"contact_id", "campaign", "direction", "status", "disposition", "raw_disposition", "lead_status", "duration_seconds", "language",
	"started_at", "ended_at", "callback_at", "transcript_url", "sentiment", "qa_score", "summary",
}

// putCall inserts a call or updates the one that is there; with fill, only its gaps.
func putCall(fill bool) string {
	var set strings.Builder
	for _, c := range columns[1:] {
		if fill {
			set.WriteString(c + " = coalesce(" + c + ", excluded." + c + "), ")
		} else {
			set.WriteString(c + " = coalesce(excluded." + c + ", " + c + "), ")
		}
	}
	if !fill {
		set.WriteString("revision = excluded.revision, late = max(late, excluded.late), ")
	}
	return "INSERT INTO calls (id, " + strings.Join(columns, ", ") + ", revision, late, created_at, updated_at) VALUES (?" +
		strings.Repeat(", ?", len(columns)+4) + ") ON CONFLICT (id) DO UPDATE SET contact_id = excluded.contact_id, " + set.String() +
		"updated_at = excluded.updated_at"
}

type statements struct {
	begin, commit, rollback                       *sql.Stmt
	findCall, findContact, addContact, fillIn     *sql.Stmt
	setStatus, setDoNotCall, absorb, dropContact  *sql.Stmt
	putCall, fillCall, putNote, addTask, moveTask *sql.Stmt
	all                                           []*sql.Stmt
}

func prepare(ctx context.Context, conn *sql.Conn) (*statements, error) {
	s := &statements{}
	for _, p := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&s.begin, "BEGIN IMMEDIATE"},
		{&s.commit, "COMMIT"},
		{&s.rollback, "ROLLBACK"},
		{&s.findCall, findCall},
		{&s.findContact, findContact},
		{&s.addContact, addContact},
		{&s.fillIn, fillIn},
		{&s.setStatus, setStatus},
		{&s.setDoNotCall, setDoNotCall},
		{&s.absorb, absorb},
		{&s.dropContact, dropContact},
		{&s.putCall, putCall(false)},
		{&s.fillCall, putCall(true)},
		{&s.putNote, putNote},
		{&s.addTask, addTask},
		{&s.moveTask, moveTask},
	} {
		stmt, err := conn.PrepareContext(ctx, p.query) //nolint:sqlclosecheck // statements.close does it
		if err != nil {
			return s, err
		}
		*p.to = stmt
		s.all = append(s.all, stmt)
	}
	return s, nil
}

func (s *statements) close() error {
	var errs []error
	for _, stmt := range s.all {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(errs...)
}

// write writes jobs in one transaction.
func (s *statements) write(jobs []*job) (err error) {
	ctx := context.Background() // the transaction is shared: no single caller may end it
	if _, err := s.begin.ExecContext(ctx); err != nil {
		return err
	}
	for _, j := range jobs {
		if err := s.put(ctx, j); err != nil {
			_, _ = s.rollback.ExecContext(ctx)
			return err
		}
	}
	if _, err := s.commit.ExecContext(ctx); err != nil {
		_, _ = s.rollback.ExecContext(ctx)
		return err
	}
	return nil
}

func (s *statements) put(ctx context.Context, j *job) error {
	e, c := j.e, &j.e.Call
	now := stamp(time.Now())
	contact, was, err := s.contact(ctx, c, now)
	if err != nil {
		return err
	}
	j.contact = contact
	if e.SetStatus && e.Status != "" {
		if _, err := s.setStatus.ExecContext(ctx, contact, e.Status, when(c, now), now); err != nil {
			return err
		}
	}
	if e.DoNotCall {
		if _, err := s.setDoNotCall.ExecContext(ctx, contact, now); err != nil {
			return err
		}
	}
	put := s.putCall
	if e.Event == crm.TranscriptReady {
		put = s.fillCall
	}
	args := []any{c.ID, contact}
	if e.NoActivity {
		// The row stays as the key of what hangs on it; it tells nothing of the call.
		args = append(args, make([]any, len(columns)-1)...)
	} else {
		args = append(args, nullable(c.Campaign), nullable(c.Direction), nullable(c.Status), nullable(c.Disposition), nullable(c.RawDisposition),
			nullable(e.Status), number(c.Duration), nullable(c.Language), stamp(c.StartedAt), stamp(c.EndedAt), stamp(c.CallbackAt),
			nullable(c.TranscriptURL), nullable(c.Sentiment), number(c.QAScore), nullable(c.Summary))
	}
	if _, err := put.ExecContext(ctx, append(args, e.Revision, e.Late, now, now)...); err != nil {
		return err
	}
	if t := e.Task; t != nil {
		if _, err := s.addTask.ExecContext(ctx, c.ID, t.Title, stamp(t.Due), nullable(t.Owner), now); err != nil {
			return err
		}
	}
	if later := stamp(c.CallbackAt); was.callback.Valid && later != nil && later != was.callback.String {
		if _, err := s.moveTask.ExecContext(ctx, c.ID, later, was.callback.String, now); err != nil {
			return err
		}
	}
	if was.anonymous && was.contact != contact {
		if _, err := s.absorb.ExecContext(ctx, contact, was.contact); err != nil {
			return err
		}
		if _, err := s.dropContact.ExecContext(ctx, was.contact); err != nil {
			return err
		}
	}
	if hasNote(e) {
		t := e.Transcript
		var segments any
		if len(t.Segments) > 0 {
			b, err := json.Marshal(segmentList(t.Segments))
			if err != nil {
				return crm.Rejected(err, "notes.segments")
			}
			segments = string(b)
		}
		_, err := s.putNote.ExecContext(ctx, c.ID, nullable(t.Text), segments, nullable(t.Language), nullable(t.Summary), now)
		return err
	}
	return nil
}

// known is what a call that is written again was so far.
type known struct {
	contact   int64 // 0: the call is new
	callback  sql.NullString
	anonymous bool // the contact has no number
}

// contact finds or makes the contact of c and fills its gaps. A call without a number keeps the contact that it has; one whose
// number has become known gives it to that contact, unless the number has a contact already.
func (s *statements) contact(ctx context.Context, c *crm.Call, now any) (id int64, was known, err error) {
	err = s.findCall.QueryRowContext(ctx, c.ID).Scan(&was.contact, &was.callback, &was.anonymous)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, was, err
	}
	e164, phone, name := nullable(c.Contact.E164), nullable(c.Contact.Phone), nullable(c.Contact.Name)
	if e164 != nil || phone != nil {
		err = s.findContact.QueryRowContext(ctx, e164, phone).Scan(&id, new(any))
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return 0, was, err
		}
		if id == 0 && was.anonymous {
			id = was.contact
		}
	} else {
		id = was.contact
	}
	if id == 0 {
		res, err := s.addContact.ExecContext(ctx, e164, phone, name, now)
		if err != nil {
			return 0, was, err
		}
		id, err = res.LastInsertId()
		return id, was, err
	}
	_, err = s.fillIn.ExecContext(ctx, id, e164, phone, name, now)
	return id, was, err
}

func hasNote(e *crm.Entry) bool {
	t := e.Transcript
	return t != nil && (t.Text != "" || len(t.Segments) > 0 || t.Summary != "")
}

type segment struct {
	Speaker string   `json:"speaker"`
	Text    string   `json:"text"`
	Start   *float64 `json:"start"`
	End     *float64 `json:"end"`
}

func segmentList(in []crm.Segment) []segment {
	out := make([]segment, len(in))
	for i, s := range in {
		out[i] = segment{Speaker: s.Speaker, Text: s.Text}
		if s.Start != 0 || s.End != 0 {
			out[i].Start, out[i].End = &s.Start, &s.End
		}
	}
	return out
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func number(f *float64) any {
	if f == nil || math.IsNaN(*f) || math.IsInf(*f, 0) {
		return nil
	}
	return *f
}

// stamp writes all times with the same number of digits, so that they compare as text.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// when is the time by which calls of a contact are ordered: of one that is dated ahead, now, or no call could ever follow it.
func when(c *crm.Call, now any) any {
	at := stamp(c.EndedAt)
	if at == nil {
		at = stamp(c.StartedAt)
	}
	if t, ok := at.(string); ok && t > now.(string) { //nolint:forcetypeassert // stamp of the clock's time
		return now
	}
	return at
}

// plain is SQLite's message without what an operator must not see; it may quote a value of a trigger.
func plain(err *sqlite.Error) string { return httpx.Words([]byte(err.Error())) }
