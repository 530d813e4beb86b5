package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// morning is when the workspaces of these tests begin.
var morning = time.Date(2024, 2, 1, 9, 0, 0, 0, time.UTC)

// workspace is a server of calls that began at a steady rate of ten a minute, and its clock.
func workspace(t *testing.T, o simulator.Options) (*simulator.Server, *vinfer.Client, *clock) {
	t.Helper()
	c := at(morning)
	o.Seed, o.Rate, o.Steady, o.LimitPerMinute, o.Now = 3, 10, true, -1, c.now
	if o.Calls == 0 {
		o.Calls = 2000
	}
	s := simulator.New(o)
	return s, client(t, s.Start(t)), c
}

// going counts the calls in progress.
func going(calls map[string]vinfer.Call) (n int) {
	for _, c := range calls {
		if c.Unfinished() {
			n++
		}
	}
	return n
}

func TestASteadyWorkspaceHasCallsInProgressFromTheStart(t *testing.T) {
	_, c, clock := workspace(t, simulator.Options{Dialect: simulator.Reference})
	before := going(all(t, c, vinfer.Query{Limit: 100}))
	clock.add(30 * time.Minute)
	after := going(all(t, c, vinfer.Query{Limit: 100}))
	// Ten a minute that last 135 s.
	for _, n := range []int{before, after} {
		if n < 14 || n > 34 {
			t.Errorf("%d in progress at the start, %d half an hour later", before, after)
		}
	}
}

func TestLateRows(t *testing.T) {
	for _, d := range dialects {
		s, c, clock := workspace(t, simulator.Options{Dialect: d, LateRows: 0.3, LateBy: 5 * time.Minute, LateMost: 20 * time.Minute})
		clock.add(time.Hour)
		now, late, hidden := clock.now(), 0, 0
		shown := all(t, c, vinfer.Query{Limit: 100})
		for _, call := range s.Calls() {
			_, is := shown[call.ID]
			behind := call.VisibleFrom.Sub(call.End)
			switch {
			case call.VisibleFrom.IsZero():
				continue
			case behind < 5*time.Minute || behind > 20*time.Minute:
				t.Fatalf("listed %s after the end", behind)
			case is == call.VisibleFrom.After(now):
				t.Fatalf("%s at %s: listed: %v", call.VisibleFrom, now, is)
			case !is && call.End.Before(now):
				hidden++
			}
			late++
		}
		if late < 600 || late > 950 || hidden == 0 {
			t.Errorf("%s: %d of 2,600 are late, %d of them not listed yet", d, late, hidden)
		}
	}
}

func TestRowsThatDisappear(t *testing.T) {
	for _, d := range dialects {
		s, c, clock := workspace(t, simulator.Options{Dialect: d, Vanishing: 0.5, VanishAfter: time.Minute})
		clock.add(time.Minute)
		for _, call := range s.Calls() {
			if ago := clock.now().Sub(call.End); call.GoneFrom.IsZero() || ago < 0 || ago >= time.Minute {
				continue
			}
			if _, ok := all(t, c, vinfer.Query{Limit: 100})[call.ID]; !ok {
				t.Fatalf("%s is gone at once", call.ID)
			}
			clock.add(time.Minute)
			if _, ok := all(t, c, vinfer.Query{Limit: 100})[call.ID]; ok || slices.Contains(s.IDs(), call.ID) {
				t.Fatalf("%s is listed still", call.ID)
			}
			if _, err := c.Call(t.Context(), call.ID, vinfer.News); err == nil {
				t.Fatalf("%s is found still", call.ID)
			}
			break
		}
	}
}

func TestCallsOfHoursAndWithoutEnd(t *testing.T) {
	s, c, clock := workspace(t, simulator.Options{Dialect: simulator.Reference, LongCalls: 0.1, Unending: 0.1})
	long := 0
	for _, call := range s.Calls() {
		if d := call.End.Sub(call.Start); d >= time.Hour {
			if d > 3*time.Hour+time.Minute {
				t.Fatalf("a call of %s", d)
			}
			long++
		}
	}
	clock.add(10 * time.Hour)
	statuses := map[string]int{}
	for _, call := range all(t, c, vinfer.Query{Limit: 100, Bound: vinfer.From, Since: morning.Add(-24 * time.Hour), To: morning}) {
		if call.Unfinished() {
			statuses[call.Status]++
		}
	}
	if long < 100 || long > 300 || len(statuses) != 5 || statuses["busy"] < 10 {
		t.Errorf("%d calls of hours; without end %v", long, statuses)
	}
	if call, err := c.Call(t.Context(), s.IDs()[0], vinfer.News); err != nil || call.Unfinished() {
		t.Error(call, err)
	}
}

func TestOnlyEndedCallsAreListed(t *testing.T) {
	_, c, _ := workspace(t, simulator.Options{Dialect: simulator.Reference, EndedOnly: true})
	if shown := all(t, c, vinfer.Query{Limit: 100}); going(shown) != 0 || len(shown) < 1900 || len(shown) > 1990 {
		t.Errorf("%d calls, %d of them in progress", len(shown), going(shown))
	}
}

func TestDispositionsAreSetLater(t *testing.T) {
	s, c, clock := workspace(t, simulator.Options{Dialect: simulator.Reference, LateDispositions: 1, DispositionDelay: 20 * time.Second})
	clock.add(time.Minute)
	want := map[bool]int{}
	for id, call := range all(t, c, vinfer.Query{Limit: 100}) {
		if call.Unfinished() {
			continue
		}
		set := call.Disposition != ""
		if set != !call.EndedAt.Add(20*time.Second).After(clock.now()) {
			t.Fatalf("%s ended %s before, its disposition is %q", id, clock.now().Sub(call.EndedAt), call.Disposition)
		}
		want[set]++
	}
	if want[true] == 0 || want[false] == 0 || len(s.IDs()) == 0 {
		t.Error(want)
	}
}

func TestListingsGrowWithoutAClock(t *testing.T) {
	for _, d := range dialects {
		s := simulator.New(simulator.Options{Seed: 1, Calls: 150, Dialect: d, Now: func() time.Time { return morning }})
		s.Fault(simulator.Fault{Kind: simulator.Grow, N: 3})
		c := client(t, s.Start(t))
		first, err := c.Calls(t.Context(), vinfer.Query{Limit: 100}, vinfer.News)
		if err != nil {
			t.Fatal(err)
		}
		second, err := c.Calls(t.Context(), vinfer.Query{Limit: 100, Offset: 100}, vinfer.News)
		if err != nil || first.Total != 153 || second.Total != 156 || second.Rows != 56 {
			t.Errorf("%s: totals %d and %d, %d rows, %v", d, first.Total, second.Total, second.Rows, err)
		}
	}
}

func TestTheEndOfAListing(t *testing.T) {
	for list, want := range map[string]int{"": 200, "past-end": 400, "past-end=404": 404, "no-content": 204, "past-end,no-content": 400} {
		s := simulator.New(simulator.Options{Calls: 20})
		faults, err := simulator.ParseFaults(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range faults {
			s.Fault(f)
		}
		for url, want := range map[string]int{"/v1/calls?offset=19": 200, "/v1/calls?offset=20": want} {
			r := httptest.NewRequest(http.MethodGet, url, nil)
			r.Header.Set("Authorization", "Bearer x")
			w := httptest.NewRecorder()
			if s.ServeHTTP(w, r); w.Code != want {
				t.Errorf("%q: %s is answered %d", list, url, w.Code)
			}
		}
	}
}

func TestTotalsThatAreWrong(t *testing.T) {
	for list, want := range map[string][2]int{
		"": {30, 0}, "wrong-total=5": {35, 5}, "miscount=5": {35, 0}, "miscount=-2": {28, 0}, "page-total,clamp=20": {20, 0}, "no-total": {-1, -1},
	} {
		s := simulator.New(simulator.Options{Calls: 30})
		faults, err := simulator.ParseFaults(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range faults {
			s.Fault(f)
		}
		c := client(t, s.Start(t))
		full, err1 := c.Calls(t.Context(), vinfer.Query{Limit: 100}, vinfer.News)
		none, err2 := c.Calls(t.Context(), vinfer.Query{Limit: 100, Bound: vinfer.After, Since: time.Now().Add(time.Hour)}, vinfer.News)
		if full.Total != want[0] || none.Total != want[1] {
			t.Errorf("%q: %d and %d, %v, %v", list, full.Total, none.Total, err1, err2)
		}
	}
}

func TestOneCallTwiceWithOldAndNewContent(t *testing.T) {
	s := simulator.New(simulator.Options{Seed: 1, Calls: 40})
	s.Fault(simulator.Fault{Kind: simulator.Twins})
	p, err := client(t, s.Start(t)).Calls(t.Context(), vinfer.Query{Limit: 40}, vinfer.News)
	if err != nil {
		t.Fatal(err)
	}
	seen, old := map[string][]string{}, map[int]int{}
	for _, call := range p.Calls {
		seen[call.ID] = append(seen[call.ID], call.Disposition)
	}
	for id, d := range seen {
		if i := slices.Index(d, ""); len(d) == 2 && i >= 0 && d[1-i] != "" {
			old[i]++
		} else if len(d) != 1 || i >= 0 {
			t.Errorf("%s: %q", id, d)
		}
	}
	if old[0] == 0 || old[1] == 0 {
		t.Errorf("the old content comes first and last: %v; %d rows", old, p.Rows)
	}
}
