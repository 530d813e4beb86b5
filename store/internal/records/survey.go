package records

import "github.com/vinfer-sync/vinfer-sync/store"

// Survey checks all that is stored, as Check does, and counts it.
func Survey(tx Tx) (s store.Survey, err error) {
	t := &txn{tx: tx}
	if err := t.check(); err != nil {
		return s, err
	}
	if _, s.Layout, err = Identify(tx); err != nil {
		return s, err
	}
	for _, g := range t.generations(bucketLedger) {
		s.Calls += keys(tx.Generation(bucketLedger, g))
	}
	s.Receipts, s.Jobs = keys(t.bucket(bucketReceipts)), keys(t.bucket(bucketOutbox))
	s.DeadLetters, s.Watches = keys(t.bucket(bucketDead)), keys(t.bucket(bucketWatches))
	return s, nil
}
