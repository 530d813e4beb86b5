package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// Survey is what a store holds, as Check counted it.
type Survey struct {
	Path        string `json:"path"`
	Layout      int    `json:"layout"`     // version
	Size        int64  `json:"size_bytes"` // of the file
	Used        int64  `json:"used_bytes"` // of it; compacting frees the rest
	Calls       int    `json:"calls"`      // ids that are recognised
	Receipts    int    `json:"receipts"`   // what became of calls, by destination, and their events
	Jobs        int    `json:"jobs"`       // in the outbox
	DeadLetters int    `json:"dead_letters"`
	Watches     int    `json:"watches"` // transcripts and ends of calls that are waited for
}

// Survey checks the structure of the file and, as Check does, all that it holds, and counts it.
func (d *DB) Survey() (s Survey, err error) {
	err = d.view(func(t *txn) error {
		w := &walker{f: d.file, m: pageMeta{pageSize: int64(d.bolt.Info().PageSize), root: uint64(t.tx.Cursor().Bucket().Root())}}
		w.m.hwm = uint64(t.tx.Size() / w.m.pageSize)
		w.seen = make([]uint64, w.m.hwm/64+1)
		w.mark(0)
		w.mark(1)
		if err := w.page(w.m.root, nil, nil, 0); err != nil {
			return fmt.Errorf("%w: %s: %w; restore it from a backup", ErrDamaged, d.path, err)
		}
		if err := t.check(); err != nil {
			return err
		}
		st, err := d.file.Stat()
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		s = Survey{Path: d.path, Size: st.Size(), Used: w.used() * w.m.pageSize, Layout: t.layout()}
		s.Calls = t.countGenerations(bucketLedger)
		s.Receipts, s.Jobs = keys(t.bucket(bucketReceipts)), keys(t.bucket(bucketOutbox))
		s.DeadLetters, s.Watches = keys(t.bucket(bucketDead)), keys(t.bucket(bucketWatches))
		return nil
	})
	return s, err
}

func (t *txn) countGenerations(name string) (n int) {
	for _, g := range t.generations(name) {
		n += keys(t.bucket(name).Bucket(u64Key(g)))
	}
	return n
}

// SurveyFile surveys the store in a file that no process has open, a backup say. It writes nothing.
func SurveyFile(path string) (s Survey, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return s, fmt.Errorf("store: %w", err)
	}
	st, err := os.Stat(path)
	if err != nil {
		return s, fmt.Errorf("store: %w", err)
	}
	if !st.Mode().IsRegular() { // a device would be read without end, a pipe waited for
		return s, fmt.Errorf("%w: %s is no regular file", ErrDamaged, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return s, fmt.Errorf("store: %w", err)
	}
	defer f.Close() //nolint:errcheck // nil or a second time; only read
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return s, fmt.Errorf("%w: %s%s", ErrLocked, path, holder(f))
	}
	empty, err := holdsNothing(f)
	if err == nil && empty {
		err = errors.New("it is empty")
	}
	if err == nil {
		err = verifyFile(f)
	}
	if err != nil {
		return s, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	d := &DB{path: path, file: f}
	defer func() {
		if r := recover(); r != nil {
			err = d.fail(r)
		}
	}()
	o := boltOptions(f, 0)
	o.ReadOnly, o.Timeout = true, time.Second
	if d.bolt, err = bbolt.Open(path, 0, o); err != nil {
		return s, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	defer d.bolt.Close() //nolint:errcheck // only read
	if _, err = d.identity(); err != nil {
		return s, err
	}
	return d.Survey()
}
