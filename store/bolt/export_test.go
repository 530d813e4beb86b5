package bolt

import (
	"errors"
	"os"

	"go.etcd.io/bbolt"
)

// CrashTo writes to path what a kill would leave now.
func (d *DB) CrashTo(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = d.bolt.View(func(tx *bbolt.Tx) error { _, err := tx.WriteTo(f); return err })
	return errors.Join(err, f.Close())
}
