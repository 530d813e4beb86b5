package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

const nasty = "a\x1b]0;title\x07b\u009b31mc\u202ed\re\u2028f\u2066g"

var colour = regexp.MustCompile("\x1b\\[\\d*m")

// Whatever pieces it is written in, what is printed does nothing to a terminal, and JSON means the same.
func TestPrintable(t *testing.T) {
	text := nasty + "\nहिन्दी\t👩‍👧 e\u0301\n"
	raw, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 2, 3, 5, 1000} {
		for _, in := range []string{text, string(raw)} {
			var out bytes.Buffer
			p := &printable{out: &out}
			for rest := []byte(in); len(rest) > 0; rest = rest[min(size, len(rest)):] {
				if _, err := p.Write(rest[:min(size, len(rest))]); err != nil {
					t.Fatal(err)
				}
			}
			if strings.ContainsFunc(out.String(), acts) || !strings.Contains(out.String(), "हिन्दी") || !strings.Contains(out.String(), "👩‍👧") {
				t.Errorf("in pieces of %d: %q", size, out.String())
			}
			var back string
			if in == string(raw) && (json.Unmarshal(out.Bytes(), &back) != nil || back != text) {
				t.Errorf("in pieces of %d JSON became %s", size, out.String())
			}
		}
	}
	if got := harmless("caf\xe9\x9b1m"); got != "caf\uFFFD\uFFFD1m" {
		t.Errorf("%q", got)
	}
	var out bytes.Buffer
	slog.New(newTerminalHandler(&out, slog.LevelInfo)).Info(nasty, "k", nasty, "error", errors.New(nasty))
	if text := colour.ReplaceAllString(out.String(), ""); strings.ContainsFunc(text, acts) {
		t.Errorf("the log: %q", out.String())
	}
}

// No command passes on what data would do to the terminal.
func TestNothingPrintedActsOnTheTerminal(t *testing.T) {
	call, err := json.Marshal(map[string]any{
		"call_id": "call_1", "disposition": nasty, "contact": map[string]string{"phone": "+919876543210", "name": nasty}, "language": nasty,
		"timestamp": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "duration_seconds": 0, "neuronlens": map[string]string{"summary": nasty},
	})
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if at, err := time.Parse(time.RFC3339, r.URL.Query().Get("after")); err == nil && at.After(time.Now()) {
			_, _ = io.WriteString(w, `{"data":[],"total":0,"limit":100,"offset":0}`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"data":[%s],"total":1,"limit":100,"offset":0}`, call)
	}))
	t.Cleanup(api.Close)
	w := newWorld(t, simulator.Options{Seed: 1, Calls: 1, LimitPerMinute: -1})
	w.api = api.URL + "/v1"
	w.hook.answers(422, nasty)
	text := strings.ReplaceAll(threeDestinations, "%START%", "-24h")
	w.write("config.yaml", strings.ReplaceAll(text, "any}", "any, cursor_param: after}"))
	outputs := []result{w.run("plan"), w.run("once")}
	commands := [][]string{
		{"status"},
		{"status", "--json"},
		{"dead", "list"},
		{"dead", "list", "--json"},
		{"dead", "show", "call_1"},
		{"calls", "show", "call_1"},
		{"calls", "list"},
		{"calls", "show", nasty},
	}
	for _, args := range commands {
		outputs = append(outputs, w.run(args...))
	}
	shown := 0
	for _, r := range outputs {
		if strings.ContainsFunc(r.stdout+r.stderr, acts) {
			t.Errorf("%q %q", r.stdout, r.stderr)
		}
		if strings.Contains(r.stdout, `\u001b]0;title`) {
			shown++
		}
	}
	if shown < 3 {
		t.Errorf("what the call says is shown by %d commands: %+v", shown, outputs)
	}
}
