package vinfer

import (
	"sync"
	"time"
)

// meterSeconds is how many seconds of requests a meter remembers: ten minutes.
const meterSeconds = 600

// meter counts the requests that were sent, by kind. A client that takes over from another goes on with its meter.
type meter struct {
	began time.Time // seconds are counted from here, by a clock that nobody sets

	mu      sync.Mutex
	total   [kinds]uint64
	seconds [kinds][meterSeconds]uint32 // a ring: second s is at s % span
	last    int64                       // the second that was counted last
}

func newMeter() *meter { return &meter{began: time.Now()} }

// sent counts a request that is sent now.
func (m *meter) sent(p Priority, now time.Time) {
	if p < 0 || p >= kinds {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	m.total[p]++
	m.seconds[p][m.last%meterSeconds]++
}

// advance empties the seconds that have passed since the last count. The caller holds the lock.
func (m *meter) advance(now time.Time) {
	s := int64(now.Sub(m.began) / time.Second)
	for i := max(m.last, s-meterSeconds) + 1; i <= s; i++ {
		for k := range m.seconds {
			m.seconds[k][i%meterSeconds] = 0
		}
	}
	m.last = max(m.last, s)
}

// state returns the counts in the order of the kinds.
func (m *meter) state(now time.Time) []KindRequests {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	all := make([]KindRequests, kinds)
	for k := range all {
		p := Priority(k)
		all[k] = KindRequests{Kind: p.String(), Total: m.total[k], LastMinute: m.sum(0, 60, p, p)}
	}
	return all
}

// sum adds up the kinds from first to last over some seconds, counted back from the last one. The caller holds the lock.
func (m *meter) sum(from, seconds int64, first, last Priority) (n int) {
	for k := first; k <= last; k++ {
		for s := m.last - from; s > m.last-from-seconds && s >= 0; s-- {
			n += int(m.seconds[k][s%meterSeconds])
		}
	}
	return n
}

// recent returns how many requests of the kinds from first to last were sent within the last d.
func (m *meter) recent(now time.Time, d time.Duration, first, last Priority) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	return m.sum(0, min(max(int64(d/time.Second), 0), meterSeconds), first, last)
}

// peak returns how many requests of the kinds from first to last were sent in the busiest of the last minutes, ten at most.
func (m *meter) peak(now time.Time, minutes int, first, last Priority) (most int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance(now)
	for from := range int64(minutes) {
		most = max(most, m.sum(60*from, 60, first, last))
	}
	return most
}
