// Package sqlite writes calls into the tables of an SQLite file: contacts, calls, notes and tasks, and views over them.
// It is the destination of those who have connected no CRM yet. schema.sql describes the tables.
//
// Everything is keyed by the id of the call, so nothing doubles, and one call is one transaction, so no half of one is
// ever there. Calls that are written at the same time share the transaction.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/files"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/table"
	"github.com/vinfer-sync/vinfer-sync/internal/groupcommit"
)

// Config says where the file is.
type Config struct {
	Path string `yaml:"path"`
}

// Validate checks the configuration without touching the file.
func (c Config) Validate() error {
	if c.Path == "" {
		return errors.New("path: missing")
	}
	if c.Path == ":memory:" {
		return errors.New("path: a database in memory would be lost; name a file")
	}
	return nil
}

// Open makes the writer, as New does.
func (c Config) Open(s crm.Settings) (crm.Writer, error) { return crm.Opened(New(c, s)) }

// Identity names what the access depends on besides the secrets.
func (c Config) Identity() string { return c.Path }

// File returns the path of the file.
func (c Config) File() string { return c.Path }

// Writer writes to one file. The file is opened, and made if need be, by the first Write.
type Writer struct {
	path    string
	s       crm.Settings
	commits groupcommit.Committer[*job]
	db      *database // only the committer's goroutine uses it
}

// job is one entry on its way, and what it became.
type job struct {
	e       *crm.Entry
	contact int64
}

// New returns a Writer. Of s only OwnNumbers and Region matter. It touches no file.
func New(cfg Config, s crm.Settings) (*Writer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	w := &Writer{path: path, s: s}
	w.commits.Commit = w.commit
	return w, nil
}

// Write puts the entry into the tables and returns once that is on the disk.
func (w *Writer) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Call.ID == "" {
		return crm.Rejected(errors.New("the call has no id"), "row of calls")
	}
	table.Disown(&e.Call.Contact, w.s)
	j := &job{e: &e}
	if err := w.commits.Do(ctx, j); err != nil {
		return err
	}
	table.Refer(p.Refs, &e, j.contact)
	return nil
}

// Close waits for what is being written and closes the file.
func (w *Writer) Close() error {
	w.commits.Close()
	return w.drop()
}

func (w *Writer) drop() error {
	if w.db == nil {
		return nil
	}
	err := w.db.close()
	w.db = nil
	return err
}

// commit writes jobs in one transaction. If one of them cannot be written, each gets a transaction of its own.
func (w *Writer) commit(jobs []*job) []error {
	err := w.transaction(jobs)
	if err == nil {
		return nil
	}
	errs := make([]error, len(jobs))
	for i := range jobs {
		if len(jobs) > 1 && crm.VerdictOf(err) == crm.Reject {
			errs[i] = w.transaction(jobs[i : i+1])
		} else {
			errs[i] = err
		}
	}
	return errs
}

func (w *Writer) transaction(jobs []*job) error {
	if w.db != nil && !w.db.current() {
		// The file was moved or deleted: what is written to the open one would be lost.
		_ = w.drop()
	}
	if w.db == nil {
		db, err := open(w.path)
		if err != nil {
			return explain(w.path, err)
		}
		w.db = db
	}
	err := w.db.write(jobs)
	if err == nil {
		return nil
	}
	err = explain(w.path, err)
	if crm.VerdictOf(err) != crm.Reject {
		// After a failed read or write the connection may be in no state to go on.
		_ = w.drop()
	}
	return err
}

// Provision makes the file and its tables.
func (w *Writer) Provision(ctx context.Context, dryRun bool) ([]crm.Change, error) {
	version := 0
	if _, err := os.Stat(w.path); err == nil {
		if version, err = w.version(ctx); err != nil {
			return nil, err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if version == len(migrations) {
		return nil, nil
	}
	change := crm.Change{Subject: "tables", Done: !dryRun, Detail: fmt.Sprintf("%s: version %d of the tables", w.path, len(migrations))}
	if !dryRun {
		db, err := open(w.path)
		if err != nil {
			return nil, explain(w.path, err)
		}
		if err := db.close(); err != nil {
			return nil, explain(w.path, err)
		}
	}
	return []crm.Change{change}, nil
}

// Check looks whether the file is one of this program's, whole, and writable.
func (w *Writer) Check(ctx context.Context, _ []string) []crm.Finding {
	info, err := os.Stat(w.path)
	dir := filepath.Dir(w.path)
	const write, search = 2, 1
	if errors.Is(err, os.ErrNotExist) {
		target, err := files.Target(w.path)
		if err != nil {
			return []crm.Finding{{Subject: "file", Err: err, Detail: w.path}}
		}
		dir = filepath.Dir(target)
		f := crm.Finding{Subject: "file", Detail: files.ToBeMade(w.path, target)}
		if err := syscall.Access(dir, write|search); err != nil {
			f.Err, f.Detail = fmt.Errorf("%s: %w", dir, err), "make the directory, or let the service's user write to it"
		}
		return []crm.Finding{f}
	}
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", w.path)
	}
	if err == nil {
		if e := errors.Join(syscall.Access(w.path, write), syscall.Access(dir, write|search)); e != nil {
			err = fmt.Errorf("%s and its directory must be writable: %w", w.path, e)
		}
	}
	found := []crm.Finding{{Subject: "file", Err: err, Detail: w.path}}
	if err != nil {
		return found
	}
	version, err := w.version(ctx)
	found = append(found, crm.Finding{Subject: "tables", Err: err, Detail: fmt.Sprintf("version %d", version)})
	if err == nil {
		found = append(found, crm.Finding{Subject: "integrity", Err: w.read(ctx, quickCheck), Detail: "quick_check"})
	}
	return found
}

func quickCheck(ctx context.Context, db *sql.DB) error {
	var answer string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
		return err
	}
	if answer != "ok" {
		return &damage{answer}
	}
	return nil
}

// Find tells which contact a call would be written to.
func (w *Writer) Find(ctx context.Context, c crm.Contact) (m crm.Match, err error) {
	table.Disown(&c, w.s)
	if c.Phone == "" && c.E164 == "" {
		return m, nil
	}
	if _, err := os.Stat(w.path); errors.Is(err, os.ErrNotExist) {
		return m, nil
	}
	err = w.read(ctx, func(ctx context.Context, db *sql.DB) error {
		if version, err := version(ctx, db); err != nil || version == 0 {
			return err
		}
		m, err = table.Match(db.QueryRowContext(ctx, findContact, values.Text(c.E164), values.Text(c.Phone)))
		return err
	})
	return m, err
}

func (w *Writer) version(ctx context.Context) (v int, err error) {
	return v, w.read(ctx, func(ctx context.Context, db *sql.DB) (err error) {
		v, err = version(ctx, db)
		return err
	})
}

// read calls f with a connection that changes no data. It may write to the file all the same: one that may not leaves the files of SQLite's log
// beside it, which somebody else than the service's user would then own.
func (w *Writer) read(ctx context.Context, f func(context.Context, *sql.DB) error) error {
	db, err := sql.Open("sqlite", dsn(w.path)+"&_pragma=query_only(1)")
	if err != nil {
		return explain(w.path, err)
	}
	defer func() { _ = db.Close() }()
	if err := f(ctx, db); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return explain(w.path, err)
	}
	return nil
}
