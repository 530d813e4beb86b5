package records

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// cancelChunk is how many jobs one transaction looks at, so that live work gets in between.
const cancelChunk = 1000

// CancelBackfill implements store.Store.
func (d *DB) CancelBackfill(id uint64, at time.Time) (removed, live int, err error) {
	var from []byte
	for more := true; more; {
		var out, moved int
		next := from
		err := d.update(func(t *txn) error {
			out, moved = 0, 0
			b, err := t.knownBackfill(id)
			if err != nil {
				return err
			}
			if b.Cancelled.IsZero() {
				b.Cancelled = round(at)
			}
			c := &cancelTx{txn: t, backfill: b, at: round(at)}
			if next, err = c.chunk(from); err != nil {
				return err
			}
			out, moved = c.removed, c.live
			if next == nil { // until then what it did not read to its end stays unreleased
				return t.endRead(b, at)
			}
			return nil
		})
		if err != nil {
			return removed, live, err
		}
		removed, live = removed+out, live+moved
		from, more = next, next != nil
	}
	return removed, live, nil
}

type cancelTx struct {
	*txn
	backfill      *store.Backfill
	at            time.Time
	removed, live int
}

// chunk works off some jobs from a key of the outbox on and returns where to go on; nil: at the end.
func (c *cancelTx) chunk(from []byte) ([]byte, error) {
	var mine []*jobRec
	cur := c.bucket(bucketOutbox).Cursor()
	n := 0
	k, v := cur.Seek(from)
	for ; k != nil && n < cancelChunk; k, v = cur.Next() {
		n++
		h, ok := decodeHead(v)
		if !ok {
			return nil, damaged(bucketOutbox, k, "it cannot be decoded")
		}
		if h.backfill != c.backfill.ID {
			continue
		}
		j, err := openJob(k, v)
		if err != nil {
			return nil, err
		}
		if j.kind == store.CallJob { // a transcript's call has been delivered
			mine = append(mine, j)
		}
	}
	next := bytes.Clone(k)
	m, err := c.state()
	if err != nil {
		return nil, err
	}
	for _, j := range mine {
		if err := c.job(j, m); err != nil {
			return nil, err
		}
	}
	return next, nil
}

func (c *cancelTx) job(j *jobRec, m *metaRec) error {
	d, err := c.destByID(j.dest)
	if err != nil {
		return err
	}
	if c.claimed(j.bytes()) {
		return nil // it arrives, or is tried again: the receiver may have it
	}
	rec, gen, err := c.call(j.id)
	if err != nil {
		return err
	}
	var e *ledgerDest
	if rec != nil {
		e = rec.dest(j.dest)
	}
	c.backfill.Queued--
	if e != nil && (!j.first() || !j.when.Before(m.first) && j.when.After(m.watermark())) {
		c.live++
		if err := c.makeLive(j, 0); err != nil {
			return err
		}
		e.backfill = 0
		return c.saveCall(j.id, rec, gen)
	}
	c.removed++
	if err := c.dropJob(d, j); err != nil || e == nil {
		return err
	}
	e.rev, e.backfill = 0, 0
	if !slices.ContainsFunc(rec.dests, func(x ledgerDest) bool { return x.rev != 0 }) {
		return c.deleteCall(j, rec, gen)
	}
	r := &receiptRec{state: stateSkipped, at: c.at, note: fmt.Sprintf("backfill %d was cancelled", c.backfill.ID)}
	if err := c.putReceipt(j.seen, j.id, j.dest, r); err != nil {
		return err
	}
	return c.saveCall(j.id, rec, gen)
}

// saveCall writes a ledger's record where it is: nothing has been seen.
func (c *cancelTx) saveCall(id string, rec *ledgerRec, gen uint64) error {
	k := callKey(id)
	return c.keep(bucketLedger, gen, k, rec.encode(k), true, gen)
}

// deleteCall forgets a call that no destination has: whoever finds it takes it for new.
func (c *cancelTx) deleteCall(j *jobRec, rec *ledgerRec, gen uint64) error {
	c.changed = true
	if err := c.tx.Generation(bucketLedger, gen).Delete(callKey(j.id)); err != nil {
		return fmt.Errorf("deleting from bucket %s: %w", bucketLedger, err)
	}
	dests := []uint16{0}
	for _, x := range rec.dests {
		dests = append(dests, x.dest)
	}
	var errs []error
	for _, id := range dests {
		errs = append(errs, c.del(bucketReceipts, receiptKey(rec.seen, j.id, id)))
	}
	return errors.Join(errs...)
}
