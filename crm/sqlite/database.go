package sqlite

import (
	"context"
	"database/sql"
	_ "embed" // schema.sql
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

//go:embed schema.sql
var schema string

// migrations make version n+1 of the tables from version n. What has been released is never changed here.
var migrations = []string{schema}

// applicationID marks a file as ours ("VInf").
const applicationID = 0x56496e66

// busyTimeout is how long other programs' locks are waited for.
const busyTimeout = 5 * time.Second

// database is an open file with its statements. It has one connection: SQLite has one writer.
type database struct {
	path string
	info os.FileInfo
	db   *sql.DB
	conn *sql.Conn
	prepared
}

// open opens the file, makes it and its tables if need be, and prepares the statements.
func open(path string) (*database, error) {
	// SQLite would make the file readable for all. The file must not be opened here once it exists: closing it would drop
	// the locks that other connections of this process hold.
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600); err == nil {
		if err := f.Close(); err != nil {
			return nil, err
		}
		if dir, err := os.Open(filepath.Dir(path)); err == nil {
			_ = dir.Sync()
			_ = dir.Close()
		}
	} else if !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, crm.Halted(fmt.Errorf("%s is not a regular file: set another path", path))
	}
	db, err := sql.Open("sqlite", dsn(path)+"&_pragma=foreign_keys(1)&_pragma=synchronous(2)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	d := &database{path: path, info: info, db: db}
	if err := d.connect(context.Background()); err != nil {
		_ = d.close()
		return nil, err
	}
	return d, nil
}

func (d *database) connect(ctx context.Context) (err error) {
	if d.conn, err = d.db.Conn(ctx); err != nil {
		return err
	}
	if err := d.migrate(ctx); err != nil {
		return err
	}
	d.prepared, err = prepare(ctx, d.conn)
	return err
}

// migrate brings the tables to the newest version, in one transaction.
func (d *database) migrate(ctx context.Context) (err error) {
	// Only now, lest a file that is not ours is changed.
	if _, err := version(ctx, d.conn); err != nil {
		return err
	}
	if err := d.useWAL(ctx); err != nil {
		return err
	}
	if _, err := d.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = d.conn.ExecContext(ctx, "ROLLBACK")
		}
	}()
	// Another process may have been faster.
	have, err := version(ctx, d.conn)
	if err != nil {
		return err
	}
	for v := have; v < len(migrations); v++ {
		if _, err := d.conn.ExecContext(ctx, migrations[v]); err != nil {
			return fmt.Errorf("make version %d of the tables: %w", v+1, err)
		}
	}
	if have < len(migrations) {
		pragmas := fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(migrations))
		if _, err := d.conn.ExecContext(ctx, pragmas); err != nil {
			return err
		}
	}
	_, err = d.conn.ExecContext(ctx, "COMMIT")
	return err
}

// useWAL lets readers read while calls are written. SQLite does not wait by itself for another process that does the
// same at this moment.
func (d *database) useWAL(ctx context.Context) error {
	for until := time.Now().Add(busyTimeout); ; <-time.After(10 * time.Millisecond) {
		_, err := d.conn.ExecContext(ctx, "PRAGMA journal_mode = wal")
		var se *sqlite.Error
		if err == nil || !errors.As(err, &se) || se.Code()&0xff != sqlite3.SQLITE_BUSY || time.Now().After(until) {
			return err
		}
	}
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// version returns the version of the tables, 0 for an empty file, and refuses a file that is another program's or a
// newer version's.
func version(ctx context.Context, q querier) (int, error) {
	var id, v, objects int
	err := q.QueryRowContext(ctx, "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version), "+
		"(SELECT count(*) FROM sqlite_master)").Scan(&id, &v, &objects)
	switch {
	case err != nil:
		return 0, err
	case objects == 0 && v == 0:
		return 0, nil
	case id != applicationID:
		return 0, crm.Halted(errors.New("the file is a database of another program: set another path"))
	case v > len(migrations):
		return 0, crm.Halted(fmt.Errorf("the tables have version %d, this program knows up to %d: install the newer program again, or set another path",
			v, len(migrations)))
	}
	return v, nil
}

// current tells whether the path still names the open file.
func (d *database) current() bool {
	info, err := os.Stat(d.path)
	return err == nil && os.SameFile(info, d.info)
}

func (d *database) close() error {
	var errs []error
	errs = append(errs, d.prepared.close())
	if d.conn != nil {
		errs = append(errs, d.conn.Close())
	}
	return errors.Join(append(errs, d.db.Close())...)
}

func dsn(path string) string {
	return fmt.Sprintf("file:%s?mode=rw&_pragma=busy_timeout(%d)", (&url.URL{Path: path}).EscapedPath(), busyTimeout.Milliseconds())
}

// damage is what SQLite says of a file that it could open and that is not whole.
type damage struct{ text string }

func (e *damage) Error() string { return e.text }

// explain makes of an error one with a verdict and, where an operator can do something, what.
func explain(path string, err error) error {
	if crm.VerdictOf(err) != crm.Retry {
		return fmt.Errorf("%s: %w", path, err)
	}
	var broken *damage
	if errors.As(err, &broken) {
		return crm.Halted(fmt.Errorf("%s is damaged (%s): save it with the sqlite3 shell's .recover or take a copy, put that in its place, then resume", path, broken.text))
	}
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return err
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT:
		return crm.Halted(fmt.Errorf("%s is damaged: save it with the sqlite3 shell's .recover or take a copy, put that in its place, then resume", path))
	case sqlite3.SQLITE_NOTADB:
		return crm.Halted(fmt.Errorf("%s is not an SQLite database: set another path or move the file, then resume", path))
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
		return crm.Rejected(fmt.Errorf("%s refuses the call: %s", path, plain(se)), "rows of contacts, calls, notes, tasks")
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%s is locked by another program (an open transaction in a shell?)", path)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%s: the disk is full", path)
	case sqlite3.SQLITE_ERROR:
		if !strings.Contains(se.Error(), "no such ") && !strings.Contains(se.Error(), "has no column") {
			break
		}
		return crm.Halted(fmt.Errorf("%s: %s: the tables are not as this program made them: undo what was changed, then resume", path, plain(se)))
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("%s: %s: the service's user must be able to write to the file and its directory", path, plain(se))
	}
	return fmt.Errorf("%s: %s", path, plain(se))
}
