package vinfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
		if _, err := c.Calls(t.Context(), tt.q, vinfer.News); err != nil {
			t.Fatal(err)
		}
		if want := tt.want + " Bearer " + theKey + " test/1"; got.Load() != want {
			t.Errorf("asked %s\nnot   %s", got.Load(), want)
		}
	}
	got.Store("")
	if _, err := c.Calls(t.Context(), vinfer.Query{Since: since}, vinfer.News); err == nil || got.Load() != "" {
		t.Errorf("a lower bound without a name was sent as %q: %v", got.Load(), err)
	}
	for id, want := range map[string]string{"a/b c": "/v1/calls/a%2Fb%20c", "..": "/v1/calls/%2E%2E", "?x#y": "/v1/calls/%3Fx%23y"} {
		_, _ = c.Call(t.Context(), id, vinfer.News) // it is another call that comes back
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
		p, err := c.Calls(t.Context(), vinfer.Query{Limit: 50}, vinfer.News)
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
		{"html:99", vinfer.ErrUnreadable, 4, "200 OK (text/html): 91 bytes of HTML or XML"},
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
				_, err = c.Calls(t.Context(), vinfer.Query{Offset: 3}, vinfer.News)
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
		_, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.News)
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

func TestClocks(t *testing.T) {
	s := simulator.New(simulator.Options{Calls: 3, Now: func() time.Time { return time.Now().Add(-time.Hour) }})
	c := newClient(t, s.Start(t))
	p, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.News)
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
	if p, err = c.Calls(t.Context(), vinfer.Query{}, vinfer.News); err != nil || time.Since(p.Date).Abs() > time.Minute {
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
	if _, err := c.Calls(ctx, vinfer.Query{}, vinfer.News); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	s.Clear()
	if _, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.News); err != nil {
		t.Error(err)
	}
	c.Close()
	if _, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.News); !errors.Is(err, vinfer.ErrClosed) {
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
		p, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.News)
		if err != nil || p.Rows != 3 {
			t.Error(p, err)
		}
		if took := time.Since(began); took < 20*time.Second || took > 21*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestTimeoutNamesItsSetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := simulator.New(simulator.Options{Calls: 3})
		s.Fault(simulator.Fault{Kind: simulator.Slow, Delay: time.Minute, Count: -1})
		dial, stop := s.Pipe()
		defer stop()
		c := newClient(t, "http://vinfer.invalid/v1", func(c *vinfer.Config) { c.Dial, c.Timeout = dial, 10*time.Second })
		defer c.Close()
		if _, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.News); err == nil || !strings.Contains(err.Error(), "no answer within 10s (vinfer.timeout)") {
			t.Error(err)
		}
	})
}

// A long wait for the limit is told, once.
func TestWaitingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := simulator.New(simulator.Options{Seed: 1, Calls: 3, LimitPerMinute: 10})
		dial, stop := s.Pipe()
		defer stop()
		c := newClient(t, "http://vinfer.invalid/v1", func(c *vinfer.Config) {
			c.Dial, c.Logger = dial, slog.New(slog.NewTextHandler(&out, nil))
		})
		defer c.Close()
		for range 35 {
			if _, err := c.Calls(t.Context(), vinfer.Query{}, vinfer.News); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // for who still writes
		if n := strings.Count(out.String(), "waiting for VInfer's request limit"); n == 0 || n > 4 {
			t.Errorf("told %d times:\n%s", n, out.String())
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
				p, err := c.Calls(t.Context(), vinfer.Query{Limit: 37, Offset: n}, []vinfer.Priority{vinfer.News, vinfer.Backfills}[n%2])
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
		if _, err := c.Calls(b.Context(), vinfer.Query{Limit: 100}, vinfer.News); err != nil {
			b.Fatal(err)
		}
	}
}
