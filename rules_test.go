// Package vinfersync_test holds the rules that this repository keeps about itself.
package vinfersync_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/vinfer-sync/vinfer-sync"

type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string
	GoFiles    []string
}

// packages lists the module's packages by their path inside it.
func packages(t *testing.T) map[string]pkg {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,Imports,GoFiles", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]pkg{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			all[strings.TrimPrefix(p.ImportPath, module+"/")] = p
		}
	}
	if len(all) < 8 {
		t.Fatalf("only %d packages found", len(all))
	}
	return all
}

// arrows says which packages of ours each may import, by prefix; the first line that fits counts. The client, the
// writers and the store know nothing of each other; sync joins them; only the command chooses.
var arrows = []struct {
	from string
	to   []string
}{
	{"=" + module, nil}, // the example
	{"cmd/", []string{"admin", "alert", "config", "crm", "internal/", "store", "sync", "vinfer"}},
	{"bench", []string{"admin", "config", "crm", "internal/", "store", "sync", "vinfer"}}, // measures the whole
	{"soak", []string{"vinfer/simulator"}},                                                // runs the program as it is
	{"packaging/", nil},                                                                   // they know of the program what go list says
	{"alert", []string{"internal/", "=store", "=sync"}},
	{"admin", []string{"alert", "internal/", "=store", "sync", "vinfer", "crm"}},
	{"config", []string{"crm/", "internal/", "sync"}},
	{"sync", []string{"=crm", "internal/", "=store", "=vinfer"}},
	{"store", []string{"=store", "store/internal/", "internal/"}},
	{"vinfer", []string{"=vinfer", "internal/"}},
	{"crm/kinds", []string{"crm/", "internal/"}}, // the list of kinds
	{"crm", []string{"=crm", "crm/internal/", "internal/"}},
	{"internal/", []string{"=crm", "internal/"}}, // httpx speaks the verdicts of crm
}

// fits tells whether a package's path is meant by pattern: the path itself with =, a folder with its slash, or either.
func fits(pattern, path string) bool {
	if exact, ok := strings.CutPrefix(pattern, "="); ok {
		return path == exact
	}
	return strings.HasPrefix(path+"/", strings.TrimSuffix(pattern, "/")+"/")
}

func TestImports(t *testing.T) {
	for path, p := range packages(t) {
		at := slices.IndexFunc(arrows, func(a struct {
			from string
			to   []string
		},
		) bool {
			return fits(a.from, path)
		})
		if at < 0 {
			t.Errorf("%s: a new package; say in arrows what it may import", path)
			continue
		}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module+"/")
			if ours && !slices.ContainsFunc(arrows[at].to, func(pattern string) bool { return fits(pattern, to) }) {
				t.Errorf("%s imports %s, which it must not know", path, to)
			}
		}
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	for path, p := range packages(t) {
		var doc string
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if text := f.Doc.Text(); text != "" {
				if doc != "" {
					t.Errorf("%s: two files say what the package is", path)
				}
				doc = text
			}
			checkStart(t, path, f)
		}
		first, _, _ := strings.Cut(doc, "\n\n")
		if !strings.Contains(first, ".") {
			t.Errorf("%s: no sentence says what the package is: %q", path, first)
		}
	}
}

// checkStart looks at the words that go doc expects.
func checkStart(t *testing.T, path string, f *ast.File) {
	t.Helper()
	want := "Package " + f.Name.Name + " "
	if f.Name.Name == "main" {
		want = "Command " + filepath.Base(path) + " "
	}
	if text := f.Doc.Text(); text != "" && !strings.HasPrefix(text, want) {
		t.Errorf("%s: the package's comment begins %.30q, not %q", path, text, want)
	}
}

func TestFiles(t *testing.T) {
	vague := []string{"util", "utils", "common", "types", "helper", "helpers", "models", "pkg", "misc", "lib", "base"}
	seen := 0
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (path != "." && strings.HasPrefix(e.Name(), ".") || path == "bin" || e.Name() == "testdata"):
			return fs.SkipDir
		case e.IsDir() && slices.Contains(vague, e.Name()), slices.Contains(vague, strings.TrimSuffix(e.Name(), ".go")):
			t.Errorf("%s: the name says nothing of what is in it", path)
			return nil
		case e.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		if f, err := parser.ParseFile(token.NewFileSet(), path, data, parser.SkipObjectResolution); err == nil {
			checkCalls(t, path, f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Errorf("only %d files seen", seen)
	}
}

// heaviest is how many bytes a file of the repository may have: it is text, and no program that was built in its folder.
const heaviest = 256 << 10

func TestTrackedFilesAreSmall(t *testing.T) {
	if _, err := os.Stat(".git"); err != nil {
		return // a copy of the source without its history tracks nothing
	}
	out, err := exec.CommandContext(t.Context(), "git", "-c", "safe.directory=*", "ls-files", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		switch info, err := os.Lstat(path); {
		case errors.Is(err, fs.ErrNotExist): // deleted, and not yet committed
		case err != nil:
			t.Error(err)
		case info.Size() > heaviest:
			t.Errorf("%s has %d bytes, more than %d: was it meant to be committed?", path, info.Size(), heaviest)
		}
	}
}

// checkCalls looks for tests that skip: one that cannot run everywhere shows nothing anywhere. Skip of a *rapid.T only
// draws again.
func checkCalls(t *testing.T, path string, n ast.Node, names ...string) {
	t.Helper()
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Body != nil {
				checkCalls(t, path, n.Body, testers(n.Type, names)...)
			}
			return false
		case *ast.FuncLit:
			checkCalls(t, path, n.Body, testers(n.Type, names)...)
			return false
		case *ast.CallExpr:
			s, ok := n.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, s.Sel.Name) {
				return true
			}
			if on, ok := s.X.(*ast.Ident); ok && slices.Contains(names, on.Name) {
				t.Errorf("%s: a test that skips itself (%s)", path, s.Sel.Name)
			}
		}
		return true
	})
}

// testers returns the names by which a function knows package testing's T, F or TB, given those of the function around
// it. A benchmark may skip: it shows nothing to be relied on.
func testers(f *ast.FuncType, outer []string) []string {
	names := slices.Clone(outer)
	for _, p := range f.Params.List {
		typ := p.Type
		if star, ok := typ.(*ast.StarExpr); ok {
			typ = star.X
		}
		from := (*ast.Ident)(nil)
		if s, ok := typ.(*ast.SelectorExpr); ok && s.Sel.Name != "B" {
			from, _ = s.X.(*ast.Ident)
		}
		for _, name := range p.Names {
			names = slices.DeleteFunc(names, func(n string) bool { return n == name.Name })
			if from != nil && from.Name == "testing" {
				names = append(names, name.Name)
			}
		}
	}
	return names
}
