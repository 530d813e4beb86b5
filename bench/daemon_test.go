package bench

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// anon returns a process's anonymous memory in bytes: what it has besides the files that it maps, whose pages the
// system takes back when it wants them. Zero where there is no /proc.
func anon(process string) int64 {
	raw, err := os.ReadFile("/proc/" + process + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb * 1024
		}
	}
	return 0
}

// watchMemory looks at a process's memory until the returned function is called, which returns the most it saw.
func watchMemory(process string) func() int64 {
	done := make(chan struct{})
	var most int64
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, anon(process))
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() int64 {
		close(done)
		wg.Wait()
		return most
	}
}

// cpu returns the processor time that a process has used: as the scheduler counts it, where it does, for the clock of
// /proc/PID/stat goes by hundredths of a second and may miss a process that is only ever awake between two ticks.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	var exact time.Duration
	for _, t := range tasks {
		raw, err := os.ReadFile(t)
		if fields := strings.Fields(string(raw)); err == nil && len(fields) > 0 {
			n, _ := strconv.ParseInt(fields[0], 10, 64)
			exact += time.Duration(n)
		}
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip("needs /proc: ", err)
	}
	// The name, in brackets, may hold spaces. After it utime and stime are the twelfth and thirteenth field, in hundredths.
	fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	var ticks int
	for _, f := range fields[11:13] {
		n, _ := strconv.Atoi(f)
		ticks += n
	}
	return max(exact, time.Duration(ticks)*10*time.Millisecond)
}

// build builds the program as the Makefile does.
func build(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "vinfer-sync")
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", path, "../cmd/vinfer-sync")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// daemon starts the program with a configuration for these benchmarks; stop ends it.
func daemon(b *testing.B, program, api, dir string) (pid int, stop func()) {
	b.Helper()
	config := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf("vinfer: {base_url: %q, api_key: k}\nschedule: \"@every 1s\"\nstart: -25h\nlookback: 15m\ntranscripts: {fetch: false}\n"+
		"store: {bbolt: {path: state.db}}\ncrm:\n  - name: file\n    jsonl: {path: calls.jsonl}\n", api)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	c := exec.Command(program, "run", "-c", config)
	c.Dir = dir
	var log strings.Builder
	c.Stdout, c.Stderr = &log, &log
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	return c.Process.Pid, func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		if err := c.Wait(); err != nil {
			b.Fatalf("the daemon ended with %v:\n%s", err, log.String())
		}
	}
}

// BenchmarkIdle polls once a second while nothing happens.
func BenchmarkIdle(b *testing.B) {
	const settled, watched = 3 * time.Second, 10 * time.Second
	program := build(b)
	s := simulator.New(simulator.Options{Calls: 100, Seed: 1, LimitPerMinute: roomy})
	base, stopAPI, err := s.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer stopAPI()
	var used time.Duration
	var most int64
	var polls int
	for b.Loop() {
		pid, stop := daemon(b, program, base, b.TempDir())
		time.Sleep(settled)
		before, served := cpu(b, pid), s.Served()
		memory := watchMemory(strconv.Itoa(pid))
		time.Sleep(watched)
		used, polls = cpu(b, pid)-before, s.Served()-served
		most = memory()
		stop()
	}
	minute := used.Seconds() * float64(time.Minute) / float64(watched)
	b.ReportMetric(mega(most), "RssAnon-MB")
	b.ReportMetric(minute, "cpu-s/min")
	b.Logf("idle for %s, %d requests: at most %.1f MB RssAnon, %.2f s of processor a minute", watched, polls, mega(most), minute)
}

// BenchmarkStart measures from the start of the program to its first request.
func BenchmarkStart(b *testing.B) {
	const rounds = 10
	program := build(b)
	var first atomic.Int64
	s := simulator.New(simulator.Options{Calls: 100, Seed: 1, LimitPerMinute: roomy, Before: func(*http.Request) {
		first.CompareAndSwap(0, time.Now().UnixNano())
	}})
	base, stopAPI, err := s.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer stopAPI()
	fresh, again := time.Hour, time.Hour
	start := func(dir string) time.Duration {
		first.Store(0)
		began := time.Now()
		_, stop := daemon(b, program, base, dir)
		for first.Load() == 0 && time.Since(began) < 10*time.Second {
			time.Sleep(time.Millisecond)
		}
		at := first.Load()
		time.Sleep(100 * time.Millisecond) // to let the first poll end
		stop()
		if at == 0 {
			b.Fatal("no request came")
		}
		return time.Unix(0, at).Sub(began)
	}
	for b.Loop() {
		for range rounds {
			dir := b.TempDir()
			fresh = min(fresh, start(dir))
			again = min(again, start(dir))
		}
	}
	b.ReportMetric(fresh.Seconds()*1000, "fresh-ms")
	b.ReportMetric(again.Seconds()*1000, "again-ms")
	b.Logf("from start to first request: %s where a store has to be made, %s where there is one", fresh.Round(100*time.Microsecond), again.Round(100*time.Microsecond))
}
