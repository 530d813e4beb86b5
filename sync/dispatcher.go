package sync

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/store"
)

const (
	scanRows   = 256    // jobs looked up at a time
	maxClaim   = 64     // jobs claimed in one transaction
	maxWaiting = 50_000 // lanes whose back-off is kept in memory; the others are found by scanning again
)

// dispatcher schedules the deliveries of one destination. It keeps nothing that it could not read from the store again.
//
// The store lists the heads of lanes, live ones first (Store.Scan). The dispatcher scans a few hundred at a time into ready. A lane is in one
// of four places: ready, liveRetries or otherRetries (its head waits for a time), or in flight; scans leave those lanes out. When a job ends,
// its lane's next head takes its place, as the store names it (Settle); a scan that passed over the lane meanwhile is made good for by
// scanning again (dirty). take chooses what is begun next: live retries that are due, live heads, other retries that are due, other heads
// as far as the rate of their backfill allows. When live work is released, scanning begins again at the live heads, and what ready
// holds of other work is forgotten until then.
//
// The breaker opens after breakerAfter failures in a row of more than one contact; then one job at a time is tried, at growing
// intervals (health.go), one that was tried before rather than one more.
type dispatcher struct {
	e *Engine
	d *Destination

	claimActivity, deliverActivity, settleActivity string // how the watchdog names what goes on

	seats seats
	slots int // how many jobs may be in flight

	mu   sync.Mutex
	wake chan struct{} // closed and replaced when something changes; nil: nobody waits

	scheduled    map[store.Lane]struct{} // lanes that are ready, waiting or in flight: scans leave them out
	ready        []store.JobRef          // heads to begin, live ones first
	liveRetries  retryQueue              // live heads that wait for a time
	otherRetries retryQueue              // other heads that do
	paces        map[uint64]*pace        // of backfills that have a rate
	liveReleased bool                    // live work was released since the last scan began
	scanFrom     []byte                  // where the scan goes on; nil: at the beginning
	scanEnded    bool
	dirty        bool      // something was released since the last scan began
	rescanAt     time.Time // when a lane is due that liveRetries and otherRetries had no room for
	scans        uint64    // scans begun

	inFlight      int // jobs claimed and not yet settled
	inFlightLanes map[store.Lane]struct{}
	inFlightLive  int // of these the live ones
	writing       int // of these the ones at the destination

	halted         string // why; empty: it is not
	paused         bool   // halted, and by an operator
	throttledUntil time.Time
	throttles      int       // requests to wait in a row, with no other answer between
	throttledAt    time.Time // when the last of these came
	reason         string    // the last error
	failures       int       // in a row
	failedLanes    map[store.Lane]struct{}
	probeAt        time.Time // with an open breaker: no try before
	openedAt       time.Time // when the breaker opened last
	rounds         int       // times in a row that it opened, with no answer between
	lastSuccess    time.Time
	delivered      int64
	dead           int

	refusalLog, warningLog, throttleLog, breakerLog logLimiter

	breakerTold bool // whether the log says that the destination fails
}

func newDispatcher(e *Engine, d *Destination) *dispatcher {
	slots := slotsKeyed
	if _, appendOnly := d.Writer.(crm.AppendOnly); appendOnly {
		slots = slotsAppendOnly
	}
	return &dispatcher{
		e: e, d: d, seats: seats{free: d.Workers}, slots: slots * d.Workers, claimActivity: "claim " + d.Name, deliverActivity: "deliver to " + d.Name, settleActivity: "settle " + d.Name,
		scheduled: map[store.Lane]struct{}{}, paces: map[uint64]*pace{}, inFlightLanes: map[store.Lane]struct{}{}, failedLanes: map[store.Lane]struct{}{},
	}
}

// notify wakes all who wait; the caller holds mu.
func (c *dispatcher) notify() {
	if c.wake != nil {
		close(c.wake)
		c.wake = nil
	}
}

// released says that there may be jobs that no scan has seen.
func (c *dispatcher) released() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = true
	c.notify()
}

// releasedLive says that live work was released: no other job is begun before it.
func (c *dispatcher) releasedLive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty, c.liveReleased = true, true
	c.notify()
}

// resume forgets what kept the destination from being tried.
func (c *dispatcher) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.halted, c.paused = "", false
	c.throttledUntil, c.probeAt = time.Time{}, time.Time{}
	c.failures, c.throttles = 0, 0
	clear(c.failedLanes)
	c.retryNow()
	c.dirty = true
	c.notify()
}

// retryNow makes waiting lanes due: the destination is well again. The caller holds mu.
func (c *dispatcher) retryNow() {
	for _, h := range []*retryQueue{&c.liveRetries, &c.otherRetries} {
		for i := range *h {
			(*h)[i].Due = time.Time{}
		}
		heap.Init(h)
	}
}

// isLive tells whether a job goes before all others: it is a live call, or one waits behind it in its lane. Transcripts and what backfills
// brought come after these.
func isLive(r store.JobRef) bool { return r.Backfill == 0 && r.Kind == store.CallJob || r.Urgent }

// isInFlight tells whether a delivery in one of the lanes is under way.
func (c *dispatcher) isInFlight(lanes []store.Lane) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(lanes, func(l store.Lane) bool { _, up := c.inFlightLanes[l]; return up })
}

// take returns the next job to claim, or when to ask again (zero: when woken). The caller holds mu.
func (c *dispatcher) take(now time.Time) (store.JobRef, time.Time, bool, error) {
	var none store.JobRef
	if c.halted != "" || c.inFlight >= c.slots {
		return none, time.Time{}, false, nil
	}
	if now.Before(c.throttledUntil) {
		return none, c.throttledUntil, false, nil
	}
	if c.throttles > 0 && c.inFlight > 0 {
		return none, time.Time{}, false, nil // one finds out whether the wait was long enough
	}
	probe := c.breakerOpen()
	if probe {
		if c.inFlight > 0 {
			return none, time.Time{}, false, nil
		}
		if now.Before(c.probeAt) {
			return none, c.probeAt, false, nil
		}
		// A probe takes what was tried already, rather than touch one more.
		for _, h := range []*retryQueue{&c.liveRetries, &c.otherRetries} {
			if len(*h) > 0 {
				return c.begin(h.pop()), time.Time{}, true, nil
			}
		}
	}
	if c.liveRetries.due(now) {
		return c.begin(c.liveRetries.pop()), time.Time{}, true, nil
	}
	if err := c.scan(now); err != nil {
		return none, now.Add(time.Second), false, err
	}
	if len(c.ready) > 0 && isLive(c.ready[0]) {
		return c.begin(c.takeReady(0)), time.Time{}, true, nil
	}
	next := earliest(c.rescanAt, c.liveRetries.next())
	if c.otherRetries.due(now) {
		at := c.paceAllows(c.otherRetries[0], now)
		if at.IsZero() {
			return c.begin(c.otherRetries.pop()), time.Time{}, true, nil
		}
		next = earliest(next, at)
	} else {
		next = earliest(next, c.otherRetries.next())
	}
	for i := range c.ready {
		at := c.paceAllows(c.ready[i], now)
		if at.IsZero() {
			return c.begin(c.takeReady(i)), time.Time{}, true, nil
		}
		next = earliest(next, at)
	}
	return none, next, false, nil
}

func (c *dispatcher) takeReady(i int) store.JobRef {
	ref := c.ready[i]
	c.ready = slices.Delete(c.ready, i, i+1)
	return ref
}

// earliest returns the earlier of two times; a zero one is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (c *dispatcher) begin(ref store.JobRef) store.JobRef {
	c.inFlight++
	c.inFlightLanes[ref.Lane] = struct{}{}
	if isLive(ref) {
		c.inFlightLive++
	}
	c.countRate(ref)
	return ref
}

// scan scans the outbox until the buffer holds something or the end is reached. The caller holds mu.
func (c *dispatcher) scan(now time.Time) error {
	if c.liveReleased {
		// The scan begins again, with the live work; it finds what is given back here afterwards.
		c.liveReleased = false
		c.scanFrom, c.scanEnded = nil, false
		c.ready = slices.DeleteFunc(c.ready, func(r store.JobRef) bool {
			if isLive(r) {
				return false
			}
			delete(c.scheduled, r.Lane)
			return true
		})
	}
	if len(c.ready) > 0 {
		return nil
	}
	if !c.rescanAt.IsZero() && !now.Before(c.rescanAt) {
		c.rescanAt, c.dirty = time.Time{}, true
	}
	if c.scanEnded && c.dirty {
		c.scanFrom, c.scanEnded = nil, false
	}
	for len(c.ready) == 0 && !c.scanEnded {
		if c.scanFrom == nil {
			c.dirty = false
			c.scans++
		}
		refs, next, err := c.e.o.Store.Scan(c.d.Name, c.scanFrom, scanRows, c.scheduled)
		if err != nil {
			return err
		}
		for _, r := range refs {
			c.schedule(r, now)
		}
		c.scanFrom, c.scanEnded = next, next == nil
		if c.scanEnded && c.dirty {
			c.scanFrom, c.scanEnded = nil, false
		}
	}
	return nil
}

// schedule takes a lane's head into the schedule. The caller holds mu.
func (c *dispatcher) schedule(r store.JobRef, now time.Time) {
	if _, known := c.scheduled[r.Lane]; known {
		return
	}
	if r.Due.After(now) {
		c.scheduleRetry(r)
		return
	}
	c.scheduled[r.Lane] = struct{}{}
	c.ready = append(c.ready, r)
}

// scheduleRetry lets a lane wait until its head is due. The caller holds mu.
func (c *dispatcher) scheduleRetry(r store.JobRef) {
	if len(c.liveRetries)+len(c.otherRetries) >= maxWaiting {
		delete(c.scheduled, r.Lane)
		if c.rescanAt.IsZero() || r.Due.Before(c.rescanAt) {
			c.rescanAt = r.Due
		}
		return
	}
	c.scheduled[r.Lane] = struct{}{}
	if isLive(r) {
		heap.Push(&c.liveRetries, r)
	} else {
		heap.Push(&c.otherRetries, r)
	}
}

// wantsMore tells whether so many slots are free that claims come many at a time, or live work waits behind other work. The caller holds mu.
func (c *dispatcher) wantsMore() bool {
	return c.inFlight <= c.slots/2 || c.inFlightLive < c.inFlight && (c.liveReleased || len(c.ready) > 0 && isLive(c.ready[0]))
}

// next waits for jobs to claim, and returns all that there are slots for, up to maxClaim; none: ctx has ended.
func (c *dispatcher) next(ctx context.Context) (refs []store.JobRef) {
	for {
		c.mu.Lock()
		if ctx.Err() != nil {
			c.mu.Unlock()
			return nil
		}
		var at time.Time
		var err error
		for ok := c.wantsMore(); ok && len(refs) < maxClaim && err == nil; {
			var ref store.JobRef
			if ref, at, ok, err = c.take(time.Now()); ok {
				refs = append(refs, ref)
			}
		}
		if c.wake == nil && len(refs) == 0 {
			c.wake = make(chan struct{})
		}
		wake := c.wake
		c.mu.Unlock()
		if len(refs) > 0 {
			return refs
		}
		if err != nil {
			c.e.log.Error("cannot read the outbox", keyDest, c.d.Name, keyError, err)
		}
		var timer <-chan time.Time
		var t *time.Timer
		if !at.IsZero() {
			t = time.NewTimer(max(time.Until(at), time.Millisecond))
			timer = t.C
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-timer:
		}
		if t != nil {
			t.Stop()
		}
	}
}

// scansBegun returns how many scans have begun, for landed.
func (c *dispatcher) scansBegun() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.scans
}

// end takes a job out of flight: ahead is the lane's next job as it was when scans had begun so many times, nil if it had none.
func (c *dispatcher) end(ref store.JobRef, ahead *store.JobRef, scans uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
	delete(c.inFlightLanes, ref.Lane)
	if isLive(ref) {
		c.inFlightLive--
	}
	delete(c.scheduled, ref.Lane)
	switch {
	case ahead == nil:
		// A job of this lane may have been stored since, and a scan have passed over it because the lane was taken.
		if c.scans != scans {
			c.dirty = true
		}
	case ahead.Due.After(time.Now()):
		c.scheduleRetry(*ahead)
	default:
		c.scheduled[ref.Lane] = struct{}{}
		at := 0
		if !isLive(*ahead) {
			for at < len(c.ready) && isLive(c.ready[at]) {
				at++
			}
		}
		c.ready = slices.Insert(c.ready, at, *ahead)
	}
	c.notify()
}
