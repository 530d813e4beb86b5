package records

import (
	"bytes"
	"fmt"
	"time"
)

// maxPrune is how many receipts one transaction forgets.
const maxPrune = 2000

// Prune implements store.Store.
func (d *DB) Prune(receipts, ledger time.Time) (more bool, err error) {
	err = d.update(func(t *txn) error {
		more = false
		var old [][]byte
		c := t.bucket(bucketReceipts).Cursor()
		end := appendTime(nil, receipts)
		for k, _ := c.First(); k != nil && bytes.Compare(k, end) < 0; k, _ = c.Next() {
			if len(old) == maxPrune {
				more = true
				break
			}
			old = append(old, bytes.Clone(k))
		}
		for _, k := range old {
			if err := t.del(bucketReceipts, k); err != nil {
				return err
			}
		}
		for _, name := range []string{bucketLedger, bucketLaneState} {
			dropped := false
			for _, g := range t.generations(name) {
				if last := time.Unix(int64(g+1)*generationDays*86400, 0); last.After(ledger) {
					continue
				}
				if dropped {
					more = true
					break
				}
				if err := t.tx.DropGeneration(name, g); err != nil {
					return fmt.Errorf("forgetting a generation of %s: %w", name, err)
				}
				t.changed, dropped = true, true
			}
		}
		return nil
	})
	return more, err
}
