package records

import (
	"fmt"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// Begin implements store.Store.
func (d *DB) Begin(first time.Time, specs []store.DestSpec) (out store.Stats, err error) {
	err = d.update(func(t *txn) error {
		m, err := t.state()
		if err != nil {
			return err
		}
		if m.first.IsZero() {
			m.first, t.metaDirty = round(first), true
		}
		dests, err := t.register(m, specs)
		if err != nil {
			return err
		}
		if out, err = t.stats(); err != nil {
			return err
		}
		out.Dests = dests
		return nil
	})
	if err != nil {
		return store.Stats{}, err
	}
	return out, nil
}

func (t *txn) register(m *metaRec, specs []store.DestSpec) (out []store.Dest, err error) {
	all, err := t.allDests()
	if err != nil {
		return nil, err
	}
	known := make(map[string]*destRec, len(all))
	for _, r := range all {
		known[r.Name] = r
	}
	listed := map[string]bool{}
	for _, s := range specs {
		if listed[s.Name] {
			return nil, fmt.Errorf("destination %q is named twice", s.Name)
		}
		listed[s.Name] = true
		r := known[s.Name]
		if r == nil {
			if m.nextDest == 0 {
				return nil, fmt.Errorf("destination %q: there have been too many destinations", s.Name)
			}
			r = &destRec{id: m.nextDest, Dest: store.Dest{DestSpec: s, Since: round(time.Now()), New: m.registered}}
			m.nextDest++
			t.metaDirty = true
			t.dests = append(t.dests, r)
			t.markChanged(r)
		}
		if r.Kind != s.Kind {
			return nil, fmt.Errorf("%w: destination %q is of kind %s and was of kind %s: give the new one another name (%d calls wait for the old one, %d are dead letters)",
				store.ErrKind, s.Name, s.Kind, r.Kind, r.Pending, r.Dead)
		}
		if r.DestSpec != s || r.Orphaned {
			if r.Fingerprint != s.Fingerprint {
				r.Halted, r.HaltedAt = "", time.Time{}
				r.rejections = nil
			}
			r.DestSpec, r.Orphaned = s, false
			t.markChanged(r)
		}
		out = append(out, r.Dest)
	}
	for _, r := range all {
		if listed[r.Name] {
			continue
		}
		if !r.Orphaned {
			r.Orphaned = true
			t.markChanged(r)
		}
		out = append(out, r.Dest)
	}
	if !m.registered {
		m.registered, t.metaDirty = true, true
	}
	return out, nil
}

// Hold implements store.Store.
func (d *DB) Hold(dest string, h store.Hold) error {
	return d.update(func(t *txn) error {
		r, err := t.destByName(dest)
		if err != nil {
			return err
		}
		switch {
		case h.Reason != "" && h.Operator:
			r.Paused, r.PausedAt = h.Reason, round(h.At)
		case h.Reason != "":
			r.Halted, r.HaltedAt = h.Reason, round(h.At)
		case r.Halted == "" && r.Paused == "" && len(r.rejections) == 0:
			return nil
		default:
			r.Halted, r.HaltedAt = "", time.Time{}
			r.Paused, r.PausedAt = "", time.Time{}
			r.rejections = nil
		}
		t.markChanged(r)
		return nil
	})
}
