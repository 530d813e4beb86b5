package records

import (
	"bytes"
	"fmt"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// Check reads all that is stored and returns the first thing that is not as it should be: a checksum, an index that disagrees with
// what it indexes, a counter that does.
func (d *DB) Check() error {
	return d.view((*txn).check)
}

func (t *txn) check() error {
	for _, f := range []func() error{t.checkFrontier, t.checkForgotten, t.checkJobs, t.checkDead, t.checkWatches, t.checkRest} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// checkFrontier reads what belongs to no call.
func (t *txn) checkFrontier() error {
	m, err := t.state()
	if err != nil {
		return err
	}
	for _, s := range m.streams {
		if s.cur >= s.next || s.next > m.nextWindow {
			return fmt.Errorf("%w: the windows of stream %s are out of order", store.ErrDamaged, s.name)
		}
	}
	all, err := t.allDests()
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.id >= m.nextDest && m.nextDest != 0 {
			return fmt.Errorf("%w: destination %s has a number that was not given out", store.ErrDamaged, r.Name)
		}
	}
	err = forEach(t.bucket(bucketSettings), func(k, v []byte) error {
		_, err := unseal(bucketSettings, k, v)
		return err
	})
	if err != nil {
		return err
	}
	fills := t.bucket(bucketBackfills)
	return forEach(fills, func(k, v []byte) error {
		if len(k) == 8 {
			_, err := open(bucketBackfills, k, v, decodeBackfill)
			return err
		}
		if fills.Get(v) == nil {
			return damaged(bucketBackfills, k, "it names a backfill that is not there")
		}
		return nil
	})
}

// each decodes all records of a bucket.
func each[T any](b Bucket, name string, decode func([]byte) (T, bool), f func(k []byte, r *T) error) error {
	return forEach(b, func(k, v []byte) error {
		r, err := open(name, k, v, decode)
		if err != nil {
			return err
		}
		return f(k, r)
	})
}

// forEach goes through all keys of a bucket.
func forEach(b Bucket, f func(k, v []byte) error) error {
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if err := f(k, v); err != nil {
			return err
		}
	}
	return nil
}

func keys(b Bucket) (n int) {
	c := b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		n++
	}
	return n
}

func (t *txn) checkJobs() error {
	lanes := t.bucket(bucketLanes)
	tried := t.bucket(bucketTried)
	pending := map[uint16]int{}
	n, begun := 0, 0
	err := each(t.bucket(bucketOutbox), bucketOutbox, decodeJob, func(k []byte, j *jobRec) error {
		key, ok := parseJobKey(k)
		if !ok || key.prio != prioOf(j.backfill, key.kind) {
			return damaged(bucketOutbox, k, "it is not a key of this job")
		}
		if !bytes.Equal(lanes.Get(laneKey(k, j.lane)), laneEntry(key.prio, j.window)) {
			return damaged(bucketOutbox, k, "the lane index disagrees")
		}
		if j.tried() {
			if begun++; tried.Get(laneKey(k, j.lane)) == nil {
				return damaged(bucketOutbox, k, "it is not listed among those that were tried")
			}
		}
		n++
		pending[key.dest]++
		return nil
	})
	if err != nil {
		return err
	}
	if indexed := keys(lanes); indexed != n {
		return fmt.Errorf("%w: %d jobs, %d in the lane index", store.ErrDamaged, n, indexed)
	}
	if keys(tried) != begun {
		return fmt.Errorf("%w: %d jobs were tried, %d are listed", store.ErrDamaged, begun, keys(tried))
	}
	all, err := t.allDests()
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Pending != pending[r.id] {
			return fmt.Errorf("%w: destination %s counts %d jobs and has %d", store.ErrDamaged, r.Name, r.Pending, pending[r.id])
		}
		n -= r.Pending
	}
	if n != 0 {
		return fmt.Errorf("%w: %d jobs of unknown destinations", store.ErrDamaged, n)
	}
	return nil
}

func (t *txn) checkDead() error {
	index := t.bucket(bucketDeadIndex)
	count := map[uint16]int{}
	err := each(t.bucket(bucketDead), bucketDead, decodeDead, func(k []byte, r *deadRec) error {
		j := &r.job
		count[j.dest]++
		if j.dest != 0 && index.Get(deadKey(j.dest, j.id, j.kind, j.rev)) == nil {
			return damaged(bucketDead, k, "the index does not have it")
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = forEach(index, func(k, v []byte) error {
		if t.bucket(bucketDead).Get(v) == nil {
			return damaged(bucketDeadIndex, k, "it names a letter that is not there")
		}
		return nil
	})
	if err != nil {
		return err
	}
	m, err := t.state()
	if err != nil {
		return err
	}
	if m.broken != count[0] {
		return fmt.Errorf("%w: %d dead letters of no destination are counted, %d there", store.ErrDamaged, m.broken, count[0])
	}
	all, err := t.allDests()
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Dead != count[r.id] {
			return fmt.Errorf("%w: destination %s counts %d dead letters and has %d", store.ErrDamaged, r.Name, r.Dead, count[r.id])
		}
	}
	return nil
}

func (t *txn) checkWatches() error {
	due := t.bucket(bucketDue)
	count := map[store.WatchKind]int{}
	n := 0
	err := each(t.bucket(bucketWatches), bucketWatches, decodeWatch, func(k []byte, w *watchRec) error {
		kind := store.WatchKind(k[0])
		if due.Get(dueKey(kind, w.due, string(k[1:]))) == nil {
			return damaged(bucketWatches, k, "the index does not have it")
		}
		count[kind]++
		n++
		return nil
	})
	if err != nil {
		return err
	}
	m, err := t.state()
	if err != nil {
		return err
	}
	if indexed := keys(due); indexed != n || m.transcripts != count[store.TranscriptWatch] || m.unfinished != count[store.FinishWatch] {
		return fmt.Errorf("%w: %d watches, %d in the index, %d counted", store.ErrDamaged, n, indexed, m.transcripts+m.unfinished)
	}
	return nil
}

func (t *txn) checkRest() error {
	if _, err := t.lateCalls(); err != nil {
		return err
	}
	var unknown error
	known := func(bucket string, k []byte, dest uint16) {
		if _, err := t.destByID(dest); err != nil && unknown == nil {
			unknown = damaged(bucket, k, "it names a destination that is not there")
		}
	}
	err := checkGenerations(t, bucketLedger, decodeLedger, func(k []byte, r *ledgerRec) {
		for _, x := range r.dests {
			known(bucketLedger, k, x.dest)
		}
	})
	if err == nil {
		err = checkGenerations(t, bucketLaneState, decodeLane, func([]byte, *laneState) {})
	}
	if err != nil {
		return err
	}
	err = forEach(t.bucket(bucketReceipts), func(k, v []byte) error {
		_, _, dest, ok := parseReceiptKey(k)
		if !ok {
			return damaged(bucketReceipts, k, "it is not a key of a receipt")
		}
		if dest != 0 {
			known(bucketReceipts, k, dest)
		}
		var err error
		if dest == 0 {
			_, err = open(bucketReceipts, k, v, decodeEvents)
		} else {
			_, err = open(bucketReceipts, k, v, decodeReceipt)
		}
		return err
	})
	if err != nil {
		return err
	}
	return unknown
}

// checkGenerations also sees to it that nothing is kept twice. The keys of all newer generations are walked beside those of each, in their
// order: to look up each key in each of them takes minutes where there are ten million.
func checkGenerations[T any](t *txn, name string, decode func([]byte) (T, bool), look func(k []byte, r *T)) error {
	gens := t.generations(name)
	for i, g := range gens {
		var newer []walk
		for _, n := range gens[:i] {
			c := t.tx.Generation(name, n).Cursor()
			k, _ := c.First()
			newer = append(newer, walk{c, k})
		}
		err := each(t.tx.Generation(name, g), name, decode, func(k []byte, r *T) error {
			look(k, r)
			for i := range newer {
				if newer[i].reaches(k) {
					return damaged(name, k, "there are two")
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// walk goes through the keys of a bucket.
type walk struct {
	c Cursor
	k []byte // nil: at the end
}

// reaches goes on to the first key that does not come before k, and tells whether it is k.
func (w *walk) reaches(k []byte) bool {
	for w.k != nil && bytes.Compare(w.k, k) < 0 {
		w.k, _ = w.c.Next()
	}
	return bytes.Equal(w.k, k)
}
