package bolt_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
)

// machine drives a store and keeps, in the plainest way, what is owed to whom: of every call the newest version that was read, and
// the newest that each destination has got. What is owed must wait or be a dead letter, and in the end all is delivered.
type machine struct {
	path     string
	kills    int
	d        *bolt.DB
	now      time.Time
	next     int
	calls    map[string]*modelCall
	order    []string
	inFlight map[string]map[store.Lane]*store.Job // by destination: claimed and not settled
	fills    []uint64
	sent     map[string]string // to the append-only destination: key → body
}

type modelCall struct {
	id      string
	when    time.Time
	lane    byte
	version int
	has     map[string]int // destination → version
	queued  map[string]bool
}

var modelDests = []string{"crm", "hook"}

func (m *machine) open(t *rapid.T) {
	d, err := bolt.Open(m.path, bolt.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m.d = d
}

func versionOf(t *rapid.T, body []byte) int {
	v, err := strconv.Atoi(string(body))
	if err != nil {
		t.Fatalf("body %q", body)
	}
	return v
}

// newest merges as the pipeline does: the newer row wins.
func (m *machine) row(c *modelCall, dests ...string) store.Row {
	r := store.Row{
		ID: c.id, When: c.when, Lane: store.Lane{c.lane}, Fields: []store.Field{{Tag: 1, Hash: uint32(c.version)}},
		Body: []byte(strconv.Itoa(c.version)),
	}
	for _, d := range dests {
		r.Targets = append(r.Targets, store.Target{Dest: d})
	}
	return r
}

func (m *machine) fresh(t *rapid.T, dests ...string) store.Row {
	m.next++
	c := &modelCall{
		id: fmt.Sprintf("c%d", m.next), when: m.now.Add(-time.Duration(rapid.IntRange(0, 20).Draw(t, "age")) * time.Second),
		lane: byte(rapid.IntRange(1, 4).Draw(t, "lane")), version: 1, has: map[string]int{}, queued: map[string]bool{},
	}
	for _, d := range dests {
		c.queued[d] = true
	}
	m.calls[c.id] = c
	m.order = append(m.order, c.id)
	r := m.row(c, dests...)
	r.Hold = rapid.IntRange(0, 3).Draw(t, "hold") == 0
	return r
}

func (m *machine) some(t *rapid.T) *modelCall {
	if len(m.order) == 0 {
		t.Skip("no calls yet")
	}
	return m.calls[rapid.SampledFrom(m.order).Draw(t, "call")]
}

// page makes a page of the live stream or of a backfill, perhaps the last of its window.
func (m *machine) page(t *rapid.T, rows ...store.Row) store.Page {
	m.now = m.now.Add(time.Second)
	p := store.Page{Stream: store.LiveStream, At: m.now, Rows: rows}
	if len(m.fills) > 0 && rapid.IntRange(0, 3).Draw(t, "stream") == 0 {
		p.Backfill = rapid.SampledFrom(m.fills).Draw(t, "backfill")
		p.Stream = store.BackfillStream(p.Backfill)
	}
	if rapid.Bool().Draw(t, "close") {
		p.Close = &store.Interval{From: noon, To: m.now}
	}
	return p
}

func (m *machine) ingest(t *rapid.T, p store.Page) store.Ingested {
	got, err := m.d.Ingest(p)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (m *machine) Ingest(t *rapid.T) {
	var rows []store.Row
	for range rapid.IntRange(1, 3).Draw(t, "rows") {
		rows = append(rows, m.fresh(t, modelDests[:rapid.IntRange(1, 2).Draw(t, "dests")]...))
	}
	if got := m.ingest(t, m.page(t, rows...)); got.New != len(rows) {
		t.Fatalf("%+v of %d new rows", got, len(rows))
	}
}

func (m *machine) Change(t *rapid.T) {
	c := m.some(t)
	c.version++
	p := m.page(t, m.row(c, modelDests...))
	if got := m.ingest(t, p); got.Changed != 1 || got.New != 0 {
		t.Fatalf("%+v of a changed row", got)
	}
	m.widen(p, c)
}

// widen notes that a backfill queues a call for whom it has not been queued.
func (m *machine) widen(p store.Page, c *modelCall) {
	for _, d := range modelDests {
		if p.Backfill != 0 {
			c.queued[d] = true
		}
	}
}

func (m *machine) Reread(t *rapid.T) {
	c := m.some(t)
	p := m.page(t, m.row(c, modelDests...))
	if got := m.ingest(t, p); got.Changed != 0 || got.New != 0 || p.Backfill == 0 && got.Queued != 0 {
		t.Fatalf("%+v of a known row", got)
	}
	m.widen(p, c)
}

func (m *machine) heads(t *rapid.T, dest string) []store.JobRef {
	refs, next, err := m.d.Scan(dest, nil, 1000, nil)
	if err != nil || next != nil {
		t.Fatal(err, next)
	}
	lanes := map[store.Lane]bool{}
	for _, r := range refs {
		if lanes[r.Lane] {
			t.Fatalf("two heads of one lane: %v", refs)
		}
		lanes[r.Lane] = true
	}
	return refs
}

func (m *machine) Claim(t *rapid.T) {
	dest := rapid.SampledFrom(modelDests).Draw(t, "dest")
	refs := slices.DeleteFunc(m.heads(t, dest), func(r store.JobRef) bool { return m.inFlight[dest][r.Lane] != nil })
	if len(refs) == 0 {
		t.Skip("nothing to claim")
	}
	m.claim(t, rapid.SampledFrom(refs).Draw(t, "job"))
}

func (m *machine) claim(t *rapid.T, ref store.JobRef) {
	job, err := claim(m.d, ref)
	if err != nil || job == nil {
		t.Fatalf("claiming %+v: %v, %v", ref, job, err)
	}
	m.claimed(t, job)
}

func (m *machine) claimed(t *rapid.T, job *store.Job) {
	c := m.calls[job.ID]
	if job.First != (c.has[job.Dest] == 0) {
		t.Fatalf("%s at %s: first is %v, it has version %d", job.ID, job.Dest, job.First, c.has[job.Dest])
	}
	if v := versionOf(t, job.Body); v <= c.has[job.Dest] {
		t.Fatalf("%s at %s: version %d once more", job.ID, job.Dest, v)
	}
	if m.inFlight[job.Dest] == nil {
		m.inFlight[job.Dest] = map[store.Lane]*store.Job{}
	}
	m.inFlight[job.Dest][job.Lane] = job
}

func (m *machine) Settle(t *rapid.T) {
	dest := rapid.SampledFrom(modelDests).Draw(t, "dest")
	jobs := slices.SortedFunc(maps.Values(m.inFlight[dest]), func(a, b *store.Job) int { return cmp.Compare(a.ID, b.ID) })
	if len(jobs) == 0 {
		t.Skip("nothing in flight")
	}
	job := rapid.SampledFrom(jobs).Draw(t, "settled")
	v := rapid.SampledFrom([]store.Verdict{store.Delivered, store.Delivered, store.Retry, store.Dead, store.Release}).Draw(t, "verdict")
	m.settle(t, job, v)
}

// settle settles one job in flight.
func (m *machine) settle(t *rapid.T, job *store.Job, v store.Verdict) {
	dest := job.Dest
	delete(m.inFlight[dest], job.Lane)
	o := store.Outcome{Job: job.JobRef, Verdict: v, At: m.now}
	if v == store.Dead {
		o.Error, o.Signature, o.HaltAfter = "400", "400", 3
	}
	if dest == "hook" && v != store.Release { // it may have arrived
		key := fmt.Sprint(job.ID, "/", job.Revision)
		if old, ok := m.sent[key]; ok && old != string(job.Body) {
			t.Fatalf("%s was sent as %s and is now %s", key, old, job.Body)
		}
		m.sent[key] = string(job.Body)
	}
	s, err := m.d.Settle(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Next != nil && s.Next.Lane != job.Lane {
		t.Fatalf("next of another lane: %+v", s.Next)
	}
	if v == store.Delivered {
		m.calls[job.ID].has[dest] = versionOf(t, job.Body)
	}
}

func (m *machine) Crash(t *rapid.T) {
	if err := m.d.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	for _, j := range m.inFlight["hook"] {
		m.sent[fmt.Sprint(j.ID, "/", j.Revision)] = string(j.Body)
	}
	clear(m.inFlight)
}

// Kill goes on with what a kill would have left.
func (m *machine) Kill(t *rapid.T) {
	m.kills++
	path := fmt.Sprintf("%s.%d.db", m.path, m.kills)
	if err := m.d.CrashTo(path); err != nil {
		t.Fatal(err)
	}
	if err := m.d.Close(); err != nil {
		t.Fatal(err)
	}
	m.path = path
	m.open(t)
	for _, j := range m.inFlight["hook"] {
		m.sent[fmt.Sprint(j.ID, "/", j.Revision)] = string(j.Body)
	}
	clear(m.inFlight)
}

func (m *machine) Resume(t *rapid.T) {
	if err := m.d.Hold(rapid.SampledFrom(modelDests).Draw(t, "dest"), store.Hold{}); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) RetryDead(t *rapid.T) {
	letters, err := m.d.DeadLetters("", true, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(letters) == 0 {
		t.Skip("no letters")
	}
	l := rapid.SampledFrom(letters).Draw(t, "letter")
	if _, err := m.d.EndDead([]uint64{l.Num}, true); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) Backfill(t *rapid.T) {
	if len(m.fills) >= 2 {
		t.Skip("enough")
	}
	b, _, err := m.d.OpenBackfill(fmt.Sprint(len(m.fills)), nil, m.now)
	if err != nil {
		t.Fatal(err)
	}
	m.fills = append(m.fills, b.ID)
}

func (m *machine) EndRead(t *rapid.T) {
	if len(m.fills) == 0 {
		t.Skip("no backfill")
	}
	if _, err := m.d.SaveBackfill(rapid.SampledFrom(m.fills).Draw(t, "backfill"), store.BackfillChange{ReadDone: m.now}); err != nil {
		t.Fatal(err)
	}
}

// Check holds after every step: the store agrees with itself, and what is owed is there.
func (m *machine) Check(t *rapid.T) {
	if err := m.d.Check(); err != nil {
		t.Fatal(err)
	}
	for _, id := range m.order {
		c := m.calls[id]
		l, err := m.d.Life(id)
		if err != nil {
			t.Fatal(err)
		}
		for _, dest := range modelDests {
			i := slices.IndexFunc(l.Dests, func(x store.DestLife) bool { return x.Dest == dest })
			if (i >= 0) != c.queued[dest] {
				t.Fatalf("%s at %s: queued is %v", id, dest, i >= 0)
			}
			if i < 0 {
				continue
			}
			owed := c.has[dest] < c.version
			switch state := l.Dests[i].State; {
			case owed && state != "pending" && state != "dead":
				t.Fatalf("%s at %s: version %d is owed, it has %d, and is %s", id, dest, c.version, c.has[dest], state)
			case !owed && state != "delivered":
				t.Fatalf("%s at %s: it has the newest, and is %s", id, dest, state)
			}
		}
	}
}

// drain ends all: windows are closed, letters retried, everything delivered.
func (m *machine) drain(t *rapid.T) {
	m.Crash(t)
	for range 2 { // the second one releases what was held
		m.now = m.now.Add(time.Second)
		m.ingest(t, store.Page{Stream: store.LiveStream, At: m.now, Close: &store.Interval{From: noon, To: m.now}})
	}
	for _, id := range m.fills {
		if _, err := m.d.SaveBackfill(id, store.BackfillChange{ReadDone: m.now}); err != nil {
			t.Fatal(err)
		}
	}
	letters, err := m.d.DeadLetters("", true, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		if _, err := m.d.EndDead([]uint64{l.Num}, true); err != nil {
			t.Fatal(err)
		}
	}
	for _, dest := range modelDests {
		last := map[store.Lane]time.Time{}
		for refs := m.heads(t, dest); len(refs) > 0; refs = m.heads(t, dest) {
			for _, ref := range refs {
				if ref.When.Before(last[ref.Lane]) {
					t.Fatalf("out of order: %+v", ref)
				}
				last[ref.Lane] = ref.When
				m.claim(t, ref)
				m.settle(t, m.inFlight[dest][ref.Lane], store.Delivered)
			}
		}
	}
	for _, id := range m.order {
		for dest := range m.calls[id].queued {
			if has := m.calls[id].has[dest]; has != m.calls[id].version {
				t.Fatalf("%s at %s: has version %d of %d in the end", id, dest, has, m.calls[id].version)
			}
		}
	}
	st, err := m.d.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if st.Pending != 0 || st.Dead != 0 {
		t.Fatalf("%d pending and %d dead in the end", st.Pending, st.Dead)
	}
	for _, b := range st.Backfills {
		if b.Pending() != 0 {
			t.Fatalf("backfill %+v has not ended", b)
		}
	}
	m.Check(t)
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "model")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // temporary
		m := &machine{
			path: filepath.Join(dir, "state.db"), now: noon.Add(time.Minute), calls: map[string]*modelCall{},
			inFlight: map[string]map[store.Lane]*store.Job{}, sent: map[string]string{},
		}
		m.open(t)
		defer func() { _ = m.d.Close() }()
		if err := begin(m.d); err != nil {
			t.Fatal(err)
		}
		t.Repeat(rapid.StateMachineActions(m))
		m.drain(t)
	})
}
