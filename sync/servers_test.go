package sync

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// arrived checks that every call that ended from the beginning of the lab until a time has arrived once, by the ledger's and the
// destination's account.
func (l *lab) arrived(until time.Time) {
	l.t.Helper()
	got := l.rec.ids(crm.CallCompleted)
	slices.Sort(got)
	if n := len(slices.Compact(slices.Clone(got))); n != len(got) {
		l.t.Errorf("%d calls came twice", len(got)-n)
	}
	lost := 0
	for _, c := range l.sim.Calls() {
		if !c.End.After(l.began) || c.End.After(until) || c.Status == "in_progress" {
			continue
		}
		if _, there := slices.BinarySearch(got, c.ID); !there {
			lost++
		}
	}
	if lost > 0 {
		l.t.Errorf("%d calls are missing, %d came", lost, len(got))
	}
}

// Whatever the manners of a listing are, what it shows is delivered once, and the polls end well.
func TestMannersOfListings(t *testing.T) {
	for _, faults := range []string{
		"past-end", "past-end=404", "no-content", "clamp=20,page-total", "clamp=20,page-total,past-end", "page-total", "no-total,past-end=404",
		"no-total,clamp=20", "grow=3", "grow=3,no-to", "grow=3,no-total", "no-to", "clamp=7", "random", "disorder", "asc", "desc,grow=2",
	} {
		for _, dialect := range []simulator.Dialect{simulator.Guide, simulator.Reference} {
			t.Run(fmt.Sprint(dialect, " ", faults), func(t *testing.T) {
				t.Parallel()
				so := simulator.Options{Seed: 5, Dialect: dialect, Rate: 20, Calls: 200, Contacts: 2000, Span: 20 * time.Minute}
				inLab(t, so, func(o *Options) { o.Schedule = "@every 30s" }, func(l *lab) {
					all, err := simulator.ParseFaults(faults)
					if err != nil {
						l.t.Fatal(err)
					}
					for _, f := range all {
						l.sim.Fault(f)
					}
					l.pass(4 * time.Minute)
					until := time.Now()
					l.pass(8 * time.Minute)
					if st := l.stats(); st.LastRun.Error != "" {
						l.t.Errorf("the last poll failed: %s", st.LastRun.Error)
					}
					l.arrived(until)
				})
			})
		}
	}
}

// A server that counts more calls than it shows keeps no call up, and no range in which it does so counts as read.
func TestRangeWithFewerCallsThanCounted(t *testing.T) {
	for _, dialect := range []simulator.Dialect{simulator.Guide, simulator.Reference} {
		t.Run(dialect.String(), func(t *testing.T) {
			t.Parallel()
			so := simulator.Options{Seed: 5, Dialect: dialect, Rate: 10, Calls: 100, Contacts: 1000, Span: 20 * time.Minute}
			inLab(t, so, func(o *Options) { o.Schedule = "@every 30s" }, func(l *lab) {
				l.pass(5 * time.Minute)
				read := l.stats().Watermark
				l.sim.Fault(simulator.Fault{Kind: simulator.Miscount})
				l.pass(5 * time.Minute)
				until := time.Now()
				l.pass(10 * time.Minute)
				l.arrived(until)
				st := l.stats()
				if st.LastRun.Error == "" || st.Watermark.After(read.Add(time.Minute)) {
					l.t.Errorf("the cursor moved from %v to %v, error %q", read, st.Watermark, st.LastRun.Error)
				}
				if _, err := l.e.Audit(l.t.Context(), 0); err != nil && l.stats().AuditedUntil.After(st.Watermark) {
					l.t.Errorf("audited until %v", l.stats().AuditedUntil)
				}
				l.sim.Clear()
				l.pass(12 * time.Minute)
				st = l.stats()
				if st.LastRun.Error != "" || time.Since(st.Watermark) > 2*time.Minute || len(OpenRanges(st)) != 0 {
					l.t.Errorf("when it counts right again: cursor %v, open %v, error %q", st.Watermark, OpenRanges(st), st.LastRun.Error)
				}
				l.arrived(time.Now().Add(-6 * time.Minute))
			})
		})
	}
}

// A listing that shows calls twice, with old and with new content, makes no revision at each poll.
func TestCallsThatAreShownTwice(t *testing.T) {
	for _, dialect := range []simulator.Dialect{simulator.Guide, simulator.Reference} {
		t.Run(dialect.String(), func(t *testing.T) {
			t.Parallel()
			inLab(t, simulator.Options{Seed: 5, Dialect: dialect, Rate: 30, Calls: 50, Contacts: 1000, Span: 20 * time.Minute}, nil, func(l *lab) {
				l.sim.Fault(simulator.Fault{Kind: simulator.Twins})
				l.pass(10 * time.Minute)
				l.arrived(time.Now().Add(-6 * time.Minute))
				perCall := map[string]int{}
				for _, e := range l.rec.entries() {
					perCall[e.Call.ID]++
				}
				for id, n := range perCall {
					if n > 2 {
						l.t.Errorf("%s came %d times", id, n)
					}
				}
			})
		})
	}
}

func TestVersionsOfACall(t *testing.T) {
	field := func(tag byte, v uint32) store.Field { return store.Field{Tag: tag, Hash: v} }
	older := store.Row{ID: "a", Fields: []store.Field{field(1, 1), field(2, 7)}}
	newer := store.Row{ID: "a", Fields: []store.Field{field(1, 2), field(2, 7)}}
	less := store.Row{ID: "a", Fields: []store.Field{field(2, 7)}}
	var known oldVersions
	list := func(rows ...store.Row) (kept []store.Row) {
		var v versions
		var page store.Page
		for i := range rows {
			if !v.drops(&known, &rows[i], &page, i == 0) {
				page.Rows = append(page.Rows, rows[i])
			}
		}
		known.seen(&v)
		return page.Rows
	}
	for i, step := range []struct{ rows, kept []store.Row }{
		{[]store.Row{older, newer}, []store.Row{newer}},
		{[]store.Row{older, newer}, []store.Row{newer}},
		{[]store.Row{newer, less}, []store.Row{newer}},
		{[]store.Row{older}, nil}, // it may be the one that was left out: the next listing tells
		{[]store.Row{older}, []store.Row{older}},
	} {
		got := list(step.rows...)
		if len(got) != len(step.kept) || len(got) > 0 && got[0].Fields[0] != step.kept[0].Fields[0] {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

// A call without an end is delivered as it is when it has lasted longer than calls do.
func TestCallThatNeverEnds(t *testing.T) {
	for _, status := range []string{"in_progress", "no_answer", "busy", "canceled", "voicemail"} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			so := simulator.Options{Seed: 4, Dialect: simulator.Reference, Rate: 0.2, Unending: 1, UnendingStatus: status, Contacts: 100}
			inLab(t, so, func(o *Options) { o.MaxCall = time.Hour }, func(l *lab) {
				l.pass(59 * time.Minute)
				if n := len(l.rec.entries()); n != 0 {
					l.t.Fatalf("%d calls came before they had lasted as long as any", n)
				}
				l.pass(3 * time.Hour)
				want := 0
				for _, c := range l.sim.Calls() {
					if time.Since(c.Start) > time.Hour+2*time.Minute {
						want++
					}
				}
				got := len(l.delivered())
				if got < want || got > want+1 || want < 30 {
					l.t.Errorf("%d calls came of %d that began more than an hour ago", got, want)
				}
				if n := countOf(l.o.Store, settingNeverEnded); n != int64(got) {
					l.t.Errorf("%d calls without an end are counted, %d came", n, got)
				}
				if n := len(l.rec.entries()); n != got {
					l.t.Errorf("%d entries for %d calls", n, got)
				}
			})
		})
	}
}
