package records

import (
	"bytes"
	"fmt"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// Buckets.
const (
	bucketMeta      = "meta"      // a few fixed keys, see open.go
	bucketSettings  = "settings"  // name → value
	bucketLedger    = "ledger"    // generation → bucket of 'c' id or 'b' key of a broken row
	bucketOutbox    = "outbox"    // jobKey → jobRec
	bucketLanes     = "lanes"     // destination, lane, order → priority, window
	bucketTried     = "tried"     // destination, lane, order of the jobs of which an attempt has begun
	bucketClaims    = "claims"    // outbox keys of the jobs that an append-only destination may be getting now
	bucketLaneState = "lanestate" // generation → bucket of destination, lane
	bucketReceipts  = "receipts"  // first seen, id, destination → receiptRec; destination 0: events
	bucketWatches   = "watches"   // kind, id → watchRec
	bucketDue       = "due"       // kind, due, id
	bucketDead      = "dead"      // number → deadRec
	bucketDeadIndex = "deadindex" // destination, id, kind, revision → number
	bucketDests     = "dests"     // id → destRec
	bucketBackfills = "backfills" // id → Backfill
	bucketForgotten = "forgotten" // kind, salted hash → when it was forgotten
)

// Buckets are the names of all buckets; Generational are those that have generations, Ascending those that are filled mostly in the order of their keys.
var Buckets = []string{
	bucketMeta, bucketSettings, bucketLedger, bucketOutbox, bucketLanes, bucketTried, bucketClaims, bucketLaneState, bucketReceipts,
	bucketWatches, bucketDue, bucketDead, bucketDeadIndex, bucketDests, bucketBackfills, bucketForgotten,
}

// Generational and Ascending: see Buckets.
var (
	Generational = []string{bucketLedger, bucketLaneState}
	Ascending    = []string{bucketOutbox, bucketReceipts, bucketDead}
)

var keyState = []byte("state")

// txn is one transaction with the records that many of its steps change; those are written once, at its end.
type txn struct {
	tx            Tx
	changed       bool // something is to be committed
	meta          *metaRec
	metaDirty     bool
	dests         []*destRec // all; nil: not yet read
	destDirty     map[uint16]bool
	backfills     map[uint64]*store.Backfill
	open          map[uint64]bool // windows that are not released; nil: not yet worked out
	generationsOf map[string][]uint64
}

func (t *txn) flush() error {
	if t.metaDirty {
		if err := t.put(bucketMeta, keyState, t.meta.encode(keyState)); err != nil {
			return err
		}
	}
	for _, r := range t.dests {
		if t.destDirty[r.id] {
			k := u16Key(r.id)
			if err := t.put(bucketDests, k, r.encode(k)); err != nil {
				return err
			}
		}
	}
	for id, b := range t.backfills {
		k := u64Key(id)
		if v := encodeBackfill(b, k); !bytes.Equal(v, t.bucket(bucketBackfills).Get(k)) {
			if err := t.put(bucketBackfills, k, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *txn) bucket(name string) Bucket { return t.tx.Bucket(name) }

func (t *txn) put(bucket string, key, value []byte) error {
	t.changed = true
	if err := t.bucket(bucket).Put(key, value); err != nil {
		return fmt.Errorf("writing bucket %s: %w", bucket, err)
	}
	return nil
}

func (t *txn) del(bucket string, key []byte) error {
	t.changed = true
	if err := t.bucket(bucket).Delete(key); err != nil {
		return fmt.Errorf("deleting from bucket %s: %w", bucket, err)
	}
	return nil
}

// load reads, checks and decodes one record; nil if there is none.
func load[T any](b Bucket, name string, key []byte, decode func([]byte) (T, bool)) (*T, error) {
	v := b.Get(key)
	if v == nil {
		return nil, nil
	}
	return open(name, key, v, decode)
}

// open checks and decodes a value.
func open[T any](name string, key, value []byte, decode func([]byte) (T, bool)) (*T, error) {
	content, err := unseal(name, key, value)
	if err != nil {
		return nil, err
	}
	r, ok := decode(content)
	if !ok {
		return nil, damaged(name, key, "it cannot be decoded")
	}
	return &r, nil
}

func (t *txn) state() (*metaRec, error) {
	if t.meta == nil {
		m, err := load(t.bucket(bucketMeta), bucketMeta, keyState, decodeMeta)
		if err != nil {
			return nil, err
		}
		if m == nil {
			return nil, damaged(bucketMeta, keyState, "it is missing")
		}
		t.meta = m
	}
	return t.meta, nil
}

// allDests returns every destination, in the order of their first configuration.
func (t *txn) allDests() ([]*destRec, error) {
	if t.dests != nil {
		return t.dests, nil
	}
	t.dests = []*destRec{}
	t.destDirty = map[uint16]bool{}
	c := t.bucket(bucketDests).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		r, err := open(bucketDests, k, v, decodeDest)
		if err != nil {
			return nil, err
		}
		t.dests = append(t.dests, r)
	}
	return t.dests, nil
}

func (t *txn) destByID(id uint16) (*destRec, error) {
	all, err := t.allDests()
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.id == id {
			return r, nil
		}
	}
	return nil, fmt.Errorf("destination number %d: %w", id, store.ErrUnknown)
}

func (t *txn) destByName(name string) (*destRec, error) {
	all, err := t.allDests()
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.Name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("destination %q: %w", name, store.ErrUnknown)
}

func (t *txn) markChanged(r *destRec) { t.destDirty[r.id] = true }

// backfill returns the backfill's record; changes to it are written at the end. nil for live work and for one that is forgotten.
func (t *txn) backfill(id uint64) (*store.Backfill, error) {
	if id == 0 {
		return nil, nil
	}
	if b, ok := t.backfills[id]; ok {
		return b, nil
	}
	b, err := load(t.bucket(bucketBackfills), bucketBackfills, u64Key(id), decodeBackfill)
	if err != nil || b == nil {
		return nil, err
	}
	if t.backfills == nil {
		t.backfills = map[uint64]*store.Backfill{}
	}
	t.backfills[id] = b
	return b, nil
}

// stream returns the stream of that name, made if need be.
func (t *txn) stream(name string) (*stream, error) {
	m, err := t.state()
	if err != nil {
		return nil, err
	}
	for i := range m.streams {
		if m.streams[i].name == name {
			return &m.streams[i], nil
		}
	}
	m.nextWindow += 2
	m.streams = append(m.streams, stream{name: name, cur: m.nextWindow - 1, next: m.nextWindow})
	t.open = nil
	return &m.streams[len(m.streams)-1], nil
}

// released tells whether a window is closed: then no stream has it any more.
func (t *txn) released(window uint64) (bool, error) {
	if window == 0 {
		return true, nil
	}
	if t.open == nil {
		m, err := t.state()
		if err != nil {
			return false, err
		}
		t.open = map[uint64]bool{}
		for _, s := range m.streams {
			t.open[s.cur], t.open[s.next] = true, true
		}
	}
	return !t.open[window], nil
}

// Generations are buckets of what was last seen in the same days: forgetting is dropping a bucket, whatever it holds.

const generationDays = 30

func generation(at time.Time) uint64 {
	return uint64(max(0, at.Unix())) / (86400 * generationDays)
}

// generations lists those of a bucket, newest first.
func (t *txn) generations(bucket string) []uint64 {
	if g, ok := t.generationsOf[bucket]; ok {
		return g
	}
	g := t.tx.Generations(bucket)
	if t.generationsOf == nil {
		t.generationsOf = map[string][]uint64{}
	}
	t.generationsOf[bucket] = g
	return g
}

// find returns the newest record under key, and its generation.
func find[T any](t *txn, bucket string, key []byte, decode func([]byte) (T, bool)) (*T, uint64, error) {
	for _, g := range t.generations(bucket) {
		r, err := load(t.tx.Generation(bucket, g), bucket, key, decode)
		if r != nil || err != nil {
			return r, g, err
		}
	}
	return nil, 0, nil
}

// keep puts a value into generation g and takes it out of old, the one it was in if there was.
func (t *txn) keep(bucket string, g uint64, key, value []byte, was bool, old uint64) error {
	t.changed = true
	if was && old > g {
		g = old // the clock went back: what is newer stays so
	}
	b := t.tx.Generation(bucket, g)
	if b == nil {
		var err error
		if b, err = t.tx.NewGeneration(bucket, g); err != nil {
			return fmt.Errorf("making a generation of %s: %w", bucket, err)
		}
		delete(t.generationsOf, bucket)
	}
	if was && old != g {
		if err := t.tx.Generation(bucket, old).Delete(key); err != nil {
			return fmt.Errorf("moving within %s: %w", bucket, err)
		}
	}
	if err := b.Put(key, value); err != nil {
		return fmt.Errorf("writing %s: %w", bucket, err)
	}
	return nil
}
