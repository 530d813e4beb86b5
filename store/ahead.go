package store

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// entry is one step of a worker: what became of its job or of a part of it, and which job it has from here.
type entry struct {
	num   uint64
	dest  uint16
	slot  int
	done  *Outcome // of the job; nil: nothing
	part  bool     // only the refs of done count: the job stays with the slot
	claim []byte   // outbox key; nil: none
}

func (e *entry) encode(key []byte) []byte {
	v := newEnc(256)
	v.fix16(e.dest)
	v.int(e.slot)
	v.opt(e.claim)
	v.bool(e.done != nil)
	if o := e.done; o != nil {
		v.bool(e.part)
		v.uint(o.Job.Backfill)
		v.time(o.Job.When)
		v.str(o.Job.ID)
		v.byte(byte(o.Job.Kind))
		v.int(o.Job.Revision)
		v.raw(o.Job.Lane[:])
		v.time(o.At)
		v.refs(o.Refs)
		v.bool(o.SetStatus)
		v.strs(o.Warnings)
		v.bool(o.Transcript)
		v.bool(o.TaskLeft)
		v.str(o.Sort)
		v.strs(o.LeftOut)
	}
	return v.seal(key)
}

func decodeEntry(b []byte) (e entry, ok bool) {
	d := &dec{b: b}
	e.dest, e.slot, e.claim = d.fix16(), d.int(), d.opt()
	if d.bool() {
		e.part = d.bool()
		e.done = &Outcome{Verdict: Delivered}
		e.done.Job = JobRef{Backfill: d.uint(), When: d.time(), ID: d.str(), Kind: Kind(d.byte()), Revision: d.int(), Lane: d.lane()}
		e.done.At, e.done.Refs, e.done.SetStatus, e.done.Warnings, e.done.Transcript = d.time(), d.refs(), d.bool(), d.strs(), d.bool()
		e.done.TaskLeft, e.done.Sort, e.done.LeftOut = d.bool(), d.str(), d.strs()
	}
	return e, d.done()
}

// job returns the outbox key of the job that the entry takes out of the outbox; nil if it takes none out.
func (e *entry) job() []byte {
	if e.done == nil || e.part {
		return nil
	}
	return refKey(e.dest, &e.done.Job).bytes()
}

// ahead is what the journal has ahead of the buckets: the entries that are to be worked in, and what they change for who looks for the next job.
// A transaction that sees it skips jobs that are done and takes the lanes to be as they will be.
type ahead struct {
	mu      sync.RWMutex
	entries []*entry // all are durable
	worked  uint64   // number of the last one that the buckets have
	lanes   map[laneAt]*laneAhead
}

type laneAt struct {
	dest uint16
	lane Lane
}

type laneAhead struct {
	laneState
	done  map[string]string     // outbox key of a job that is done → its call
	calls map[string][]aheadJob // the done jobs of a call, oldest first
}

type aheadJob struct {
	key  string
	refs map[string]string
}

// note lets the entry be seen. The caller holds mu.
func (a *ahead) note(e *entry) {
	k := e.job()
	if k == nil {
		return
	}
	r := &e.done.Job
	at := laneAt{e.dest, r.Lane}
	l := a.lanes[at]
	if l == nil {
		if a.lanes == nil {
			a.lanes = map[laneAt]*laneAhead{}
		}
		l = &laneAhead{done: map[string]string{}, calls: map[string][]aheadJob{}}
		a.lanes[at] = l
	}
	l.done[string(k)] = r.ID
	l.calls[r.ID] = append(l.calls[r.ID], aheadJob{string(k), e.done.Refs})
	if r.Kind == CallJob {
		l.delivered(r.When, r.ID, e.done.SetStatus)
	}
}

// forget ends that: the buckets have it, or it came to nothing. The caller holds mu.
func (a *ahead) forget(e *entry) {
	k := e.job()
	if k == nil {
		return
	}
	at := laneAt{e.dest, e.done.Job.Lane}
	l := a.lanes[at]
	if l == nil {
		return
	}
	id := e.done.Job.ID
	l.calls[id] = slices.DeleteFunc(l.calls[id], func(j aheadJob) bool { return j.key == string(k) })
	if len(l.calls[id]) == 0 {
		delete(l.calls, id)
	}
	if delete(l.done, string(k)); len(l.done) == 0 {
		delete(a.lanes, at)
	}
}

// passed notes that the buckets have all up to a number.
func (a *ahead) passed(num uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for n < len(a.entries) && a.entries[n].num <= num {
		a.forget(a.entries[n])
		n++
	}
	a.entries = a.entries[n:]
	a.worked = max(a.worked, num)
}

// pending returns the entries that wait to be worked in.
func (a *ahead) pending() []*entry {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.entries
}

// has tells whether the job under an outbox key is done. The caller holds mu; a nil receiver has nothing.
func (a *ahead) has(dest uint16, lane Lane, key []byte) bool {
	if a == nil {
		return false
	}
	l := a.lanes[laneAt{dest, lane}]
	if l == nil {
		return false
	}
	_, done := l.done[string(key)]
	return done
}

// hasCall tells whether a job of this call is done. The caller holds mu.
func (a *ahead) hasCall(dest uint16, lane Lane, id string) bool {
	if a == nil {
		return false
	}
	l := a.lanes[laneAt{dest, lane}]
	if l == nil {
		return false
	}
	return len(l.calls[id]) > 0
}

// refs returns the refs of a call's job that is done; nil: none is. The caller holds mu.
func (a *ahead) refs(dest uint16, lane Lane, id string) map[string]string {
	if a == nil {
		return nil
	}
	l := a.lanes[laneAt{dest, lane}]
	if l == nil {
		return nil
	}
	if done := l.calls[id]; len(done) > 0 {
		return done[len(done)-1].refs
	}
	return nil
}

// errBehind says that the buckets have to be brought up to the journal first.
var errBehind = errors.New("the journal is ahead")

// keyWorked is where, in the bucket of metas, the number of the last entry stands that the buckets have.
var keyWorked = []byte("worked")

func decodeNumber(b []byte) (n uint64, ok bool) {
	d := &dec{b: b}
	n = d.uint()
	return n, d.done()
}

// worked returns up to which number the buckets have what was in the journal.
func (t *txn) worked() (uint64, error) {
	n, err := load(t.bucket(bucketMeta), bucketMeta, keyWorked, decodeNumber)
	if n == nil {
		return 0, err
	}
	return *n, nil
}

// catchUp works entries in and returns the number of the last one; 0: there was nothing to do.
func (t *txn) catchUp(entries []*entry) (uint64, error) {
	if len(entries) == 0 {
		return 0, nil
	}
	have, err := t.worked()
	if err != nil {
		return 0, err
	}
	last := entries[len(entries)-1].num
	if last <= have {
		return last, nil
	}
	for _, e := range entries {
		if e.num <= have {
			continue
		}
		err := t.work(e)
		if errors.Is(err, ErrDamaged) || errors.Is(err, ErrUnknown) {
			continue // what it concerns was damaged since: that is told when it is claimed or read
		}
		if err != nil {
			return 0, err
		}
	}
	v := newEnc(8)
	v.uint(last)
	return last, t.put(bucketMeta, keyWorked, v.seal(keyWorked))
}

// work does what an entry says.
func (t *txn) work(e *entry) error {
	d, err := t.destByID(e.dest)
	if err != nil {
		return err
	}
	if e.done != nil {
		o := *e.done
		o.Job.Dest = d.Name
		if e.part {
			err = t.saveRefs(d, &o.Job, o.Refs)
		} else {
			_, err = t.settle(e.slot, &o)
		}
		if err != nil {
			return err
		}
	}
	if e.claim == nil {
		return nil
	}
	return t.put(bucketClaims, claimKey(e.dest, e.slot), e.claim)
}

const (
	workAfter = 1024 // entries, or
	workEvery = 500 * time.Millisecond
)

// workIn brings the buckets up to what the journal has now, beside whatever else goes on. On a full disk it goes by small steps: each leaves room for
// the next.
func (d *DB) workIn() error {
	entries := d.ahead.pending()
	for n := len(entries); len(entries) > 0; {
		err := d.write(entries[:n], nil)
		switch {
		case err == nil:
			entries = entries[n:]
			n = min(n, len(entries))
		case n == 1 || !errors.As(err, new(*commitError)):
			return err
		default:
			n = (n + 7) / 8
		}
	}
	return nil
}

// schedule has what is in the journal worked in soon, or at once when there is much.
func (d *DB) schedule() {
	n := len(d.ahead.pending())
	d.soon.Lock()
	defer d.soon.Unlock()
	wait := workEvery
	if n >= workAfter {
		wait = 0
	}
	if n == 0 || d.soon.closed || d.soon.timer != nil && (d.soon.now || wait > 0) {
		return
	}
	if d.soon.timer != nil {
		d.soon.timer.Stop() // where it has begun already, it does what is wanted
	}
	d.soon.now = wait == 0
	d.soon.timer = time.AfterFunc(wait, func() {
		d.soon.running.Lock()
		defer d.soon.running.Unlock()
		err := d.workIn() // an error is told to whom it stands in the way: the next change
		d.soon.Lock()
		d.soon.timer, d.soon.now = nil, false
		d.soon.Unlock()
		if err == nil {
			d.schedule()
		}
	})
}

// soon is when the journal is worked in next.
type soon struct {
	sync.Mutex
	timer   *time.Timer // nil: nothing is to be done
	now     bool
	closed  bool
	running sync.Mutex
}

// end waits for the work that goes on and lets no more begin.
func (s *soon) end() {
	s.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.Unlock()
	s.running.Lock()
	s.running.Unlock() //nolint:staticcheck // it only waits
}
