package rest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/rest"
)

// TestGolden runs the cases of every embedded recipe. With -update one that is missing is recorded from the fake.
func TestGolden(t *testing.T) {
	for name, x := range systems {
		for which := range recorded {
			t.Run(name+"/"+which, func(t *testing.T) {
				dir := filepath.Join("testdata", name)
				file := filepath.Join(dir, which+".txtar")
				text, err := os.ReadFile(file)
				if err != nil {
					text = record(t, name, which, func(method, path string) bool { return method != "GET" && strings.Contains(path, x.create) })
					if err := os.MkdirAll(dir, 0o750); err != nil {
						t.Fatal(err)
					}
				}
				got, err := rest.Golden(t.Context(), dir, text, true)
				if err != nil {
					t.Fatal(err)
				}
				crmtest.Golden(t, file, got)
				if bytes.Contains(got, []byte("5ecret-")) {
					t.Error("a secret of the fake is in the case")
				}
			})
		}
	}
}

func TestGoldenSaysWhatIsWrong(t *testing.T) {
	text, err := os.ReadFile("testdata/lms/found.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for want, edit := range map[string][2]string{
		"entry.yaml: yaml":               {"call:", "cal:"},
		"answers: line 1 is no answer":   {"POST /oauth2/token -> ", "POST /oauth2/token "},
		"request 2 is POST":              {"POST /v2/borrowers/search ->", "POST /v2/search ->"},
		"requests: got":                  {"\"pageSize\"", "\"page\""},
		"1 answers are left, from \"GET": {"-- requests --", "GET /more -> LOST\n-- requests --"},
	} {
		changed := strings.Replace(string(text), edit[0], edit[1], 1)
		if _, err := rest.Golden(t.Context(), "testdata/lms", []byte(changed), false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := rest.Golden(t.Context(), "testdata/lms", text, false); err != nil {
		t.Errorf("as it is: %v", err)
	}
}
