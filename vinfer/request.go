package vinfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/vinfer-sync/vinfer-sync/internal/outbound"
)

const maxRetryWait = 30 * time.Second

// answer is the last answer of the server.
type answer struct {
	status int
	header http.Header
	body   *body // what was read of it
	date   time.Time
}

// request is one request of a caller through all its tries. It travels in the context of the HTTP request, because every hook of the
// HTTP client sees that context and nothing else. All hooks run in the caller's goroutine.
type request struct {
	priority Priority
	decode   func(*answer) error // of a 2xx answer; reads its body
	ticket   *ticket
	answer   answer
	err      error // what decode said of a 2xx answer
	local    error // a fault on this side: no try can mend it
	limited  int   // answers 429 so far
	failures int   // tries that failed so far
}

type requestKey struct{}

func requestOf(ctx context.Context) *request {
	x, _ := ctx.Value(requestKey{}).(*request) // get puts one into every context
	return x
}

// admit waits until the budget has room for one try.
func (x *request) admit(ctx context.Context, b *budget) error {
	x.release(b)
	t, err := b.acquire(ctx, x.priority)
	x.ticket = t
	return err
}

// release gives back a ticket whose request was never answered.
func (x *request) release(b *budget) {
	if x.ticket != nil {
		b.release(x.ticket, time.Now())
		x.ticket = nil
	}
}

// keyed gives requests the key. The request that carries the key is a copy, which net/http does not see, and the transport takes it to the
// client's own origin only: nothing can carry the header elsewhere.
type keyed struct {
	*outbound.Transport
	c *Client
}

func (t *keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	x := requestOf(r.Context())
	if x.local = t.Allow(r.URL); x.local != nil {
		return nil, x.local
	}
	key, err := t.c.key()
	if err != nil {
		x.local = fmt.Errorf("the API key: %w", err)
		return nil, x.local
	}
	k := strings.TrimSpace(key.Reveal()) // key files end in a newline
	if k == "" {
		x.local = fmt.Errorf("%w: it is empty", ErrRefused)
		return nil, x.local
	}
	if strings.ContainsFunc(k, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		x.local = fmt.Errorf("%w: it holds a line break or another control character", ErrRefused)
		return nil, x.local
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+k)
	began := time.Now()
	t.c.budget.meter.Load().sent(x.priority, began)
	resp, err := t.Transport.RoundTrip(r)
	if err != nil {
		x.release(t.c.budget)
		t.c.log.Debug("VInfer request failed", "url", safeURL(r.URL), "took", time.Since(began), "error", err)
		return nil, err
	}
	now, skew := time.Now(), t.c.Skew()
	if d, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		t.c.clock.learn(d.Sub(now))
		skew = d.Sub(now) // its times are by the clock that its Date shows
	}
	t.c.budget.answered(x.ticket, resp.StatusCode, resp.Header, now, skew)
	x.ticket = nil
	t.c.log.Debug("VInfer answered", "url", safeURL(r.URL), "status", resp.StatusCode, "took", now.Sub(began),
		"remaining", resp.Header.Get("X-RateLimit-Remaining"))
	return resp, nil
}

// checkRetry reads the answer to one try and reports whether to try again.
func (c *Client) checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	x := requestOf(ctx)
	x.answer, x.err = answer{}, nil
	if e := ctx.Err(); e != nil {
		return false, e
	}
	if x.local != nil {
		return false, x.local
	}
	if err != nil {
		retry, _ := retryablehttp.DefaultRetryPolicy(ctx, nil, err)
		return retry && x.countFailure(), nil
	}
	b := &body{r: resp.Body, max: maxErrorBody, keep: maxErrorBody}
	good := resp.StatusCode >= 200 && resp.StatusCode < 300
	if good {
		b.max, b.keep = maxPage, maxHead
	}
	x.answer = answer{status: resp.StatusCode, header: resp.Header, body: b, date: time.Now().UTC()}
	if d, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		x.answer.date = d.UTC()
	}
	if good {
		err = x.decode(&x.answer)
	} else {
		_, _ = io.Copy(io.Discard, b)
	}
	_ = resp.Body.Close()
	resp.Body, b.r = http.NoBody, http.NoBody
	switch s := resp.StatusCode; {
	case good:
		if e := ctx.Err(); err != nil && e != nil {
			return false, e
		}
		if err != nil && b.fault != nil {
			err = fmt.Errorf("%w: %w", ErrUnreadable, outbound.Explain(b.fault, "vinfer."))
		}
		if errors.Is(err, ErrUnreadable) {
			x.err = c.answerError(&x.answer, err)
			return x.countFailure(), nil
		}
		x.err = err
		return false, nil
	case s == http.StatusTooManyRequests:
		x.limited++
		return false, nil
	case s == http.StatusRequestTimeout, s >= 500 && s != http.StatusNotImplemented:
		return x.countFailure(), nil
	default:
		return false, nil
	}
}

// countFailure counts a failed try and reports whether another one is allowed. Answers 429 in between do not restart the count. Unfinished
// calls and transcripts are tried once: they are asked for again minutes later in any case, and for many calls, so retries at a
// faulty endpoint would delay a run by hand.
func (x *request) countFailure() bool {
	x.failures++
	return x.failures < maxTries && x.priority != Unfinished && x.priority != Transcripts
}

// backoff returns the wait before the next try: RetryWait, doubling. A Retry-After of a 5xx is obeyed up to a cap; the caller handles
// longer waits.
func (c *Client) backoff(_, _ time.Duration, n int, resp *http.Response) time.Duration {
	if resp != nil {
		if d, ok := retryAfter(resp.Header.Get("Retry-After"), time.Now().Add(c.Skew())); ok {
			return min(d, maxRetryWait)
		}
	}
	return min(c.retryWait<<min(n, maxTries), maxRetryWait)
}
