package bolt

import (
	"errors"
	"fmt"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// Survey checks the structure of the file and, as Check does, all that it holds, and counts it.
func (d *DB) Survey() (s store.Survey, err error) {
	err = d.view(func(t *txn) error {
		w := &walker{f: d.file, m: pageMeta{pageSize: int64(d.bolt.Info().PageSize), root: uint64(t.tx.Cursor().Bucket().Root())}}
		w.m.hwm = uint64(t.tx.Size() / w.m.pageSize)
		w.seen = make([]uint64, w.m.hwm/64+1)
		w.mark(0)
		w.mark(1)
		if err := w.page(w.m.root, nil, nil, 0); err != nil {
			return fmt.Errorf("%w: %s: %w; restore it from a backup", store.ErrDamaged, d.path, err)
		}
		if err := t.check(); err != nil {
			return err
		}
		st, err := d.file.Stat()
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		s = store.Survey{Path: d.path, Size: st.Size(), Used: w.used() * w.m.pageSize, Layout: t.layout()}
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

// SurveyFile surveys the store in a file that no process has open for writing, a backup say. It writes nothing.
func SurveyFile(path string) (store.Survey, error) {
	d, err := OpenReadOnly(path)
	if err != nil {
		return store.Survey{}, err
	}
	s, err := d.Survey()
	return s, errors.Join(err, d.Close())
}
