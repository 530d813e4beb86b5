package vinfersync_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// banned are words and turns that a reader stumbles over, and what to write instead: failed, skipped, fix, is, rewritten, "is not a".
var banned = regexp.MustCompile(`(?i)\b(?:mend|mends|mended|mending|stands|stood|anew|kin|all the same|lies|left out|hasten)\b|(?:\bit|\bthat|\bthis|\bwhat|%q|%s) is no (?:[a-km-z]|l[^o])`)

// TestPlainWords keeps them out of what users read: the program's texts, the pages and the example.
func TestPlainWords(t *testing.T) {
	seen := 0
	look := func(where, text string) {
		seen++
		if m := banned.FindString(text); m != "" {
			t.Errorf("%s: %q in %.160q", where, m, text)
		}
	}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (len(d.Name()) > 1 && d.Name()[0] == '.' || d.Name() == "testdata" || d.Name() == "decisions" || d.Name() == "crmtest" || d.Name() == "storetest"):
			return filepath.SkipDir
		case strings.HasSuffix(path, "_test.go"), d.Name() == "CHANGELOG.md":
		case strings.HasSuffix(path, ".go"):
			return literals(path, look)
		case strings.HasSuffix(path, ".md"), strings.HasSuffix(path, ".html"), strings.HasSuffix(path, ".roff"), path == "config.example.yaml", strings.HasPrefix(path, "contrib/prometheus"):
			page := fenced.ReplaceAllString(text(t, path), "")
			for line := range strings.Lines(page) {
				look(path, line)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 5000 {
		t.Errorf("only %d texts seen", seen)
	}
}

// literals shows the sentences among a file's strings; a single word is a name.
func literals(path string, look func(where, text string)) error {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && strings.Contains(l.Value, " ") {
			look(files.Position(l.Pos()).String(), l.Value)
		}
		return true
	})
	return nil
}
