package vinfer

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func countOf(all []KindRequests, p Priority) KindRequests {
	for _, k := range all {
		if k.Kind == p.String() {
			return k
		}
	}
	return KindRequests{}
}

func TestRequestsCountsEveryTryByKind(t *testing.T) {
	fail := 2
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if fail--; fail >= 0 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, `{"data":[],"total":0}`)
	}))
	defer srv.Close()
	client := func(base string) *Client {
		c, err := New(Config{BaseURL: base, RetryWait: time.Nanosecond, Key: func() (secret.Text, error) { return secret.New("k"), nil }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	c := client(srv.URL)
	for _, p := range []Priority{News, Backfills, Backfills} {
		if _, err := c.Calls(t.Context(), Query{}, p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Calls(t.Context(), Query{Since: time.Now()}, Audits); err == nil {
		t.Fatal("a bound is missing") // nothing was sent
	}
	check := func(c *Client, news, backfills uint64) {
		t.Helper()
		all := c.Requests()
		if len(all) != 7 || all[0].Kind != "news" || all[6].Kind != "backfill" {
			t.Fatalf("%+v", all)
		}
		for _, k := range all {
			want := map[string]uint64{"news": news, "backfill": backfills}[k.Kind]
			if k.Total != want || k.LastMinute != int(want) {
				t.Errorf("%+v, not %d", k, want)
			}
		}
	}
	check(c, 3, 2)

	next := client(srv.URL)
	next.TakeOver(c)
	check(next, 3, 2)
	if _, err := c.Calls(t.Context(), Query{}, News); err != nil { // what the old one still does counts
		t.Fatal(err)
	}
	if _, err := next.Calls(t.Context(), Query{}, News); err != nil {
		t.Fatal(err)
	}
	check(next, 5, 2)
	elsewhere := client("https://another.example/v1")
	elsewhere.TakeOver(next)
	check(elsewhere, 5, 2)
}

func TestRequestsOfTheLastMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter()
		at := func(s int) time.Time { return m.began.Add(time.Duration(s) * time.Second) }
		for s := range 200 {
			m.sent(Sweeps, at(s))
		}
		for _, tt := range []struct{ at, last int }{{199, 60}, {200, 59}, {258, 1}, {259, 0}, {100_000, 0}} {
			if k := countOf(m.state(at(tt.at)), Sweeps); k.Total != 200 || k.LastMinute != tt.last {
				t.Errorf("after %d s: %+v, not %d", tt.at, k, tt.last)
			}
		}
	})
}

func TestRequestsOfManyGoroutines(t *testing.T) {
	m := newMeter()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				m.sent(Transcripts, time.Now())
				m.state(time.Now())
			}
		})
	}
	wg.Wait()
	if k := countOf(m.state(time.Now()), Transcripts); k.Total != 8000 {
		t.Errorf("%+v", k)
	}
}
