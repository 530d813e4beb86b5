package sync

import (
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
func (c *courier) succeeded() {
	c.answered()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed = time.Now()
	c.delivered++
}

// answered notes that the destination is well: it took a call, or refused one with reason.
func (c *courier) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streak >= breakerAfter {
		c.hurry()
		c.e.log.Info("destination works again", keyDest, c.d.Name)
	}
	c.streak, c.limited, c.why = 0, 0, ""
	clear(c.struck)
}

// open tells whether the breaker is open: the destination fails for more than one contact, and is only probed. The caller holds mu.
func (c *courier) open() bool { return c.streak >= breakerAfter && len(c.struck) > 1 }

// beginWrite tells whether a claimed job may be tried now: what was learned while it waited for a seat counts. A destination that asked to be
// let alone, or whose breaker is open, gets one write at a time.
func (c *courier) beginWrite() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case c.halted != "" || now.Before(c.until) || c.open() && now.Before(c.openUntil):
		return false
	case c.writing > 0 && (c.limited > 0 || c.open()):
		return false
	}
	c.writing++
	return true
}

func (c *courier) endWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing--
}

// failed notes a passing fault of an attempt that began then, and returns when the job is tried again and whether the fault counts against
// the job alone. The breaker counts rounds: all writes in flight fail together when a destination goes down, so only a failure that
// began after the breaker last opened tells that the destination is still down, and doubles the wait.
func (c *courier) failed(r store.JobRef, err error, began, now time.Time) (due time.Time, alone bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.open()
	c.streak++
	c.struck[r.Lane] = struct{}{}
	c.why = err.Error()
	open := c.open()
	switch {
	case open && !was:
		c.rounds, c.opened = 1, now
		c.openUntil = now.Add(c.e.backoff(c.rounds))
		c.e.log.Warn("destination fails; it is tried now and then until it answers", keyDest, c.d.Name, keyError, err)
	case open && began.After(c.opened):
		c.rounds++
		c.opened = now
		c.openUntil = now.Add(c.e.backoff(c.rounds))
	}
	if len(c.struck) > 2*breakerAfter { // enough to know that it is not one contact
		clear(c.struck)
		c.struck[r.Lane] = struct{}{}
		c.struck[store.Lane{}] = struct{}{}
	}
	return now.Add(c.e.backoff(r.Attempts + 1)), !open
}

// throttled leaves the destination alone after an attempt that began then. As with failures, only an attempt that was sent after
// the destination had last said so lengthens the wait.
func (c *courier) throttled(wait time.Duration, err error, began, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limited == 0 || began.After(c.limitedAt) {
		c.limited++
		c.limitedAt = now
		defer c.tellWait(now)
	}
	if wait <= 0 {
		wait = c.e.backoff(c.limited)
	}
	if until := now.Add(min(wait, throttleMax)); until.After(c.until) {
		c.until = until
	}
	c.why = err.Error()
	return c.until
}

// tellWait says in the log that the destination is waited for: whoever runs once would otherwise see nothing for a minute. The caller
// holds mu.
func (c *courier) tellWait(now time.Time) {
	say, unsaid := c.waits.next(now)
	c.say(say, "destination asks to be left alone; its calls wait", unsaid, keyDest, c.d.Name, "until", rfc3339(c.until), keyError, c.why)
}

// halt stops the destination; false: it stood still already, what comes now was in flight.
func (c *courier) halt(reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := c.halted == ""
	c.halted = reason
	c.signal()
	return fresh
}

// waitingFor says why the destination is not being delivered to though it has jobs; empty: it is.
func (c *courier) waitingFor() (reason, lastError string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case now.Before(c.until):
		return waitReason(c.until, c.why), c.why
	case c.open():
		return "fails, next try " + rfc3339(c.openUntil) + ": " + c.why, c.why
	case len(c.waiting)+len(c.laggard) > 0 && c.streak > 0:
		return "next try " + rfc3339(earliest(c.waiting.next(), c.laggard.next())) + ": " + c.why, c.why
	}
	return "", ""
}

// quiet tells whether nothing is in flight or due before horizon.
func (c *courier) quiet(horizon time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flight > 0 {
		return false
	}
	if c.halted != "" || c.until.After(horizon) || c.limited >= limitedMax && time.Now().Before(c.until) {
		return true
	}
	if c.open() && c.openUntil.After(horizon) {
		return true
	}
	if len(c.buffer) > 0 || !c.done || c.stale {
		return false
	}
	return (len(c.waiting) == 0 || c.waiting[0].Due.After(horizon)) && (len(c.laggard) == 0 || c.laggard[0].Due.After(horizon))
}

// rested is quiet but for what is left of backfills.
func (c *courier) rested(horizon time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.urging > 0:
		return false
	case c.halted != "" || c.until.After(horizon) || c.open() && c.openUntil.After(horizon):
		return true
	case c.urgent, len(c.buffer) > 0 && isLive(c.buffer[0]), len(c.buffer) == 0 && (!c.done || c.stale):
		return false
	}
	return len(c.waiting) == 0 || c.waiting[0].Due.After(horizon)
}

// triesAgain tells whether jobs of the destination wait for a time and not for an operator.
func (c *courier) triesAgain() bool { return c.excused() && !c.isHalted() }

// excused tells whether there is a reason why jobs of the destination wait.
func (c *courier) excused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.halted != "" || time.Now().Before(c.until) || len(c.waiting)+len(c.laggard) > 0 || !c.rescan.IsZero()
}

func (c *courier) counts() (delivered int64, dead int) {
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
