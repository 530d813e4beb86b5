package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/table"
)

// A value that is NULL never replaces one. ?1, ?2, … are the arguments, which the server itself knows by position only: see tx.
// VALUES() is what both MySQL and MariaDB know.
var statements = table.Statements{
	FindCall: `SELECT k.contact_id, k.callback_at, k.lead_status, c.phone IS NULL AND c.phone_e164 IS NULL FROM calls k JOIN contacts c ON c.id = k.contact_id WHERE k.id = ?1`,
	FindContact: `SELECT id, name FROM contacts
WHERE phone_e164 = ?1 OR (phone = ?2 AND (phone_e164 IS NULL OR ?1 IS NULL))
ORDER BY NOT (phone_e164 <=> ?1), phone_e164 IS NOT NULL, id LIMIT 1`,
	// A row of the same key is kept, and answers its id.
	AddContact: `INSERT INTO contacts (phone_e164, phone, name, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4)
ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)`,
	AddAnonymous: `INSERT INTO contacts (anonymous_call, name, created_at, updated_at) VALUES (?1, ?2, ?3, ?3)
ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)`,
	FillIn: `UPDATE contacts SET phone_e164 = COALESCE(phone_e164, ?2), phone = COALESCE(phone, ?3), name = COALESCE(name, ?4), updated_at = ?5
WHERE id = ?1 AND (phone_e164 IS NULL AND ?2 IS NOT NULL OR phone IS NULL AND ?3 IS NOT NULL OR name IS NULL AND ?4 IS NOT NULL)`,
	SetStatus: `UPDATE contacts SET status = ?2, status_at = COALESCE(?3, status_at), updated_at = ?4
WHERE id = ?1 AND (status_at IS NULL OR ?3 IS NULL OR status_at <= ?3)`,
	SetDoNotCall: `UPDATE contacts SET do_not_call = TRUE, updated_at = ?2 WHERE id = ?1 AND NOT do_not_call`,
	PutCall:      putCall(false),
	FillCall:     putCall(true),
	AddTask: `INSERT INTO tasks (call_id, title, due_at, owner, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)
ON DUPLICATE KEY UPDATE call_id = call_id`,
	MoveTask: `UPDATE tasks SET due_at = ?2, updated_at = ?4 WHERE call_id = ?1 AND NOT done AND due_at = ?3 AND due_at <> ?2`,
	Absorb: `UPDATE contacts c JOIN contacts o ON o.id = ?2 SET c.name = COALESCE(c.name, o.name), c.do_not_call = c.do_not_call OR o.do_not_call
WHERE c.id = ?1`,
	InheritStatus: `UPDATE contacts c JOIN contacts o ON o.id = ?2 SET c.status = o.status, c.status_at = o.status_at WHERE c.id = ?1 AND c.status IS NULL`,
	DropContact:   `DELETE FROM contacts WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM calls WHERE contact_id = ?1)`,
	PutNote: `INSERT INTO notes (call_id, text, segments, language, summary, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
ON DUPLICATE KEY UPDATE text = COALESCE(VALUES(text), text), segments = COALESCE(VALUES(segments), segments),
  language = COALESCE(VALUES(language), language), summary = COALESCE(VALUES(summary), summary), updated_at = VALUES(updated_at)`,
}

// putCall inserts a call or updates the one that is there; with fill, only its gaps.
func putCall(fill bool) string {
	columns, values, set := "id", "?1", "contact_id = VALUES(contact_id)"
	for i, c := range table.Columns {
		columns += ", " + c
		values += fmt.Sprintf(", ?%d", i+2)
		switch {
		case i == 0: // contact_id is never unknown
		case fill:
			set += fmt.Sprintf(", %[1]s = COALESCE(%[1]s, VALUES(%[1]s))", c)
		default:
			set += fmt.Sprintf(", %[1]s = COALESCE(VALUES(%[1]s), %[1]s)", c)
		}
	}
	if !fill {
		set += ", revision = VALUES(revision), late = late OR VALUES(late)"
	}
	n := len(table.Columns) + 1
	return fmt.Sprintf(`INSERT INTO calls (%s, revision, late, created_at, updated_at) VALUES (%s, ?%d, ?%d, ?%d, ?%d)
ON DUPLICATE KEY UPDATE %s, updated_at = VALUES(updated_at)`, columns, values, n+1, n+2, n+3, n+3, set)
}

// Times are kept to the millisecond: the server would round them up.
var values = table.Values{
	Moment: func(t time.Time) any { return t.UTC().Truncate(time.Millisecond) },
	Clean:  func(s string) string { return strings.ToValidUTF8(s, "\ufffd") },
}

// positional is a statement as the server takes it: each ? stands for the argument whose number order tells, from 0.
type positional struct {
	query string
	order []int
}

var numbered = regexp.MustCompile(`\?(\d+)`)

// all are the statements by their text above.
var all = func() map[string]positional {
	m := map[string]positional{}
	for _, s := range statements.All() {
		var p positional
		p.query = numbered.ReplaceAllStringFunc(s.Query, func(arg string) string {
			n, _ := strconv.Atoi(arg[1:])
			p.order = append(p.order, n-1)
			return "?"
		})
		m[s.Query] = p
	}
	return m
}()

// tx is a transaction whose statements have a prefix.
type tx struct {
	*sql.Tx
	prefix string
}

func (t tx) place(query string, args []any) (string, []any) {
	p := all[query]
	placed := make([]any, len(p.order))
	for i, n := range p.order {
		placed[i] = args[n]
	}
	return t.prefix + p.query, placed
}

func (t tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	query, args = t.place(query, args)
	return t.Tx.ExecContext(ctx, query, args...)
}

func (t tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	query, args = t.place(query, args)
	return t.Tx.QueryRowContext(ctx, query, args...)
}

// Insert returns the id of the row of that key, whoever made it.
func (t tx) Insert(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := t.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}
