package crmtest

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// Server is a destination reached over HTTP. It hands requests to its handler, one at a time, remembers those that were
// accepted, and misbehaves on demand.
type Server struct {
	*httptest.Server
	handler http.Handler
	stop    chan struct{}

	mu     sync.Mutex
	faults []*Fault
	seen   []Request
	count  int
}

// Request is a request that the handler has had.
type Request struct {
	Method, Path string
	Header       http.Header
	Body         []byte
}

// Fault is one way to misbehave, for Times requests (0: all) after the first After ones. Without any of the other fields the
// handler is never asked and the connection is closed.
type Fault struct {
	After, Times int
	Status       int
	Header       http.Header
	Body         func(r *http.Request, body []byte) string // of the answer
	Raw          func(r *http.Request, body []byte) string // instead of an HTTP answer
	Lost         bool                                      // the handler has the request, its answer gets lost
	Stall        bool                                      // no answer until the client goes away
	Reached      chan<- struct{}                           // gets a value when the fault begins; may be nil
}

// NewServer starts a server that is closed at the end of the test.
func NewServer(t testing.TB, handler http.Handler) *Server {
	s := &Server{handler: handler, stop: make(chan struct{})}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	s.Start()
	t.Cleanup(func() {
		close(s.stop)
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// Misbehave replaces the faults.
func (s *Server) Misbehave(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.count = nil, 0
	for i := range faults {
		s.faults = append(s.faults, &faults[i])
	}
}

// Requests returns what the handler has had.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// Count returns how many requests have come since the last Misbehave, faulty ones included.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func (s *Server) serve(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	fault := s.fault()
	if fault != nil && fault.Reached != nil {
		fault.Reached <- struct{}{}
	}
	switch {
	case fault == nil:
		s.handle(rw, r, body)
	case fault.Lost:
		s.handle(httptest.NewRecorder(), r, body)
		hangUp(rw, "")
	case fault.Stall:
		select {
		case <-r.Context().Done():
		case <-s.stop:
		}
	case fault.Raw != nil:
		hangUp(rw, fault.Raw(r, body))
	case fault.Status != 0:
		for name, values := range fault.Header {
			rw.Header()[name] = values
		}
		rw.WriteHeader(fault.Status)
		if fault.Body != nil {
			_, _ = io.WriteString(rw, fault.Body(r, body))
		}
	default:
		hangUp(rw, "")
	}
}

func (s *Server) fault() *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	for _, f := range s.faults {
		if s.count > f.After && (f.Times == 0 || s.count <= f.After+f.Times) {
			return f
		}
	}
	return nil
}

// served is held while a handler works. A test that has the program between itself and its fake takes it in turns with
// the handlers: see barrier.
var served sync.RWMutex

// barrier puts what a test does to its fake before the requests that follow, and behind those that came before: the race
// detector does not see that a process that ran meanwhile stood between them.
func barrier() {
	served.Lock()
	served.Unlock() //nolint:staticcheck // it only waits
}

func (s *Server) handle(rw http.ResponseWriter, r *http.Request, body []byte) {
	served.RLock()
	defer served.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, Request{r.Method, r.URL.RequestURI(), r.Header.Clone(), body})
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.handler.ServeHTTP(rw, r)
}

// hangUp closes the connection after raw.
func hangUp(rw http.ResponseWriter, raw string) {
	conn, _, err := rw.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(conn, raw)
	if tcp, ok := conn.(*net.TCPConn); ok && raw == "" {
		_ = tcp.SetLinger(0) // a reset, as of a process that was killed
	}
	_ = conn.Close()
}
