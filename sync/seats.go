package sync

import (
	"context"
	"slices"
	"sync"
)

// How many jobs of a destination are on their way for each write that may be in flight: the others wait for a seat, or for their outcome to
// be durable. More make the groups that are committed together larger. A kill repeats the writes whose outcome was not durable,
// which a destination with a key recognises; where it has none, they are doubled, so that there are fewer.
const (
	slotsKeyed      = 16
	slotsAppendOnly = 4
)

// seats bounds the writes in flight at one destination. Live work goes first.
type seats struct {
	mu         sync.Mutex
	free       int
	live, rest []chan struct{} // who waits, longest first; closed when the seat is theirs
}

// take waits for a seat; false: ctx has ended, and there is none to give back.
func (s *seats) take(ctx context.Context, live bool) bool {
	if ctx.Err() != nil {
		return false
	}
	s.mu.Lock()
	if s.free > 0 {
		s.free--
		s.mu.Unlock()
		return true
	}
	queue := &s.rest
	if live {
		queue = &s.live
	}
	mine := make(chan struct{})
	*queue = append(*queue, mine)
	s.mu.Unlock()
	select {
	case <-mine:
		return true
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(*queue, mine)
	if i >= 0 {
		*queue = slices.Delete(*queue, i, i+1)
	}
	s.mu.Unlock()
	if i < 0 { // it was given just now
		s.give()
	}
	return false
}

// give gives a seat back, or on to who waits for it.
func (s *seats) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, queue := range []*[]chan struct{}{&s.live, &s.rest} {
		if len(*queue) > 0 {
			close((*queue)[0])
			*queue = slices.Delete(*queue, 0, 1)
			return
		}
	}
	s.free++
}
