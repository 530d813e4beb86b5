package bolt

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// Rewriting copies all that is stored into a new file, which then takes the old one's name: the file becomes as small as what it holds,
// and freed pages, in which deleted content can still be read, are gone. Until the new file has the name the old one is the store, from
// then on the new one: a kill at any point leaves one of them, whole, and at most a file under the temporary name.

func rewritePath(path string) string { return path + ".compact" }

// rewriteBatch is how many bytes go into one transaction of the copy: it bounds the memory.
const rewriteBatch = 1 << 20

// Compact rewrites the file, once it has been checked: a damaged one is left as it is. Nothing else gets at the store meanwhile.
func (d *DB) Compact() (store.Rewritten, error) {
	if err := d.Check(); err != nil {
		return store.Rewritten{}, err
	}
	return d.rewrite(false)
}

// rewrite rewrites the file; scrub: the old one is also overwritten with zeros on the disk.
func (d *DB) rewrite(scrub bool) (r store.Rewritten, err error) {
	d.swap.Lock()
	defer d.swap.Unlock()
	if err := d.usable(); err != nil {
		return r, err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = d.fail(p)
		}
	}()
	st, err := d.file.Stat()
	if err != nil {
		return r, fmt.Errorf("store: %w", err)
	}
	r.Before = st.Size()
	f, err := d.copied()
	if err != nil {
		_ = os.Remove(rewritePath(d.path))
		return store.Rewritten{}, fmt.Errorf("store: copying %s, which takes as much room again as it holds: %w", d.path, d.explain(err))
	}
	if st, err = f.Stat(); err == nil {
		r.After = st.Size()
	}
	if err := d.replace(f, scrub); err != nil {
		return store.Rewritten{}, err
	}
	return r, nil
}

// copied returns the copy: complete, verified, on the disk and locked.
func (d *DB) copied() (*os.File, error) {
	name := rewritePath(d.path)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	o := boltOptions(f, 0)
	o.NoSync = true // all at once, below
	b, err := bbolt.Open(name, 0o600, o)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	err = bbolt.Compact(b, d.bolt, rewriteBatch)
	if err = errors.Join(err, b.Sync(), b.Close()); err != nil {
		return nil, err
	}
	if f, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
		return nil, err
	}
	again, err := lockNamed(f, name, time.Now().Add(time.Second))
	if err == nil && again {
		err = errors.New("another process made a file of that name")
	}
	if err == nil {
		err = verifyFile(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// replace puts the copy into the place of the file.
func (d *DB) replace(f *os.File, scrub bool) error {
	var old *os.File
	var err error
	if scrub {
		if old, err = os.OpenFile(d.path, os.O_RDWR, 0); err == nil {
			defer old.Close() //nolint:errcheck // it has no name any more
		}
	}
	if err == nil {
		err = os.Rename(rewritePath(d.path), d.path)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(rewritePath(d.path))
		return fmt.Errorf("store: %w", err)
	}
	f, err = renamed(f, d.path)
	if err == nil {
		err = d.reopen(f)
	}
	if err != nil {
		e := fmt.Errorf("store: %s was rewritten and cannot be opened: %w; start the program again", d.path, err)
		d.broken.CompareAndSwap(nil, &e)
		return e
	}
	if err := syncDir(filepath.Dir(d.path)); err != nil || !scrub {
		return err
	}
	return zero(old)
}

// reopen lets go of the old file and goes on with f.
func (d *DB) reopen(f *os.File) error {
	err := d.bolt.Close()
	if err == nil {
		d.bolt, err = bbolt.Open(d.path, 0o600, boltOptions(f, mapSize))
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	d.bolt.AllocSize = allocSize
	d.file = f
	d.size.Store(0)
	return nil
}

// zero overwrites a file.
func zero(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	buf := make([]byte, 256<<10)
	for at := int64(0); at < st.Size(); at += int64(len(buf)) {
		if _, err := f.WriteAt(buf[:min(int64(len(buf)), st.Size()-at)], at); err != nil {
			return fmt.Errorf("store: overwriting what the file held before: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("store: overwriting what the file held before: %w", err)
	}
	return nil
}

// explain adds to the error of a write what an operator can do about it.
func (d *DB) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: make room on the disk of %s; nothing that was stored is lost, and it goes on by itself", err, d.path)
	}
	return err
}

// WriteTo writes a copy of the store as it is now, while work goes on.
func (d *DB) WriteTo(w io.Writer) (n int64, err error) {
	err = d.access(false, func(tx *bbolt.Tx) (bool, error) {
		n, err = tx.WriteTo(w)
		return false, err
	})
	return n, err
}
