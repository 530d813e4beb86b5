package vinfer

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestTakeOver(t *testing.T) {
	client := func(base string) *Client {
		c, err := New(Config{BaseURL: base, Key: func() (secret.Text, error) { return secret.New("k"), nil }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	old := client("https://api.example/v1")
	reset := time.Now().Add(time.Minute)
	old.budget.w = window{seen: true, known: true, limit: 1000, remaining: 0, reset: reset}
	old.clock.learn(3 * time.Second)

	other := client("https://another.example/v1")
	other.TakeOver(old)
	if other.Budget().Known || other.Skew() != 0 {
		t.Errorf("%+v %v", other.Budget(), other.Skew())
	}
	same := client("https://api.example/v1/")
	same.TakeOver(old)
	same.budget.queue = []*waiter{{priority: News}} // not to be admitted
	defer func() { same.budget.queue = nil }()
	if b := same.Budget(); b != old.Budget() || b.Remaining != 0 || same.Skew() != 3*time.Second {
		t.Errorf("%+v %v", b, same.Skew())
	}
	if place, wait := same.budget.nextWaiter(time.Now()); place >= 0 || wait < 50*time.Second {
		t.Errorf("a request may go: %v, %v", place, wait)
	}
}

// A client that is replaced must leave no connection behind.
func TestCloseLeavesNoConnection(t *testing.T) {
	var open atomic.Int32
	closed := make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"data":[],"total":0,"limit":100,"offset":0}`)
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed:
			if open.Add(-1) == 0 {
				close(closed)
			}
		case http.StateActive, http.StateIdle, http.StateHijacked:
		}
	}
	srv.Start()
	defer srv.Close()
	c, err := New(Config{BaseURL: srv.URL + "/v1", Key: func() (secret.Text, error) { return secret.New("k"), nil }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Calls(t.Context(), Query{}, News); err != nil {
		t.Fatal(err)
	}
	if open.Load() != 1 {
		t.Fatalf("%d connections", open.Load())
	}
	c.Close()
	<-closed // or the test hangs
}
