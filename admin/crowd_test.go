package admin

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// Connections that are opened and not used are bounded, and keep nobody else out.
func TestHalfOpenConnectionsAreBounded(t *testing.T) {
	w, err := ServeWeb(WebOptions{
		Listen: "127.0.0.1:0", Alive: func() error { return nil }, Ready: func() error { return nil }, Metrics: NewMetrics("default", "1.0", facts), Log: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // nothing is lost
	var all []net.Conn
	defer func() {
		for _, c := range all {
			_ = c.Close()
		}
	}()
	for i := range 5 * maxConnections {
		c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", w.Addr)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		if i%2 == 0 {
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n"); err != nil { // and no more
				t.Logf("closed already: %v", err)
			}
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.Addr+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%+v %v", resp, err)
	}
	_ = resp.Body.Close()
	ended := 0
	for _, c := range all { // the older ones have been closed, whatever the server's own time-outs
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); err != nil && !os.IsTimeout(err) {
			ended++
		}
	}
	if ended < len(all)-maxConnections {
		t.Errorf("of %d connections %d were closed", len(all), ended)
	}
}
