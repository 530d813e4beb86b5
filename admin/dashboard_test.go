package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/alert"
	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// settings is a Keeper in memory.
type settings map[string][]byte

func (s settings) Setting(key string) ([]byte, error)    { return s[key], nil }
func (s settings) PutSetting(key string, v []byte) error { s[key] = v; return nil }

var kolkata = time.FixedZone("Asia/Kolkata", 5*3600+1800)

func zone() *time.Location { return kolkata }

// healthyFacts are those of a pipeline that has done all its work.
func healthyFacts() Facts {
	f := someFacts()
	f.Stats.Dests = []store.Dest{
		{DestSpec: store.DestSpec{Name: "sales", Kind: "webhook"}, Delivered: 12345, LastSuccess: f.Now.Add(-12 * time.Second)},
		{DestSpec: store.DestSpec{Name: "archive", Kind: "jsonl"}, Delivered: 12345, LastSuccess: f.Now.Add(-12 * time.Second)},
	}
	f.Stats.Pending, f.Stats.Dead, f.Stats.Transcripts = 0, 0, 2
	budget, next := f.Status.Budget, f.Status.NextRun
	f.Status = engine.StatusOf(f.Stats, "lending", "1.0")
	f.Status.Budget, f.Status.NextRun = budget, next
	return f
}

// haltedFacts are those of one where much goes wrong.
func haltedFacts() Facts {
	f := someFacts()
	f.Stats.Dests = []store.Dest{
		{DestSpec: store.DestSpec{Name: "sales", Kind: "hubspot"}, Pending: 392, Halted: "api.hubapi.com answers 401 Unauthorized: token <b>expired</b> for +919812309876", HaltedAt: f.Now},
		{DestSpec: store.DestSpec{Name: "support-desk", Kind: "webhook"}, Pending: 17, LastError: "503", Delivered: 900, LastSuccess: f.Now.Add(-3 * time.Hour)},
		{DestSpec: store.DestSpec{Name: "collections", Kind: "leadsquared"}, Dead: 3, Delivered: 1200, LastSuccess: f.Now.Add(-12 * time.Second)},
		{DestSpec: store.DestSpec{Name: "night-shift", Kind: "sqlite"}, Paused: "paused by an operator at 2026-01-15T10:00:00Z: upgrade", Pending: 4},
	}
	f.Stats.Pending, f.Stats.Dead = 413, 3
	f.Stats.Backfills = []store.Backfill{{
		ID: 3, Spec: []byte(`{"since":"2026-01-01T00:00:00Z","until":"2026-01-11T00:00:00Z"}`), Checkpoint: []byte(`{"up_to":"2026-01-05T00:00:00Z"}`),
		Fetched: 4200, Queued: 4000, Delivered: 1000, Dead: 3,
	}}
	budget, next := f.Status.Budget, f.Status.NextRun
	f.Status = engine.StatusOf(f.Stats, "lending", "1.0")
	f.Status.Budget, f.Status.NextRun = budget, next
	f.Status.Destinations[1].State, f.Status.Destinations[1].Reason = "waiting", "fails, next try 2026-01-15T10:00:00Z: crm.example answers 503 Service Unavailable"
	f.Status.ConfigError = "config.yaml:3:1: lookbak: unknown key (did you mean lookback?)"
	f.Status.Alerts = []engine.Alert{
		{Alert: alert.Dead, Destination: "collections", Message: "collections refused calls: dead letters 3", Remedy: "see them: vinfer-sync dead list --dest collections", Since: f.Now.Add(-time.Hour)},
		{Alert: alert.Halted, Destination: "sales", Message: "sales is halted, and its calls are kept: 401", Remedy: "fix the cause, then: vinfer-sync resume sales", Since: f.Now.Add(-time.Hour)},
	}
	return f
}

// emptyFacts are those of a daemon that was just started for the first time.
func emptyFacts() Facts {
	f := Facts{Schedule: "@every 1m", StoreBytes: 32768}
	f.Now, f.Started = time.Now().UTC(), time.Now().UTC()
	f.Stats.Dests = []store.Dest{{DestSpec: store.DestSpec{Name: "crm", Kind: "sqlite"}}}
	f.Status = engine.StatusOf(f.Stats, "default", "1.0")
	return f
}

// source shows facts and, unless empty, calls.
func source(f func() Facts, empty bool) Source {
	s := Source{
		Facts: func() (Facts, error) { return f(), nil },
		Calls: func(context.Context, store.CallQuery) ([]CallLine, error) { return nil, nil },
		Dead:  func(context.Context, DeadQuery) ([]store.DeadLetter, error) { return nil, nil },
		Tally: NewTally(settings{}, zone), Zone: zone,
	}
	if empty {
		return s
	}
	now := time.Now().UTC()
	outcomes := []string{"interested", "callback_requested", "not_reachable", "not_reachable", "payment_promised", "", "<script>alert(1)</script>"}
	var fresh []engine.NewCall
	var calls []CallLine
	for i := range 240 {
		c := engine.NewCall{
			ID: fmt.Sprintf("call_%04d", i), Disposition: outcomes[i%len(outcomes)], Phone: fmt.Sprintf("+xxxxxxxxxx%02d", i%100),
			Ended: now.Add(-time.Duration(i*i/60) * time.Minute), Talked: time.Duration(i%200) * time.Second,
		}
		fresh = append(fresh, c)
		if i < 12 {
			calls = append(calls, CallLine{Known: c, CallSummary: store.CallSummary{ID: c.ID, When: c.Ended, Dests: []store.DestLife{
				{Dest: "sales", State: "pending", Waits: "an operator"},
				{Dest: "support-desk", State: "delivered", At: now},
				{Dest: "collections", State: "dead", Error: "422 for +919812309876"},
				{Dest: "night-shift", State: "skipped", Error: "campaign"},
			}}})
		}
	}
	slices.Reverse(fresh) // as they end
	s.Tally.Stored(len(fresh), 0, fresh)
	s.Calls = func(context.Context, store.CallQuery) ([]CallLine, error) { return calls, nil }
	s.Dead = func(context.Context, DeadQuery) ([]store.DeadLetter, error) {
		return []store.DeadLetter{
			{Num: 1, Dest: "collections", ID: "call_1", Error: "422: phone 919812309876 is <i>not</i> valid"},
			{Num: 2, Dest: "collections", ID: "call_2", Error: "422: phone 919812309877 is <i>not</i> valid"},
			{Num: 3, Error: "a row without an id"},
		}, nil
	}
	return s
}

// site is a whole web server's handler.
func site(t *testing.T, s Source) string {
	t.Helper()
	well := func() error { return nil }
	w, err := ServeWeb(WebOptions{Listen: "127.0.0.1:0", Alive: well, Ready: well, Metrics: used(t), Page: s, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return "http://" + w.Addr
}

func TestDashboard(t *testing.T) {
	for _, tt := range []struct {
		name  string
		page  Source
		shows []string
		not   []string
	}{
		{
			"healthy", source(healthyFacts, false),
			[]string{
				"All is well", "Every call that VInfer has shown is delivered. Transcripts awaited: 2.", "It has every call.", "900 of 1000 requests", "in 3",
				"callback requested", "none yet", "call_0000", "&#43;xxxxxxxxxx00", "<svg class=\"hours\"", "&lt;script&gt;alert(1)&lt;/script&gt;",
			},
			[]string{"halted", "<script>alert", "98123"},
		},
		{
			"halted", source(haltedFacts, false),
			[]string{
				"<h1>sales is halted since ", ", and 2 more</h1>", "class=\"verdict bad\"", "vinfer-sync resume sales", "token &lt;b&gt;expired&lt;/b&gt;", "The configuration on the disk has faults",
				"next try 15 Jan 15:30", "crm.example answers 503", "vinfer-sync resume night-shift", "vinfer-sync dead list --dest collections",
				"a row without an id", "sales: waits", "collections: refused", "night-shift: skipped", "40 %", "1000 of 4000",
			},
			[]string{"<b>expired", "<i>not", "98123", "All is well"},
		},
		{"empty", source(emptyFacts, true), []string{"Starting", "The first poll is under way", "No call has been seen yet"}, []string{"halted", "Backfills", "Dead letters by reason", "NaN"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, text := get(t, &dashboard{source: tt.page, log: quiet}, "/")
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", resp.StatusCode, text)
			}
			for _, want := range tt.shows {
				if !strings.Contains(text, want) {
					t.Errorf("the page has no %q", want)
				}
			}
			for _, not := range tt.not {
				if strings.Contains(text, not) {
					t.Errorf("the page has %q", not)
				}
			}
		})
	}
}

// The two refusals differ only in the number: they are one reason.
func TestDeadLettersAreGroupedByReason(t *testing.T) {
	v, err := (&dashboard{source: source(haltedFacts, false), log: quiet}).look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Dead) != 2 || v.Dead[0].N != 2 || v.Dead[1].Dest != "(unreadable)" || v.Dead[1].Command != "vinfer-sync dead list" {
		t.Errorf("%+v", v.Dead)
	}
	if v.Alerts[0].Class != grave {
		t.Errorf("the worst does not come first: %+v", v.Alerts)
	}
}

func TestSiteOnlyReads(t *testing.T) {
	base := site(t, source(healthyFacts, false))
	for path, kind := range map[string]string{
		"/": "text/html; charset=utf-8", "/style.css": "text/css; charset=utf-8", "/refresh.js": "text/javascript; charset=utf-8", "/ok.svg": "image/svg+xml",
		"/warn.svg": "image/svg+xml", "/bad.svg": "image/svg+xml", "/metrics": "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
		"/healthz": "text/plain; charset=utf-8", "/readyz": "text/plain; charset=utf-8",
	} {
		for method, want := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405, "PUT": 405, "DELETE": 405, "OPTIONS": 405} {
			req, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != want || want == 200 && resp.Header.Get("Content-Type") != kind {
				t.Errorf("%s %s: %d %s", method, path, resp.StatusCode, resp.Header.Get("Content-Type"))
			}
			csp := resp.Header.Get("Content-Security-Policy")
			if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") ||
				resp.Header.Get("X-Frame-Options") != "DENY" || resp.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %v", method, path, resp.Header)
			}
		}
	}
	if resp, _ := get(t, http.NotFoundHandler(), "/nothing"); resp.StatusCode != http.StatusNotFound {
		t.Error(resp.StatusCode)
	}
}

func TestDashboardThatCannotBeShown(t *testing.T) {
	s := source(healthyFacts, true)
	s.Facts = func() (Facts, error) { return Facts{}, errors.New("secret detail") }
	if resp, text := get(t, &dashboard{source: s, log: quiet}, "/"); resp.StatusCode != http.StatusInternalServerError || strings.Contains(text, "secret") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

// Many readers cost no more than one.
func TestOneRenderingServesMany(t *testing.T) {
	n := 0
	s := source(healthyFacts, true)
	inner := s.Facts
	s.Facts = func() (Facts, error) { n++; return inner() }
	d := &dashboard{source: s, log: quiet}
	for range 20 {
		d.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	}
	if n > 5 {
		t.Errorf("rendered %d times", n)
	}
}

func TestTally(t *testing.T) {
	kept := settings{}
	ta := NewTally(kept, zone)
	now := time.Date(2026, 1, 15, 10, 40, 0, 0, time.UTC) // 16:10 in Kolkata
	call := func(id, disposition string, ago time.Duration) engine.NewCall {
		return engine.NewCall{ID: id, Disposition: disposition, Ended: now.Add(-ago)}
	}
	ta.Stored(4, 0, []engine.NewCall{call("a", "interested", 5*time.Minute), call("b", "", 15*time.Minute), call("c", "interested", 69*time.Minute), call("d", "dnc", 71*time.Minute)})
	check := func(ta *Tally) {
		t.Helper()
		hours, outcomes := ta.counts(now, 3)
		want := "[{14:00 1} {15:00 2} {16:00 1}] [{interested 2} {dnc 1} {none yet 1}]"
		if got := fmt.Sprint(hours, " ", outcomes); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	check(ta)
	if err := ta.Save(now, false); err != nil || kept[tallySetting] == nil {
		t.Fatal(err)
	}
	again := NewTally(kept, zone)
	check(again)
	if c, ok := again.call("a"); !ok || c.Disposition != "interested" {
		t.Errorf("a call was lost with the process: %+v", c)
	}
	again.Stored(2, 0, []engine.NewCall{{ID: "f", Phone: "+xxxxxxxxxx10", Ended: now}, {ID: "g", Phone: "+xxxxxxxxxx11", Ended: now}})
	if err := again.Forget([]string{"a"}, []string{"98765 43210"}); err != nil {
		t.Fatal(err)
	}
	if raw := string(kept[recentSetting]); strings.Contains(raw, `"a"`) || strings.Contains(raw, `"f"`) || !strings.Contains(raw, `"g"`) || !strings.Contains(raw, `"b"`) {
		t.Errorf("after two were forgotten: %s", raw)
	}
	kept[tallySetting] = nil
	ta.Stored(1, 0, []engine.NewCall{call("e", "x", time.Minute)})
	if err := ta.Save(now.Add(30*time.Second), false); err != nil || kept[tallySetting] != nil {
		t.Error("saved again at once", err)
	}
	if err := ta.Save(now.Add(30*time.Second), true); err != nil || kept[tallySetting] == nil {
		t.Error("not saved at the end", err)
	}
	// The sets of calls and of dispositions are open; what is kept is not.
	for i := range 1000 {
		ta.Stored(1, 0, []engine.NewCall{call(fmt.Sprint("n", i), fmt.Sprint("odd", i), time.Minute)})
	}
	if len(ta.recent) > tallyRecent || len(ta.order) > tallyRecent || len(ta.hours[ta.hour(now).Unix()]) > tallyNames+1 {
		t.Errorf("%d calls, %d dispositions in an hour", len(ta.recent), len(ta.hours[ta.hour(now).Unix()]))
	}
	if err := ta.Save(now.Add(100*time.Hour), true); err != nil || len(ta.hours) != 0 {
		t.Errorf("old hours are kept: %d, %v", len(ta.hours), err)
	}
	kept[tallySetting] = []byte("{broken")
	NewTally(kept, zone).Stored(1, 0, []engine.NewCall{call("z", "", 0)})
}
