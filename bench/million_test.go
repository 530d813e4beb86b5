package bench

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to count what arrived

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// callsVar says how many calls BenchmarkMillion backfills. A million take their time: without it there are fewer.
const callsVar = "BENCH_CALLS"

const fewer = 50_000

// history is a workspace with a past.
type history struct {
	Calls   int
	Dialect simulator.Dialect
	GuideTo bool
}

// pastDays is how long that is.
const pastDays = 30

func serveHistory() {
	var h history
	param(&h)
	s := simulator.New(simulator.Options{
		Calls: h.Calls, Seed: 1, Dialect: h.Dialect, GuideTo: h.GuideTo, Span: pastDays * 24 * time.Hour, LimitPerMinute: roomy,
	})
	base, stop, err := s.Listen("127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(base)
	untilOrphaned()
	stop()
}

// register is what a receiver that remembers has got.
type register struct {
	Calls   int // different ones that were completed
	Others  int // different events besides
	Doubles int // posts of an event of a call that had been there
}

// serveRegister counts each event of each call.
func serveRegister() {
	var mu sync.Mutex
	var r register
	seed, had := maphash.MakeSeed(), map[uint64]struct{}{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodGet {
			mu.Lock()
			defer mu.Unlock()
			_ = json.NewEncoder(w).Encode(r)
			return
		}
		body, err := io.ReadAll(q.Body)
		head, _, found := bytes.Cut(body, []byte(`,"campaign_id"`)) // the event and the id of the call come first
		if err != nil || !found {
			http.Error(w, "no event", http.StatusBadRequest)
			return
		}
		h := maphash.Bytes(seed, head)
		mu.Lock()
		defer mu.Unlock()
		_, again := had[h]
		had[h] = struct{}{}
		switch {
		case again:
			r.Doubles++
		case bytes.Contains(head, []byte("call.completed")):
			r.Calls++
		default:
			r.Others++
		}
	})
	go func() { _ = srv.Serve(l) }()
	fmt.Println("http://" + l.Addr().String() + "/")
	untilOrphaned()
	_ = srv.Close()
}

// target is a destination that can be asked what it has.
type target struct {
	config  string              // of the destination, below its name
	arrived func() int          // calls by now, cheaply
	counted func() (n, two int) // different calls, and those that are there twice
	file    string              // its database; empty: it has none
}

func toRegister(b *testing.B) target {
	b.Helper()
	url := child(b, "register", nil)
	ask := func() (r register) {
		resp, err := http.Get(url)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
			b.Fatal(err)
		}
		return r
	}
	return target{
		config:  fmt.Sprintf("webhook: {url: %q}", url),
		arrived: func() int { return ask().Calls },
		counted: func() (n, two int) { r := ask(); return r.Calls, r.Doubles },
	}
}

func toDatabase(b *testing.B, dir string) target {
	b.Helper()
	file := filepath.Join(dir, "crm.db")
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(10000)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	number := func(query string) (n int) {
		_ = db.QueryRow(query).Scan(&n) // 0 before the tables are made
		return n
	}
	return target{
		config:  "sqlite: {path: crm.db}",
		arrived: func() int { return number("SELECT max(rowid) FROM calls") },
		counted: func() (n, two int) {
			return number("SELECT count(DISTINCT id) FROM calls"), number("SELECT count(*) - count(DISTINCT id) FROM calls")
		},
		file: file,
	}
}

// lap is a tenth of a backfill.
type lap struct{ wall, cpu time.Duration }

// backfilled runs the program's backfill to its end and fails if anything is lost or doubled.
func backfilled(b *testing.B, program, api, dir string, calls int, to target) (laps []lap, memory int64) {
	b.Helper()
	text := fmt.Sprintf("vinfer: {base_url: %q, api_key: k}\nstart: now\nstore: {bbolt: {path: state.db}}\nadmin: {socket: admin.sock, listen: \"\"}\n"+
		"crm:\n  - name: d\n    workers: %d\n    %s\n", api, workers, to.config)
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	c := exec.Command(program, "backfill", "--since", strconv.Itoa(-pastDays*24-24)+"h", "--no-transcripts")
	c.Dir = dir
	var log strings.Builder
	c.Stdout, c.Stderr = &log, &log
	if os.Getenv("BENCH_PROGRESS") != "" {
		c.Stderr = os.Stderr
	}
	began := time.Now()
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	pid := c.Process.Pid
	most := watchMemory(strconv.Itoa(pid))
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var last lap
	note := func(cpu time.Duration) {
		now := lap{time.Since(began), cpu}
		laps = append(laps, lap{now.wall - last.wall, now.cpu - last.cpu})
		last = now
	}
	used := time.Duration(0)
	for running := true; running; {
		select {
		case err := <-ended:
			if err != nil {
				b.Fatalf("backfill: %v\n%s", err, log.String())
			}
			running = false
		case <-tick.C:
			used = cpu(b, pid)
		}
		if len(laps) < 9 && to.arrived() >= (len(laps)+1)*calls/10 {
			note(used)
		}
	}
	note(used)
	if n, two := to.counted(); n != calls || two != 0 {
		b.Fatalf("%d calls arrived and %d of them twice, want %d once\n%s", n, two, calls, log.String())
	}
	return laps, most()
}

// BenchmarkMillion backfills a long past with the program itself, where VInfer gives it slice by slice and where it can only
// be read in one listing.
func BenchmarkMillion(b *testing.B) {
	calls := fewer
	if v := os.Getenv(callsVar); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 10 {
			b.Fatalf("%s=%s is no number of calls", callsVar, v)
		}
		calls = n
	}
	program := build(b)
	for _, api := range []struct {
		name string
		history
	}{
		{"slices", history{calls, simulator.Reference, false}},
		{"listing", history{calls, simulator.Guide, false}},
	} {
		for _, kind := range []string{"webhook", "sqlite"} {
			b.Run(kind+"/"+api.name, func(b *testing.B) {
				url := child(b, "history", api.history)
				for b.Loop() {
					dir := b.TempDir()
					to := toDatabase(b, dir)
					if kind == "webhook" {
						to = toRegister(b)
					}
					laps, memory := backfilled(b, program, url, dir, calls, to)
					reportLaps(b, calls, laps, memory, filepath.Join(dir, "state.db"), to.file)
				}
			})
		}
	}
}

func reportLaps(b *testing.B, calls int, laps []lap, memory int64, state, file string) {
	b.Helper()
	var sum lap
	var rates, cpus []string
	for _, l := range laps {
		sum.wall += l.wall
		sum.cpu += l.cpu
		rates = append(rates, strconv.Itoa(int(float64(calls)/10/l.wall.Seconds())))
		cpus = append(cpus, strconv.FormatFloat(l.cpu.Seconds(), 'f', 1, 64))
	}
	size := func(path string) float64 {
		st, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return mega(st.Size())
	}
	first, last := laps[0], laps[len(laps)-1]
	b.ReportMetric(sum.wall.Seconds(), "s")
	b.ReportMetric(float64(calls)/sum.wall.Seconds(), "calls/s")
	b.ReportMetric(sum.cpu.Seconds(), "cpu-s")
	b.ReportMetric(last.wall.Seconds()/first.wall.Seconds(), "last/first")
	b.ReportMetric(last.cpu.Seconds()/first.cpu.Seconds(), "last/first-cpu")
	b.ReportMetric(mega(memory), "RssAnon-MB")
	b.ReportMetric(size(state), "state-MB")
	load, _ := os.ReadFile("/proc/loadavg")
	out := fmt.Sprintf("%d calls: %s (processor %s), calls a second of each tenth: %s; processor seconds of each: %s; at most %.1f MB RssAnon, state file %.1f MB",
		calls, round(sum.wall), round(sum.cpu), strings.Join(rates, " "), strings.Join(cpus, " "), mega(memory), size(state))
	if file != "" {
		b.ReportMetric(size(file), "sqlite-MB")
		out += fmt.Sprintf(", its database %.1f MB", size(file))
	}
	b.Logf("%s; load %s", out, strings.TrimSpace(string(load)))
}
