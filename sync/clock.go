package sync

import (
	"sync"
	"time"
)

const (
	// clockStep is how far the server's clock may leap ahead against this machine's before that is doubted, and how far ahead of it a first
	// answer may be: as long as the two have never agreed, the earlier one counts.
	clockStep = 10 * time.Minute
	// clockDoubt is how long a leap must last to be believed.
	clockDoubt = time.Hour
)

// serverClock judges what a server says of its time. The cursor follows it, so a Date that is days ahead for one answer (a cache, a host
// among many) would pass over days of calls. A leap ahead is therefore believed only when it has lasted; until then the server's clock is
// taken to go on as it did, at first as this machine's does. A clock that goes back is believed at once: that costs only reading again.
type serverClock struct {
	mu      sync.Mutex
	known   bool
	skew    time.Duration // the server's clock minus the local one, as believed
	doubted time.Duration // another skew that is not believed yet …
	since   time.Time     // … seen first at this time; zero: none
	reject  func(leap time.Duration)
}

// accept returns what is to be believed of the server's time when it says date at the local time now.
func (c *serverClock) accept(date, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	skew := date.Sub(now)
	if skew <= max(c.skew, 0)+clockStep { // a time that agrees with this machine's is no leap, whatever was said before
		c.known, c.skew, c.since = true, skew, time.Time{}
		return date
	}
	if c.since.IsZero() || (skew-c.doubted).Abs() > clockStep {
		c.doubted, c.since = skew, now
		c.reject(skew - c.skew)
	}
	if now.Sub(c.since) >= clockDoubt {
		c.known, c.skew, c.since = true, skew, time.Time{}
		return date
	}
	return now.Add(c.skew).UTC()
}

// serverNow is the time by the server's clock as last seen, as far as it is believed.
func (e *Engine) serverNow() time.Time {
	now := time.Now()
	return e.clock.accept(now.Add(e.o.API.Skew()).UTC(), now)
}

const settingSkew = "clock-skew"

// loadClock takes up what an earlier process believed of the server's clock: a run under cron knows nothing else.
func (e *Engine) loadClock() error {
	v, err := e.o.Store.Setting(settingSkew)
	if err != nil || v == nil {
		return err
	}
	if d, err := time.ParseDuration(string(v)); err == nil {
		e.clock.known, e.clock.skew = true, d
	}
	return nil
}

// saveClock keeps it for the next process.
func (e *Engine) saveClock() error {
	e.serverNow() // judges the answer that came last
	e.clock.mu.Lock()
	known, skew := e.clock.known, e.clock.skew.Round(time.Minute)
	e.clock.mu.Unlock()
	if !known {
		return nil
	}
	return e.o.Store.PutSetting(settingSkew, []byte(skew.String())) // writes only what changes
}

// ClockDoubt tells how far VInfer's clock is ahead of what is believed of it; 0: it is believed.
func (e *Engine) ClockDoubt() time.Duration {
	e.clock.mu.Lock()
	defer e.clock.mu.Unlock()
	if e.clock.since.IsZero() {
		return 0
	}
	return e.clock.doubted - e.clock.skew
}

// rejectClock tells of a leap of the server's clock.
func (e *Engine) rejectClock(leap time.Duration) {
	e.log.Warn("VInfer's clock leapt ahead of this machine's; the cursor does not follow until that has lasted an hour", "by", leap.Round(time.Second))
}
