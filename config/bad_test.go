package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the expected messages anew")

// testEnv is the environment of tests.
func testEnv(name string) (string, bool) {
	v, ok := map[string]string{"VINFER_API_KEY": "key-of-the-environment", "EMPTY": "", "WHO": "team"}[name]
	return v, ok
}

// TestBad loads one small file for each fault and compares what is said about it, to the letter.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	here, err := filepath.Abs("testdata/bad")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(file, data, testEnv)
			var faults Errors
			if !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("taken, or not refused as Errors: %v", err)
			}
			got := strings.ReplaceAll(err.Error(), filepath.Dir(here), "DIR") + "\n"
			got = strings.ReplaceAll(got, "testdata/bad/", "")
			got = strings.ReplaceAll(got, versionKinds(), "this version has KINDS")
			if strings.Contains(got, "do_not_show") || strings.Contains(got, "sk_live") {
				t.Errorf("a secret is shown:\n%s", got)
			}
			if strings.ContainsAny(got, "\x1b\r\t") {
				t.Errorf("control characters are shown: %q", got)
			}
			want := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(want, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			expected, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(expected) {
				t.Errorf("got:\n%swant:\n%s", got, expected)
			}
		})
	}
}

// TestKindsAreToldOf looks for every kind that a destination can have in what is said to who names none.
func TestKindsAreToldOf(t *testing.T) {
	var want []string
	for _, f := range fieldsOf(reflect.TypeFor[Destination]()) {
		if f.typ.Kind() == reflect.Pointer {
			want = append(want, f.key)
		}
	}
	got := kindNames()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || !strings.HasSuffix(versionKinds(), strings.Join(kindNames(), ", ")) {
		t.Errorf("kinds has %q, Destination %q", got, want)
	}
}
