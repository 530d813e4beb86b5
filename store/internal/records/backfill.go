package records

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// backfillKey is where the number of the newest backfill with these flags stands, among the records, whose keys are shorter.
func backfillKey(key string) []byte {
	h := sha256.Sum256([]byte(key))
	return append([]byte("key:"), h[:]...)
}

// OpenBackfill implements store.Store.
func (d *DB) OpenBackfill(key string, spec []byte, at time.Time) (b store.Backfill, resumed bool, err error) {
	err = d.update(func(t *txn) error {
		records := t.bucket(bucketBackfills)
		byKey := backfillKey(key)
		if v := records.Get(byKey); len(v) == 8 {
			old, err := t.backfill(keyUint(v))
			if err != nil {
				return err
			}
			if old != nil && old.Cancelled.IsZero() && (old.ReadDone.IsZero() || old.Pending() > 0) {
				b, resumed = *old, true
				return nil
			}
		}
		made, err := t.newBackfill(key, spec, at)
		if err != nil {
			return err
		}
		b, resumed = *made, false
		return t.put(bucketBackfills, byKey, u64Key(b.ID))
	})
	if err != nil {
		return store.Backfill{}, false, err
	}
	return b, resumed, nil
}

func (t *txn) newBackfill(key string, spec []byte, at time.Time) (*store.Backfill, error) {
	m, err := t.state()
	if err != nil {
		return nil, err
	}
	m.nextBackfill++
	t.metaDirty = true
	b := &store.Backfill{ID: m.nextBackfill, Key: key, Spec: slices.Clone(spec), CreatedAt: round(at)}
	k := u64Key(b.ID)
	if err := t.put(bucketBackfills, k, encodeBackfill(b, k)); err != nil {
		return nil, err
	}
	return t.knownBackfill(b.ID)
}

// knownBackfill is backfill, but errs with ErrUnknown if there is none.
func (t *txn) knownBackfill(id uint64) (*store.Backfill, error) {
	b, err := t.backfill(id)
	if err == nil && b == nil {
		err = fmt.Errorf("backfill %d: %w", id, store.ErrUnknown)
	}
	return b, err
}

// SaveBackfill implements store.Store.
func (d *DB) SaveBackfill(id uint64, c store.BackfillChange) (out store.Backfill, err error) {
	err = d.update(func(t *txn) error {
		b, err := t.knownBackfill(id)
		if err != nil {
			return err
		}
		if c.Spec != nil {
			b.Spec, t.changed = slices.Clone(c.Spec), true
		}
		if !c.ReadDone.IsZero() {
			if err := t.endRead(b, c.ReadDone); err != nil {
				return err
			}
		}
		out = *b
		return nil
	})
	return out, err
}

func (t *txn) endRead(b *store.Backfill, at time.Time) error {
	t.changed = true
	if b.ReadDone.IsZero() {
		b.ReadDone = round(at)
	}
	m, err := t.state()
	if err != nil {
		return err
	}
	name := store.BackfillStream(b.ID)
	if i := slices.IndexFunc(m.streams, func(s stream) bool { return s.name == name }); i >= 0 {
		m.streams = slices.Delete(m.streams, i, i+1)
		t.metaDirty, t.open = true, nil
	}
	return nil
}
