package records

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// known takes a row whose id the ledger has. If it brings nothing new and was seen in these days, nothing is written.
func (in *ingestTx) known(r *store.Row, rec *ledgerRec, gen uint64) error {
	changed, merged := diff(rec.fields, r.Fields)
	dirty := gen < in.generation
	if len(changed) > 0 {
		dirty = true
		rec.fields = merged
		rec.rev++
		in.counts.Changed++
		if err := in.note(rec.seen, r.ID, in.at, fmt.Sprintf("revision %d: %s", rec.rev, in.names(changed))); err != nil {
			return err
		}
		for i := range rec.dests {
			if rec.dests[i].rev == 0 {
				continue
			}
			if err := in.revise(r, rec, &rec.dests[i], changed); err != nil {
				return err
			}
		}
		if err := in.mergeWatch(store.TranscriptWatch, r.ID, r.Body); err != nil {
			return err
		}
	}
	promoted, err := in.promote(r, rec)
	if err != nil {
		return err
	}
	dirty = dirty || promoted
	for i := range r.Targets {
		fresh, err := in.offer(r, rec, &r.Targets[i], len(changed) > 0)
		if err != nil {
			return err
		}
		dirty = dirty || fresh
	}
	if !dirty {
		return nil
	}
	k := callKey(r.ID)
	return in.keep(bucketLedger, in.generation, k, rec.encode(k), true, gen)
}

// promote makes live what a backfill queued and the live poll now meets ahead of the watermark: the poll would have brought it, and it
// must not wait for all that the backfill brought besides.
func (in *ingestTx) promote(r *store.Row, rec *ledgerRec) (did bool, err error) {
	if in.p.Stream != store.LiveStream || !rec.when.After(in.watermark) {
		return false, nil
	}
	for i := range rec.dests {
		e := &rec.dests[i]
		if e.backfill == 0 || e.rev == 0 {
			continue
		}
		jobs, err := in.jobsOf(jobKey{dest: e.dest, prio: prioOf(e.backfill, store.CallJob), when: rec.when, id: r.ID, kind: store.CallJob, rev: rec.rev})
		if err != nil {
			return did, err
		}
		if len(jobs) == 0 || slices.ContainsFunc(jobs, func(j *jobRec) bool { return in.claimed(j.bytes()) }) {
			continue // it has been delivered, or is on its way
		}
		w, err := in.window(r)
		if err != nil {
			return did, err
		}
		for _, j := range jobs {
			if err := in.count(j, func(b *store.Backfill) { b.Queued-- }); err != nil {
				return did, err
			}
			if err := in.makeLive(j, w); err != nil {
				return did, err
			}
			if d, err := in.destByID(e.dest); err == nil && !slices.Contains(in.counts.Fresh, d.Name) {
				in.counts.Fresh = append(in.counts.Fresh, d.Name)
			}
		}
		e.backfill, did = 0, true
	}
	return did, nil
}

// offer queues a known call for a target that has never got it: one that left it out and does not any more, when it changes; and in a
// backfill, which the operator ran for that, any.
func (in *ingestTx) offer(r *store.Row, rec *ledgerRec, target *store.Target, changed bool) (bool, error) {
	d, err := in.destByName(target.Dest)
	if err != nil {
		return false, err
	}
	e := rec.dest(d.id)
	switch {
	case e != nil && e.rev != 0:
		return false, nil
	case e != nil && target.Skip != "":
		return false, nil
	case e != nil && !changed && in.p.Backfill == 0:
		return false, nil
	case e == nil && in.p.Backfill == 0:
		return false, nil
	}
	if e == nil {
		rec.dests = append(rec.dests, ledgerDest{dest: d.id})
	}
	return true, in.decide(r, rec, d, target)
}

func (in *ingestTx) names(tags []byte) string {
	names := make([]string, 0, len(tags))
	for _, tag := range tags {
		name, known := in.p.FieldNames[tag]
		if !known {
			name = "field " + strconv.Itoa(int(tag))
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// revise queues a new revision for a destination that has had the call, or brings the job that waits up to date.
func (in *ingestTx) revise(r *store.Row, rec *ledgerRec, e *ledgerDest, changed []byte) error {
	d, err := in.destByID(e.dest)
	if err != nil {
		if errors.Is(err, store.ErrUnknown) {
			return nil
		}
		return err
	}
	key := jobKey{dest: d.id, prio: prioOf(e.backfill, store.CallJob), when: rec.when, id: r.ID, kind: store.CallJob, rev: rec.rev}
	jobs, err := in.jobsOf(key)
	if err != nil {
		return err
	}
	if len(jobs) > 0 {
		last := jobs[len(jobs)-1]
		free := in.mayChange(d, last)
		e.rev = rec.rev
		in.queued(d)
		if free {
			return in.replace(r, last, rec.rev, changed, len(jobs) == 1)
		}
		// What may have arrived stays as it is; the change follows as a revision of its own.
		w, err := in.window(r)
		if err != nil {
			return err
		}
		return in.addJob(d, &jobRec{
			jobKey: key, jobHead: jobHead{window: w, lane: last.lane, backfill: last.backfill},
			seen: rec.seen, changed: changed, body: store.Complete(last.body, r.Body),
		})
	}
	if d.Orphaned {
		return nil
	}
	w, err := in.window(r)
	if err != nil {
		return err
	}
	j := &jobRec{
		jobKey: key, jobHead: jobHead{window: w, lane: r.Lane, backfill: in.p.Backfill},
		seen: rec.seen, changed: changed, body: r.Body,
	}
	j.prio = prioOf(j.backfill, store.CallJob)
	receipt, err := in.receipt(rec.seen, r.ID, d.id)
	if err != nil {
		return err
	}
	if receipt == nil || receipt.rev == 0 {
		// Given up before it arrived: what it would have brought comes with this one.
		dead, err := in.newestDead(d.id, r.ID)
		if err != nil {
			return err
		}
		if dead != nil {
			j.body, j.changed = store.Complete(dead.job.body, r.Body), union(dead.job.changed, changed)
			j.flags |= dead.job.flags & flagFirst
		}
		if receipt != nil { // else it is forgotten what became of it
			j.flags |= flagFirst
		}
	}
	e.rev, e.backfill = rec.rev, j.backfill
	in.queued(d)
	return in.addJob(d, j)
}

// mayChange tells whether a job's body may still be replaced.
func (in *ingestTx) mayChange(d *destRec, j *jobRec) bool {
	return !d.AppendOnly || !j.tried() && !in.claimed(j.bytes())
}

// replace makes a waiting job the newer revision.
func (in *ingestTx) replace(r *store.Row, j *jobRec, rev int, changed []byte, alone bool) error {
	if err := in.eraseJob(j); err != nil {
		return err
	}
	j.rev, j.changed, j.body = rev, union(j.changed, changed), store.Complete(j.body, r.Body)
	if alone && !j.tried() && j.lane != r.Lane {
		t := j.jobKey
		t.kind, t.prio = store.TranscriptJob, prioOf(j.backfill, store.TranscriptJob)
		others, err := in.jobsOf(t)
		if err != nil {
			return err
		}
		if len(others) == 0 {
			j.lane = r.Lane
		}
	}
	return in.writeJob(j)
}
