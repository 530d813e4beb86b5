package vinfer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const theKey = "vk_live_do_not_print_me"

func key() (secret.Text, error) { return secret.New(theKey), nil }

func newClient(t *testing.T, base string, change ...func(*vinfer.Config)) *vinfer.Client {
	t.Helper()
	cfg := vinfer.Config{BaseURL: base, Key: key, RetryWait: time.Millisecond, Reserve: 0.1}
	for _, f := range change {
		f(&cfg)
	}
	c, err := vinfer.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// serve is a server that ends with the test.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestNewRefusesAndTells(t *testing.T) {
	for _, tt := range []struct {
		c    vinfer.Config
		want string
	}{
		{vinfer.Config{Key: key}, "base URL"},
		{vinfer.Config{Key: key, BaseURL: "ftp://x"}, "base URL"},
		{vinfer.Config{Key: key, BaseURL: "https://user:hunter2@x/v1"}, "user name or password"},
		{vinfer.Config{Key: key, BaseURL: "https://user:hunter2@x:bad/v1"}, "not a URL"},
		{vinfer.Config{Key: key, BaseURL: "https://x/v1?key=hunter2"}, "query"},
		{vinfer.Config{BaseURL: "https://x/v1"}, "API key"},
		{vinfer.Config{Key: key, BaseURL: "https://x/v1", Proxy: "http://user:hunter2@:bad"}, "proxy"},
		{vinfer.Config{Key: key, BaseURL: "https://x/v1", Proxy: "gopher://user:hunter2@x"}, "gopher"},
		{vinfer.Config{Key: key, BaseURL: "https://x/v1", CAFile: "/nonexistent"}, "ca_file"},
	} {
		_, err := vinfer.New(tt.c)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v: %v", tt.c, err)
		}
	}
}

func TestTheVersionIsNotDoubled(t *testing.T) {
	for base, want := range map[string]string{
		"https://api.vinfer.ai/v1":        "https://api.vinfer.ai/v1",
		"https://api.vinfer.ai/v1/":       "https://api.vinfer.ai/v1",
		"https://api.vinfer.ai/v1/v1/":    "https://api.vinfer.ai/v1",
		"https://API.vinfer.ai":           "https://API.vinfer.ai/v1",
		"http://127.0.0.1:8080":           "http://127.0.0.1:8080",
		" https://proxy.example/vinfer/ ": "https://proxy.example/vinfer",
	} {
		if got := newClient(t, base).TranscriptURL("j/../k"); got != want+"/transcription/j%2F..%2Fk/transcript" {
			t.Errorf("%s: %s", base, got)
		}
	}
}

func TestWhatIsAsked(t *testing.T) {
	var got atomic.Value
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.URL.RequestURI() + " " + r.Header.Get("Authorization") + " " + r.UserAgent())
		_, _ = io.WriteString(w, `{"data":[],"id":"x","text":"hello"}`)
	})
	c := newClient(t, srv.URL+"/v1/", func(c *vinfer.Config) { c.UserAgent = "test/1" })
	since := time.Date(2024, 1, 15, 16, 5, 22, 999, time.FixedZone("IST", 19800))
	for _, tt := range []struct {
		q    vinfer.Query
		want string
	}{
		{vinfer.Query{}, "/v1/calls"},
		{vinfer.Query{Bound: vinfer.After, Since: since, Limit: 100}, "/v1/calls?after=2024-01-15T10%3A35%3A22Z&limit=100"},
		{vinfer.Query{Bound: vinfer.From, Since: since, To: since, Offset: 7, Campaign: "a&b"}, "/v1/calls?campaign_id=a%26b&from=2024-01-15T10%3A35%3A22Z&offset=7&to=2024-01-15T10%3A35%3A23Z"},
	} {
		if _, err := c.Calls(t.Context(), tt.q, vinfer.Live); err != nil {
			t.Fatal(err)
		}
		if want := tt.want + " Bearer " + theKey + " test/1"; got.Load() != want {
			t.Errorf("asked %s\nnot   %s", got.Load(), want)
		}
	}
	got.Store("")
	if _, err := c.Calls(t.Context(), vinfer.Query{Since: since}, vinfer.Live); err == nil || got.Load() != "" {
		t.Errorf("a lower bound without a name was sent as %q: %v", got.Load(), err)
	}
	for id, want := range map[string]string{"a/b c": "/v1/calls/a%2Fb%20c", "..": "/v1/calls/%2E%2E", "?x#y": "/v1/calls/%3Fx%23y"} {
		_, _ = c.Call(t.Context(), id, vinfer.Live) // it is another call that comes back
		if !strings.HasPrefix(got.Load().(string), want+" ") {
			t.Errorf("asked %s for %s", got.Load(), id)
		}
	}
}

func TestFaultsThatPass(t *testing.T) {
	for _, fault := range []string{"500:3", "503=0:3", "html:3", "cut:3", "drop:3", "hangup:3", "empty:3", "type:3", "error:3", "408:2", "500,html,cut"} {
		s := simulator.New(simulator.Options{Seed: 1, Calls: 30})
		c := newClient(t, s.Start(t))
		faults, err := simulator.ParseFaults(fault)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range faults {
			s.Fault(f)
		}
		p, err := c.Calls(t.Context(), vinfer.Query{Limit: 50}, vinfer.Live)
		if err != nil || len(p.Calls) != 30 {
			t.Errorf("%s: %d calls, %v", fault, len(p.Calls), err)
		}
	}
}

func TestFaultsThatStay(t *testing.T) {
	for _, tt := range []struct {
		fault string
		want  error
		tries int
		text  string
	}{
		{"500:99", nil, 4, "500 Internal Server Error"},
		{"501:99", nil, 1, "501"},
		{"html:99", vinfer.ErrUnreadable, 4, "200 OK (text/html): \"<!DOCTYPE html>"},
		{"cut:99", vinfer.ErrUnreadable, 4, "cut off"},
		{"drop:99", vinfer.ErrUnreadable, 4, "unexpected EOF"},
		{"hangup:99", nil, 4, "EOF"},
		{"type:99", vinfer.ErrUnreadable, 4, "no list of calls"},
		{"400:99", vinfer.ErrBadRequest, 1, "400"},
		{"422:99", vinfer.ErrBadRequest, 1, "422"},
		{"401:99", vinfer.ErrRefused, 1, "401"},
		{"403:99", vinfer.ErrRefused, 1, "403"},
		{"404:99", vinfer.ErrNotFound, 1, "404"},
		{"410:99", vinfer.ErrNotFound, 1, "410"},
		{"redirect=http://evil.invalid/?token=x:99", vinfer.ErrUnreadable, 1, "evil.invalid"},
		{"429=0:99", vinfer.ErrLimited, 20, "429"},
	} {
		t.Run(tt.fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := simulator.New(simulator.Options{Seed: 1, Calls: 30})
				dial, stop := s.Pipe()
				defer stop()
				c := newClient(t, "http://vinfer.invalid/v1", func(c *vinfer.Config) { c.Dial, c.RetryWait = dial, time.Second })
				defer c.Close()
				faults, err := simulator.ParseFaults(tt.fault)
				if err != nil {
					t.Fatal(err)
				}
				s.Fault(faults[0])
				_, err = c.Calls(t.Context(), vinfer.Query{Offset: 3}, vinfer.Live)
				if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) ||
					!strings.HasPrefix(err.Error(), "GET http://vinfer.invalid/v1/calls?offset=3: ") {
					t.Errorf("%v", err)
				}
				if tt.want == nil {
					for _, e := range []error{vinfer.ErrUnreadable, vinfer.ErrRefused, vinfer.ErrBadRequest, vinfer.ErrNotFound} {
						if errors.Is(err, e) {
							t.Errorf("%v is %v", err, e)
						}
					}
				}
				rs := s.Requests()
				if len(rs) != tt.tries {
					t.Fatalf("%d tries", len(rs))
				}
				if tt.tries == 4 {
					for i, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
						if got := rs[i+1].Time.Sub(rs[i].Time); got != want {
							t.Errorf("try %d came after %v", i+2, got)
						}
					}
				}
			})
		})
	}
}

func TestRateLimit(t *testing.T) {
	for _, advice := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := simulator.New(simulator.Options{Seed: 1, Calls: 300, LimitPerMinute: 60, RetryAfter: advice})
			dial, stop := s.Pipe()
			defer stop()
			c := newClient(t, "http://vinfer.invalid/v1", func(c *vinfer.Config) { c.Dial = dial })
			defer c.Close()
			began := time.Now()
			var wg sync.WaitGroup
			for i := range 200 {
				wg.Go(func() {
					if _, err := c.Calls(t.Context(), vinfer.Query{Limit: 1, Offset: i}, vinfer.Audits); err != nil {
						t.Error(err)
					}
				})
			}
			time.Sleep(30 * time.Second)
			s.Spend(60) // somebody else takes all that is left of this minute
			wg.Wait()
			refused := 0
			for _, r := range s.Requests() {
				if r.Status == http.StatusTooManyRequests {
					refused++
				}
			}
			// 54 a minute, less what somebody else took. Only the request that finds out is refused: below half of the
			// limit they go one by one.
			if took := time.Since(began); took < 3*time.Minute || took > 5*time.Minute || refused != 1 {
				t.Errorf("took %v, %d refused", took, refused)
			}
			if b := c.Budget(); !b.Known || b.Limit != 60 || b.Remaining < 6 || b.Reset.Before(began) {
				t.Errorf("%+v", b)
			}
		})
	}
}

func TestTheKeyIsAskedForEveryTime(t *testing.T) {
	s := simulator.New(simulator.Options{Calls: 3, Key: "one"})
	var k atomic.Value
	k.Store("one\n")
	c := newClient(t, s.Start(t), func(c *vinfer.Config) {
		c.Key = func() (secret.Text, error) {
			if k.Load() == "fail" {
				return secret.Text{}, errors.New("the key file is gone")
			}
			return secret.New(k.Load().(string)), nil
		}
	})
	ask := func() error {
		_, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.Live)
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	s.SetKey("two")
	if err := ask(); !errors.Is(err, vinfer.ErrRefused) {
		t.Fatal(err)
	}
	k.Store("two")
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	before := s.Served()
	for _, bad := range []string{"", "two\nX-Evil: 1", " "} {
		k.Store(bad)
		if err := ask(); !errors.Is(err, vinfer.ErrRefused) || strings.Contains(err.Error(), "Evil") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	k.Store("fail")
	if err := ask(); err == nil || !strings.Contains(err.Error(), "the key file is gone") {
		t.Error(err)
	}
	if s.Served() != before {
		t.Error("a request was sent without a key")
	}
	k.Store("two")
	if err := ask(); err != nil {
		t.Fatalf("the budget lost count: %v", err)
	}
}

func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		name   string
		o      simulator.Options
		faults string
		want   vinfer.Bounds
	}{
		{"empty", simulator.Options{}, "", vinfer.Bounds{Empty: true}},
		{"guide", simulator.Options{Calls: 30}, "", vinfer.Bounds{After: true}},
		{"guide with to", simulator.Options{Calls: 30, GuideTo: true}, "", vinfer.Bounds{After: true, To: true}},
		{"guide, strict", simulator.Options{Calls: 30, Strict: true}, "", vinfer.Bounds{After: true}},
		{"guide, strict, knows no pages", simulator.Options{Calls: 30, Strict: true, NoPaging: true}, "", vinfer.Bounds{After: true}},
		{"reference", simulator.Options{Calls: 30, Dialect: simulator.Reference}, "", vinfer.Bounds{From: true, To: true}},
		{"reference, strict", simulator.Options{Calls: 30, Dialect: simulator.Reference, Strict: true}, "", vinfer.Bounds{From: true, To: true}},
		{"neither", simulator.Options{Calls: 30}, "ignore-bound", vinfer.Bounds{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := simulator.New(tt.o)
			faults, err := simulator.ParseFaults(tt.faults)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range faults {
				s.Fault(f)
			}
			got, err := newClient(t, s.Start(t)).Probe(t.Context())
			if err != nil || got != tt.want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	s := simulator.New(simulator.Options{Calls: 30})
	s.Fault(simulator.Fault{Kind: simulator.HTML, Skip: 1, Count: -1})
	if _, err := newClient(t, s.Start(t)).Probe(t.Context()); !errors.Is(err, vinfer.ErrUnreadable) {
		t.Errorf("a page that could not be read decided: %v", err)
	}
}

func TestAServerThatKnowsNoPages(t *testing.T) {
	s := simulator.New(simulator.Options{Calls: 130, Strict: true, NoPaging: true})
	c := newClient(t, s.Start(t))
	for range 2 {
		p, err := c.Calls(t.Context(), vinfer.Query{Limit: 100}, vinfer.Live)
		if err != nil || p.Rows != 130 {
			t.Fatal(p.Rows, err)
		}
		if p, err = c.Calls(t.Context(), vinfer.Query{Limit: 100, Offset: 130}, vinfer.Live); err != nil || p.Rows != 0 || p.Date.IsZero() {
			t.Fatal(p, err)
		}
	}
	if n := s.Served(); n != 3 {
		t.Errorf("%d requests", n)
	}
}

func TestTranscript(t *testing.T) {
	now := time.Date(2024, 2, 1, 9, 0, 0, 0, time.UTC)
	for _, pending := range []int{202, 200, 404, 409, 425} {
		s := simulator.New(simulator.Options{Now: func() time.Time { return now }, TranscriptDelay: time.Hour, Pending: pending})
		s.Add(simulator.Call{ID: "call_1", End: now.Add(-time.Minute), Duration: time.Minute, Language: "ta-IN"})
		c := newClient(t, s.Start(t))
		for _, link := range []string{c.TranscriptURL("job_1"), ""} {
			if _, err := c.Transcript(t.Context(), link, "job_1", vinfer.Transcripts); !errors.Is(err, vinfer.ErrNotReady) {
				t.Errorf("%d, %q: %v", pending, link, err)
			}
		}
		s.Set("call_1", func(c *simulator.Call) { c.TranscriptAt = now })
		for _, link := range []string{
			c.TranscriptURL("job_1"), "", "/v1/transcription/job_1/transcript",
			"https://api.vinfer.ai/v1/transcription/job_1/transcript", "//evil.invalid/transcription/job_1/transcript",
		} {
			job := "job_1"
			if link != "" {
				job = "" // it can be read from the link
			}
			tr, err := c.Transcript(t.Context(), link, job, vinfer.Transcripts)
			if err != nil || len(tr.Segments) != 8 || !strings.Contains(tr.Segments[1].Text, "சொல்லுங்கள்") {
				t.Errorf("%d, %q: %+v, %v", pending, link, tr, err)
			}
		}
	}
	c := newClient(t, "http://127.0.0.1:1/v1")
	for _, link := range []string{"", "https://elsewhere.invalid/t/9", "::", "mailto:x", "javascript:alert(1)"} {
		if _, err := c.Transcript(t.Context(), link, "", vinfer.Live); !errors.Is(err, vinfer.ErrNotFound) {
			t.Errorf("%q: %v", link, err)
		}
	}
}

func TestAFinishedJobWithoutWordsPointsToItsTranscript(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/transcript") {
			_, _ = io.WriteString(w, `{"text":"hello there"}`)
			return
		}
		_, _ = io.WriteString(w, `{"id":"j","status":"completed","result":{"summary":"S"}}`)
	})
	tr, err := newClient(t, srv.URL).Transcript(t.Context(), "", "j", vinfer.Transcripts)
	if err != nil || tr.Text != "hello there" {
		t.Error(tr, err)
	}
}

// noKey is a server that must never be asked with the key.
func noKey(t *testing.T) *httptest.Server {
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s got here, with Authorization %q", r.Method, r.URL, r.Header.Get("Authorization"))
	})
}

func TestTheKeyStaysAtItsOrigin(t *testing.T) {
	other := noKey(t) // the same host, another port
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/v1/calls?token=hidden", status)
		})
		c := newClient(t, srv.URL+"/v1")
		_, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.Live)
		if err == nil || !strings.Contains(err.Error(), "redirect to "+strings.TrimPrefix(other.URL, "http://")+",") || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%d: %v", status, err)
		}
		for _, link := range []string{
			other.URL + "/v1/transcription/j/transcript",
			strings.Replace(srv.URL, "http://", "https://", 1) + "/v1/transcription/j/transcript",
			strings.Replace(srv.URL, "http://", "http://user@", 1) + "/v1/transcription/j/transcript",
			strings.Replace(srv.URL, "127.0.0.1", "localhost", 1) + "/v1/transcription/j/transcript",
			other.URL + "/no/job/here",
		} {
			if _, err := c.Transcript(t.Context(), link, "", vinfer.Live); err == nil {
				t.Errorf("%s was read", link)
			}
		}
	}
}

func TestNothingPrintsTheKey(t *testing.T) {
	var logged bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	answers := []func(http.ResponseWriter){
		func(w http.ResponseWriter) {
			http.Error(w, "the key "+theKey+" of +919876543210 is not known", http.StatusUnauthorized)
		},
		func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"data":[{"id":"a","phone":"+919876543210","name":"`+theKey)
		},
		func(w http.ResponseWriter) { http.Error(w, theKey, http.StatusInternalServerError) },
		func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://"+theKey+"@elsewhere.invalid/"+theKey)
			w.WriteHeader(http.StatusFound)
		},
		func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	}
	for i, answer := range answers {
		srv := serve(t, func(w http.ResponseWriter, r *http.Request) { answer(w) })
		cfg := vinfer.Config{BaseURL: srv.URL, Key: key, RetryWait: time.Millisecond, Logger: logger, Proxy: "http://u:" + theKey + "@127.0.0.1:1"}
		shown := fmt.Sprintf("%v %+v %#v %s %q %d", cfg, cfg, cfg, cfg, cfg, cfg)
		logger.Info("config", "config", cfg)
		cfg.Proxy = ""
		c, err := vinfer.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		shown += fmt.Sprintf("%v %+v %#v %s %v", c, c, c, c, struct{ C *vinfer.Client }{c})
		logger.Info("client", "client", c)
		_, err = c.Calls(t.Context(), vinfer.Query{}, vinfer.Live)
		if err == nil {
			t.Fatal("no error")
		}
		_, err2 := c.Transcript(t.Context(), srv.URL+"/t?signature="+theKey, "", vinfer.Live)
		shown += err.Error() + fmt.Sprintf("%+v %#v %v", err, err, err2) + logged.String()
		for _, hidden := range []string{theKey, "9876543210"} {
			if strings.Contains(shown, hidden) {
				t.Errorf("%d: %s is in %s", i, hidden, shown)
			}
		}
	}
	c := newClient(t, "http://127.0.0.1:1/v1", func(c *vinfer.Config) { c.Proxy = "http://u:" + theKey + "@127.0.0.1:1" })
	if _, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.Live); err == nil || strings.Contains(err.Error(), theKey) {
		t.Error(err)
	}
}

func TestABodyThatSwellsIsCutOff(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	blank := bytes.Repeat([]byte(" "), 1<<20)
	for range 66 {
		_, _ = z.Write(blank)
	}
	_, _ = z.Write([]byte("[]"))
	_ = z.Close()
	srv := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	})
	_, err := newClient(t, srv.URL).Calls(t.Context(), vinfer.Query{}, vinfer.Live)
	if !errors.Is(err, vinfer.ErrUnreadable) || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Error(err)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(simulator.New(simulator.Options{Seed: 1, Calls: 300}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	c := newClient(t, srv.URL)
	for i := range 50 {
		if i%2 == 0 {
			_, _ = c.Call(t.Context(), "nobody", vinfer.Live)
		} else if _, err := c.Calls(t.Context(), vinfer.Query{Limit: 100}, vinfer.Live); err != nil {
			t.Fatal(err)
		}
	}
	// retryablehttp closes idle connections after what it counts as a failure; a 404 is none.
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestExtraRoots(t *testing.T) {
	s := simulator.New(simulator.Options{Calls: 3})
	srv := httptest.NewTLSServer(s)
	t.Cleanup(srv.Close)
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if _, err := newClient(t, srv.URL).Calls(t.Context(), vinfer.Query{}, vinfer.Live); err == nil || !strings.Contains(err.Error(), "certificate") || s.Served() != 0 {
		t.Errorf("an unknown authority was trusted: %v", err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})
	if err := os.WriteFile(file, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newClient(t, srv.URL, func(c *vinfer.Config) { c.CAFile = file }).Calls(t.Context(), vinfer.Query{}, vinfer.Live); err != nil {
		t.Error(err)
	}
}

func TestProxy(t *testing.T) {
	s := simulator.New(simulator.Options{Calls: 3})
	var seen atomic.Value
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.URL.Host)
		s.ServeHTTP(w, r)
	})
	c := newClient(t, "http://vinfer.invalid/v1", func(c *vinfer.Config) { c.Proxy = proxy.URL })
	if _, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.Live); err != nil || seen.Load() != "vinfer.invalid" {
		t.Error(seen.Load(), err)
	}
}

func TestClocks(t *testing.T) {
	s := simulator.New(simulator.Options{Calls: 3, Now: func() time.Time { return time.Now().Add(-time.Hour) }})
	c := newClient(t, s.Start(t))
	p, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.Live)
	if err != nil {
		t.Fatal(err)
	}
	if d := c.Skew() + time.Hour; d.Abs() > time.Minute {
		t.Errorf("skew %v", c.Skew())
	}
	if d := time.Until(p.Date) + time.Hour; d.Abs() > time.Minute {
		t.Errorf("date %v", p.Date)
	}
	s.Fault(simulator.Fault{Kind: simulator.NoDate})
	if p, err = c.Calls(t.Context(), vinfer.Query{}, vinfer.Live); err != nil || time.Since(p.Date).Abs() > time.Minute {
		t.Errorf("without a date: %v, %v", p.Date, err)
	}
}

func TestCancelling(t *testing.T) {
	s := simulator.New(simulator.Options{Calls: 3})
	c := newClient(t, s.Start(t))
	ctx, cancel := context.WithCancel(t.Context())
	s.Fault(simulator.Fault{Kind: simulator.Slow, Delay: time.Hour, Count: -1})
	go func() {
		for s.Served() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if _, err := c.Calls(ctx, vinfer.Query{}, vinfer.Live); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.Clear()
	if _, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.Live); err != nil {
		t.Error(err)
	}
	c.Close()
	if _, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.Live); !errors.Is(err, vinfer.ErrClosed) {
		t.Error(err)
	}
}

func TestTimeoutOfOneTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := simulator.New(simulator.Options{Calls: 3})
		s.Fault(simulator.Fault{Kind: simulator.Slow, Delay: time.Minute, Count: 2})
		dial, stop := s.Pipe()
		defer stop()
		c := newClient(t, "http://vinfer.invalid/v1", func(c *vinfer.Config) { c.Dial, c.Timeout = dial, 10*time.Second })
		defer c.Close()
		began := time.Now()
		p, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.Live)
		if err != nil || p.Rows != 3 {
			t.Error(p, err)
		}
		if took := time.Since(began); took < 20*time.Second || took > 21*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A whole listing by many readers at once: nothing is mixed up between them.
func TestManyReaders(t *testing.T) {
	s := simulator.New(simulator.Options{Seed: 5, Calls: 400, LimitPerMinute: 100_000})
	s.Fault(simulator.Fault{Kind: simulator.Status, Status: 503, Share: 0.05})
	s.Fault(simulator.Fault{Kind: simulator.Cut, Share: 0.05})
	c := newClient(t, s.Start(t))
	want := s.IDs()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			n := 0
			for n < len(want) {
				p, err := c.Calls(t.Context(), vinfer.Query{Limit: 37, Offset: n}, vinfer.Priority(n%5))
				if err != nil {
					t.Error(err)
					return
				}
				for i, call := range p.Calls {
					if call.ID != want[len(want)-1-n-i] {
						t.Errorf("row %d is %s", n+i, call.ID)
						return
					}
				}
				n += p.Rows
			}
		})
	}
	wg.Wait()
}

func BenchmarkDecodePage(b *testing.B) {
	s := simulator.New(simulator.Options{Seed: 1, Calls: 200, LimitPerMinute: -1})
	srv := httptest.NewServer(s)
	defer srv.Close()
	c, err := vinfer.New(vinfer.Config{BaseURL: srv.URL, Key: key})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for b.Loop() {
		if _, err := c.Calls(b.Context(), vinfer.Query{Limit: 100}, vinfer.Live); err != nil {
			b.Fatal(err)
		}
	}
}
