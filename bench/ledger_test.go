package bench

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// idsVar says how many ids the ledger of BenchmarkLedger holds, against which a small one is compared. To make millions takes minutes: a folder
// named by keepVar keeps what was made for the next time.
const (
	idsVar  = "BENCH_IDS"
	keepVar = "BENCH_KEEP"
	fewIDs  = 10_000
	someIDs = 200_000
)

// ledgerDays is how long ids are recognised, receiptDays how long receipts are kept, by default.
const ledgerDays, receiptDays = 400, 90

const day = 24 * time.Hour

// fill makes a store that has seen n calls, as many each day for as long as a call is recognised. It goes through the store's own transactions, only that
// their pages are longer than the API's. The ids of one generation come in their order: a tree that grows so has half full leaves, which is the worse case.
func fill(b *testing.B, path string, n int) {
	b.Helper()
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}()
	now := time.Now().UTC().Truncate(time.Second)
	first := now.Add(-ledgerDays * day)
	if _, err := s.Begin(first, []store.DestSpec{{Name: "file", Kind: "jsonl", AppendOnly: true}}); err != nil {
		b.Fatal(err)
	}
	const pages, most = 100, 20_000
	dice := rand.New(rand.NewPCG(1, 1))
	fields := make([]store.Field, 11) // as many as a call of the guide's has
	for i := range fields {
		fields[i].Tag = byte(i + 1)
	}
	for done := 0; done < n; {
		// The calls of a few days, in pages.
		part := min(n-done, max(n/pages, 1))
		ids := make([]string, part)
		var raw [12]byte
		for i := range ids {
			for k := range raw {
				raw[k] = byte(dice.Uint32())
			}
			ids[i] = "call_" + hex.EncodeToString(raw[:])
		}
		slices.Sort(ids)
		for len(ids) > 0 {
			rows := ids[:min(len(ids), most)]
			ids = ids[len(rows):]
			done += len(rows)
			at := first.Add(time.Duration(float64(ledgerDays*day-time.Hour) * float64(done) / float64(n)))
			p := store.Page{Stream: store.LiveStream, At: at, Close: &store.Interval{From: first, To: at}}
			for _, id := range rows {
				for i := range fields {
					fields[i].Hash = dice.Uint32()
				}
				r := store.Row{ID: id, When: at.Add(-time.Minute), Fields: slices.Clone(fields), Targets: []store.Target{{Dest: "file", Skip: "filter: not interested"}}}
				copy(r.Lane[:], id[5:])
				p.Rows = append(p.Rows, r)
			}
			if _, err := s.Ingest(p); err != nil {
				b.Fatal(err)
			}
			for more := true; more; {
				if more, err = s.Prune(at.Add(-receiptDays*day), at.Add(-ledgerDays*day)); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
}

// filled puts a store with n ids at path and returns how long it took to make it, if it was.
func filled(b *testing.B, path string, n int) (took time.Duration) {
	b.Helper()
	for _, old := range []string{path, path + ".id"} {
		_ = os.Remove(old)
	}
	made := path
	if keep := os.Getenv(keepVar); keep != "" {
		made = filepath.Join(keep, strconv.Itoa(n), "state.db")
	}
	if _, err := os.Stat(made); err != nil {
		began := time.Now()
		fill(b, made+".making", n)
		took = time.Since(began)
		if err := os.Rename(made+".making", made); err != nil {
			b.Fatal(err)
		}
	}
	if made == path {
		return took
	}
	from, err := os.Open(made)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(to.Sync(), to.Close()); err != nil {
		b.Fatal(err)
	}
	return took
}

// nowhere takes calls and does nothing.
type nowhere struct{}

func (nowhere) Write(context.Context, crm.Entry, *crm.Progress) error { return nil }
func (nowhere) Close() error                                          { return nil }

// cost is what one poll takes of this process and its disk.
type cost struct {
	wall, cpu time.Duration
	written   int64 // bytes given to the system to write, those of a few requests and answers among them
	faults    int64 // pages of the file that were looked at and had to be mapped or read first
}

func costs(do func()) (c cost) {
	var was, is syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &was)
	wrote, began := ioWritten(), time.Now()
	do()
	c.wall, c.written = time.Since(began), ioWritten()-wrote
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &is)
	c.cpu = time.Duration(is.Utime.Nano() + is.Stime.Nano() - was.Utime.Nano() - was.Stime.Nano())
	c.faults = is.Minflt + is.Majflt - was.Minflt - was.Majflt
	return c
}

// ioWritten is how many bytes this process has given to the system to write. (What the system then counts as written to disks are
// whole folios of its cache, many times as much.)
func ioWritten() int64 {
	raw, _ := os.ReadFile("/proc/self/io")
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "wchar:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return n
		}
	}
	return 0
}

// typical is, of each figure, the median.
func typical(all []cost) (c cost) {
	pick := func(of func(cost) int64) int64 {
		var v []int64
		for _, x := range all {
			v = append(v, of(x))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	return cost{
		wall: time.Duration(pick(func(c cost) int64 { return int64(c.wall) })), cpu: time.Duration(pick(func(c cost) int64 { return int64(c.cpu) })),
		written: pick(func(c cost) int64 { return c.written }), faults: pick(func(c cost) int64 { return c.faults }),
	}
}

// polls measures what a poll costs that brings so many new rows, for some numbers, and at last one whose lookback shows a thousand calls again.
func polls(b *testing.B, path string) (out []cost, names []string, anonymous int64) {
	b.Helper()
	s, err := bolt.Open(path, bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	sim := simulator.New(simulator.Options{Seed: 1, LimitPerMinute: roomy})
	url, stop, err := sim.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	sim.Add(simulator.Call{ID: "call_old", End: time.Now().Add(-2 * time.Hour), Duration: time.Minute}) // there is one, so that the bounds can be found out
	quiet := slog.New(slog.DiscardHandler)
	client, err := vinfer.New(vinfer.Config{BaseURL: url, Key: func() (secret.Text, error) { return secret.New("k"), nil }, Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	e, err := engine.New(engine.Options{
		Name: "bench", API: client, Store: s, Lookback: 15 * time.Minute, Logger: quiet,
		Destinations: []engine.Destination{{Name: "file", Kind: "jsonl", Writer: nowhere{}, Workers: workers, Off: engine.Steps{Transcript: true}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := e.Start(); err != nil {
		b.Fatal(err)
	}
	defer e.Stop()
	made := 0
	poll := func(fresh int) {
		sum, err := e.RunOnce(b.Context())
		if err != nil || sum.New != fresh || sum.Pending != 0 {
			b.Fatalf("a poll that was to bring %d new calls: %+v, %v", fresh, sum, err)
		}
	}
	poll(0)
	var shown []string
	add := func(n int) {
		for _, id := range shown {
			sim.Set(id, func(c *simulator.Call) { c.Hidden = true })
		}
		shown = shown[:0]
		for range n {
			made++
			id := fmt.Sprintf("call_%024x", uint64(made)*0x9e3779b97f4a7c15)
			shown = append(shown, id)
			sim.Add(simulator.Call{ID: id, Phone: fmt.Sprintf("+9198%08d", made), Disposition: "interested", Duration: time.Minute, End: time.Now().Add(-5 * time.Second)})
		}
	}
	const rounds = 15
	for _, fresh := range []int{0, 10, 100} {
		var all []cost
		for range rounds {
			add(fresh)
			all = append(all, costs(func() { poll(fresh) }))
		}
		out, names = append(out, typical(all)), append(names, fmt.Sprintf("%d new", fresh))
	}
	add(1000)
	poll(1000)
	var all []cost
	for range rounds {
		all = append(all, costs(func() { poll(0) }))
	}
	return append(out, typical(all)), append(names, "1,000 known"), anon("self")
}

// notes are the lines of a long report: of what a benchmark logs only ten are shown.
type notes string

func (n *notes) add(format string, args ...any) { *n += notes(fmt.Sprintf(format+"\n", args...)) }

// BenchmarkLedger measures what a poll and what the operator's commands cost with many ids in the ledger, and with few.
func BenchmarkLedger(b *testing.B) {
	many := someIDs
	if v := os.Getenv(idsVar); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1000 {
			b.Fatalf("%s=%s is no number of ids", idsVar, v)
		}
		many = n
	}
	program := build(b)
	for _, n := range []int{fewIDs, many} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			dir := b.TempDir()
			state := filepath.Join(dir, "state.db")
			for b.Loop() {
				var told notes
				took := filled(b, state, n)
				st, err := os.Stat(state)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(mega(st.Size()), "state-MB")
				told.add("%d ids: state file %.1f MB, made in %s", n, mega(st.Size()), round(took))
				debug.FreeOSMemory() // of making it
				likeTheProgram(b)
				list, names, memory := polls(b, state)
				for i, c := range list {
					b.ReportMetric(c.wall.Seconds()*1000, "ms-"+strings.ReplaceAll(names[i], " ", "-"))
					told.add("a poll, %s: %.1f ms, processor %.1f ms, %.0f KB written, %d pages faulted in",
						names[i], c.wall.Seconds()*1000, c.cpu.Seconds()*1000, float64(c.written)/1024, c.faults)
				}
				told.add("RssAnon of the polling process %.1f MB", mega(memory))
				b.ReportMetric(mega(memory), "RssAnon-MB")
				pruned(b, state, &told)
				asProgram(b, program, dir, &told)
				load, _ := os.ReadFile("/proc/loadavg")
				fmt.Fprintf(os.Stderr, "%sload %s", told, load)
			}
		})
	}
}
