package records

import (
	"bytes"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// maxLate is how many late calls are kept by name.
const maxLate = 100

var keyLate = []byte("late")

// lateRec is what is kept of late calls, besides their number.
type lateRec struct {
	sums   []store.Lateness
	recent []store.LateCall // oldest first; those that the live poll found itself, within its overlap, are only counted
}

func (r *lateRec) encode(key []byte) []byte {
	e := newEnc(64 + 48*len(r.recent))
	e.uint(uint64(len(r.sums)))
	for _, s := range r.sums {
		e.str(s.By)
		e.int64(s.Found)
		e.int64(int64(s.Most))
		e.time(s.Last)
	}
	e.uint(uint64(len(r.recent)))
	for _, c := range r.recent {
		e.str(c.ID)
		e.time(c.When)
		e.time(c.Seen)
		e.str(c.By)
	}
	return e.seal(key)
}

func decodeLate(b []byte) (r lateRec, ok bool) {
	d := &dec{b: b}
	for range d.count() {
		r.sums = append(r.sums, store.Lateness{By: d.str(), Found: d.int64(), Most: time.Duration(d.int64()), Last: d.time()})
	}
	for range d.count() {
		r.recent = append(r.recent, store.LateCall{ID: d.str(), When: d.time(), Seen: d.time(), By: d.str()})
	}
	return r, d.done()
}

func (t *txn) lateCalls() (*lateRec, error) {
	r, err := load(t.bucket(bucketMeta), bucketMeta, keyLate, decodeLate)
	if r == nil && err == nil {
		r = &lateRec{}
	}
	return r, err
}

// prompt is how long before a poll a call may have ended that only the next one is shown, without being late: VInfer needs a moment to
// list a call, and else nearly every poll would count some.
const prompt = 5 * time.Second

// late counts a call that was not known though the time of its end had been read.
func (in *ingestTx) late(id string, when time.Time) error {
	by := in.p.Stream
	if (by == store.LiveStream || by == store.AgainStream) && !when.Before(in.watermark.Add(-prompt)) {
		return nil
	}
	in.counts.Late++
	in.state.late++
	in.metaDirty = true
	r, err := in.lateCalls()
	if err != nil {
		return err
	}
	switch polled := by == store.LiveStream || by == store.AgainStream; {
	case !in.p.Reach.IsZero() && !when.Before(in.p.Reach):
		by = store.LiveStream // it lies in the lookback, which is read again
	case polled && !in.p.Reach.IsZero():
		by = store.SweepStream
	case polled:
		by = store.LiveStream
	}
	r.add(store.LateCall{ID: id, When: when, Seen: in.at, By: by})
	return in.put(bucketMeta, keyLate, r.encode(keyLate))
}

func (r *lateRec) add(c store.LateCall) {
	var s *store.Lateness
	for i := range r.sums {
		if r.sums[i].By == c.By {
			s = &r.sums[i]
		}
	}
	if s == nil {
		r.sums = append(r.sums, store.Lateness{By: c.By})
		s = &r.sums[len(r.sums)-1]
	}
	s.Found++
	s.Most = max(s.Most, c.Seen.Sub(c.When))
	s.Last = c.Seen
	if c.By == store.LiveStream || len(c.ID) > 200 { // a record must stay small
		return
	}
	if len(r.recent) >= maxLate {
		r.recent = append(r.recent[:0], r.recent[1:]...)
	}
	r.recent = append(r.recent, c)
}

// Owed implements store.Store.
func (d *DB) Owed(from, to time.Time) (list []store.Owed, err error) {
	err = d.view(func(t *txn) error {
		list = nil
		all, err := t.allDests()
		if err != nil {
			return err
		}
		dead, err := t.deadBetween(from, to)
		if err != nil {
			return err
		}
		for _, r := range all {
			o := store.Owed{Dest: r.Name, Dead: dead[r.id]}
			for _, prio := range []byte{0, 1, 2} {
				o.Pending += t.jobsBetween(r.id, prio, from, to)
			}
			if o.Pending > 0 || o.Dead > 0 {
				list = append(list, o)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// jobsBetween counts a destination's jobs of calls that ended after from and not after to.
func (t *txn) jobsBetween(dest uint16, prio byte, from, to time.Time) (n int) {
	prefix := append(u16Key(dest), prio)
	begin := appendTime(bytes.Clone(prefix), from.Add(time.Microsecond))
	end := appendTime(bytes.Clone(prefix), to.Add(time.Microsecond))
	c := t.bucket(bucketOutbox).Cursor()
	for k, _ := c.Seek(begin); k != nil && bytes.Compare(k, end) < 0; k, _ = c.Next() {
		n++
	}
	return n
}

// deadBetween counts the dead letters of such calls, by destination.
func (t *txn) deadBetween(from, to time.Time) (map[uint16]int, error) {
	n := map[uint16]int{}
	err := each(t.bucket(bucketDead), bucketDead, decodeDead, func(_ []byte, r *deadRec) error {
		if r.job.dest != 0 && r.job.when.After(from) && !r.job.when.After(to) {
			n[r.job.dest]++
		}
		return nil
	})
	return n, err
}
