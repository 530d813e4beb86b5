package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/store"
)

// workerCounts are the numbers of workers that suites about concurrent deliveries run with: one, a few, the default, and many.
var workerCounts = []int{1, 4, 8, 16, 64}

// A destination that is down for a moment is delivered to again after the first wait, however many writes failed in that moment.
func TestBlipIsNoOutage(t *testing.T) {
	for _, workers := range workerCounts {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			t.Parallel()
			d := &outage{lasts: 500 * time.Millisecond}
			r := newRig(t, newAPI(t, true, past(200)...), d, func(o *Options) {
				o.Backoff = time.Second
				o.Destinations[0].Workers = workers
			})
			if s := r.once(); s.Delivered != 200 || s.Pending != 0 || s.Dead != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// outage is a destination that is down for a while from the first write on. Its writes take a moment, so that all workers have one in flight.
type outage struct {
	once  sync.Once
	lasts time.Duration
	ends  time.Time
}

func (o *outage) Write(context.Context, crm.Entry, *crm.Progress) error {
	o.once.Do(func() { o.ends = time.Now().Add(o.lasts) })
	time.Sleep(10 * time.Millisecond)
	if time.Now().Before(o.ends) {
		return errSick
	}
	return nil
}

// The wait doubles with each round that fails, and not with each attempt.
func TestBreakerCountsRounds(t *testing.T) {
	for _, workers := range workerCounts {
		e := &Engine{o: Options{Backoff: time.Second, Logger: discard}, log: discard}
		c := newDispatcher(e, &Destination{Name: "crm"})
		now := time.Unix(1_800_000_000, 0)
		lane := byte(0)
		fail := func(began, ended time.Time) {
			lane++
			c.failed(store.JobRef{Lane: store.Lane{lane}}, errSick, began, ended)
		}
		for range max(workers, breakerAfter) { // all in flight
			fail(now, now.Add(100*time.Millisecond))
		}
		now = now.Add(100 * time.Millisecond)
		for round := 1; round < 8; round++ {
			want := min(time.Second<<(round-1), backoffMax)
			if got := c.probeAt.Sub(now); got < want*8/10 || got > want*12/10 {
				t.Errorf("%d workers, round %d: the next probe is in %s, want about %s", workers, round, got, want)
			}
			now = c.probeAt.Add(time.Second)
			fail(c.probeAt, now)
		}
		c.answered()
		for range max(workers, breakerAfter) {
			fail(now, now)
		}
		if got := c.probeAt.Sub(now); got > 2*time.Second {
			t.Errorf("%d workers: after an answer the wait is still %s", workers, got)
		}
	}
}

// As with failures: what was in flight when a destination asked to be let alone says nothing new.
func TestThrottleCountsRounds(t *testing.T) {
	for _, workers := range workerCounts {
		e := &Engine{o: Options{Backoff: time.Second, Logger: discard}, log: discard}
		c := newDispatcher(e, &Destination{Name: "crm"})
		now := time.Unix(1_800_000_000, 0)
		for i := range workers { // the slowest answers come after the first wait has passed
			c.throttled(0, errors.New("429"), now, now.Add(time.Second+time.Duration(i)*100*time.Millisecond))
		}
		if c.throttles != 1 {
			t.Errorf("%d workers: one moment counts as %d times", workers, c.throttles)
		}
	}
}

var discard = slog.New(slog.DiscardHandler)
