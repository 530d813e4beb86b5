package vinfer

import (
	"sync"
	"time"
)

// span is how many seconds of requests a meter remembers.
const span = 60

// meter counts the requests that were sent, by kind. A client that takes over from another goes on with its meter.
type meter struct {
	began time.Time // seconds are counted from here, by a clock that nobody sets

	mu      sync.Mutex
	total   [kinds]uint64
	seconds [kinds][span]uint32 // a ring: second s is at s % span
	last    int64               // the second that was counted last
}

func newMeter() *meter { return &meter{began: time.Now()} }

// sent counts a request that is sent now.
func (m *meter) sent(p Priority, now time.Time) {
	if p < 0 || p >= kinds {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	m.total[p]++
	m.seconds[p][m.last%span]++
}

// turn empties the seconds that have passed since the last count. The caller holds the lock.
func (m *meter) turn(now time.Time) {
	s := int64(now.Sub(m.began) / time.Second)
	for i := max(m.last, s-span) + 1; i <= s; i++ {
		for k := range m.seconds {
			m.seconds[k][i%span] = 0
		}
	}
	m.last = max(m.last, s)
}

// state returns what was counted, in the order of the kinds.
func (m *meter) state(now time.Time) []KindRequests {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	all := make([]KindRequests, kinds)
	for k := range all {
		all[k] = KindRequests{Kind: Priority(k).String(), Total: m.total[k]}
		for _, n := range m.seconds[k] {
			all[k].LastMinute += int(n)
		}
	}
	return all
}
