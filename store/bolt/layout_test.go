package bolt_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
)

var keepLayout = flag.Bool("keep-layout", false, "write the file of this layout that later programs must be able to read")

// layoutFile is a state file with something of every kind in it, as version 0.1.0 writes it.
const layoutFile = "testdata/layout5.db.gz"

// something fills a new store with something of every kind.
func something(t *testing.T, d *bolt.DB) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(begin(d))
	rows := make([]store.Row, 8)
	for n := range rows {
		rows[n] = call([]string{"delivered", "dead", "waits", "skipped", "claimed", "changed", "cut", "forgotten"}[n], n)
	}
	rows[3].Targets[0] = store.Target{Dest: "crm", Skip: "filter: campaign", Reason: store.LeftFiltered}
	p := pageOf(7, rows...)
	p.Unfinished = []store.Unfinished{{ID: "goes on", Body: []byte(`{"id":"goes on"}`), Due: noon.Add(time.Hour)}}
	p.Broken = []store.Broken{{Key: "row", Raw: []byte(`{"id":`), Err: "cut off"}}
	_, err := d.Ingest(p)
	must(err)
	settle := func(id string, o store.Outcome) {
		t.Helper()
		refs, _, err := d.Scan("crm", nil, 100, nil)
		must(err)
		for _, ref := range refs {
			if ref.ID == id {
				o.Job, o.At = ref, noon.Add(time.Minute)
				_, err := d.Settle(context.Background(), o)
				must(err)
			}
		}
	}
	settle("delivered", store.Outcome{Verdict: store.Delivered, Refs: map[string]string{"contact": "7"}, Warnings: []string{"w"}, SetStatus: true, Transcript: true})
	settle("dead", store.Outcome{Verdict: store.Dead, Error: "400", Signature: "400", HaltAfter: 8, Request: "POST /x"})
	settle("waits", store.Outcome{Verdict: store.Retry, Error: "503", Due: noon.Add(time.Hour), CountFail: true})
	settle("cut", store.Outcome{Verdict: store.Skip, Error: "no contact has this number", LeftOut: []string{store.LeftSkipped}})
	hook, _, err := d.Scan("hook", nil, 100, nil)
	must(err)
	for _, ref := range hook {
		if ref.ID == "claimed" {
			_, err := d.Claim(context.Background(), []store.JobRef{ref})
			must(err)
		}
	}
	rows[5].Fields[0].Hash++
	late := call("late", -5)
	_, err = d.Ingest(store.Page{Stream: store.SweepStream, At: noon.Add(2 * time.Minute), Rows: []store.Row{rows[5], late}, Close: &store.Interval{}})
	must(err)
	b, _, err := d.OpenBackfill("--since x", []byte(`{"since":"x"}`), noon)
	must(err)
	_, err = d.Ingest(store.Page{Stream: store.BackfillStream(b.ID), Backfill: b.ID, At: noon, Rows: []store.Row{call("long ago", -9000)}, Checkpoint: []byte("half"), Seen: 1})
	must(err)
	must(d.Hold("crm", store.Hold{Reason: "401", At: noon}))
	must(d.Hold("hook", store.Hold{Reason: "maintenance", Operator: true, At: noon}))
	must(d.PutSetting(store.AuditedSetting, []byte(noon.Format(time.RFC3339))))
	_, err = d.Forget(store.Forgetting{IDs: []string{"forgotten"}, At: noon.Add(time.Hour)})
	must(err)
}

// shown is all that a store shows.
func shown(t *testing.T, d *bolt.DB) string {
	t.Helper()
	var all []any
	add := func(v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	st, err := d.Stats()
	st.Salt = nil
	for i := range st.Dests {
		st.Dests[i].Since = time.Time{} // when the test ran
	}
	add(st, err)
	calls, err := d.Calls(store.CallQuery{N: 100})
	add(calls, err)
	for _, c := range calls {
		l, err := d.Life(c.ID)
		add(l, err)
	}
	add(d.DeadLetters("", true, 0, 100))
	for _, dest := range []string{"crm", "hook"} {
		refs, _, err := d.Scan(dest, nil, 100, nil)
		add(refs, err)
		claimed, err := d.Claim(context.Background(), refs)
		add(claimed, err)
	}
	for _, kind := range []store.WatchKind{store.TranscriptWatch, store.FinishWatch} {
		due, _, err := d.DueWatches(kind, noon.AddDate(1, 0, 0), 100)
		add(due, err)
	}
	got, err := d.Ingest(pageOf(9, call("forgotten", 7)))
	add(got, err)
	b, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A file of a released layout is read as what it was written for, by this program and all that follow.
func TestReleasedLayoutIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new.db")
	d := open(t, path)
	something(t, d)
	if err := errors.Join(d.Check(), d.Close()); err != nil {
		t.Fatal(err)
	}
	if *keepLayout {
		keep(t, path)
	}
	packed, err := os.Open(layoutFile)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close() //nolint:errcheck // only read
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(t.TempDir(), "old.db")
	write(t, old, b)
	now, then := open(t, path), open(t, old)
	defer now.Close()  //nolint:errcheck // only shown
	defer then.Close() //nolint:errcheck // only shown
	if err := then.Check(); err != nil {
		t.Fatal(err)
	}
	if a, b := shown(t, now), shown(t, then); a != b {
		t.Errorf("the old file shows\n%s\nand a new one\n%s", b, a)
	}
}

func keep(t *testing.T, path string) {
	t.Helper()
	d, err := bolt.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.WriteTo(z); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(z.Close(), d.Close(), os.MkdirAll("testdata", 0o755), os.WriteFile(layoutFile, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}
