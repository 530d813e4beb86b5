package main

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
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
