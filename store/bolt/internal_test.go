package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/internal/records"
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
	for n, months := range []int{0, 1, 3} { // pages of three generations
		p := benchPage(n)
		p.At = p.At.AddDate(0, months, 0)
		if _, err := d.Ingest(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	edit := func(f func(older, newest *bbolt.Bucket) error) {
		t.Helper()
		if err := d.bolt.Update(func(tx *bbolt.Tx) error {
			b, g := tx.Bucket([]byte("ledger")), txn{tx}.Generations("ledger")
			return f(b.Bucket(generation(g[len(g)-1])), b.Bucket(generation(g[0])))
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{0, 50, 99} {
		var id []byte
		edit(func(older, newest *bbolt.Bucket) error {
			c := older.Cursor()
			k, v := c.First()
			for range n {
				k, v = c.Next()
			}
			id = bytes.Clone(k)
			return newest.Put(id, v)
		})
		if err := d.Check(); !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "two") {
			t.Errorf("%s is there twice: %v", id, err)
		}
		edit(func(_, newest *bbolt.Bucket) error { return newest.Delete(id) })
	}
}

func setSchema(t *testing.T, d *DB, v int) string {
	t.Helper()
	err := d.bolt.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte(strconv.Itoa(v)))
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
	if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "version 7") || !strings.Contains(err.Error(), fmt.Sprint("up to ", records.Layout)) {
		t.Fatal(err)
	}
}

func TestOlderSchema(t *testing.T) {
	path := setSchema(t, openTest(t), records.Layout-1)
	_, err := Open(path, Options{})
	if !errors.Is(err, store.ErrOlder) || !strings.Contains(err.Error(), fmt.Sprint("version ", records.Layout-1)) || !strings.Contains(err.Error(), "backfill") {
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
			if d.Queued() == n {
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
