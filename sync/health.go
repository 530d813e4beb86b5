package sync

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// How well a destination is: what its answers say of it, and whether it is let alone.

const (
	backoffMax   = 5 * time.Minute // of a job and of a destination
	throttleMax  = 15 * time.Minute
	postponeMax  = 8 * time.Second // until a postponed job is looked at again
	limitedMax   = 5               // so often a run waits for a destination that asks to be let alone
	breakerAfter = 5               // failures in a row, of more than one contact
)

// succeeded notes a delivery.
func (c *dispatcher) succeeded() {
	c.answered()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastSuccess = time.Now()
	c.delivered++
}

// answered notes that the destination is well: it took a call, or refused one with reason.
func (c *dispatcher) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failures >= breakerAfter {
		c.retryNow()
		level := slog.LevelDebug
		if c.breakerTold {
			level = slog.LevelInfo
		}
		c.breakerTold = false
		c.e.log.Log(context.Background(), level, "destination works again", keyDest, c.d.Name)
	}
	c.failures, c.throttles, c.reason = 0, 0, ""
	clear(c.failedLanes)
}

// breakerOpen tells whether the breaker is open: the destination fails for more than one contact, and is only probed. The caller holds mu.
func (c *dispatcher) breakerOpen() bool { return c.failures >= breakerAfter && len(c.failedLanes) > 1 }

// beginWrite tells whether a claimed job may be tried now: what was learned while it waited for a seat counts. A destination that asked to be
// let alone, or whose breaker is open, gets one write at a time.
func (c *dispatcher) beginWrite() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case c.halted != "" || now.Before(c.throttledUntil) || c.breakerOpen() && now.Before(c.probeAt):
		return false
	case c.writing > 0 && (c.throttles > 0 || c.breakerOpen()):
		return false
	}
	c.writing++
	return true
}

func (c *dispatcher) endWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing--
}

// failed notes a passing fault of an attempt that began then, and returns when the job is tried again and whether the fault counts against
// the job alone. The breaker counts rounds: all writes in flight fail together when a destination goes down, so only a failure that
// began after the breaker last opened tells that the destination is still down, and doubles the wait.
func (c *dispatcher) failed(r store.JobRef, err error, began, now time.Time) (due time.Time, alone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.breakerOpen()
	c.failures++
	c.failedLanes[r.Lane] = struct{}{}
	c.reason = err.Error()
	open := c.breakerOpen()
	switch {
	case open && !was:
		c.rounds, c.openedAt = 1, now
		c.probeAt = now.Add(c.e.backoff(c.rounds))
		var unsaid int
		c.breakerTold, unsaid = c.breakerLog.allow(now)
		c.log(c.breakerTold, "destination fails; it is tried now and then until it answers", unsaid, keyDest, c.d.Name, keyError, err)
	case open && began.After(c.openedAt):
		c.rounds++
		c.openedAt = now
		c.probeAt = now.Add(c.e.backoff(c.rounds))
	}
	if len(c.failedLanes) > 2*breakerAfter { // enough to know that it is not one contact
		clear(c.failedLanes)
		c.failedLanes[r.Lane] = struct{}{}
		c.failedLanes[store.Lane{}] = struct{}{}
	}
	return now.Add(c.e.backoff(r.Attempts + 1)), !open
}

// throttled leaves the destination alone after an attempt that began then. As with failures, only an attempt that was sent after
// the destination had last said so lengthens the wait.
func (c *dispatcher) throttled(wait time.Duration, err error, began, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.throttles == 0 || began.After(c.throttledAt) {
		c.throttles++
		c.throttledAt = now
		defer c.logThrottle(now)
	}
	if wait <= 0 {
		wait = c.e.backoff(c.throttles)
	}
	if until := now.Add(min(wait, throttleMax)); until.After(c.throttledUntil) {
		c.throttledUntil = until
	}
	c.reason = err.Error()
	return c.throttledUntil
}

// logThrottle says in the log that the destination is waited for: whoever runs once would otherwise see nothing for a minute. The caller
// holds mu.
func (c *dispatcher) logThrottle(now time.Time) {
	say, unsaid := c.throttleLog.allow(now)
	c.log(say, "destination asks to be left alone; its calls wait", unsaid, keyDest, c.d.Name, "until", rfc3339(c.throttledUntil), keyError, c.reason)
}

// halt stops the destination; false: it stood still already, what comes now was in flight.
func (c *dispatcher) halt(reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := c.halted == ""
	c.halted = reason
	c.notify()
	return fresh
}

// waitingFor says why the destination is not being delivered to though it has jobs; empty: it is.
func (c *dispatcher) waitingFor() (reason, lastError string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case now.Before(c.throttledUntil):
		return waitReason(c.throttledUntil, c.reason), c.reason
	case c.breakerOpen():
		return "fails, next try " + rfc3339(c.probeAt) + ": " + c.reason, c.reason
	case len(c.liveRetries)+len(c.otherRetries) > 0 && c.failures > 0:
		return "next try " + rfc3339(earliest(c.liveRetries.next(), c.otherRetries.next())) + ": " + c.reason, c.reason
	}
	return "", ""
}

// idle tells whether nothing is in flight or due before horizon.
func (c *dispatcher) idle(horizon time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight > 0 {
		return false
	}
	if c.halted != "" || c.throttledUntil.After(horizon) || c.throttles >= limitedMax && time.Now().Before(c.throttledUntil) {
		return true
	}
	if c.breakerOpen() && c.probeAt.After(horizon) {
		return true
	}
	if len(c.ready) > 0 || !c.scanEnded || c.dirty {
		return false
	}
	return (len(c.liveRetries) == 0 || c.liveRetries[0].Due.After(horizon)) && (len(c.otherRetries) == 0 || c.otherRetries[0].Due.After(horizon))
}

// idleButBackfills is quiet but for what is left of backfills.
func (c *dispatcher) idleButBackfills(horizon time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.inFlightLive > 0:
		return false
	case c.halted != "" || c.throttledUntil.After(horizon) || c.breakerOpen() && c.probeAt.After(horizon):
		return true
	case c.liveReleased, len(c.ready) > 0 && isLive(c.ready[0]), len(c.ready) == 0 && (!c.scanEnded || c.dirty):
		return false
	}
	return len(c.liveRetries) == 0 || c.liveRetries[0].Due.After(horizon)
}

// retriesPending tells whether jobs of the destination wait for a time and not for an operator.
func (c *dispatcher) retriesPending() bool { return c.blocked() && !c.isHalted() }

// excused tells whether there is a reason why jobs of the destination wait.
func (c *dispatcher) blocked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.halted != "" || time.Now().Before(c.throttledUntil) || len(c.liveRetries)+len(c.otherRetries) > 0 || !c.rescanAt.IsZero()
}

func (c *dispatcher) counts() (delivered int64, dead int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.delivered, c.dead
}

// backoff returns the wait before try n+1: doubling from Options.Backoff to 5 min, with jitter so that many do not come back at once.
func (e *Engine) backoff(n int) time.Duration {
	d := backoffMax
	if n < 1 {
		n = 1
	}
	if n < 20 {
		d = min(e.o.Backoff<<(n-1), backoffMax)
	}
	return d - d/10 + rand.N(d/5+1) //nolint:gosec // jitter needs no secrecy
}
