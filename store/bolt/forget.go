package bolt

import (
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/internal/records"
)

// keyScrub stands beside the buckets' records, in one of them, while what was erased may still be read in free pages.
var keyScrub = []byte("scrub")

const bucketScrub = "meta"

// Forget implements store.Store.
func (d *DB) Forget(f store.Forgetting) (out store.Forgotten, err error) {
	out, err = d.ForgetAnd(f, func(tx records.Tx) error { return tx.Bucket(bucketScrub).Put(keyScrub, []byte{1}) })
	if err != nil || f.Dry {
		return out, err
	}
	if out.File, err = d.scrub(); err != nil {
		return out, fmt.Errorf("the data was deleted, but rewriting the state file failed, so traces may remain in it. Run the command again: %w", err)
	}
	return out, nil
}

// scrub removes what was erased from free pages, and records that this was done.
func (d *DB) scrub() (store.Rewritten, error) {
	r, err := d.rewrite(true)
	if err != nil {
		return r, err
	}
	return r, d.access(true, func(tx *bbolt.Tx) (bool, error) { return true, tx.Bucket([]byte(bucketScrub)).Delete(keyScrub) })
}

// finishScrub does what a kill has kept a Forget from. Where it cannot, for want of room, the next start does.
func (d *DB) finishScrub() {
	due := false
	err := d.access(false, func(tx *bbolt.Tx) (bool, error) {
		due = tx.Bucket([]byte(bucketScrub)).Get(keyScrub) != nil
		return false, nil
	})
	if err == nil && due {
		_, _ = d.scrub()
	}
}
