package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/lease"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/internal/records"
)

// A lease lasts leaseTime by the database's clock, from when the database got the renewal. A node trusts its own for less, from when it sent the
// renewal, by a clock that goes on while the machine sleeps: it has stopped before another node can begin.
const (
	leaseTime  = 15 * time.Second
	trustTime  = 11 * time.Second
	renewEvery = 3 * time.Second
)

// held is the lease that this node holds.
type held struct {
	*lease.Lease
	epoch int64
	since time.Time
}

// Leader is who leads a pipeline.
type Leader struct {
	Node  string // empty: nobody does
	Since time.Time
}

const takeLease = `WITH u AS (UPDATE {s}.leases SET node = $1::text, epoch = epoch + 1, since = now(), expires = now() + $2::text::interval
WHERE id = {p} AND (node = '' OR expires < now()) RETURNING 1) SELECT 1 / (SELECT count(*) FROM u)`

func seconds(t time.Duration) arg { return text(strconv.Itoa(int(t/time.Second)) + " seconds") }

// Lead takes the lease, unless another node holds it: then it errs with store.ErrLocked and names that one. Before it returns, what other nodes had
// claimed counts as attempted. Leading tells when the lease is held no more.
func (d *DB) Lead(ctx context.Context) error {
	if who, err := d.Leader(ctx); err != nil {
		return err
	} else if who.Node != "" {
		return fmt.Errorf("%w: node %s leads the pipeline %s since %s", store.ErrLocked, who.Node, d.pipeline, who.Since.Format(time.RFC3339))
	}
	sent := d.clock()
	var epoch, rev int64
	var since time.Time
	b := &batch{}
	b.add(nil, "BEGIN")
	b.add(nil, "SET LOCAL lock_timeout = '1s'")
	b.add(nil, takeLease, text(d.node), seconds(leaseTime))
	// The fence: from here on what the leader before sends is refused. A transaction of its that has begun is waited for, but not for long.
	b.add(nil, "UPDATE {s}.pipelines SET rev = rev + 1, epoch = (SELECT epoch FROM {s}.leases WHERE id = {p}) WHERE id = {p}")
	b.add(func(rows [][][]byte) error {
		epoch = number(rows[0][0])
		rev, since = number(rows[0][1]), micros(rows[0][2])
		return nil
	}, "SELECT l.epoch, p.rev, "+sinceMicros+" FROM {s}.pipelines p JOIN {s}.leases l ON l.id = p.id WHERE p.id = {p}")
	b.add(nil, "COMMIT")
	if err := d.onLeases(ctx, b); codeOf(err) == codeFence {
		return fmt.Errorf("%w: another node has just begun to lead the pipeline %s", store.ErrLocked, d.pipeline)
	} else if codeOf(err) == codeLockTimeout {
		return errors.Join(err, d.endAbandoned(ctx))
	} else if err != nil {
		return err
	}
	before := d.rev.Swap(rev)
	d.small.Store(nil)
	l := &held{lease.New(d.clock, sent+trustTime), epoch, since}
	d.held.Store(l)
	d.renewals.Go(l.Watch)
	d.renewals.Go(func() { d.renew(l) })
	install, err := d.identify()
	if err == nil && install == "" {
		err = d.engine().Update(func(tx records.Tx) (_ bool, err error) {
			install, err = records.Create(tx)
			return true, err
		})
	}
	if err == nil && !d.moving {
		err = d.compare(install, before, rev)
	}
	if err == nil && !d.moving {
		err = d.Reclaim()
	}
	if err != nil {
		d.giveUp(l)
	}
	return err
}

// codeLockTimeout says that another transaction holds a row for too long.
const codeLockTimeout = "55P03"

// endAbandoned ends the connections of this program whose transaction waits for the rest of its statements: a node that was stopped, or cut off, while it
// sent them holds the pipeline's row. None of the server's timeouts ends such a transaction.
func (d *DB) endAbandoned(ctx context.Context) error {
	b := &batch{}
	b.add(nil, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_user AND application_name = current_setting('application_name')
AND wait_event = 'ClientRead' AND xact_start < now() - interval '3 seconds'`)
	return d.onLeases(ctx, b)
}

// leadForCommand takes the lease before the first change of a command. What Lead itself changes comes when it is held.
func (d *DB) leadForCommand() error {
	if !d.leadToWrite || d.held.Load() != nil {
		return nil
	}
	d.taking.Lock()
	defer d.taking.Unlock()
	if d.held.Load() != nil {
		return nil
	}
	return d.Lead(d.ctx)
}

// leads returns the epoch of the lease that this node holds.
func (d *DB) leads() (epoch int64, err error) {
	l := d.held.Load()
	if l == nil {
		return 0, ErrLost
	}
	if err := l.Held(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrLost, err)
	}
	return l.epoch, nil
}

// Leading returns a context that ends when this node leads no more. No request may begin or go on then. nil: it has not led.
func (d *DB) Leading() context.Context {
	if l := d.held.Load(); l != nil {
		return l.Lease
	}
	return nil
}

// renew keeps the lease until it is over.
func (d *DB) renew(l *held) {
	defer l.End()
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.Done():
			return
		case <-tick.C:
		}
		sent := d.clock()
		if l.Held() != nil {
			return
		}
		kept := false
		b := &batch{}
		b.add(func(rows [][][]byte) error {
			kept = len(rows) == 1
			return nil
		}, "UPDATE {s}.leases SET expires = now() + $1::text::interval WHERE id = {p} AND epoch = $2::bigint RETURNING 1", seconds(leaseTime), bigint(l.epoch))
		ctx, cancel := context.WithTimeout(l, renewEvery)
		err := d.onLeases(ctx, b)
		cancel()
		if err != nil {
			continue // tried again until it is trusted no more
		}
		if !kept {
			return
		}
		l.Extend(sent + trustTime)
		d.keepSeen()
	}
}

// giveUp ends the lease, so that another node can lead at once.
func (d *DB) giveUp(l *held) {
	l.End()
	d.renewals.Wait()
	b := &batch{}
	b.add(nil, "UPDATE {s}.leases SET node = '', expires = now() WHERE id = {p} AND epoch = $1::bigint", bigint(l.epoch))
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = d.onLeases(ctx, b) // where that fails, it ends by its time
}

const sinceMicros = "(extract(epoch FROM l.since) * 1000000)::bigint"

func micros(v []byte) time.Time { return time.UnixMicro(number(v)).UTC() }

// Leader tells who leads. A node that does need not ask.
func (d *DB) Leader(ctx context.Context) (who Leader, err error) {
	if l := d.held.Load(); l != nil && l.Held() == nil {
		return Leader{Node: d.node, Since: l.since}, nil
	}
	var rev int64
	b := &batch{}
	b.add(func(rows [][][]byte) error {
		if rev = number(rows[0][2]); len(rows[0][0]) > 0 {
			who = Leader{Node: string(rows[0][0]), Since: micros(rows[0][1])}
		}
		return nil
	}, "SELECT convert_to(CASE WHEN l.expires > now() THEN l.node ELSE '' END, 'UTF8'), "+sinceMicros+", p.rev FROM {s}.pipelines p JOIN {s}.leases l ON l.id = p.id WHERE p.id = {p}")
	if err := d.onLeases(ctx, b); err != nil {
		return who, err
	}
	if who.Node != "" { // else it is compared by who leads next
		d.saw(rev)
		d.keepSeen()
	}
	return who, nil
}
