package httpx

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

func TestSend(t *testing.T) {
	c := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(rw, "%s %s %s %s %s %s", r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("Content-Type"), r.Header.Get("Accept"), body)
	}, Config{})
	for want, r := range map[string]Request{
		"GET /a/b%2Fc q=%2B1  application/json ":                          {Method: "GET", Path: "/a/" + url.PathEscape("b/c"), Query: url.Values{"q": {"+1"}}},
		`POST /a  application/json application/json {"x":1}`:              {Method: "POST", Path: "a", Body: map[string]int{"x": 1}},
		"POST /a  application/x-www-form-urlencoded application/json x=1": {Method: "POST", Path: "a", Body: url.Values{"x": {"1"}}},
		`POST /a  text/x text/y "x"`:                                      {Method: "POST", Path: "a", Body: "x", Header: http.Header{"Content-Type": {"text/x"}, "Accept": {"text/y"}}},
	} {
		answer, err := c.Send(t.Context(), r)
		if err != nil || string(answer.Body) != want {
			t.Errorf("got %q, want %q: %v", answer.Body, want, err)
		}
	}
	if _, err := c.Send(t.Context(), Request{Method: "POST", Path: "a", Body: func() {}, Shape: "POST a {f}"}); crm.VerdictOf(err) != crm.Reject || crm.Request(err) != "POST a {f}" {
		t.Errorf("what cannot be encoded: %v", err)
	}
	if _, err := c.Send(t.Context(), Request{Method: "A METHOD"}); crm.VerdictOf(err) != crm.Halt || strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("what is no request: %v", err)
	}
}

func TestRefused(t *testing.T) {
	err := fmt.Errorf("write: %w", &Refused{Err: crm.Rejected(errors.New("no"), "POST a"), Status: 400, Code: "BAD"})
	if crm.VerdictOf(err) != crm.Reject || StatusOf(err) != 400 || RefusedBy(err).Code != "BAD" || StatusOf(nil) != 0 {
		t.Errorf("%v", err)
	}
	more := Explain(RefusedBy(err), "it takes A, B")
	if more.Error() != "no; it takes A, B" || StatusOf(more) != 400 || crm.Request(more) != "POST a" {
		t.Errorf("%v", more)
	}
	if got := Names(map[string]int{"b": 1, "a": 2}) + Names(map[string]int{}); got != " {a, b}" {
		t.Errorf("%q", got)
	}
}
