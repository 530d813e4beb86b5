package hubspot

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/pace"
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

func TestPaceLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := func(p *pace.Limiter) (n int) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			for p.Take(ctx) == nil {
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
			p := pace.New(defaultMax, defaultWindow)
			if err := p.Take(t.Context()); err != nil {
				t.Fatal(err)
			}
			learn(p, test.header)
			p.Done()
			if got := free(p); got != test.want {
				t.Errorf("%v: %d places are free, want %d", test.header, got, test.want)
			}
		}
		// What others used is free again when the window has passed.
		p := pace.New(defaultMax, defaultWindow)
		learn(p, limits("100", "3", "2000"))
		time.Sleep(2 * time.Second)
		if got := free(p); got != 100 {
			t.Errorf("%d places are free after the window", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Take(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
