package postgres

import (
	"context"
	"crypto/tls"
	"database/sql"
	_ "embed" // schema.sql
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

//go:embed schema.sql
var schema string

// migrations make version n+1 of the tables from version n. What has been released is never changed here.
var migrations = []string{schema}

// The one row of this table tells the version of the others. Its lock lets one process at a time change them.
const (
	makeVersion = `CREATE TABLE IF NOT EXISTS vinfer_sync_version (
  one     integer PRIMARY KEY CHECK (one = 1),
  version integer NOT NULL
)`
	firstVersion = `INSERT INTO vinfer_sync_version (one, version) VALUES (1, 0) ON CONFLICT DO NOTHING`
	lockVersion  = `SELECT version FROM vinfer_sync_version FOR UPDATE`
)

// present counts the version's table and the others in the schema that unqualified names mean.
const present = `SELECT coalesce(current_schema(), ''), count(CASE WHEN c.relname = 'vinfer_sync_version' THEN 1 END),
  count(CASE WHEN c.relname IN ('contacts', 'calls', 'notes', 'tasks') THEN 1 END)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relname IN ('vinfer_sync_version', 'contacts', 'calls', 'notes', 'tasks')`

// version returns the version of the tables, 0 where there are none.
func version(ctx context.Context, db *sql.DB) (v int, err error) {
	var in string
	var ours, others int
	if err := db.QueryRowContext(ctx, present).Scan(&in, &ours, &others); err != nil {
		return 0, err
	}
	if ours == 0 {
		if others > 0 {
			return 0, crm.Halted(fmt.Errorf("the schema %s holds tables of another program, named contacts, calls, notes or tasks: set schema: to another name", in))
		}
		return 0, nil
	}
	err = db.QueryRowContext(ctx, "SELECT version FROM vinfer_sync_version").Scan(&v)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return v, newer(v)
}

// newer refuses the tables of a newer program.
func newer(v int) error {
	if v > len(migrations) {
		return crm.Halted(fmt.Errorf("the tables have version %d, this program knows up to %d: install the newer program again, or set schema: to another name",
			v, len(migrations)))
	}
	return nil
}

const utf8 = "UTF8"

var errEncoding = crm.Halted(errors.New("the database cannot hold every script: make one with ENCODING 'UTF8', and name it in the dsn"))

// tables makes the tables.
type tables struct{ schema string }

// steps returns the statements that go on from a version.
func (t tables) steps(from int) []string {
	var all []string
	for v := from; v < len(migrations); v++ {
		all = append(all, migrations[v])
	}
	return append(all, fmt.Sprintf("UPDATE vinfer_sync_version SET version = %d", len(migrations)))
}

// before returns the statements that precede the first version.
func (t tables) before() []string {
	all := []string{makeVersion, firstVersion}
	if t.schema != "" {
		all = append([]string{"CREATE SCHEMA IF NOT EXISTS " + quote(t.schema)}, all...)
	}
	return all
}

// script returns what migrate does, for people.
func (t tables) script(from int) string {
	var b strings.Builder
	b.WriteString("BEGIN;\n")
	if t.schema != "" {
		b.WriteString("SET LOCAL search_path = " + quote(t.schema) + ";\n")
	}
	for _, s := range append(t.before(), t.steps(from)...) {
		b.WriteString(strings.TrimRight(s, ";\n") + ";\n")
	}
	b.WriteString("COMMIT;")
	return b.String()
}

// migrate brings the tables to the newest version, in one transaction.
func (t tables) migrate(ctx context.Context, db *sql.DB) error {
	// A user who may not make tables finds those that somebody else has made.
	if v, err := version(ctx, db); err != nil || v == len(migrations) {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var encoding string
	if err := tx.QueryRowContext(ctx, "SELECT current_setting('server_encoding')").Scan(&encoding); err != nil {
		return err
	}
	if encoding != utf8 {
		return errEncoding
	}
	for _, s := range t.before() {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	// Another process may have been faster: the row is locked from here on.
	var have int
	if err := tx.QueryRowContext(ctx, lockVersion).Scan(&have); err != nil {
		return err
	}
	if err := newer(have); err != nil || have == len(migrations) {
		return err
	}
	for _, s := range t.steps(have) {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("make version %d of the tables: %w", len(migrations), err)
		}
	}
	return tx.Commit()
}

// mayCreate tells whether the user may make what is not there yet.
func (t tables) mayCreate(ctx context.Context, db *sql.DB) error {
	var in string
	var may bool
	err := db.QueryRowContext(ctx, `SELECT coalesce(current_schema(), ''), CASE WHEN current_schema() IS NULL
  THEN has_database_privilege(current_database(), 'CREATE') ELSE has_schema_privilege(current_schema(), 'CREATE') END`).Scan(&in, &may)
	switch {
	case err != nil:
		return err
	case in == "" && t.schema == "":
		return crm.Halted(errors.New("the user's search_path names no schema that is there: name one by the key schema"))
	case !may && in == "":
		return crm.Halted(fmt.Errorf("there is no schema %s, and the user may not make one: run what setup --dry-run prints as a user who may", t.schema))
	case !may:
		return crm.Halted(fmt.Errorf("the user may not make tables in the schema %s: run what setup --dry-run prints as a user who may", in))
	}
	return nil
}

// look tells what server it is.
func look(ctx context.Context, db *sql.DB) []crm.Finding {
	conn, err := db.Conn(ctx)
	if err != nil {
		return []crm.Finding{{Subject: "connection", Err: err}}
	}
	defer func() { _ = conn.Close() }()
	var server, encoding, transport string
	var standby bool
	err = conn.Raw(func(c any) error {
		pg := c.(*stdlib.Conn).Conn().PgConn() //nolint:errcheck // the connector makes no other
		server, encoding, transport = pg.ParameterStatus("server_version"), pg.ParameterStatus("server_encoding"), transportOf(pg.Conn())
		return nil
	})
	if err == nil {
		err = conn.QueryRowContext(ctx, "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'").Scan(&standby)
	}
	found := []crm.Finding{{Subject: "connection", Err: err, Detail: "PostgreSQL " + server + ", " + transport}}
	if err != nil {
		return found
	}
	e := crm.Finding{Subject: "encoding", Detail: encoding}
	if encoding != utf8 {
		e.Err = errEncoding
	}
	w := crm.Finding{Subject: "writable", Detail: "the server takes writes"}
	if standby {
		w.Err, w.Detail = errReadOnly, ""
	}
	return append(found, e, w)
}

func transportOf(c net.Conn) string {
	if _, ok := c.(*tls.Conn); ok {
		return "encrypted"
	}
	switch addr := c.RemoteAddr().(type) {
	case *net.UnixAddr:
		return "over a Unix socket"
	case *net.TCPAddr:
		if addr.IP.IsLoopback() {
			return "on this machine"
		}
	}
	return "NOT encrypted: add sslmode=verify-full to the dsn"
}
