package records

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// Claim implements store.Store.
func (d *DB) Claim(ctx context.Context, refs []store.JobRef) (claimed []store.Claimed, err error) {
	claim := func(t *txn) error {
		claimed = make([]store.Claimed, len(refs))
		for i := range refs {
			c := &claimed[i]
			c.Job, c.Err = t.claim(&refs[i])
			if c.Err != nil && !errors.Is(c.Err, store.ErrDamaged) && !errors.Is(c.Err, store.ErrUnknown) {
				return c.Err
			}
		}
		return nil
	}
	durable := false
	err = d.view(func(t *txn) error {
		durable = false
		for i := range refs {
			if to, err := t.destByName(refs[i].Dest); err == nil && to.AppendOnly {
				durable = true
				return nil
			}
		}
		t.expectClaims(refs)
		return claim(t)
	})
	if err == nil && durable {
		err = d.queue.do(ctx, refs, claim)
	}
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// claim reads a job for an attempt. For an append-only destination it also records that the attempt may begin.
func (t *txn) claim(ref *store.JobRef) (*store.Job, error) {
	d, err := t.destByName(ref.Dest)
	if err != nil {
		return nil, err
	}
	j, err := t.findJob(d, ref, true)
	if err != nil || j == nil {
		return nil, err
	}
	job, err := t.asJob(d, j)
	if err != nil || !d.AppendOnly {
		return job, err
	}
	return job, t.put(bucketClaims, j.bytes(), []byte{})
}

// asJob is a job with all that its delivery needs.
func (t *txn) asJob(d *destRec, j *jobRec) (*store.Job, error) {
	job := &store.Job{
		JobRef: j.ref(d.Name), Body: j.body, Refs: j.refs, First: j.first(), Changed: j.changed,
		Fails: j.fails, FirstFail: j.firstFail, LastError: j.lastError, Seen: j.seen,
	}
	receipt, err := t.receipt(j.seen, j.id, j.dest)
	if err != nil {
		return nil, err
	}
	if receipt != nil {
		job.Refs = mergeRefs(receipt.refs, j.refs)
	}
	s, _, err := t.laneState(j.dest, j.lane)
	if err != nil {
		return nil, err
	}
	if s == nil {
		s = &laneState{}
	}
	job.Older = later(s.deliveredWhen, s.deliveredID, j.when, j.id)
	if d.AppendOnly && !job.Older {
		if job.Older, err = t.newerTried(j); err != nil {
			return nil, err
		}
	}
	job.OlderStatus = later(s.statusWhen, s.statusID, j.when, j.id)
	if !d.AppendOnly && s.deliveredID != "" && s.deliveredID != j.id {
		job.Before, err = t.refsOf(j.dest, s.deliveredID)
	}
	return job, err
}

// refsOf returns the refs of a delivered call; nil: there are none, or they are not kept any more.
func (t *txn) refsOf(dest uint16, id string) (map[string]string, error) {
	c, _, err := t.call(id)
	if err != nil || c == nil {
		return nil, err
	}
	receipt, err := t.receipt(c.seen, id, dest)
	if err != nil || receipt == nil {
		return nil, err
	}
	return receipt.refs, nil
}

// shareRefs adds refs to those of the lane's newest call, from which the lane's next call gets them. What a delivered call itself has is in its own refs.
func (t *txn) shareRefs(j *jobRec, refs map[string]string) error {
	if len(refs) == 0 {
		return nil
	}
	s, _, err := t.laneState(j.dest, j.lane)
	if err != nil || s == nil || s.deliveredID == j.id {
		return err
	}
	c, _, err := t.call(s.deliveredID)
	if err != nil || c == nil {
		return err
	}
	receipt, err := t.receipt(c.seen, s.deliveredID, j.dest)
	if err != nil || receipt == nil {
		return err
	}
	receipt.refs = mergeRefs(refs, receipt.refs)
	return t.putReceipt(c.seen, s.deliveredID, j.dest, receipt)
}

// newerTried tells whether a later call of the job's lane may have arrived: an attempt was made, and it waits for the next one. Its answer may have been
// lost. A destination that drops what comes again under one key would then have this one as its newest.
func (t *txn) newerTried(j *jobRec) (bool, error) {
	prefix := lanePrefix(j.dest, j.lane)
	c := t.bucket(bucketTried).Within(prefix)
	for k, _ := c.Seek(laneKey(j.bytes(), j.lane)); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		x, ok := parseJobKey(jobOfLane(k, j.prio))
		if !ok {
			return false, damaged(bucketTried, k, "it cannot be decoded")
		}
		if x.kind == store.CallJob && later(x.when, x.id, j.when, j.id) {
			return true, nil
		}
	}
	return false, nil
}

// claimed tells whether an append-only destination may be getting the job now.
func (t *txn) claimed(job []byte) bool { return t.bucket(bucketClaims).Get(job) != nil }

// Reclaim is to run before the first claim of a process: a job that another one had claimed may have arrived, so its attempt counts.
func (d *DB) Reclaim() error { return d.update((*txn).recoverClaims) }

func (t *txn) recoverClaims() error {
	var claims [][]byte
	c := t.bucket(bucketClaims).Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		claims = append(claims, bytes.Clone(k))
	}
	for _, k := range claims {
		if err := t.del(bucketClaims, k); err != nil {
			return err
		}
		v := t.bucket(bucketOutbox).Get(k)
		if v == nil {
			continue
		}
		j, err := openJob(k, v)
		if errors.Is(err, store.ErrDamaged) {
			continue // told when it is claimed
		}
		if err != nil {
			return err
		}
		j.attempts++
		j.flags |= flagTried
		if err := t.saveJob(j); err != nil {
			return err
		}
	}
	return nil
}

// SaveRefs implements store.Store.
func (d *DB) SaveRefs(ctx context.Context, ref store.JobRef, refs map[string]string) error {
	return d.queue.do(ctx, []store.JobRef{ref}, func(t *txn) error {
		to, err := t.destByName(ref.Dest)
		if err != nil {
			return err
		}
		return t.saveRefs(to, &ref, refs)
	})
}

func (t *txn) saveRefs(d *destRec, ref *store.JobRef, refs map[string]string) error {
	j, err := t.findJob(d, ref, !d.AppendOnly)
	if err != nil || j == nil {
		return err
	}
	return t.addRefs(j, refs)
}

// addRefs keeps refs with a job, if they are new.
func (t *txn) addRefs(j *jobRec, refs map[string]string) error {
	merged := mergeRefs(j.refs, refs)
	if maps.Equal(merged, j.refs) {
		return nil
	}
	j.refs = merged
	return t.saveJob(j)
}

// Settle implements store.Store.
func (d *DB) Settle(ctx context.Context, o store.Outcome) (s store.Settled, err error) {
	err = d.queue.do(ctx, []store.JobRef{o.Job}, func(t *txn) (err error) {
		s = store.Settled{}
		o := o // settling may change the verdict, for this transaction
		if s.Halted, err = t.settle(&o); err != nil {
			return err
		}
		s.Next, err = t.nextOf(&o.Job)
		return err
	})
	if err != nil {
		return store.Settled{}, err
	}
	return s, nil
}

// nextOf returns the next released job of a job's lane.
func (t *txn) nextOf(r *store.JobRef) (*store.JobRef, error) {
	d, err := t.destByName(r.Dest)
	if err != nil {
		return nil, err
	}
	head, err := t.headOf(d.id, r.Lane)
	if err != nil || head == nil {
		return nil, err
	}
	next, err := refAt(r.Dest, t.bucket(bucketOutbox), head)
	return &next, err
}

func (t *txn) settle(o *store.Outcome) (halted string, err error) {
	d, err := t.destByName(o.Job.Dest)
	if err != nil {
		return "", err
	}
	if k := refKey(d.id, &o.Job).bytes(); t.claimed(k) {
		if err := t.del(bucketClaims, k); err != nil {
			return "", err
		}
	}
	j, err := t.findJob(d, &o.Job, !d.AppendOnly)
	if err != nil || j == nil {
		return "", err
	}
	replaced := j.rev != o.Job.Revision
	if o.Verdict == store.Dead && o.Signature != "" && d.Halted != "" {
		o.Verdict = store.Release // it was in flight when the destination was halted, for this error most likely: it stays with the others
	}
	if o.Error != "" && (o.Verdict == store.Retry || o.Verdict == store.Dead || o.Verdict == store.Release && o.Limited) {
		d.LastError, d.LastErrorAt = o.Error, round(o.At)
		t.markChanged(d)
	}
	switch o.Verdict {
	case store.Delivered:
		return "", t.delivered(d, j, o, replaced)
	case store.Retry:
		return "", t.retried(j, o)
	case store.Dead:
		if replaced {
			return "", t.addRefs(j, o.Refs) // what was refused is not what waits now
		}
		return t.refused(d, j, o)
	case store.Release:
		if !o.Due.IsZero() {
			j.due = round(o.Due)
			j.refs = mergeRefs(j.refs, o.Refs)
			return "", t.saveJob(j)
		}
		return "", t.addRefs(j, o.Refs)
	case store.Skip:
		if replaced {
			return "", t.addRefs(j, o.Refs)
		}
		return "", t.skipped(d, j, o)
	}
	return "", fmt.Errorf("there is no verdict %d", o.Verdict)
}

func (t *txn) delivered(d *destRec, j *jobRec, o *store.Outcome, replaced bool) error {
	refs := mergeRefs(j.refs, o.Refs)
	ask := false
	err := t.editReceipt(j, func(r *receiptRec) {
		r.refs = mergeRefs(r.refs, refs)
		r.at = round(o.At)
		if j.kind == store.TranscriptJob {
			r.warnings = append(r.warnings, o.Warnings...)
			return
		}
		r.state, r.rev, r.attempts, r.note, r.warnings = stateDelivered, o.Job.Revision, j.attempts+1, "", slices.Clone(o.Warnings)
		if o.TaskLeft {
			r.warnings = append(r.warnings, "its follow-up task was overdue and is skipped")
		}
		ask = o.Transcript && !r.transcript
		r.transcript = r.transcript || ask
	})
	if err != nil {
		return err
	}
	if j.kind == store.CallJob {
		if err := t.noteDelivery(j, o.SetStatus, o.At); err != nil {
			return err
		}
		if err := t.shareRefs(j, o.LaneRefs); err != nil {
			return err
		}
	} else if err := t.note(j.seen, j.id, o.At, "transcript delivered to "+d.Name); err != nil {
		return err
	}
	if ask {
		if err := t.awaitTranscript(j, o.At); err != nil {
			return err
		}
	}
	d.Delivered++
	d.LastSuccess = round(o.At)
	d.rejections = slices.DeleteFunc(d.rejections, func(s rejectionStreak) bool { return s.sort == o.Sort })
	if j.kind == store.CallJob {
		tookCall(&d.LeftOut)
	}
	t.markChanged(d)
	t.leave(d, o.LeftOut...)
	if o.TaskLeft {
		if err := t.count(j, func(b *store.Backfill) { b.TasksLeft++ }); err != nil {
			return err
		}
	}
	if !replaced {
		if err := t.count(j, func(b *store.Backfill) { b.Delivered++ }); err != nil {
			return err
		}
		return t.dropJob(d, j)
	}
	// The newer revision counts as a job of its own from here.
	j.flags &^= flagFirst
	j.refs = refs
	if err := t.count(j, func(b *store.Backfill) { b.Queued++; b.Delivered++ }); err != nil {
		return err
	}
	return t.saveJob(j)
}

func (t *txn) retried(j *jobRec, o *store.Outcome) error {
	j.attempts++
	j.flags |= flagTried
	j.due = round(o.Due)
	j.lastError = o.Error
	j.refs = mergeRefs(j.refs, o.Refs)
	if o.CountFail {
		j.fails++
		if j.firstFail.IsZero() {
			j.firstFail = round(o.At)
		}
	}
	return t.saveJob(j)
}

// refused makes a job a dead letter, and halts the destination if it was one too many of a kind.
func (t *txn) refused(d *destRec, j *jobRec, o *store.Outcome) (halted string, err error) {
	if err := t.dropJob(d, j); err != nil {
		return "", err
	}
	j.attempts++
	j.lastError = o.Error
	j.refs = mergeRefs(j.refs, o.Refs)
	if err := t.promoteNext(j); err != nil {
		return "", err
	}
	j.flags |= flagTried
	num, err := t.addDead(&deadRec{job: *j, at: round(o.At), err: o.Error, request: o.Request})
	if err != nil {
		return "", err
	}
	d.Dead++
	if err := t.count(j, func(b *store.Backfill) { b.Dead++ }); err != nil {
		return "", err
	}
	err = t.editReceipt(j, func(r *receiptRec) {
		r.at, r.refs = round(o.At), mergeRefs(r.refs, j.refs)
		if j.kind == store.CallJob {
			r.state, r.attempts, r.note = stateDead, j.attempts, o.Error
		}
	})
	if err != nil || o.HaltAfter <= 0 {
		return "", err
	}
	return t.refusedAgain(d, o, rejection{num: num, lane: j.lane})
}

func (t *txn) skipped(d *destRec, j *jobRec, o *store.Outcome) error {
	if err := t.dropJob(d, j); err != nil {
		return err
	}
	if err := t.count(j, func(b *store.Backfill) { b.Queued-- }); err != nil {
		return err
	}
	if j.kind == store.CallJob && j.first() {
		t.leaveCall(d, o.At, o.Error, o.LeftOut...)
	}
	if err := t.promoteNext(j); err != nil {
		return err
	}
	return t.editReceipt(j, func(r *receiptRec) {
		r.at, r.refs = round(o.At), mergeRefs(r.refs, mergeRefs(j.refs, o.Refs))
		if j.kind == store.CallJob {
			r.state, r.attempts, r.note, r.warnings = stateSkipped, j.attempts+1, o.Error, o.Warnings
		}
	})
}

// promoteNext makes the next revision of a call the first one, when the one that was it has left the outbox without arriving.
func (t *txn) promoteNext(j *jobRec) error {
	if j.kind != store.CallJob || !j.first() {
		return nil
	}
	jobs, err := t.jobsOf(j.jobKey)
	if err != nil || len(jobs) == 0 || jobs[0].tried() {
		return err
	}
	jobs[0].flags |= flagFirst
	return t.saveJob(jobs[0])
}
