package httpx

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
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
	userAgent    = "vinfer-sync"
)

// Client sends requests to one origin: scheme, host and port. It is safe for concurrent use.
type Client struct {
	base      *url.URL
	http      *http.Client
	transport *http.Transport
	headers   http.Header
	timeout   time.Duration
	secrets   []string
	limit     int64
}

// New returns a Client for the origin of base, with as many idle connections as there are workers. hide lists
// secrets that must not come back in an error besides those of cfg, of base and of the requests' own headers.
func New(base *url.URL, cfg Config, workers int, hide ...string) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	tlsConfig, err := cfg.tls()
	if err != nil {
		return nil, err
	}
	proxy, _ := cfg.proxy()
	c := &Client{base: base, headers: http.Header{}, timeout: cfg.Timeout, secrets: hide, limit: defaultLimit}
	if c.timeout == 0 {
		c.timeout = DefaultTimeout
	}
	for name, value := range cfg.Headers {
		c.headers.Set(name, value.Reveal())
		c.secrets = append(c.secrets, headerSecrets(value.Reveal())...)
	}
	c.secrets = append(c.secrets, urlSecrets(base)...)
	if proxy != nil {
		if u, err := proxy(&http.Request{URL: base}); err == nil && u != nil {
			c.secrets = append(c.secrets, urlSecrets(u)...)
		}
	}
	c.transport = &http.Transport{
		Proxy:                 proxy,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   10 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          max(workers, 1),
		MaxIdleConnsPerHost:   max(workers, 1),
		IdleConnTimeout:       30 * time.Second,
		ExpectContinueTimeout: time.Second,
		// A connection that died unnoticed would otherwise hold every request for its whole timeout.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		OnProxyConnectResponse: outbound.Connected,
	}
	c.http = &http.Client{
		Transport:     bound{c},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// HTTP returns the client as an *http.Client, for reads that are repeated by a library. It is bound to the same
// origin; the caller closes the bodies and maps the answers.
func (c *Client) HTTP() *http.Client { return c.http }

// Words is the package's Words without the client's secrets. Those of single requests it does not know: see Answer.Words.
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

// Words is the package's Words without the secrets that went with the request.
func (a *Answer) Words(text []byte) string { return mask.Words(text, a.secrets...) }

// Empty tells whether the answer was read to its end and has no body.
func (a *Answer) Empty() bool { return a.cut == nil && len(a.Body) == 0 }

// JSON decodes the body into v. Its errors do not show the body.
func (a *Answer) JSON(v any) error {
	if a.cut != nil {
		return a.cut
	}
	if err := json.Unmarshal(a.Body, v); err != nil {
		return fmt.Errorf("%s answers %d with what is no JSON as expected: %s", a.host, a.Status, mask.Text(err.Error(), a.secrets...))
	}
	return nil
}

// Do sends req within the client's timeout and reads the answer, whatever its status. An error means that there was none;
// it can be returned by a Write as it is. A request with an Idempotency-Key that failed on a kept connection before a byte of the answer came is sent once
// more, on a new connection: many servers close connections that are idle, and do not say so.
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
	case err != nil && judgedByBody(a.Status):
		return nil, c.failure(req.Context(), ctx, err, secrets)
	case err != nil:
		a.cut = c.failure(req.Context(), ctx, err, secrets)
	case int64(len(a.Body)) > limit:
		a.Body = a.Body[:limit]
		a.cut = fmt.Errorf("%s answers %d with more than %d KiB", c.base.Host, res.StatusCode, limit>>10)
	}
	return a, nil
}

// send sends a request once. stale: the other side has ended a connection that was kept from an earlier request, without a byte of the answer.
func (c *Client) send(ctx context.Context, req *http.Request) (res *http.Response, stale bool, err error) {
	var reused, answered atomic.Bool
	trace := &httptrace.ClientTrace{
		GotConn:              func(info httptrace.GotConnInfo) { reused.Store(info.Reused) },
		GotFirstResponseByte: func() { answered.Store(true) },
	}
	res, err = c.http.Do(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
	return res, err != nil && reused.Load() && !answered.Load() && ctx.Err() == nil, err
}

// repeatable returns a request to be sent in the place of one that may have arrived; nil: it must not be repeated.
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

// judgedByBody tells whether it takes the body to know what a refusal means: many say 400 also to what was made before. Cut off, it
// says nothing, as no answer does.
func judgedByBody(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusTooManyRequests:
		return false
	}
	return status/100 == 4
}

// Dial opens a connection to the origin, TLS included, and closes it again without a request. It goes through the proxy where
// there is one; behind a SOCKS proxy, or without TLS, it reaches the proxy only.
func (c *Client) Dial(parent context.Context) error {
	ctx, cancel := context.WithTimeoutCause(parent, min(c.timeout, 10*time.Second), errTimeout)
	defer cancel()
	if err := c.dial(ctx); err != nil {
		return c.failure(parent, ctx, err, c.secrets)
	}
	return nil
}

func (c *Client) dial(ctx context.Context) error {
	next := c.base
	var proxy *url.URL
	if c.transport.Proxy != nil {
		var err error
		if proxy, err = c.transport.Proxy(&http.Request{URL: c.base}); err != nil {
			return err
		}
		if proxy != nil {
			next = proxy
		}
	}
	conn, err := c.transport.DialContext(ctx, "tcp", hostPort(next))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if next.Scheme == "https" {
		if conn, err = c.secure(ctx, conn, next.Hostname()); err != nil {
			return err
		}
	}
	if proxy == nil || c.base.Scheme != "https" || !strings.HasPrefix(proxy.Scheme, "http") {
		return nil
	}
	if err := tunnel(ctx, conn, proxy, hostPort(c.base)); err != nil {
		return err
	}
	_, err = c.secure(ctx, conn, c.base.Hostname())
	return err
}

// tunnel asks a proxy for a connection to target.
func tunnel(ctx context.Context, conn net.Conn, proxy *url.URL, target string) error {
	req := (&http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{"User-Agent": {userAgent}}}).WithContext(ctx)
	if password, ok := proxy.User.Password(); ok || proxy.User.Username() != "" {
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(proxy.User.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return &outbound.ProxyRefusal{Status: res.StatusCode}
	}
	return nil
}

// secure makes the TLS handshake with a host.
func (c *Client) secure(ctx context.Context, conn net.Conn, host string) (net.Conn, error) {
	config := c.transport.TLSClientConfig.Clone()
	config.ServerName = host
	secure := tls.Client(conn, config)
	err := secure.HandshakeContext(ctx)
	if err == nil {
		err = afterthought(secure)
	}
	if deadline, ok := ctx.Deadline(); ok && err == nil {
		err = conn.SetReadDeadline(deadline) // afterthought has set a shorter one
	}
	return secure, err
}

// afterthought waits a moment for what a server has to say after the handshake: by TLS 1.3 it refuses a client's certificate, or the
// lack of one, only then.
func afterthought(conn *tls.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Read(make([]byte, 1)); isAlert(err) {
		return err
	}
	return nil // it waits for a request, as it should, or has closed the connection as servers may
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

// urlSecrets returns what a URL may hide in its password, its path and its query: many receivers put a token there.
func urlSecrets(u *url.URL) (out []string) {
	if password, ok := u.User.Password(); ok {
		out = append(out, password, base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password)))
	}
	for _, values := range u.Query() {
		out = append(out, values...)
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		// Tokens are long and have digits in them; words of a path may be shown.
		if len(part) >= 16 && strings.ContainsAny(part, "0123456789") {
			out = append(out, part)
		}
	}
	return out
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		if port == "" {
			port = "1080"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

var errTimeout = errors.New("no answer in time")

// failure makes of a transport's error one that can be shown. It wraps the cause, not the url.Error, whose text has the
// whole URL in it. parent is the caller's context: its end must be recognisable, even where it has a cause of its own.
func (c *Client) failure(parent, ctx context.Context, err error, secrets []string) error {
	var ue *url.Error
	for errors.As(err, &ue) {
		err = ue.Err
	}
	var refusal *outbound.ProxyRefusal
	if errors.As(err, &refusal) && refusal.Status == http.StatusProxyAuthRequired {
		return crm.Halted(fmt.Errorf("%s: %w: put the right user and password into proxy", c.base.Host, err))
	}
	text := plainly(err)
	if errors.Is(context.Cause(ctx), errTimeout) {
		text = fmt.Sprintf("no answer within %s", c.timeout)
	}
	if parent.Err() != nil {
		err = errors.Join(parent.Err(), err)
	}
	return &failed{c.base.Host + ": " + mask.Text(text, secrets...), err}
}

// plainly says what a transport's error means to who has to mend it.
func plainly(err error) string {
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed without an answer"
	case errors.As(err, &authority):
		return err.Error() + ": set ca_file to the certificate of that authority"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return err.Error() + ": what listens there speaks no TLS; write http:// if that is meant"
	case isAlert(err) && strings.HasSuffix(err.Error(), "certificate required"):
		return err.Error() + ": set client_cert and client_key"
	case strings.Contains(err.Error(), "http2: client conn could not be established"):
		// The server ended it right after the handshake. Its word why may come too late to be in the error, which has no type.
		return err.Error() + ": if the server wants a certificate of yours, set client_cert and client_key"
	}
	return err.Error()
}

// isAlert tells whether the other side of a TLS connection ended it with a word why.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// failed shows text and unwraps to cause.
type failed struct {
	text  string
	cause error
}

func (e *failed) Error() string { return e.text }
func (e *failed) Unwrap() error { return e.cause }

// Unanswered tells whether an error leaves open if the other side is still at work on the request: it was sent, and there was no answer, or
// only that of a gateway between.
func Unanswered(err error) bool {
	var f *failed
	if !errors.As(err, &f) {
		return false
	}
	var op *net.OpError
	return !errors.As(f.cause, &op) || op.Op != "dial" // then it was never sent
}

// bound lets requests through to the client's origin only, and adds the configured headers there.
type bound struct{ c *Client }

func (b bound) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != b.c.base.Scheme || req.URL.Host != b.c.base.Host && !strings.EqualFold(hostPort(req.URL), hostPort(b.c.base)) {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, fmt.Errorf("refusing to send to %s what is configured for %s", req.URL.Host, b.c.base.Host)
	}
	req = req.WithContext(req.Context()) // a copy: the caller's is not to be changed
	req.Header = maps.Clone(req.Header)
	for name, values := range b.c.headers {
		req.Header[name] = values
	}
	if len(req.Header["User-Agent"]) == 0 {
		req.Header.Set("User-Agent", userAgent)
	}
	// The transport repeats by itself what it has not begun to send. A request with an Idempotency-Key it would repeat as often as a kept connection breaks,
	// an answer lost included. It cannot where the body is to be had only once: Do repeats those, once.
	if req.Header.Get(idempotencyKey) != "" {
		req.GetBody = nil
	}
	return b.c.transport.RoundTrip(req)
}
