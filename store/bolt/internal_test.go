package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"github.com/vinfer-sync/vinfer-sync/store"
)

func openTest(t *testing.T) *DB {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "state.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if _, err := d.Begin(time.Unix(0, 0), []store.DestSpec{{Name: "crm", Kind: "webhook", AppendOnly: true}}); err != nil {
		t.Fatal(err)
	}
	return d
}

// A fault in the mapped file is an error, and the store says the same from then on.
func TestFault(t *testing.T) {
	d := openTest(t)
	for n := range 5 {
		if _, err := d.Ingest(benchPage(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(d.path, 8192); err != nil {
		t.Fatal(err)
	}
	d.size.Store(0)
	for range 2 {
		if _, _, err := d.Scan("crm", nil, 1000, nil); !errors.Is(err, store.ErrDamaged) {
			t.Fatal(err)
		}
	}
	if _, err := d.Stats(); !errors.Is(err, store.ErrDamaged) {
		t.Fatal(err)
	}
}

// An id that two generations have would be recognised by the newer and forgotten with the older.
func TestCheckFindsWhatIsKeptTwice(t *testing.T) {
	d := openTest(t)
	base := generation(time.Unix(1_800_000_000, 0))
	keep := func(g uint64, ids ...string) {
		t.Helper()
		if err := d.update(func(t *txn) error {
			for _, id := range ids {
				k := callKey(id)
				if err := t.keep(bucketLedger, g, k, (&ledgerRec{rev: 1}).encode(k), false, 0); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	keep(base, "a", "c", "f", "k")
	keep(base+1, "b", "d", "g")
	keep(base+3, "e", "l")
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "g", "k"} {
		keep(base+3, id)
		if err := d.Check(); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "two") {
			t.Errorf("%s is there twice: %v", id, err)
		}
		if err := d.update(func(t *txn) error {
			t.changed = true
			return t.bucket(bucketLedger).Bucket(u64Key(base + 3)).Delete(callKey(id))
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func setSchema(t *testing.T, d *DB, v int) string {
	t.Helper()
	err := d.bolt.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Put(keySchema, []byte(strconv.Itoa(v)))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return d.path
}

func TestNewerSchema(t *testing.T) {
	path := setSchema(t, openTest(t), 7)
	_, err := Open(path, Options{})
	if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "version 7") || !strings.Contains(err.Error(), fmt.Sprint("up to ", schema)) {
		t.Fatal(err)
	}
}

func TestOlderSchema(t *testing.T) {
	path := setSchema(t, openTest(t), schema-1)
	_, err := Open(path, Options{})
	if !errors.Is(err, store.ErrOlder) || !strings.Contains(err.Error(), fmt.Sprint("version ", schema-1)) || !strings.Contains(err.Error(), "backfill") {
		t.Fatal(err)
	}
}

// writes counts the commits of f.
func writes(t *testing.T, d *DB, f func()) int {
	t.Helper()
	id := func() (id int) {
		_ = d.bolt.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil })
		return id
	}
	before := id()
	f()
	return id() - before
}

// A poll that brings nothing new writes nothing; nor does anything else that changes nothing.
func TestQuiet(t *testing.T) {
	d := openTest(t)
	p := benchPage(1)
	p.Unfinished = []store.Unfinished{{ID: "u", Body: []byte("x")}}
	p.Broken = []store.Broken{{Key: "b"}}
	ingest := func(p store.Page) {
		if _, err := d.Ingest(p); err != nil {
			t.Fatal(err)
		}
	}
	if n := writes(t, d, func() { ingest(p) }); n != 1 {
		t.Fatalf("%d commits for a page", n)
	}
	quiet := func(what string, f func()) {
		t.Helper()
		if n := writes(t, d, f); n != 0 {
			t.Errorf("%s: %d commits", what, n)
		}
	}
	quiet("known page", func() { ingest(p) })
	q := p
	q.Close = nil
	quiet("known page, window open", func() { ingest(q) })
	quiet("prune", func() { _, _ = d.Prune(time.Unix(0, 0), time.Unix(0, 0)) })
	quiet("begin", func() {
		_, _ = d.Begin(time.Unix(5, 0), []store.DestSpec{{Name: "crm", Kind: "webhook", AppendOnly: true}})
	})
	quiet("resume", func() { _ = d.Hold("crm", store.Hold{}) })
	q.Close = &store.Interval{From: p.Close.To, To: p.Close.To.Add(time.Second)}
	if n := writes(t, d, func() { ingest(q) }); n != 1 {
		t.Errorf("%d commits for a window that moves on", n)
	}
	q.At = p.At.AddDate(0, 3, 0)
	if n := writes(t, d, func() { ingest(q) }); n != 1 {
		t.Errorf("%d commits for calls seen again months later", n)
	}
	quiet("seen again", func() { ingest(q) })
}

// Ops that are queued while a commit runs share the next one; one that fails does not take the others with it.
func TestGroup(t *testing.T) {
	d := openTest(t)
	if _, err := d.Ingest(benchPage(1)); err != nil {
		t.Fatal(err)
	}
	refs, _, err := d.Scan("crm", nil, 100, nil)
	if err != nil {
		t.Fatal(err)
	}
	hold, held := make(chan struct{}), make(chan struct{}, 100)
	d.beforeCommit = func() { held <- struct{}{}; <-hold }
	results := make(chan error, 20)
	settle := func(ref store.JobRef) {
		_, err := d.Settle(context.Background(), store.Outcome{Job: ref, Verdict: store.Delivered})
		results <- err
	}
	queued := func(n int) {
		for {
			if d.queue.Queued() == n {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
	n := 1
	func() {
		go settle(refs[0])
		<-held
		for i := range 8 {
			go settle(refs[1+i])
		}
		go settle(store.JobRef{Dest: "nobody"})
		queued(9)
		ctx, cancel := context.WithCancel(context.Background())
		waiting := make(chan error)
		go func() {
			_, err := d.Settle(ctx, store.Outcome{Job: refs[20]})
			waiting <- err
		}()
		queued(10)
		cancel()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("an op that was not taken: %v", err)
		}
		close(hold)
		failed := 0
		for range 10 {
			if err := <-results; errors.Is(err, store.ErrUnknown) {
				failed++
			} else if err != nil {
				t.Error(err)
			}
		}
		if failed != 1 {
			t.Errorf("%d ops failed", failed)
		}
		n += len(held)
	}()
	if n != 2 {
		t.Errorf("%d commits for one op and a group", n)
	}
	st, err := d.Stats()
	if err != nil || st.Pending != 91 {
		t.Fatalf("%d pending, %v", st.Pending, err)
	}
}

func TestDiff(t *testing.T) {
	f := func(s string) (out []store.Field) {
		for _, p := range strings.Fields(s) {
			out = append(out, store.Field{Tag: p[0], Hash: uint32(p[1])})
		}
		return out
	}
	for _, x := range []struct{ known, fresh, changed, merged string }{
		{"", "", "", ""},
		{"", "a1", "a", "a1"},
		{"a1", "", "", "a1"},
		{"a1 c1", "a1 c1", "", "a1 c1"},
		{"a1 c1", "b1", "b", "a1 b1 c1"},
		{"a1 c1", "c2", "c", "a1 c2"},
		{"b1", "a1 b1 c1", "ac", "a1 b1 c1"},
	} {
		changed, merged := diff(f(x.known), f(x.fresh))
		if string(changed) != x.changed || len(merged) != len(f(x.merged)) || len(merged) > 0 && !reflect.DeepEqual(merged, f(x.merged)) {
			t.Errorf("%+v: %q %v", x, changed, merged)
		}
	}
}

// Intervals against a plain set of seconds.
func TestIntervals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sec := func(n int) time.Time { return time.Unix(int64(n), 0).UTC() }
		const end = 40
		m := &metaRec{first: sec(0)}
		read := [end + 1]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				a, b := rapid.IntRange(0, end).Draw(t, "from"), rapid.IntRange(0, end).Draw(t, "to")
				m.join(store.Interval{From: sec(a), To: sec(b)})
				for i := a + 1; i <= b; i++ {
					read[i] = true
				}
			},
			"cut": func(t *rapid.T) {
				a := rapid.IntRange(0, end).Draw(t, "at")
				m.read = until(m.read, sec(a))
				for i := a + 1; i <= end; i++ {
					read[i] = false
				}
			},
			"": func(t *rapid.T) {
				want := 0
				for want < end && read[want+1] {
					want++
				}
				if !m.watermark().Equal(sec(want)) {
					t.Fatalf("watermark %v, want %d; %v", m.watermark().Unix(), want, m.read)
				}
				for i := 1; i <= end; i++ {
					in := 0
					for _, iv := range m.read {
						if sec(i).After(iv.From) && !sec(i).After(iv.To) {
							in++
						}
					}
					if in > 1 || (in == 1) != read[i] {
						t.Fatalf("second %d is in %d intervals, read: %v", i, in, read[i])
					}
				}
			},
		})
	})
}

// Keys sort as what they name.
func TestKeyOrder(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) jobKey {
		return jobKey{
			dest: 1, when: fromMicros(rapid.SampledFrom([]int64{-62135596800000000, -1, 0, 1, 256, 1_800_000_000_000_000, 253402300799000000}).Draw(t, "when")),
			id:   rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 'a', 'b', 0xff}), 0, 4, -1).Draw(t, "id"),
			kind: store.Kind(rapid.IntRange(0, 1).Draw(t, "kind")), rev: rapid.IntRange(1, 300).Draw(t, "rev"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		want := a.when.Compare(b.when)
		if want == 0 {
			want = strings.Compare(a.id, b.id)
		}
		if want == 0 {
			want = int(a.kind) - int(b.kind)
		}
		if want == 0 {
			want = a.rev - b.rev
		}
		if got := bytes.Compare(a.bytes(), b.bytes()); (got > 0) != (want > 0) || (got < 0) != (want < 0) {
			t.Fatalf("%+v and %+v: %d, want %d", a, b, got, want)
		}
		k, ok := parseJobKey(a.bytes())
		if !ok || k != a {
			t.Fatalf("%+v came back as %+v", a, k)
		}
		l := laneKey(a.bytes(), store.Lane{7})
		if !bytes.Equal(jobOfLane(l, a.prio), a.bytes()) {
			t.Fatal("the lane index leads elsewhere")
		}
	})
}

func TestTimes(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(0, 0).UTC(), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)} {
		if got := fromMicros(micros(at)); !got.Equal(at) || got.IsZero() != at.IsZero() {
			t.Errorf("%v came back as %v", at, got)
		}
	}
	for _, at := range []time.Time{time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0), time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if y := fromMicros(micros(at)).Year(); y < 1 || y > 9999 {
			t.Errorf("%v became year %d", at, y)
		}
	}
}
