package records

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// keyMove is of the meta bucket: "from INSTALL/SUM" while another store's records are copied into this one, "to PLACE" once this one's are elsewhere.
var keyMove = []byte("move")

const (
	moveFrom = "from "
	moveTo   = "to "
)

// moved errs if the state is not, or not yet, in this store.
func moved(m Bucket) error {
	switch mark := string(m.Get(keyMove)); {
	case strings.HasPrefix(mark, moveFrom):
		return fmt.Errorf("%w: what is copied into it is not all there: run the same vinfer-sync store migrate once more", store.ErrMoved)
	case mark != "":
		return fmt.Errorf("%w: it was moved to %s", store.ErrMoved, strings.TrimPrefix(mark, moveTo))
	}
	return nil
}

// moveBytes is how much goes into one transaction: it bounds the memory.
const moveBytes = 1 << 20

// MoveTo copies all that is stored into another store, compares both, and says in this one that its state is at where: it cannot be used any more.
// Interrupted, it goes on when it is called again, and begins again if this store has been worked on meanwhile. The other store has to be new, or to be
// one that this one's state has left. adopt is told whose store the other one will be before it can be used.
func (d *DB) MoveTo(to *DB, where string, adopt func(install string) error) (s store.Survey, err error) {
	m := &move{from: d.engine, to: to.engine}
	done, err := m.begin()
	if err != nil {
		return s, err
	}
	if !done {
		if err := m.copyAll(); err != nil {
			return s, err
		}
		if err := m.compare(); err != nil {
			return s, err
		}
		if err := adopt(m.install); err != nil {
			return s, err
		}
		if err := mark(m.from, moveTo+where); err != nil {
			return s, err
		}
		if err := mark(m.to, ""); err != nil {
			return s, err
		}
	}
	err = m.to.View(func(tx Tx) (err error) {
		s, err = Survey(tx)
		return err
	})
	return s, err
}

// mark sets the mark of a store; empty: it has none.
func mark(e Engine, text string) error {
	return e.Update(func(tx Tx) (bool, error) {
		if text == "" {
			return true, tx.Bucket(bucketMeta).Delete(keyMove)
		}
		return true, tx.Bucket(bucketMeta).Put(keyMove, []byte(text))
	})
}

type move struct {
	from, to Engine
	install  string
}

// begin sees to it that the target may be filled, and is empty or was filled from just this state. done: all was done before.
func (m *move) begin() (done bool, err error) {
	var was, source, install, target string
	var fresh bool
	err = m.from.View(func(tx Tx) error {
		meta := tx.Bucket(bucketMeta)
		m.install, was = string(meta.Get(keyInstall)), string(meta.Get(keyMove))
		source = moveFrom + m.install + "/" + fingerprint(tx)
		return nil
	})
	if err != nil {
		return false, err
	}
	err = m.to.View(func(tx Tx) error {
		meta := tx.Bucket(bucketMeta)
		install, target = string(meta.Get(keyInstall)), string(meta.Get(keyMove))
		fresh = target == "" && !slices.ContainsFunc(places(tx), func(p place) bool {
			k, _ := p.in(tx).Cursor().First()
			return k != nil
		})
		return nil
	})
	if err != nil {
		return false, err
	}
	elsewhere := strings.HasPrefix(was, moveTo)
	switch {
	case elsewhere && install == m.install && target == "":
		return true, nil
	case target == source && (elsewhere || was == ""): // it goes on
		return false, nil
	case was != "":
		return false, m.from.View(func(tx Tx) error { return moved(tx.Bucket(bucketMeta)) })
	case fresh:
	case strings.HasPrefix(target, moveFrom+m.install+"/"), strings.HasPrefix(target, moveTo) && install == m.install:
		if err := m.empty(); err != nil {
			return false, err
		}
	default:
		return false, errors.New("the target holds another state, and nothing was copied: name another one, or move that one away first")
	}
	return false, mark(m.to, source)
}

// fingerprint is another one whenever the pipeline has run.
func fingerprint(tx Tx) string {
	sum := sha256.New()
	for _, name := range []string{bucketMeta, bucketSettings, bucketDests, bucketBackfills} {
		c := tx.Bucket(name).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			if !bytes.Equal(k, keyMove) {
				_, _ = fmt.Fprintf(sum, "%s %x %x\n", name, k, v) // never fails
			}
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:16])
}

// place is a bucket, or a generation of one.
type place struct {
	name       string
	generation *uint64
}

// places are all but the meta bucket.
func places(tx Tx) (all []place) {
	for _, name := range Buckets {
		switch {
		case name == bucketMeta:
		case slices.Contains(Generational, name):
			for _, g := range tx.Generations(name) {
				all = append(all, place{name, &g})
			}
		default:
			all = append(all, place{name: name})
		}
	}
	return all
}

func (p place) in(tx Tx) Bucket {
	if p.generation == nil {
		return tx.Bucket(p.name)
	}
	return tx.Generation(p.name, *p.generation)
}

// empty deletes all but the meta bucket of the target.
func (m *move) empty() error {
	for more := true; more; {
		err := m.to.Update(func(tx Tx) (bool, error) {
			more = false
			for _, p := range places(tx) {
				if p.generation != nil {
					more = true
					return true, tx.DropGeneration(p.name, *p.generation)
				}
				b := p.in(tx)
				for n := 0; n < 1000; n++ {
					k, _ := b.Cursor().First()
					if k == nil {
						break
					}
					more = true
					if err := b.Delete(bytes.Clone(k)); err != nil {
						return false, err
					}
				}
				if more {
					return true, nil
				}
			}
			return false, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copyAll copies what the target does not have yet.
func (m *move) copyAll() error {
	var all []place
	err := m.from.View(func(tx Tx) error {
		all = places(tx)
		return nil
	})
	for i := 0; i < len(all) && err == nil; i++ {
		err = m.copy(all[i])
	}
	if err != nil {
		return err
	}
	meta := map[string][]byte{}
	sequences := map[string]uint64{}
	err = m.from.View(func(tx Tx) error {
		c := tx.Bucket(bucketMeta).Cursor()
		for k, v := c.First(); k != nil; k, v = c.Next() {
			meta[string(k)] = bytes.Clone(v)
		}
		for _, name := range Buckets {
			sequences[name] = tx.Bucket(name).Sequence()
		}
		return nil
	})
	if err != nil {
		return err
	}
	delete(meta, string(keyMove))
	return m.to.Update(func(tx Tx) (bool, error) {
		for k, v := range meta {
			if err := tx.Bucket(bucketMeta).Put([]byte(k), v); err != nil {
				return false, err
			}
		}
		for name, n := range sequences {
			if n == 0 {
				continue
			}
			if err := tx.Bucket(name).SetSequence(n); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

type record struct{ key, value []byte }

// copy copies a bucket from the last key on that the target has: keys are copied in their order.
func (m *move) copy(p place) error {
	var from []byte
	err := m.to.Update(func(tx Tx) (made bool, err error) {
		b := p.in(tx)
		if b == nil {
			if b, err = tx.NewGeneration(p.name, *p.generation); err != nil {
				return false, err
			}
			made = true
		}
		k, _ := b.Cursor().Last()
		from = bytes.Clone(k)
		return made, nil
	})
	for err == nil {
		var part []record
		err = m.from.View(func(tx Tx) error {
			part = nil
			c := p.in(tx).Cursor()
			k, v := c.Seek(from)
			for size := 0; k != nil && size < moveBytes; k, v = c.Next() {
				part = append(part, record{bytes.Clone(k), bytes.Clone(v)})
				size += len(k) + len(v)
			}
			return nil
		})
		if err != nil || len(part) == 0 {
			break
		}
		err = m.to.Update(func(tx Tx) (bool, error) {
			b := p.in(tx)
			for _, r := range part {
				if err := b.Put(r.key, r.value); err != nil {
					return false, err
				}
			}
			return true, nil
		})
		from = append(part[len(part)-1].key, 0)
	}
	return err
}

// compare checks the target and counts the records of both.
func (m *move) compare() error {
	count := func(e Engine) (counts map[string]int, err error) {
		err = e.View(func(tx Tx) error {
			counts = map[string]int{}
			for _, p := range places(tx) {
				counts[p.name] += keys(p.in(tx))
			}
			return nil
		})
		return counts, err
	}
	source, err := count(m.from)
	if err != nil {
		return err
	}
	target, err := count(m.to)
	if err != nil {
		return err
	}
	for name, n := range source {
		if target[name] != n {
			return fmt.Errorf("%w: the bucket %s has %d records, and %d of them were copied", store.ErrDamaged, name, n, target[name])
		}
	}
	return m.to.View(func(tx Tx) error { return (&txn{tx: tx}).check() })
}
