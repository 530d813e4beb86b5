package vinfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	"github.com/vinfer-sync/vinfer-sync/internal/outbound"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

const (
	defaultTimeout   = 30 * time.Second
	defaultRetryWait = time.Second
	maxTries         = 4  // the first and three more
	maxLimited       = 20 // answers 429 to one request before it is given up
	longWait         = 5 * time.Second
)

// Client reads the VInfer API. It sends requests, and the key, to the scheme, host and port of its base URL only, and follows no
// redirect. Its methods may be called concurrently; they share one connection pool and one request budget.
type Client struct {
	base       *url.URL
	transport  *outbound.Transport
	key        func() (secret.Text, error)
	agent      string
	log        *slog.Logger
	http       *retryablehttp.Client
	budget     *budget
	secrets    []string // of the URLs, in the forms in which a server may repeat them
	clock      clock
	waitLogged atomic.Int64 // when the log last said that requests wait, in Unix seconds; 0: they do not
	unpaged    unpaged
	retryWait  time.Duration
}

// New returns a client for the configuration, or an error that names the field at fault (without its secrets).
// It sends nothing yet.
func New(c Config) (*Client, error) {
	base, err := parseBase(c.BaseURL)
	if err != nil {
		return nil, err
	}
	if c.Key == nil {
		return nil, errors.New("vinfer: no API key is configured")
	}
	tr, err := outbound.New(base, outbound.Settings{CAFile: c.CAFile, Proxy: c.Proxy, Conns: 16, Idle: 90 * time.Second, Dial: c.Dial})
	if err != nil {
		return nil, fmt.Errorf("vinfer: %w", err)
	}
	cl := &Client{
		base: base, transport: tr, secrets: tr.Secrets(), key: c.Key, agent: cmp.Or(c.UserAgent, outbound.UserAgent), log: c.Logger,
		budget: newBudget(c.Reserve), retryWait: cmp.Or(max(c.RetryWait, 0), defaultRetryWait),
	}
	if cl.log == nil {
		cl.log = slog.New(slog.DiscardHandler)
	}
	cl.http = &retryablehttp.Client{
		HTTPClient:   outbound.Client(&keyed{tr, cl}, cmp.Or(max(c.Timeout, 0), defaultTimeout)),
		RetryMax:     maxTries - 1,
		CheckRetry:   cl.checkRetry,
		Backoff:      cl.backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
		PrepareRetry: func(r *http.Request) error { return requestOf(r.Context()).admit(r.Context(), cl.budget) },
	}
	return cl, nil
}

// parseBase reads a base URL. The version is a segment of the path: a doubled version is reduced to one, and the vendor's bare host
// gets the version.
func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	switch {
	case err != nil:
		return nil, errors.New("vinfer: the base URL is not a URL") // err would repeat what may hold a password
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("vinfer: the base URL %q is not an http or https URL with a host", u.Redacted())
	case u.User != nil:
		return nil, errors.New("vinfer: the base URL holds a user name or password: the key belongs in api_key")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("vinfer: the base URL has a query or a fragment")
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	for strings.HasSuffix(path, "/v1/v1") {
		path = strings.TrimSuffix(path, "/v1")
	}
	if path == "" && strings.EqualFold(u.Hostname(), "api.vinfer.ai") {
		path = "/v1"
	}
	return url.Parse(u.Scheme + "://" + u.Host + path)
}

// Budget returns the request budget as last seen.
func (c *Client) Budget() BudgetState { return c.budget.state() }

// Requests returns how many requests of each kind were sent, the most urgent kind first. Clients that this one took over
// from are included.
func (c *Client) Requests() []KindRequests { return c.budget.meter.Load().state(time.Now()) }

// Skew returns the server's clock minus the local one, to about a second: the median of the last three answers with a Date header;
// 0 before the first.
func (c *Client) Skew() time.Duration { return c.clock.skew() }

// Close ends requests that wait for the budget, with an error, and closes idle connections.
func (c *Client) Close() {
	c.budget.close()
	c.http.HTTPClient.CloseIdleConnections()
}

// Calls returns one page of a listing. A page that cannot be read is asked for again three times, then the error is
// ErrUnreadable. Rows that cannot be understood are in Page.Broken. Other errors are ErrRefused, ErrBadRequest, ErrLimited, and
// those of the network and of 5xx answers.
//
// If the server refuses limit and offset, its answer without them is the whole listing, and the pages after it are empty; see
// unpaged.
func (c *Client) Calls(ctx context.Context, q Query, p Priority) (Page, error) {
	page, _, err := c.page(ctx, q, p)
	return page, err
}

func (c *Client) calls(ctx context.Context, q Query, p Priority) (Page, error) {
	if !q.Since.IsZero() && q.Bound != After && q.Bound != From {
		return Page{}, fmt.Errorf("vinfer: %q is not a lower bound", q.Bound) // without a bound the server would send all history
	}
	target := c.base.String() + "/calls"
	if v := q.values(); len(v) > 0 {
		target += "?" + v.Encode()
	}
	var page Page
	a, err := c.get(ctx, target, p, func(a *answer) (err error) {
		if a.status == http.StatusNoContent {
			page = Page{Total: -1} // an empty listing
			return nil
		}
		page, err = decodePage(a.body, a.header.Get("Content-Type"))
		return err
	})
	if err != nil {
		return Page{}, err
	}
	page.Date = a.date
	return page, nil
}

func (q Query) values() url.Values {
	v := url.Values{}
	if !q.Since.IsZero() {
		v.Set(string(q.Bound), formatTime(q.Since))
	}
	if !q.To.IsZero() {
		to := q.To.Truncate(time.Second)
		if to.Before(q.To) {
			to = to.Add(time.Second)
		}
		v.Set("to", formatTime(to))
	}
	if q.Campaign != "" {
		v.Set("campaign_id", q.Campaign)
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.Offset > 0 {
		v.Set("offset", strconv.Itoa(q.Offset))
	}
	return v
}

func formatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// Call returns the details of one call. The error is ErrNotFound if no call has this id, and ErrUnreadable if the answer is not that
// call.
func (c *Client) Call(ctx context.Context, id string, p Priority) (Call, error) {
	if id == "" {
		return Call{}, fmt.Errorf("vinfer: a call without an id: %w", ErrNotFound)
	}
	var call Call
	_, err := c.get(ctx, c.base.String()+"/calls/"+pathSegment(id), p, func(a *answer) error {
		a.body.max = maxDetails
		b, err := io.ReadAll(a.body)
		if err != nil {
			return err
		}
		call, err = decodeCall(b, a.header.Get("Content-Type"), id)
		return err
	})
	if err != nil {
		return Call{}, err
	}
	return call, nil
}

// pathSegment escapes an id for use as one segment of a path, including the dots of "." and "..".
func pathSegment(id string) string {
	if strings.Trim(id, ".") == "" {
		return strings.ReplaceAll(id, ".", "%2E")
	}
	return url.PathEscape(id)
}

// get sends a request for target until decode accepts an answer or no further try is allowed. Beside an error get returns the last
// answer, if there was one.
func (c *Client) get(ctx context.Context, target string, p Priority, decode func(*answer) error) (answer, error) {
	x := &request{priority: p, decode: decode}
	defer x.release(c.budget)
	req, err := retryablehttp.NewRequestWithContext(context.WithValue(ctx, requestKey{}, x), http.MethodGet, target, nil)
	if err != nil {
		return answer{}, fmt.Errorf("GET %s: not a URL", c.base)
	}
	req.Header.Set("Accept", "application/json, text/plain;q=0.5")
	req.Header.Set("User-Agent", c.agent)
	for {
		if err := c.admit(ctx, x); err != nil {
			return x.answer, c.requestError(req.URL, err)
		}
		resp, err := c.http.Do(req)
		if resp != nil {
			_ = resp.Body.Close() // read already, by checkRetry
		}
		if err == nil && x.answer.status == http.StatusTooManyRequests && x.limited < maxLimited {
			continue // admit waits until the server takes requests
		}
		if x.local != nil {
			err = x.local
		}
		if err == nil {
			err = c.classify(x)
		}
		if err != nil {
			return x.answer, c.requestError(req.URL, err)
		}
		return x.answer, nil
	}
}

// admit waits until the budget has room. A long wait of a live request is logged, at most once an hour.
func (c *Client) admit(ctx context.Context, x *request) error {
	if x.priority != News {
		return x.admit(ctx, c.budget)
	}
	began := time.Now()
	t := time.AfterFunc(longWait, func() {
		if last := c.waitLogged.Load(); last != 0 && began.Sub(time.Unix(last, 0)) < time.Hour {
			return
		}
		c.waitLogged.Store(began.Unix())
		b := c.budget.state()
		c.log.Info("waiting for VInfer's request limit", "remaining", b.Remaining, "limit", b.Limit, "until", b.Reset.Format(time.RFC3339))
	})
	err := x.admit(ctx, c.budget)
	t.Stop()
	if time.Since(began) < longWait {
		c.waitLogged.Store(0)
	}
	return err
}

// classify returns the error of the last answer, nil for a good one.
func (c *Client) classify(x *request) error {
	a := &x.answer
	switch s := a.status; {
	case s >= 200 && s < 300:
		return x.err
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		return c.answerError(a, ErrRefused)
	case s == http.StatusNotFound || s == http.StatusGone:
		return c.answerError(a, ErrNotFound)
	case s == http.StatusBadRequest || s == http.StatusUnprocessableEntity:
		return c.answerError(a, ErrBadRequest)
	case s == http.StatusTooManyRequests:
		return c.answerError(a, ErrLimited)
	case s >= 300 && s < 400:
		return fmt.Errorf("%w: %d, a redirect to %s, which is not followed", ErrUnreadable, s, redirectHost(a))
	default:
		return c.answerError(a, nil)
	}
}

// redirectHost returns the host to which an answer redirects, if that can be the name of a host.
func redirectHost(a *answer) string {
	u, err := url.Parse(a.header.Get("Location"))
	switch {
	case err != nil:
		return "no URL"
	case u.Host == "":
		return "the same host"
	case len(u.Host) > 100 || strings.Trim(strings.ToLower(u.Host), "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") != "":
		return "an odd host"
	default:
		return u.Host
	}
}

// answerError adds to err what the server sent: status, content type, and the masked message of an answer that is an error. Of another
// answer it adds only what the body looks like, because its words may be those of people.
func (c *Client) answerError(a *answer, err error) error {
	text := strconv.Itoa(a.status)
	if s := http.StatusText(a.status); s != "" {
		text += " " + s
	}
	secrets := c.secrets
	if k, err := c.key(); err == nil {
		secrets = append(secrets[:len(secrets):len(secrets)], strings.TrimSpace(k.Reveal()))
	}
	if ct := a.header.Get("Content-Type"); ct != "" {
		text += " (" + mask.Words([]byte(ct), secrets...) + ")"
	}
	said := ""
	if a.status >= 300 || errors.Is(err, errErrorAnswer) {
		said = mask.Words([]byte(a.body.errorText()), secrets...)
	}
	switch {
	case said != "":
		text += fmt.Sprintf(": %q", said)
	case a.body.n > 0:
		text += ": " + a.body.describe()
	}
	if err == nil {
		return errors.New(text)
	}
	return fmt.Errorf("%w: %s", err, text)
}

// requestError adds the request to err.
func (c *Client) requestError(u *url.URL, err error) error {
	var sent *url.Error
	timedOut := errors.As(err, &sent) && sent.Timeout()
	err = outbound.Explain(err, "vinfer.")
	if timedOut {
		err = fmt.Errorf("no answer within %s (vinfer.timeout): %w", c.http.HTTPClient.Timeout, err)
	}
	return fmt.Errorf("GET %s: %w", safeURL(u), err)
}

// safeURL returns a URL without user, password and query, except for the parameters of a listing, which this client made. A link from
// the server may have secrets in its query.
func safeURL(u *url.URL) string {
	s := u.Scheme + "://" + u.Host + u.EscapedPath()
	if !strings.HasSuffix(u.Path, "/calls") {
		return s
	}
	sep := "?"
	for _, k := range []string{"after", "from", "to", "campaign_id", "limit", "offset"} {
		if v := u.Query().Get(k); v != "" {
			s += sep + k + "=" + strings.ReplaceAll(url.QueryEscape(v), "%3A", ":")
			sep = "&"
		}
	}
	return s
}
