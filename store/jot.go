package store

import (
	"errors"
	"maps"
	"slices"
)

// jot writes into the journal what can go there and acknowledges it. It returns what has to go into the buckets.
func (d *DB) jot(group []*op) (rest []*op) {
	d.gate.Lock()
	defer d.gate.Unlock()
	d.ahead.mu.RLock()
	worked := d.ahead.worked
	d.ahead.mu.RUnlock()
	if len(group) == 0 || !d.journal.ready(worked) {
		return group
	}
	entries, jotted, rest := d.entriesOf(group)
	if len(entries) == 0 {
		return rest
	}
	if d.beforeJot != nil {
		d.beforeJot()
	}
	err := d.journal.append(entries, worked)
	d.ahead.mu.Lock()
	if err != nil {
		for _, e := range entries {
			d.ahead.forget(e)
		}
		d.ahead.mu.Unlock()
		return group
	}
	d.ahead.entries = append(d.ahead.entries, entries...)
	d.ahead.mu.Unlock()
	for _, o := range jotted {
		close(o.ack)
	}
	d.schedule()
	return rest
}

// scrubJournal works in what is in the journal and overwrites it on the disk.
func (d *DB) scrubJournal() error {
	d.gate.Lock()
	defer d.gate.Unlock()
	if err := d.workIn(); err != nil || d.journal.f == nil {
		return err
	}
	return errors.Join(zero(d.journal.f), d.journal.remove())
}

// entriesOf lets each op of a group say what the journal is to have of it. What they say can be seen from then on: by those that come after, and
// by who looks for the next job.
func (d *DB) entriesOf(group []*op) (entries []*entry, jotted, rest []*op) {
	d.ahead.mu.Lock()
	defer d.ahead.mu.Unlock()
	var e *entry
	err := d.access(false, &d.ahead, func(t *txn) error {
		for _, o := range group {
			e = &entry{}
			if err := o.jot(t, e); err != nil { // whatever it is: the long way tells
				d.ahead.forget(e)
				rest = append(rest, o)
				continue
			}
			jotted = append(jotted, o)
			entries = append(entries, e)
		}
		return nil
	})
	if err != nil {
		for _, e := range append(entries, e) {
			if e != nil {
				d.ahead.forget(e)
			}
		}
		return nil, nil, group
	}
	return entries, jotted, rest
}

// jotOutcome fills in an entry for a job that stands in the outbox as the outcome names it, and lets it be seen. What working it in
// will read was read when the job was claimed, or is here, so that nobody is told that it was done when it cannot be.
func (t *txn) jotOutcome(e *entry, o *Outcome) error {
	d, err := t.destByName(o.Job.Dest)
	if err != nil {
		return err
	}
	key := refKey(d.id, &o.Job).bytes()
	v := t.bucket(bucketOutbox).Get(key)
	if v == nil {
		return errBehind // it is gone, or a newer revision has replaced it
	}
	if _, err := unseal(bucketOutbox, key, v); err != nil {
		return err
	}
	h, ok := decodeHead(v)
	if !ok || t.ahead.has(d.id, h.lane, key) {
		return errBehind
	}
	if o.Transcript {
		if _, err := t.watch(TranscriptWatch, o.Job.ID); err != nil {
			return err
		}
	}
	done := *o // what the caller has is the caller's when it returns
	done.Job.Lane = h.lane
	done.Refs, done.Warnings, done.LeftOut = maps.Clone(o.Refs), slices.Clone(o.Warnings), slices.Clone(o.LeftOut)
	e.dest, e.done = d.id, &done
	t.ahead.note(e)
	return nil
}

// jotSettle fills in the entry for a delivery and the claim that goes with it. All other verdicts take the long way.
func (t *txn) jotSettle(e *entry, slot int, o *Outcome, claim *JobRef, s *Settled) error {
	if o.Verdict != Delivered || claim != nil && claim.Dest != o.Job.Dest {
		return errBehind
	}
	e.slot = slot
	err := t.jotOutcome(e, o)
	if err != nil {
		return err
	}
	if s.Next, err = t.nextOf(&e.done.Job); err != nil || claim == nil {
		return err
	}
	to, err := t.destByName(claim.Dest)
	if err == nil {
		s.Claimed, e.claim, err = t.take(to, claim)
	}
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrUnknown) {
		return nil // what was delivered is settled all the same; a Claim of its own tells
	}
	return err
}
