package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vinfer-sync/vinfer-sync/internal/lease"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/internal/records"
)

// Config says which database it is.
type Config struct {
	DSN    func() (secret.Text, error) // a URL or key=value words, with what libpq knows; it is asked for each new connection
	Schema string                      // of the tables
	Dir    string                      // on this node's disk, where it keeps how far it has seen the database; empty: it does not
}

// parse reads a DSN. Its errors show nothing of it.
func parse(dsn string) (*pgxpool.Config, error) {
	const example = "write postgres://user:password@host:5432/database?sslmode=verify-full, special characters of the password as %40 and the like" //nolint:gosec // nobody's
	if strings.TrimSpace(dsn) == "" {
		return nil, errors.New("missing: " + example)
	}
	cfg, err := pgxpool.ParseConfig(strings.TrimSpace(dsn))
	if err != nil {
		return nil, errors.New("not a connection string: " + example) // what the driver says may quote it
	}
	return cfg, nil
}

// DB is the state of one pipeline.
type DB struct {
	*records.DB
	schema, pipeline, node string
	dir                    string
	keeping                sync.Mutex // over known and kept
	known                  string     // whose state this node has worked with; empty: none yet
	kept                   int64      // the rev that stands on the disk
	leadToWrite            bool       // take the lease for the first change
	moving                 bool       // it is opened for MoveTo alone
	id                     int64
	names                  *strings.Replacer
	pool                   *pgxpool.Pool // of transactions
	leases                 *pgxpool.Pool // one connection, for the lease alone: it must not wait for a transaction
	ctx                    context.Context
	cancel                 context.CancelFunc
	writing                sync.Mutex           // one transaction at a time writes
	rev                    atomic.Int64         // the highest that was seen
	small                  atomic.Pointer[seed] // nil: not known
	held                   atomic.Pointer[held]
	clock                  func() time.Duration // of the lease: see internal/lease
	taking                 sync.Mutex           // held while a command takes the lease
	renewals               sync.WaitGroup

	beforeCommit func() // for tests
}

var _ store.Store = (*DB)(nil)

// Node makes a name for this process: a node is a process, not a machine.
func Node() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	random := make([]byte, 4)
	_, _ = rand.Read(random) // never fails
	return host + "/" + hex.EncodeToString(random)
}

// Open connects to the database and makes the tables and the pipeline if need be. The store can then be read; to change it, see Lead.
func Open(ctx context.Context, c Config, pipeline, node string) (*DB, error) {
	return open(ctx, c, pipeline, node, &DB{})
}

// OpenToMove is Open for MoveTo alone: the state may be on its way to here or to elsewhere. It also takes the lease.
func OpenToMove(ctx context.Context, c Config, pipeline, node string) (*DB, error) {
	d, err := open(ctx, c, pipeline, node, &DB{moving: true})
	if err != nil {
		return nil, err
	}
	if err := d.Lead(ctx); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// OpenForCommand is Open for a command: it makes nothing, and takes the lease only when it is to change something.
func OpenForCommand(ctx context.Context, c Config, pipeline, node string) (*DB, error) {
	return open(ctx, c, pipeline, node, &DB{leadToWrite: true})
}

func open(ctx context.Context, c Config, pipeline, node string, d *DB) (_ *DB, err error) {
	d.schema, d.dir, d.pipeline, d.node, d.clock = c.Schema, c.Dir, pipeline, node, lease.SinceBoot
	d.rename()
	if d.leadToWrite {
		d.dir = "" // a command may be another user's
	}
	if err := d.loadSeen(); err != nil {
		return nil, err
	}
	d.ctx, d.cancel = context.WithCancel(context.Background()) //nolint:gosec // Close cancels it
	defer func() {
		if err != nil {
			d.disconnect()
		}
	}()
	if d.pool, err = c.connect(ctx, 4); err != nil {
		return nil, err
	}
	if d.leases, err = c.connect(ctx, 1); err != nil {
		return nil, err
	}
	if !d.leadToWrite {
		if err := d.migrate(ctx); err != nil {
			return nil, err
		}
	}
	if err := d.enter(ctx, !d.leadToWrite); err != nil {
		return nil, err
	}
	d.DB = records.New(d.engine())
	if _, err := d.identify(); err != nil {
		return nil, err
	}
	return d, nil
}

// rename makes what stands in statements for the schema and the pipeline the real ones.
func (d *DB) rename() {
	d.names = strings.NewReplacer("{s}", pgx.Identifier{d.schema}.Sanitize(), "{p}", strconv.FormatInt(d.id, 10)+"::bigint")
}

// connect returns a pool. Each connection reads the DSN's file anew.
func (c Config) connect(ctx context.Context, size int32) (*pgxpool.Pool, error) {
	cfg, err := c.settings()
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = size
	cfg.BeforeConnect = func(_ context.Context, conn *pgx.ConnConfig) error {
		now, err := c.settings()
		if err == nil {
			*conn = *now.ConnConfig
		}
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return pool, nil
}

func (c Config) settings() (*pgxpool.Config, error) {
	dsn, err := c.DSN()
	if err != nil {
		return nil, fmt.Errorf("store.postgres.dsn_file: %w", err)
	}
	cfg, err := parse(dsn.Reveal())
	if err != nil {
		return nil, fmt.Errorf("store.postgres.dsn: %w", err)
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "vinfer-sync"
	}
	return cfg, nil
}

// once runs statements outside of the records.
func (d *DB) once(ctx context.Context, b *batch) error {
	l := &link{db: d, ctx: ctx}
	defer l.end()
	return l.run(b)
}

// onLeases runs statements on the connection of the lease.
func (d *DB) onLeases(ctx context.Context, b *batch) error {
	conn, err := d.leases.Acquire(ctx)
	if err != nil {
		return d.explain(err)
	}
	defer conn.Release()
	return d.explain(b.results(conn.Conn().PgConn().ExecBatch(ctx, b.pgBatch(d.names))))
}

// parameter returns what the server says of itself.
func (d *DB) parameter(name string) string {
	conn, err := d.pool.Acquire(d.ctx)
	if err != nil {
		return ""
	}
	defer conn.Release()
	return conn.Conn().PgConn().ParameterStatus(name)
}

// Survey implements store.Store.
func (d *DB) Survey() (s store.Survey, err error) {
	err = d.view(func(tx records.Tx) (err error) {
		s, err = records.Survey(tx)
		return err
	})
	s.Path = "schema " + d.schema + ", pipeline " + d.pipeline
	return s, err
}

// Close waits for what is being committed, gives the lease up and disconnects.
func (d *DB) Close() error {
	d.Drain()
	d.cancel()
	if l := d.held.Load(); l != nil {
		d.giveUp(l)
		d.keepSeen()
	}
	d.disconnect()
	return nil
}

func (d *DB) disconnect() {
	d.cancel()
	for _, p := range []*pgxpool.Pool{d.leases, d.pool} {
		if p != nil {
			p.Close()
		}
	}
}
