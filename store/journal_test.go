package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// journaled is a store whose journal is worked in only when something needs it.
func journaled(t *testing.T, pages int) (*DB, []JobRef) {
	t.Helper()
	d := openTest(t)
	d.soon.closed = true
	for n := range pages {
		if _, err := d.Ingest(benchPage(n)); err != nil {
			t.Fatal(err)
		}
	}
	return d, allRefs(t, d)
}

func allRefs(t *testing.T, d *DB) (refs []JobRef) {
	t.Helper()
	var from []byte
	for {
		jobs, next, err := d.Scan("crm", from, 1000, nil)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, jobs...)
		if from = next; next == nil {
			return refs
		}
	}
}

var longRef = "https://crm.internal/" + strings.Repeat("x", 200)

func deliver(t *testing.T, d *DB, slot int, ref JobRef, claim *JobRef) Settled {
	t.Helper()
	s, err := d.Settle(context.Background(), slot, Outcome{Job: ref, Verdict: Delivered, At: time.Unix(1_800_000_000, 0), Refs: map[string]string{"id": ref.ID, "url": longRef}}, claim)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// crash returns the store as it opens after a kill now.
func crash(t *testing.T, d *DB) *DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	if err := d.CrashTo(path); err != nil {
		t.Fatal(err)
	}
	return reopen(t, path)
}

func reopen(t *testing.T, path string) *DB {
	t.Helper()
	d, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	return d
}

// arrived checks that just the first n of refs are delivered.
func arrived(t *testing.T, d *DB, refs []JobRef, n int) {
	t.Helper()
	st, err := d.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if st.Pending != len(refs)-n || st.Dests[0].Delivered != int64(n) {
		t.Fatalf("%d pending and %d delivered of %d, want %d delivered", st.Pending, st.Dests[0].Delivered, len(refs), n)
	}
	for i, ref := range refs {
		l, err := d.Life(ref.ID)
		if err != nil {
			t.Fatal(err)
		}
		if x := l.Dests[0]; (x.State == "delivered") != (i < n) || i < n && x.Refs["id"] != ref.ID {
			t.Fatalf("job %d of %d: %+v", i, n, x)
		}
	}
}

// What was acknowledged and stands only in the journal survives a kill, the claim of what was under way with it.
func TestJournalSurvives(t *testing.T) {
	d, refs := journaled(t, 1)
	const n = 40
	commits := writes(t, d, func() {
		for i := range n {
			if s := deliver(t, d, 3, refs[i], &refs[i+1]); s.Claimed == nil || s.Claimed.ID != refs[i+1].ID || s.Claimed.Attempts != 0 {
				t.Fatalf("claimed %+v", s.Claimed)
			}
		}
	})
	if waiting := len(d.ahead.pending()); commits != 0 || waiting != n {
		t.Fatalf("%d commits, %d entries in the journal", commits, waiting)
	}
	if left := allRefs(t, d); len(left) != len(refs)-n || left[0].ID != refs[n].ID {
		t.Fatalf("%d jobs are still to be seen", len(left))
	}
	c := crash(t, d)
	arrived(t, c, refs, n)
	left := allRefs(t, c)
	if left[0].ID != refs[n].ID || left[0].Attempts != 1 || left[1].Attempts != 0 {
		t.Fatalf("what was under way: %+v", left[:2])
	}
	if _, err := os.Stat(journalPath(c.path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the journal after it was worked in: %v", err)
	}
	// The kill came after that and before the file was removed.
	path := c.path
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	left0 := left
	if err := os.Rename(mustCopy(t, d.journal.path), journalPath(path)); err != nil {
		t.Fatal(err)
	}
	c = reopen(t, path)
	arrived(t, c, refs, n)
	if left := allRefs(t, c); left[0].Attempts != left0[0].Attempts {
		t.Errorf("worked in twice: %+v", left[0])
	}
	// And the store that lives on closes with nothing left to do.
	arrived(t, d, refs, n)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(journalPath(d.path)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the journal after the store was closed: %v", err)
	}
	arrived(t, reopen(t, d.path), refs, n)
}

func mustCopy(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// A kill while the buckets are brought up to the journal: before their commit, and between the commit and all that follows.
func TestKillWhileWorkingIn(t *testing.T) {
	d, refs := journaled(t, 1)
	for i := range 30 {
		deliver(t, d, i%8, refs[i], nil)
	}
	before := filepath.Join(t.TempDir(), "state.db")
	d.beforeCommit = func() {
		d.beforeCommit = nil
		if err := d.CrashTo(before); err != nil {
			t.Error(err)
		}
	}
	if err := d.workIn(); err != nil {
		t.Fatal(err)
	}
	arrived(t, reopen(t, before), refs, 30)
	deliver(t, d, 1, refs[30], nil) // the journal has old and new entries
	c := crash(t, d)
	arrived(t, c, refs, 31)
	deliver(t, c, 1, refs[31], nil) // its numbers go on
	arrived(t, crash(t, c), refs, 32)
}

// The halves are filled by turns, whatever is worked in when, and at any time a kill loses nothing. A full journal lets the buckets do the work.
func TestJournalTurns(t *testing.T) {
	d, refs := journaled(t, 30)
	n, full := 0, false
	at := map[int]bool{}
	for range 12 {
		at[rand.IntN(len(refs))] = true
	}
	for ; n < len(refs); n++ {
		before := d.ahead.worked
		deliver(t, d, n%8, refs[n], nil)
		full = full || d.ahead.worked > before
		if n > 2600 && n%200 == 0 {
			if err := d.workIn(); err != nil {
				t.Fatal(err)
			}
		}
		if at[n] {
			c := crash(t, d)
			st, err := c.Stats()
			if err != nil || st.Dests[0].Delivered != int64(n+1) {
				t.Fatalf("%d delivered, want %d; %v", st.Dests[0].Delivered, n+1, err)
			}
		}
	}
	if !full {
		t.Error("the journal never became full")
	}
	arrived(t, crash(t, d), refs, n)
}

// Of a journal that was cut or damaged anywhere what stands before that counts, and nothing else.
func TestTornJournal(t *testing.T) {
	d, refs := journaled(t, 1)
	const n = 5
	var ends []int
	for i := range n {
		deliver(t, d, 0, refs[i], nil)
		ends = append(ends, journalHeader+int(d.journal.at))
	}
	whole, err := os.ReadFile(d.journal.path)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	base := filepath.Join(t.TempDir(), "state.db")
	if err := d.CrashTo(base); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(base); err != nil {
		t.Fatal(err)
	} else {
		file.Write(b)
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := bytes.Clone(whole)
		at := rapid.IntRange(0, ends[n-1]-1).Draw(rt, "at")
		if rapid.Bool().Draw(rt, "cut") {
			b = b[:at]
		} else {
			b[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		}
		want := 0
		for want < n && at >= ends[want] {
			want++
		}
		if at < len(journalMagic)+len(d.journal.install) {
			want = 0 // another store's, or none at all
		} else if at < journalHeader && len(b) == len(whole) {
			want = n // where nothing stands
		}
		dir, err := os.MkdirTemp("", "torn")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // temporary
		path := filepath.Join(dir, "state.db")
		if err := errors.Join(os.WriteFile(path, file.Bytes(), 0o600), os.WriteFile(journalPath(path), b, 0o600)); err != nil {
			rt.Fatal(err)
		}
		c, err := Open(path, Options{})
		if err != nil {
			rt.Fatal(err)
		}
		defer c.Close() //nolint:errcheck // only read
		st, err := c.Stats()
		if err != nil || st.Dests[0].Delivered != int64(want) {
			rt.Fatalf("damaged at %d (records end at %v): %d delivered, want %d; %v", at, ends, st.Dests[0].Delivered, want, err)
		}
		if err := c.Check(); err != nil {
			rt.Fatal(err)
		}
	})
}

// A journal of another store is not this one's.
func TestForeignJournal(t *testing.T) {
	d, refs := journaled(t, 1)
	deliver(t, d, 0, refs[0], nil)
	other, theirs := journaled(t, 1)
	path := filepath.Join(t.TempDir(), "state.db")
	if err := other.CrashTo(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(mustCopy(t, d.journal.path), journalPath(path)); err != nil {
		t.Fatal(err)
	}
	arrived(t, reopen(t, path), theirs, 0)
}

// A job that is claimed sees what the journal knows of its contact.
func TestJournalOrdersLane(t *testing.T) {
	d := openTest(t)
	d.soon.closed = true
	p := benchPage(0)
	p.Rows = p.Rows[:3]
	for i := range p.Rows {
		p.Rows[i].Lane, p.Rows[i].When = Lane{1}, p.At.Add(time.Duration(i-3)*time.Second)
	}
	if _, err := d.Ingest(p); err != nil {
		t.Fatal(err)
	}
	refs := allRefs(t, d)
	if len(refs) != 1 {
		t.Fatalf("%d heads of one lane", len(refs))
	}
	first, err := d.Claim(context.Background(), 0, refs[0])
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Settle(context.Background(), 0, Outcome{Job: first.JobRef, Verdict: Delivered, SetStatus: true}, nil)
	if err != nil || s.Next == nil || s.Next.ID != p.Rows[1].ID {
		t.Fatalf("%+v, %v", s, err)
	}
	// An older call of the lane comes late: it is told so, by what is only in the journal.
	if len(d.ahead.pending()) != 2 {
		t.Fatalf("%d entries in the journal", len(d.ahead.pending()))
	}
	if got := allRefs(t, d); len(got) != 1 || got[0].ID != p.Rows[1].ID {
		t.Fatalf("the lane's head is %+v", got)
	}
	job, err := d.Claim(context.Background(), 0, *s.Next)
	if err != nil || job.Older || job.OlderStatus {
		t.Fatalf("%+v, %v", job, err)
	}
	s, err = d.Settle(context.Background(), 0, Outcome{Job: job.JobRef, Verdict: Delivered, SetStatus: true}, s.Next)
	if err != nil || s.Claimed != nil || s.Next == nil || s.Next.ID != p.Rows[2].ID {
		t.Fatalf("a claim of what was just settled: %+v, %v", s, err)
	}
	late := benchPage(1)
	late.Rows = late.Rows[:1]
	late.Rows[0].Lane, late.Rows[0].When = Lane{1}, p.At.Add(-10*time.Second)
	if _, err := d.Ingest(late); err != nil {
		t.Fatal(err)
	}
	if job, err = d.Claim(context.Background(), 0, allRefs(t, d)[0]); err != nil || job.ID != late.Rows[0].ID || !job.Older || !job.OlderStatus {
		t.Fatalf("%+v, %v", job, err)
	}
}

// A file of the first layout opens, keeps all that it has, and can be worked on.
func TestFirstLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	f, err := os.Open("testdata/layout1.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		d := reopen(t, path)
		st, err := d.Stats()
		if err != nil || st.Pending != 12 || st.Dead != 2 || st.Transcripts != 1 || st.Dests[1].Delivered != 5 {
			t.Fatalf("round %d: %+v, %v", round, st, err)
		}
		refs, _, err := d.Scan("hook", nil, 100, nil)
		if err != nil || len(refs) != 6 || refs[0].ID != "c06" || refs[0].Attempts != 1 {
			t.Fatalf("round %d: %+v, %v", round, refs, err)
		}
		if round == 1 {
			deliver(t, d, 0, refs[0], &refs[1])
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l, err := reopen(t, path).Life("c06")
	if err != nil || l.Dests[1].State != "delivered" || l.Dests[1].Attempts != 2 || l.Dests[0].State != "pending" {
		t.Fatalf("%+v, %v", l, err)
	}
}

// Who was forgotten stands in no journal either.
func TestForgetScrubsJournal(t *testing.T) {
	d, refs := journaled(t, 1)
	for i := range 3 {
		deliver(t, d, 0, refs[i], &refs[i+1])
	}
	f, err := os.Open(d.journal.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	if _, err := d.Forget(Forgetting{IDs: []string{refs[1].ID}, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); err != nil || len(b) == 0 || bytes.Contains(b, []byte(refs[1].ID)) {
		t.Errorf("%d bytes of the journal, %v; with the call: %v", len(b), err, bytes.Contains(b, []byte(refs[1].ID)))
	}
	if _, err := os.Stat(d.journal.path); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	deliver(t, d, 0, refs[3], nil)
	if st, err := crash(t, d).Stats(); err != nil || st.Dests[0].Delivered != 4 {
		t.Fatalf("%+v, %v", st, err)
	}
}
