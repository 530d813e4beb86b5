package sync

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// What teaches something of the server may be a passing fault: it must cost a few minutes at most.

// A second page that is refused once does not show that totals count listings.
func TestRefusalOfASecondPageTeachesNothing(t *testing.T) {
	so := simulator.Options{Seed: 5, Dialect: simulator.Guide, Rate: 30, Calls: 30 * 45, Contacts: 10000, Steady: true}
	inLab(t, so, nil, func(l *lab) {
		faults, err := simulator.ParseFaults("clamp=20,page-total")
		if err != nil {
			l.t.Fatal(err)
		}
		for _, f := range faults {
			l.sim.Fault(f)
		}
		l.pass(6*time.Minute + 30*time.Second)
		l.sim.Fault(simulator.Fault{Kind: simulator.Status, Status: http.StatusBadRequest, Skip: 1, Count: 1, Path: "/calls"})
		l.pass(8 * time.Minute)
		l.arrived(time.Now().Add(-70 * time.Second))
	})
}

// One answer with a Date of hours ago holds nothing back.
func TestOneOldDate(t *testing.T) {
	both(t, func(t *testing.T, after bool) {
		rows := past(5)
		a := newAPI(t, after, rows...)
		rec := &recorder{}
		r := newRig(t, a, rec, nil)
		r.once()
		old := true
		a.set(func() {
			a.hook = func(w http.ResponseWriter, q *http.Request, _ int) bool {
				if old && q.URL.Path == "/v1/calls" {
					old = false
					w.Header().Set("Date", time.Now().Add(-3*time.Hour).UTC().Format(http.TimeFormat))
				}
				return false
			}
		})
		r.once()
		a.set(func() {
			a.rows = append(a.rows, row{id: "after", phone: "+919000000001", disposition: "interested", started: time.Now().Add(-2 * time.Second), seconds: 1})
		})
		r.once()
		if got := rec.entries(); got[len(got)-1].Call.ID != "after" || got[len(got)-1].Late || r.e.ClockDoubt() != 0 {
			t.Errorf("%+v, doubted by %v", got[len(got)-1], r.e.ClockDoubt())
		}
	})
}

// A late call that a turn of the lookback found before it broke off is delivered, whether another turn comes or not.
func TestLateCallOfABrokenTurn(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	var rows []row
	for i := range 40 {
		rows = append(rows, row{
			id: fmt.Sprintf("c%02d", i), phone: fmt.Sprintf("+9190000%05d", i), disposition: "interested",
			started: now.Add(-time.Duration(40-i) * 20 * time.Second), seconds: 10,
		})
	}
	a := newAPI(t, true, rows...)
	rec := &recorder{}
	r := newRig(t, a, rec, func(o *Options) { o.PageSize, o.Start = 2, now.Add(-20*time.Minute) })
	r.once()
	r.once()
	a.set(func() {
		a.rows = append([]row{{id: "late", phone: "+919000099999", disposition: "interested", started: now.Add(-10 * time.Minute), seconds: 10}}, a.rows...)
		a.hook = func(w http.ResponseWriter, q *http.Request, _ int) bool {
			if q.URL.Query().Get("offset") == "4" {
				http.Error(w, "sick", http.StatusInternalServerError)
				return true
			}
			return false
		}
	})
	r.e.plan.turn = time.Time{} // it is due
	if _, err := r.e.RunOnce(t.Context()); err == nil {
		t.Fatal("the turn did not break off: the test tests nothing")
	}
	a.set(func() { a.hook = nil })
	r.restart(func(o *Options) { o.PageSize = 100 })
	r.once()
	if !slices.Contains(rec.ids(crm.CallCompleted), "late") || r.stats().Pending != 0 {
		t.Errorf("it has not arrived, %d deliveries wait", r.stats().Pending)
	}
}

// However short a range is that stayed open, it is closed when it is read again; also without a lookback.
func TestShortRangeThatStayedOpen(t *testing.T) {
	for _, lookback := range []time.Duration{0, 15 * time.Minute} {
		t.Run(lookback.String(), func(t *testing.T) {
			inLab(t, simulator.Options{Seed: 5, Rate: 60, Calls: 100, Contacts: 1000, Span: 20 * time.Minute}, func(o *Options) {
				o.Schedule, o.Lookback = "@every 1s", lookback
			}, func(l *lab) {
				l.pass(time.Minute)
				l.sim.Fault(simulator.Fault{Kind: simulator.Miscount, Count: 4})
				l.pass(15 * time.Minute)
				if st := l.stats(); time.Since(st.Watermark) > 5*time.Second || len(OpenRanges(st)) > 0 {
					l.t.Errorf("cursor %v, open %v", st.Watermark, OpenRanges(st))
				}
			})
		})
	}
}

// Calls that never end do not pile up in memory.
func TestCallsWithoutAnEndAreForgotten(t *testing.T) {
	so := simulator.Options{Seed: 4, Dialect: simulator.Reference, Rate: 2, Unending: 1, UnendingStatus: "no_answer", Contacts: 10000}
	inLab(t, so, func(o *Options) { o.MaxCall = time.Hour }, func(l *lab) {
		l.pass(8 * time.Hour)
		l.e.unfinished.mu.Lock()
		defer l.e.unfinished.mu.Unlock()
		if n := len(l.e.unfinished.calls); n > 2*62 {
			l.t.Errorf("%d calls are in memory", n)
		}
	})
}

// A server that lists only calls that have ended shows one that lasted for an hour far behind what turns read.
func TestLongCallsOfAServerThatListsOnlyEnded(t *testing.T) {
	so := simulator.Options{Seed: 5, Dialect: simulator.Reference, Rate: 20, Calls: 20 * 45, Contacts: 10000, Steady: true, EndedOnly: true}
	inLab(t, so, nil, func(l *lab) {
		var want []string
		for i := range 36 {
			id, lasted := fmt.Sprintf("long%03d", i), 50*time.Minute+time.Duration(i)*50*time.Second
			l.sim.Add(simulator.Call{
				ID: id, Phone: fmt.Sprintf("+91987650%04d", i), Disposition: "interested", Duration: lasted,
				End: time.Now().Add(15*time.Minute + time.Duration(i)*8*time.Second),
			})
			want = append(want, id)
		}
		l.pass(50 * time.Minute)
		got := l.delivered()
		for _, id := range want {
			if !slices.Contains(got, id) {
				l.t.Errorf("%s has not arrived", id)
			}
		}
	})
}
