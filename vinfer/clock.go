package vinfer

import (
	"slices"
	"sync"
	"time"
)

// clock compares the server's clock with the local one. One answer whose Date is wrong (a cache, one host among many) changes nothing.
type clock struct {
	mu   sync.Mutex
	last []time.Duration // the server's clock minus the local one in the last answers, three at most
}

// learn records what an answer showed.
func (c *clock) learn(skew time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.last) == 3 {
		c.last = c.last[1:]
	}
	c.last = append(slices.Clip(c.last), skew)
}

// skew returns the median of the last three values; of two, the smaller in size.
func (c *clock) skew() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s := slices.Sorted(slices.Values(c.last)); len(s) {
	case 0:
		return 0
	case 2:
		if s[1].Abs() < s[0].Abs() {
			return s[1]
		}
		return s[0]
	default:
		return s[len(s)/2]
	}
}

// copyFrom copies what another clock has learned.
func (c *clock) copyFrom(o *clock) {
	o.mu.Lock()
	last := slices.Clone(o.last)
	o.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = last
}
