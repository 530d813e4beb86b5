package cache_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
)

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c cache.Cache[int]
		asked := 0
		get := func(keep time.Duration, err error) int {
			v, got := c.Get(t.Context(), "a", func(context.Context) (int, time.Duration, error) { asked++; return asked, keep, err })
			if !errors.Is(got, err) {
				t.Errorf("got %v, want %v", got, err)
			}
			return v
		}
		get(time.Minute, io.EOF) // no error is kept
		get(0, nil)              // nor what is to be asked for each time
		if v := get(time.Minute, nil); v != 3 {
			t.Errorf("got %d", v)
		}
		if v := get(time.Minute, nil); v != 3 {
			t.Errorf("asked again: %d", v)
		}
		time.Sleep(time.Minute)
		if _, ok := c.Held("a"); ok {
			t.Error("an old answer is held")
		}
		if v := get(cache.Forever, nil); v != 4 {
			t.Errorf("got %d", v)
		}
		c.Put("b", 9, cache.Forever)
		c.Forget("a")
		if v, ok := c.Held("b"); v != 9 || !ok {
			t.Errorf("got %d %t", v, ok)
		}
		if v := get(time.Minute, nil); v != 5 {
			t.Errorf("got %d", v)
		}
		c.Forget()
		if _, ok := c.Held("b"); ok {
			t.Error("it is not forgotten")
		}
	})
}

// One asks for all; who is in a hurry does not wait.
func TestOneAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, want := range []error{nil, io.EOF} {
			var c cache.Cache[int]
			asked := 0
			ask := func(context.Context) (int, time.Duration, error) {
				asked++
				time.Sleep(time.Second)
				return 7, time.Hour, want
			}
			results := make(chan error, 8)
			for range cap(results) {
				go func() { _, err := c.Get(t.Context(), "a", ask); results <- err }()
			}
			synctest.Wait()
			hurry, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := c.Get(hurry, "a", ask); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
			for range cap(results) {
				if err := <-results; !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			}
			if asked != 1 {
				t.Errorf("asked %d times", asked)
			}
		}
	})
}
