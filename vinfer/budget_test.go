package vinfer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAdmit(t *testing.T) {
	now := utc("2024-01-15T10:35:00Z")
	w := func(limit, remaining int, reset time.Duration) window {
		return window{seen: true, known: true, limit: limit, remaining: remaining, reset: now.Add(reset)}
	}
	const (
		s = time.Second
		m = time.Minute
	)
	for _, tt := range []struct {
		name     string
		w        window
		reserve  float64
		inFlight int
		last     time.Duration // before now
		ok       bool
		wait     time.Duration
	}{
		{"nothing known, nothing asked", window{}, 0.1, 0, m, true, 0},
		{"nothing known, one asks", window{}, 0.1, 1, 0, false, untilAnswer},
		{"no headers ever", window{seen: true}, 0.1, 50, 0, true, 0},
		{"full", w(1000, 1000, m), 0.1, 0, 0, true, 0},
		{"just above half", w(1000, 501, m), 0.1, 0, 0, true, 0},
		{"those in flight count", w(1000, 501, m), 0.1, 1, 0, false, 150 * time.Millisecond}, // 60 s / 400
		{"spread", w(1000, 400, 30*s), 0.1, 0, 0, false, 100 * time.Millisecond},
		{"spread, time is up", w(1000, 400, 30*s), 0.1, 0, 100 * time.Millisecond, true, 0},
		{"spread, half of it is up", w(1000, 400, 30*s), 0.1, 0, 50 * time.Millisecond, false, 50 * time.Millisecond},
		{"spread without a reserve", w(1000, 300, 30*s), 0, 0, 0, false, 100 * time.Millisecond},
		{"one above the reserve", w(1000, 101, 30*s), 0.1, 0, 10 * s, false, 20 * s},
		{"the reserve", w(1000, 100, 30*s), 0.1, 0, m, false, 30 * s},
		{"the reserve with one in flight", w(1000, 101, 30*s), 0.1, 1, m, false, 30 * s},
		{"nothing left", w(1000, 0, 30*s), 0, 0, m, false, 30 * s},
		{"a reserve above half", w(1000, 700, 30*s), 0.8, 0, m, false, 30 * s},
		{"the window is over", w(1000, 0, 0), 0.1, 0, 0, true, 0},
		{"the window is over, one asks", w(1000, 900, -s), 0.1, 1, 0, false, untilAnswer},
		{"a limit of one", w(1, 1, 30*s), 0.1, 0, m, false, 30 * s},
		{"a fraction that is not exact", w(100, 8, 10*s), 0.07, 0, 10 * s, true, 0},
	} {
		ok, wait := tt.w.admit(now, tt.w.reserved(tt.reserve), tt.inFlight, now.Add(-tt.last))
		if ok != tt.ok || !ok && wait != tt.wait {
			t.Errorf("%s: %v, %v", tt.name, ok, wait)
		}
	}
}

func TestLearn(t *testing.T) {
	now := utc("2024-01-15T10:35:00Z")
	reset := now.Add(30 * time.Second)
	old := window{seen: true, known: true, limit: 1000, remaining: 500, reset: reset}
	for _, tt := range []struct {
		name        string
		w           window
		r           rates
		seq, newest uint64
		limit, left int
		reset       time.Time
		taken       bool
	}{
		{"the first", window{}, rates{1000, 999, reset}, 1, 0, 1000, 999, reset, true},
		{"no limit said", window{}, rates{-1, 999, reset}, 1, 0, 1000, 999, reset, true},
		{"a limit of 0", old, rates{0, 499, reset}, 2, 1, 1000, 499, reset, true},
		{"more left than the limit", window{}, rates{10, 999, reset}, 1, 0, 10, 10, reset, true},
		{"the next", old, rates{1000, 499, reset}, 2, 1, 1000, 499, reset, true},
		{"overtaken", old, rates{1000, 501, reset}, 1, 2, 1000, 500, reset, true},
		{"overtaken at the server", old, rates{1000, 502, reset}, 3, 2, 1000, 500, reset, true},
		{"the next window", old, rates{1000, 999, reset.Add(time.Minute)}, 2, 1, 1000, 999, reset.Add(time.Minute), true},
		{"the window before", old, rates{1000, 3, reset.Add(-time.Minute)}, 1, 2, 1000, 500, reset, false},
		{"a limit that refills", old, rates{1000, 800, reset}, 2, 1, 1000, 800, reset, true},
		{"no reset", old, rates{1000, 400, time.Time{}}, 2, 1, 1000, 400, now.Add(time.Minute), true},
		{"nothing said", old, rates{-1, -1, time.Time{}}, 2, 1, 1000, 499, reset, false},
	} {
		w := tt.w
		taken := w.learn(tt.r, now, tt.seq, tt.newest)
		if taken != tt.taken || w.limit != tt.limit || w.remaining != tt.left || !w.reset.Equal(tt.reset) {
			t.Errorf("%s: %v, %+v", tt.name, taken, w)
		}
	}
}

// server counts requests as the documented limit does, in windows of a minute.
type server struct {
	limit, used int
	window      int64
	worst       int // the fewest that were left
	refused     int
}

func (s *server) answer(now time.Time) (int, http.Header) {
	if w := now.Unix() / 60; w != s.window {
		s.window, s.used = w, 0
	}
	s.used++
	status := http.StatusOK
	left := s.limit - s.used
	if left < 0 {
		status, left = http.StatusTooManyRequests, 0
		s.refused++
	}
	s.worst = min(s.worst, left)
	h := http.Header{}
	h.Set("X-RateLimit-Limit", fmt.Sprint(s.limit))
	h.Set("X-RateLimit-Remaining", fmt.Sprint(left))
	h.Set("X-RateLimit-Reset", fmt.Sprint((s.window+1)*60))
	return status, h
}

func TestTheReserveStaysFree(t *testing.T) {
	for _, workers := range []int{1, 8} {
		synctest.Test(t, func(t *testing.T) {
			b := newBudget(0.1)
			defer b.close()
			var mu sync.Mutex
			srv := &server{limit: 1000, worst: 1000}
			began := time.Now()
			perMinute := map[int]int{}
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					for time.Since(began) < 5*time.Minute {
						tk, err := b.acquire(t.Context(), Audits)
						if err != nil {
							t.Error(err)
							return
						}
						time.Sleep(5 * time.Millisecond)
						mu.Lock()
						status, h := srv.answer(time.Now())
						perMinute[int(time.Since(began)/time.Minute)]++
						mu.Unlock()
						time.Sleep(5 * time.Millisecond)
						b.answered(tk, status, h, time.Now(), 0)
					}
				})
			}
			wg.Wait()
			if srv.worst < 100 || srv.refused > 0 {
				t.Errorf("%d workers: %d requests were left, %d refused", workers, srv.worst, srv.refused)
			}
			// The bubble's clock begins at the start of a minute.
			for m := range 5 {
				if perMinute[m] < 850 || perMinute[m] > 900 {
					t.Errorf("%d workers: %d requests in minute %d", workers, perMinute[m], m)
				}
			}
		})
	}
}

func headers(limit, remaining int, reset time.Time) http.Header {
	h := http.Header{}
	h.Set("X-RateLimit-Limit", fmt.Sprint(limit))
	h.Set("X-RateLimit-Remaining", fmt.Sprint(remaining))
	h.Set("X-RateLimit-Reset", fmt.Sprint(reset.Unix()))
	return h
}

// acquireAndAnswer sends a request through the budget and gives the budget an answer.
func acquireAndAnswer(t *testing.T, b *budget, status int, h http.Header) {
	t.Helper()
	tk, err := b.acquire(t.Context(), News)
	if err != nil {
		t.Fatal(err)
	}
	b.answered(tk, status, h, time.Now(), 0)
}

func TestUrgentRequestsGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0)
		defer b.close()
		acquireAndAnswer(t, b, 200, headers(1000, 0, time.Now().Add(20*time.Second)))
		began := time.Now()
		var mu sync.Mutex
		var order []string
		for i, p := range []Priority{Backfills, Audits, Transcripts, News, Backfills, News} {
			go func() {
				tk, err := b.acquire(t.Context(), p)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, fmt.Sprintf("%d#%d", p, i))
				mu.Unlock()
				b.answered(tk, 200, headers(1000, 1000, time.Now().Add(time.Minute)), time.Now(), 0)
			}()
			synctest.Wait() // so that they queue in this order
		}
		time.Sleep(19 * time.Second)
		synctest.Wait()
		mu.Lock()
		if len(order) > 0 {
			t.Errorf("%v went before the reset", order)
		}
		mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if first := order[0]; first != "0#3" {
			t.Errorf("%q went first, of %v", first, order)
		}
		slices.Sort(order)
		if len(order) != 6 {
			t.Errorf("%v went after %v", order, time.Since(began))
		}
	})
}

// one asks for one request at a time and tells how long each was held up.
func holdUp(t *testing.T, b *budget, p Priority) time.Duration {
	t.Helper()
	began := time.Now()
	tk, err := b.acquire(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	b.release(tk, time.Now())
	return time.Since(began)
}

func TestWaitsAfterAnswers(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name   string
		status int
		change func(http.Header)
		want   time.Duration
	}{
		{"nothing left", 200, func(http.Header) {}, 20 * s},
		{"429 without advice waits for the reset", 429, func(http.Header) {}, 20 * s},
		{"Retry-After wins over a later reset", 429, func(h http.Header) { h.Set("Retry-After", "5") }, 5 * s},
		{"Retry-After wins over an earlier reset", 429, func(h http.Header) { h.Set("Retry-After", "45") }, 45 * s},
		{"an hour of Retry-After is ten minutes", 429, func(h http.Header) { h.Set("Retry-After", "3600") }, 600 * s},
		{"a 429 that says nothing", 429, func(h http.Header) { clear(h) }, s},
		{"nothing left, reset in the past", 200, func(h http.Header) { h.Set("X-RateLimit-Reset", "900000000") }, s},
		{"nothing left, no reset", 200, func(h http.Header) { h.Del("X-RateLimit-Reset") }, 60 * s},
		{"nothing left, absurd reset", 200, func(h http.Header) { h.Set("X-RateLimit-Reset", "1e18") }, 60 * s},
		{"nothing left, milliseconds", 200, func(h http.Header) { h.Set("X-RateLimit-Reset", h.Get("X-RateLimit-Reset")+"000") }, 20 * s},
		{"nothing left, seconds", 200, func(h http.Header) { h.Set("X-RateLimit-Reset", "20") }, 20 * s},
		{"no headers", 200, func(h http.Header) { clear(h) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBudget(0.1)
				defer b.close()
				h := headers(1000, 0, time.Now().Add(20*s))
				tt.change(h)
				acquireAndAnswer(t, b, tt.status, h)
				p := News
				if tt.want > maxLiveWait {
					p = Backfills
				}
				if got := holdUp(t, b, p); got != tt.want {
					t.Errorf("held up for %v, not %v", got, tt.want)
				}
			})
		})
	}
}

// A server that refuses and names no wait, or one that is over, is asked less and less often, however many requests it refuses at once.
func TestRefusalsWithoutAdviceWaitLonger(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name   string
		change func(h http.Header, now time.Time)
		want   []time.Duration
	}{
		{"no advice", func(h http.Header, _ time.Time) { clear(h) }, []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 60 * s, 60 * s}},
		{"Retry-After: 0", func(h http.Header, _ time.Time) { h.Set("Retry-After", "0") }, []time.Duration{s, 2 * s, 4 * s, 8 * s}},
		{"a date in the past", func(h http.Header, now time.Time) {
			h.Set("Retry-After", now.Add(-time.Hour).UTC().Format(http.TimeFormat))
		}, []time.Duration{s, 2 * s, 4 * s, 8 * s}},
		{"a reset in the past", func(h http.Header, now time.Time) {
			h.Set("X-RateLimit-Reset", fmt.Sprint(now.Add(-time.Hour).Unix()))
		}, []time.Duration{s, 2 * s, 4 * s, 8 * s}},
		{"a far reset", func(h http.Header, now time.Time) {
			h.Set("X-RateLimit-Reset", fmt.Sprint(now.AddDate(1, 0, 0).Unix()))
		}, []time.Duration{s, 2 * s, 4 * s, 8 * s}},
		{"advice", func(h http.Header, _ time.Time) { h.Set("Retry-After", "3") }, []time.Duration{3 * s, 3 * s, 3 * s}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBudget(0.1)
				defer b.close()
				began := time.Now()
				var got []time.Duration
				for range len(tt.want) + 1 {
					tk, err := b.acquire(t.Context(), News)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, time.Since(began))
					began = time.Now()
					h := headers(1000, 0, began.Add(20*s))
					tt.change(h, began)
					b.answered(tk, 429, h, began, 0)
				}
				if !slices.Equal(got[1:], tt.want) {
					t.Errorf("held up for %v, not %v", got[1:], tt.want)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0.1)
		defer b.close()
		acquireAndAnswer(t, b, 200, http.Header{}) // a server that tells nothing is not throttled
		var inFlight []*ticket
		for range 8 {
			tk, err := b.acquire(t.Context(), News)
			if err != nil {
				t.Fatal(err)
			}
			inFlight = append(inFlight, tk)
		}
		for _, tk := range inFlight {
			b.answered(tk, 429, http.Header{}, time.Now(), 0)
		}
		if d := holdUp(t, b, News); d != s {
			t.Errorf("eight refusals at once hold up for %v", d)
		}
	})
}

// Of requests that are under way together some are refused and some are not, in any order: the next one is held up for a second.
func TestAnswersOfAllSortsCrossRefusals(t *testing.T) {
	for order := range 1 << 4 {
		synctest.Test(t, func(t *testing.T) {
			b := newBudget(0.1)
			defer b.close()
			acquireAndAnswer(t, b, 200, http.Header{})
			var inFlight []*ticket
			for range 5 {
				tk, err := b.acquire(t.Context(), News)
				if err != nil {
					t.Fatal(err)
				}
				inFlight = append(inFlight, tk)
			}
			for i, tk := range inFlight {
				status := 200
				if i == 4 || order>>i&1 == 1 {
					status = 429
				}
				b.answered(tk, status, http.Header{}, time.Now(), 0)
			}
			if d := holdUp(t, b, News); d != time.Second {
				t.Errorf("order %04b: held up for %v", order, d)
			}
		})
	}
}

func TestALongRetryAfterFailsLiveRequestsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0.1)
		defer b.close()
		var wg sync.WaitGroup
		began := time.Now()
		acquireAndAnswer(t, b, 200, headers(1000, 0, began.Add(20*time.Second)))
		wg.Go(func() {
			if _, err := b.acquire(t.Context(), News); !errors.Is(err, ErrLimited) || time.Since(began) != 0 {
				t.Errorf("a request that waited already: %v after %v", err, time.Since(began))
			}
		})
		wg.Go(func() {
			if tk, err := b.acquire(t.Context(), Transcripts); err != nil || time.Since(began) != maxRetryAfter {
				t.Errorf("a request in the background: %v after %v", err, time.Since(began))
			} else {
				b.release(tk, time.Now())
			}
		})
		synctest.Wait()
		b.mu.Lock()
		b.inFlight++ // the request that is refused now
		b.mu.Unlock()
		b.answered(&ticket{1}, 429, http.Header{"Retry-After": {"3600"}}, time.Now(), 0)
		if _, err := b.acquire(t.Context(), News); !errors.Is(err, ErrLimited) || !strings.Contains(err.Error(), began.Add(maxRetryAfter).UTC().Format(time.RFC3339)) {
			t.Errorf("a new request: %v", err)
		}
		wg.Wait()
		if got := holdUp(t, b, News); got != 0 {
			t.Errorf("held up for %v when it was over", got)
		}
	})
}

func TestOneRequestProbesANewWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0.1)
		defer b.close()
		acquireAndAnswer(t, b, 200, headers(1000, 0, time.Now().Add(20*time.Second)))
		var mu sync.Mutex
		var gone []*ticket
		for range 5 {
			go func() {
				tk, err := b.acquire(t.Context(), Audits)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				gone = append(gone, tk)
				mu.Unlock()
			}()
		}
		time.Sleep(10 * time.Minute)
		count := func() int {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return len(gone)
		}
		if n := count(); n != 1 {
			t.Fatalf("%d requests went into a window that nothing is known of", n)
		}
		b.release(gone[0], time.Now()) // it was lost: the next one probes
		if n := count(); n != 2 {
			t.Fatalf("%d requests went after the probe was lost", n)
		}
		b.answered(gone[1], 200, headers(1000, 999, time.Now().Add(time.Minute)), time.Now(), 0)
		if n := count(); n != 5 {
			t.Fatalf("%d requests went after the probe was answered", n)
		}
	})
}

func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0.1)
		acquireAndAnswer(t, b, 200, headers(1000, 0, time.Now().Add(30*time.Minute)))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := b.acquire(ctx, News); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if len(b.queue) != 0 || b.inFlight != 0 {
			t.Errorf("%d wait, %d fly", len(b.queue), b.inFlight)
		}
		done := make(chan error)
		go func() {
			_, err := b.acquire(t.Context(), News)
			done <- err
		}()
		synctest.Wait()
		b.close()
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		if _, err := b.acquire(t.Context(), News); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	})
}

func TestAGivenUpWaitHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0)
		defer b.close()
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%7)*time.Millisecond)
				defer cancel()
				tk, err := b.acquire(ctx, Priority(i%5))
				if err != nil {
					return
				}
				time.Sleep(time.Duration(i%3) * time.Millisecond)
				if i%4 == 0 {
					b.release(tk, time.Now())
					return
				}
				b.answered(tk, 200, headers(50, 30, time.Now().Add(time.Second)), time.Now(), 0)
			})
		}
		wg.Wait()
		if b.inFlight != 0 || len(b.queue) != 0 {
			t.Errorf("%d fly, %d wait", b.inFlight, len(b.queue))
		}
		if d := holdUp(t, b, News); d > 2*time.Second {
			t.Errorf("held up for %v", d)
		}
	})
}
