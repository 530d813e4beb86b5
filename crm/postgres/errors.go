package postgres

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

var errReadOnly = errors.New("the server takes no writes: it is a standby, or read-only; connect to the primary, as with target_session_attrs=read-write in the dsn")

// again tells whether nothing has been done: another transaction was the reason (a deadlock, a failure of serialization, the same
// new row at the same moment), or the connection was dead before anything was sent.
func again(err error) bool {
	if pgconn.SafeToRetry(err) {
		return true
	}
	switch codeOf(err) {
	case "40001", "40P01", "23505", "42P07", "42710":
		return true
	}
	return false
}

func codeOf(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}

// hush takes the password out of what a server, or what stands in its place, says to it.
func hush(err error, password string) error {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		pe.Message, pe.Detail = mask.Text(pe.Message, password), mask.Text(pe.Detail, password)
	}
	return err
}

// explain gives an error its verdict, by its SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
func explain(err error) error {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return errors.New(mask.Words([]byte(err.Error())))
	}
	said := errors.New(words(pe))
	switch pe.Code {
	case "25006":
		return errReadOnly
	case "42501":
		return crm.Halted(because(said, "grant it to the user, or run what setup --dry-run prints as a user who may; then resume"))
	case "3D000":
		return crm.Halted(because(said, "make the database, with ENCODING 'UTF8', or name another in the dsn; then resume"))
	case "3F000":
		return crm.Halted(because(said, "set schema: or the user's search_path, then resume"))
	case "42P01", "42703", "42883", "42P10", "42804":
		return crm.Halted(because(said, "the tables are not as this program made them: undo what was changed, then resume"))
	case "42P07", "42710":
		return crm.Halted(because(said, "something of that name is there already: set schema: to another name, then resume"))
	case "53100":
		return because(said, "the server's disk is full")
	case "26000", "42P05", "08P01":
		return because(said, "a pooler that gives each transaction another connection? Add default_query_exec_mode=exec to the dsn")
	case "P0001": // a trigger's own refusal
		return rejected(pe, said)
	}
	switch pe.Code[:min(2, len(pe.Code))] {
	case "28":
		return crm.Halted(because(said, "correct the user, the password or pg_hba.conf, then resume"))
	case "22", "23", "44", "54":
		return rejected(pe, said)
	case "XX":
		if pe.Code != "XX000" {
			return crm.Halted(because(said, "the database is damaged"))
		}
	}
	return said
}

func because(said error, what string) error { return errors.New(said.Error() + ": " + what) }

func rejected(pe *pgconn.PgError, said error) error {
	shape := "rows of contacts, calls, notes, tasks"
	if pe.TableName != "" {
		shape = strings.TrimSuffix("row of "+pe.TableName+"."+pe.ColumnName, ".")
	}
	return crm.Rejected(said, shape)
}

// words are the server's, on one line, without phone numbers: it quotes values.
func words(pe *pgconn.PgError) string {
	s := pe.Message
	if pe.Detail != "" {
		s += "; " + pe.Detail
	}
	return mask.Words([]byte(s)) + " (SQLSTATE " + pe.Code + ")"
}
