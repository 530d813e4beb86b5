package bolt

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// benchBody has about the size of a call's body.
var benchBody = []byte(fmt.Sprintf(`{"call":{"id":"call_0123456789abcdef","summary":%q}}`, make([]byte, 100)))

func benchStore(b *testing.B) (*DB, string) {
	b.Helper()
	path := filepath.Join(b.TempDir(), "state.db")
	d, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	if _, err := d.Begin(time.Unix(0, 0), []store.DestSpec{{Name: "crm", Kind: "webhook", AppendOnly: true}}); err != nil {
		b.Fatal(err)
	}
	return d, path
}

func benchPage(n int) store.Page {
	now := time.Unix(1_800_000_000+int64(n), 0).UTC()
	p := store.Page{Stream: store.LiveStream, At: now, Close: &store.Interval{From: now.Add(-time.Second), To: now}}
	for i := range 100 {
		id := fmt.Sprintf("call_%08x_%06d", uint32(n*100+i)*2654435761, n*100+i)
		r := store.Row{ID: id, When: now, Body: benchBody, Targets: []store.Target{{Dest: "crm"}}}
		copy(r.Lane[:], id[5:])
		for tag := range 10 {
			r.Fields = append(r.Fields, store.Field{Tag: byte(tag), Hash: uint32(i * tag)})
		}
		p.Rows = append(p.Rows, r)
	}
	return p
}

// BenchmarkIngest stores pages of 100 new calls.
func BenchmarkIngest(b *testing.B) {
	d, _ := benchStore(b)
	n := 0
	for b.Loop() {
		if _, err := d.Ingest(benchPage(n)); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

// BenchmarkReread takes pages of 100 known calls that have not changed.
func BenchmarkReread(b *testing.B) {
	d, _ := benchStore(b)
	for n := range 100 {
		if _, err := d.Ingest(benchPage(n)); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	for b.Loop() {
		if _, err := d.Ingest(benchPage(n % 100)); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

// BenchmarkSettle8 has eight workers of an append-only destination settle and claim side by side; an operation is one group of eight.
func BenchmarkSettle8(b *testing.B) {
	d, _ := benchStore(b)
	const workers = 8
	pages := b.N*workers/100 + 1
	for n := range pages {
		if _, err := d.Ingest(benchPage(n)); err != nil {
			b.Fatal(err)
		}
	}
	var refs []store.JobRef
	var from []byte
	for {
		jobs, next, err := d.Scan("crm", from, 1000, nil)
		if err != nil {
			b.Fatal(err)
		}
		refs = append(refs, jobs...)
		if from = next; next == nil {
			break
		}
	}
	b.ResetTimer()
	done := make(chan error, workers)
	for w := range workers {
		go func() {
			mine := refs[w*b.N : (w+1)*b.N]
			var err error
			for i := 0; i < len(mine) && err == nil; i++ {
				if _, err = d.Claim(context.Background(), mine[i:i+1]); err == nil {
					_, err = d.Settle(context.Background(), store.Outcome{Job: mine[i], Verdict: store.Delivered, At: time.Unix(1_800_000_000, 0)})
				}
			}
			done <- err
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScan reads the heads of a backlog of 10,000 lanes.
func BenchmarkScan(b *testing.B) {
	d, _ := benchStore(b)
	for n := range 100 {
		if _, err := d.Ingest(benchPage(n)); err != nil {
			b.Fatal(err)
		}
	}
	var from []byte
	for b.Loop() {
		_, next, err := d.Scan("crm", from, 256, nil)
		if err != nil {
			b.Fatal(err)
		}
		from = next
	}
}

// BenchmarkSize reports the file's size with 100,000 calls, waiting and then delivered.
func BenchmarkSize(b *testing.B) {
	for b.Loop() {
		d, path := benchStore(b)
		size := func() float64 {
			st, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			return float64(st.Size()) / (1 << 20)
		}
		for n := range 1000 {
			if _, err := d.Ingest(benchPage(n)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(size(), "MiB-waiting")
		var from []byte
		for done := false; !done; {
			jobs, next, err := d.Scan("crm", from, 500, nil)
			if err != nil {
				b.Fatal(err)
			}
			settleAll(b, d, jobs, store.Outcome{Verdict: store.Delivered, At: time.Unix(1_800_000_000, 0)})
			from, done = next, next == nil
		}
		b.ReportMetric(size(), "MiB-delivered")
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
