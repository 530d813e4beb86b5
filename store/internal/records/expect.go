package records

import (
	"bytes"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// What a transaction is about to read is told here, in as few steps as what is found allows. Reads that nobody expected are made all the same.

// fewJobs is how many jobs of one event, or of one lane, are expected to be looked at.
const fewJobs = 4

// expectPage tells what storing a page reads: first of each id whether it is known, then what is kept of those that are to be queued.
func (t *txn) expectPage(p *store.Page) {
	if len(p.Rows)+len(p.Unfinished) == 0 {
		return
	}
	t.tx.Expect(func() (needs []Need) {
		salt := t.bucket(bucketMeta).Get(keySalt)
		for i := range p.Rows {
			r := &p.Rows[i]
			needs = append(needs, Need{Bucket: bucketLedger, Key: callKey(r.ID)}, Need{Bucket: bucketWatches, Key: watchKey(store.FinishWatch, r.ID)},
				Need{Bucket: bucketForgotten, Key: tombstone(salt, tombCall, []byte(r.ID))}, Need{Bucket: bucketForgotten, Key: tombstone(salt, tombLane, r.Lane[:])})
		}
		for i := range p.Unfinished {
			id := p.Unfinished[i].ID
			needs = append(needs, Need{Bucket: bucketLedger, Key: callKey(id)}, Need{Bucket: bucketWatches, Key: watchKey(store.FinishWatch, id)},
				Need{Bucket: bucketForgotten, Key: tombstone(salt, tombCall, []byte(id))})
		}
		return append(needs, Need{Bucket: bucketForgotten, First: 1})
	})
	t.tx.Expect(func() (needs []Need) {
		for i := range p.Rows {
			needs = append(needs, t.needsOfRow(&p.Rows[i], p.Backfill)...)
		}
		return needs
	})
}

// needsOfRow returns what a row reads once it is known whether its call is. What cannot be read is told when the row is stored.
func (t *txn) needsOfRow(r *store.Row, backfill uint64) (needs []Need) {
	rec, _, err := t.call(r.ID)
	if err != nil {
		return nil
	}
	if rec == nil {
		for i := range r.Targets {
			if d, err := t.destByName(r.Targets[i].Dest); err == nil && r.Targets[i].Skip == "" {
				k := jobKey{dest: d.id, prio: prioOf(backfill, store.CallJob), when: round(r.When), id: r.ID, kind: store.CallJob, rev: 1}
				needs = append(needs, Need{Bucket: bucketOutbox, Key: k.bytes()})
			}
		}
		return needs
	}
	if changed, _ := diff(rec.fields, r.Fields); len(changed) == 0 {
		return nil
	}
	needs = []Need{{Bucket: bucketReceipts, Key: receiptPrefix(rec.seen, r.ID), First: len(rec.dests) + 2}, {Bucket: bucketWatches, Key: watchKey(store.TranscriptWatch, r.ID)}}
	for _, e := range rec.dests {
		k := jobKey{dest: e.dest, prio: prioOf(e.backfill, store.CallJob), when: rec.when, id: r.ID, kind: store.CallJob}
		needs = append(needs, Need{Bucket: bucketOutbox, Key: k.prefix(), First: fewJobs}, Need{Bucket: bucketDeadIndex, Key: deadPrefix(e.dest, r.ID, store.CallJob), First: fewJobs})
	}
	return needs
}

// expectClaims tells what claiming jobs of destinations with a key reads: the jobs and what is known of their lanes, then what is kept of their calls.
func (t *txn) expectClaims(refs []store.JobRef) {
	t.tx.Expect(func() (needs []Need) {
		for i := range refs {
			if d, err := t.destByName(refs[i].Dest); err == nil {
				needs = append(needs, Need{Bucket: bucketOutbox, Key: refKey(d.id, &refs[i]).prefix(), First: fewJobs}, Need{Bucket: bucketLaneState, Key: lanePrefix(d.id, refs[i].Lane)})
			}
		}
		return needs
	})
	t.tx.Expect(func() (needs []Need) {
		for i := range refs {
			d, err := t.destByName(refs[i].Dest)
			if err != nil {
				continue
			}
			if j, err := t.findJob(d, &refs[i], true); err == nil && j != nil {
				needs = append(needs, Need{Bucket: bucketReceipts, Key: receiptKey(j.seen, j.id, d.id)})
			}
			needs = append(needs, t.needsOfLane(d, refs[i].Lane)...)
		}
		return needs
	})
}

// needsOfLane returns where the call is that was delivered last in a lane.
func (t *txn) needsOfLane(d *destRec, lane store.Lane) []Need {
	if s, _, err := t.laneState(d.id, lane); err == nil && s != nil && s.deliveredID != "" {
		return []Need{{Bucket: bucketLedger, Key: callKey(s.deliveredID)}}
	}
	return nil
}

// expectJobs tells what settling jobs, or claiming those of an append-only destination, reads: the jobs and their lanes, then what is kept of their calls and
// the next jobs of the lanes.
func (t *txn) expectJobs(refs []store.JobRef) {
	if len(refs) == 0 {
		return
	}
	t.tx.Expect(func() (needs []Need) {
		for i := range refs {
			d, err := t.destByName(refs[i].Dest)
			if err != nil {
				continue // told when it is claimed or settled
			}
			k, lane := refKey(d.id, &refs[i]), lanePrefix(d.id, refs[i].Lane)
			needs = append(needs, Need{Bucket: bucketOutbox, Key: k.prefix(), First: fewJobs}, Need{Bucket: bucketClaims, Key: k.bytes()},
				Need{Bucket: bucketLanes, Key: lane, First: fewJobs}, Need{Bucket: bucketLaneState, Key: lane})
			if d.AppendOnly {
				needs = append(needs, Need{Bucket: bucketTried, Key: lane, First: fewJobs})
			}
		}
		return needs
	})
	t.tx.Expect(func() (needs []Need) {
		for i := range refs {
			if d, err := t.destByName(refs[i].Dest); err == nil {
				needs = append(needs, t.needsOfJob(d, &refs[i])...)
			}
		}
		return needs
	})
}

func (t *txn) needsOfJob(d *destRec, ref *store.JobRef) (needs []Need) {
	j, err := t.findJob(d, ref, true)
	if err != nil || j == nil {
		return nil
	}
	needs = []Need{
		{Bucket: bucketReceipts, Key: receiptKey(j.seen, j.id, d.id)},
		{Bucket: bucketReceipts, Key: receiptKey(j.seen, j.id, 0)},
		{Bucket: bucketWatches, Key: watchKey(store.TranscriptWatch, j.id)},
	}
	prefix := lanePrefix(d.id, ref.Lane)
	c := t.bucket(bucketLanes).Within(prefix)
	k, v := c.Seek(prefix)
	for n := 0; n < fewJobs && bytes.HasPrefix(k, prefix); n++ {
		if prio, _, ok := decodeLaneEntry(v); ok {
			needs = append(needs, Need{Bucket: bucketOutbox, Key: jobOfLane(k, prio)})
		}
		k, v = c.Next()
	}
	return append(needs, t.needsOfLane(d, ref.Lane)...)
}

// expectLanes tells that a scan is about to look at the lanes of the next jobs from a key of the outbox on.
func (t *txn) expectLanes(from, prefix []byte) {
	t.tx.Expect(func() (needs []Need) {
		c := t.bucket(bucketOutbox).Cursor()
		k, v := c.Seek(from)
		for n := 0; n < scanBlock && bytes.HasPrefix(k, prefix); n++ {
			if h, ok := decodeHead(v); ok {
				needs = append(needs, Need{Bucket: bucketLanes, Key: append(prefix[:prioAt:prioAt], h.lane[:]...), First: 1})
			}
			k, v = c.Next()
		}
		return needs
	})
}
