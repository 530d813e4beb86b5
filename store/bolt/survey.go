package bolt

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/internal/records"
)

// Survey checks the structure of the file and, as Check does, all that it holds, and counts it.
func (d *DB) Survey() (s store.Survey, err error) {
	err = d.access(false, func(tx *bbolt.Tx) (bool, error) {
		w := &walker{f: d.file, m: pageMeta{pageSize: int64(d.bolt.Info().PageSize), root: uint64(tx.Cursor().Bucket().Root())}}
		w.m.hwm = uint64(tx.Size() / w.m.pageSize)
		w.seen = make([]uint64, w.m.hwm/64+1)
		w.mark(0)
		w.mark(1)
		if err := w.page(w.m.root, nil, nil, 0); err != nil {
			return false, fmt.Errorf("%w: %s: %w; restore it from a backup", store.ErrDamaged, d.path, err)
		}
		if s, err = records.Survey(txn{tx}); err != nil {
			return false, err
		}
		st, err := d.file.Stat()
		if err != nil {
			return false, fmt.Errorf("store: %w", err)
		}
		s.Path, s.Size, s.Used = d.path, st.Size(), w.used()*w.m.pageSize
		return false, nil
	})
	return s, err
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
