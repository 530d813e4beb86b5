package store

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"
)

// backfillKey is where the number of the newest backfill with these flags stands, among the records, whose keys are shorter.
func backfillKey(key string) []byte {
	h := sha256.Sum256([]byte(key))
	return append([]byte("key:"), h[:]...)
}

// OpenBackfill implements Store.
func (d *DB) OpenBackfill(key string, spec []byte, at time.Time) (b Backfill, resumed bool, err error) {
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
		m, err := t.state()
		if err != nil {
			return err
		}
		m.nextBackfill++
		t.metaDirty = true
		b, resumed = Backfill{ID: m.nextBackfill, Key: key, Spec: slices.Clone(spec), CreatedAt: round(at)}, false
		k := u64Key(b.ID)
		if err := t.put(bucketBackfills, k, b.encode(k)); err != nil {
			return err
		}
		return t.put(bucketBackfills, byKey, k)
	})
	if err != nil {
		return Backfill{}, false, err
	}
	return b, resumed, nil
}

// Backfill implements Store.
func (d *DB) Backfill(id uint64) (b Backfill, err error) {
	err = d.view(func(t *txn) error {
		r, err := t.backfill(id)
		if err != nil {
			return err
		}
		if r == nil {
			return fmt.Errorf("backfill %d: %w", id, ErrUnknown)
		}
		b = *r
		return nil
	})
	return b, err
}

// SetBackfillSpec implements Store.
func (d *DB) SetBackfillSpec(id uint64, spec []byte) error {
	return d.update(func(t *txn) error {
		b, err := t.backfill(id)
		if err == nil && b == nil {
			err = fmt.Errorf("backfill %d: %w", id, ErrUnknown)
		}
		if err != nil {
			return err
		}
		b.Spec = slices.Clone(spec)
		return nil
	})
}

// EndRead implements Store.
func (d *DB) EndRead(id uint64, at time.Time) error {
	return d.update(func(t *txn) error {
		b, err := t.backfill(id)
		if err != nil {
			return err
		}
		if b == nil {
			return fmt.Errorf("backfill %d: %w", id, ErrUnknown)
		}
		return t.endRead(b, at)
	})
}

func (t *txn) endRead(b *Backfill, at time.Time) error {
	t.changed = true
	if b.ReadDone.IsZero() {
		b.ReadDone = round(at)
	}
	m, err := t.state()
	if err != nil {
		return err
	}
	name := BackfillStream(b.ID)
	if i := slices.IndexFunc(m.streams, func(s stream) bool { return s.name == name }); i >= 0 {
		m.streams = slices.Delete(m.streams, i, i+1)
		t.metaDirty, t.open = true, nil
	}
	return nil
}
