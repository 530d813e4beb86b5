package mysql

import (
	"context"
	"database/sql"
	_ "embed" // schema.sql
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

//go:embed schema.sql
var schema string

// migrations make version n+1 of the tables from version n. What has been released is never changed here. Each statement must
// do no harm when it is executed again: the server commits it by itself, and the process may be killed before the last one.
var migrations = []string{schema}

// The one row of this table tells the version of the others. It is made first: tables beside it are this program's.
const (
	makeVersion = `CREATE TABLE IF NOT EXISTS vinfer_sync_version (
  one     INT NOT NULL PRIMARY KEY,
  version INT NOT NULL
) ENGINE = InnoDB`
	firstVersion = `INSERT INTO vinfer_sync_version (one, version) VALUES (1, 0) ON DUPLICATE KEY UPDATE one = one`
)

const present = `SELECT COUNT(CASE WHEN table_name = 'vinfer_sync_version' THEN 1 END), COUNT(CASE WHEN table_name <> 'vinfer_sync_version' THEN 1 END)
FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name IN ('vinfer_sync_version', 'contacts', 'calls', 'notes', 'tasks')`

// asker is a pool or one connection.
type asker interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// version returns the version of the tables, 0 where there are none or not all of them.
func version(ctx context.Context, db *sql.DB) (int, error) { return versionOf(ctx, db) }

func versionOf(ctx context.Context, db asker) (v int, err error) {
	var ours, others int
	if err := db.QueryRowContext(ctx, present).Scan(&ours, &others); err != nil {
		return 0, err
	}
	if ours == 0 {
		if others > 0 {
			return 0, crm.Halted(errors.New("the database holds tables of another program, named contacts, calls, notes or tasks: name another database in the dsn"))
		}
		return 0, nil
	}
	err = db.QueryRowContext(ctx, "SELECT version FROM vinfer_sync_version").Scan(&v)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, nil
	case err != nil:
		return 0, err
	case v > len(migrations):
		return 0, crm.Halted(fmt.Errorf("the tables have version %d, this program knows up to %d: install the newer program again, or name another database in the dsn",
			v, len(migrations)))
	}
	return v, nil
}

// steps returns the statements that go on from a version.
func steps(from int) []string {
	all := []string{makeVersion, firstVersion}
	for _, m := range migrations[from:] {
		for _, s := range strings.Split(m, ";\n") {
			if strings.TrimSpace(s) != "" {
				all = append(all, strings.TrimSpace(s))
			}
		}
	}
	return append(all, fmt.Sprintf("UPDATE vinfer_sync_version SET version = %d", len(migrations)))
}

// script returns what migrate does, for people.
func script(from int) string { return strings.Join(steps(from), ";\n") + ";" }

// lockWait is how many seconds another process is waited for that makes the tables.
const lockWait = 20

// migrate brings the tables to the newest version. A lock of the server's lets one process at a time do it.
func migrate(ctx context.Context, db *sql.DB) error {
	// A user who may not make tables finds those that somebody else has made.
	if v, err := version(ctx, db); err != nil || v == len(migrations) {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	var got sql.NullBool
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(CONCAT('vinfer-sync ', LEFT(DATABASE(), 50)), ?)", lockWait).Scan(&got); err != nil {
		return err
	}
	if !got.Bool {
		return errors.New("another process has been making the tables for long")
	}
	// The lock goes with the connection, if not before.
	defer func() { _, _ = conn.ExecContext(ctx, "DO RELEASE_LOCK(CONCAT('vinfer-sync ', LEFT(DATABASE(), 50)))") }()
	have, err := versionOf(ctx, conn)
	if err != nil || have == len(migrations) {
		return err
	}
	for _, s := range steps(have) {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("make version %d of the tables: %w", len(migrations), err)
		}
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
	var server, charset, name, cipher string
	var readOnly bool
	err = conn.QueryRowContext(ctx, "SELECT VERSION(), @@character_set_client, @@read_only").Scan(&server, &charset, &readOnly)
	if err == nil {
		err = conn.QueryRowContext(ctx, "SHOW SESSION STATUS LIKE 'Ssl_cipher'").Scan(&name, &cipher)
	}
	transport := "encrypted"
	if cipher == "" {
		transport = "NOT encrypted: add tls=true to the dsn, unless the server is on this machine"
	}
	found := []crm.Finding{{Subject: "connection", Err: err, Detail: server + ", " + transport}}
	if err != nil {
		return found
	}
	v := crm.Finding{Subject: "version", Detail: server}
	if tooOld(server) {
		v.Err = crm.Halted(errors.New("MySQL 8.0 or MariaDB 10.5 is the least: the views need window functions")) //nolint:revive // a name
	}
	e := crm.Finding{Subject: "encoding", Detail: charset}
	if charset != "utf8mb4" {
		e.Err = crm.Halted(errors.New("the connection cannot carry every script: the server must know utf8mb4"))
	}
	w := crm.Finding{Subject: "writable", Detail: "the server takes writes"}
	if readOnly {
		w.Err, w.Detail = errReadOnly, ""
	}
	return append(found, v, e, w)
}

// tooOld tells whether a server of that version lacks what the tables need.
func tooOld(version string) bool {
	// MariaDB answers as 10.11.6-MariaDB, some of it as 5.5.5-10.11.6-MariaDB.
	version = strings.TrimPrefix(version, "5.5.5-")
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	if err1 != nil || err2 != nil {
		return false // unknown: trying shows it
	}
	return a < 8 || strings.Contains(version, "MariaDB") && a == 10 && b < 5
}
