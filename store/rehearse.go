package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"
)

// A rehearsal is a store whose every change happens in one transaction that is never committed: what a run would do can be seen, and
// nothing is written. It takes all methods but those that deliver or that work on the file.

// rehearsal is the transaction that all methods of a DB share.
type rehearsal struct {
	mu   sync.Mutex
	t    *txn
	done func() error // ends it; nil: whoever began it does
}

var (
	errRehearsing = errors.New("this is a rehearsal: nothing is delivered and no file is made")
	errRehearsed  = errors.New("rehearsed") // takes a transaction back that went well
)

// access runs fn in the shared transaction.
func (r *rehearsal) access(fn func(t *txn) error) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.t == nil {
		return errClosed
	}
	if err := fn(r.t); err != nil {
		return err
	}
	return r.t.flush()
}

// Rehearse implements Store.
func (d *DB) Rehearse(fn func(s Store) error) error {
	if d.rehearsal != nil {
		return fn(d)
	}
	err := d.update(func(t *txn) (err error) {
		defer func() {
			if r := recover(); r != nil {
				panic(callbackPanic{r})
			}
		}()
		s := &DB{path: d.path, salt: d.salt, bolt: d.bolt, file: d.file, rehearsal: &rehearsal{t: t}}
		defer s.rehearsal.end()
		if err := fn(s); err != nil {
			return err
		}
		return errRehearsed
	})
	if errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}

func (r *rehearsal) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.t = nil
}

// OpenRehearsal opens a store that forgets, when it is closed, all that was done with it: the file at path is read and not written, and
// held for so long. Where there is none it is as if there were an empty one.
func OpenRehearsal(path string, o Options) (*DB, error) {
	if o.Timeout <= 0 {
		o.Timeout = time.Second
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	var done func() error
	if Absent(path) {
		dir, err := os.MkdirTemp("", "vinfer-sync")
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		done = func() error { return os.RemoveAll(dir) }
		path = filepath.Join(dir, "state.db")
		d, err := Open(path, o)
		if err == nil {
			err = d.Close()
		}
		if err != nil {
			return nil, errors.Join(err, done())
		}
	}
	d, err := openRehearsal(path, o, done)
	if err != nil && done != nil {
		err = errors.Join(err, done())
	}
	return d, err
}

func openRehearsal(path string, o Options, done func() error) (d *DB, err error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	st, err := os.Stat(path)
	if err != nil || st.Size() == 0 { // told by Open, which would make it or refuse
		return nil, fmt.Errorf("%w: %s is missing or empty: run vinfer-sync store check", ErrDamaged, path)
	}
	f, err := acquire(path, time.Now().Add(o.Timeout))
	if err != nil {
		return nil, err
	}
	d = &DB{path: path, file: f}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = d.fail(r)
		}
		if err != nil {
			_ = f.Close() // a second time if bbolt has closed it already
		}
	}()
	if err := d.openBolt(f); err != nil {
		return nil, err
	}
	if err := d.rehearse(done); err != nil {
		_ = d.bolt.Close()
		return nil, err
	}
	return d, nil
}

// rehearse begins the transaction, with all in it that opening does.
func (d *DB) rehearse(done func() error) error {
	_, err := d.identity()
	if err != nil {
		return err
	}
	tx, err := d.bolt.Begin(true)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	t := &txn{tx: tx}
	if err = d.bringUp(tx); err == nil {
		err = t.makeBuckets()
	}
	if err == nil {
		err = t.reclaim()
	}
	if err != nil {
		_ = tx.Rollback()
		return err
	}
	d.rehearsal = &rehearsal{t: t, done: func() error {
		err := errors.Join(tx.Rollback(), d.bolt.Close())
		if done != nil {
			err = errors.Join(err, done())
		}
		return err
	}}
	return nil
}

// close ends a rehearsal of a whole file.
func (r *rehearsal) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.t == nil || r.done == nil {
		return nil
	}
	r.t = nil
	return r.done()
}

// Queued is a job as it stands in the outbox.
type Queued struct {
	Job
	Waits string // what it waits for, besides its due time; empty: its turn
}

// Jobs implements Store.
func (d *DB) Jobs(dest string, from []byte, n int) (jobs []Queued, next []byte, err error) {
	err = d.view(func(t *txn) error {
		jobs, next = nil, nil
		to, err := t.destByName(dest)
		if err != nil {
			return err
		}
		prefix := u16Key(to.id)
		if len(from) == 0 {
			from = prefix
		}
		c := t.bucket(bucketOutbox).Cursor()
		for k, v := c.Seek(from); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if len(jobs) >= n {
				next = bytes.Clone(k)
				return nil
			}
			j, err := openJob(k, v)
			if err != nil {
				return err
			}
			job, err := t.asJob(to, j)
			if err != nil {
				return err
			}
			q := Queued{Job: *job}
			if q.Waits, err = t.waits(j); err != nil {
				return err
			}
			jobs = append(jobs, q)
		}
		return nil
	})
	return jobs, next, err
}
