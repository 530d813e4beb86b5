package records

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// addDead keeps a dead letter and returns its number.
func (t *txn) addDead(r *deadRec) (uint64, error) {
	b := t.bucket(bucketDead)
	num, err := b.NextSequence()
	if err != nil {
		return 0, fmt.Errorf("numbering a dead letter: %w", err)
	}
	k := u64Key(num)
	if err := t.put(bucketDead, k, r.encode(k)); err != nil {
		return 0, err
	}
	if r.job.dest == 0 {
		return num, nil
	}
	j := &r.job
	return num, t.put(bucketDeadIndex, deadKey(j.dest, j.id, j.kind, j.rev), k)
}

func (t *txn) deadLetter(num uint64) (*deadRec, error) {
	return load(t.bucket(bucketDead), bucketDead, u64Key(num), decodeDead)
}

// eraseDead takes a dead letter away and out of the count.
func (t *txn) eraseDead(num uint64, r *deadRec) error {
	if err := t.del(bucketDead, u64Key(num)); err != nil {
		return err
	}
	j := &r.job
	if j.dest == 0 {
		m, err := t.state()
		if err != nil {
			return err
		}
		m.broken--
		t.metaDirty = true
		return nil
	}
	d, err := t.destByID(j.dest)
	if err != nil {
		return err
	}
	d.Dead--
	t.markChanged(d)
	k := deadKey(j.dest, j.id, j.kind, j.rev)
	if !bytes.Equal(t.bucket(bucketDeadIndex).Get(k), u64Key(num)) {
		return nil // of the same revision there is a newer one
	}
	return t.del(bucketDeadIndex, k)
}

// newestDead returns the dead letter of a call's newest revision at a destination; nil if it has none.
func (t *txn) newestDead(dest uint16, id string) (*deadRec, error) {
	var num []byte
	prefix := deadPrefix(dest, id, store.CallJob)
	c := t.bucket(bucketDeadIndex).Within(prefix)
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		num = v
	}
	if num == nil {
		return nil, nil
	}
	return load(t.bucket(bucketDead), bucketDead, num, decodeDead)
}

// requeue puts a dead letter's job back, unless a newer revision has overtaken it, and tells whether it did. The dead letter ends in any case.
func (t *txn) requeue(num uint64, r *deadRec, fresh bool) (bool, error) {
	if err := t.eraseDead(num, r); err != nil {
		return false, err
	}
	j := r.job
	if j.kind == store.CallJob {
		rec, _, err := t.call(j.id)
		if err != nil {
			return false, err
		}
		if rec != nil {
			if e := rec.dest(j.dest); e != nil && e.rev > j.rev {
				return false, nil
			}
		}
	}
	d, err := t.destByID(j.dest)
	if err != nil {
		return false, err
	}
	j.window, j.due = 0, time.Time{}
	if fresh {
		j.attempts, j.fails, j.firstFail = 0, 0, time.Time{}
	}
	if err := t.writeJob(&j); err != nil {
		return false, err
	}
	d.Pending++
	t.markChanged(d)
	return true, t.count(&j, func(b *store.Backfill) { b.Dead-- })
}

// DeadLetters implements store.Store.
func (d *DB) DeadLetters(dest string, all bool, after uint64, n int) (letters []store.DeadLetter, err error) {
	err = d.view(func(t *txn) error {
		letters = nil
		all, only := all, uint16(0)
		if dest != "" {
			r, err := t.destByName(dest)
			if err != nil {
				return err
			}
			only, all = r.id, false
		}
		c := t.bucket(bucketDead).Cursor()
		for k, v := c.Seek(u64Key(after + 1)); k != nil && len(letters) < n; k, v = c.Next() {
			r, err := open(bucketDead, k, v, decodeDead)
			if err != nil {
				return err
			}
			if !all && r.job.dest != only {
				continue
			}
			l := store.DeadLetter{
				Num: keyUint(k), ID: r.job.id, Kind: r.job.kind, Revision: r.job.rev, When: r.job.when, At: r.at,
				Attempts: r.job.attempts, Error: r.err, Request: r.request, Body: r.job.body,
			}
			if r.job.dest != 0 {
				to, err := t.destByID(r.job.dest)
				if err != nil {
					return err
				}
				l.Dest = to.Name
			}
			letters = append(letters, l)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return letters, nil
}

// letterChunk is how many dead letters one transaction takes back or drops, so that polls and deliveries get in between.
const letterChunk = 500

// EndDead implements store.Store.
func (d *DB) EndDead(nums []uint64, retry bool) (done int, err error) {
	err = d.view(func(t *txn) error {
		for _, num := range nums {
			r, err := t.deadLetter(num)
			switch {
			case err != nil:
				return err
			case r == nil:
				return fmt.Errorf("dead letter %d: %w", num, store.ErrUnknown)
			case retry && r.job.dest == 0:
				return fmt.Errorf("dead letter %d is a row that could not be understood: it can be dropped, not retried", num)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for chunk := range slices.Chunk(nums, letterChunk) {
		n := 0
		err := d.update(func(t *txn) error {
			n = 0
			for _, num := range chunk {
				ended, err := t.endLetter(num, retry)
				if err != nil {
					return err
				}
				if ended {
					n++
				}
			}
			return nil
		})
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// endLetter retries or drops a dead letter, and tells whether it did. One that somebody else has ended meanwhile is passed over.
func (t *txn) endLetter(num uint64, retry bool) (did bool, err error) {
	r, err := t.deadLetter(num)
	if err != nil || r == nil {
		return false, err
	}
	if !retry {
		if err := t.eraseDead(num, r); err != nil {
			return false, err
		}
		return true, t.noteLetter(r, "an operator dropped its dead letter")
	}
	if did, err = t.requeue(num, r, true); err != nil {
		return false, err
	}
	what := "an operator ended its dead letter: a newer revision has overtaken it"
	if did {
		what = "an operator put it back into the outbox"
	}
	return did, t.noteLetter(r, what)
}

// noteLetter adds to the life of a dead letter's call what an operator did with it.
func (t *txn) noteLetter(r *deadRec, what string) error {
	if r.job.dest == 0 {
		return nil
	}
	d, err := t.destByID(r.job.dest)
	if err != nil {
		return err
	}
	return t.note(r.job.seen, r.job.id, round(time.Now()), d.Name+": "+what)
}
