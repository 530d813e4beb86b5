package sync

import (
	"fmt"
	"sync"
	"time"
)

// stuckAfter is how long one activity may go on without a sign of life. Waiting for the API's budget counts as one.
const stuckAfter = 15 * time.Minute

// activities are the things being done now, so that a watchdog is fed by progress and not by a clock. The zero value is ready.
type activities struct {
	mu  sync.Mutex
	seq uint64
	now map[uint64]activity
}

type activity struct {
	what string
	at   time.Time
}

// begin notes that something is being done; the returned function ends it.
func (a *activities) begin(what string) func() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.now == nil {
		a.now = map[uint64]activity{}
	}
	a.seq++
	id := a.seq
	a.now[id] = activity{what, time.Now()}
	return func() {
		a.mu.Lock()
		delete(a.now, id)
		a.mu.Unlock()
	}
}

// beat is a sign of life of the long activities.
func (a *activities) beat() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, x := range a.now {
		x.at = time.Now()
		a.now[id] = x
	}
}

// Stuck returns an error that names an activity which has shown no sign of life for long; nil: all goes on, or nothing is to be done.
func (e *Engine) Stuck() error {
	e.busy.mu.Lock()
	defer e.busy.mu.Unlock()
	for _, x := range e.busy.now {
		if d := time.Since(x.at); d > stuckAfter {
			return fmt.Errorf("stuck for %s: %s", d.Round(time.Second), x.what)
		}
	}
	return nil
}
