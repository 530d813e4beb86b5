package rest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm/rest"
)

// fences are the examples of a page.
var fences = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```")

// TestPage takes the recipe and the case of docs/recipes.md, and looks there for every key, value and function.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	seen := 0
	for _, m := range fences.FindAllStringSubmatch(string(page), -1) {
		if strings.HasPrefix(m[2], "recipe: 1") {
			seen++
			if err := os.WriteFile(filepath.Join(dir, "ours.yaml"), []byte(m[2]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if strings.HasPrefix(m[2], "-- entry.yaml --") {
			seen++
			got, err := rest.Golden(t.Context(), dir, []byte(m[2]), true)
			if err != nil || !strings.Contains(string(got), "delivered\nref activity=12\nref contact=7\n") {
				t.Errorf("%v\n%s", err, got)
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d examples", seen)
	}
	for _, name := range append(rest.Names(), rest.Keys()...) {
		last := name[strings.LastIndexByte(name, '.')+1:]
		if !regexp.MustCompile("[`{ .:]" + last + "[`:, }(\\n]").Match(page) {
			t.Errorf("the page does not tell of %s", name)
		}
	}
	for _, name := range rest.Embedded() {
		about, err := os.ReadFile("../../docs/crm/" + name + ".md")
		if err != nil || !strings.Contains(string(about), "use: "+name) || !strings.Contains(string(page), "(crm/"+name+".md)") {
			t.Errorf("%s has no page, or recipes.md does not name it: %v", name, err)
		}
	}
}
