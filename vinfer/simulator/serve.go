package simulator

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.o.Before != nil {
		s.o.Before(r)
	}
	path := r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, "/v1"); ok && (rest == "" || rest[0] == '/') {
		path = rest
	}
	auth := r.Header.Get("Authorization")

	s.mu.Lock()
	now := s.o.Now()
	s.served++
	m := s.pick(path)
	left := s.minute(now)
	s.used++
	allowed := strings.HasPrefix(auth, "Bearer ") && (s.key == "" || auth == "Bearer "+s.key)
	rec := Request{Time: now, Method: r.Method, Path: path, Query: r.URL.RawQuery, Authorized: allowed, Keyed: auth != ""}
	var out reply
	switch {
	case left <= 0 && s.o.LimitPerMinute > 0:
		out = failure(http.StatusTooManyRequests, "rate_limited", "too many requests")
		if s.o.RetryAfter {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(reset(now).Sub(now).Seconds()))))
		}
		m.answer = nil
	case !allowed:
		out = failure(http.StatusUnauthorized, "unauthorized", "missing, invalid or revoked key")
	default:
		out = s.route(r, path, m, now)
	}
	rec.Status = out.status
	if f := m.answer; f != nil {
		rec.Fault = f.Kind
		switch f.Kind {
		case Status:
			rec.Status = cmp.Or(f.Status, http.StatusInternalServerError)
		case HangUp:
			rec.Status = 0
		case Redirect:
			rec.Status = http.StatusFound
		case HTML, Empty, WrongType, ErrorBody:
			rec.Status = http.StatusOK
		}
	}
	if len(s.requests) >= maxRequests {
		s.requests = append(s.requests[:0], s.requests[maxRequests/2:]...)
	}
	s.requests = append(s.requests, rec)
	s.mu.Unlock()

	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Date", now.UTC().Format(http.TimeFormat))
	if m.has(NoDate) {
		h["Date"] = nil
	}
	if f := m.kinds[Rates]; f != nil || s.o.LimitPerMinute > 0 {
		manner := ""
		if f != nil {
			manner = f.Value
		}
		rateHeaders(h, manner, max(s.o.LimitPerMinute, 0), max(left-1, 0), now, reset(now))
	}
	spoil(w, r, m.answer, out)
}

// spoil sends an answer, with what a fault makes of it.
func spoil(w http.ResponseWriter, r *http.Request, f *Fault, out reply) {
	if f == nil {
		send(w, out)
		return
	}
	switch f.Kind {
	case Status:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
		}
		status := cmp.Or(f.Status, http.StatusInternalServerError)
		send(w, failure(status, "error", http.StatusText(status)))
	case HTML:
		w.Header().Set("Content-Type", "text/html")
		send(w, reply{http.StatusOK, []byte("<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in.</body></html>")})
	case Cut:
		send(w, reply{out.status, out.body[:len(out.body)/2]})
	case Drop:
		w.Header().Set("Content-Length", strconv.Itoa(len(out.body)))
		w.WriteHeader(out.status)
		_, _ = w.Write(out.body[:len(out.body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case HangUp:
		panic(http.ErrAbortHandler)
	case Empty:
		send(w, reply{http.StatusOK, nil})
	case WrongType:
		send(w, reply{http.StatusOK, []byte(`{"data":"none","total":"many"}`)})
	case ErrorBody:
		send(w, failure(http.StatusOK, "internal", "something went wrong"))
	case Slow:
		t := time.NewTimer(cmp.Or(f.Delay, 2*time.Second))
		defer t.Stop()
		select {
		case <-t.C:
			send(w, out)
		case <-r.Context().Done():
		}
	case Redirect:
		w.Header().Set("Location", cmp.Or(f.Value, "http://elsewhere.invalid/"))
		w.WriteHeader(http.StatusFound)
	default:
		send(w, out)
	}
}

func send(w http.ResponseWriter, out reply) {
	if out.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(out.body)))
	}
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body)
}

func (s *Server) route(r *http.Request, path string, m manners, now time.Time) reply {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return failure(http.StatusMethodNotAllowed, "method_not_allowed", "read only")
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, p := range parts {
		if u, err := url.PathUnescape(p); err == nil {
			parts[i] = u
		}
	}
	switch {
	case len(parts) == 1 && parts[0] == "calls":
		return s.list(r, m, now)
	case len(parts) == 2 && parts[0] == "calls":
		return s.details(parts[1], s.base(r), now)
	case len(parts) == 2 && parts[0] == "transcription":
		return s.transcription(parts[1], false, now)
	case len(parts) == 3 && parts[0] == "transcription" && parts[2] == "transcript":
		return s.transcription(parts[1], true, now)
	}
	return failure(http.StatusNotFound, "not_found", "no such resource")
}

// base is what links in an answer begin with.
func (s *Server) base(r *http.Request) string {
	if s.o.PublicURL != "" {
		return strings.TrimRight(s.o.PublicURL, "/")
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + "/v1"
}

// minute opens the window that now is in and returns how many requests it has left.
func (s *Server) minute(now time.Time) int {
	if w := now.Unix() / 60; w != s.window {
		s.window, s.used = w, 0
	}
	return s.o.LimitPerMinute - s.used
}

func reset(now time.Time) time.Time { return time.Unix((now.Unix()/60+1)*60, 0) }

// TB is the part of testing.TB that Start needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Start serves on a free port of the loopback until the test ends and returns the base URL, /v1 included.
func (s *Server) Start(t TB) string {
	t.Helper()
	base, stop, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatalf("simulator: %v", err)
	}
	t.Cleanup(stop)
	return base
}

// Listen serves on an address until stop is called, and returns the base URL, /v1 included. stop closes every connection
// and waits for the server to end.
func (s *Server) Listen(addr string) (base string, stop func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return "", nil, err
	}
	return "http://" + l.Addr().String() + "/v1", s.serve(l), nil
}

// Pipe serves over connections within the process, for tests in a synctest bubble, where sockets stand still: dial goes
// into vinfer.Config.Dial, with any http base URL.
func (s *Server) Pipe() (dial func(ctx context.Context, network, addr string) (net.Conn, error), stop func()) {
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	return l.dial, s.serve(l)
}

func (s *Server) serve(l net.Listener) (stop func()) {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(l) // ends with ErrServerClosed
	}()
	return func() {
		_ = srv.Close()
		<-ended
	}
}

// pipes is a listener whose connections are dialled in the process.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, errors.New("the simulator is closed")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept waits for the next connection.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and further dialling.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr is a name only.
func (p *pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
