package leadsquared

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestLimiter has many workers send requests that take their time, through two processes, one after the other: wherever within its
// time a request is seen, no window sees more than are allowed.
func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, window = 10, 5 * time.Second
		var mu sync.Mutex
		var seen []time.Time
		began := time.Now()
		for range 2 {
			l := newLimiter(most)
			var workers sync.WaitGroup
			for range 8 {
				workers.Go(func() {
					for range 10 {
						if err := l.begin(t.Context()); err != nil {
							t.Error(err)
							return
						}
						way, back := time.Duration(rand.Int64N(int64(time.Second))), time.Duration(rand.Int64N(int64(time.Second)))
						time.Sleep(way)
						mu.Lock()
						seen = append(seen, time.Now())
						mu.Unlock()
						time.Sleep(back)
						l.end()
					}
				})
			}
			workers.Wait()
		}
		slices.SortFunc(seen, time.Time.Compare)
		for i := range seen {
			// One more is what a process may add that knows nothing of the one before it.
			if i+most+1 < len(seen) && seen[i+most+1].Sub(seen[i]) < window {
				t.Errorf("%d requests within %s", most+2, seen[i+most+1].Sub(seen[i]))
			}
		}
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("160 requests take %s", took)
		}
	})
}

// TestLimiterEnds does not wait for a caller who has gone, and takes over a lower limit.
func TestLimiterEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(20)
		l.learn(25, 5*time.Second)
		l.learn(1, 5*time.Second)
		if err := l.begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(errors.New("a cause of its own")) })
		if err := l.begin(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		l.end()
		began := time.Now()
		if err := l.begin(t.Context()); err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
