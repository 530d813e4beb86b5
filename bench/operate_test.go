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
	"syscall"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store/bolt"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// pruned forgets what a day later, and a month later, is too old: how long is anything else kept waiting, and how long does it take?
func pruned(b *testing.B, state string, told *notes) {
	b.Helper()
	s, err := bolt.Open(state, bolt.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	now := time.Now()
	for _, step := range []struct {
		name  string
		later time.Duration
	}{{"a day's receipts", day}, {"a generation of ids, and a month's receipts", 30 * day}} {
		var all, longest time.Duration
		calls := 0
		c := costs(func() {
			for more := true; more; calls++ {
				began := time.Now()
				if more, err = s.Prune(now.Add(step.later-receiptDays*day), now.Add(step.later-ledgerDays*day)); err != nil {
					b.Fatal(err)
				}
				took := time.Since(began)
				all, longest = all+took, max(longest, took)
			}
		})
		told.add("forgetting %s: %d transactions, %s in all, the longest %s; processor %s, %.1f MB written",
			step.name, calls, round(all), longest.Round(time.Millisecond), round(c.cpu), mega(c.written))
	}
}

// beats notes when requests come: a daemon that polls each second and is kept from it leaves a gap.
type beats struct {
	mu    sync.Mutex
	first time.Time
	last  time.Time
	gap   time.Duration
}

func (t *beats) beat(*http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.first.IsZero() {
		t.first = now
	}
	if !t.last.IsZero() {
		t.gap = max(t.gap, now.Sub(t.last))
	}
	t.last = now
}

// reset begins to look for gaps anew.
func (t *beats) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.first, t.last, t.gap = time.Time{}, time.Time{}, 0
}

// longest returns the longest gap, the one that goes on included.
func (t *beats) longest() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last.IsZero() {
		return 0
	}
	return max(t.gap, time.Since(t.last))
}

func (t *beats) begun() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.first
}

// cold makes the system forget the file's pages, as after it was started.
func cold(b *testing.B, file string) {
	b.Helper()
	if out, err := exec.Command("dd", "of="+file, "oflag=nocache", "conv=notrunc,fdatasync", "count=0").CombinedOutput(); err != nil {
		b.Fatalf("dd: %v\n%s", err, out)
	}
}

// asProgram measures the start of the program with a store, the daemon's memory, and what it costs polls when an operator has the whole
// file read or written beside them.
func asProgram(b *testing.B, program, dir string, told *notes) {
	b.Helper()
	var t beats
	sim := simulator.New(simulator.Options{Calls: 100, Seed: 1, Span: day, LimitPerMinute: roomy, Before: t.beat})
	url, stopAPI, err := sim.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer stopAPI()
	config := fmt.Sprintf("vinfer: {base_url: %q, api_key: k}\nschedule: \"@every 1s\"\nlookback: 15m\ntranscripts: {fetch: false}\nstore: {bbolt: {path: state.db}}\n"+
		"audit: {days: 0}\nadmin: {socket: admin.sock, listen: \"\"}\ncrm:\n  - {name: file, jsonl: {path: calls.jsonl}}\n", url)
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	state := filepath.Join(dir, "state.db")
	start := func() (*exec.Cmd, time.Duration) {
		t.reset()
		c := exec.Command(program, "run")
		c.Dir, c.Stderr = dir, os.Stderr
		c.Args = append(c.Args, "--log-level", "error")
		began := time.Now()
		if err := c.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Process.Kill() }) // where the benchmark failed
		for t.begun().IsZero() && time.Since(began) < 10*time.Minute {
			time.Sleep(time.Millisecond)
		}
		return c, t.begun().Sub(began)
	}
	end := func(c *exec.Cmd) {
		_ = c.Process.Signal(syscall.SIGTERM)
		if err := c.Wait(); err != nil {
			b.Fatalf("the daemon ended with %v", err)
		}
	}
	cold(b, state)
	c, first := start()
	used := cpu(b, c.Process.Pid)
	end(c)
	again := time.Hour
	for range 3 {
		c, took := start()
		used = min(used, cpu(b, c.Process.Pid))
		end(c)
		again = min(again, took)
	}
	told.add("from start to first request: %s with nothing of the file in memory, %s after that; processor %s", round(first), round(again), round(used))
	b.ReportMetric(again.Seconds()*1000, "start-ms")

	c, _ = start()
	memory := watchMemory(strconv.Itoa(c.Process.Pid))
	time.Sleep(8 * time.Second)
	told.add("the daemon, polling each second: at most %.1f MB RssAnon, %s between two requests", mega(memory()), t.longest().Round(time.Millisecond))
	for _, args := range [][]string{{"store", "check"}, {"store", "backup", "copy.db"}, {"forget", "--call", "call_old"}} {
		t.reset()
		time.Sleep(2 * time.Second)
		memory = watchMemory(strconv.Itoa(c.Process.Pid))
		before := cpu(b, c.Process.Pid)
		began := time.Now()
		command := exec.Command(program, args...)
		command.Dir = dir
		if out, err := command.CombinedOutput(); err != nil {
			b.Fatalf("%v: %v\n%s", args, err, out)
		}
		took := time.Since(began)
		time.Sleep(2 * time.Second)
		told.add("%s beside it: %s, processor %s; at most %.1f MB RssAnon, %s between two requests", strings.Join(args, " "), round(took),
			round(cpu(b, c.Process.Pid)-before), mega(memory()), t.longest().Round(time.Millisecond))
		_ = os.Remove(filepath.Join(dir, "copy.db"))
	}
	end(c)
	command := exec.Command(program, "store", "compact")
	command.Dir = dir
	began := time.Now()
	out, err := command.CombinedOutput()
	if err != nil {
		b.Fatalf("store compact: %v\n%s", err, out)
	}
	told.add("store compact without it: %s, processor %s: %s", round(time.Since(began)), round(command.ProcessState.UserTime()+command.ProcessState.SystemTime()),
		strings.TrimSpace(string(out)))
}
