package rest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/tools/txtar"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/number"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// mostAttempts is how often a case writes its entry at most.
const mostAttempts = 6

// goldenEntry is the file entry.yaml of a case.
type goldenEntry struct {
	Use       string            `yaml:"use"`
	File      string            `yaml:"file"` // beside the case
	Vars      map[string]string `yaml:"vars"`
	Owner     string            `yaml:"owner"`
	OnMany    string            `yaml:"on_many"`
	OnMissing string            `yaml:"on_missing"`
	Refs      crm.Refs          `yaml:"refs"` // of what was written before

	Event     crm.Event `yaml:"event"`
	Status    string    `yaml:"status"`
	DoNotCall bool      `yaml:"do_not_call"`
	Call      struct {
		ID          string    `yaml:"id"`
		Phone       string    `yaml:"phone"`
		Name        string    `yaml:"name"`
		Campaign    string    `yaml:"campaign"`
		Direction   string    `yaml:"direction"`
		Status      string    `yaml:"status"`
		Disposition string    `yaml:"disposition"`
		Language    string    `yaml:"language"`
		Summary     string    `yaml:"summary"`
		StartedAt   time.Time `yaml:"started_at"`
		EndedAt     time.Time `yaml:"ended_at"`
		Duration    *float64  `yaml:"duration"`
	} `yaml:"call"`
	Task *struct {
		Title string    `yaml:"title"`
		Due   time.Time `yaml:"due"`
		Owner string    `yaml:"owner"`
	} `yaml:"task"`
	Transcript *struct {
		Text     string `yaml:"text"`
		Language string `yaml:"language"`
	} `yaml:"transcript"`
}

// entry returns what is written.
func (g *goldenEntry) entry() crm.Entry {
	c := &g.Call
	e := crm.Entry{
		Event: g.Event, Key: "golden", Revision: 1, Attempt: 1, Status: g.Status, SetStatus: g.Status != "", DoNotCall: g.DoNotCall,
		Call: crm.Call{
			ID: c.ID, Campaign: c.Campaign, Contact: crm.Contact{Phone: c.Phone, Name: c.Name}, Direction: c.Direction, Status: c.Status, Disposition: c.Disposition, RawDisposition: c.Disposition,
			Language: c.Language, Summary: c.Summary, StartedAt: c.StartedAt, EndedAt: c.EndedAt, Duration: c.Duration,
		},
	}
	if e.Event == "" {
		e.Event = crm.CallCompleted
	}
	n := number.Parse(c.Phone, "IN")
	e.Call.Contact.E164, e.Call.Contact.National = n.E164, n.National
	if t := g.Task; t != nil {
		e.Task = &crm.Task{Title: t.Title, Due: t.Due, Owner: t.Owner}
	}
	if t := g.Transcript; t != nil {
		e.Transcript = &crm.Transcript{Text: t.Text, Language: t.Language}
		e.Event = crm.TranscriptReady
	}
	return e
}

// Golden runs one case of a recipe: a txtar file with an entry, the answers that the system gives to it, and what is expected: the requests and the
// outcome. dir is that of the case's file. It returns the case as it turned out, and an error if that is not what was expected; with update it is expected.
func Golden(ctx context.Context, dir string, text []byte, update bool) ([]byte, error) {
	archive := txtar.Parse(text)
	files := map[string]string{}
	for _, f := range archive.Files {
		files[f.Name] = string(f.Data)
	}
	var g goldenEntry
	dec := yaml.NewDecoder(strings.NewReader(files["entry.yaml"]))
	dec.KnownFields(true)
	if err := dec.Decode(&g); err != nil {
		return nil, fmt.Errorf("entry.yaml: %w", err)
	}
	script, err := newScript(files["answers"])
	if err != nil {
		return nil, err
	}
	outcome, err := g.run(ctx, dir, script)
	if err != nil {
		return nil, err
	}
	got := map[string]string{"requests": script.requests.String(), "outcome": outcome}
	var faults []error
	for _, name := range []string{"requests", "outcome"} {
		if files[name] != got[name] && !update {
			faults = append(faults, fmt.Errorf("%s: got\n%swant\n%s", name, got[name], files[name]))
		}
		if _, there := files[name]; !there {
			archive.Files = append(archive.Files, txtar.File{Name: name})
		}
	}
	for i, f := range archive.Files {
		if v, ok := got[f.Name]; ok {
			archive.Files[i].Data = []byte(v)
		}
	}
	return txtar.Format(archive), errors.Join(faults...)
}

// run writes the entry until it is settled or no answers are left.
func (g *goldenEntry) run(ctx context.Context, dir string, script *script) (string, error) {
	server := httptest.NewUnstartedServer(script)
	server.Config.SetKeepAlivesEnabled(false) // a transport repeats reads on a connection that was kept
	server.Start()
	defer server.Close()
	cfg := Config{Use: g.Use, File: g.File, URL: server.URL, Vars: g.Vars, Secrets: map[string]secret.Text{}}
	if g.File != "" {
		cfg.File = filepath.Join(dir, g.File)
	}
	recipe, err := cfg.Recipe()
	if err != nil {
		return "", err
	}
	for name := range recipe.uses {
		cfg.Secrets[name] = secret.New("secret-" + name)
	}
	w, err := New(cfg, crm.Settings{Owner: g.Owner, OnMany: g.OnMany, OnMissing: g.OnMissing, Region: "IN", Workers: 1})
	if err != nil {
		return "", err
	}
	defer func() { _ = w.Close() }()
	hostless := func(s string) string { return strings.ReplaceAll(s, strings.TrimPrefix(server.URL, "http://"), "HOST") }
	var out strings.Builder
	refs, e := g.Refs, g.entry()
	for ; e.Attempt <= mostAttempts; e.Attempt++ {
		p := crm.NewProgress(refs, nil)
		err := w.Write(ctx, e, p)
		fmt.Fprintf(&out, "attempt %d: %s", e.Attempt, crm.VerdictOf(err))
		if wait := crm.Wait(err); wait > 0 {
			fmt.Fprintf(&out, ", in %s", wait.Round(time.Second))
		}
		if err != nil {
			fmt.Fprintf(&out, ": %s", hostless(err.Error()))
		}
		out.WriteByte('\n')
		for _, said := range p.Warnings {
			fmt.Fprintf(&out, "warning: %s\n", hostless(said))
		}
		refs = p.Refs
		v := crm.VerdictOf(err)
		if v != crm.Retry && v != crm.Throttle && v != crm.Postpone || script.left() == 0 {
			break
		}
		for name := range refs { // as if the time that a request may linger were over
			if strings.HasSuffix(name, ".sent") {
				refs[name] = "2026-01-01T00:00:00Z"
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(refs)) {
		if !strings.HasSuffix(name, ".sum") && !strings.HasSuffix(name, ".sent") && !strings.HasSuffix(name, ".tried") {
			fmt.Fprintf(&out, "ref %s=%s\n", name, refs[name])
		}
	}
	if script.fault != nil {
		return "", fmt.Errorf("%w\nso far:\n%s%s", script.fault, script.requests.String(), out.String())
	}
	if n := script.left(); n > 0 {
		return "", fmt.Errorf("%d answers are left, from %q on\nso far:\n%s%s", n, script.answers[script.next].request, script.requests.String(), out.String())
	}
	return out.String(), nil
}

// script is a server that answers what a case says.
type script struct {
	mu       sync.Mutex
	answers  []scripted
	next     int
	requests strings.Builder
	fault    error
}

// scripted is one answer: "POST /path -> 200 {…}", "… -> 429 Retry-After: 7 {…}", "… -> LOST" for one that never comes, "… -> CUT 200 {…" for one that ends
// in the middle.
type scripted struct {
	request   string
	status    int
	header    http.Header
	body      string
	lost, cut bool
}

func newScript(text string) (*script, error) {
	s := &script{}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		request, said, ok := strings.Cut(line, " -> ")
		if !ok {
			return nil, fmt.Errorf("answers: line %d is no answer: write POST /path -> 200 {\"id\": 1}, or -> LOST, or -> CUT 200 {\"id", i+1)
		}
		a := scripted{request: request, header: http.Header{}}
		if a.lost = said == "LOST"; !a.lost {
			said, a.cut = strings.CutPrefix(said, "CUT ")
			status, rest, _ := strings.Cut(said, " ")
			var err error
			if a.status, err = strconv.Atoi(status); err != nil || a.status < 200 || a.status > 599 {
				return nil, fmt.Errorf("answers: line %d: %q is not a status", i+1, status)
			}
			if seconds, ok := strings.CutPrefix(rest, "Retry-After: "); ok {
				seconds, rest, _ = strings.Cut(seconds, " ")
				a.header.Set("Retry-After", seconds)
			}
			a.body = rest
		}
		s.answers = append(s.answers, a)
	}
	return s, nil
}

func (s *script) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.answers) - s.next
}

func (s *script) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	s.note(r, body)
	got := r.Method + " " + r.URL.Path
	if s.next == len(s.answers) || s.answers[s.next].request != got {
		want := "no more"
		if s.next < len(s.answers) {
			want = s.answers[s.next].request
		}
		if s.fault == nil {
			s.fault = fmt.Errorf("request %d is %s, and the answers have %s", s.next+1, got, want)
		}
		rw.WriteHeader(http.StatusTeapot)
		return
	}
	a := s.answers[s.next]
	s.next++
	if a.lost {
		panic(http.ErrAbortHandler) // closes the connection
	}
	maps.Copy(rw.Header(), a.header)
	if a.cut {
		rw.Header().Set("Content-Length", strconv.Itoa(len(a.body)+100))
	}
	rw.WriteHeader(a.status)
	_, _ = io.WriteString(rw, a.body)
	if a.cut {
		_ = http.NewResponseController(rw).Flush()
		panic(http.ErrAbortHandler)
	}
}

// note writes a request down as cases have it.
func (s *script) note(r *http.Request, body []byte) {
	at := r.URL.Path
	if q, err := url.QueryUnescape(r.URL.RawQuery); err == nil && q != "" {
		at += "?" + q
	}
	fmt.Fprintf(&s.requests, "%s %s\n", r.Method, at)
	if key := r.Header.Get("Idempotency-Key"); key != "" {
		fmt.Fprintf(&s.requests, "Idempotency-Key: %s\n", key)
	}
	if len(body) > 0 {
		if strings.Contains(r.Header.Get("Content-Type"), "form") {
			if plain, err := url.QueryUnescape(string(body)); err == nil {
				body = []byte(plain)
			}
		}
		fmt.Fprintf(&s.requests, "%s\n", bytes.TrimSpace(body))
	}
}
