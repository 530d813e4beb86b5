package sync

import (
	"container/heap"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// retryQueue is a heap of jobs by due time.
type retryQueue []store.JobRef

// pop takes the job out that is due first.
func (h *retryQueue) pop() store.JobRef {
	return heap.Pop(h).(store.JobRef) //nolint:errcheck // only jobs are pushed
}

// due tells whether the first one is due.
func (h retryQueue) due(now time.Time) bool { return len(h) > 0 && !h[0].Due.After(now) }

// next returns when the first one is due; zero: there is none.
func (h retryQueue) next() time.Time {
	if len(h) == 0 {
		return time.Time{}
	}
	return h[0].Due
}

func (h retryQueue) Len() int           { return len(h) }
func (h retryQueue) Less(i, j int) bool { return h[i].Due.Before(h[j].Due) }
func (h retryQueue) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *retryQueue) Push(x any)        { *h = append(*h, x.(store.JobRef)) } //nolint:errcheck // only jobs are pushed
func (h *retryQueue) Pop() any {
	old := *h
	n := len(old) - 1
	x := old[n]
	*h = old[:n]
	return x
}

// pace spreads the writes of one backfill at one destination evenly.
type pace struct {
	gap  time.Duration
	next time.Time // no write begins before
}

// setPace limits a backfill's writes to perMinute; 0: no limit.
func (c *dispatcher) setPace(backfill uint64, perMinute int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if perMinute <= 0 {
		delete(c.paces, backfill)
	} else {
		c.paces[backfill] = &pace{gap: time.Minute / time.Duration(perMinute)}
	}
	c.notify()
}

// paceAllows returns when a job may begin; zero: now. The caller holds mu.
func (c *dispatcher) paceAllows(r store.JobRef, now time.Time) time.Time {
	if p := c.paces[r.Backfill]; p != nil && !isLive(r) && now.Before(p.next) {
		return p.next
	}
	return time.Time{}
}

// countRate counts a job that begins. The caller holds mu.
func (c *dispatcher) countRate(r store.JobRef) {
	if p := c.paces[r.Backfill]; p != nil && !isLive(r) {
		now := time.Now()
		// What was not used in the last moments may be made up for, or a slow timer would cost speed.
		if oldest := now.Add(-4 * p.gap); p.next.Before(oldest) {
			p.next = oldest
		}
		p.next = p.next.Add(p.gap)
	}
}
