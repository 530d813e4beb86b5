package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/table"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

// findContact looks for a contact by ?1, the number in international form, or ?2, the number as sent. The latter finds
// one of another international number only where the call's own could not be told.
const findContact = `SELECT id, name FROM contacts
WHERE phone_e164 = ?1 OR (phone = ?2 AND (phone_e164 IS NULL OR ?1 IS NULL))
ORDER BY phone_e164 IS NOT ?1, phone_e164 IS NULL DESC, id LIMIT 1`

// A value that is NULL never replaces one. The file has one writer at a time, so no other process can be faster.
var statements = table.Statements{
	FindCall:     `SELECT k.contact_id, k.callback_at, k.lead_status, c.phone IS NULL AND c.phone_e164 IS NULL FROM calls k JOIN contacts c ON c.id = k.contact_id WHERE k.id = ?`,
	FindContact:  findContact,
	AddContact:   `INSERT INTO contacts (phone_e164, phone, name, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)`,
	AddAnonymous: `INSERT INTO contacts (name, created_at, updated_at) SELECT ?2, ?3, ?3 WHERE ?1 IS NOT NULL`,
	FillIn: `UPDATE contacts SET phone_e164 = coalesce(phone_e164, ?2), phone = coalesce(phone, ?3), name = coalesce(name, ?4), updated_at = ?5
WHERE id = ?1 AND (phone_e164 IS NULL AND ?2 IS NOT NULL OR phone IS NULL AND ?3 IS NOT NULL OR name IS NULL AND ?4 IS NOT NULL)`,
	SetStatus: `UPDATE contacts SET status = ?2, status_at = coalesce(?3, status_at), updated_at = ?4
WHERE id = ?1 AND (status_at IS NULL OR ?3 IS NULL OR status_at <= ?3)`,
	SetDoNotCall: `UPDATE contacts SET do_not_call = 1, updated_at = ?2 WHERE id = ?1 AND do_not_call = 0`,
	PutCall:      putCall(false),
	FillCall:     putCall(true),
	AddTask:      `INSERT INTO tasks (call_id, title, due_at, owner, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (call_id) DO NOTHING`,
	MoveTask:     `UPDATE tasks SET due_at = ?2, updated_at = ?4 WHERE call_id = ?1 AND done = 0 AND due_at = ?3 AND due_at <> ?2`,
	Absorb: `UPDATE contacts SET name = coalesce(contacts.name, o.name), do_not_call = max(contacts.do_not_call, o.do_not_call)
FROM contacts o WHERE contacts.id = ?1 AND o.id = ?2`,
	InheritStatus: `UPDATE contacts SET status = o.status, status_at = o.status_at FROM contacts o WHERE contacts.id = ?1 AND o.id = ?2 AND contacts.status IS NULL`,
	DropContact:   `DELETE FROM contacts WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM calls WHERE contact_id = ?1)`,
	PutNote: `INSERT INTO notes (call_id, text, segments, language, summary, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
ON CONFLICT (call_id) DO UPDATE SET text = coalesce(excluded.text, text), segments = coalesce(excluded.segments, segments),
  language = coalesce(excluded.language, language), summary = coalesce(excluded.summary, summary), updated_at = excluded.updated_at`,
}

// putCall inserts a call or updates the one that is there; with fill, only its gaps.
func putCall(fill bool) string {
	var set strings.Builder
	for _, c := range table.Columns[1:] {
		if fill {
			set.WriteString(c + " = coalesce(" + c + ", excluded." + c + "), ")
		} else {
			set.WriteString(c + " = coalesce(excluded." + c + ", " + c + "), ")
		}
	}
	if !fill {
		set.WriteString("revision = excluded.revision, late = max(late, excluded.late), ")
	}
	n := len(table.Columns) + 1
	return "INSERT INTO calls (id, " + strings.Join(table.Columns, ", ") + ", revision, late, created_at, updated_at) VALUES (?" +
		strings.Repeat(", ?", n+2) + fmt.Sprintf(", ?%d) ON CONFLICT (id) DO UPDATE SET contact_id = excluded.contact_id, ", n+3) + set.String() +
		"updated_at = excluded.updated_at"
}

// values are texts with the same number of digits for all times, so that they compare as text.
var values = table.Values{Moment: func(t time.Time) any { return t.UTC().Format("2006-01-02T15:04:05.000Z") }}

// prepared are the statements on one connection, by their text.
type prepared map[string]*sql.Stmt

// The statements that frame a transaction.
const (
	begin    = "BEGIN IMMEDIATE"
	commit   = "COMMIT"
	rollback = "ROLLBACK"
)

func prepare(ctx context.Context, conn *sql.Conn) (prepared, error) {
	p := prepared{}
	queries := []string{begin, commit, rollback}
	for _, s := range statements.All() {
		queries = append(queries, s.Query)
	}
	for _, query := range queries {
		stmt, err := conn.PrepareContext(ctx, query) //nolint:sqlclosecheck // prepared.close does it
		if err != nil {
			return p, err
		}
		p[query] = stmt
	}
	return p, nil
}

func (p prepared) close() error {
	var errs []error
	for _, stmt := range p {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(errs...)
}

// ExecContext runs one of the statements.
func (p prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return p[query].ExecContext(ctx, args...)
}

// QueryRowContext asks one of them.
func (p prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return p[query].QueryRowContext(ctx, args...)
}

// Insert runs one of them and returns the row's id.
func (p prepared) Insert(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := p[query].ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// write writes jobs in one transaction.
func (p prepared) write(jobs []*job) (err error) {
	ctx := context.Background() // the transaction is shared: no single caller may end it
	if _, err := p.ExecContext(ctx, begin); err != nil {
		return err
	}
	for _, j := range jobs {
		if j.contact, err = table.Put(ctx, p, &statements, values, j.e); err != nil {
			_, _ = p.ExecContext(ctx, rollback)
			return err
		}
	}
	if _, err := p.ExecContext(ctx, commit); err != nil {
		_, _ = p.ExecContext(ctx, rollback)
		return err
	}
	return nil
}

// plain is SQLite's message without what an operator must not see; it may quote a value of a trigger.
func plain(err *sqlite.Error) string { return mask.Words([]byte(err.Error())) }
