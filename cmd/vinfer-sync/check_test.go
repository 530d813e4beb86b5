package main

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// TestCheckSaysWhatToDo meets the program with every fault that can be made here: the line that fails ends with what mends it.
func TestCheckSaysWhatToDo(t *testing.T) {
	t.Parallel()
	serve := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	answer := func(status int, kind, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	secure := httptest.NewUnstartedServer(answer(200, "application/json", `{"data": []}`))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that are to fail
	secure.StartTLS()
	t.Cleanup(secure.Close)
	page := serve(answer(200, "text/html", "<html>log in</html>"))
	locked := serve(answer(http.StatusProxyAuthRequired, "text/plain", "who are you?"))
	late := serve(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"data": [], "total": 0, "limit": 1, "offset": 0}`)
	})
	moved := serve(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://elsewhere.example/v1", http.StatusMovedPermanently)
	})
	const right = "vinfer: {base_url: '${API}', api_key: right}"
	vinfer := func(url, more string) string {
		return "vinfer: {base_url: '" + url + "/v1', api_key: right" + more + "}"
	}
	for _, x := range []struct {
		name, config string
		code         int
		want         []string // of lines that fail: regular expressions
	}{
		{"a file that is none", right + "\ncrm: [{name: a, jsonl: {path: /dev/null}}]", exitLeft, []string{"a +file .*/dev/null is not a regular file: set another path"}},
		{"a link to nowhere", right + "\ncrm: [{name: a, jsonl: {path: /proc/self/fd/none/x}}]", exitLeft, []string{"a +file .*no such file"}},
		{"a wrong key", "vinfer: {base_url: '${API}', api_key: wrong}", exitRefused, []string{"vinfer +key .*put a valid one where vinfer.api_key says.*; a Read-Only key is enough"}},
		{"forbidden", vinfer(serve(answer(403, "text/html", "no")), ""), exitRefused, []string{"vinfer +key .*; or a proxy or firewall on the way forbids it"}},
		{"no such name", vinfer("http://api.nowhere.invalid", ""), exitUnreachable, []string{"vinfer +connection .*; the name is not known here: see its spelling in vinfer.base_url"}},
		{"nobody there", vinfer("http://127.0.0.1:1", ""), exitUnreachable, []string{"vinfer +connection .*; nothing listens there: see host and port in vinfer.base_url.*vinfer.proxy"}},
		{"an unknown authority", vinfer(secure.URL, ""), exitUnreachable, []string{"vinfer +connection .*; set vinfer.ca_file to a file with the root"}},
		{"no TLS", vinfer(strings.Replace(page, "http:", "https:", 1), ""), exitUnreachable, []string{"vinfer +connection .*; what listens there speaks no TLS"}},
		{"no proxy", vinfer("https://api.vinfer.ai", ", proxy: 'http://127.0.0.1:1'"), exitUnreachable, []string{"vinfer +connection .*; the proxy does not let it through: see vinfer.proxy, or HTTPS_PROXY"}},
		{"a proxy that wants a password", vinfer("https://api.vinfer.ai", ", proxy: '"+locked+"'"), exitUnreachable, []string{"vinfer +connection .*; the proxy wants a user and password"}},
		{"a login page", vinfer(page, ""), exitUnreachable, []string{"vinfer +connection .*; VInfer did not answer this"}},
		{"another path", "vinfer: {base_url: '${API}/v2/v1', api_key: right}", exitUnreachable, []string{"vinfer +connection .*; see the path in vinfer.base_url"}},
		{"a redirect", vinfer(moved, ""), exitUnreachable, []string{"vinfer +connection .*(write the final address|VInfer did not answer this)"}},
		{"a clock that is off", vinfer(late, ""), exitLeft, []string{"vinfer +clock .*; set it, with chrony"}},
		{"a directory that cannot be made", right + "\nstore: {bbolt: {path: config.yaml/state.db}}\ncrm: [{name: a, jsonl: {path: a}}]", exitLeft, []string{"store +state file .*; a file is in the way of that directory"}},
		{"a damaged state file", right + "\nstore: {bbolt: {path: config.yaml}}\ncrm: [{name: a, jsonl: {path: a}}]", exitLeft, []string{"store +state file .*; see docs/OPERATIONS.md, Repair"}},
		{
			"two destinations, one fine", right + "\ncrm: [{name: fine, jsonl: {path: a}}, {name: sick, webhook: {url: 'http://127.0.0.1:1/x'}}]", exitUnreachable,
			[]string{"sick +connection .*; nothing listens there: see host and port in the destination's url"},
		},
		{
			"files", right + "\ncrm: [{name: a, sqlite: {path: no/such/crm.db}}, {name: b, jsonl: {path: no/such/file}}, {name: c, jsonl: {path: .}}, {name: d, exec: {command: [/no/such]}}, {name: e, exec: {command: [/bin/sh, /no/such.py]}}]", exitLeft,
			[]string{"a +file .*; make the directory", "b +file .*; make it, or name another", "c +file .*; name a file in it", "d +program .*; install it", "e +script .*; make it, or name another"},
		},
		{
			"every CRM, nobody there", right + `
crm:
- {name: odoo, odoo: {url: 'http://127.0.0.1:1', api_key: x}}
- {name: suite, suitecrm: {url: 'http://127.0.0.1:1', client_id: a, client_secret: x}}
- {name: espo, espocrm: {url: 'http://127.0.0.1:1', api_key: x}}
- {name: sf, salesforce: {url: 'http://127.0.0.1:1', client_id: a, client_secret: x}}
- {name: hub, hubspot: {base_url: 'http://127.0.0.1:1', access_token: x}}
- {name: zoho, zoho: {accounts_url: 'http://127.0.0.1:1', api_url: 'http://127.0.0.1:1', client_id: a, client_secret: x, refresh_token: y}}
- {name: lsq, leadsquared: {url: 'http://127.0.0.1:1', access_key: x, secret_key: y}}
- {name: any, rest: {use: lms, url: 'http://127.0.0.1:1', secrets: {client_id: x, client_secret: y}}}
- {name: pg, postgres: {dsn: 'postgres://u:p@127.0.0.1:1/crm'}}
- {name: my, mysql: {dsn: 'u:p@tcp(127.0.0.1:1)/crm'}}
- {name: far, proxy: 'http://127.0.0.1:1', odoo: {url: 'https://odoo.example', api_key: x}}`, exitUnreachable,
			[]string{
				"odoo .*; nothing listens there", "suite .*; nothing listens", "espo .*; nothing listens", "sf .*; nothing listens", "hub .*; nothing listens", "zoho .*; nothing listens",
				"lsq .*; nothing listens", "any .*; nothing listens", "pg .*; nothing listens there: see host and port in the dsn, and whether it runs$", "my .*; nothing listens .*dsn", "far .*proxy",
			},
		},
		{
			"every CRM, the key refused", right + `
crm:
- {name: odoo, odoo: {url: '${API}', api_key: x}}
- {name: suite, suitecrm: {url: '${API}', client_id: a, client_secret: x}}
- {name: espo, espocrm: {url: '${API}', api_key: x}}
- {name: hub, hubspot: {base_url: '${API}', access_token: x}}
- {name: zoho, zoho: {accounts_url: '${API}', api_url: '${API}', client_id: a, client_secret: x, refresh_token: y}}
- {name: lsq, leadsquared: {url: '${API}', access_key: x, secret_key: y}}
- {name: any, rest: {use: lms, url: '${API}', secrets: {client_id: x, client_secret: y}}}`, exitRefused,
			[]string{
				"odoo .*docs/crm/odoo.md", "suite .*docs/crm/suitecrm.md", "espo .*; copy the API key", "hub .*; copy the service key", "zoho .*docs/crm/zoho.md", "lsq .*; copy the keys", "any .*; the client needs the scopes",
			},
		},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simulator.Options{Key: "right", Calls: 3, LimitPerMinute: -1})
			text := x.config + "\nadmin: {socket: admin.sock, listen: ''}\n"
			if !strings.Contains(text, "store:") {
				text += "store: {bbolt: {path: state.db}}\n"
			}
			w.write("config.yaml", text)
			r := w.must(x.code, "check")
			var failing []string
			for l := range strings.Lines(r.stdout) {
				if strings.HasPrefix(l, "FAILS") {
					failing = append(failing, strings.TrimSpace(l))
				}
			}
			if len(failing) != len(x.want) {
				t.Errorf("%d lines fail, not %d", len(failing), len(x.want))
			}
			for i, want := range x.want {
				if i < len(failing) && !regexp.MustCompile("^FAILS +"+want).MatchString(failing[i]) {
					t.Errorf("it does not match %q", want)
				}
			}
			if t.Failed() {
				t.Logf("\n%s%s", r.stdout, r.stderr)
			}
		})
	}
}

func TestCheckTellsOfAServerWithoutPages(t *testing.T) {
	t.Parallel()
	for _, noPaging := range []bool{true, false} {
		w := newWorld(t, simulator.Options{Key: "right", Calls: 3, LimitPerMinute: -1, Strict: true, NoPaging: noPaging})
		w.write("config.yaml", "vinfer: {base_url: '${API}', api_key: right}\nadmin: {socket: admin.sock, listen: ''}\nstore: {bbolt: {path: state.db}}\n")
		r := w.must(exitFine, "check")
		if strings.Contains(r.stdout, "limit and offset are refused") != noPaging {
			t.Errorf("no paging %v:\n%s", noPaging, r.stdout)
		}
	}
}

// TestRemedy looks at errors that cannot be made everywhere.
func TestRemedy(t *testing.T) {
	t.Parallel()
	at := site{url: "the url", proxy: "the proxy", ca: "the ca"}
	for text, want := range map[string]string{
		"tls: failed to verify certificate: x509: certificate is valid for a.example, not b.example": "write the name that the certificate is for into the url",
		"x509: certificate has expired or is not yet valid: current time 2026":                       "set this machine's clock",
		"dial tcp: lookup crm.example on 127.0.0.53:53: read udp: connection refused":                "the name is not known here",
		"dial tcp 192.0.2.1:443: connect: no route to host":                                          "name the proxy: the proxy",
		"crm.example: no answer within 30s":                                                          "let the firewall pass it, or name the proxy: the proxy",
		"crm.example: the connection was closed without an answer":                                   "something on the way ended it",
		"open /x: permission denied":                                                                 "let the service's user",
		"open /x: read-only file system":                                                             "ReadWritePaths=",
		"write /x: no space left on device":                                                          "make room",
		"crm.example answers 503 Service Unavailable":                                                "the fault is over there",
		"crm.example answers 429 Too Many Requests":                                                  "check again in a minute",
	} {
		if got := remedy(errors.New(text), at); !strings.Contains(got, want) || strings.ContainsAny(got, "[]{}") {
			t.Errorf("%s: %s", text, got)
		}
	}
	at.proxy = ""
	if got := remedy(errors.New("connection refused"), at); got != "nothing listens there: see host and port in the url, and whether it runs" {
		t.Error(got)
	}
	if got := remedy(errors.New("/srv/vs1279040754/429 a: cannot be written to: not a directory"), at); !strings.HasPrefix(got, "a file is in the way") {
		t.Error(got)
	}
	if got := remedy(errors.New("the stage is unknown"), at); got != "" {
		t.Error(got)
	}
}
