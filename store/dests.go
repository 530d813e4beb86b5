package store

import (
	"fmt"
	"time"
)

// Register implements Store.
func (d *DB) Register(specs []DestSpec) (out []Dest, err error) {
	err = d.update(func(t *txn) error {
		m, err := t.state()
		if err != nil {
			return err
		}
		all, err := t.allDests()
		if err != nil {
			return err
		}
		out = nil
		known := make(map[string]*destRec, len(all))
		for _, r := range all {
			known[r.Name] = r
		}
		listed := map[string]bool{}
		for _, s := range specs {
			if listed[s.Name] {
				return fmt.Errorf("destination %q is named twice", s.Name)
			}
			listed[s.Name] = true
			r := known[s.Name]
			if r == nil {
				if m.nextDest == 0 {
					return fmt.Errorf("destination %q: there have been too many destinations", s.Name)
				}
				r = &destRec{id: m.nextDest, Dest: Dest{DestSpec: s, Since: round(time.Now()), New: m.registered}}
				m.nextDest++
				t.metaDirty = true
				t.dests = append(t.dests, r)
				t.touch(r)
			}
			if r.Kind != s.Kind {
				return fmt.Errorf("%w: destination %q is of kind %s and was of kind %s: give the new one another name (%d calls wait for the old one, %d are dead letters)",
					ErrKind, s.Name, s.Kind, r.Kind, r.Pending, r.Dead)
			}
			if r.DestSpec != s || r.Orphaned {
				if r.Fingerprint != s.Fingerprint {
					r.Halted, r.HaltedAt = "", time.Time{}
					r.streaks = nil
				}
				r.DestSpec, r.Orphaned = s, false
				t.touch(r)
			}
			out = append(out, r.Dest)
		}
		for _, r := range all {
			if listed[r.Name] {
				continue
			}
			if !r.Orphaned {
				r.Orphaned = true
				t.touch(r)
			}
			out = append(out, r.Dest)
		}
		if !m.registered {
			m.registered, t.metaDirty = true, true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Halt implements Store.
func (d *DB) Halt(dest, reason string, at time.Time) error {
	return d.update(func(t *txn) error {
		r, err := t.destByName(dest)
		if err != nil {
			return err
		}
		r.Halted, r.HaltedAt = reason, round(at)
		t.touch(r)
		return nil
	})
}

// Pause implements Store.
func (d *DB) Pause(dest, reason string, at time.Time) error {
	return d.update(func(t *txn) error {
		r, err := t.destByName(dest)
		if err != nil {
			return err
		}
		r.Paused, r.PausedAt = reason, round(at)
		t.touch(r)
		return nil
	})
}

// Held tells why the destination is not tried at all, for people; empty: it is.
func (d Dest) Held() string {
	switch {
	case d.Paused != "" && d.Halted != "":
		return d.Paused + "; and it was halted: " + d.Halted
	case d.Paused != "":
		return d.Paused
	}
	return d.Halted
}

// Resume implements Store.
func (d *DB) Resume(dest string) error {
	return d.update(func(t *txn) error {
		r, err := t.destByName(dest)
		if err != nil {
			return err
		}
		if r.Halted == "" && r.Paused == "" && len(r.streaks) == 0 {
			return nil
		}
		r.Halted, r.HaltedAt = "", time.Time{}
		r.Paused, r.PausedAt = "", time.Time{}
		r.streaks = nil
		t.touch(r)
		return nil
	})
}
