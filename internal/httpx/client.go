package httpx

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	"github.com/vinfer-sync/vinfer-sync/internal/outbound"
)

const (
	defaultLimit = 8 << 20  // bytes of an answer, unpacked
	errorLimit   = 64 << 10 // bytes of an answer that is not 2xx
)

// Client sends requests to one origin: scheme, host and port. It is safe for concurrent use.
type Client struct {
	base      *url.URL
	http      *http.Client
	transport *outbound.Transport
	headers   http.Header
	timeout   time.Duration
	secrets   []string
	limit     int64
}

// Open returns a Client as New does, for an address that the configuration has under key.
func Open(key, raw string, cfg Config, workers int, hide ...string) (*Client, error) {
	base, err := Origin(key, raw)
	if err != nil {
		return nil, err
	}
	return New(base, cfg, workers, hide...)
}

// New returns a Client for the origin of base, with as many idle connections as there are workers. hide lists
// secrets that must not come back in an error besides those of cfg, of base and of the requests' own headers.
func New(base *url.URL, cfg Config, workers int, hide ...string) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	settings := cfg.outbound()
	settings.Conns, settings.Idle = workers, 30*time.Second
	transport, err := outbound.New(base, settings)
	if err != nil {
		return nil, err
	}
	c := &Client{
		base: base, transport: transport, headers: http.Header{}, timeout: cmp.Or(cfg.Timeout, DefaultTimeout),
		secrets: slices.Concat(hide, transport.Secrets()), limit: defaultLimit,
	}
	for name, value := range cfg.Headers {
		c.headers.Set(name, value.Reveal())
		c.secrets = append(c.secrets, headerSecrets(value.Reveal())...)
	}
	c.http = outbound.Client(headed{c}, 0)
	return c, nil
}

// Words is mask.Words with the client's secrets. It does not know the secrets of single requests: see Answer.Words.
func (c *Client) Words(text []byte) string { return mask.Words(text, c.secrets...) }

// Base returns a copy of the URL that the client was made for.
func (c *Client) Base() *url.URL {
	u := *c.base
	return &u
}

// Close closes the idle connections.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// Answer is an answer read to its end or to the client's limit.
type Answer struct {
	Status  int
	Header  http.Header
	Body    []byte
	host    string
	secrets []string
	cut     error // why Body is not whole
}

// Words is mask.Words with the secrets that went with the request.
func (a *Answer) Words(text []byte) string { return mask.Words(text, a.secrets...) }

// Empty reports whether the answer was read to its end and has no body.
func (a *Answer) Empty() bool { return a.cut == nil && len(a.Body) == 0 }

// JSON decodes the body into v. Its errors do not show the body.
func (a *Answer) JSON(v any) error {
	if a.cut != nil {
		return a.cut
	}
	if err := json.Unmarshal(a.Body, v); err != nil {
		return fmt.Errorf("%s answers %d without JSON as expected: %s", a.host, a.Status, mask.Text(err.Error(), a.secrets...))
	}
	return nil
}

// ReadAtMost lets the client read no more than so many bytes of each answer; by default 8 MiB. It is called before the first request.
func (c *Client) ReadAtMost(bytes int64) { c.limit = bytes }

// Do sends req within the client's timeout and reads the answer, whatever its status. An error means that there was no answer; a Write
// can return the error as it is. A request with an Idempotency-Key that failed on a kept connection before a byte of the answer came
// is sent once more, on a new connection: many servers close idle connections without a word.
func (c *Client) Do(req *http.Request) (*Answer, error) {
	ctx, cancel := context.WithTimeoutCause(req.Context(), c.timeout, errTimeout)
	defer cancel()
	secrets := c.secrets
	for name, values := range req.Header {
		if !ordinary[name] && !ordinary[textproto.CanonicalMIMEHeaderKey(name)] {
			for _, v := range values {
				secrets = append(secrets[:len(secrets):len(secrets)], headerSecrets(v)...)
			}
		}
	}
	res, stale, err := c.send(ctx, req)
	if again := repeatable(req); stale && again != nil {
		c.transport.CloseIdleConnections() // the others may be closed too
		res, _, err = c.send(ctx, again)
	}
	if err != nil {
		return nil, c.failure(req.Context(), ctx, err, secrets)
	}
	a := &Answer{Status: res.StatusCode, Header: res.Header, host: c.base.Host, secrets: secrets}
	limit := c.limit
	if res.StatusCode/100 != 2 {
		limit = errorLimit
	}
	a.Body, err = io.ReadAll(io.LimitReader(res.Body, limit+1))
	_ = res.Body.Close()
	switch {
	case err != nil && needsBody(a.Status):
		return nil, c.failure(req.Context(), ctx, err, secrets)
	case err != nil:
		a.cut = c.failure(req.Context(), ctx, err, secrets)
	case int64(len(a.Body)) > limit:
		a.Body = a.Body[:limit]
		a.cut = fmt.Errorf("%s answers %d with more than %d KiB", c.base.Host, res.StatusCode, limit>>10)
	}
	return a, nil
}

// send sends a request once. stale says that the other side has closed a connection that was kept from an earlier request, without a byte
// of the answer.
func (c *Client) send(ctx context.Context, req *http.Request) (res *http.Response, stale bool, err error) {
	var reused, answered atomic.Bool
	trace := &httptrace.ClientTrace{
		GotConn:              func(info httptrace.GotConnInfo) { reused.Store(info.Reused) },
		GotFirstResponseByte: func() { answered.Store(true) },
	}
	res, err = c.http.Do(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	return res, err != nil && reused.Load() && !answered.Load() && ctx.Err() == nil, err
}

// repeatable returns a copy of a request that may have arrived, to be sent again; nil if the request must not be repeated.
func repeatable(req *http.Request) *http.Request {
	if req.Header.Get(idempotencyKey) == "" || req.GetBody == nil {
		return nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil
	}
	again := req.Clone(req.Context())
	again.Body = body
	return again
}

const idempotencyKey = "Idempotency-Key"

// needsBody reports whether a refusal can be understood only by its body: many servers answer 400 also to what was made before. Such an
// answer that is cut off counts as no answer.
func needsBody(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusTooManyRequests:
		return false
	}
	return status/100 == 4
}

// Dial opens a connection to the origin as a request would, and closes the connection again: see outbound.Transport.Dial.
func (c *Client) Dial(parent context.Context) error {
	ctx, cancel := context.WithTimeoutCause(parent, min(c.timeout, 10*time.Second), errTimeout)
	defer cancel()
	if err := c.transport.Dial(ctx); err != nil {
		return c.failure(parent, ctx, err, c.secrets)
	}
	return nil
}

// ordinary headers hold nothing that must not be shown.
var ordinary = map[string]bool{
	"Accept": true, "Content-Type": true, "User-Agent": true, "Idempotency-Key": true, "If-Match": true, "If-None-Match": true,
	"X-Vinfer-Signature": true, "X-Vinfer-Sync-Attempt": true, "X-Vinfer-Sync-Late": true,
	"X-VInfer-Signature": true, "X-VInfer-Sync-Attempt": true, "X-VInfer-Sync-Late": true, // as the webhook spells them: found at once
}

// headerSecrets returns a header's value and, of "Bearer x", also x.
func headerSecrets(v string) []string {
	if _, token, ok := strings.Cut(v, " "); ok {
		return []string{v, token}
	}
	return []string{v}
}

var errTimeout = errors.New("no answer in time")

// failure turns the error of a transport into one that can be shown. The result wraps the cause and not the url.Error, whose text has the
// whole URL in it. parent is the caller's context: its end must be recognisable, even if it has a cause of its own.
func (c *Client) failure(parent, ctx context.Context, err error, secrets []string) error {
	err = outbound.Explain(err, "")
	if outbound.WantsPassword(err) {
		return crm.Halted(fmt.Errorf("%s: %w", c.base.Host, err))
	}
	text := explain(err)
	if errors.Is(context.Cause(ctx), errTimeout) {
		text = fmt.Sprintf("no answer within %s", c.timeout)
	}
	if parent.Err() != nil {
		err = errors.Join(parent.Err(), err)
	}
	return &requestError{c.base.Host + ": " + mask.Text(text, secrets...), err}
}

// explain returns the text of a transport's error with what to do about the fault.
func explain(err error) string {
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed without an answer"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return err.Error() + ": what listens there speaks no TLS; write http:// if that is meant"
	case outbound.IsAlert(err) && strings.HasSuffix(err.Error(), "certificate required"):
		return err.Error() + ": set client_cert and client_key"
	case strings.Contains(err.Error(), "http2: client conn could not be established"):
		// The server closed the connection right after the handshake. Its alert may come too late to be in the error, which has no type.
		return err.Error() + ": if the server wants a certificate of yours, set client_cert and client_key"
	}
	return err.Error()
}

// requestError is the error of a request without an answer. It shows text and unwraps to cause.
type requestError struct {
	text  string
	cause error
}

func (e *requestError) Error() string { return e.text }
func (e *requestError) Unwrap() error { return e.cause }

// Unanswered reports whether the other side may still work on the request that an error is about: the request was sent, and no answer
// came, or only that of a gateway.
func Unanswered(err error) bool {
	var f *requestError
	if !errors.As(err, &f) {
		return false
	}
	var op *net.OpError
	return !errors.As(f.cause, &op) || op.Op != "dial" // without a connection nothing was sent
}

// headed adds the configured headers to requests. The headers go to the client's origin only: the transport refuses every other.
type headed struct{ c *Client }

func (h headed) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.WithContext(req.Context()) // a copy: the caller's is not to be changed
	req.Header = maps.Clone(req.Header)
	maps.Copy(req.Header, h.c.headers)
	if len(req.Header["User-Agent"]) == 0 {
		req.Header.Set("User-Agent", outbound.UserAgent)
	}
	// net/http repeats a request with an Idempotency-Key as often as a kept connection breaks, even after an answer was lost. It cannot
	// repeat a body that it can read only once, so Do decides about these requests, and repeats them once at most.
	if req.Header.Get(idempotencyKey) != "" {
		req.GetBody = nil
	}
	return h.c.transport.RoundTrip(req)
}
