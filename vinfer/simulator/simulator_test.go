package simulator_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nyaruka/phonenumbers"
	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var dialects = []simulator.Dialect{simulator.Guide, simulator.Reference}

func client(t *testing.T, base string) *vinfer.Client {
	t.Helper()
	c, err := vinfer.New(vinfer.Config{
		BaseURL:   base,
		Key:       func() (secret.Text, error) { return secret.New("key-of-the-tests"), nil },
		RetryWait: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// clock is a time that a test moves on while servers read it.
type clock struct{ atomic.Pointer[time.Time] }

func at(t time.Time) *clock {
	var c clock
	c.Store(&t)
	return &c
}

func (c *clock) now() time.Time { return *c.Load() }

func (c *clock) add(d time.Duration) {
	t := c.now().Add(d)
	c.Store(&t)
}

// all pages through a listing, moving by the distinct ids of each page.
func all(t *testing.T, c *vinfer.Client, q vinfer.Query) map[string]vinfer.Call {
	t.Helper()
	seen := map[string]vinfer.Call{}
	for {
		p, err := c.Calls(t.Context(), q, vinfer.News)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Broken) > 0 {
			t.Fatalf("broken rows: %+v", p.Broken)
		}
		if p.Rows == 0 {
			return seen
		}
		distinct := map[string]bool{}
		for _, call := range p.Calls {
			seen[call.ID] = call
			distinct[call.ID] = true
		}
		q.Offset += len(distinct)
	}
}

func TestAListingHasEveryCall(t *testing.T) {
	for _, d := range dialects {
		for _, manner := range []string{"", "asc", "random", "repeats", "clamp=7", "no-total"} {
			t.Run(d.String()+" "+manner, func(t *testing.T) {
				s := simulator.New(simulator.Options{Seed: 1, Calls: 230, Dialect: d, LimitPerMinute: -1})
				faults, err := simulator.ParseFaults(manner)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range faults {
					s.Fault(f)
				}
				got := all(t, client(t, s.Start(t)), vinfer.Query{Limit: 50})
				if want := s.IDs(); len(got) != len(want) || len(want) != 230 {
					t.Fatalf("%d calls read, %d are there", len(got), len(want))
				}
				for _, want := range s.Calls() {
					call, ok := got[want.ID]
					if !ok {
						t.Fatalf("%s is missing", want.ID)
					}
					if call.Phone != want.Phone || call.Name != want.Name || call.Disposition != want.Disposition ||
						call.CampaignID != want.Campaign || !call.EndedAt.Equal(want.End) || *call.DurationSeconds != want.Duration.Seconds() {
						t.Fatalf("read %+v\nof %+v", call, want)
					}
				}
			})
		}
	}
}

func TestCallsAreMadeUpAlikeAndLookReal(t *testing.T) {
	now := func() time.Time { return time.Date(2024, 2, 1, 9, 0, 0, 0, time.UTC) }
	o := simulator.Options{Seed: 7, Calls: 5000, Now: now, InProgress: 3}
	a, b := simulator.New(o).Calls(), simulator.New(o).Calls()
	o.Seed = 8
	other := simulator.New(o).Calls()
	ids, phones, dispositions, languages := map[string]bool{}, map[string]int{}, map[string]int{}, map[string]int{}
	zero, callbacks, going := 0, 0, 0
	for i := range a {
		if fmt.Sprint(a[i]) != fmt.Sprint(b[i]) {
			t.Fatalf("one seed made %+v and %+v", a[i], b[i])
		}
		if a[i].ID == other[i].ID {
			t.Fatalf("two seeds made the same id %s", a[i].ID)
		}
		ids[a[i].ID] = true
		phones[a[i].Phone]++
		dispositions[a[i].Disposition]++
		languages[a[i].Language]++
		if a[i].Duration == 0 {
			zero++
		}
		if a[i].CallbackAt != "" {
			callbacks++
		}
		if a[i].End.After(now()) {
			going++
		}
	}
	if len(ids) != 5000 || len(phones) == 5000 || len(phones) < 1000 || zero == 0 || callbacks == 0 || going != 3 {
		t.Errorf("%d ids, %d phones, %d of 0 s, %d call-backs, %d going on", len(ids), len(phones), zero, callbacks, going)
	}
	for _, d := range []string{"interested", "callback_requested", "not_interested", "not_reachable", "dispute", "payment_promised", "already_paid", "dnd", "escalated"} {
		if dispositions[d] == 0 {
			t.Errorf("no call is %s", d)
		}
	}
	if len(languages) != 6 {
		t.Errorf("languages %v", languages)
	}
	for p := range phones {
		n, err := phonenumbers.Parse(p, "")
		if err != nil || !phonenumbers.IsValidNumber(n) {
			t.Fatalf("%s is no valid number", p)
		}
	}
}

func TestOneCallInBothDialects(t *testing.T) {
	for _, d := range dialects {
		s := simulator.New(simulator.Options{Seed: 3, Calls: 200, Dialect: d})
		c := client(t, s.Start(t))
		for _, want := range s.Calls()[:20] {
			got, err := c.Call(t.Context(), want.ID, vinfer.News)
			if err != nil {
				t.Fatal(err)
			}
			if got.Phone != want.Phone || !got.EndedAt.Equal(want.End) {
				t.Fatalf("read %+v of %+v", got, want)
			}
			if want.Duration == 0 {
				continue
			}
			tr, err := c.Transcript(t.Context(), got.TranscriptURL, got.TranscriptJob, vinfer.Transcripts)
			if err != nil {
				t.Fatal(err)
			}
			if len(tr.Segments) < 4 || tr.Segments[0].Speaker != "agent" || !strings.Contains(tr.Segments[0].Text, want.Name) {
				t.Fatalf("%+v", tr)
			}
			byJob, err := c.Transcript(t.Context(), "", got.TranscriptJob, vinfer.Transcripts)
			if err != nil || len(byJob.Segments) != len(tr.Segments) {
				t.Fatal(byJob, err)
			}
		}
	}
}

func TestTimePasses(t *testing.T) {
	for _, d := range dialects {
		t.Run(d.String(), func(t *testing.T) {
			clock := at(time.Date(2024, 2, 1, 9, 0, 0, 0, time.UTC))
			s := simulator.New(simulator.Options{
				Seed: 2, Calls: 10, Dialect: d, Rate: 6, InProgress: 2, Now: clock.now,
				TranscriptDelay: 2 * time.Minute, LateDispositions: 1, LimitPerMinute: -1, Span: 2 * time.Minute,
			})
			base := s.Start(t)
			c := client(t, base)
			before := all(t, c, vinfer.Query{Limit: 100})
			running := 0
			for _, call := range before {
				if call.Unfinished() {
					running++
				}
			}
			if want := map[simulator.Dialect]int{simulator.Guide: 8, simulator.Reference: 10}[d]; len(before) != want || running != want-8 {
				t.Fatalf("%d calls, %d going on", len(before), running)
			}
			clock.add(30 * time.Minute)
			after := all(t, c, vinfer.Query{Limit: 100})
			if len(after) < 150 || len(s.IDs()) < 150 {
				t.Fatalf("%d calls half an hour later", len(after))
			}
			set := 0
			for id := range before {
				call, ok := after[id]
				if !ok || call.Unfinished() {
					t.Fatalf("%s did not end: %+v", id, call)
				}
				if before[id].Disposition == "" && call.Disposition != "" {
					set++
				}
			}
			if set == 0 {
				t.Error("no disposition was set later")
			}
		})
	}
}

func TestScriptedCalls(t *testing.T) {
	clock := at(time.Date(2024, 2, 1, 9, 0, 0, 0, time.UTC))
	now := clock.now()
	s := simulator.New(simulator.Options{Seed: 2, Now: clock.now, TranscriptDelay: time.Minute})
	c := client(t, s.Start(t))
	s.Add(
		simulator.Call{ID: "plain", Phone: "+919999900001", Duration: time.Minute, Disposition: "interested"},
		simulator.Call{ID: "late", End: now.Add(-time.Hour), VisibleFrom: now.Add(time.Hour)},
		simulator.Call{ID: "future", End: now.Add(48 * time.Hour), VisibleFrom: now},
		simulator.Call{ID: "going", Start: now, Status: "in_progress"},
		simulator.Call{ID: "raw", Raw: `{"call_id":"raw","timestamp":"banana"}`},
		simulator.Call{ID: "hidden", Hidden: true},
	)
	p, err := c.Calls(t.Context(), vinfer.Query{Limit: 100}, vinfer.News)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, call := range p.Calls {
		ids = append(ids, call.ID)
	}
	slices.Sort(ids)
	if !slices.Equal(ids, []string{"future", "plain"}) || len(p.Broken) != 1 || p.Broken[0].ID != "raw" || p.Total != 3 {
		t.Fatalf("listed %v, broken %+v, total %d", ids, p.Broken, p.Total)
	}
	clock.add(2 * time.Hour)
	now = clock.now()
	s.Set("going", func(c *simulator.Call) { c.Status, c.End = "", now })
	s.Set("plain", func(c *simulator.Call) { c.Disposition = "escalated" })
	s.Set("nobody", func(*simulator.Call) { t.Error("a call that is not there was changed") })
	p, err = c.Calls(t.Context(), vinfer.Query{Limit: 100, Bound: vinfer.After, Since: now.Add(-4 * time.Hour)}, vinfer.News)
	if err != nil || len(p.Calls) != 4 || p.Calls[1].ID != "going" || p.Calls[2].Disposition != "escalated" || p.Calls[3].ID != "late" {
		t.Fatalf("%+v, %v", p, err)
	}
	if ids := s.IDs(); !slices.Equal(ids, []string{"late", "plain", "raw", "going", "future"}) {
		t.Errorf("ids %v", ids)
	}
}

func TestGeneratedCallsChange(t *testing.T) {
	s := simulator.New(simulator.Options{Seed: 2, Calls: 30})
	c := client(t, s.Start(t))
	id := s.IDs()[4]
	s.Set(id, func(c *simulator.Call) { c.Disposition = "escalated" })
	got, err := c.Call(t.Context(), id, vinfer.News)
	if err != nil || got.Disposition != "escalated" {
		t.Fatal(got, err)
	}
}

func TestEveryFaultHasANameAndAnEffect(t *testing.T) {
	list := "500:3,html,cut:2,drop,hangup,empty,type,error,slow=1ms,redirect=http://other.invalid/x,429=10@/calls,503%5," +
		"doubled,endless,ignore-bound,clamp=20,asc,desc,random,disorder,repeats,no-total,wrong-total=-3,no-date,rates=ms," +
		"miscount=2,page-total,no-to,grow=3,twins,past-end=404,no-content"
	faults, err := simulator.ParseFaults(list)
	if err != nil {
		t.Fatal(err)
	}
	if len(faults) != strings.Count(list, ",")+1 {
		t.Fatalf("%d faults", len(faults))
	}
	if f := faults[10]; f.Kind != simulator.Status || f.Status != 429 || f.RetryAfter != 10*time.Second || f.Path != "/calls" {
		t.Errorf("%+v", f)
	}
	if f := faults[9]; f.Value != "http://other.invalid/x" || f.Count != 0 {
		t.Errorf("%+v", f)
	}
	for _, f := range faults {
		f.Share, f.Count = 0, 0
		s := simulator.New(simulator.Options{Seed: 1, Calls: 40, Dialect: simulator.Reference})
		url, other := "/v1/calls?from=2020-01-01T00:00:00Z&limit=10&offset=10", map[simulator.Kind]string{
			simulator.Endless:     "/v1/calls?limit=10&offset=40",
			simulator.PastEnd:     "/v1/calls?limit=10&offset=40",
			simulator.NoContent:   "/v1/calls?limit=10&offset=40",
			simulator.IgnoreBound: "/v1/calls?from=2100-01-01T00:00:00Z&limit=10",
			simulator.NoTo:        "/v1/calls?to=2020-01-01T00:00:00Z&limit=10",
			simulator.Clamp:       "/v1/calls?limit=40",
		}[f.Kind]
		if other != "" {
			url = other
		}
		good, bad := fetch(s, url), ""
		s.Fault(f)
		for range 3 {
			if bad = fetch(s, url); bad != good {
				break
			}
		}
		// The usual order is newest first, and being slow shows in the time alone.
		if same := bad == good; same != (f.Kind == simulator.Descending || f.Kind == simulator.Slow) {
			t.Errorf("%+v: the answer changed: %v", f, !same)
		}
	}
	for _, wrong := range []string{"x", "status", "500:0", "500:x", "html=3", "rates=odd", "99", "500%0", "500%101", "clamp=x", "slow=x", "grow=x", "twins=2"} {
		if _, err := simulator.ParseFaults(wrong); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

// fetch returns all that shows of an answer, but for what changes with each.
func fetch(s *simulator.Server, url string) (out string) {
	defer func() {
		if v := recover(); v != nil {
			out = fmt.Sprint("aborted: ", v)
		}
	}()
	r := httptest.NewRequest(http.MethodGet, url, nil)
	r.Header.Set("Authorization", "Bearer x")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	h := w.Header()
	hasDate := len(h["Date"]) > 0
	return fmt.Sprint(w.Code, h.Get("Location"), h.Get("Retry-After"), len(h.Get("X-RateLimit-Reset")), hasDate, w.Body.String())
}

func TestTheLimitIsKept(t *testing.T) {
	now := time.Date(2024, 2, 1, 9, 0, 20, 0, time.UTC)
	s := simulator.New(simulator.Options{Calls: 5, LimitPerMinute: 4, RetryAfter: true, Now: func() time.Time { return now }, Key: "k"})
	get := func(key string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/v1/calls", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	if w := get("k"); w.Code != 200 || w.Header().Get("X-RateLimit-Remaining") != "3" {
		t.Fatal(w.Code, w.Header())
	}
	if w := get("wrong"); w.Code != 401 {
		t.Fatal(w.Code)
	}
	s.Spend(2)
	if w := get("k"); w.Code != 429 || w.Header().Get("Retry-After") != "40" || w.Header().Get("X-RateLimit-Remaining") != "0" {
		t.Fatal(w.Code, w.Header())
	}
	now = now.Add(40 * time.Second)
	if w := get("k"); w.Code != 200 {
		t.Fatal(w.Code)
	}
	rs := s.Requests()
	if len(rs) != 4 || rs[1].Authorized || !rs[1].Keyed || rs[2].Status != 429 || rs[3].Path != "/calls" {
		t.Fatalf("%+v", rs)
	}
}

func TestServingInTheProcess(t *testing.T) {
	s := simulator.New(simulator.Options{Seed: 1, Calls: 10})
	dial, stop := s.Pipe()
	defer stop()
	c, err := vinfer.New(vinfer.Config{
		BaseURL: "http://vinfer.invalid/v1", Dial: dial,
		Key: func() (secret.Text, error) { return secret.New("k"), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if p, err := c.Calls(context.Background(), vinfer.Query{Limit: 100}, vinfer.News); err != nil || p.Rows != 10 {
		t.Fatal(p.Rows, err)
	}
}

func BenchmarkPage(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		for _, d := range dialects {
			s := simulator.New(simulator.Options{Seed: 1, Calls: n, Dialect: d, LimitPerMinute: -1})
			b.Run(fmt.Sprint(d, n), func(b *testing.B) {
				for i := range b.N {
					r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/v1/calls?limit=100&offset=%d", i*100%n), nil)
					r.Header.Set("Authorization", "Bearer x")
					s.ServeHTTP(httptest.NewRecorder(), r)
				}
			})
		}
	}
}
