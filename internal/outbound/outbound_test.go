package outbound

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func parse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestOtherOriginsAreRefused(t *testing.T) {
	tr, err := New(parse(t, "https://api.example/v1"), Settings{})
	if err != nil {
		t.Fatal(err)
	}
	for raw, ours := range map[string]bool{
		"https://api.example/v2?x":   true,
		"https://API.example:443/":   true,
		"http://api.example/v1":      false,
		"https://api.example:444/":   false,
		"https://api.example.evil/":  false,
		"https://evil.example/v1":    false,
		"https:api.example/v1":       false,
		"https://api.example@evil/":  false,
		"https://user@api.example/x": true,
	} {
		if err := tr.Allow(parse(t, raw)); (err == nil) != ours {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestRequestsToOtherOriginsAreNotSent(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request came") }))
	defer other.Close()
	var leads string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, leads, http.StatusTemporaryRedirect) }))
	defer s.Close()
	leads = other.URL
	tr, err := New(parse(t, s.URL), Settings{Proxy: Direct})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.CloseIdleConnections()
	c := Client(tr, 0)
	for _, to := range []string{s.URL, other.URL} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(req)
		if (err == nil) != (to == s.URL) || err == nil && res.StatusCode != http.StatusTemporaryRedirect {
			t.Errorf("%s: %v", to, err)
		}
		if err == nil {
			_ = res.Body.Close()
		}
	}
}

func TestSecretsOfURLs(t *testing.T) {
	tr, err := New(parse(t, "https://api.example/hooks/T0123456789ABCDEF?token=abcd"), Settings{Proxy: "http://me:pass@proxy:3128"})
	if err != nil {
		t.Fatal(err)
	}
	got := tr.Secrets()
	for _, want := range []string{"T0123456789ABCDEF", "abcd", "pass", "bWU6cGFzcw=="} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not in %q", want, got)
		}
	}
}
