package records

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

func (t *txn) watch(kind store.WatchKind, id string) (*watchRec, error) {
	return load(t.bucket(bucketWatches), bucketWatches, watchKey(kind, id), decodeWatch)
}

func (t *txn) addWatch(kind store.WatchKind, id string, w *watchRec) error {
	if err := t.watching(kind, 1); err != nil {
		return err
	}
	if err := t.put(bucketDue, dueKey(kind, w.due, id), []byte{}); err != nil {
		return err
	}
	return t.saveWatch(kind, id, w)
}

// saveWatch writes a watch that is due as before.
func (t *txn) saveWatch(kind store.WatchKind, id string, w *watchRec) error {
	k := watchKey(kind, id)
	return t.put(bucketWatches, k, w.encode(k))
}

func (t *txn) watching(kind store.WatchKind, n int) error {
	m, err := t.state()
	if err != nil {
		return err
	}
	if kind == store.TranscriptWatch {
		m.transcripts += n
	} else {
		m.unfinished += n
	}
	t.metaDirty = true
	return nil
}

// endWatch takes a watch away and tells whether there was one.
func (t *txn) endWatch(kind store.WatchKind, id string) (bool, error) {
	w, err := t.watch(kind, id)
	if w == nil || err != nil {
		return false, err
	}
	if err := t.watching(kind, -1); err != nil {
		return false, err
	}
	if err := t.del(bucketDue, dueKey(kind, w.due, id)); err != nil {
		return false, err
	}
	return true, t.del(bucketWatches, watchKey(kind, id))
}

// mergeWatch brings the body of a watch up to date, if there is one.
func (in *ingestTx) mergeWatch(kind store.WatchKind, id string, body []byte) error {
	w, err := in.watch(kind, id)
	if w == nil || err != nil {
		return err
	}
	merged := store.Complete(w.body, body)
	if bytes.Equal(merged, w.body) {
		return nil
	}
	w.body = merged
	return in.saveWatch(kind, id, w)
}

// DueWatches implements store.Store.
func (d *DB) DueWatches(kind store.WatchKind, now time.Time, n int) (due []store.Watch, next time.Time, err error) {
	err = d.view(func(t *txn) error {
		due, next = nil, time.Time{}
		m, err := t.state()
		if err != nil || kind == store.TranscriptWatch && m.transcripts == 0 || kind == store.FinishWatch && m.unfinished == 0 {
			return err
		}
		c := t.bucket(bucketDue).Cursor()
		for k, _ := c.Seek([]byte{byte(kind)}); len(k) > 9 && k[0] == byte(kind); k, _ = c.Next() {
			at := keyTime(k[1:])
			if at.After(now) || len(due) >= n {
				next = at
				return nil
			}
			id := string(k[9:])
			w, err := t.watch(kind, id)
			if err != nil {
				return err
			}
			if w == nil {
				return damaged(bucketDue, k, "it names a watch that is not there")
			}
			x, err := t.shown(kind, id, w)
			if err != nil {
				return err
			}
			due = append(due, x)
		}
		return nil
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	return due, next, nil
}

func (t *txn) shown(kind store.WatchKind, id string, w *watchRec) (store.Watch, error) {
	x := store.Watch{Kind: kind, ID: id, Body: w.body, Since: w.since, Attempts: w.attempts, Due: w.due, Note: w.note}
	for _, wd := range w.dests {
		r, err := t.destByID(wd.dest)
		if err != nil {
			return x, err
		}
		x.Dests = append(x.Dests, r.Name)
	}
	return x, nil
}

// SettleWatch implements store.Store.
func (d *DB) SettleWatch(kind store.WatchKind, id string, a store.Asked) error {
	return d.update(func(t *txn) error {
		w, err := t.watch(kind, id)
		if w == nil || err != nil {
			return err
		}
		if a.Again != nil {
			return t.askAgain(kind, id, w, a.Again)
		}
		if _, err := t.endWatch(kind, id); err != nil {
			return err
		}
		switch {
		case kind != store.TranscriptWatch:
			return nil // the call has no life yet
		case a.Found != nil:
			return t.attach(id, w, a)
		}
		for _, x := range w.dests {
			to, err := t.destByID(x.dest)
			if err != nil {
				return err
			}
			t.leave(to, store.LeftTranscript)
		}
		return t.note(w.seen, id, a.At, a.GivenUp)
	})
}

func (t *txn) askAgain(kind store.WatchKind, id string, w *watchRec, again *store.Watch) error {
	if due := round(again.Due); !due.Equal(w.due) {
		if err := t.del(bucketDue, dueKey(kind, w.due, id)); err != nil {
			return err
		}
		if err := t.put(bucketDue, dueKey(kind, due, id), []byte{}); err != nil {
			return err
		}
		w.due = due
	}
	w.since, w.attempts, w.note = again.Since, again.Attempts, again.Note
	return t.saveWatch(kind, id, w)
}

// attach queues a transcript for the destinations that wait for it.
func (t *txn) attach(id string, w *watchRec, a store.Asked) error {
	for _, x := range w.dests {
		to, err := t.destByID(x.dest)
		if err != nil {
			return err
		}
		j := &jobRec{
			jobKey:  jobKey{dest: x.dest, prio: prioOf(x.backfill, store.TranscriptJob), when: w.when, id: id, kind: store.TranscriptJob, rev: 1},
			jobHead: jobHead{lane: x.lane, backfill: x.backfill},
			seen:    w.seen, body: a.Found,
		}
		if err := t.addJob(to, j); err != nil {
			return err
		}
	}
	return t.note(w.seen, id, a.At, fmt.Sprintf("transcript found after %d asks", w.attempts+1))
}

// awaitTranscript adds a destination to the watch for the call's transcript.
func (t *txn) awaitTranscript(j *jobRec, at time.Time) error {
	w, err := t.watch(store.TranscriptWatch, j.id)
	if err != nil {
		return err
	}
	x := watchDest{dest: j.dest, lane: j.lane, backfill: j.backfill}
	if w == nil {
		return t.addWatch(store.TranscriptWatch, j.id, &watchRec{due: round(at), body: j.body, when: j.when, seen: j.seen, dests: []watchDest{x}})
	}
	if slices.ContainsFunc(w.dests, func(o watchDest) bool { return o.dest == j.dest }) {
		return nil
	}
	w.dests = append(w.dests, x)
	return t.saveWatch(store.TranscriptWatch, j.id, w)
}
