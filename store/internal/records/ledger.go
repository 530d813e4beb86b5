package records

import (
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// The ledger is what recognises a call. It is found by id in the generations, newest first.

func callKey(id string) []byte { return append([]byte{'c'}, id...) }
func rowKey(key string) []byte { return append([]byte{'b'}, key...) }

// call returns the ledger's record of a call and the generation that holds it; nil if the call is not known.
func (t *txn) call(id string) (*ledgerRec, uint64, error) {
	return find(t, bucketLedger, callKey(id), decodeLedger)
}

// diff returns the tags in which fresh differs from what is known, and what is known then. Fields that fresh does not have stay.
func diff(known, fresh []store.Field) (changed []byte, merged []store.Field) {
	merged = make([]store.Field, 0, max(len(known), len(fresh)))
	i := 0
	for _, f := range fresh {
		for i < len(known) && known[i].Tag < f.Tag {
			merged = append(merged, known[i])
			i++
		}
		if i < len(known) && known[i].Tag == f.Tag {
			if known[i].Hash != f.Hash {
				changed = append(changed, f.Tag)
			}
			i++
		} else {
			changed = append(changed, f.Tag)
		}
		merged = append(merged, f)
	}
	return changed, append(merged, known[i:]...)
}

// laneState returns what was delivered of a lane.
func (t *txn) laneState(dest uint16, lane store.Lane) (*laneState, uint64, error) {
	return find(t, bucketLaneState, lanePrefix(dest, lane), decodeLane)
}

// noteDelivery keeps the newest call of a lane that was delivered, and the newest that set the status.
func (t *txn) noteDelivery(j *jobRec, setStatus bool, at time.Time) error {
	old, gen, err := t.laneState(j.dest, j.lane)
	if err != nil {
		return err
	}
	s := laneState{}
	if old != nil {
		s = *old
	}
	s.delivered(j.when, j.id, setStatus)
	now := generation(at)
	if old != nil && s == *old && gen >= now {
		return nil
	}
	k := lanePrefix(j.dest, j.lane)
	return t.keep(bucketLaneState, now, k, s.encode(k), old != nil, gen)
}

// delivered notes that a call of the lane was.
func (l *laneState) delivered(when time.Time, id string, setStatus bool) {
	if later(when, id, l.deliveredWhen, l.deliveredID) {
		l.deliveredWhen, l.deliveredID = when, id
	}
	if setStatus && later(when, id, l.statusWhen, l.statusID) {
		l.statusWhen, l.statusID = when, id
	}
}

// later orders calls of a lane.
func later(when time.Time, id string, than time.Time, thanID string) bool {
	if c := when.Compare(than); c != 0 {
		return c > 0
	}
	return id > thanID
}
