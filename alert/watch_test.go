package alert

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type memory map[string][]byte

func (m memory) Setting(key string) ([]byte, error)    { return m[key], nil }
func (m memory) PutSetting(key string, v []byte) error { m[key] = v; return nil }

func TestEachAlertIsToldOnceAndWhenOver(t *testing.T) {
	kept := memory{}
	var told []string
	send := func(n Notice) { told = append(told, strings.TrimSpace(n.State+" "+n.Alert.Alert+" "+n.Destination)) }
	quiet := slog.New(slog.DiscardHandler)
	w := NewWatch("test", kept, quiet, send)
	r := rules(t, "@every 1m")
	f := healthy()
	look := func(want ...string) {
		t.Helper()
		told = nil
		f.Now = f.Now.Add(10 * time.Second)
		w.Look(r, f)
		if strings.Join(told, ", ") != strings.Join(want, ", ") {
			t.Fatalf("told %q, want %q", told, want)
		}
	}
	look()
	f.Stats.Dests[0].Halted = "401"
	look("raised halted sales")
	look()
	w = NewWatch("test", kept, quiet, send) // a restart
	look()
	if s := w.Standing(); len(s) != 1 || !s[0].Since.Equal(now.Add(20*time.Second)) {
		t.Errorf("%+v", s)
	}
	f.Stats.Dead, f.Stats.Dests[0].Dead = 1, 1
	look("raised dead sales")
	f.Stats.Dead, f.Stats.Dests[0].Dead = 2, 2
	look("raised dead sales") // twice as many
	f.Stats.Dead, f.Stats.Dests[0].Dead = 3, 3
	look()
	f.Stats.Dests[0].Halted = ""
	look("over halted sales")
	f.Stats.Dead, f.Stats.Dests[0].Dead = 0, 0
	look("over dead sales")
	look()

	// A job that is under way just now is no lag; one that stays is.
	f.Oldest["sales"] = f.Now.Add(-time.Hour)
	look()
	delete(f.Oldest, "sales")
	look()
	f.Oldest["sales"] = f.Now.Add(-time.Hour)
	look()
	look("raised lag sales")
	f.Oldest["sales"] = f.Now.Add(-10 * time.Minute)
	look() // not clearly over
	delete(f.Oldest, "sales")
	look("over lag sales")
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	w := NewWatch("test", memory{}, slog.New(slog.NewTextHandler(&out, nil)), nil)
	r := rules(t, "@every 1m")
	r.Remedy = func(kind, dest string) string { return "fix " + kind + " of " + dest }
	f := healthy()
	f.Refusal = "401"
	w.Look(r, f)
	f.Refusal, f.Stats.Dests[0].Halted = "", "401" // which the engine has logged as an error
	f.Now = f.Now.Add(time.Hour)
	w.Look(r, f)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], "level=ERROR") || !strings.Contains(lines[0], `remedy="fix key of "`) ||
		!strings.Contains(lines[1], "level=INFO") || !strings.Contains(lines[1], `remedy="fix halted of sales"`) ||
		!strings.Contains(lines[2], "level=INFO") || !strings.Contains(lines[2], "after=1h0m0s") {
		t.Errorf("%q", lines)
	}
}

// script writes a program and returns its path.
func script(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "page")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProgram(t *testing.T) {
	t.Setenv("VINFER_API_KEY", "key-4711")
	dir := t.TempDir()
	path := script(t, `cat > "$1/notice"; env > "$1/env"; test -e "$1/second" || { touch "$1/second"; echo "call +919876543210" >&2; exit 3; }`)
	var out bytes.Buffer
	p := NewProgram(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
	p.waits = []time.Duration{time.Millisecond}
	n := Notice{State: "raised", Pipeline: "test", At: now}
	n.Alert.Alert, n.Destination, n.Message = Halted, "sales; rm -rf /", "it's $(halted)"
	p.deliver(t.Context(), []string{path, dir}, n)
	var got map[string]any
	raw, err := os.ReadFile(filepath.Join(dir, "notice"))
	if err != nil || json.Unmarshal(raw, &got) != nil {
		t.Fatalf("%v %s", err, raw)
	}
	if got["alert"] != "halted" || got["destination"] != "sales; rm -rf /" || got["state"] != "raised" || got["pipeline"] != "test" || got["message"] != "it's $(halted)" {
		t.Errorf("%s", raw)
	}
	if env, err := os.ReadFile(filepath.Join(dir, "env")); err != nil || strings.Contains(string(env), "4711") {
		t.Errorf("environment: %v\n%s", err, env)
	}
	if log := out.String(); !strings.Contains(log, "exit status 3") || strings.Contains(log, "98765") {
		t.Error(log)
	}
}

func TestProgramThatHangsIsKilledWithItsChildren(t *testing.T) {
	dir := t.TempDir()
	p := NewProgram(slog.New(slog.DiscardHandler))
	p.time, p.waits = 300*time.Millisecond, nil
	err := p.once(t.Context(), []string{script(t, `(sleep 60; touch "$1/late") & echo here; wait`), dir}, Notice{})
	if err == nil || !strings.Contains(err.Error(), "killed") || !strings.Contains(err.Error(), "here") {
		t.Error(err)
	}
}

// A program that ends with 0 has done its part, though it leaves a child behind that holds its output.
func TestProgramThatLeavesAChild(t *testing.T) {
	dir := t.TempDir()
	p := NewProgram(slog.New(slog.DiscardHandler))
	p.waits = []time.Duration{time.Millisecond, time.Millisecond}
	p.deliver(t.Context(), []string{script(t, `echo run >>"$1/runs"; sleep 20 & echo $! >"$1/child"; exit 0`), dir}, Notice{})
	if b, err := os.ReadFile(filepath.Join(dir, "runs")); err != nil || string(b) != "run\n" {
		t.Errorf("it was run %q, %v", b, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "child"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the child was ended: %v", err)
	}
}

func TestProgramThatIsMissing(t *testing.T) {
	var out bytes.Buffer
	p := NewProgram(slog.New(slog.NewTextHandler(&out, nil)))
	p.waits = nil
	p.deliver(t.Context(), []string{"/no/such/program"}, Notice{})
	if !strings.Contains(out.String(), "/no/such/program") {
		t.Error(out.String())
	}
}
