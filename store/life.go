package store

import (
	"bytes"
	"fmt"
	"time"
)

// Life implements Store.
func (d *DB) Life(id string) (l Life, err error) {
	err = d.view(func(t *txn) error {
		l = Life{ID: id}
		rec, _, err := t.call(id)
		if err != nil {
			return err
		}
		if rec == nil {
			w, err := t.watch(FinishWatch, id)
			if err != nil {
				return err
			}
			if w == nil {
				return fmt.Errorf("call %q: %w", id, ErrUnknown)
			}
			l.Events = []Event{{At: w.since, What: "in progress"}}
			l.Body = w.body
			return nil
		}
		l.When, l.FirstSeen, l.Revision = rec.when, rec.seen, rec.rev
		if l.Events, err = t.events(rec.seen, id); err != nil {
			return err
		}
		if l.Dests, l.Body, err = t.ways(id, rec); err != nil || l.Body != nil {
			return err
		}
		w, err := t.watch(TranscriptWatch, id)
		if w != nil {
			l.Body = w.body
		}
		return err
	})
	if err != nil {
		return Life{}, err
	}
	return l, nil
}

// ways returns the call's way at each destination, and its body where one still waits.
func (t *txn) ways(id string, rec *ledgerRec) (ways []DestLife, body []byte, err error) {
	for i := range rec.dests {
		d, err := t.destByID(rec.dests[i].dest)
		if err != nil {
			return nil, nil, err
		}
		w, b, err := t.way(id, rec, &rec.dests[i])
		if err != nil {
			return nil, nil, err
		}
		w.Dest = d.Name
		ways = append(ways, w)
		if body == nil {
			body = b
		}
	}
	return ways, body, nil
}

func (t *txn) way(id string, rec *ledgerRec, e *ledgerDest) (w DestLife, body []byte, err error) {
	r, err := t.receipt(rec.seen, id, e.dest)
	if err != nil {
		return w, nil, err
	}
	if r != nil {
		w = DestLife{State: stateName(r.state), Revision: r.rev, Attempts: r.attempts, At: r.at, Error: r.note, Refs: r.refs, Warnings: r.warnings}
	} else if e.rev == 0 {
		w.State = stateName(stateSkipped)
	} else {
		w.State = stateName(stateDelivered) // it is not waiting and not dead, and the receipt is forgotten
	}
	dead, err := t.newestDead(e.dest, id)
	if err != nil {
		return w, nil, err
	}
	if dead != nil {
		body = dead.job.body
		if r == nil {
			w.State, w.Attempts, w.At, w.Error = stateName(stateDead), dead.job.attempts, dead.at, dead.err
		}
	}
	key := jobKey{dest: e.dest, prio: prioOf(e.backfill), when: rec.when, id: id, kind: TranscriptJob}
	for range 2 { // the call itself last: it counts
		jobs, err := t.outstanding(key)
		if err != nil {
			return w, nil, err
		}
		if len(jobs) > 0 {
			w.Refs = mergeRefs(w.Refs, jobs[0].refs)
			body = jobs[len(jobs)-1].body
		}
		if len(jobs) > 0 && key.kind == CallJob {
			w.State, w.Attempts, w.Due, w.Error = "pending", jobs[0].attempts, jobs[0].due, jobs[0].lastError
		}
		key.kind = CallJob
	}
	return w, body, nil
}

func stateName(s byte) string {
	switch s {
	case stateDelivered:
		return "delivered"
	case stateDead:
		return "dead"
	case stateSkipped:
		return "skipped"
	}
	return "pending"
}

// Calls implements Store.
func (d *DB) Calls(n int) (list []CallSummary, err error) {
	err = d.view(func(t *txn) error {
		list = nil
		var last []byte
		c := t.bucket(bucketReceipts).Cursor()
		for k, _ := c.Last(); k != nil && len(list) < n; k, _ = c.Prev() {
			seen, id, _, ok := parseReceiptKey(k)
			if !ok {
				return damaged(bucketReceipts, k, "it is no key of a receipt")
			}
			if prefix := k[:len(k)-2]; !bytes.Equal(prefix, last) {
				last = bytes.Clone(prefix)
				s, err := t.summary(id, seen)
				if err != nil {
					return err
				}
				list = append(list, s)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

func (t *txn) summary(id string, seen time.Time) (CallSummary, error) {
	s := CallSummary{ID: id, FirstSeen: seen}
	rec, _, err := t.call(id)
	if err != nil || rec == nil {
		return s, err
	}
	s.When, s.Revision = rec.when, rec.rev
	s.Dests, _, err = t.ways(id, rec)
	return s, err
}
