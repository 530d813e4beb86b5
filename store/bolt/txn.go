package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/internal/records"
)

// engine runs the transactions of the records in the file.
func (d *DB) engine() records.Engine {
	return records.Engine{
		View: func(fn func(records.Tx) error) error {
			return d.access(false, func(tx *bbolt.Tx) (bool, error) { return false, fn(txn{tx}) })
		},
		Update: func(fn func(records.Tx) (bool, error)) error {
			return d.access(true, func(tx *bbolt.Tx) (bool, error) { return fn(txn{tx}) })
		},
	}
}

// access runs fn in a transaction, and commits it if fn changed something.
func (d *DB) access(write bool, fn func(tx *bbolt.Tx) (changed bool, err error)) (err error) {
	d.swap.RLock()
	defer d.swap.RUnlock()
	if err := d.usable(); err != nil {
		return err
	}
	known := d.size.Load() // before looking: the file may grow meanwhile
	if st, err := d.file.Stat(); err == nil && st.Size() < known {
		return d.fail("it was cut off")
	} else if err == nil {
		d.size.CompareAndSwap(known, st.Size())
	}
	// The file is mapped: one that was cut off meanwhile faults where it is read, and must be an error here and not the end of the process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var tx *bbolt.Tx
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		err = d.fail(r)
		if tx != nil {
			func() {
				defer func() { _ = recover() }()
				_ = tx.Rollback() // so that others who wait for their turn get on, to be told the same
			}()
		}
	}()
	tx, err = d.bolt.Begin(write)
	if err != nil {
		return d.closedOr(err)
	}
	changed, err := fn(tx)
	if err != nil || !changed {
		_ = tx.Rollback()
		return err
	}
	if d.beforeCommit != nil {
		d.beforeCommit()
	}
	if err := tx.Commit(); err != nil {
		return &records.CommitError{Err: d.explain(err)}
	}
	return nil
}

func (d *DB) usable() error {
	if p := d.broken.Load(); p != nil {
		return *p
	}
	return nil
}

func (d *DB) closedOr(err error) error {
	if errors.Is(err, berrors.ErrDatabaseNotOpen) || errors.Is(err, berrors.ErrInvalidMapping) {
		return records.ErrClosed
	}
	return err
}

// fail keeps that the file cannot be used any more.
func (d *DB) fail(r any) error {
	err := fmt.Errorf("%w: %s cannot be read any more (%v); stop, and restore it from a backup", store.ErrDamaged, d.path, r)
	d.broken.CompareAndSwap(nil, &err)
	return err
}

// txn is a transaction of the records. Their generations are buckets in buckets.
type txn struct{ tx *bbolt.Tx }

func (t txn) Bucket(name string) records.Bucket {
	b := t.tx.Bucket([]byte(name))
	if b == nil {
		return nil
	}
	if slices.Contains(records.Ascending, name) {
		b.FillPercent = 0.9
	}
	return bucket{b}
}

func (t txn) Generations(name string) (g []uint64) {
	c := t.tx.Bucket([]byte(name)).Cursor()
	for k, v := c.Last(); k != nil; k, v = c.Prev() {
		if v == nil && len(k) == 8 {
			g = append(g, binary.BigEndian.Uint64(k))
		}
	}
	return g
}

func (t txn) Generation(name string, g uint64) records.Bucket {
	b := t.tx.Bucket([]byte(name)).Bucket(generation(g))
	if b == nil {
		return nil
	}
	return bucket{b}
}

func (t txn) NewGeneration(name string, g uint64) (records.Bucket, error) {
	b, err := t.tx.Bucket([]byte(name)).CreateBucket(generation(g))
	return bucket{b}, err
}

func (t txn) DropGeneration(name string, g uint64) error {
	return t.tx.Bucket([]byte(name)).DeleteBucket(generation(g))
}

func (txn) Expect(func() []records.Need) {} // the file is mapped

func generation(g uint64) []byte { return binary.BigEndian.AppendUint64(nil, g) }

type bucket struct{ *bbolt.Bucket }

func (b bucket) Cursor() records.Cursor { return b.Bucket.Cursor() }

func (b bucket) Within(prefix []byte) records.Walk { return within{b.Bucket.Cursor(), prefix} }

// within is a cursor that ends where a prefix does.
type within struct {
	c      *bbolt.Cursor
	prefix []byte
}

func (w within) cut(k, v []byte) (key, value []byte) {
	if !bytes.HasPrefix(k, w.prefix) {
		return nil, nil
	}
	return k, v
}

func (w within) Next() (key, value []byte)          { return w.cut(w.c.Next()) }
func (w within) Seek(to []byte) (key, value []byte) { return w.cut(w.c.Seek(to)) }
