package records

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// Flags of a job.
const (
	flagFirst = 1 << iota // the destination has had nothing of this call
	flagTried             // an attempt has begun: what an append-only destination may have got must not change any more
)

// jobHead is the part of a job that scheduling needs. It stands in front, at fixed offsets, so that a scan reads nothing else.
type jobHead struct {
	window   uint64
	due      time.Time
	lane     store.Lane
	backfill uint64
	attempts int
	flags    byte
}

const headSize = 8 + 8 + 16 + 8 + 4 + 1

// jobRec is a job of the outbox, and the part of a dead letter that is the job it was.
type jobRec struct {
	jobKey
	jobHead
	seen      time.Time // of the call: names its receipts
	fails     int
	firstFail time.Time
	lastError string
	refs      map[string]string
	changed   []byte
	body      []byte
}

func (j *jobRec) first() bool { return j.flags&flagFirst != 0 }
func (j *jobRec) tried() bool { return j.flags&flagTried != 0 }

func (j *jobRec) ref(dest string) store.JobRef { return headRef(dest, j.jobKey, j.jobHead) }

func headRef(dest string, k jobKey, h jobHead) store.JobRef {
	return store.JobRef{Dest: dest, Backfill: h.backfill, When: k.when, ID: k.id, Kind: k.kind, Revision: k.rev, Lane: h.lane, Due: h.due, Attempts: h.attempts}
}

func (j *jobRec) put(e *enc) {
	e.fix64(j.window)
	e.fix64(uint64(micros(j.due)))
	e.raw(j.lane[:])
	e.fix64(j.backfill)
	e.fix32(uint32(j.attempts))
	e.byte(j.flags)
	e.time(j.seen)
	e.int(j.fails)
	e.time(j.firstFail)
	e.str(j.lastError)
	e.refs(j.refs)
	e.bytes(j.changed)
	e.bytes(j.body)
}

func (j *jobRec) encode(key []byte) []byte {
	e := newEnc(headSize + 64 + len(j.body) + len(j.lastError))
	j.put(e)
	return e.seal(key)
}

func (d *dec) head() (h jobHead) {
	h.window = d.fix64()
	h.due = d.micros(int64(d.fix64()))
	h.lane = d.lane()
	h.backfill = d.fix64()
	h.attempts = int(d.fix32())
	h.flags = d.byte()
	return h
}

func (d *dec) job() (j jobRec) {
	j.jobHead = d.head()
	j.seen, j.fails, j.firstFail, j.lastError = d.time(), d.int(), d.time(), d.str()
	j.refs, j.changed, j.body = d.refs(), d.bytes(), d.bytes()
	return j
}

func decodeJob(b []byte) (jobRec, bool) {
	d := &dec{b: b}
	j := d.job()
	return j, d.done()
}

// decodeHead reads what a scan needs of a sealed value, unchecked.
func decodeHead(value []byte) (jobHead, bool) {
	if len(value) < sumSize+headSize {
		return jobHead{}, false
	}
	d := &dec{b: value[sumSize:]}
	return d.head(), true
}

// laneEntry is a value of the lane index.
func laneEntry(prio byte, window uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prio}, window)
}

func decodeLaneEntry(v []byte) (prio byte, window uint64, ok bool) {
	if len(v) != 9 {
		return 0, 0, false
	}
	return v[0], binary.BigEndian.Uint64(v[1:]), true
}

// deadRec is a dead letter. One of no destination has only key, err and the raw row as its body.
type deadRec struct {
	job     jobRec
	at      time.Time
	err     string
	request string
}

func (r *deadRec) encode(key []byte) []byte {
	e := newEnc(256 + len(r.job.body))
	e.bytes(r.job.jobKey.bytes())
	r.job.put(e)
	e.time(r.at)
	e.str(r.err)
	e.str(r.request)
	return e.seal(key)
}

func decodeDead(b []byte) (r deadRec, ok bool) {
	d := &dec{b: b}
	k, ok := parseJobKey(d.bytes())
	r.job = d.job()
	r.job.jobKey = k
	r.at, r.err, r.request = d.time(), d.str(), d.str()
	return r, ok && d.done()
}

// union merges two sets of tags.
func union(a, b []byte) []byte {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}
