package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

func TestJournalLines(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	log := slog.New(newJournalHandler(&out, level))
	log.Debug("not shown")
	log.Info("run", "new", 3)
	log.With("dest", "sales").Warn("two\nlines", "error", errors.New("a b"))
	level.Set(slog.LevelDebug)
	log.WithGroup("g").Debug("deep", "k", 1)
	log.Error("broke")
	want := "<6>level=INFO msg=run new=3\n" +
		"<4>level=WARN msg=\"two\\nlines\" dest=sales error=\"a b\"\n" +
		"<7>level=DEBUG msg=deep g.k=1\n" +
		"<3>level=ERROR msg=broke\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestColours(t *testing.T) {
	for _, c := range []struct {
		noColor, term string
		coloured      bool
	}{{"", "xterm", true}, {"1", "xterm", false}, {"", "dumb", false}} {
		t.Setenv("NO_COLOR", c.noColor)
		t.Setenv("TERM", c.term)
		var b bytes.Buffer
		slog.New(newTerminalHandler(&b, slog.LevelInfo)).Warn("hello", "dest", "crm")
		if got := strings.Contains(b.String(), "\x1b["); got != c.coloured {
			t.Errorf("%+v: %q", c, b.String())
		}
	}
}

// What is piped or kept in a file is not written over.
func TestNoTerminal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if isTerminal(&bytes.Buffer{}) || isTerminal(f) {
		t.Error("taken for a terminal")
	}
}

func TestJSONLines(t *testing.T) {
	var out bytes.Buffer
	slog.New(newJSONHandler(&out, slog.LevelInfo)).Info("run", "took", 7028*time.Millisecond, "new", 3)
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["took"] != "7.028s" || line["new"] != 3.0 || line["level"] != "INFO" || line["time"] == nil {
		t.Errorf("%v %s", err, out.String())
	}
}
