package store

import (
	"errors"
	"os"

	"go.etcd.io/bbolt"
)

// CrashTo writes to path what a kill would leave now: the journal and the state file, with nothing worked in.
func (d *DB) CrashTo(path string) error {
	b, err := os.ReadFile(d.journal.path)
	if err == nil {
		err = os.WriteFile(journalPath(path), b, 0o600)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = d.bolt.View(func(tx *bbolt.Tx) error { _, err := tx.WriteTo(f); return err })
	return errors.Join(err, f.Close())
}
