package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

const (
	meterWindow = 15 * time.Second // the speed is that of so long
	meterLine   = 10 * time.Second // between two lines where no terminal is
	barWidth    = 24
)

// meter shows how far a backfill is: on a terminal as a bar that moves, elsewhere as a line now and then.
type meter struct {
	out      io.Writer
	terminal bool
	width    func() int // of the terminal
	now      func() time.Time

	clock clock
	id    uint64    // of the backfill; 0: not begun
	last  time.Time // when a line was shown
	marks []mark    // of the last meterWindow
}

// mark is how much was done at a time: calls seen and deliveries.
type mark struct {
	at         time.Time
	seen, done int64
}

func newMeter(out io.Writer, k clock) *meter {
	m := &meter{out: out, clock: k, now: time.Now, width: func() int {
		w, _, err := term.GetSize(int(os.Stderr.Fd())) //nolint:gosec // a file descriptor is small
		if err != nil || w <= 0 {
			return 80
		}
		return w
	}}
	m.terminal = rawOf(out) == io.Writer(os.Stderr) && term.IsTerminal(int(os.Stderr.Fd())) //nolint:gosec // likewise
	return m
}

// show is told every quarter of a second.
func (m *meter) show(p engine.BackfillProgress) {
	now := m.now()
	if m.id == 0 {
		m.id = p.ID
		verb := "reading"
		if p.Resumed {
			verb = "going on with"
		}
		fmt.Fprintf(m.out, "backfill %d: %s %s to %s\n", p.ID, verb, m.clock.at(p.Since), m.clock.at(p.Until))
		m.last = now
	}
	m.marks = append(m.marks, mark{now, p.Fetched, p.Delivered + p.Dead})
	for len(m.marks) > 2 && now.Sub(m.marks[0].at) > meterWindow {
		m.marks = m.marks[1:]
	}
	switch {
	case m.terminal:
		text := m.text(p)
		width := max(m.width()-1, 0)
		if room := width - utf8.RuneCountInString(text); room >= barWidth+3 { // the figures matter more than the bar
			text = m.bar(p) + " " + text
		}
		fmt.Fprintf(rawOf(m.out), "\r\x1b[K%s", cut(text, max(width, 1)))
	case now.Sub(m.last) >= meterLine:
		m.last = now
		fmt.Fprintln(m.out, strings.TrimSpace(m.text(p)))
	}
}

// end leaves the bar's line.
func (m *meter) end() {
	if m.terminal && m.id != 0 {
		fmt.Fprintln(m.out)
	}
}

// share is the part of the deliveries that is done, from 0 to 1. While the range is read, it is of the deliveries that the calls still to be
// read will make, as far as VInfer's total or the part of the range tells.
func share(p engine.BackfillProgress) float64 {
	read := 1.0
	if p.Reading {
		if p.Expected > 0 {
			read = float64(p.Fetched) / float64(p.Expected)
		} else if span := p.Until.Sub(p.Since); span > 0 {
			read = float64(p.ReadUpTo.Sub(p.Since)) / float64(span)
		}
		read = min(max(read, 0), 1)
	}
	if p.Queued == 0 {
		return read
	}
	return min(read*float64(p.Delivered+p.Dead)/float64(p.Queued), 1)
}

func (m *meter) bar(p engine.BackfillProgress) string {
	n := int(share(p) * barWidth)
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", barWidth-n) + "]"
}

// text is the line without the bar.
func (m *meter) text(p engine.BackfillProgress) string {
	dests := int64(max(p.Dests, 1))
	first, last := m.marks[0], m.marks[len(m.marks)-1]
	seconds := last.at.Sub(first.at).Seconds()
	seen, done := 0.0, 0.0 // a second
	if seconds > 0 {
		seen, done = float64(last.seen-first.seen)/seconds, float64(last.done-first.done)/seconds
	}
	calls := grouped(p.Fetched)
	if p.Expected > 0 && p.Reading {
		calls += " of " + grouped(int64(max(p.Expected, int(p.Fetched))))
	}
	parts := []string{
		fmt.Sprintf("%3.0f%%", 100*share(p)), fmt.Sprintf("%s of %s delivered", grouped(p.Delivered), grouped(p.Queued)), fmt.Sprintf("%.0f calls/s", max(done/float64(dests), 0)),
		"ETA " + eta(p, seen, done),
	}
	if p.Dead > 0 {
		parts = append(parts, fmt.Sprintf("dead %d", p.Dead))
	}
	if p.Waiting != "" {
		parts = append(parts, "waits: "+p.Waiting)
	}
	parts = append(parts, calls+" calls read")
	if p.Budget.Limit > 0 {
		parts = append(parts, fmt.Sprintf("API budget %d/%d", p.Budget.Remaining, p.Budget.Limit))
	}
	return strings.Join(parts, ", ")
}

// eta is how long it takes yet at these speeds, of reading and of delivering, which go on side by side.
func eta(p engine.BackfillProgress, seen, done float64) string {
	var left float64
	if p.Reading {
		if p.Expected == 0 || seen <= 0 {
			return "unknown"
		}
		left = float64(max(int64(p.Expected)-p.Fetched, 0)) / seen
	}
	if owed := p.Queued - p.Delivered - p.Dead; owed > 0 {
		if done <= 0 {
			return "unknown"
		}
		if p.Reading && p.Fetched > 0 { // what is read until then is to be delivered too
			owed = int64(float64(p.Queued)/float64(p.Fetched)*float64(max(int64(p.Expected), p.Fetched))) - p.Delivered - p.Dead
		}
		left = max(left, float64(owed)/done)
	}
	return span(time.Duration(left * float64(time.Second)))
}
