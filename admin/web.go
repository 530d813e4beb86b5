package admin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"
)

// Web serves the dashboard, /metrics, /healthz (the process works) and /readyz (it also does its job) over HTTP until Close. All of it only
// reads. There is no password: it shows nothing that names a person, and answers only to names that this machine has, so that a foreign
// web page cannot read it by a name of its own (DNS rebinding).
type Web struct {
	http *http.Server
	// Addr is where it listens.
	Addr string
}

// WebOptions are what a Web shows.
type WebOptions struct {
	Listen  string
	Alive   func() error // what is stuck; nil: nothing
	Ready   func() error // what an operator should know; nil: all is well
	Metrics *Metrics
	Page    Source
	Log     *slog.Logger
}

// ServeWeb listens.
func ServeWeb(o WebOptions) (*Web, error) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("admin.listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", o.Metrics.handler(o.Log))
	mux.Handle("GET /healthz", health(o.Alive))
	mux.Handle("GET /readyz", health(o.Ready))
	mux.Handle("GET /{$}", &dashboard{source: o.Page, log: o.Log})
	for path, file := range map[string]struct{ name, kind string }{
		"/style.css":  {"page/style.css", "text/css; charset=utf-8"},
		"/refresh.js": {"page/refresh.js", "text/javascript; charset=utf-8"},
		"/ok.svg":     {"page/ok.svg", "image/svg+xml"},
		"/warn.svg":   {"page/warn.svg", "image/svg+xml"},
		"/bad.svg":    {"page/bad.svg", "image/svg+xml"},
	} {
		text, err := pageFiles.ReadFile(file.name)
		if err != nil { // it is built in
			panic(err)
		}
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", file.kind)
			_, _ = w.Write(text)
		})
	}
	return serveWeb(ln, o.Listen, mux, o.Log), nil
}

func serveWeb(ln net.Listener, configured string, mux *http.ServeMux, log *slog.Logger) *Web {
	addr := ln.Addr().String()
	w := &Web{Addr: addr, http: &http.Server{
		Handler: guarded(mux, configured, addr), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ConnState: (&crowd{most: maxConnections}).changed, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
	go func() { _ = w.http.Serve(ln) }()
	return w
}

// ServeStandby listens for a node that stands by. why tells what it waits for. It is alive, not ready, and says so in each place that a leader answers in.
func ServeStandby(listen, pipeline, version string, why func() error, log *slog.Logger) (*Web, error) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("admin.listen: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", standbyMetrics(pipeline, version, log))
	mux.Handle("GET /healthz", health(func() error { return nil }))
	mux.Handle("GET /readyz", health(why))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprintf(w, "%s: %v\n", pipeline, why())
	})
	return serveWeb(ln, listen, mux, log), nil
}

// Close ends it.
func (w *Web) Close() error { return w.http.Close() }

func health(check func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if err := check(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, strings.TrimSpace(err.Error())+"\n")
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
}

// guarded refuses foreign host names and sets the headers that keep browsers from doing more with a page than show it.
func guarded(next http.Handler, configured, addr string) http.Handler {
	names := hostNames(configured)
	local := false
	if a, err := netip.ParseAddrPort(addr); err == nil {
		local = a.Addr().Unmap().IsLoopback()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "+
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		// Who opens it to the network on purpose is scraped by names that are not known here.
		probe := r.URL.Path == "/metrics" || r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
		if !ours(r.Host, names) && (local || !probe) {
			http.Error(w, "this machine is not called that: ask by its address, by localhost, or by the name in admin.listen", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostNames are the names that this machine is known to have.
func hostNames(configured string) map[string]bool {
	names := map[string]bool{"localhost": true}
	if host, _, err := net.SplitHostPort(configured); err == nil && host != "" {
		names[strings.ToLower(host)] = true
	}
	if name, err := os.Hostname(); err == nil {
		name = strings.ToLower(name)
		short, _, _ := strings.Cut(name, ".")
		names[name], names[short] = true, true
	}
	return names
}

// ours tells whether a Host header names this machine. An address cannot be a foreign name.
func ours(host string, names map[string]bool) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return names[host] || strings.HasSuffix(host, ".localhost")
}
