package token_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/token"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

func TestSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fetched := 0
		lasts := time.Hour
		s := token.New(func(context.Context) (string, time.Duration, error) {
			time.Sleep(time.Second)
			fetched++
			return strconv.Itoa(fetched), lasts, nil
		})
		get := func(want string) {
			t.Helper()
			if got, err := s.Token(t.Context()); got != want || err != nil {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() { get("1") })
		}
		group.Wait()
		time.Sleep(58 * time.Minute)
		get("1")
		time.Sleep(2 * time.Minute)
		get("2")
		s.Refused("1") // an old one, told late
		get("2")
		s.Refused("2")
		lasts = 0
		get("3")
		time.Sleep(1000 * time.Hour)
		get("3")
	})
}

func TestNoToken(t *testing.T) {
	s := token.New(func(context.Context) (string, time.Duration, error) { return "", 0, io.ErrClosedPipe })
	if _, err := s.Token(t.Context()); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	begun := make(chan struct{})
	s = token.New(func(ctx context.Context) (string, time.Duration, error) {
		close(begun)
		<-ctx.Done()
		return "", 0, ctx.Err()
	})
	first, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, err := s.Token(first); done <- err }()
	<-begun
	second, giveUp := context.WithCancel(t.Context())
	giveUp()
	if _, err := s.Token(second); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for another's fetch: %v", err)
	}
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// One refusal stops the others before they ask; who comes after it asks anew, as the credentials may be right by then. A passing fault stops nobody.
func TestRefusalIsShared(t *testing.T) {
	for _, test := range []struct {
		err  error
		want int // requests of 64 callers
	}{
		{crm.Halted(errors.New("invalid_code")), 1},
		{crm.Throttled(errors.New("too many requests"), time.Minute), 1},
		{io.ErrUnexpectedEOF, 64},
	} {
		synctest.Test(t, func(t *testing.T) {
			fetched := 0
			s := token.New(func(context.Context) (string, time.Duration, error) {
				time.Sleep(time.Second)
				fetched++
				return "", 0, test.err
			})
			var group sync.WaitGroup
			for range 64 {
				group.Go(func() {
					if _, err := s.Token(t.Context()); !errors.Is(err, test.err) {
						t.Errorf("got %v", err)
					}
				})
			}
			group.Wait()
			if fetched != test.want {
				t.Errorf("%v: %d requests, not %d", test.err, fetched, test.want)
			}
			if _, err := s.Token(t.Context()); !errors.Is(err, test.err) || fetched != test.want+1 {
				t.Errorf("%v: later: %v, %d requests", test.err, err, fetched)
			}
		})
	}
}

// TestDo sends once more with a new token, and only where the old one was refused.
func TestDo(t *testing.T) {
	for name, test := range map[string]struct {
		statuses []int
		refused  func(*httpx.Answer) bool
		tokens   int
		last     int
	}{
		"taken":                {[]int{200}, nil, 1, 200},
		"refused once":         {[]int{401, 200}, nil, 2, 200},
		"refused for good":     {[]int{401, 401}, nil, 2, 401},
		"about something else": {[]int{401}, func(*httpx.Answer) bool { return false }, 1, 401},
		"forbidden":            {[]int{403}, nil, 1, 403},
	} {
		tokens, sent := 0, 0
		s := token.New(func(context.Context) (string, time.Duration, error) {
			tokens++
			return fmt.Sprint("token", tokens), time.Hour, nil
		})
		answer, err := s.Do(t.Context(), test.refused, func(string) (*httpx.Answer, error) {
			sent++
			return &httpx.Answer{Status: test.statuses[sent-1]}, nil
		})
		if err != nil || answer.Status != test.last || tokens != test.tokens || sent != len(test.statuses) {
			t.Errorf("%s: %d tokens, %d requests, %v", name, tokens, sent, err)
		}
	}
}
