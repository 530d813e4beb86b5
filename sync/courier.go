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

// courier schedules the deliveries of one destination: which lane is next, which wait, and whether the destination is
// well enough to be tried. What it knows it can find again in the store.
type courier struct {
	e *Engine
	d *Destination

	claiming, delivering, settling string // what it is busy with

	seats seats
	slots int // jobs on their way at most

	mu      sync.Mutex
	wake    chan struct{}           // closed and replaced when something changes; nil: nobody waits
	lanes   map[store.Lane]struct{} // in the buffer, in flight or waiting: not to be scanned
	buffer  []store.JobRef          // to be launched, live work first
	waiting waitHeap                // live work that waits for another try
	laggard waitHeap                // backfills' work that does
	paces   map[uint64]*pace        // of backfills that have one
	urgent  bool                    // live work was released: it goes before what the buffer holds of backfills
	pos     []byte
	done    bool // the scan has come to the end
	stale   bool // since the last scan began something was released
	rescan  time.Time
	scans   uint64 // scans begun
	flight  int
	aloft   map[store.Lane]struct{} // the lanes of those
	urging  int                     // of these the live ones
	writing int                     // of these the ones at the destination

	halted    string
	until     time.Time // throttled
	limited   int       // times in a row that the destination asked to be let alone, with no answer between
	limitedAt time.Time // the last of them
	why       string
	streak    int                     // failures in a row
	struck    map[store.Lane]struct{} // of which lanes
	openUntil time.Time               // the breaker: no probe before
	opened    time.Time               // when it opened last
	rounds    int                     // times in a row that it opened, with no answer between
	passed    time.Time               // last success
	delivered int64
	dead      int
	refusals  hush // what the log says of single calls
	warnings  hush
	waits     hush
}

func newCourier(e *Engine, d *Destination) *courier {
	slots := slotsKeyed
	if _, appendOnly := d.Writer.(crm.AppendOnly); appendOnly {
		slots = slotsAppendOnly
	}
	return &courier{
		e: e, d: d, seats: seats{free: d.Workers}, slots: slots * d.Workers, claiming: "claim " + d.Name, delivering: "deliver to " + d.Name, settling: "settle " + d.Name,
		lanes: map[store.Lane]struct{}{}, paces: map[uint64]*pace{}, aloft: map[store.Lane]struct{}{}, struck: map[store.Lane]struct{}{},
	}
}

// signal wakes all who wait; the caller holds mu.
func (c *courier) signal() {
	if c.wake != nil {
		close(c.wake)
		c.wake = nil
	}
}

// refresh says that there may be jobs that no scan has seen.
func (c *courier) refresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale = true
	c.signal()
}

// hasten says that live work was released: no job of a backfill is begun before it.
func (c *courier) hasten() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stale, c.urgent = true, true
	c.signal()
}

// resume forgets what kept the destination from being tried.
func (c *courier) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.halted = ""
	c.until, c.openUntil = time.Time{}, time.Time{}
	c.streak, c.limited = 0, 0
	clear(c.struck)
	c.hurry()
	c.stale = true
	c.signal()
}

// hurry makes waiting lanes due: the destination is well again. The caller holds mu.
func (c *courier) hurry() {
	for _, h := range []*waitHeap{&c.waiting, &c.laggard} {
		for i := range *h {
			(*h)[i].Due = time.Time{}
		}
		heap.Init(h)
	}
}

// isLive tells whether a job goes before all others: it is a live call, or one waits behind it in its lane. Transcripts and what backfills
// brought come after these.
func isLive(r store.JobRef) bool { return r.Backfill == 0 && r.Kind == store.CallJob || r.Urgent }

// flies tells whether a delivery in one of the lanes is under way.
func (c *courier) flies(lanes []store.Lane) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(lanes, func(l store.Lane) bool { _, up := c.aloft[l]; return up })
}

// take returns the next job to claim, or when to ask again (zero: when woken). The caller holds mu.
func (c *courier) take(now time.Time) (store.JobRef, time.Time, bool, error) {
	var none store.JobRef
	if c.halted != "" || c.flight >= c.slots {
		return none, time.Time{}, false, nil
	}
	if now.Before(c.until) {
		return none, c.until, false, nil
	}
	if c.limited > 0 && c.flight > 0 {
		return none, time.Time{}, false, nil // one finds out whether the wait was long enough
	}
	probe := c.open()
	if probe {
		if c.flight > 0 {
			return none, time.Time{}, false, nil
		}
		if now.Before(c.openUntil) {
			return none, c.openUntil, false, nil
		}
		// A probe takes what was tried already, rather than touch one more.
		for _, h := range []*waitHeap{&c.waiting, &c.laggard} {
			if len(*h) > 0 {
				return c.launch(h.first()), time.Time{}, true, nil
			}
		}
	}
	if c.waiting.due(now) {
		return c.launch(c.waiting.first()), time.Time{}, true, nil
	}
	if err := c.fill(now); err != nil {
		return none, now.Add(time.Second), false, err
	}
	if len(c.buffer) > 0 && isLive(c.buffer[0]) {
		return c.launch(c.unbuffer(0)), time.Time{}, true, nil
	}
	next := earliest(c.rescan, c.waiting.next())
	if c.laggard.due(now) {
		at := c.mayGo(c.laggard[0], now)
		if at.IsZero() {
			return c.launch(c.laggard.first()), time.Time{}, true, nil
		}
		next = earliest(next, at)
	} else {
		next = earliest(next, c.laggard.next())
	}
	for i := range c.buffer {
		at := c.mayGo(c.buffer[i], now)
		if at.IsZero() {
			return c.launch(c.unbuffer(i)), time.Time{}, true, nil
		}
		next = earliest(next, at)
	}
	return none, next, false, nil
}

func (c *courier) unbuffer(i int) store.JobRef {
	ref := c.buffer[i]
	c.buffer = slices.Delete(c.buffer, i, i+1)
	return ref
}

// earliest returns the earlier of two times; a zero one is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (c *courier) launch(ref store.JobRef) store.JobRef {
	c.flight++
	c.aloft[ref.Lane] = struct{}{}
	if isLive(ref) {
		c.urging++
	}
	c.pass(ref)
	return ref
}

// fill scans the outbox until the buffer holds something or the end is reached. The caller holds mu.
func (c *courier) fill(now time.Time) error {
	if c.urgent {
		// The scan begins again, with the live work; it finds what is given back here afterwards.
		c.urgent = false
		c.pos, c.done = nil, false
		c.buffer = slices.DeleteFunc(c.buffer, func(r store.JobRef) bool {
			if isLive(r) {
				return false
			}
			delete(c.lanes, r.Lane)
			return true
		})
	}
	if len(c.buffer) > 0 {
		return nil
	}
	if !c.rescan.IsZero() && !now.Before(c.rescan) {
		c.rescan, c.stale = time.Time{}, true
	}
	if c.done && c.stale {
		c.pos, c.done = nil, false
	}
	for len(c.buffer) == 0 && !c.done {
		if c.pos == nil {
			c.stale = false
			c.scans++
		}
		refs, next, err := c.e.o.Store.Scan(c.d.Name, c.pos, scanRows, c.lanes)
		if err != nil {
			return err
		}
		for _, r := range refs {
			c.add(r, now)
		}
		c.pos, c.done = next, next == nil
		if c.done && c.stale {
			c.pos, c.done = nil, false
		}
	}
	return nil
}

// add takes a lane's head into the schedule. The caller holds mu.
func (c *courier) add(r store.JobRef, now time.Time) {
	if _, known := c.lanes[r.Lane]; known {
		return
	}
	if r.Due.After(now) {
		c.park(r)
		return
	}
	c.lanes[r.Lane] = struct{}{}
	c.buffer = append(c.buffer, r)
}

// park lets a lane wait until its head is due. The caller holds mu.
func (c *courier) park(r store.JobRef) {
	if len(c.waiting)+len(c.laggard) >= maxWaiting {
		delete(c.lanes, r.Lane)
		if c.rescan.IsZero() || r.Due.Before(c.rescan) {
			c.rescan = r.Due
		}
		return
	}
	c.lanes[r.Lane] = struct{}{}
	if isLive(r) {
		heap.Push(&c.waiting, r)
	} else {
		heap.Push(&c.laggard, r)
	}
}

// roomy tells whether so many slots are free that claims come many at a time, or live work waits behind other work. The caller holds mu.
func (c *courier) roomy() bool {
	return c.flight <= c.slots/2 || c.urging < c.flight && (c.urgent || len(c.buffer) > 0 && isLive(c.buffer[0]))
}

// next waits for jobs to claim, and returns all that there are slots for, up to maxClaim; none: ctx has ended.
func (c *courier) next(ctx context.Context) (refs []store.JobRef) {
	for {
		c.mu.Lock()
		if ctx.Err() != nil {
			c.mu.Unlock()
			return nil
		}
		var at time.Time
		var err error
		for ok := c.roomy(); ok && len(refs) < maxClaim && err == nil; {
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

// begun returns how many scans have begun, for landed.
func (c *courier) begun() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.scans
}

// landed takes a job out of flight: ahead is the lane's next job as it was when scans had begun so many times, nil if it had none.
func (c *courier) landed(ref store.JobRef, ahead *store.JobRef, scans uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight--
	delete(c.aloft, ref.Lane)
	if isLive(ref) {
		c.urging--
	}
	delete(c.lanes, ref.Lane)
	switch {
	case ahead == nil:
		// A job of this lane may have been stored since, and a scan have passed over it because the lane was taken.
		if c.scans != scans {
			c.stale = true
		}
	case ahead.Due.After(time.Now()):
		c.park(*ahead)
	default:
		c.lanes[ref.Lane] = struct{}{}
		at := 0
		if !isLive(*ahead) {
			for at < len(c.buffer) && isLive(c.buffer[at]) {
				at++
			}
		}
		c.buffer = slices.Insert(c.buffer, at, *ahead)
	}
	c.signal()
}
