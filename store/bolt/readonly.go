package bolt

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/internal/records"
)

// OpenReadOnly opens a store that no process has open for writing, and keeps others from doing so. What would change it is an error. A marker
// beside the file that names another store is an error; none is written.
func OpenReadOnly(path string) (d *DB, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	path = target(path)
	st, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, cmp.Or(lost(path), fmt.Errorf("store: %w", err))
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if !st.Mode().IsRegular() { // a device would be read without end, a pipe waited for
		return nil, fmt.Errorf("%w: %s is not a regular file", store.ErrDamaged, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // a second time if bbolt has closed it already
		}
	}()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w: %s%s", store.ErrLocked, path, holder(f))
	}
	empty, err := holdsNothing(f)
	switch {
	case err == nil && empty:
		return nil, cmp.Or(lost(path), broken(path, errors.New("it is empty")))
	case err == nil:
		err = verifyFile(f)
	}
	if err != nil {
		return nil, broken(path, err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	d = &DB{path: path, file: f}
	d.DB = records.NewReadOnly(d.engine())
	defer func() {
		if r := recover(); r != nil {
			err = d.fail(r)
		}
	}()
	o := boltOptions(f, 0)
	o.ReadOnly, o.Timeout = true, time.Second
	if d.bolt, err = bbolt.Open(path, 0, o); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", store.ErrDamaged, path, err)
	}
	install, err := d.identity()
	if err == nil && exists(markerPath(path)) {
		err = checkMarker(path, install)
	}
	if err != nil {
		_ = d.bolt.Close()
		return nil, err
	}
	return d, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// OpenCopy opens a copy of the store at path that is gone when it is closed: what is done with it leaves the file as it is. The file is held only
// while it is copied. Where there is none it is as if there were an empty one.
func OpenCopy(path string, o Options) (*DB, error) {
	if Absent(path) {
		return openEmpty(o)
	}
	from, err := OpenReadOnly(path)
	if err != nil {
		return nil, err
	}
	defer from.Close() //nolint:errcheck // only read
	f, err := os.CreateTemp("", "vinfer-sync")
	if err != nil {
		return nil, fmt.Errorf("store: copying %s: %w; TMPDIR names the directory for the copy", path, err)
	}
	// The copy holds what names people. Without a name it is gone with the process, however that ends.
	err = os.Remove(f.Name())
	if err == nil {
		_, err = from.WriteTo(f)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("store: copying %s into %s: %w; TMPDIR names another directory for the copy", path, os.TempDir(), err)
	}
	d, err := openFile(f.Name(), f, forCopy)
	if err != nil {
		_ = f.Close() // a second time if bbolt has closed it already
		return nil, err
	}
	return d, nil
}

// openEmpty opens a new store that is gone when it is closed.
func openEmpty(o Options) (*DB, error) {
	dir, err := os.MkdirTemp("", "vinfer-sync")
	if err != nil {
		return nil, fmt.Errorf("store: %w; TMPDIR names another directory", err)
	}
	d, err := Open(filepath.Join(dir, "state.db"), o)
	if rerr := os.RemoveAll(dir); err == nil && rerr != nil {
		err = errors.Join(fmt.Errorf("store: %w", rerr), d.Close())
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}
