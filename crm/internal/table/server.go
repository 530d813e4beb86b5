package table

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// DefaultTimeout is how long the transaction of one call may take.
const DefaultTimeout = 30 * time.Second

// tries is how often a transaction is begun that the server takes back because of another one. That costs nothing: a
// transaction that was taken back has left nothing.
const tries = 4

// CheckTimeout refuses a timeout that cannot be meant.
func CheckTimeout(d time.Duration) error {
	if d != 0 && d < time.Second || d > 10*time.Minute {
		return errors.New("timeout: write 1s to 10m")
	}
	return nil
}

// DSN returns a connection string, as its file now has it if one is named.
func DSN(dsn secret.Text, file string) (string, error) {
	if file == "" {
		return dsn.Reveal(), nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("dsn_file: %w", err)
	}
	return string(b), nil
}

// Match reads the row that FindContact returns, if there is one.
func Match(row *sql.Row) (m crm.Match, err error) {
	var name sql.NullString
	err = row.Scan(&m.ID, &name)
	if errors.Is(err, sql.ErrNoRows) {
		return crm.Match{}, nil
	}
	m.Count, m.Label = 1, cmp.Or(name.String, "contact "+m.ID)
	return m, err
}

// Dialect is what one kind of database server does in its own way. Its functions may be called concurrently.
type Dialect struct {
	Name       string // of the kind, for errors
	Statements *Statements
	Values     Values
	Newest     int // version of the tables that the statements are for

	// Connect makes a connection, with the secrets as they are now.
	Connect func(context.Context) (driver.Conn, error)
	// Tx adapts a transaction to the statements. prefix is put before each; it is empty, or "EXPLAIN ".
	Tx func(tx *sql.Tx, prefix string) Tx
	// Version returns the version of the tables, 0 where there are none, and refuses those of another program or of a newer version.
	Version func(context.Context, *sql.DB) (int, error)
	// Migrate brings the tables to the newest version, whoever else does the same at this moment.
	Migrate func(context.Context, *sql.DB) error
	// Script returns the statements by which Migrate goes on from a version.
	Script func(version int) string
	// MayCreate looks whether the user may make the tables; nil: only trying shows it.
	MayCreate func(context.Context, *sql.DB) error
	// Look returns findings about the server: "connection" is the first, and the only one if it failed.
	Look func(context.Context, *sql.DB) []crm.Finding
	// Explain gives an error of the server its verdict, and words without secrets and phone numbers.
	Explain func(error) error
	// Again tells whether the server took a transaction back because of another one.
	Again func(error) bool
}

// Server writes to the tables in a database server: one call is one transaction, on one of as many connections as there are
// workers. The tables are made by the first Write if need be.
type Server struct {
	d       Dialect
	timeout time.Duration
	s       crm.Settings
	workers int
	db      *sql.DB
	ready   chan bool // holds whether the tables have been looked at; who took it out is alone with them
}

// NewServer returns a Server. It connects to nothing.
func NewServer(d Dialect, timeout time.Duration, settings crm.Settings) *Server {
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	s := &Server{d: d, timeout: timeout, s: settings, workers: max(settings.Workers, 1), ready: make(chan bool, 1)}
	s.db = sql.OpenDB(connector{d.Connect})
	s.db.SetMaxOpenConns(s.workers)
	s.db.SetMaxIdleConns(s.workers)
	s.db.SetConnMaxIdleTime(time.Minute)
	s.db.SetConnMaxLifetime(time.Hour) // so that a server's new address is found
	s.ready <- false
	return s
}

// connector makes connections by a function.
type connector struct {
	connect func(context.Context) (driver.Conn, error)
}

func (c connector) Connect(ctx context.Context) (driver.Conn, error) { return c.connect(ctx) }

// Driver is asked for by nobody here.
func (c connector) Driver() driver.Driver { return nil }

// Write puts the entry into the tables and returns once that is committed.
func (s *Server) Write(ctx context.Context, e crm.Entry, p *crm.Progress) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Call.ID == "" {
		return crm.Rejected(errors.New("the call has no id"), "row of calls")
	}
	Disown(&e.Call.Contact, s.s)
	var contact int64
	err := s.limited(ctx, func(ctx context.Context) (err error) {
		if err := s.prepare(ctx); err != nil {
			return err
		}
		contact, err = s.transaction(ctx, &e)
		return err
	})
	if err != nil {
		return err
	}
	Refer(p.Refs, &e, contact)
	return nil
}

// limited calls f with a deadline and explains its error; f runs again when the server took its transaction back.
func (s *Server) limited(ctx context.Context, f func(context.Context) error) error {
	within, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := f(within)
	for n := 1; n < tries && err != nil && s.d.Again(err); n++ {
		err = f(within)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case within.Err() != nil:
		err = fmt.Errorf("%s: no answer within %s", s.d.Name, s.timeout)
	case crm.VerdictOf(err) != crm.Retry:
		err = fmt.Errorf("%s: %w", s.d.Name, err)
	default:
		err = fmt.Errorf("%s: %w", s.d.Name, s.d.Explain(err))
	}
	if crm.VerdictOf(err) != crm.Reject {
		s.renew()
	}
	return err
}

// renew has the next call begin with new connections, and look at the tables: another server may have taken over, another
// password be valid, or the tables be made anew by then.
func (s *Server) renew() {
	s.db.SetMaxIdleConns(0)
	s.db.SetMaxIdleConns(s.workers)
	select {
	case <-s.ready:
		s.ready <- false
	default: // somebody is looking already
	}
}

// prepare makes the tables if they are not there.
func (s *Server) prepare(ctx context.Context) error {
	var ready bool
	select {
	case ready = <-s.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.ready <- ready }()
	if ready {
		return nil
	}
	err := s.d.Migrate(ctx, s.db)
	ready = err == nil
	return err
}

func (s *Server) transaction(ctx context.Context, e *crm.Entry) (contact int64, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	contact, err = Put(ctx, s.d.Tx(tx, ""), s.d.Statements, s.d.Values, e)
	if err != nil {
		_ = tx.Rollback()
		return 0, err
	}
	// If the answer is lost, all of it may be there. The same rows are written again then.
	return contact, tx.Commit()
}

// Close closes the connections, after what is being written on them.
func (s *Server) Close() error { return s.db.Close() }

// Find tells which contact a call would be written to.
func (s *Server) Find(ctx context.Context, c crm.Contact) (m crm.Match, err error) {
	Disown(&c, s.s)
	if c.Phone == "" && c.E164 == "" {
		return m, nil
	}
	err = s.limited(ctx, func(ctx context.Context) error {
		if version, err := s.d.Version(ctx, s.db); err != nil || version == 0 {
			return err
		}
		tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		m, err = Match(s.d.Tx(tx, "").QueryRowContext(ctx, s.d.Statements.FindContact, s.d.Values.Text(c.E164), s.d.Values.Text(c.Phone)))
		return err
	})
	return m, err
}

// Provision makes the tables.
func (s *Server) Provision(ctx context.Context, dryRun bool) (changes []crm.Change, err error) {
	err = s.limited(ctx, func(ctx context.Context) error {
		have, err := s.d.Version(ctx, s.db)
		if err != nil || have == s.d.Newest {
			return err
		}
		c := crm.Change{Subject: "tables", Done: !dryRun, Detail: fmt.Sprintf("version %d of the tables and views", s.d.Newest)}
		if dryRun {
			c.Detail += ", by:\n" + s.d.Script(have)
		} else if err := s.d.Migrate(ctx, s.db); err != nil {
			return err
		}
		changes = []crm.Change{c}
		return nil
	})
	return changes, err
}

// Check looks whether the server can be reached, what it is, whether the tables are this program's, and whether the user may do
// with them what writing a call takes.
func (s *Server) Check(ctx context.Context, _ []string) []crm.Finding {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	found := s.d.Look(ctx, s.db)
	for i := range found {
		found[i].Err = s.explained(found[i].Err)
	}
	if found[0].Err != nil {
		return found
	}
	version, err := s.d.Version(ctx, s.db)
	tables := crm.Finding{Subject: "tables", Err: s.explained(err), Detail: fmt.Sprintf("version %d", version)}
	switch {
	case err == nil && version == 0:
		tables.Detail = "they are not there yet: setup makes them, else the first call does"
		if s.d.MayCreate != nil {
			tables.Err = s.explained(s.d.MayCreate(ctx, s.db))
		}
	case err == nil && version < s.d.Newest:
		tables.Detail += fmt.Sprintf(": setup brings them to version %d, else the next call does", s.d.Newest)
	}
	found = append(found, tables)
	if err != nil || version != s.d.Newest {
		return found
	}
	return append(found, crm.Finding{Subject: "rights", Err: s.explained(s.rights(ctx)), Detail: "reading and writing the tables"})
}

func (s *Server) explained(err error) error {
	if err == nil || crm.VerdictOf(err) != crm.Retry {
		return err
	}
	return s.d.Explain(err)
}

// rights has the server plan every statement: it refuses those whose execution it would refuse, and executes none.
func (s *Server) rights(ctx context.Context) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	plan := s.d.Tx(tx, "EXPLAIN ")
	for _, q := range s.d.Statements.All() {
		if _, err := plan.ExecContext(ctx, q.Query, make([]any, q.Args)...); err != nil {
			return err
		}
	}
	return nil
}
