// Package storetest holds the tests that every store.Store must pass: a sentence of the interface, or of the rules behind it, each.
package storetest

import (
	"context"
	"encoding/json"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// Factory opens one store: the same one each time it is called, the one before having been closed.
type Factory func(t *testing.T) store.Store

// Run runs the suite. fresh makes a factory of a store that is new.
func Run(t *testing.T, fresh func(t *testing.T) Factory) {
	for _, tests := range [][]test{frontierTests, windowTests, revisionTests, outboxTests, settleTests, destTests, watchTests, deadTests, backfillTests, peopleTests, forgetTests} {
		for _, x := range tests {
			t.Run(x.name, func(t *testing.T) {
				x.run(newEnv(t, fresh(t), false))
			})
			// Once more with the store closed and opened between any two calls: nothing may be known in memory only.
			t.Run(x.name+", reopened", func(t *testing.T) {
				x.run(newEnv(t, fresh(t), true))
			})
		}
	}
}

type test struct {
	name string
	run  func(e *env)
}

// env is one test's store, with the pipeline's usual state: a first cursor at minute 0 and three destinations.
type env struct {
	*testing.T
	open   Factory
	store  store.Store
	reopen bool
}

// Destinations of every test: a CRM, another one, and one that takes what it gets for good.
const (
	crm  = "crm"
	crm2 = "crm2"
	hook = "hook"
)

var specs = []store.DestSpec{
	{Name: crm, Kind: "hubspot", Fingerprint: "f1"},
	{Name: crm2, Kind: "zoho", Fingerprint: "f2"},
	{Name: hook, Kind: "webhook", Fingerprint: "f3", AppendOnly: true},
}

var base = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// at is a time so many minutes after the first cursor.
func at(minutes int) time.Time { return base.Add(time.Duration(minutes) * time.Minute) }

func newEnv(t *testing.T, open Factory, reopen bool) *env {
	t.Helper()
	e := &env{T: t, open: open, store: open(t), reopen: reopen}
	t.Cleanup(func() { e.must(e.store.Close()) })
	_, err := e.register(specs)
	e.must(err)
	return e
}

// register says which destinations there are, and returns all.
func (e *env) register(specs []store.DestSpec) ([]store.Dest, error) {
	st, err := e.s().Begin(base, specs)
	return st.Dests, err
}

// backfill is a backfill as it is now.
func (e *env) backfill(id uint64) store.Backfill {
	e.Helper()
	for _, b := range e.stats().Backfills {
		if b.ID == id {
			return b
		}
	}
	e.Fatalf("backfill %d is not there", id)
	return store.Backfill{}
}

func (e *env) saveBackfill(id uint64, c store.BackfillChange) {
	e.Helper()
	_, err := e.s().SaveBackfill(id, c)
	e.must(err)
}

// s is the store for one call.
func (e *env) s() store.Store {
	if e.reopen {
		e.again()
	}
	return e.store
}

// again closes and opens the store, as a crash would: claims stand.
func (e *env) again() {
	e.Helper()
	e.must(e.store.Close())
	e.store = e.open(e.T)
}

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func equal[T comparable](e *env, what string, got, want T) {
	e.Helper()
	if got != want {
		e.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func same[T comparable](e *env, what string, got, want []T) {
	e.Helper()
	if !slices.Equal(got, want) {
		e.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func sameTime(e *env, what string, got, want time.Time) {
	e.Helper()
	if !got.Equal(want) {
		e.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// Tags of the test's fields.
const (
	tagDisposition = 1
	tagName        = 2
	tagSummary     = 3
	tagPhone       = 4
)

var (
	tags  = map[string]byte{"disposition": tagDisposition, "name": tagName, "summary": tagSummary, "phone": tagPhone}
	names = map[byte]string{tagDisposition: "disposition", tagName: "name", tagSummary: "summary", tagPhone: "phone"}
)

type fields map[string]string

// row is a call that completed so many minutes after the first cursor, of the contact, for all destinations.
func row(id string, minute int, contact string, f fields) store.Row {
	return rowTo(id, minute, contact, f, crm, crm2, hook)
}

func rowTo(id string, minute int, contact string, f fields, dests ...string) store.Row {
	r := store.Row{ID: id, When: at(minute), Lane: lane(contact), Body: body(f)}
	for name, v := range f {
		r.Fields = append(r.Fields, store.Field{Tag: tags[name], Hash: crc32.ChecksumIEEE([]byte(v))})
	}
	slices.SortFunc(r.Fields, func(a, b store.Field) int { return int(a.Tag) - int(b.Tag) })
	for _, d := range dests {
		r.Targets = append(r.Targets, store.Target{Dest: d})
	}
	return r
}

func lane(contact string) (l store.Lane) {
	copy(l[:], contact)
	return l
}

func body(f fields) []byte {
	b, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	return b
}

// page is one page of the live poll, read at that minute.
func page(minute int, rows ...store.Row) store.Page {
	return store.Page{Stream: store.LiveStream, At: at(minute), Rows: rows, FieldNames: names}
}

// closed is a page that closes the window up to that minute.
func closed(from, to int, rows ...store.Row) store.Page {
	p := page(to, rows...)
	p.Close = &store.Interval{From: at(from), To: at(to)}
	return p
}

func backfillPage(id uint64, minute int, rows ...store.Row) store.Page {
	p := page(minute, rows...)
	p.Stream, p.Backfill = store.BackfillStream(id), id
	return p
}

func (e *env) ingest(p store.Page) store.Ingested {
	e.Helper()
	got, err := e.s().Ingest(p)
	e.must(err)
	return got
}

// live ingests rows and closes their window.
func (e *env) live(from, to int, rows ...store.Row) store.Ingested {
	e.Helper()
	return e.ingest(closed(from, to, rows...))
}

func (e *env) stats() store.Stats {
	e.Helper()
	s, err := e.s().Stats()
	e.must(err)
	return s
}

func (e *env) dest(name string) store.Dest {
	e.Helper()
	for _, d := range e.stats().Dests {
		if d.Name == name {
			return d
		}
	}
	e.Fatalf("destination %s is not in the stats", name)
	return store.Dest{}
}

// heads scans a destination to its end, few at a time.
func (e *env) heads(dest string) []store.JobRef {
	e.Helper()
	var all []store.JobRef
	var from []byte
	for {
		jobs, next, err := e.s().Scan(dest, from, 2, nil)
		e.must(err)
		if len(jobs) > 2 {
			e.Fatalf("asked for 2 jobs, got %d", len(jobs))
		}
		all = append(all, jobs...)
		if len(next) == 0 {
			return all
		}
		from = next
	}
}

func ids(jobs []store.JobRef) []string {
	var out []string
	for _, j := range jobs {
		out = append(out, j.ID)
	}
	return out
}

func (e *env) headIDs(dest string) []string {
	e.Helper()
	return ids(e.heads(dest))
}

// head is the only head of a destination.
func (e *env) head(dest string) store.JobRef {
	e.Helper()
	h := e.heads(dest)
	if len(h) != 1 {
		e.Fatalf("%s: %d heads %v, want one", dest, len(h), ids(h))
	}
	return h[0]
}

// claim claims a job. The claim and what follows in the test run without reopening in between, see settle.
func (e *env) claim(ref store.JobRef) *store.Job {
	e.Helper()
	j, err := claim(e.s(), ref)
	e.must(err)
	if j == nil {
		e.Fatalf("job %s at %s is gone", ref.ID, ref.Dest)
	}
	return j
}

func claim(s store.Store, ref store.JobRef) (*store.Job, error) {
	claimed, err := s.Claim(context.Background(), []store.JobRef{ref})
	if err != nil {
		return nil, err
	}
	return claimed[0].Job, claimed[0].Err
}

// settle settles without reopening: that would count the attempt as one that may have begun.
func (e *env) settle(o store.Outcome) store.Settled {
	e.Helper()
	s, err := e.store.Settle(context.Background(), o)
	e.must(err)
	return s
}

// deliver claims and delivers.
func (e *env) deliver(ref store.JobRef, more ...func(*store.Outcome)) (*store.Job, store.Settled) {
	e.Helper()
	j := e.claim(ref)
	o := store.Outcome{Job: j.JobRef, Verdict: store.Delivered, At: at(500)}
	for _, f := range more {
		f(&o)
	}
	return j, e.settle(o)
}

// attempt claims a job and settles it with a verdict.
func (e *env) attempt(ref store.JobRef, v store.Verdict, more ...func(*store.Outcome)) store.Settled {
	e.Helper()
	_, s := e.deliver(ref, append([]func(*store.Outcome){func(o *store.Outcome) { o.Verdict = v }}, more...)...)
	return s
}

func (e *env) life(id string) store.Life {
	e.Helper()
	l, err := e.s().Life(id)
	e.must(err)
	return l
}

func (e *env) way(id, dest string) store.DestLife {
	e.Helper()
	for _, w := range e.life(id).Dests {
		if w.Dest == dest {
			return w
		}
	}
	return store.DestLife{}
}

func (e *env) letters(dest string) []store.DeadLetter {
	e.Helper()
	l, err := e.s().DeadLetters(dest, dest == "", 0, 1000)
	e.must(err)
	return l
}
