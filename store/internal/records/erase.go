package records

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// forgetTx finds all that is kept of some calls and erases it, in one transaction.
type forgetTx struct {
	*txn
	what  *store.Forgetting
	ids   map[string]bool
	rows  map[uint64]bool // dead letters of no destination
	lanes map[store.Lane]bool
	out   store.Forgotten
}

// matches tells whether something in a lane with this body is the person's.
func (w *forgetTx) matches(lane store.Lane, body []byte) bool {
	return lane != (store.Lane{}) && lane == w.what.Lane || w.what.IsAbout(body)
}

func (w *forgetTx) findJobs() error {
	c := w.bucket(bucketOutbox).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		j, err := openJob(k, v)
		if err != nil {
			return err
		}
		if w.matches(j.lane, j.body) {
			w.ids[j.id] = true
		}
	}
	return nil
}

func (w *forgetTx) findWatches() error {
	return each(w.bucket(bucketWatches), bucketWatches, decodeWatch, func(k []byte, r *watchRec) error {
		if w.what.IsAbout(r.body) || slices.ContainsFunc(r.dests, func(d watchDest) bool { return w.matches(d.lane, nil) }) {
			w.ids[string(k[1:])] = true
		}
		return nil
	})
}

func (w *forgetTx) findLetters() error {
	return each(w.bucket(bucketDead), bucketDead, decodeDead, func(k []byte, r *deadRec) error {
		switch {
		case r.job.dest == 0:
			if w.what.IsMentionedIn(r.job.body) {
				w.rows[keyUint(k)] = true
			}
		case w.matches(r.job.lane, r.job.body):
			w.ids[r.job.id] = true
		}
		return nil
	})
}

func (w *forgetTx) findLedger() error {
	if w.what.Field.Tag == 0 {
		return nil
	}
	for _, g := range w.generations(bucketLedger) {
		err := each(w.tx.Generation(bucketLedger, g), bucketLedger, decodeLedger, func(k []byte, r *ledgerRec) error {
			if k[0] == 'c' && slices.Contains(r.fields, w.what.Field) {
				w.ids[string(k[1:])] = true
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachLane calls f for what is known of each lane, newest generation first.
func (w *forgetTx) eachLane(f func(gen uint64, k []byte, lane store.Lane, s *laneState) error) error {
	for _, g := range w.generations(bucketLaneState) {
		err := each(w.tx.Generation(bucketLaneState, g), bucketLaneState, decodeLane, func(k []byte, s *laneState) error {
			var lane store.Lane
			copy(lane[:], k[2:])
			return f(g, k, lane, s)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *forgetTx) findLanes() error {
	return w.eachLane(func(_ uint64, _ []byte, lane store.Lane, s *laneState) error {
		if lane == w.what.Lane {
			for _, id := range []string{s.deliveredID, s.statusID} {
				if id != "" {
					w.ids[id] = true
				}
			}
		}
		return nil
	})
}

// describe notes what is known of the calls, for the operator, before it is gone.
func (w *forgetTx) describe() error {
	ids := make([]string, 0, len(w.ids))
	for id := range w.ids {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		rec, _, err := w.call(id)
		if err != nil {
			return err
		}
		if rec == nil {
			if x, err := w.watch(store.FinishWatch, id); err != nil {
				return err
			} else if x != nil {
				w.out.Calls = append(w.out.Calls, store.ForgottenCall{ID: id})
			}
			continue
		}
		c := store.ForgottenCall{ID: id, When: rec.when}
		if c.Dests, _, err = w.deliveries(id, rec); err != nil {
			return err
		}
		w.out.Calls = append(w.out.Calls, c)
	}
	return nil
}

func (w *forgetTx) eraseJobs() error {
	var jobs []*jobRec
	c := w.bucket(bucketOutbox).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if key, ok := parseJobKey(k); !ok || !w.ids[key.id] {
			continue
		}
		j, err := openJob(k, v)
		if err != nil {
			return err
		}
		jobs = append(jobs, j)
	}
	for _, j := range jobs {
		d, err := w.destByID(j.dest)
		if err != nil {
			return err
		}
		w.lanes[j.lane] = true
		if err := w.dropJob(d, j); err != nil {
			return err
		}
		if err := w.count(j, func(b *store.Backfill) { b.Queued-- }); err != nil {
			return err
		}
		w.out.Jobs++
	}
	return nil
}

func (w *forgetTx) eraseWatches() error {
	for id := range w.ids {
		for _, kind := range []store.WatchKind{store.TranscriptWatch, store.FinishWatch} {
			was, err := w.endWatch(kind, id)
			if err != nil {
				return err
			}
			if was {
				w.out.Watches++
			}
		}
	}
	return nil
}

func (w *forgetTx) eraseLetters() error {
	letters := map[uint64]*deadRec{}
	err := each(w.bucket(bucketDead), bucketDead, decodeDead, func(k []byte, r *deadRec) error {
		if num := keyUint(k); w.rows[num] || r.job.dest != 0 && w.ids[r.job.id] {
			letters[num] = r
		}
		return nil
	})
	if err != nil {
		return err
	}
	for num, r := range letters {
		if err := w.eraseDead(num, r); err != nil {
			return err
		}
		if r.job.dest == 0 {
			w.out.Rows++ // the ledger keeps a hash of it
			continue
		}
		w.out.Letters++
		w.lanes[r.job.lane] = true
		if err := w.count(&r.job, func(b *store.Backfill) { b.Queued--; b.Dead-- }); err != nil {
			return err
		}
	}
	return nil
}

// eraseReceipts looks at all of them: a call that was forgotten for its age and seen again has older ones.
func (w *forgetTx) eraseReceipts() error {
	var old [][]byte
	c := w.bucket(bucketReceipts).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if _, id, _, ok := parseReceiptKey(k); ok && w.ids[id] {
			old = append(old, bytes.Clone(k))
		}
	}
	for _, k := range old {
		if err := w.del(bucketReceipts, k); err != nil {
			return err
		}
	}
	w.out.Receipts = len(old)
	return nil
}

func (w *forgetTx) eraseLedger() error {
	for id := range w.ids {
		k := callKey(id)
		for _, g := range w.generations(bucketLedger) {
			b := w.tx.Generation(bucketLedger, g)
			if b.Get(k) == nil {
				continue
			}
			w.changed = true
			if err := b.Delete(k); err != nil {
				return fmt.Errorf("deleting from bucket %s: %w", bucketLedger, err)
			}
		}
	}
	return nil
}

// eraseLanes drops what is known of the person's lane; of others only the ids go, so that their order stands.
func (w *forgetTx) eraseLanes() error {
	type change struct {
		gen      uint64
		key, val []byte // val nil: deleted
	}
	var todo []change
	err := w.eachLane(func(gen uint64, k []byte, lane store.Lane, s *laneState) error {
		k = bytes.Clone(k)
		switch {
		case lane == w.what.Lane:
			todo = append(todo, change{gen, k, nil})
			return nil
		case !w.ids[s.deliveredID] && !w.ids[s.statusID]:
			return nil
		}
		w.lanes[lane] = true
		if w.ids[s.deliveredID] {
			s.deliveredID = ""
		}
		if w.ids[s.statusID] {
			s.statusID = ""
		}
		todo = append(todo, change{gen, k, s.encode(k)})
		return nil
	})
	if err != nil {
		return err
	}
	for _, x := range todo {
		w.changed = true
		b := w.tx.Generation(bucketLaneState, x.gen)
		if x.val == nil {
			err = b.Delete(x.key)
		} else {
			err = b.Put(x.key, x.val)
		}
		if err != nil {
			return fmt.Errorf("writing bucket %s: %w", bucketLaneState, err)
		}
	}
	return nil
}

func (w *forgetTx) eraseClaims() error {
	var old [][]byte
	c := w.bucket(bucketClaims).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if key, ok := parseJobKey(k); ok && w.ids[key.id] {
			old = append(old, bytes.Clone(k))
		}
	}
	for _, k := range old {
		if err := w.del(bucketClaims, k); err != nil {
			return err
		}
	}
	return nil
}

const erased = "(erased)"

// eraseMessages cleans what is kept of the last errors, and the list of late calls.
func (w *forgetTx) eraseMessages() error {
	run, err := w.setting(store.RunSetting)
	if err != nil {
		return err
	}
	if w.what.IsMentionedIn(run) {
		if err := w.del(bucketSettings, []byte(store.RunSetting)); err != nil {
			return err
		}
	}
	all, err := w.allDests()
	if err != nil {
		return err
	}
	for _, r := range all {
		texts := []*string{&r.LastError, &r.Halted, &r.LeftOut.Last}
		for i := range r.rejections {
			texts = append(texts, &r.rejections[i].signature)
		}
		for _, text := range texts {
			if w.what.IsMentionedIn([]byte(*text)) {
				*text = erased
				w.markChanged(r)
			}
		}
	}
	late, err := w.lateCalls()
	if err != nil {
		return err
	}
	n := len(late.recent)
	late.recent = slices.DeleteFunc(late.recent, func(c store.LateCall) bool { return w.ids[c.ID] })
	if len(late.recent) == n {
		return nil
	}
	return w.put(bucketMeta, keyLate, late.encode(keyLate))
}

// addTombstones keeps what recognises the calls, so that nobody who shows them brings them back.
func (w *forgetTx) addTombstones() error {
	at := round(w.what.At)
	for id := range w.ids {
		if err := w.txn.addTombstone(tombCall, []byte(id), at); err != nil {
			return err
		}
	}
	if w.what.Lane == (store.Lane{}) {
		return nil
	}
	return w.txn.addTombstone(tombLane, w.what.Lane[:], at)
}
