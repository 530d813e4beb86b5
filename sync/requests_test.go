package sync

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// Polls must not come to cost more of the API's budget than they do, and a server without faults must make no error in the log. The daemon
// runs in the time of a bubble: what is counted does not depend on the machine.
func TestRequestsOfPolls(t *testing.T) {
	for _, v := range []struct {
		dialect simulator.Dialect
		rate    float64 // calls a minute
		most    uint64  // requests a minute
	}{
		{simulator.Guide, 6, 20},
		{simulator.Guide, 60, 20},
		{simulator.Guide, 300, 45},
		{simulator.Reference, 6, 32},
		{simulator.Reference, 60, 75},
		{simulator.Reference, 300, 220},
	} {
		t.Run(fmt.Sprint(v.dialect, " ", v.rate), func(t *testing.T) {
			t.Parallel()
			var log logged
			so := simulator.Options{Seed: 3, Dialect: v.dialect, Rate: v.rate, Calls: int(v.rate * 45), Contacts: int(v.rate * 400), Steady: true}
			inLab(t, so, func(o *Options) {
				o.Schedule, o.Logger = "@every 5s", slog.New(slog.NewTextHandler(&log, nil))
			}, func(l *lab) {
				const warm, minutes = 6 * time.Minute, 2
				l.pass(warm)
				before := l.e.o.API.Requests()
				l.pass(minutes * time.Minute)
				var sum uint64
				after := l.e.o.API.Requests()
				for i := range after {
					sum += after[i].Total - before[i].Total
				}
				if sum > v.most*minutes {
					l.t.Errorf("%d requests a minute, more than %d: %+v", sum/minutes, v.most, after)
				}
				if text := log.String(); strings.Contains(text, "level=ERROR") || strings.Contains(text, "level=WARN") {
					l.t.Error(text)
				}
				l.pass(6 * time.Minute) // the longest calls are found in a turn of the lookback
				var want []string
				for _, c := range l.sim.Calls() {
					if c.End.After(l.began) && !c.End.After(l.began.Add(warm+minutes*time.Minute)) {
						want = append(want, c.ID)
					}
				}
				got := l.rec.ids(crm.CallCompleted)
				slices.Sort(got)
				if n := len(slices.Compact(slices.Clone(got))); n != len(got) {
					l.t.Errorf("%d calls were doubled", len(got)-n)
				}
				for _, id := range want {
					if _, there := slices.BinarySearch(got, id); !there {
						l.t.Errorf("%s was lost", id)
					}
				}
			})
		})
	}
}

// The steps of listings by start never cost more than there is to spend, and reach back farther the more seldom they are taken.
func TestSteps(t *testing.T) {
	quantile := func(p float64) time.Duration { return time.Duration(p * p * p * float64(15*time.Minute)) }
	for _, rate := range []float64{0.01, 1, 5, 16, 50} {
		for _, interval := range []time.Duration{time.Second, 5 * time.Second, time.Minute, 10 * time.Minute} {
			all, short := steps(rate, quantile, interval, 100, step{18 * time.Minute, 5 * time.Minute}, 345)
			if all[0].every != interval || all[1].depth < all[0].depth || all[2].depth < all[1].depth || all[2].every < all[1].every {
				t.Errorf("%g a second, every %v: %v", rate, interval, all)
			}
			if spent := cost(all, rate, 100, step{}); !short && spent > 345 {
				t.Errorf("%g a second, every %v: %v cost %.0f requests a minute", rate, interval, all, spent)
			}
		}
	}
}

func TestLengths(t *testing.T) {
	var l lengths
	for i := range 1000 {
		l.add(time.Duration(i+1) * time.Second)
	}
	for _, p := range []float64{0.1, 0.5, 0.9, 0.99} {
		want := p * 1000
		if got := l.quantile(p).Seconds(); got < 0.94*want || got > 1.06*want {
			t.Errorf("quantile %g: %.0f s", p, got)
		}
	}
	for range 10 * manyCalls {
		l.add(2 * time.Second)
	}
	if got := l.quantile(0.9); got > 3*time.Second {
		t.Errorf("what is old still counts: %v", got)
	}
}
