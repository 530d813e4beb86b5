// Package pace holds requests back, so that a server which counts them over a window never counts more than it allows.
package pace

import (
	"context"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Limiter lets so many requests through in any window, of all workers together. A request keeps its place until a window after its answer: wherever in
// between the server counted it, the next one comes late enough. It is safe for concurrent use.
type Limiter struct {
	mu      sync.Mutex
	most    int
	window  time.Duration
	even    bool          // they begin evenly spread
	next    time.Time     // when the next one may begin, then
	flying  int           // requests under way
	ended   []time.Time   // when the others ended, oldest first
	changed chan struct{} // closed when a place may have become free or begun to

	until time.Time // before then nothing is sent
	why   error
}

// New returns a Limiter.
func New(most int, window time.Duration) *Limiter {
	return &Limiter{most: most, window: window, changed: make(chan struct{})}
}

// Even returns a Limiter whose requests begin evenly spread, the first one a space after the start: a process that ended a moment ago may have used its
// window.
func Even(most int, window time.Duration) *Limiter {
	l := New(most, window)
	l.even, l.next = true, time.Now().Add(window/time.Duration(most))
	return l
}

// Take waits for a place. The caller gives it back by Done. While the server wants to be left alone it returns crm.Throttled; else its error is that of
// ctx.
func (l *Limiter) Take(ctx context.Context) error {
	for {
		wait, changed, err := l.take(time.Now())
		if wait == 0 || err != nil {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// take takes a place, or returns how long none will be free, at the longest, and what closes when one may be.
func (l *Limiter) take(now time.Time) (time.Duration, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := l.until.Sub(now); wait > 0 {
		return 0, nil, crm.Throttled(l.why, wait)
	}
	l.expire(now)
	switch {
	case l.flying+len(l.ended) < l.most && l.even && l.next.After(now):
		return l.next.Sub(now), l.changed, nil
	case l.flying+len(l.ended) < l.most:
		l.flying++
		l.next = now.Add(l.window / time.Duration(l.most))
		return 0, nil, nil
	case len(l.ended) == 0:
		return l.window, l.changed, nil
	}
	return max(l.ended[0].Add(l.window).Sub(now), time.Millisecond), l.changed, nil
}

func (l *Limiter) expire(now time.Time) {
	n := 0
	for n < len(l.ended) && now.Sub(l.ended[n]) >= l.window {
		n++
	}
	l.ended = l.ended[n:]
}

// Done gives a place back after the answer, or what took its place: it becomes free a window later.
func (l *Limiter) Done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flying--
	l.occupy(1)
	l.wake()
}

// Occupy takes places for a window from now on: for requests of others, or of this program before it was started anew.
func (l *Limiter) Occupy(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.occupy(n)
}

func (l *Limiter) occupy(n int) {
	now := time.Now()
	for range n {
		l.ended = append(l.ended, now)
	}
}

func (l *Limiter) wake() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// Hold has nothing sent for a while: what other workers have under way would be refused, too, and counted.
func (l *Limiter) Hold(wait time.Duration, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := time.Now().Add(wait); until.After(l.until) {
		l.until, l.why = until, why
	}
	l.wake()
}

// Learn takes over a limit that the server tells. left is how many requests the server has left, which tells what others have used; less than 0: it does
// not say. A window of 0 leaves the one in force.
func (l *Limiter) Learn(most int, window time.Duration, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if window > 0 {
		l.window = window
	}
	if most < 1 {
		return
	}
	l.most = most
	l.expire(time.Now())
	if left >= 0 {
		l.occupy(max(most-left-l.flying-len(l.ended), 0))
	}
}

// Lower takes over a limit if it is lower than the one in force, by requests in a second.
func (l *Limiter) Lower(most int, window time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if most >= 1 && window > 0 && window <= time.Minute && float64(most)/window.Seconds() < float64(l.most)/l.window.Seconds() {
		l.most, l.window = most, window
	}
}
