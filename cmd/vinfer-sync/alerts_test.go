package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

const watched = `
vinfer: {base_url: "${API}", api_key: any}
schedule: "@every 1s"
start: -25h
store: {bbolt: {path: state.db}}
admin: {socket: admin.sock, listen: "LISTEN"}
alerts: {lag: 1s, exec: ["DIR/page", told]}
transcripts: {fetch: false}
crm:
  - {name: events, webhook: {url: "${HOOK}", secret: s}}
`

// freeAddress is one that nobody listens on just now.
func freeAddress(t *testing.T) string {
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// fetch asks the daemon's web address.
func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// told is what the operator's program was told so far.
func (w *world) told() (all []string) {
	w.t.Helper()
	for _, l := range w.lines("told") {
		var n struct{ State, Alert, Destination, Pipeline string }
		if err := json.Unmarshal([]byte(l), &n); err != nil || n.Pipeline != "default" {
			w.t.Errorf("%v in %q", err, l)
		}
		all = append(all, strings.TrimSpace(n.State+" "+n.Alert+" "+n.Destination))
	}
	return all
}

// A destination refuses its credentials, then a call, then VInfer is away: each is told once, and when it is over.
func TestAlerts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{LimitPerMinute: -1})
	listen := freeAddress(t)
	w.write("config.yaml", strings.NewReplacer("LISTEN", listen, "DIR", w.dir).Replace(watched))
	if err := os.WriteFile(filepath.Join(w.dir, "page"), []byte("#!/bin/sh\ncat >> \"$1\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	add := func(id string) {
		w.sim.Add(simulator.Call{ID: id, Phone: "+919812309876", Disposition: "interested", Duration: time.Minute, End: time.Now().Add(-time.Minute)})
	}
	w.hook.answers(http.StatusUnauthorized, "{phone} may not")
	add("call_1")
	r := w.start()
	r.await("needs an operator: events is halted")
	if code, text := fetch(t, "http://"+listen+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "halted: events is halted") || strings.Contains(text, "98123") {
		t.Errorf("readyz: %d %s", code, text)
	}
	if code, text := fetch(t, "http://"+listen+"/healthz"); code != http.StatusOK || text != "ok\n" {
		t.Errorf("healthz: %d %s", code, text)
	}
	if out := w.must(exitFine, "status").stdout; !strings.Contains(out, "events is halted, and its calls are kept") || !strings.Contains(out, "vinfer-sync resume events") {
		t.Errorf("status:\n%s", out)
	}
	w.hook.answers(http.StatusUnprocessableEntity, "no such field")
	w.must(exitFine, "resume", "events")
	r.await("needs an operator: events refused calls")
	r.await("over: events is halted")
	w.hook.answers(0, "")
	w.must(exitFine, "dead", "retry", "--all")
	r.await("over: events refused calls")
	w.sim.SetKey("another")
	r.await("needs an operator: VInfer refused the API key")
	_, text := fetch(t, "http://"+listen+"/metrics")
	for _, want := range []string{
		`vinfer_sync_deliveries_total{destination="events",pipeline="default",result="delivered"} 1`,
		`vinfer_sync_deliveries_total{destination="events",pipeline="default",result="refused"} 1`,
		`vinfer_sync_deliveries_total{destination="events",pipeline="default",result="halted"} 1`,
		`vinfer_sync_calls_new_total{pipeline="default"} 1`,
		`vinfer_sync_end_to_end_seconds_count{destination="events",pipeline="default"} 1`,
		`vinfer_sync_alerts_active{alert="key",pipeline="default"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("metrics have no %s:\n%s", want, text)
		}
	}
	if strings.Contains(text, "98123") || strings.Contains(text, "call_1") {
		t.Error("metrics name a person or a call")
	}
	w.sim.SetKey("any")
	r.await("over: VInfer refused the API key")
	good := w.read("config.yaml")
	w.write("config.yaml", good+"lookbak: 3m\n")
	r.hup()
	r.await("not taken up")
	if code, text := fetch(t, "http://"+listen+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "config: the configuration on the disk has faults") {
		t.Errorf("readyz with a configuration that was refused: %d %s", code, text)
	}
	w.must(exitLeft, "status", "--check")
	r.stop()
	got := w.told()
	// Lag comes and goes with all that; of the rest each thing is told once.
	got = slices.DeleteFunc(got, func(s string) bool { return strings.Contains(s, " lag") })
	want := "raised halted events, raised dead events, over halted events, over dead events, raised key, over key"
	if s := strings.Join(got, ", "); s != want && s+", over key" != want { // the last one may not have been under way yet
		t.Errorf("told: %s\nwant: %s", s, want)
	}
}
