package main

import (
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	secretMark = "zqMARKqz"   // in every secret
	markPhone  = "9812309876" // the contact's national number
)

// marks is what to look for in what the program has written.
type marks struct {
	secrets []string // as they are and as they may be written
	phone   *regexp.Regexp
}

// newMarks looks for every secret with secretMark in it, and for more besides.
func newMarks(more ...string) *marks {
	m := &marks{secrets: append([]string{secretMark, hex.EncodeToString([]byte(secretMark))}, more...)}
	for pad := range 3 { // in Base64 it looks different at each of three places
		text := base64.RawStdEncoding.EncodeToString([]byte("xx"[:pad%3] + secretMark + "xxx"))
		m.secrets = append(m.secrets, text[(pad*8+5)/6:(pad*8+len(secretMark)*8)/6])
	}
	between := `(?:[\s\x{a0}().+-]|%20|\\u00a0){0,4}`
	m.phone = regexp.MustCompile(strings.Join(strings.Split(markPhone, ""), between))
	return m
}

// in returns what is marked in a text.
func (m *marks) in(text string) (found []string) {
	for _, s := range m.secrets {
		if strings.Contains(text, s) {
			found = append(found, s)
		}
	}
	if at := m.phone.FindString(text); at != "" {
		found = append(found, at)
	}
	return found
}

// none fails the test if a text has a mark in it.
func (m *marks) none(t *testing.T, what, text string) {
	t.Helper()
	for _, found := range m.in(text) {
		at := strings.Index(text, found)
		t.Errorf("%s shows %q:\n…%s…", what, found, text[max(at-300, 0):min(at+300, len(text))])
	}
}

// scan looks through every file below dir whose path from there does not begin with one of except.
func (m *marks) scan(t *testing.T, dir string, except ...string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(except, func(x string) bool { return strings.HasPrefix(name, x) }) || !e.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		m.none(t, "the file "+name, string(text))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMarksAreFound(t *testing.T) {
	m := newMarks("of-a-key")
	for _, text := range []string{
		"a " + secretMark, "of-a-key", hex.EncodeToString([]byte("ab" + secretMark)), base64.StdEncoding.EncodeToString([]byte("u:" + secretMark)),
		base64.StdEncoding.EncodeToString([]byte("me:" + secretMark + ".")), base64.URLEncoding.EncodeToString([]byte("abc" + secretMark)),
		"+919812309876", "98123 09876", "(0)98123-09.876", "98123%2009876",
	} {
		if len(m.in(text)) == 0 {
			t.Errorf("not found in %q", text)
		}
	}
	if found := m.in("xxxxxxxx76 [redacted] 98123"); found != nil {
		t.Error(found)
	}
}
