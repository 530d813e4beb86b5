package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	engine "github.com/vinfer-sync/vinfer-sync/sync"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// Live calls must arrive as if nothing else were to do, at a destination that takes its time.
const (
	liveRate  = 120 // calls a minute
	liveEvery = 5 * time.Second
	liveWrite = 20 * time.Millisecond
	beside    = 5000 // calls of the backfill, transcripts that wait
)

// freshness returns from the end to the write of each call that ended from one time up to another, sorted, and how many were never written.
func (d *daemonInBubble) freshness(from, to time.Time) (fresh []time.Duration, lost int) {
	calls, now := d.sim.Calls(), time.Now()
	d.notes.mu.Lock()
	defer d.notes.mu.Unlock()
	for _, c := range calls {
		if c.End.Before(from) || !c.End.Before(to) {
			continue
		}
		at, there := d.notes.written[c.ID]
		if !there {
			lost++
			at = now
		}
		fresh = append(fresh, at.Sub(c.End))
	}
	slices.Sort(fresh)
	return fresh, lost
}

// besides runs the daemon, and beside it what work does until it returns; the live calls of that time count.
func besides(b *testing.B, so simulator.Options, change func(*engine.Options), work func(*testing.T, *daemonInBubble)) {
	for _, d := range []simulator.Dialect{simulator.Guide, simulator.Reference} {
		b.Run(d.String(), func(b *testing.B) {
			var fresh []time.Duration
			var lost int
			var took time.Duration
			so.Dialect, so.Seed, so.Contacts, so.Rate = d, 1, 20_000, liveRate
			for b.Loop() {
				inBubble(b, so, func(o *engine.Options) {
					o.Schedule = "@every " + liveEvery.String()
					change(o)
				}, liveWrite, func(t *testing.T, d *daemonInBubble) {
					time.Sleep(2*time.Minute + 2*time.Second) // between two polls
					from := time.Now()
					work(t, d)
					to := time.Now()
					time.Sleep(grace)
					took = to.Sub(from)
					fresh, lost = d.freshness(from.Add(-liveEvery), to)
				})
			}
			slowest := quantile(fresh, 1)
			b.ReportMetric(slowest.Seconds(), "slowest-s")
			b.ReportMetric(quantile(fresh, 0.5).Seconds(), "p50-s")
			b.ReportMetric(float64(lost), "lost")
			fmt.Printf("%s: %d live calls in %s: p50 %s, p90 %s, slowest %s (goal: at most %s), lost %d\n", b.Name(), len(fresh), round(took),
				round(quantile(fresh, 0.5)), round(quantile(fresh, 0.9)), round(slowest), liveEvery+2*time.Second, lost)
		})
	}
}

// BenchmarkLiveBesideBackfill tells how late the slowest live call is while a backfill is at work.
func BenchmarkLiveBesideBackfill(b *testing.B) {
	// The first poll may read some of the calls that are there from the start.
	besides(b, simulator.Options{Calls: beside + 100, Span: 20 * time.Hour}, func(*engine.Options) {}, func(t *testing.T, d *daemonInBubble) {
		// The range of the backfill holds a call that no poll has seen.
		d.sim.Add(simulator.Call{Phone: "+919876500001", End: time.Now().Add(-time.Second), Duration: time.Minute, Status: "completed", Disposition: "interested"})
		p, err := d.e.Backfill(t.Context(), engine.BackfillRequest{Since: time.Now().Add(-24 * time.Hour), Typed: "-24h"}, nil)
		if err != nil || !p.Done || p.Delivered < beside {
			t.Errorf("the backfill: %+v, %v", p, err)
		}
	})
}

// BenchmarkLiveBesideTranscripts tells how late the slowest live call is while transcripts wait for the limit.
func BenchmarkLiveBesideTranscripts(b *testing.B) {
	// Of the calls that are there from the start some transcripts are read before the measurement begins.
	so := simulator.Options{Calls: beside * 2, Span: 10 * time.Hour}
	besides(b, so, func(o *engine.Options) {
		o.FetchTranscripts, o.Start = true, time.Now().Add(-11*time.Hour)
	}, func(t *testing.T, d *daemonInBubble) {
		s, err := d.e.Status()
		if err != nil || s.Transcripts < beside {
			t.Errorf("only %d transcripts wait: %v", s.Transcripts, err)
		}
		time.Sleep(measured)
	})
}
