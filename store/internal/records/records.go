package records

import (
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// The records of the buckets. Each encodes itself into a sealed value and is decoded from its content; a decoder returns false for
// what no encoder has written.

// metaRec is the frontier, the streams and the counters that belong to nothing else.
type metaRec struct {
	first        time.Time
	read         []store.Interval
	skips        []store.Interval // that the operator passed over by moving the cursor forward
	late         int64
	registered   bool
	nextDest     uint16
	nextWindow   uint64
	nextBackfill uint64
	streams      []stream
	broken       int // dead letters of no destination
	transcripts  int
	unfinished   int
}

// stream holds the window that rows go to now and the one held rows wait in. A window that has got no job need not be replaced when
// it is closed.
type stream struct {
	name              string
	cur, next         uint64
	curUsed, nextUsed bool
}

func (m *metaRec) encode(key []byte) []byte {
	e := newEnc(256)
	e.time(m.first)
	e.uint(uint64(len(m.read)))
	for _, iv := range m.read {
		e.time(iv.From)
		e.time(iv.To)
	}
	e.int64(m.late)
	e.bool(m.registered)
	e.fix16(m.nextDest)
	e.uint(m.nextWindow)
	e.uint(m.nextBackfill)
	e.uint(uint64(len(m.streams)))
	for _, s := range m.streams {
		e.str(s.name)
		e.uint(s.cur)
		e.uint(s.next)
		e.bool(s.curUsed)
		e.bool(s.nextUsed)
	}
	e.int(m.broken)
	e.int(m.transcripts)
	e.int(m.unfinished)
	e.uint(uint64(len(m.skips)))
	for _, iv := range m.skips {
		e.time(iv.From)
		e.time(iv.To)
	}
	return e.seal(key)
}

func decodeMeta(b []byte) (m metaRec, ok bool) {
	d := &dec{b: b}
	m.first = d.time()
	for range d.count() {
		m.read = append(m.read, store.Interval{From: d.time(), To: d.time()})
	}
	m.late = d.int64()
	m.registered = d.bool()
	m.nextDest = d.fix16()
	m.nextWindow = d.uint()
	m.nextBackfill = d.uint()
	for range d.count() {
		m.streams = append(m.streams, stream{name: d.str(), cur: d.uint(), next: d.uint(), curUsed: d.bool(), nextUsed: d.bool()})
	}
	m.broken, m.transcripts, m.unfinished = d.int(), d.int(), d.int()
	for range d.count() {
		m.skips = append(m.skips, store.Interval{From: d.time(), To: d.time()})
	}
	return m, d.done()
}

// ledgerRec is what is known of a call for as long as it is recognised.
type ledgerRec struct {
	seen   time.Time // first
	when   time.Time
	rev    int
	fields []store.Field
	dests  []ledgerDest
}

// ledgerDest is one destination of a call: the revision last queued for it (0: it was left out) and the backfill its job belongs to,
// which is part of the job's key.
type ledgerDest struct {
	dest     uint16
	rev      int
	backfill uint64
}

func (l *ledgerRec) dest(id uint16) *ledgerDest {
	for i := range l.dests {
		if l.dests[i].dest == id {
			return &l.dests[i]
		}
	}
	return nil
}

func (l *ledgerRec) encode(key []byte) []byte {
	e := newEnc(32 + 5*len(l.fields) + 6*len(l.dests))
	e.time(l.seen)
	e.time(l.when)
	e.int(l.rev)
	e.uint(uint64(len(l.fields)))
	for _, f := range l.fields {
		e.byte(f.Tag)
		e.fix32(f.Hash)
	}
	e.uint(uint64(len(l.dests)))
	for _, x := range l.dests {
		e.fix16(x.dest)
		e.int(x.rev)
		e.uint(x.backfill)
	}
	return e.seal(key)
}

func decodeLedger(b []byte) (l ledgerRec, ok bool) {
	d := &dec{b: b}
	l.seen, l.when, l.rev = d.time(), d.time(), d.int()
	if n := d.count(); n > 0 {
		l.fields = make([]store.Field, 0, n)
		for range n {
			l.fields = append(l.fields, store.Field{Tag: d.byte(), Hash: d.fix32()})
		}
	}
	if n := d.count(); n > 0 {
		l.dests = make([]ledgerDest, 0, n)
		for range n {
			l.dests = append(l.dests, ledgerDest{dest: d.fix16(), rev: d.int(), backfill: d.uint()})
		}
	}
	return l, d.done()
}

// laneState is the newest call of a lane that was delivered, and the newest that set the contact's status.
type laneState struct {
	deliveredWhen, statusWhen time.Time
	deliveredID, statusID     string
}

func (l *laneState) encode(key []byte) []byte {
	e := newEnc(64)
	e.time(l.deliveredWhen)
	e.str(l.deliveredID)
	e.time(l.statusWhen)
	e.str(l.statusID)
	return e.seal(key)
}

func decodeLane(b []byte) (l laneState, ok bool) {
	d := &dec{b: b}
	l.deliveredWhen, l.deliveredID, l.statusWhen, l.statusID = d.time(), d.str(), d.time(), d.str()
	return l, d.done()
}

// States of a receipt.
const (
	stateNone byte = iota
	stateDelivered
	stateDead
	stateSkipped
)

// receiptRec is what became of a call at one destination.
type receiptRec struct {
	state      byte
	rev        int // delivered
	attempts   int
	at         time.Time
	note       string // error, or why skipped
	refs       map[string]string
	warnings   []string
	transcript bool // one was asked for: it is not asked for again
}

func (r *receiptRec) encode(key []byte) []byte {
	e := newEnc(128)
	e.byte(r.state)
	e.int(r.rev)
	e.int(r.attempts)
	e.time(r.at)
	e.str(r.note)
	e.refs(r.refs)
	e.strs(r.warnings)
	e.bool(r.transcript)
	return e.seal(key)
}

func decodeReceipt(b []byte) (r receiptRec, ok bool) {
	d := &dec{b: b}
	r.state, r.rev, r.attempts, r.at, r.note = d.byte(), d.int(), d.int(), d.time(), d.str()
	r.refs, r.warnings, r.transcript = d.refs(), d.strs(), d.bool()
	return r, d.done()
}

// maxEvents bounds what is noted of one call.
const maxEvents = 64

func encodeEvents(key []byte, events []store.Event) []byte {
	e := newEnc(48 * len(events))
	e.uint(uint64(len(events)))
	for _, x := range events {
		e.time(x.At)
		e.str(x.What)
	}
	return e.seal(key)
}

func decodeEvents(b []byte) (events []store.Event, ok bool) {
	d := &dec{b: b}
	for range d.count() {
		events = append(events, store.Event{At: d.time(), What: d.str()})
	}
	return events, d.done()
}

// watchRec is a watch; of a transcript's also what its job will need.
type watchRec struct {
	since    time.Time
	attempts int
	due      time.Time
	note     []byte
	body     []byte
	when     time.Time
	seen     time.Time
	dests    []watchDest
}

type watchDest struct {
	dest     uint16
	lane     store.Lane
	backfill uint64
}

func (w *watchRec) encode(key []byte) []byte {
	e := newEnc(64 + len(w.body))
	e.time(w.since)
	e.int(w.attempts)
	e.time(w.due)
	e.opt(w.note)
	e.bytes(w.body)
	e.time(w.when)
	e.time(w.seen)
	e.uint(uint64(len(w.dests)))
	for _, x := range w.dests {
		e.fix16(x.dest)
		e.raw(x.lane[:])
		e.uint(x.backfill)
	}
	return e.seal(key)
}

func decodeWatch(b []byte) (w watchRec, ok bool) {
	d := &dec{b: b}
	w.since, w.attempts, w.due, w.note, w.body = d.time(), d.int(), d.time(), d.opt(), d.bytes()
	w.when, w.seen = d.time(), d.time()
	for range d.count() {
		w.dests = append(w.dests, watchDest{dest: d.fix16(), lane: d.lane(), backfill: d.uint()})
	}
	return w, d.done()
}

// destRec is a destination with its counters and the rejections in a row that may halt it.
type destRec struct {
	id uint16
	store.Dest
	rejections []rejectionStreak // at most one of each sort
}

func (r *destRec) encode(key []byte) []byte {
	e := newEnc(256)
	e.fix16(r.id)
	e.str(r.Name)
	e.str(r.Kind)
	e.str(r.Fingerprint)
	e.bool(r.AppendOnly)
	e.time(r.Since)
	e.bool(r.Orphaned)
	e.str(r.Halted)
	e.time(r.HaltedAt)
	e.int(r.Pending)
	e.int(r.Dead)
	e.int64(r.Delivered)
	e.str(r.LastError)
	e.time(r.LastErrorAt)
	e.time(r.LastSuccess)
	e.str(r.Paused)
	e.time(r.PausedAt)
	e.uint(uint64(len(r.rejections)))
	for _, s := range r.rejections {
		e.str(s.sort)
		putStreak(e, s)
	}
	putLeftOut(e, &r.LeftOut)
	return e.seal(key)
}

func decodeDest(b []byte) (r destRec, ok bool) {
	d := &dec{b: b}
	r.id, r.Name, r.Kind, r.Fingerprint, r.AppendOnly = d.fix16(), d.str(), d.str(), d.str(), d.bool()
	r.Since, r.Orphaned, r.Halted, r.HaltedAt = d.time(), d.bool(), d.str(), d.time()
	r.Pending, r.Dead, r.Delivered = d.int(), d.int(), d.int64()
	r.LastError, r.LastErrorAt, r.LastSuccess = d.str(), d.time(), d.time()
	r.Paused, r.PausedAt = d.str(), d.time()
	for range d.count() {
		sort := d.str()
		s := d.streak()
		s.sort = sort
		r.rejections = append(r.rejections, s)
	}
	r.LeftOut = d.leftOut()
	return r, d.done()
}

func encodeBackfill(b *store.Backfill, key []byte) []byte {
	e := newEnc(128)
	e.uint(b.ID)
	e.str(b.Key)
	e.opt(b.Spec)
	e.opt(b.Checkpoint)
	e.time(b.CreatedAt)
	e.time(b.ReadDone)
	e.int64(b.Fetched)
	e.int64(b.Queued)
	e.int64(b.Delivered)
	e.int64(b.Dead)
	e.int64(b.TasksLeft)
	e.time(b.Cancelled)
	return e.seal(key)
}

func decodeBackfill(v []byte) (b store.Backfill, ok bool) {
	d := &dec{b: v}
	b = store.Backfill{ID: d.uint(), Key: d.str(), Spec: d.opt(), Checkpoint: d.opt(), CreatedAt: d.time(), ReadDone: d.time(), Fetched: d.int64(), Queued: d.int64(), Delivered: d.int64(), Dead: d.int64()}
	b.TasksLeft, b.Cancelled = d.int64(), d.time()
	return b, d.done()
}
