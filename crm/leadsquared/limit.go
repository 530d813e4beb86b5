package leadsquared

import (
	"context"
	"sync"
	"time"
)

// limiter lets through so many requests in any window, of all workers together. A request counts from its beginning until a window
// after its end: however long each was under way, LeadSquared sees no more in a window of its own. They begin evenly spread, the
// first one a space after the start: a process that ended a moment ago may have used its window.
type limiter struct {
	mu     sync.Mutex
	most   int
	window time.Duration
	next   time.Time     // when the next one may begin
	open   int           // requests under way
	ended  []time.Time   // when the others ended, oldest first
	freed  chan struct{} // closed when one ends
}

func newLimiter(most int) *limiter {
	const window = 5 * time.Second
	return &limiter{most: most, window: window, next: time.Now().Add(window / time.Duration(most)), freed: make(chan struct{})}
}

// begin waits for a place and takes it. Its error is that of ctx.
func (l *limiter) begin(ctx context.Context) error {
	for {
		wait, freed := l.take(time.Now())
		if wait == 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-freed:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
}

// take takes a place, or returns how long none will be free, at the longest, and what closes when one may be.
func (l *limiter) take(now time.Time) (time.Duration, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := 0
	for old < len(l.ended) && now.Sub(l.ended[old]) >= l.window {
		old++
	}
	l.ended = l.ended[old:]
	if l.open+len(l.ended) < l.most {
		if wait := l.next.Sub(now); wait > 0 {
			return wait, nil
		}
		l.open++
		l.next = now.Add(l.window / time.Duration(l.most))
		return 0, nil
	}
	if len(l.ended) == 0 {
		return l.window, l.freed
	}
	return max(l.ended[0].Add(l.window).Sub(now), time.Millisecond), l.freed
}

// end gives a place back, which becomes free a window later.
func (l *limiter) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	l.ended = append(l.ended, time.Now())
	close(l.freed)
	l.freed = make(chan struct{})
}

// learn takes over a limit that LeadSquared has told, unless the one in force is lower.
func (l *limiter) learn(most int, window time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if most < 1 || window <= 0 || window > time.Minute {
		return
	}
	// Compared by requests in a second.
	if float64(most)/window.Seconds() < float64(l.most)/l.window.Seconds() {
		l.most, l.window = most, window
	}
}
