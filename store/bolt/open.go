package bolt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/internal/records"
)

// Options are how a store is opened. The zero value will do.
type Options struct {
	Timeout time.Duration // how long to wait for another process to let go of the file; 0: 1 s
	Move    bool          // it is opened for MoveTo alone: the state may be on its way to here or to elsewhere
}

// DB is the embedded store.
type DB struct {
	*records.DB
	path   string
	bolt   *bbolt.DB
	file   *os.File
	size   atomic.Int64 // of the file as last seen: it never shrinks
	broken atomic.Pointer[error]
	swap   sync.RWMutex // held for writing while another file takes the place of this one

	beforeCommit func() // for tests
}

var _ store.Store = (*DB)(nil)

// Open opens the store at path and makes it if there has been none. It errs with ErrLocked, ErrDamaged or ErrNewer where that is the
// matter; it never overwrites a file that holds anything.
func Open(path string, o Options) (*DB, error) {
	if o.Timeout <= 0 {
		o.Timeout = time.Second
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	path = target(path)
	if err := ownerAllows(path); err != nil {
		return nil, err
	}
	f, err := acquire(path, time.Now().Add(o.Timeout))
	if err != nil {
		return nil, err
	}
	what := forWork
	if o.Move {
		what = forMove
	}
	d, err := openFile(path, f, what)
	if err != nil {
		_ = f.Close() // a second time if bbolt has closed it already
		return nil, err
	}
	d.finishScrub()
	return d, nil
}

// acquire returns the locked file of a store whose structure is sound.
func acquire(path string, until time.Time) (*os.File, error) {
	for try := 0; ; try++ {
		if try > 100 {
			return nil, fmt.Errorf("%w: %s is being made and removed by others all the time", store.ErrLocked, path)
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			f, err = nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		if f != nil {
			again, err := lockNamed(f, path, until)
			if err != nil {
				_ = f.Close()
				return nil, err
			}
			if again {
				_ = f.Close()
				continue
			}
			empty, err := holdsNothing(f)
			if err == nil && !empty {
				err = verifyFile(f)
			}
			if err != nil {
				_ = f.Close()
				return nil, broken(path, err)
			}
			if !empty {
				return f, nil
			}
			_ = f.Close()
		}
		if err := lost(path); err != nil {
			return nil, err
		}
		f, again, err := create(path, until)
		if err != nil {
			return nil, err
		}
		if !again {
			return f, nil
		}
	}
}

// create makes a store under a temporary name and gives it its own only when it is complete: a kill in between leaves nothing under
// path. The file stays locked. again: another process has made it meanwhile.
func create(path string, until time.Time) (f *os.File, again bool, err error) {
	name := path + ".new"
	f, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("store: %w", err)
	}
	defer func() {
		if again {
			err = nil
		}
		if err != nil || again {
			_ = f.Close() // nil or a second time: then it errs, no more
			f = nil
		}
	}()
	if again, err = lockNamed(f, name, until); err != nil || again {
		return f, again, err
	}
	if occupied(path) {
		_ = os.Remove(name)
		return f, true, nil
	}
	if err := f.Truncate(0); err != nil { // what a kill has left
		return f, false, fmt.Errorf("store: %w", err)
	}
	err = build(name, f) // closes the file, and with that lets go of the lock
	if err != nil {
		_ = os.Remove(name)
		return f, false, fmt.Errorf("store: making %s: %w", path, err)
	}
	if f, err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
		return f, errors.Is(err, os.ErrNotExist), fmt.Errorf("store: %w", err)
	}
	if again, err = lockNamed(f, name, until); err != nil || again {
		return f, again, err
	}
	if occupied(path) || verifyFile(f) != nil { // another process was here meanwhile
		return f, true, nil
	}
	if err := os.Rename(name, path); err != nil {
		return f, false, fmt.Errorf("store: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return f, false, err
	}
	f, err = renamed(f, path)
	return f, false, err
}

// occupied tells whether there is a file that holds something.
func occupied(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only read
	empty, err := holdsNothing(f)
	return err != nil || !empty
}

// build lays out an empty store in a file and closes it.
func build(name string, f *os.File) error {
	b, err := bbolt.Open(name, 0o600, boltOptions(f, 0))
	if err != nil {
		_ = f.Close()
		return err
	}
	err = b.Update(func(tx *bbolt.Tx) error {
		for _, name := range records.Buckets {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		_, err := records.Create(txn{tx})
		return err
	})
	if cerr := b.Close(); err == nil {
		err = cerr
	}
	return err
}

func boltOptions(f *os.File, mapped int) *bbolt.Options {
	return &bbolt.Options{
		// The list of free pages is worked out at opening: written at every commit it would cost more than the commit once a big backlog has been worked off.
		NoFreelistSync:  true,
		FreelistType:    bbolt.FreelistMapType,
		InitialMmapSize: mapped, // a mapping that need not grow: growing waits for readers
		NoStatistics:    true,
		Timeout:         time.Second,
		OpenFile:        func(string, int, os.FileMode) (*os.File, error) { return f, nil },
	}
}

// purpose is what a file is opened for.
type purpose int

const (
	forWork purpose = iota
	forCopy         // it has no name, and so no marker
	forMove         // see Options.Move
)

// openFile opens the verified and locked file of a store, compares the marker and counts the attempts that were cut short.
func openFile(path string, f *os.File, what purpose) (d *DB, err error) {
	d = &DB{path: path, file: f}
	d.DB = records.New(d.engine())
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = d.fail(r)
		}
	}()
	if err := f.Chmod(0o600); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := d.openBolt(f); err != nil {
		return nil, err
	}
	if err := d.prepare(what); err != nil {
		_ = d.bolt.Close()
		return nil, err
	}
	return d, nil
}

func (d *DB) openBolt(f *os.File) (err error) {
	if d.bolt, err = bbolt.Open(d.path, 0o600, boltOptions(f, mapSize)); err != nil {
		return fmt.Errorf("%w: %s: %w; restore it from a backup", store.ErrDamaged, d.path, err)
	}
	d.bolt.AllocSize = allocSize
	return nil
}

// allocSize is by how much the file grows.
const allocSize = 4 << 20

// identity returns whose store it is, and errs if it is none or none that this program can read.
func (d *DB) identity() (install string, err error) {
	return install, d.bolt.View(func(tx *bbolt.Tx) error {
		var v int
		switch install, v, err = records.Identify(txn{tx}); {
		case errors.Is(err, records.ErrForeign):
			return fmt.Errorf("%w: %s is a database of another program; set another path", store.ErrDamaged, d.path)
		case errors.Is(err, store.ErrMoved):
			return fmt.Errorf("%s: %w", d.path, err)
		case err != nil:
			return fmt.Errorf("%w: %s: %w; restore it from a backup", store.ErrDamaged, d.path, err)
		case v < records.Layout:
			return fmt.Errorf("%w: %s has version %d of the layout, of a build that was never released; this program reads version %d. Move it and %s away and start again: "+
				"set `start` to the cursor that the other build showed (cursor show) and deliver what was waiting with a backfill", store.ErrOlder, d.path, v, records.Layout, filepath.Base(markerPath(d.path)))
		case v > records.Layout:
			return fmt.Errorf("%w: %s has version %d of the layout, this program knows up to %d: install the newer program again", store.ErrNewer, d.path, v, records.Layout)
		}
		return nil
	})
}

func (d *DB) prepare(what purpose) error {
	install, err := d.identity()
	switch {
	case what == forMove && (err == nil || errors.Is(err, store.ErrMoved)):
		return nil
	case err != nil:
		return err
	case what == forCopy:
		return d.Reclaim()
	}
	_ = os.Remove(rewritePath(d.path)) // what a kill has left of a copy
	if err := checkMarker(d.path, install); err != nil {
		return err
	}
	return d.Reclaim()
}

// Adopt writes the marker of a store whose records come from another one: see MoveTo.
func (d *DB) Adopt(install string) error { return writeMarker(markerPath(d.path), install) }

// Close waits for what is being committed and lets go of the file.
func (d *DB) Close() error {
	d.Drain()
	if d.broken.Load() != nil {
		return d.file.Close() // bbolt may hold a lock for good after a fault
	}
	return d.bolt.Close()
}
