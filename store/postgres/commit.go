package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/internal/records"
)

// maxTries is how often a transaction is run again.
const maxTries = 5

// patience bounds one round trip. The role's statement_timeout should be shorter: a driver that gives up closes the connection.
const patience = 30 * time.Second

// codeFence is what the fence makes the server err with: division by zero. The statements after it, COMMIT included, are then skipped.
const codeFence = "22012"

const fence = `WITH u AS (UPDATE {s}.pipelines SET rev = rev + 1, last_tx = $1::bytea
WHERE id = {p} AND epoch = $2::bigint AND rev = $3::bigint RETURNING 1) SELECT 1 / (SELECT count(*) FROM u)`

// ErrLost is what a store answers to a change when this node does not lead the pipeline, or not any more.
var ErrLost = errors.New("this node does not lead the pipeline")

// link is a connection for one transaction.
type link struct {
	db       *DB
	ctx      context.Context //nolint:containedctx // it lives as long as the transaction
	conn     *pgxpool.Conn   // nil: not yet connected
	snapshot bool            // all batches are to see one state
}

// run sends a batch.
func (l *link) run(b *batch) error {
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	if l.conn == nil {
		conn, err := l.db.pool.Acquire(ctx)
		if err != nil {
			return l.db.explain(err)
		}
		l.conn = conn
		if l.snapshot {
			begun := &batch{}
			begun.add(nil, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
			begun.statements = append(begun.statements, b.statements...)
			b = begun
		}
	}
	return l.db.explain(b.results(l.conn.Conn().PgConn().ExecBatch(ctx, b.pgBatch(l.db.names))))
}

// end gives the connection back. One that is inside a transaction, or broken, is closed by the pool.
func (l *link) end() {
	switch {
	case l.conn == nil:
	case l.snapshot && l.conn.Conn().PgConn().TxStatus() == 'T':
		go func() { // nobody need wait for that
			b := &batch{}
			b.add(nil, "ROLLBACK")
			_ = l.run(b) // where that fails, the pool closes the connection
			l.conn.Release()
		}()
	default:
		l.conn.Release()
	}
}

// engine runs the transactions of the records in the database.
func (d *DB) engine() records.Engine { return records.Engine{View: d.view, Update: d.update} }

func (d *DB) view(fn func(records.Tx) error) error {
	for try, seed := 0, d.seed(); ; try++ {
		t := newTxn(d, &link{db: d, ctx: d.ctx, snapshot: true}, seed)
		t.unsure = seed != nil
		err := fn(t)
		if t.err != nil {
			err = t.err
		}
		t.link.end()
		stale := errors.Is(t.err, errStale)
		if !stale && (t.err == nil || try == maxTries || !again(err)) {
			return err
		}
		if seed = nil; !stale {
			pause(d.ctx, try)
		}
	}
}

// update runs one transaction at a time, as only this process writes: what it reads without a lock stays so. If it does not, because another node leads,
// the fence finds out.
func (d *DB) update(fn func(records.Tx) (bool, error)) error {
	if err := d.leadForCommand(); err != nil {
		return err
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	name := make([]byte, 16)
	_, _ = rand.Read(name) // never fails
	for try := 0; ; try++ {
		err := d.attempt(name, try > 0, fn)
		if err != nil {
			d.small.Store(nil)
		}
		if err == nil || try == maxTries || !again(err) {
			return err
		}
		pause(d.ctx, try)
	}
}

// attempt runs a transaction once. again: an earlier attempt may have been committed although its answer was lost. It may even be committed only now; then
// rev is another one than this attempt has read, the fence stops this attempt, and the next one finds the name of the transaction.
func (d *DB) attempt(name []byte, again bool, fn func(records.Tx) (bool, error)) error {
	epoch, err := d.leads()
	if err != nil {
		return err
	}
	t := newTxn(d, &link{db: d, ctx: d.ctx}, d.seed())
	defer t.link.end()
	if again {
		b := &batch{}
		t.load(b)
		t.run(b)
		if t.err == nil && bytes.Equal(t.head.lastTx, name) {
			d.saw(t.head.rev)
			return nil
		}
	}
	changed, err := fn(t)
	if t.err != nil {
		return t.err
	}
	if err != nil || !changed {
		return err
	}
	b := t.changes()
	if b.len() == 0 {
		return nil
	}
	if t.head.epoch != epoch {
		return d.deposed()
	}
	if t.head.rev < d.rev.Load() {
		d.held.Load().End()
		return fmt.Errorf("%w: the database has gone back in time", ErrLost)
	}
	whole := &batch{}
	whole.add(nil, "BEGIN")
	whole.add(nil, fence, bytea(name), bigint(epoch), bigint(t.head.rev))
	whole.statements = append(whole.statements, b.statements...)
	whole.add(nil, "COMMIT")
	if d.beforeCommit != nil {
		d.beforeCommit()
	}
	if err := t.link.run(whole); err != nil {
		return refusal(err)
	}
	d.saw(t.head.rev + 1)
	d.small.Store(t.after())
	return nil
}

// refusal makes an error of a commit one that a smaller transaction may not meet, if the server has refused this one. Where it was not
// reached, halving a group would only repeat that for each half.
func refusal(err error) error {
	if again(err) {
		return err
	}
	return &records.CommitError{Err: err}
}

// changes returns the statements that write what the transaction has changed.
func (t *txn) changes() *batch {
	b := &batch{}
	for _, g := range t.gone {
		b.deleteRange(g.table, g.span)
	}
	for _, name := range tables {
		var keys, values, gone [][]byte
		for _, e := range t.caches[name].entries {
			switch {
			case !e.dirty:
			case e.value == nil:
				gone = append(gone, e.key)
			default:
				keys, values = append(keys, e.key), append(values, e.value)
			}
		}
		if len(gone) > 0 {
			b.delete(name, gone)
		}
		if len(keys) > 0 {
			b.put(name, keys, values)
		}
	}
	if b.len() > 0 && !t.loaded { // the fence needs the pipeline's row
		head := &batch{}
		t.load(head)
		t.run(head)
	}
	return b
}

func (d *DB) deposed() error {
	return fmt.Errorf("%w: another node has taken over", ErrLost)
}

func jitter(t time.Duration) time.Duration {
	return t/2 + time.Duration(mathrand.Int64N(int64(t)))
}

// explain makes an error a failure, and adds what an operator can do about it.
func (d *DB) explain(err error) error {
	if err == nil {
		return nil
	}
	return &failure{d.advise(err)}
}

// failure is an error of the database, or of the way to it.
type failure struct{ error }

func (f *failure) Unwrap() error { return f.error }

func (d *DB) advise(err error) error {
	switch codeOf(err) {
	case "25006":
		return fmt.Errorf("store: %w: the server is a standby; name the primary in store.postgres, or add target_session_attrs=read-write to the dsn", err)
	case "28P01", "28000":
		return fmt.Errorf("store: %w: correct the user or the password in store.postgres", err)
	case "42501":
		return fmt.Errorf("store: %w: grant it to the user of store.postgres", err)
	case "3D000":
		return fmt.Errorf("store: %w: make the database, or name another in store.postgres", err)
	case "42P01", "3F000":
		return fmt.Errorf("%w: store: %w: no node has made the tables in the schema %s yet: start the daemon", store.ErrUnknown, err, d.schema)
	case "53100":
		return fmt.Errorf("store: %w: make room on the disk of the database server; nothing that was stored is lost", err)
	}
	return fmt.Errorf("store: %w", err)
}
