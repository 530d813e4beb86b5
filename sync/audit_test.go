package sync

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// lab is a daemon against the simulator, in the time of a bubble: days pass in seconds.
type lab struct {
	t       *testing.T
	sim     *simulator.Server
	rec     *recorder
	path    string
	o       Options
	e       *Engine
	stop    func()
	noTotal bool
	faulty  sync.Mutex
	fault   func(*http.Request) bool // breaks the connection instead of an answer; see breaks
	client  func() *vinfer.Client
	began   time.Time
}

// inLab runs f with a daemon that polls every minute.
func inLab(t *testing.T, so simulator.Options, change func(*Options), f func(*lab)) {
	path := filepath.Join(t.TempDir(), "state.db")
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(26 * 365 * day) // from 2000, which the probe takes for the far past
		l := &lab{t: t, noTotal: so.NoTotal, rec: &recorder{}, path: path, began: time.Now().UTC()}
		so.Before = func(r *http.Request) {
			if l.broken(r) {
				panic(http.ErrAbortHandler)
			}
		}
		l.sim = simulator.New(so)
		dial, stop := l.sim.Pipe()
		defer stop()
		l.o = Options{
			Lookback: 15 * time.Minute, Settle: time.Hour, MaxCall: 4 * time.Hour, Schedule: "@every 1m", AuditDays: 3, AuditAt: "CRON_TZ=UTC 15 3 * * *",
			Logger:       slog.New(slog.DiscardHandler),
			Destinations: []Destination{{Name: "crm", Kind: "test", Writer: l.rec, Identity: "a"}},
		}
		if change != nil {
			change(&l.o)
		}
		l.client = func() *vinfer.Client {
			c, err := vinfer.New(vinfer.Config{BaseURL: "http://vinfer.invalid/v1", Key: func() (secret.Text, error) { return secret.New("k"), nil }, Dial: dial})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		l.start()
		defer func() { l.stop() }()
		f(l)
	})
}

// breaks sets what breaks connections. Requests come side by side: one page is asked for ahead.
func (l *lab) breaks(fault func(*http.Request) bool) {
	l.faulty.Lock()
	defer l.faulty.Unlock()
	l.fault = fault
}

func (l *lab) broken(r *http.Request) bool {
	l.faulty.Lock()
	defer l.faulty.Unlock()
	return l.fault != nil && l.fault(r)
}

// start runs the daemon until stop. What it has in memory is lost then, as by a kill.
func (l *lab) start() {
	st, err := bolt.Open(l.path, bolt.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	l.o.Store, l.o.API = st, l.client()
	if l.e, err = New(l.o); err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(l.t.Context())
	ended := make(chan error)
	go func() { ended <- l.e.Run(ctx, nil) }()
	l.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			l.t.Error(err)
		}
		if err := st.Close(); err != nil {
			l.t.Error(err)
		}
		l.o.API.Close()
	}
	synctest.Wait()
}

func (l *lab) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// hide adds a call that ends at one time and is shown from another on.
func (l *lab) hide(id string, end, shown time.Time) {
	l.sim.Add(simulator.Call{ID: id, Phone: "+919876500001", Disposition: "interested", Duration: time.Minute, End: end, VisibleFrom: shown})
}

func (l *lab) stats() store.Stats {
	l.t.Helper()
	st, err := l.o.Store.Stats()
	if err != nil {
		l.t.Fatal(err)
	}
	return st
}

// found returns how many late calls a stream has found.
func (l *lab) found(by string) int64 {
	for _, x := range l.stats().Lateness {
		if x.By == by {
			return x.Found
		}
	}
	return 0
}

func (l *lab) delivered() []string { return l.rec.ids(crm.CallCompleted) }

// dialects are the servers that readers must cope with.
var dialects = map[string]simulator.Options{
	"guide":         {Seed: 4, Calls: 50, Dialect: simulator.Guide},
	"guide with to": {Seed: 4, Calls: 50, Dialect: simulator.Guide, GuideTo: true, AfterInclusive: true},
	"reference":     {Seed: 4, Calls: 50, Dialect: simulator.Reference},
	"no totals":     {Seed: 4, Calls: 50, Dialect: simulator.Reference, NoTotal: true, Order: simulator.Shuffled},
}

func inDialects(t *testing.T, change func(*Options), f func(*lab)) {
	for name, o := range dialects {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inLab(t, o, change, f)
		})
	}
}

func TestLateCallsAreFound(t *testing.T) {
	// Where starts are filtered the polls look max_call back as well.
	inDialects(t, func(o *Options) { o.MaxCall = time.Minute }, func(l *lab) {
		at := func(d time.Duration) time.Time { return l.began.Add(d) }
		l.hide("by-lookback", at(10*time.Minute), at(20*time.Minute))
		l.hide("by-sweep", at(11*time.Minute), at(50*time.Minute))
		l.hide("by-audit", at(12*time.Minute), at(110*time.Minute))
		l.hide("never-late", at(13*time.Minute), at(13*time.Minute))
		l.pass(45 * time.Minute)
		sameIDs(l.t, l.delivered(), []string{"by-lookback", "never-late"})
		l.pass(time.Hour) // settled an hour after its end, and no more than a quarter of that later
		sameIDs(l.t, l.delivered(), []string{"by-lookback", "by-sweep", "never-late"})
		if n := l.found(store.SweepStream); n != 1 {
			l.t.Errorf("the sweep counts %d", n)
		}
		l.pass(time.Hour) // it is 2:45, and the daily audit at 3:15
		if slices.Contains(l.delivered(), "by-audit") {
			l.t.Fatal("found before the audit: the test tests nothing")
		}
		r, err := l.e.Audit(l.t.Context(), 0)
		if err != nil || r.Late != 1 || len(r.LateCalls) != 1 || r.LateCalls[0].ID != "by-audit" || r.BySweep != 1 || r.Compared != 4 || len(r.Owed) != 0 {
			l.t.Fatalf("%+v %v", r, err)
		}
		if !r.To.Equal(l.stats().AuditedUntil) || r.To.Before(at(2*time.Hour)) {
			l.t.Errorf("audited until %v, the report says %v", l.stats().AuditedUntil, r.To)
		}
		if r.Advice != "1h0m" && r.Advice != "65m" && r.Advice != "60m" && r.Advice != "75m" && r.Advice != "40m" {
			l.t.Errorf("advice %q", r.Advice)
		}
		sameIDs(l.t, l.delivered(), []string{"by-lookback", "by-sweep", "by-audit", "never-late"})
		if n := l.stats().LateFound; n != 3 {
			l.t.Errorf("late found %d", n)
		}
		r, err = l.e.Audit(l.t.Context(), 0)
		if err != nil || r.Late != 0 || len(r.LateCalls) != 0 || r.BySweep != 0 || r.Compared != 4 {
			l.t.Errorf("the second time: %+v %v", r, err)
		}
	})
}

// The audit by itself, at its time of the day; what lies below the first cursor is nobody's.
func TestTheDailyAudit(t *testing.T) {
	// Where starts are filtered the polls look max_call back as well.
	inDialects(t, func(o *Options) { o.MaxCall = time.Minute }, func(l *lab) {
		l.hide("late", l.began.Add(10*time.Minute), l.began.Add(3*time.Hour))
		l.hide("before", l.began.Add(-10*time.Minute), l.began.Add(3*time.Hour))
		l.pass(24*time.Hour + 10*time.Minute)
		sameIDs(l.t, l.delivered(), []string{"late"})
		until := l.stats().AuditedUntil
		if until.Hour() != 3 || until.Minute() < 14 || until.Minute() > 15 {
			l.t.Errorf("audited until %v", until)
		}
	})
}

// A sweep costs few requests, and none where polls have read late enough themselves.
func TestSweepsAreCheap(t *testing.T) {
	inLab(t, simulator.Options{Seed: 4, Calls: 400, Span: 24 * time.Hour, Dialect: simulator.Reference}, func(o *Options) { o.Start = time.Now().Add(-24 * time.Hour) }, func(l *lab) {
		l.pass(10 * time.Minute)
		first := len(l.sim.Requests())
		if first > 4+1+5+11+1 { // the probe, a count, five pages, eleven polls, and every five minutes a second page to see that there is none
			l.t.Errorf("%d requests in the first minutes: what the poll had read was swept", first)
		}
		l.pass(6 * time.Hour)
		polls, sweeps := 0, 0
		for _, k := range l.o.API.Requests() {
			switch k.Kind {
			case "sweep":
				sweeps = int(k.Total)
			case "news":
				polls = int(k.Total)
			}
		}
		if sweeps > 6*4+8 {
			l.t.Errorf("%d requests for sweeps in six hours, %d for polls", sweeps, polls)
		}
		l.stop()
		l.pass(50 * time.Hour)
		l.sim.ForgetRequests()
		l.start()
		l.pass(5 * time.Minute)
		// The polls read what the outage left, and as far before it as calls may last: nothing is swept.
		if all := len(l.sim.Requests()); all > 14 {
			for _, q := range l.sim.Requests() {
				l.t.Log(q.Path, q.Query)
			}
			l.t.Errorf("%d requests after the outage: %+v", all, l.o.API.Requests())
		}
	})
}

// An audit that breaks off in the middle goes on after the next poll, and tells of what it had found before.
func TestAnInterruptedAuditGoesOn(t *testing.T) {
	inDialects(t, func(o *Options) { o.MaxCall, o.PageSize, o.AuditAt = time.Minute, 10, "" }, func(l *lab) {
		for i := range 40 {
			end := l.began.Add(time.Duration(i+1) * time.Minute)
			l.hide(fmt.Sprintf("c%02d", i), end, end.Add(2*time.Hour*time.Duration(i%2)))
		}
		l.pass(3 * time.Hour)
		n := len(l.delivered())
		if n != 20 {
			l.t.Fatalf("%d calls came to the polls and the sweep", n)
		}
		l.o.Schedule = "@every 2m"
		pages := 0
		l.breaks(func(r *http.Request) bool {
			if r.URL.Query().Get("offset") != "" {
				pages++
			}
			return pages > 2
		})
		if r, err := l.e.Audit(l.t.Context(), 1); err == nil {
			l.t.Fatalf("not interrupted: %+v", r)
		}
		if n := l.found(store.AuditStream); n == 0 || n == 20 {
			l.t.Fatalf("interrupted after %d: the test tests nothing", n)
		}
		l.stop()
		l.breaks(nil)
		l.start() // which polls at once
		l.pass(time.Minute)
		if n := len(l.delivered()); n != 40 {
			l.t.Errorf("%d delivered", n)
		}
		if l.stats().AuditedUntil.IsZero() || l.found(store.AuditStream) != 20 {
			l.t.Errorf("audited until %v, %d found", l.stats().AuditedUntil, l.found(store.AuditStream))
		}
	})
}

// A call that began before the poll's range and ended in it, and is not listed while it goes on.
func TestALongCallWhereStartsAreFiltered(t *testing.T) {
	inLab(t, simulator.Options{Dialect: simulator.Reference, Calls: 30, Seed: 1}, func(o *Options) { o.Lookback = time.Minute }, func(l *lab) {
		end := l.began.Add(5 * time.Hour)
		l.sim.Add(simulator.Call{ID: "long", Phone: "+919876500001", Start: end.Add(-3*time.Hour - 30*time.Minute), End: end, Duration: 3 * time.Hour, VisibleFrom: end.Add(40 * time.Minute)})
		l.pass(7 * time.Hour)
		sameIDs(l.t, l.delivered(), []string{"long"})
	})
}
