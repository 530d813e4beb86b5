package rest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/rest"
)

// goldenCall is the call of the recorded cases, as entry.yaml has it.
const goldenCall = `use: %s
%sstatus: Callback
call:
  id: cal_Golden1
  phone: "+919876543210"
  name: Priya Sharma
  direction: outbound
  status: completed
  disposition: callback_requested
  language: hi-IN
  summary: Asks for a call tomorrow.
  started_at: 2026-11-23T10:00:00Z
  ended_at: 2026-11-23T10:01:33Z
  duration: 93
task: {title: Call back Priya Sharma, due: 2026-11-24T04:30:00Z}
`

// recorder notes what a fake answers, as the answers of a case have it, and misbehaves at one request.
type recorder struct {
	fake     http.Handler
	hide     *strings.Replacer
	fault    string // LOST, CUT, or a status with a body
	at       func(method, path string) bool
	answers  strings.Builder
	faulty   bool
	requests int
}

func (r *recorder) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	req.Body = io.NopCloser(bytes.NewReader(body))
	line := r.hide.Replace(req.Method + " " + req.URL.Path)
	r.requests++
	broken := !r.faulty && r.fault != "" && r.at(req.Method, req.URL.Path)
	if broken {
		r.faulty = true
		if status, text, ok := strings.Cut(r.fault, " "); ok && status != "CUT" {
			fmt.Fprintf(&r.answers, "%s -> %s\n", line, r.fault)
			code := 0
			_, _ = fmt.Sscan(status, &code)
			if wait, rest, ok := strings.Cut(strings.TrimPrefix(text, "Retry-After: "), " "); strings.HasPrefix(text, "Retry-After") {
				rw.Header().Set("Retry-After", wait)
				if text = rest; !ok {
					text = ""
				}
			}
			rw.WriteHeader(code)
			_, _ = io.WriteString(rw, text)
			return
		}
	}
	got := httptest.NewRecorder()
	r.fake.ServeHTTP(got, req)
	said := strings.TrimSpace(r.hide.Replace(got.Body.String()))
	switch {
	case broken && r.fault == "LOST":
		fmt.Fprintf(&r.answers, "%s -> LOST\n", line)
		panic(http.ErrAbortHandler)
	case broken:
		fmt.Fprintf(&r.answers, "%s -> CUT %d %s\n", line, got.Code, said[:len(said)/2])
		rw.Header().Set("Content-Length", fmt.Sprint(len(said)+100))
		rw.WriteHeader(got.Code)
		_, _ = io.WriteString(rw, said[:len(said)/2])
		_ = http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(&r.answers, "%s -> %d %s\n", line, got.Code, said)
	rw.WriteHeader(got.Code)
	_, _ = rw.Write(got.Body.Bytes())
}

// recorded are the cases that are recorded: how many contacts there are, and what goes wrong at which request.
var recorded = map[string]struct {
	contacts int
	fault    string
	at       string // a name of recorder.create, or empty: the first request
}{
	"found": {1, "", ""}, "none": {0, "", ""}, "many": {2, "", ""}, "lost": {1, "LOST", "create"}, "cut": {1, "CUT ", "create"},
	"refused": {1, "401 {}", ""}, "throttled": {1, "429 Retry-After: 7", ""}, "down": {1, "503 down", ""},
}

// record makes a case of what the fake of an embedded recipe answers. create tells the request that creates the call.
func record(t *testing.T, name, which string, create func(method, path string) bool) []byte {
	t.Helper()
	x, c := systems[name], recorded[which]
	f := x.fresh()
	var d crmtest.Destination
	f.destination(&d)
	for i := range c.contacts {
		d.AddContact(t, crmtest.Contact{Phone: "+919876543210", Name: fmt.Sprint("Priya ", i), Status: "New"})
	}
	var pairs []string
	for k, v := range x.secrets {
		if strings.HasPrefix(v, "5ecret-") {
			pairs = append(pairs, v, "secret-"+k)
		}
	}
	r := &recorder{fake: f, hide: strings.NewReplacer(pairs...), fault: c.fault, at: func(string, string) bool { return true }}
	if c.at == "create" {
		r.at = create
	}
	if c.fault == "CUT " {
		r.fault = "CUT"
	}
	server := httptest.NewUnstartedServer(r)
	server.Config.SetKeepAlivesEnabled(false)
	server.Start()
	defer server.Close()
	cfg := config(name, server.URL)
	w, err := rest.New(cfg, crm.Settings{Region: "IN", Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	rest.Impatient(w)
	vars := ""
	for k, v := range x.vars {
		vars += fmt.Sprintf("%s: %q, ", k, v)
	}
	if vars != "" {
		vars = "vars: {" + strings.TrimSuffix(vars, ", ") + "}\n"
	}
	e := crm.Entry{
		Event: crm.CallCompleted, Key: "golden", Revision: 1, Status: "Callback", SetStatus: true, Task: &crm.Task{Title: "Call back Priya Sharma", Due: at("2026-11-24T04:30:00Z")},
		Call: crm.Call{
			ID: "cal_Golden1", Contact: crm.Contact{Phone: "+919876543210", E164: "+919876543210", National: "9876543210", Name: "Priya Sharma"}, Direction: "outbound", Status: "completed",
			Disposition: "callback_requested", RawDisposition: "callback_requested", Language: "hi-IN", Summary: "Asks for a call tomorrow.",
			StartedAt: at("2026-11-23T10:00:00Z"), EndedAt: at("2026-11-23T10:01:33Z"), Duration: new(93.0),
		},
	}
	var refs crm.Refs
	for e.Attempt = 1; e.Attempt < 5; e.Attempt++ {
		p := crm.NewProgress(refs, nil)
		err := w.Write(t.Context(), e, p)
		refs = p.Refs
		if v := crm.VerdictOf(err); v != crm.Retry && v != crm.Throttle && v != crm.Postpone {
			break
		}
	}
	return fmt.Appendf(nil, "-- entry.yaml --\n"+goldenCall+"-- answers --\n%s", name, vars, r.answers.String())
}

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}
