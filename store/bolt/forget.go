package bolt

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// tombstone names what must not come back by a hash that tells nothing to who has not the store.
func (t *txn) tombstone(kind byte, what []byte) []byte {
	m := hmac.New(sha256.New, t.bucket(bucketMeta).Get(keySalt))
	m.Write([]byte{kind})
	m.Write(what)
	return append([]byte{kind}, m.Sum(nil)[:16]...)
}

const (
	tombCall = 'c'
	tombLane = 'l'
)

func decodeTomb(b []byte) (at time.Time, ok bool) {
	d := &dec{b: b}
	at = d.time()
	return at, d.done()
}

func (t *txn) bury(kind byte, what []byte, at time.Time) error {
	k := t.tombstone(kind, what)
	e := newEnc(8)
	e.time(at)
	return t.put(bucketForgotten, k, e.seal(k))
}

// forgotten returns when a call was forgotten, by its id or, if it ended before its person was, by its lane; zero: it was not.
func (t *txn) forgotten(id string, lane store.Lane, when time.Time) (time.Time, error) {
	b := t.bucket(bucketForgotten)
	if k, _ := b.Cursor().First(); k == nil {
		return time.Time{}, nil
	}
	at, err := load(b, bucketForgotten, t.tombstone(tombCall, []byte(id)), decodeTomb)
	if err != nil || at != nil {
		return deref(at), err
	}
	if lane == (store.Lane{}) {
		return time.Time{}, nil
	}
	at, err = load(b, bucketForgotten, t.tombstone(tombLane, lane[:]), decodeTomb)
	if err != nil || at == nil || when.After(*at) {
		return time.Time{}, err
	}
	return *at, nil
}

func deref(at *time.Time) time.Time {
	if at == nil {
		return time.Time{}
	}
	return *at
}

// Forget implements store.Store.
func (d *DB) Forget(f store.Forgetting) (out store.Forgotten, err error) {
	err = d.update(func(t *txn) error {
		w := &eraser{txn: t, f: &f, ids: map[string]bool{}, rows: map[uint64]bool{}, lanes: map[store.Lane]bool{}}
		for _, id := range f.IDs {
			w.ids[id] = true
		}
		for _, step := range []func() error{
			w.findJobs, w.findWatches, w.findLetters, w.findLedger, w.findLanes, w.describe,
			w.eraseJobs, w.eraseWatches, w.eraseLetters, w.eraseReceipts, w.eraseLedger, w.eraseLanes, w.eraseClaims, w.eraseMessages, w.bury,
		} {
			if err := step(); err != nil {
				return err
			}
		}
		out = w.out
		if err := t.put(bucketMeta, keyScrub, newEnc(0).seal(keyScrub)); err != nil {
			return err
		}
		for l := range w.lanes {
			out.Lanes = append(out.Lanes, l)
		}
		return nil
	})
	if err != nil {
		return store.Forgotten{}, err
	}
	if out.File, err = d.scrub(); err != nil {
		return out, fmt.Errorf("the data was deleted, but rewriting the state file failed, so traces may remain in it. Run the command again: %w", err)
	}
	return out, nil
}

// keyScrub stands among the metas while what was erased may still be read in free pages.
var keyScrub = []byte("scrub")

// scrub removes what was erased from free pages, and records that this was done.
func (d *DB) scrub() (store.Rewritten, error) {
	r, err := d.rewrite(true)
	if err != nil {
		return r, err
	}
	return r, d.update(func(t *txn) error { return t.del(bucketMeta, keyScrub) })
}

// finishScrub does what a kill has kept a Forget from. Where it cannot, for want of room, the next start does.
func (d *DB) finishScrub() {
	due := false
	err := d.view(func(t *txn) error {
		due = t.bucket(bucketMeta).Get(keyScrub) != nil
		return nil
	})
	if err == nil && due {
		_, _ = d.scrub()
	}
}

// lifeOfForgotten is what can be told of a call that was forgotten; ErrUnknown if it was not.
func (t *txn) lifeOfForgotten(id string) ([]store.Event, error) {
	at, err := t.forgotten(id, store.Lane{}, time.Time{})
	if err != nil {
		return nil, err
	}
	if at.IsZero() {
		return nil, fmt.Errorf("call %q: %w", id, store.ErrUnknown)
	}
	return []store.Event{{At: at, What: "forgotten at an operator's request: it is not taken again"}}, nil
}

// checkForgotten reads the tombstones.
func (t *txn) checkForgotten() error {
	b := t.tx.Bucket([]byte(bucketForgotten))
	if b == nil {
		return nil // a store that no program has opened since there are any
	}
	return each(b, bucketForgotten, decodeTomb, func([]byte, *time.Time) error { return nil })
}
