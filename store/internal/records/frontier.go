package records

import (
	"bytes"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// watermark is up to where everything was read, from the first cursor on.
func (m *metaRec) watermark() time.Time {
	w := m.first
	for _, iv := range m.read {
		if iv.From.After(w) {
			break
		}
		if iv.To.After(w) {
			w = iv.To
		}
	}
	return w
}

// join adds what was read and tells whether that changes anything. Marks are rounded so that no less is read than they say.
func (m *metaRec) join(iv store.Interval) bool {
	from := iv.From.UTC().Truncate(time.Second)
	if from.Before(iv.From) {
		from = from.Add(time.Second)
	}
	iv = store.Interval{From: round(from), To: round(iv.To.UTC().Truncate(time.Second))}
	merged := united(m.read, iv)
	if slices.EqualFunc(merged, m.read, func(a, b store.Interval) bool { return a.From.Equal(b.From) && a.To.Equal(b.To) }) {
		return false
	}
	m.read = merged
	return true
}

// united adds an interval to a sorted list of intervals that do not touch.
func united(list []store.Interval, iv store.Interval) []store.Interval {
	if !iv.From.Before(iv.To) {
		return list
	}
	merged := make([]store.Interval, 0, len(list)+1)
	for _, x := range list {
		switch {
		case x.To.Before(iv.From) || x.From.After(iv.To):
			merged = append(merged, x)
		default:
			if x.From.Before(iv.From) {
				iv.From = x.From
			}
			if x.To.After(iv.To) {
				iv.To = x.To
			}
		}
	}
	merged = append(merged, iv)
	slices.SortFunc(merged, func(a, b store.Interval) int { return a.From.Compare(b.From) })
	return merged
}

// until returns what of the intervals does not lie after t.
func until(list []store.Interval, t time.Time) []store.Interval {
	kept := list[:0]
	for _, iv := range list {
		if !iv.From.Before(t) {
			continue
		}
		if iv.To.After(t) {
			iv.To = t
		}
		kept = append(kept, iv)
	}
	return kept
}

// skipped tells whether the operator has passed over the time.
func (m *metaRec) skipped(t time.Time) bool {
	return slices.ContainsFunc(m.skips, func(iv store.Interval) bool { return t.After(iv.From) && !t.After(iv.To) })
}

// SetCursor implements store.Store.
func (d *DB) SetCursor(at time.Time) error {
	return d.update(func(t *txn) error {
		m, err := t.state()
		if err != nil {
			return err
		}
		at := round(at.UTC().Truncate(time.Second))
		t.metaDirty = true
		switch {
		case m.first.IsZero() || at.Before(m.first):
			m.first, m.read, m.skips = at, nil, nil
		case at.After(m.watermark()):
			m.skips = united(m.skips, store.Interval{From: m.watermark(), To: at})
			m.join(store.Interval{From: m.first.Truncate(time.Second), To: at})
		default:
			m.read, m.skips = until(m.read, at), until(m.skips, at)
		}
		return nil
	})
}

// Setting implements store.Store.
func (d *DB) Setting(key string) (value []byte, err error) {
	err = d.view(func(t *txn) error {
		value, err = t.setting(key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

func (t *txn) setting(key string) ([]byte, error) {
	v, err := load(t.bucket(bucketSettings), bucketSettings, []byte(key), func(b []byte) ([]byte, bool) { return append([]byte{}, b...), true })
	if err != nil || v == nil {
		return nil, err
	}
	return *v, nil
}

// PutSetting implements store.Store.
func (d *DB) PutSetting(key string, value []byte) error {
	return d.update(func(t *txn) error {
		k := []byte(key)
		if value == nil {
			return t.del(bucketSettings, k)
		}
		e := newEnc(len(value))
		e.raw(value)
		if v := e.seal(k); !bytes.Equal(v, t.bucket(bucketSettings).Get(k)) {
			return t.put(bucketSettings, k, v)
		}
		return nil
	})
}
