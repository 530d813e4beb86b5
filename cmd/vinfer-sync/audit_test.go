package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

const lateDatabase = `
vinfer: {base_url: "${API}", api_key: any, page_size: 5}
schedule: "@every 1s"
start: -48h
lookback: 0s
settle: 2s
max_call: 1m
transcripts: {fetch: false}
store: {bbolt: {path: state.db}}
admin: {socket: admin.sock, listen: ""}
crm:
  - {name: crm, workers: 4, sqlite: {path: crm.db}}
`

// late adds calls that ended some time ago and have come up only now.
func (w *world) late(prefix string, n int, ago time.Duration) {
	for i := range n {
		w.sim.Add(simulator.Call{
			ID: fmt.Sprintf("%s_%03d", prefix, i), Phone: fmt.Sprintf("+9198765%05d", i%20), Disposition: "interested", Duration: time.Second,
			End: time.Now().Add(-ago - time.Duration(n-i)*time.Second),
		})
	}
}

func TestAKilledAuditLosesNothing(t *testing.T) {
	t.Parallel()
	const kills, late = 10, 200
	w := newWorld(t, simulator.Options{Seed: 3, Calls: 300, Contacts: 40, Span: 24 * time.Hour, LimitPerMinute: -1})
	w.write("config.yaml", lateDatabase)
	w.must(exitFine, "once")
	w.late("late", late, 30*time.Minute)
	w.sim.Fault(simulator.Fault{Kind: simulator.Slow, Delay: 15 * time.Millisecond, Count: 100_000})
	broken := 0
	for range kills {
		w.killed(100*time.Millisecond, 400*time.Millisecond, "audit")
		if w.status().AuditedUntil == "" {
			broken++
		}
	}
	if broken < 3 {
		t.Errorf("only %d audits were broken off", broken)
	}
	w.sim.Clear()
	w.run("audit") // tells of what all of them found, unless one was killed after its report
	s := w.status()
	if s.LateFound != late || s.Pending != 0 || s.AuditedUntil == "" {
		t.Errorf("%d found late, %d pending, audited until %q", s.LateFound, s.Pending, s.AuditedUntil)
	}
	if n := w.count("SELECT count(*) FROM calls"); n != 300+late {
		t.Errorf("%d calls arrived", n)
	}
	if out := w.must(exitFine, "audit").stdout; !strings.Contains(out, "none") {
		t.Errorf("the audit after it:\n%s", out)
	}
}

// The daemon is killed while it sweeps; the run by hand afterwards sweeps the rest.
func TestAKilledSweepLosesNothing(t *testing.T) {
	t.Parallel()
	const kills = 10
	w := newWorld(t, simulator.Options{Seed: 3, Calls: 100, Contacts: 40, Span: 24 * time.Hour, LimitPerMinute: -1})
	w.write("config.yaml", strings.Replace(lateDatabase, "settle: 2s", "settle: 8s", 1))
	w.must(exitFine, "once")
	want := 100
	for round := range kills {
		// They end now and come up six seconds later: polls that look back by nothing have passed over them by then.
		for i := range 10 {
			now := time.Now()
			w.sim.Add(simulator.Call{
				ID: fmt.Sprintf("call_%d_%d", round, i), Phone: fmt.Sprintf("+9198765%05d", i), Disposition: "interested", Duration: time.Second,
				End: now, VisibleFrom: now.Add(6 * time.Second),
			})
			want++
		}
		w.killed(time.Second, 1500*time.Millisecond, "run")
	}
	time.Sleep(10 * time.Second) // until the last of them have settled
	w.must(exitFine, "once")
	w.must(exitFine, "once")
	s := w.status()
	if n := w.count("SELECT count(*) FROM calls"); n != want || s.LateFound == 0 {
		t.Errorf("%d of %d calls arrived, %d of them late", n, want, s.LateFound)
	}
}
