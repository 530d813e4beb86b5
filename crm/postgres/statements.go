package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/table"
)

// A value that is NULL never replaces one.
var statements = table.Statements{
	FindCall: `SELECT k.contact_id, k.callback_at, k.lead_status, c.phone IS NULL AND c.phone_e164 IS NULL FROM calls k JOIN contacts c ON c.id = k.contact_id WHERE k.id = $1`,
	FindContact: `SELECT id, name FROM contacts
WHERE phone_e164 = $1 OR (phone = $2 AND (phone_e164 IS NULL OR $1::text IS NULL))
ORDER BY phone_e164 IS DISTINCT FROM $1, phone_e164 IS NOT NULL, id LIMIT 1`,
	AddContact: `INSERT INTO contacts (phone_e164, phone, name, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)
ON CONFLICT DO NOTHING RETURNING id`,
	AddAnonymous: `INSERT INTO contacts (anonymous_call, name, created_at, updated_at) VALUES ($1, $2, $3, $3)
ON CONFLICT DO NOTHING RETURNING id`,
	FindAnonymous: `SELECT id FROM contacts WHERE anonymous_call = $1`,
	FillIn: `UPDATE contacts SET phone_e164 = coalesce(phone_e164, $2), phone = coalesce(phone, $3), name = coalesce(name, $4), updated_at = $5
WHERE id = $1 AND (phone_e164 IS NULL AND $2::text IS NOT NULL OR phone IS NULL AND $3::text IS NOT NULL OR name IS NULL AND $4::text IS NOT NULL)`,
	SetStatus: `UPDATE contacts SET status = $2, status_at = coalesce($3, status_at), updated_at = $4
WHERE id = $1 AND (status_at IS NULL OR $3::timestamptz IS NULL OR status_at <= $3)`,
	SetDoNotCall: `UPDATE contacts SET do_not_call = true, updated_at = $2 WHERE id = $1 AND NOT do_not_call`,
	PutCall:      putCall(false),
	FillCall:     putCall(true),
	AddTask: `INSERT INTO tasks (call_id, title, due_at, owner, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $5)
ON CONFLICT (call_id) DO NOTHING`,
	MoveTask: `UPDATE tasks SET due_at = $2, updated_at = $4 WHERE call_id = $1 AND NOT done AND due_at = $3 AND due_at <> $2`,
	Absorb: `UPDATE contacts c SET name = coalesce(c.name, o.name), do_not_call = c.do_not_call OR o.do_not_call
FROM contacts o WHERE c.id = $1 AND o.id = $2`,
	InheritStatus: `UPDATE contacts c SET status = o.status, status_at = o.status_at FROM contacts o WHERE c.id = $1 AND o.id = $2 AND c.status IS NULL`,
	DropContact:   `DELETE FROM contacts WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM calls WHERE contact_id = $1)`,
	PutNote: `INSERT INTO notes (call_id, text, segments, language, summary, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $6)
ON CONFLICT (call_id) DO UPDATE SET text = coalesce(excluded.text, notes.text), segments = coalesce(excluded.segments, notes.segments),
  language = coalesce(excluded.language, notes.language), summary = coalesce(excluded.summary, notes.summary), updated_at = excluded.updated_at`,
}

// putCall inserts a call or updates the one that is there; with fill, only its gaps.
func putCall(fill bool) string {
	columns, values, set := "id", "$1", "contact_id = excluded.contact_id"
	for i, c := range table.Columns {
		columns += ", " + c
		values += fmt.Sprintf(", $%d", i+2)
		switch {
		case i == 0: // contact_id is never unknown
		case fill:
			set += fmt.Sprintf(", %[1]s = coalesce(calls.%[1]s, excluded.%[1]s)", c)
		default:
			set += fmt.Sprintf(", %[1]s = coalesce(excluded.%[1]s, calls.%[1]s)", c)
		}
	}
	if !fill {
		set += ", revision = excluded.revision, late = calls.late OR excluded.late"
	}
	n := len(table.Columns) + 1
	return fmt.Sprintf(`INSERT INTO calls (%s, revision, late, created_at, updated_at) VALUES (%s, $%d, $%d, $%d, $%d)
ON CONFLICT (id) DO UPDATE SET %s, updated_at = excluded.updated_at`, columns, values, n+1, n+2, n+3, n+3, set)
}

// PostgreSQL takes every time to the microsecond, and every text of UTF-8 but for the character NUL.
var values = table.Values{
	Moment: func(t time.Time) any { return t.UTC() },
	Clean:  func(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "") },
}

// tx is a transaction whose statements have a prefix.
type tx struct {
	*sql.Tx
	prefix string
}

func (t tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return t.Tx.ExecContext(ctx, t.prefix+query, args...)
}

func (t tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return t.Tx.QueryRowContext(ctx, t.prefix+query, args...)
}

// Insert returns 0 where a row of the same key is there.
func (t tx) Insert(ctx context.Context, query string, args ...any) (id int64, err error) {
	err = t.QueryRowContext(ctx, query, args...).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return id, err
}
