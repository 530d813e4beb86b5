package pace_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/pace"
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
			l := pace.Even(most, window)
			var workers sync.WaitGroup
			for range 8 {
				workers.Go(func() {
					for range 10 {
						if err := l.Take(t.Context()); err != nil {
							t.Error(err)
							return
						}
						way, back := time.Duration(rand.Int64N(int64(time.Second))), time.Duration(rand.Int64N(int64(time.Second)))
						time.Sleep(way)
						mu.Lock()
						seen = append(seen, time.Now())
						mu.Unlock()
						time.Sleep(back)
						l.Done()
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
		l := pace.Even(20, 5*time.Second)
		l.Lower(25, 5*time.Second)
		l.Lower(1, 5*time.Second)
		if err := l.Take(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(errors.New("a cause of its own")) })
		if err := l.Take(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		l.Done()
		began := time.Now()
		if err := l.Take(t.Context()); err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// TestPace counts as a server does: whatever of the time between a request and its answer it takes, no window has more than the limit.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, window = 7, 10 * time.Second
		p := pace.New(most, window)
		var mu sync.Mutex
		var sent, answered []time.Time
		done := make(chan struct{})
		requests := make(chan time.Duration)
		for range 4 {
			go func() {
				for took := range requests {
					if err := p.Take(t.Context()); err != nil {
						t.Error(err)
					}
					at := time.Now()
					time.Sleep(took)
					p.Done()
					mu.Lock()
					sent, answered = append(sent, at), append(answered, time.Now())
					mu.Unlock()
				}
				done <- struct{}{}
			}()
		}
		begun := time.Now()
		for n := range 100 {
			requests <- time.Duration(n%13) * 100 * time.Millisecond
		}
		close(requests)
		for range 4 {
			<-done
		}
		for i, at := range sent {
			n := 0
			for j := range sent {
				if sent[j].After(at) || j == i { // it may be counted from its sending, and the others until their answers
					continue
				}
				if at.Sub(answered[j]) < window {
					n++
				}
			}
			if n >= most {
				t.Errorf("request %d is one of %d within a window", i, n+1)
			}
		}
		if took := time.Since(begun); took > 100/most*(window+2*time.Second) {
			t.Errorf("%s is slower than the limit asks for", took)
		}
	})
}
