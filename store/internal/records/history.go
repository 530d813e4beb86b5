package records

import (
	"bytes"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// Life implements store.Store.
func (d *DB) Life(id string) (l store.Life, err error) {
	err = d.view(func(t *txn) error {
		l = store.Life{ID: id}
		rec, _, err := t.call(id)
		if err != nil {
			return err
		}
		if rec == nil {
			w, err := t.watch(store.FinishWatch, id)
			if err != nil {
				return err
			}
			if w == nil {
				l.Events, err = t.lifeOfForgotten(id)
				return err
			}
			l.Events = []store.Event{{At: w.since, What: "in progress"}}
			l.Body = w.body
			return t.awaited(&l, store.FinishWatch, w)
		}
		l.When, l.FirstSeen, l.Revision = rec.when, rec.seen, rec.rev
		if l.Events, err = t.events(rec.seen, id); err != nil {
			return err
		}
		if l.Dests, l.Body, err = t.deliveries(id, rec); err != nil {
			return err
		}
		w, err := t.watch(store.TranscriptWatch, id)
		if w == nil || err != nil {
			return err
		}
		if l.Body == nil {
			l.Body = w.body
		}
		return t.awaited(&l, store.TranscriptWatch, w)
	})
	if err != nil {
		return store.Life{}, err
	}
	return l, nil
}

func (t *txn) awaited(l *store.Life, kind store.WatchKind, w *watchRec) error {
	x, err := t.shown(kind, l.ID, w)
	l.Awaited = &x
	return err
}

// deliveries returns the call's way at each destination, and its body where one still waits.
func (t *txn) deliveries(id string, rec *ledgerRec) (ways []store.DestLife, body []byte, err error) {
	for i := range rec.dests {
		d, err := t.destByID(rec.dests[i].dest)
		if err != nil {
			return nil, nil, err
		}
		w, b, err := t.delivery(id, rec, &rec.dests[i])
		if err != nil {
			return nil, nil, err
		}
		if w.Dest = d.Name; w.State == "pending" || w.Transcript == "pending" {
			switch {
			case d.Orphaned:
				w.Waits = "the destination is no longer configured"
			case d.Paused != "":
				w.Waits = "the destination is " + d.Held()
			case d.Held() != "":
				w.Waits = "the destination is halted: " + d.Held()
			}
		}
		ways = append(ways, w)
		if body == nil {
			body = b
		}
	}
	return ways, body, nil
}

func (t *txn) delivery(id string, rec *ledgerRec, e *ledgerDest) (w store.DestLife, body []byte, err error) {
	r, err := t.receipt(rec.seen, id, e.dest)
	if err != nil {
		return w, nil, err
	}
	if r != nil {
		w = store.DestLife{State: stateName(r.state), Revision: r.rev, Attempts: r.attempts, At: r.at, Error: r.note, Refs: r.refs, Warnings: r.warnings}
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
	if w.Letters, err = t.letters(e.dest, id); err != nil {
		return w, nil, err
	}
	w.Transcript = t.transcriptState(e.dest, id, r)
	for _, kind := range []store.Kind{store.TranscriptJob, store.CallJob} { // the call itself last: it counts
		key := jobKey{dest: e.dest, prio: prioOf(e.backfill, kind), when: rec.when, id: id, kind: kind}
		jobs, err := t.jobsOf(key)
		if err != nil {
			return w, nil, err
		}
		if len(jobs) > 0 {
			w.Refs = mergeRefs(w.Refs, jobs[0].refs)
			body = jobs[len(jobs)-1].body
		}
		switch {
		case len(jobs) == 0:
		case key.kind == store.CallJob:
			w.State, w.Attempts, w.Due, w.Error = "pending", jobs[0].attempts, jobs[0].due, jobs[0].lastError
		default:
			w.Transcript = "pending"
		}
		if len(jobs) > 0 {
			if w.Waits, err = t.waits(jobs[0]); err != nil {
				return w, nil, err
			}
		}
	}
	return w, body, nil
}

// waits tells what keeps a job from being taken; empty: nothing but its turn.
func (t *txn) waits(j *jobRec) (string, error) {
	released, err := t.released(j.window)
	if err != nil || !released {
		return store.WaitsForListing, err
	}
	head, err := t.headOf(j.dest, j.lane)
	if err != nil || head == nil || bytes.Equal(head, j.bytes()) {
		return "", err
	}
	first, ok := parseJobKey(head)
	if !ok {
		return "", damaged(bucketOutbox, head, "it is not a key of a job")
	}
	if first.id == j.id {
		return "", nil // an earlier event of the same call
	}
	return "call " + first.id + " of the same contact goes first", nil
}

// letters returns the numbers of a call's dead letters at a destination, its transcript's included.
func (t *txn) letters(dest uint16, id string) (nums []uint64, err error) {
	prefix := appendID(u16Key(dest), id)
	c := t.bucket(bucketDeadIndex).Within(prefix)
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		if len(v) != 8 {
			return nil, damaged(bucketDeadIndex, k, "it is not a number")
		}
		nums = append(nums, keyUint(v))
	}
	return nums, nil
}

// transcriptState tells what became of a call's transcript at a destination, but for one that waits in the outbox.
func (t *txn) transcriptState(dest uint16, id string, r *receiptRec) string {
	k, _ := t.bucket(bucketDeadIndex).Cursor().Seek(deadPrefix(dest, id, store.TranscriptJob))
	if bytes.HasPrefix(k, deadPrefix(dest, id, store.TranscriptJob)) {
		return stateName(stateDead)
	}
	if r != nil && r.transcript && t.bucket(bucketWatches).Get(watchKey(store.TranscriptWatch, id)) != nil {
		return "awaited"
	}
	return ""
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

// Calls implements store.Store.
func (d *DB) Calls(q store.CallQuery) (list []store.CallSummary, err error) {
	err = d.view(func(t *txn) error {
		list = nil
		if q.Dest != "" {
			if _, err := t.destByName(q.Dest); err != nil {
				return err
			}
		}
		var last []byte
		c := t.bucket(bucketReceipts).Cursor()
		for k, _ := c.Last(); k != nil && len(list) < q.N; k, _ = c.Prev() {
			seen, id, _, ok := parseReceiptKey(k)
			if !ok {
				return damaged(bucketReceipts, k, "it is not a key of a receipt")
			}
			if prefix := k[:len(k)-2]; !bytes.Equal(prefix, last) {
				last = bytes.Clone(prefix)
				s, err := t.summary(id, seen)
				if err != nil {
					return err
				}
				if selects(&q, &s) {
					list = append(list, s)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

func selects(q *store.CallQuery, s *store.CallSummary) bool {
	return q.Dest == "" && q.State == "" || slices.ContainsFunc(s.Dests, func(d store.DestLife) bool {
		return (q.Dest == "" || d.Dest == q.Dest) && (q.State == "" || d.State == q.State)
	})
}

func (t *txn) summary(id string, seen time.Time) (store.CallSummary, error) {
	s := store.CallSummary{ID: id, FirstSeen: seen}
	rec, _, err := t.call(id)
	if err != nil || rec == nil {
		return s, err
	}
	s.When, s.Revision = rec.when, rec.rev
	s.Dests, _, err = t.deliveries(id, rec)
	return s, err
}
