package crmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Proxy stands before a server that is reached over TCP, and cuts connections.
type Proxy struct {
	Addr     string // where it listens
	target   string
	listener net.Listener

	mu    sync.Mutex
	left  int           // bytes that still pass, from the server or to it; less than 0: all
	to    bool          // they are counted on the way to the server
	stall bool          // where they end, the connection stays open and silent
	cut   bool          // it came to that
	open  []net.Conn    // all of them
	quiet chan struct{} // closed when a stall begins
}

// NewProxy starts a proxy before the server at target.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, listener: l, left: -1, quiet: make(chan struct{})}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.Pass()
		group.Wait()
	})
	return p
}

// CutAfter lets n bytes pass in one direction, and then cuts every connection, or with stall lets it hang.
func (p *Proxy) CutAfter(n int, toServer, stall bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.to, p.stall, p.cut, p.quiet = n, toServer, stall, false, make(chan struct{})
}

// Pass lets all new connections live, and ends those that are there. It tells whether any had been cut.
func (p *Proxy) Pass() (cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	cut, p.left = p.cut, -1
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
	return cut
}

// Stalled returns a channel that is closed when a connection hangs.
func (p *Proxy) Stalled() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.quiet
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.open = append(p.open, client, server)
	p.mu.Unlock()
	var group sync.WaitGroup
	group.Go(func() { p.pump(server, client, true) })
	group.Go(func() { p.pump(client, server, false) })
	group.Wait()
}

// pump passes on what comes from one side, as far as it may.
func (p *Proxy) pump(to, from net.Conn, toServer bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		n, last, silent := p.may(n, toServer)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				last = true
			}
		}
		if silent {
			_, _ = io.Copy(io.Discard, from) // until Pass
			return
		}
		if err != nil || last {
			_ = to.Close()
			_ = from.Close()
			return
		}
	}
}

// may tells how many of n bytes pass, whether the connection ends after them, and whether it hangs instead.
func (p *Proxy) may(n int, toServer bool) (pass int, last, silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left < 0 || p.to != toServer || n == 0 {
		return n, false, false
	}
	if n <= p.left {
		p.left -= n
		return n, false, false
	}
	pass, p.left = p.left, 0
	if p.stall && !p.cut {
		close(p.quiet)
	}
	p.cut = true
	return pass, !p.stall, p.stall
}

// RunCuts cuts the connection between a writer and its server at every place of a write, in both directions, and lets the next
// attempt, of the same process or of a new one, go on. What arrived must be what arrives without a fault.
func RunCuts(t *testing.T, proxy *Proxy, fresh func(t *testing.T) (open func(t *testing.T) crm.Writer, state func(t *testing.T) State)) {
	for _, e := range []crm.Entry{Full(1), of(Full(1), crm.Contact{Name: "Nobody"}), Transcribed(1)} {
		for _, toServer := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s of %q, to the server: %t", e.Event, e.Call.Contact.Phone, toServer), func(t *testing.T) {
				open, state := fresh(t)
				w := open(t)
				closed := func(w crm.Writer) { _ = w.(io.Closer).Close() }
				// Where the connection and the tables are there already, and the call is.
				try(t, w, Completed(9))
				try(t, w, e)
				want := describe(state(t))
				cuts := 0
				for n := 0; ; n += 37 {
					e.Attempt = n + 1
					proxy.CutAfter(n, toServer, false)
					err := w.Write(context.Background(), e, crm.NewProgress(nil, nil))
					cut := proxy.Pass()
					if err != nil && crm.VerdictOf(err) != crm.Retry {
						t.Fatalf("cut after %d bytes: %s: %v", n, crm.VerdictOf(err), err)
					}
					AssertNoLeak(t, "cut", nil, fmt.Sprint(err))
					if n%2 == 0 {
						closed(w)
						w = open(t)
					}
					try(t, w, e)
					if got := describe(state(t)); got != want {
						t.Fatalf("cut after %d bytes: got\n%s\nwant\n%s", n, got, want)
					}
					if cuts++; !cut {
						break
					}
				}
				closed(w)
				t.Logf("%d cuts", cuts)
			})
		}
	}
	t.Run("cancelled while the server is silent", func(t *testing.T) {
		open, state := fresh(t)
		w := open(t)
		try(t, w, Completed(1))
		proxy.CutAfter(10, false, true)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- w.Write(ctx, Completed(2), crm.NewProgress(nil, nil)) }()
		<-proxy.Stalled()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		proxy.Pass()
		try(t, w, Completed(2))
		if got := state(t); len(got.Calls) != 2 || len(got.Contacts) != 2 {
			t.Errorf("%+v", got)
		}
		_ = w.(io.Closer).Close()
	})
}

// try writes as the engine does: again, where the error asks for that.
func try(t *testing.T, w crm.Writer, e crm.Entry) {
	t.Helper()
	for tries := 1; ; tries++ {
		err := w.Write(context.Background(), e, crm.NewProgress(nil, nil))
		if err == nil {
			return
		}
		if crm.VerdictOf(err) != crm.Retry || tries == 5 {
			t.Fatalf("%s: %s: %v", e.Key, crm.VerdictOf(err), err)
		}
	}
}
