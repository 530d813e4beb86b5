package vinfersync_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var testCommand = regexp.MustCompile("`go test -run '?([^'` ]+)'? (\\./[^` ]+)`")

// TestPromisesAreShown looks whether each command of docs/GUARANTEES.md runs a test, and whether each row has one.
func TestPromisesAreShown(t *testing.T) {
	text, err := os.ReadFile("docs/GUARANTEES.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, commands := 0, 0
	for line := range strings.SplitSeq(string(text), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasSuffix(line, " shown by |") || strings.HasSuffix(line, " ours |") {
			continue
		}
		rows++
		found := testCommand.FindAllStringSubmatch(line, -1)
		if len(found) == 0 || strings.Count(line, "`go test ") != len(found) {
			t.Errorf("no command, or one that is not understood: %s", line)
		}
		for _, m := range found {
			commands++
			for name := range strings.SplitSeq(m[1], `\|`) { // escaped: a bar ends a cell
				if !testExists(t, m[2], name) {
					t.Errorf("go test -run %s %s runs nothing", name, m[2])
				}
			}
		}
	}
	if rows < 35 || commands < 45 {
		t.Errorf("only %d rows with %d commands were understood", rows, commands)
	}
}

// testExists tells whether -run with a name, or with a name and a subtest's, finds a test in a folder.
func testExists(t *testing.T, dir, name string) bool {
	t.Helper()
	name, sub, _ := strings.Cut(name, "/")
	declared := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name) + `\w*\(t \*testing\.T\)`)
	if !holds(t, dir, "*_test.go", declared) {
		return false
	}
	if sub == "" {
		return true
	}
	// A subtest's name is a text of the test or of the suite that it runs, or a file of its testdata.
	written := regexp.MustCompile(`"` + regexp.QuoteMeta(strings.ReplaceAll(sub, "_", " ")))
	for _, place := range []string{dir, filepath.Join(dir, "..", "storetest"), filepath.Join(dir, "..", "crmtest")} {
		if holds(t, place, "*.go", written) {
			return true
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "testdata", "*", sub+".*"))
	return err == nil && len(files) > 0
}

func holds(t *testing.T, dir, pattern string, text *regexp.Regexp) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if text.Match(b) {
			return true
		}
	}
	return false
}
