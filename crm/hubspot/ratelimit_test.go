package hubspot

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func limits(most, left, interval string) http.Header {
	h := http.Header{}
	for name, v := range map[string]string{"Max": most, "Remaining": left, "Interval-Milliseconds": interval} {
		if v != "" {
			h.Set("X-HubSpot-RateLimit-"+name, v)
		}
	}
	return h
}

// TestPace counts as a server does: whatever of the time between a request and its answer it takes, no window has more than the limit.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, window = 7, 10 * time.Second
		p := newPace(most, window)
		var mu sync.Mutex
		var sent, answered []time.Time
		done := make(chan struct{})
		requests := make(chan time.Duration)
		for range 4 {
			go func() {
				for took := range requests {
					if err := p.take(t.Context()); err != nil {
						t.Error(err)
					}
					at := time.Now()
					time.Sleep(took)
					p.done()
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

func TestPaceLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := func(p *pace) (n int) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			for p.take(ctx) == nil {
				n++
			}
			return n
		}
		for _, test := range []struct {
			header http.Header
			want   int
		}{
			{limits("", "", ""), 99},
			{limits("190", "189", "10000"), 189},
			{limits("190", "40", "10000"), 40},
			{limits("190", "0", ""), 0},
			{limits("190", "-7", ""), 0},
			{limits("190", "999999999", ""), 189},
			{limits("0", "0", "-1"), 0},
			{limits("no", "number", "here"), 99},
			{limits("50", "", ""), 49},
		} {
			p := newPace(defaultMax, defaultWindow)
			if err := p.take(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.learn(test.header)
			p.done()
			if got := free(p); got != test.want {
				t.Errorf("%v: %d places are free, want %d", test.header, got, test.want)
			}
		}
		// What others used is free again when the window has passed.
		p := newPace(defaultMax, defaultWindow)
		p.learn(limits("100", "3", "2000"))
		time.Sleep(2 * time.Second)
		if got := free(p); got != 100 {
			t.Errorf("%d places are free after the window", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.take(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
