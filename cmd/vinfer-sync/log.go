package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/vinfer-sync/vinfer-sync/config"
)

var levels = map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// levelOf is the level to log at: the flag's, else the configuration's.
func (a *app) levelOf(cfg *config.Config) slog.Level {
	name := cfg.Log.Level
	switch {
	case a.logLevel != "":
		name = a.logLevel
	case a.verbose:
		name = "debug"
	case a.quiet:
		name = "warn"
	}
	return levels[strings.ToLower(name)]
}

// logger writes to stderr as the configuration says.
func (a *app) logger(cfg *config.Config) *slog.Logger {
	return newLogger(cfg.Log.Format, a.levelOf(cfg))
}

// newLogger writes to stderr: JSON, or coloured on a terminal, or key=value; under systemd as its journal takes it.
func newLogger(format string, level slog.Leveler) *slog.Logger {
	switch {
	case format == "json":
		return slog.New(newJSONHandler(&printable{out: os.Stderr}, level))
	case format != "text" && term.IsTerminal(int(os.Stderr.Fd())): //nolint:gosec // a file descriptor is small
		return slog.New(newTerminalHandler(os.Stderr, level))
	case os.Getenv("JOURNAL_STREAM") != "":
		return slog.New(newJournalHandler(os.Stderr, level))
	default:
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	}
}

// newTerminalHandler writes for people: in colours, unless they do not want them (no-color.org) or the terminal has none.
func newTerminalHandler(out io.Writer, level slog.Leveler) slog.Handler {
	plain := os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb"
	return tint.NewTextHandler(out, &tint.Options{Level: level, TimeFormat: "15:04:05", NoColor: plain, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if err, is := a.Value.Any().(error); is || a.Value.Kind() == slog.KindString { // it lets escapes pass
			if is {
				a.Value = slog.StringValue(err.Error())
			}
			a.Value = slog.StringValue(harmless(a.Value.String()))
		}
		return a
	}})
}

// isTerminal tells whether out is one: only there anything is written over.
func isTerminal(out io.Writer) bool {
	f, ok := rawOf(out).(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // a file descriptor is small
}

// newJSONHandler writes an object a line; durations are written as in the other formats, not as a number of nanoseconds.
func newJSONHandler(out io.Writer, level slog.Leveler) slog.Handler {
	return slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}})
}

// journalHandler writes lines for systemd's journal: key=value after the line's priority, as sd-daemon(3) describes it, and without a
// time, which the journal has.
type journalHandler struct {
	slog.Handler // writes to buf
	buf          *bytes.Buffer
	mu           *sync.Mutex // guards buf and out
	out          io.Writer
}

func newJournalHandler(out io.Writer, level slog.Leveler) *journalHandler {
	h := &journalHandler{buf: &bytes.Buffer{}, mu: &sync.Mutex{}, out: out}
	h.Handler = slog.NewTextHandler(h.buf, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	return h
}

// Handle implements slog.Handler. A line is one write: the journal takes each for a message.
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Reset()
	h.buf.WriteString(priority(r.Level))
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.out.Write(h.buf.Bytes())
	return err
}

// WithAttrs implements slog.Handler.
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.Handler = h.Handler.WithAttrs(attrs)
	return &with
}

// WithGroup implements slog.Handler.
func (h *journalHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.Handler = h.Handler.WithGroup(name)
	return &with
}

// priority is syslog's: 3 error, 4 warning, 6 info, 7 debug.
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "<3>"
	case l >= slog.LevelWarn:
		return "<4>"
	case l >= slog.LevelInfo:
		return "<6>"
	default:
		return "<7>"
	}
}
