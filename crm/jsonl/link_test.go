package jsonl

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A link to what is not there is told of as one, and refused where its target cannot be made.
func TestCheckOfADanglingLink(t *testing.T) {
	for name, test := range map[string]struct {
		target, says string
		fails        bool
	}{
		"its directory is there":     {"calls", "is a link to", false},
		"its directory is not there": {"none/calls", "which cannot be made", true},
		"it leads to itself":         {"link", "which cannot be made", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "link")
			if err := os.Symlink(test.target, path); err != nil {
				t.Fatal(err)
			}
			w, err := New(Config{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close() //nolint:errcheck // nothing was written
			f := w.Check(context.Background(), nil)[0]
			text := f.Detail
			if f.Err != nil {
				text = f.Err.Error()
			}
			if (f.Err != nil) != test.fails || !strings.Contains(text, test.says) && name != "it leads to itself" {
				t.Errorf("%v, %q", f.Err, f.Detail)
			}
		})
	}
}
