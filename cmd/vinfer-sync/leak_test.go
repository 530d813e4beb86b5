package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

const leakConfig = `
vinfer: {base_url: "${API}", api_key: key-MARK-zqxjkv}
start: -48h
store: {bbolt: {path: state.db}}
admin: {socket: admin.sock, listen: ""}
log: {level: debug}
crm:
  - {name: events, webhook: {url: "${HOOK}", secret: secret-MARK-wvkqzp}}
  - {name: file, jsonl: {path: calls.jsonl}}
`

// What an operator pastes into a ticket must hold no key, no secret and no whole number, whatever went wrong before.
func TestNothingSecretIsShown(t *testing.T) {
	t.Parallel()
	const key, local = "key-MARK-zqxjkv", "9812309876"
	w := newWorld(t, simulator.Options{Key: key, LimitPerMinute: -1})
	w.write("config.yaml", leakConfig)
	w.sim.Add(simulator.Call{ID: "call_marked", Phone: "+91" + local, Disposition: "interested", Duration: time.Minute, End: time.Now().Add(-time.Minute)})
	var keyed atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			keyed.Store(true)
		}
	}))
	t.Cleanup(elsewhere.Close)

	var shown strings.Builder
	show := func(args ...string) {
		t.Helper()
		r := w.run(args...)
		for _, out := range []string{r.stdout, r.stderr} {
			for _, mark := range []string{"MARK", "zqxjkv", "wvkqzp", local} {
				if strings.Contains(out, mark) {
					t.Errorf("vinfer-sync %s shows %s:\n%s", strings.Join(args, " "), mark, out)
				}
			}
			shown.WriteString(out)
		}
	}

	show("check")
	w.sim.Fault(simulator.Fault{Kind: simulator.Redirect, Value: elsewhere.URL + "/v1/calls", Count: -1})
	show("check")
	show("once")
	w.sim.Clear()
	w.sim.Fault(simulator.Fault{Kind: simulator.HTML, Count: 1})
	w.hook.answers(http.StatusUnprocessableEntity, `{"error": "{phone} is no number of ours", "secret": "no"}`)
	show("once")
	w.sim.SetKey("another")
	show("check")
	show("once")
	w.sim.SetKey(key)
	for _, args := range []string{"status", "status --json", "dead list", "dead list --json", "dead show 1", "calls list", "calls show call_marked", "calls show --live call_marked"} {
		show(strings.Fields(args)...)
	}
	w.hook.answers(http.StatusUnauthorized, "{phone} may not")
	show("dead", "retry", "--all")
	show("once")
	show("status")

	if keyed.Load() {
		t.Error("the key went to another host")
	}
	// Had nothing gone wrong, nothing could have been shown.
	for _, proof := range []string{"call_marked", "422", "401", "halted", "level=DEBUG"} {
		if !strings.Contains(shown.String(), proof) {
			t.Errorf("nothing shown has %q in it:\n%s", proof, shown.String())
		}
	}
}
