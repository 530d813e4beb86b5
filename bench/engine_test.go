package bench

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/sqlite"
	"github.com/vinfer-sync/vinfer-sync/crm/webhook"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

const workers = 8

// outcome is what one run from an empty store took.
type outcome struct {
	wall    time.Duration
	cpu     time.Duration // of this process, all that the engine does for it
	commits uint64
	bytes   int64 // of the state file
	memory  int64 // the most RssAnon seen
}

// run reads every call into an empty store and delivers it.
func run(b *testing.B, api string, calls int, kind string, w crm.Writer) outcome {
	b.Helper()
	state := filepath.Join(b.TempDir(), "state.db")
	began, used := time.Now(), spent()
	s, err := bolt.Open(state, bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	quiet := slog.New(slog.DiscardHandler)
	client, err := vinfer.New(vinfer.Config{BaseURL: api, Key: func() (secret.Text, error) { return secret.New("k"), nil }, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	e, err := engine.New(engine.Options{
		Name: "bench", API: client, Store: s, Start: time.Now().Add(-25 * time.Hour), Logger: quiet,
		Destinations: []engine.Destination{{
			Name: "d", Kind: kind, Writer: w, Workers: workers, Off: engine.Steps{Transcript: true},
		}},
	})
	if err != nil {
		b.Fatal(err)
	}
	most := watchMemory("self")
	if err := e.Start(); err != nil {
		b.Fatal(err)
	}
	sum, err := e.RunOnce(b.Context())
	o := outcome{wall: time.Since(began), cpu: spent() - used}
	e.Stop()
	o.memory = most()
	if err != nil || sum.Delivered != int64(calls) || sum.Pending != 0 {
		b.Fatalf("not all of %d calls were delivered: %+v, %v", calls, sum, err)
	}
	o.commits, o.bytes = stateFile(b, state)
	return o
}

// toReceiver runs with a receiver of webhooks.
func toReceiver(b *testing.B, api, receiver string, calls int) outcome {
	b.Helper()
	w, err := webhook.New(webhook.Config{URL: receiver, Events: []string{string(crm.CallCompleted)}}, workers)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	return run(b, api, calls, "webhook", w)
}

// stateFile returns the number of the last transaction and the size. bbolt keeps the number at the same place of each of
// the two meta pages that begin the file, which take turns.
func stateFile(b *testing.B, path string) (commits uint64, size int64) {
	b.Helper()
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, 2*os.Getpagesize())
	if _, err := io.ReadFull(f, head); err != nil {
		b.Fatal(err)
	}
	const txid = 64
	for _, at := range []int{txid, os.Getpagesize() + txid} {
		commits = max(commits, binary.LittleEndian.Uint64(head[at:]))
	}
	st, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	return commits, st.Size()
}

// plain is the loop that a script would be: it reads the pages, posts their rows side by side and remembers nothing.
func plain(b *testing.B, api, receiver string, calls int) outcome {
	b.Helper()
	used := spent()
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	defer c.CloseIdleConnections()
	began := time.Now()
	rows := make(chan json.RawMessage, 100)
	var posted atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for row := range rows {
				resp, err := c.Post(receiver, "application/json", bytes.NewReader(row))
				if err != nil {
					b.Error(err)
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				posted.Add(1)
			}
		})
	}
	since := url.QueryEscape(began.Add(-25 * time.Hour).UTC().Format(time.RFC3339))
	for offset := 0; offset < calls; offset += 100 {
		req, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%s/calls?after=%s&limit=100&offset=%d", api, since, offset), http.NoBody)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer k")
		resp, err := c.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		var page struct{ Data []json.RawMessage }
		err = json.NewDecoder(resp.Body).Decode(&page)
		_ = resp.Body.Close()
		if err != nil {
			b.Fatal(err)
		}
		for _, row := range page.Data {
			rows <- row
		}
	}
	close(rows)
	wg.Wait()
	if posted.Load() != int64(calls) {
		b.Fatalf("the plain loop posted %d of %d", posted.Load(), calls)
	}
	return outcome{wall: time.Since(began), cpu: spent() - used}
}

// spent is the processor time that this process has used.
func spent() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// least keeps the better of two runs: whatever else the machine does only adds.
func least(a, b outcome) outcome {
	if a.wall == 0 || b.wall < a.wall {
		a, b = b, a
	}
	if b.cpu > 0 {
		a.cpu = min(a.cpu, b.cpu)
	}
	return a
}

// likeTheProgram sets the collector as the program does.
func likeTheProgram(b *testing.B) {
	b.Helper()
	percent, limit := debug.SetGCPercent(200), debug.SetMemoryLimit(36<<20)
	b.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
}

// BenchmarkWaiting10k delivers calls that wait already, next to a loop that remembers nothing.
func BenchmarkWaiting10k(b *testing.B) {
	const calls, rounds = 10_000, 3
	likeTheProgram(b)
	api, receiver := child(b, "api", calls), child(b, "receiver", 0)
	var best, bare outcome
	var seen tally
	for b.Loop() {
		for range rounds {
			bare = least(bare, plain(b, api, receiver, calls))
			_ = told(b, receiver)
			best = least(best, toReceiver(b, api, receiver, calls))
			seen = told(b, receiver)
		}
	}
	ratio := best.wall.Seconds() / bare.wall.Seconds()
	b.ReportMetric(best.wall.Seconds(), "engine-s")
	b.ReportMetric(bare.wall.Seconds(), "plain-s")
	b.ReportMetric(ratio, "engine/plain")
	b.ReportMetric(best.cpu.Seconds(), "engine-cpu-s")
	b.ReportMetric(bare.cpu.Seconds(), "plain-cpu-s")
	b.ReportMetric(float64(seen.Connections), "connections")
	b.ReportMetric(float64(best.commits), "commits")
	b.ReportMetric(float64(best.bytes), "state-bytes")
	b.Logf("%d calls: engine %s (processor %s), plain loop %s (%s): %.1f times; %d connections for %d workers, %d commits, state file %.1f MB",
		calls, round(best.wall), round(best.cpu), round(bare.wall), round(bare.cpu), ratio, seen.Connections, workers, best.commits, mega(best.bytes))
}

// BenchmarkLatency delivers to a receiver that takes its time: then nothing but that should take any.
func BenchmarkLatency(b *testing.B) {
	const calls, latency = 2_000, 20 * time.Millisecond
	likeTheProgram(b)
	api, receiver := child(b, "api", calls), child(b, "receiver", latency)
	const rounds = 2
	var best, bare outcome
	var seen tally
	for b.Loop() {
		for range rounds {
			bare = least(bare, plain(b, api, receiver, calls))
			_ = told(b, receiver)
			best = least(best, toReceiver(b, api, receiver, calls))
			seen = told(b, receiver)
		}
	}
	ideal := calls * latency / workers
	over := func(o outcome) float64 { return 100 * (o.wall.Seconds()/ideal.Seconds() - 1) }
	b.ReportMetric(best.wall.Seconds(), "engine-s")
	b.ReportMetric(over(best), "%over")
	b.ReportMetric(over(bare), "plain-%over")
	b.ReportMetric(best.wall.Seconds()/bare.wall.Seconds(), "engine/plain")
	b.Logf("%d calls at %s each, by arithmetic %s: engine %s, %.1f %% over; plain loop %s, %.1f %% over; %d connections",
		calls, latency, round(ideal), round(best.wall), over(best), round(bare.wall), over(bare), seen.Connections)
}

// Benchmark100k delivers many calls: the time must grow as they do and the memory must not. Run it alone for the memory
// of this process to be that of the engine.
func Benchmark100k(b *testing.B) {
	const calls = 100_000
	likeTheProgram(b)
	api, receiver := child(b, "api", calls), child(b, "receiver", 0)
	var o outcome
	debug.FreeOSMemory() // of benchmarks before this one
	for b.Loop() {
		o = toReceiver(b, api, receiver, calls)
	}
	seen := told(b, receiver)
	var steps []time.Duration
	last := seen.First
	for _, at := range seen.Each {
		steps = append(steps, round(at.Sub(last)))
		last = at
	}
	b.ReportMetric(o.wall.Seconds(), "engine-s")
	b.ReportMetric(mega(o.memory), "RssAnon-MB")
	b.ReportMetric(float64(o.commits), "commits")
	b.ReportMetric(float64(o.bytes), "state-bytes")
	if n := len(steps); n > 1 {
		b.ReportMetric(steps[n-1].Seconds()/steps[0].Seconds(), "last/first")
	}
	b.Logf("%d calls: %s; each 10,000: %v; at most %.1f MB RssAnon, %d connections, %d commits, state file %.1f MB",
		calls, round(o.wall), steps, mega(o.memory), seen.Connections, o.commits, mega(o.bytes))
}

// BenchmarkSQLite10k delivers to the database.
func BenchmarkSQLite10k(b *testing.B) {
	const calls = 10_000
	likeTheProgram(b)
	api := child(b, "api", calls)
	var best outcome
	for b.Loop() {
		for range 2 {
			w, err := sqlite.New(sqlite.Config{Path: filepath.Join(b.TempDir(), "crm.db")}, crm.Settings{})
			if err != nil {
				b.Fatal(err)
			}
			o := run(b, api, calls, "sqlite", w)
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
			best = least(best, o)
		}
	}
	b.ReportMetric(best.wall.Seconds(), "engine-s")
	b.ReportMetric(calls/best.wall.Seconds(), "calls/s")
	b.Logf("%d calls into SQLite: %s, %.0f a second, %d commits of the store", calls, round(best.wall), calls/best.wall.Seconds(), best.commits)
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

func mega(n int64) float64 { return float64(n) / 1e6 }
