package records

import (
	"maps"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// receipt returns what became of a call at a destination; nil if nothing is known.
func (t *txn) receipt(seen time.Time, id string, dest uint16) (*receiptRec, error) {
	return load(t.bucket(bucketReceipts), bucketReceipts, receiptKey(seen, id, dest), decodeReceipt)
}

func (t *txn) putReceipt(seen time.Time, id string, dest uint16, r *receiptRec) error {
	k := receiptKey(seen, id, dest)
	return t.put(bucketReceipts, k, r.encode(k))
}

// editReceipt changes a receipt, made if need be.
func (t *txn) editReceipt(j *jobRec, f func(*receiptRec)) error {
	r, err := t.receipt(j.seen, j.id, j.dest)
	if err != nil {
		return err
	}
	if r == nil {
		r = &receiptRec{}
	}
	f(r)
	return t.putReceipt(j.seen, j.id, j.dest, r)
}

func (t *txn) events(seen time.Time, id string) ([]store.Event, error) {
	e, err := load(t.bucket(bucketReceipts), bucketReceipts, receiptKey(seen, id, 0), decodeEvents)
	if err != nil || e == nil {
		return nil, err
	}
	return *e, nil
}

// note adds an event to a call's life. Of very many the first and the last are kept.
func (t *txn) note(seen time.Time, id string, at time.Time, what string) error {
	e, err := t.events(seen, id)
	if err != nil {
		return err
	}
	if len(e) >= maxEvents {
		e = append(e[:1:1], e[2:]...)
	}
	k := receiptKey(seen, id, 0)
	return t.put(bucketReceipts, k, encodeEvents(k, append(e, store.Event{At: at, What: what})))
}

// mergeRefs adds fresh refs to what is known, and takes out those that are empty there; neither map is changed.
func mergeRefs(known, fresh map[string]string) map[string]string {
	if len(fresh) == 0 {
		return known
	}
	out := maps.Clone(known)
	if out == nil {
		out = make(map[string]string, len(fresh))
	}
	maps.Copy(out, fresh)
	maps.DeleteFunc(out, func(_, id string) bool { return id == "" }) // forgotten
	return out
}
