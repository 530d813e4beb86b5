package records

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// tombstone names what must not come back by a hash that tells nothing to who has not the store.
func tombstone(salt []byte, kind byte, what []byte) []byte {
	m := hmac.New(sha256.New, salt)
	m.Write([]byte{kind})
	m.Write(what)
	return append([]byte{kind}, m.Sum(nil)[:16]...)
}

func (t *txn) tombstone(kind byte, what []byte) []byte {
	return tombstone(t.bucket(bucketMeta).Get(keySalt), kind, what)
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

func (t *txn) addTombstone(kind byte, what []byte, at time.Time) error {
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
func (d *DB) Forget(f store.Forgetting) (store.Forgotten, error) {
	return d.ForgetAnd(f, func(Tx) error { return nil })
}

// ForgetAnd is Forget with something more in the same transaction.
func (d *DB) ForgetAnd(f store.Forgetting, more func(tx Tx) error) (out store.Forgotten, err error) {
	err = d.update(func(t *txn) error {
		w := &forgetTx{txn: t, what: &f, ids: map[string]bool{}, rows: map[uint64]bool{}, lanes: map[store.Lane]bool{}}
		for _, id := range f.IDs {
			w.ids[id] = true
		}
		for _, step := range []func() error{
			w.findJobs, w.findWatches, w.findLetters, w.findLedger, w.findLanes, w.describe,
			w.eraseJobs, w.eraseWatches, w.eraseLetters, w.eraseReceipts, w.eraseLedger, w.eraseLanes, w.eraseClaims, w.eraseMessages, w.addTombstones,
		} {
			if err := step(); err != nil {
				return err
			}
		}
		out = w.out
		for l := range w.lanes {
			out.Lanes = append(out.Lanes, l)
		}
		t.changed = true
		if f.Dry {
			return errUndone
		}
		return more(t.tx)
	})
	if err != nil && !errors.Is(err, errUndone) {
		return store.Forgotten{}, err
	}
	return out, nil
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
	return each(t.bucket(bucketForgotten), bucketForgotten, decodeTomb, func([]byte, *time.Time) error { return nil })
}
