package records

import (
	"bytes"
	"fmt"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// addJob queues a job and counts it.
func (t *txn) addJob(d *destRec, j *jobRec) error {
	if t.bucket(bucketOutbox).Get(j.bytes()) != nil {
		// The call was forgotten while its job waited, and is new again.
		return t.writeJob(j)
	}
	if err := t.writeJob(j); err != nil {
		return err
	}
	d.Pending++
	t.markChanged(d)
	return t.count(j, func(b *store.Backfill) { b.Queued++ })
}

// count changes the counters of the job's backfill. Transcripts come after it and are not part of it.
func (t *txn) count(j *jobRec, f func(*store.Backfill)) error {
	if j.kind != store.CallJob {
		return nil
	}
	b, err := t.backfill(j.backfill)
	if b != nil {
		f(b)
	}
	return err
}

// writeJob puts a job under its key and into the lane index.
func (t *txn) writeJob(j *jobRec) error {
	k := j.bytes()
	if err := t.put(bucketOutbox, k, j.encode(k)); err != nil {
		return err
	}
	if err := t.put(bucketLanes, laneKey(k, j.lane), laneEntry(j.prio, j.window)); err != nil {
		return err
	}
	return t.noteTried(k, j)
}

// noteTried keeps which jobs have been tried, so that a long lane need not be walked to find one.
func (t *txn) noteTried(k []byte, j *jobRec) error {
	if !j.tried() {
		return nil
	}
	return t.put(bucketTried, laneKey(k, j.lane), []byte{})
}

// saveJob writes a job whose key, lane and window are as before.
func (t *txn) saveJob(j *jobRec) error {
	k := j.bytes()
	if err := t.put(bucketOutbox, k, j.encode(k)); err != nil {
		return err
	}
	return t.noteTried(k, j)
}

func (t *txn) eraseJob(j *jobRec) error {
	k := j.bytes()
	if err := t.del(bucketOutbox, k); err != nil {
		return err
	}
	if j.tried() {
		if err := t.del(bucketTried, laneKey(k, j.lane)); err != nil {
			return err
		}
	}
	return t.del(bucketLanes, laneKey(k, j.lane))
}

// dropJob takes a job out of the outbox and the count.
func (t *txn) dropJob(d *destRec, j *jobRec) error {
	d.Pending--
	t.markChanged(d)
	return t.eraseJob(j)
}

// makeLive makes a backfill's job live work of a window; 0: released. The caller sees to the backfill's count and the ledger.
func (t *txn) makeLive(j *jobRec, window uint64) error {
	if err := t.eraseJob(j); err != nil {
		return err
	}
	j.backfill, j.prio, j.window = 0, prioOf(0, j.kind), window
	return t.writeJob(j)
}

func openJob(k, v []byte) (*jobRec, error) {
	j, err := open(bucketOutbox, k, v, decodeJob)
	if err != nil {
		return nil, err
	}
	key, ok := parseJobKey(k)
	if !ok {
		return nil, damaged(bucketOutbox, k, "it is not a key of a job")
	}
	j.jobKey = key
	return j, nil
}

// jobsOf returns the jobs of one event of one call at one destination, older revisions first.
func (t *txn) jobsOf(k jobKey) ([]*jobRec, error) {
	var jobs []*jobRec
	prefix := k.prefix()
	c := t.bucket(bucketOutbox).Within(prefix)
	for key, v := c.Seek(prefix); bytes.HasPrefix(key, prefix); key, v = c.Next() {
		j, err := openJob(key, v)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

func refKey(dest uint16, r *store.JobRef) jobKey {
	return jobKey{dest: dest, prio: prioOf(r.Backfill, r.Kind), when: round(r.When), id: r.ID, kind: r.Kind, rev: r.Revision}
}

// findJob returns the job that ref names, or the revision that has replaced it; nil if there is none.
func (t *txn) findJob(d *destRec, r *store.JobRef, newer bool) (*jobRec, error) {
	k := refKey(d.id, r)
	key := k.bytes()
	if v := t.bucket(bucketOutbox).Get(key); v != nil {
		return openJob(key, v)
	}
	if !newer {
		return nil, nil
	}
	prefix := k.prefix()
	found, v := t.bucket(bucketOutbox).Within(prefix).Seek(key)
	if !bytes.HasPrefix(found, prefix) {
		return nil, nil
	}
	return openJob(found, v)
}

// headOf returns the outbox key of a lane's first released job; nil if it has none.
func (t *txn) headOf(dest uint16, lane store.Lane) ([]byte, error) {
	prefix := lanePrefix(dest, lane)
	c := t.bucket(bucketLanes).Within(prefix)
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		prio, window, ok := decodeLaneEntry(v)
		if !ok {
			return nil, damaged(bucketLanes, k, "it cannot be decoded")
		}
		released, err := t.released(window)
		if err != nil {
			return nil, err
		}
		if released {
			return jobOfLane(k, prio), nil
		}
	}
	return nil, nil
}

// refAt reads the scheduling part of a job.
func refAt(dest string, b Bucket, key []byte) (store.JobRef, error) {
	v := b.Get(key)
	k, ok := parseJobKey(key)
	h, ok2 := decodeHead(v)
	if !ok || !ok2 {
		return store.JobRef{}, damaged(bucketOutbox, key, "it cannot be decoded")
	}
	return headRef(dest, k, h), nil
}

// maxScan bounds how many jobs one Scan looks at, so that a big backlog of few lanes is not held up in one transaction.
const maxScan = 8192

// scanBlock is of how many jobs the lanes are read together.
const scanBlock = 256

// Scan implements store.Store.
func (d *DB) Scan(dest string, from []byte, n int, except map[store.Lane]struct{}) (jobs []store.JobRef, next []byte, err error) {
	err = d.view(func(t *txn) error {
		jobs, next = nil, nil
		to, err := t.destByName(dest)
		if err != nil || to.Pending == 0 {
			return err
		}
		prefix := u16Key(to.id)
		if len(from) == 0 {
			from = prefix
		} else if !bytes.HasPrefix(from, prefix) {
			return fmt.Errorf("a scan of %q cannot go on from another destination's place", dest)
		}
		b := t.bucket(bucketOutbox)
		promoted := map[store.Lane]bool{}
		looked := 0
		c := b.Cursor()
		for k, v := c.Seek(from); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if len(jobs) >= n || looked >= maxScan {
				next = bytes.Clone(k)
				return nil
			}
			if looked%scanBlock == 0 {
				t.expectLanes(k, prefix)
			}
			looked++
			ref, err := t.scanned(b, dest, k, v, promoted, except)
			if err != nil {
				return err
			}
			if ref != nil {
				jobs = append(jobs, *ref)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return jobs, next, nil
}

// scanned returns the job at k if it is the head of its lane. A live job that waits behind a backfill's job of its lane brings that one
// forward: otherwise it would wait for the whole backfill.
func (t *txn) scanned(b Bucket, dest string, k, v []byte, promoted map[store.Lane]bool, except map[store.Lane]struct{}) (*store.JobRef, error) {
	h, ok := decodeHead(v)
	key, ok2 := parseJobKey(k)
	if !ok || !ok2 {
		return nil, damaged(bucketOutbox, k, "it cannot be decoded")
	}
	if _, skip := except[h.lane]; skip || promoted[h.lane] {
		return nil, nil
	}
	if released, err := t.released(h.window); err != nil || !released {
		return nil, err
	}
	head, err := t.headOf(key.dest, h.lane)
	switch {
	case err != nil || head == nil:
		return nil, err
	case bytes.Equal(head, k):
		ref := headRef(dest, key, h)
		return &ref, nil
	case head[prioAt] > k[prioAt]:
		promoted[h.lane] = true
		ref, err := refAt(dest, b, head)
		ref.Urgent = true
		return &ref, err
	}
	return nil, nil
}
