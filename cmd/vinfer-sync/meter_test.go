package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// metered shows a backfill of 1,000 calls for one destination that reads 100 and delivers 50 a second, a quarter of a second at a time.
func metered(m *meter, seconds int) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	m.now = func() time.Time { return at }
	p := engine.BackfillProgress{
		ID: 7, Resumed: true, Since: at.Add(-48 * time.Hour), Until: at, Reading: true, Expected: 1000, Dests: 1,
		Budget: engine.BudgetStatus{Limit: 1000, Remaining: 940},
	}
	for n := range 4*seconds + 1 {
		p.Fetched = min(int64(25*n), 1000)
		p.Queued, p.Delivered = p.Fetched, min(int64(12*n), 1000)
		p.Reading = p.Fetched < 1000
		m.show(p)
		at = at.Add(250 * time.Millisecond)
	}
	m.end()
}

func TestTheBarOnATerminal(t *testing.T) {
	var out bytes.Buffer
	m := newMeter(&out, clock{time.UTC})
	m.terminal, m.width = true, func() int { return 200 }
	metered(m, 5)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\r\x1b[K")
	if first := "backfill 7: going on with 2026-01-29 12:00:00 UTC to 2026-01-31 12:00:00 UTC\n"; lines[0] != first {
		t.Errorf("%q", lines[0])
	}
	want := "[#####...................]  24%, 240 of 500 delivered, 48 calls/s, ETA 15 s, 500 of 1,000 calls read, API budget 940/1000"
	if last := lines[len(lines)-1]; last != want {
		t.Errorf("%q", last)
	}
	out.Reset()
	m = newMeter(&out, clock{time.UTC})
	m.terminal, m.width = true, func() int { return 80 }
	metered(m, 5)
	if last := out.String()[strings.LastIndex(out.String(), "\r\x1b[K"):]; !strings.Contains(last, " 24%, 240 of 500 delivered, 48 calls/s, ETA 15 s, 500 of 1,000 calls read") || strings.Contains(last, "[#") {
		t.Errorf("in 80 columns the bar goes first: %q", last)
	}
	out.Reset()
	m = newMeter(&out, clock{time.UTC})
	m.terminal, m.width = true, func() int { return 40 }
	metered(m, 3)
	for l := range strings.SplitSeq(out.String(), "\r\x1b[K") {
		if !strings.HasPrefix(l, "backfill") && utf8.RuneCountInString(strings.TrimSuffix(l, "\n")) > 39 {
			t.Errorf("%d columns: %q", len(l), l)
		}
	}
}

func TestLinesElsewhere(t *testing.T) {
	var out bytes.Buffer
	metered(newMeter(&out, clock{time.UTC}), 35)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 1+3 || strings.ContainsAny(out.String(), "\r\x1b#") {
		t.Fatalf("%q", lines)
	}
	if !strings.Contains(lines[1], "ETA 10 s") || !strings.Contains(lines[3], "100%, 1,000 of 1,000 delivered") {
		t.Errorf("%q", lines)
	}
}

func TestAnEstimateOfTimeNeedsSomethingToGoBy(t *testing.T) {
	p := engine.BackfillProgress{Reading: true, Fetched: 10, Queued: 10}
	for _, x := range []struct {
		expected   int
		seen, done float64
		want       string
	}{{0, 1, 1, "unknown"}, {100, 0, 1, "unknown"}, {100, 10, 0, "unknown"}, {100, 10, 1, "1 min"}, {100, 1, 100, "1 min"}} {
		p.Expected = x.expected
		if got := eta(p, x.seen, x.done); got != x.want {
			t.Errorf("%+v: %s", x, got)
		}
	}
}
