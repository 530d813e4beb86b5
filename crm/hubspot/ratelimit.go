package hubspot

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// HubSpot's limit for a free portal, until its answers tell the real one.
const (
	defaultMax    = 100
	defaultWindow = 10 * time.Second
)

// pace holds requests back so that a server which counts them over a window never counts more than max. A request keeps its place
// until the window has passed since its answer: wherever in between the server counted it, the next one comes late enough.
type pace struct {
	mu      sync.Mutex
	max     int
	window  time.Duration
	flying  int           // requests under way
	free    []time.Time   // when the places of answered requests become free, earliest first
	changed chan struct{} // closed when a place may have become free or begun to

	until time.Time // before then nothing is sent
	why   error
}

func newPace(most int, window time.Duration) *pace {
	return &pace{max: most, window: window, changed: make(chan struct{})}
}

// take waits for a place. The caller gives it back by done. While HubSpot wants to be left alone it returns crm.Throttled.
func (p *pace) take(ctx context.Context) error {
	for {
		p.mu.Lock()
		if wait := time.Until(p.until); wait > 0 {
			defer p.mu.Unlock()
			return crm.Throttled(p.why, wait)
		}
		p.expire()
		if p.flying+len(p.free) < p.max {
			p.flying++
			p.mu.Unlock()
			return nil
		}
		wait := p.window
		if len(p.free) > 0 {
			wait = time.Until(p.free[0])
		}
		changed := p.changed
		p.mu.Unlock()
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

// hold has nothing sent for a while: what other workers have under way would be refused, too, and counted.
func (p *pace) hold(wait time.Duration, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(wait); until.After(p.until) {
		p.until, p.why = until, why
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// done gives back a place after the answer, or what took its place.
func (p *pace) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flying--
	p.occupy(1)
	close(p.changed)
	p.changed = make(chan struct{})
}

// occupy takes places for a window from now on. Its caller has the lock.
func (p *pace) occupy(n int) {
	at := time.Now().Add(p.window)
	if last := len(p.free) - 1; last >= 0 && at.Before(p.free[last]) {
		at = p.free[last]
	}
	for range n {
		p.free = append(p.free, at)
	}
}

func (p *pace) expire() {
	now, n := time.Now(), 0
	for n < len(p.free) && !p.free[n].After(now) {
		n++
	}
	p.free = p.free[n:]
}

// learn reads the limit from an answer's headers, and that others, or this program before it was started anew, have used some of it.
func (p *pace) learn(h http.Header) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ms, ok := header(h, "X-HubSpot-RateLimit-Interval-Milliseconds", 100, 60_000); ok {
		p.window = time.Duration(ms) * time.Millisecond
		latest := time.Now().Add(p.window)
		for i, at := range p.free {
			if at.After(latest) {
				p.free[i] = latest
			}
		}
	}
	most, ok := header(h, "X-HubSpot-RateLimit-Max", 1, 1_000_000)
	if !ok {
		return
	}
	p.max = most
	left, ok := header(h, "X-HubSpot-RateLimit-Remaining", 0, most)
	p.expire()
	if others := most - left - p.flying - len(p.free); ok && others > 0 {
		p.occupy(others)
	}
}

// spare is how many of the day's requests are left to others, who share them, and to the requests under way.
const spare = 10

// dayOver tells whether an answer says that the day's requests are used up.
func dayOver(h http.Header) bool {
	left, ok := header(h, "X-HubSpot-RateLimit-Daily-Remaining", 0, 1_000_000_000)
	return ok && left < spare
}

// header reads a number from a header and clamps it; false: there is none.
func header(h http.Header, name string, least, most int) (int, bool) {
	n, err := strconv.Atoi(h.Get(name))
	return min(max(n, least), most), err == nil
}
