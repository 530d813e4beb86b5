package vinfer_test

import (
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/vinfer"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

func TestABodyThatSwellsIsCutOff(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	blank := bytes.Repeat([]byte(" "), 1<<20)
	for range 66 {
		_, _ = z.Write(blank)
	}
	_, _ = z.Write([]byte("[]"))
	_ = z.Close()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	})
	_, err := newClient(t, srv.URL).Calls(t.Context(), vinfer.Query{}, vinfer.News)
	if !errors.Is(err, vinfer.ErrUnreadable) || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Error(err)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(simulator.New(simulator.Options{Seed: 1, Calls: 300}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c := newClient(t, srv.URL)
	for i := range 50 {
		if i%2 == 0 {
			_, _ = c.Call(t.Context(), "nobody", vinfer.News)
		} else if _, err := c.Calls(t.Context(), vinfer.Query{Limit: 100}, vinfer.News); err != nil {
			t.Fatal(err)
		}
	}
	// retryablehttp closes idle connections after what it counts as a failure; a 404 is none.
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestExtraRoots(t *testing.T) {
	s := simulator.New(simulator.Options{Calls: 3})
	srv := httptest.NewTLSServer(s)
	t.Cleanup(srv.Close)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if _, err := newClient(t, srv.URL).Calls(t.Context(), vinfer.Query{}, vinfer.News); err == nil || !strings.Contains(err.Error(), "vinfer.ca_file") || s.Served() != 0 {
		t.Errorf("an unknown authority was trusted: %v", err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(file, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newClient(t, srv.URL, func(c *vinfer.Config) { c.CAFile = file }).Calls(t.Context(), vinfer.Query{}, vinfer.News); err != nil {
		t.Error(err)
	}
}

func TestProxy(t *testing.T) {
	s := simulator.New(simulator.Options{Calls: 3})
	var seen atomic.Value
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.URL.Host)
		s.ServeHTTP(w, r)
	})
	c := newClient(t, "http://vinfer.invalid/v1", func(c *vinfer.Config) { c.Proxy = proxy.URL })
	if _, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.News); err != nil || seen.Load() != "vinfer.invalid" {
		t.Error(seen.Load(), err)
	}
}
