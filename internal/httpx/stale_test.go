package httpx

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// hasty answers the first request of each connection and ends the connection at the second, which it has read.
type hasty struct {
	net.Listener
	part string // what it answers to the second; empty: nothing

	mu     sync.Mutex
	bodies []string // of all requests
}

func newHasty(t *testing.T, part string) *hasty {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hasty{Listener: l, part: part}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { h.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return h
}

func (h *hasty) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	for n := range 2 {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		h.mu.Lock()
		h.bodies = append(h.bodies, req.Method+" "+string(body))
		h.mu.Unlock()
		if n == 0 {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		} else {
			_, _ = io.WriteString(conn, h.part)
		}
	}
}

func TestStaleConnection(t *testing.T) {
	for name, test := range map[string]struct {
		method, key, part string
		ok                bool
		requests          int
	}{
		"with a key":                       {http.MethodPost, "k1", "", true, 3},
		"without":                          {http.MethodPost, "", "", false, 2},
		"with a key, half an answer":       {http.MethodPost, "k1", "HTTP/1.1 200", false, 2},
		"without a key, to be read or put": {http.MethodPatch, "", "", false, 2},
	} {
		h := newHasty(t, test.part)
		base, err := url.Parse("http://" + h.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := New(base, Config{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		send := func(body string) error {
			req, err := http.NewRequestWithContext(t.Context(), test.method, base.String(), strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if test.key != "" {
				req.Header.Set("Idempotency-Key", test.key)
			}
			a, err := c.Do(req)
			if err == nil && string(a.Body) != "ok" {
				err = fmt.Errorf("answered %q", a.Body)
			}
			return err
		}
		if err := send("one"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := send("two"); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
		h.mu.Lock()
		bodies := slices.Clone(h.bodies)
		h.mu.Unlock()
		if len(bodies) != test.requests || bodies[len(bodies)-1] != test.method+" two" {
			t.Errorf("%s: %q", name, bodies)
		}
		_ = c.Close()
	}
}

// A connection that was made for a request and ends without an answer is not stale: the answer was lost, and the lane repeats it.
func TestLostAnswerIsNotRepeated(t *testing.T) {
	requests := 0
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				requests++
			}
			_ = conn.Close()
		}
	}()
	base, err := url.Parse("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(base, Config{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base.String(), strings.NewReader("one"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Idempotency-Key", "k1")
	if _, err := c.Do(req); !Unanswered(err) {
		t.Errorf("got %v", err)
	}
	_ = c.Close()
	_ = l.Close()
	<-done
	if requests != 1 {
		t.Errorf("%d requests", requests)
	}
}
