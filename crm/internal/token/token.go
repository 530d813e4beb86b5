// Package token keeps the access token of a CRM that hands out short-lived ones: fetched when it is needed, by one caller
// for all, and fetched anew before it ends or when the CRM refuses it.
package token

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// early is how long before its end a token is not used any more: a request takes its time, and clocks differ.
const early = time.Minute

// Source hands out a token. It is safe for concurrent use.
type Source struct {
	// Fetch asks for a new token and returns it and how long it lasts (0: unknown). Its errors are those of a Write.
	Fetch func(ctx context.Context) (token string, lasts time.Duration, err error)

	turn    chan struct{} // held by the caller who fetches
	mu      sync.Mutex
	token   string
	until   time.Time // zero: until it is refused
	fetches int       // that have ended
	failure error     // of the last one, where it is of no use to ask again at once; nil: none
}

// New returns a Source.
func New(fetch func(ctx context.Context) (string, time.Duration, error)) *Source {
	return &Source{Fetch: fetch, turn: make(chan struct{}, 1)}
}

// Token returns a token that is good for a minute at least, as far as is known. A caller whose ctx ends does not wait for
// another's fetch. Callers who waited for a fetch that was refused get its error: their own would be refused too, and count against the limit of
// such requests that some CRMs have.
func (s *Source) Token(ctx context.Context) (string, error) {
	t, fetches, _ := s.current()
	if t != "" {
		return t, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if t, now, failure := s.current(); t != "" || now != fetches && failure != nil {
		return t, failure // somebody else has asked meanwhile
	}
	t, lasts, err := s.Fetch(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetches++
	s.failure = nil
	if err != nil {
		if v := crm.VerdictOf(err); v == crm.Halt || v == crm.Throttle {
			s.failure = err
		}
		return "", err
	}
	s.token, s.until = t, time.Time{}
	if lasts > 0 {
		s.until = time.Now().Add(max(lasts-early, lasts/2))
	}
	return t, nil
}

// Do sends a request with a token, and once more with a new one if that was refused: then nothing was done. refused tells that of an answer;
// nil: 401 does.
func (s *Source) Do(ctx context.Context, refused func(*httpx.Answer) bool, send func(token string) (*httpx.Answer, error)) (*httpx.Answer, error) {
	for again := false; ; again = true {
		t, err := s.Token(ctx)
		if err != nil {
			return nil, err
		}
		answer, err := send(t)
		if err != nil {
			return nil, err
		}
		if answer.Status != http.StatusUnauthorized || refused != nil && !refused(answer) {
			return answer, nil
		}
		s.Refused(t)
		if again {
			return answer, nil
		}
	}
}

// Refused says that the CRM did not take the token: the next caller fetches another, unless somebody has already.
func (s *Source) Refused(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == token {
		s.token = ""
	}
}

// current returns the token if it is good, how many fetches have ended, and why the last one was refused.
func (s *Source) current() (good string, fetches int, failure error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until.IsZero() || time.Now().Before(s.until) {
		good = s.token
	}
	if good != "" {
		return good, s.fetches, nil
	}
	return "", s.fetches, s.failure
}
