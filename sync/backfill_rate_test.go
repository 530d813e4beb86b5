package sync

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// backfill runs one beside the daemon and returns where its end is told.
func (l *lab) backfill(ctx context.Context, r BackfillRequest) <-chan error {
	ended := make(chan error, 1)
	go func() {
		p, err := l.e.Backfill(ctx, r, nil)
		if err == nil && !p.Done {
			err = errors.New(p.Waiting)
		}
		ended <- err
	}()
	synctest.Wait()
	return ended
}

func (l *lab) filled() store.Backfill {
	l.t.Helper()
	all := l.stats().Backfills
	if len(all) == 0 {
		l.t.Fatal("no backfill")
	}
	return all[len(all)-1]
}

// The rate holds over a restart, and for nothing but the backfill.
func TestABackfillKeepsItsRate(t *testing.T) {
	inLab(t, simulator.Options{Seed: 3, Calls: 300, Span: 20 * time.Hour}, nil, func(l *lab) {
		ended := l.backfill(l.t.Context(), BackfillRequest{Since: l.began.Add(-24 * time.Hour), Rate: 60, Typed: "-24h"})
		l.pass(2 * time.Minute)
		if n := len(l.delivered()); n < 110 || n > 126 {
			l.t.Errorf("%d calls in two minutes at 60 a minute", n)
		}
		l.hide("live", time.Now(), time.Now())
		l.pass(61 * time.Second)
		if !slices.Contains(l.delivered(), "live") {
			l.t.Error("the live call waits for the backfill")
		}
		l.stop()
		<-ended
		before := len(l.delivered())
		l.start()
		l.pass(time.Minute)
		if n := len(l.delivered()) - before; n < 55 || n > 66 {
			l.t.Errorf("%d calls in the minute after the restart", n)
		}
		// The same words go on, faster.
		if err := <-l.backfill(l.t.Context(), BackfillRequest{Since: time.Now().Add(-24 * time.Hour), Rate: 100_000, Typed: "-24h"}); err != nil {
			l.t.Fatal(err)
		}
		if n := len(l.stats().Backfills); n != 1 || len(l.delivered()) != 301 {
			l.t.Errorf("%d backfills, %d delivered", n, len(l.delivered()))
		}
	})
}

func TestACancelledBackfillDeliversNoMore(t *testing.T) {
	inLab(t, simulator.Options{Seed: 3, Calls: 300, Span: 20 * time.Hour}, nil, func(l *lab) {
		r := BackfillRequest{Since: l.began.Add(-24 * time.Hour), Rate: 60, Typed: "-24h"}
		ended := l.backfill(l.t.Context(), r)
		l.pass(time.Minute)
		x, err := l.e.CancelBackfill(l.t.Context(), 1)
		if err != nil {
			l.t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, store.ErrCancelled) {
			l.t.Errorf("the command was told: %v", err)
		}
		l.pass(time.Minute)
		n := len(l.delivered())
		if n+x.Removed != 300 || x.Live != 0 || l.stats().Pending != 0 {
			l.t.Errorf("%d delivered, %+v, %d pending", n, x, l.stats().Pending)
		}
		l.stop()
		l.start()
		l.pass(10 * time.Minute)
		if len(l.delivered()) != n {
			l.t.Errorf("%d delivered after it was cancelled", len(l.delivered())-n)
		}
		r.Rate = 0
		if err := <-l.backfill(l.t.Context(), r); err != nil {
			l.t.Fatal(err)
		}
		if got := l.delivered(); len(got) != 300 || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 300 {
			l.t.Errorf("%d delivered by another one", len(got))
		}
		if list, err := l.e.Backfills(); err != nil || len(list) != 2 || list[0].State != "cancelled" || list[1].State != "done" {
			l.t.Errorf("%+v %v", list, err)
		}
	})
}

// The range is the one that the words meant first, however much later they are said again.
func TestABackfillKeepsItsRange(t *testing.T) {
	inDialects(t, func(o *Options) { o.PageSize = 10 }, func(l *lab) {
		pages := 0
		l.breaks(func(*http.Request) bool { pages++; return pages > 3 })
		if err := <-l.backfill(l.t.Context(), BackfillRequest{Since: l.began.Add(-24 * time.Hour), Typed: "-24h"}); err == nil {
			l.t.Fatal("not interrupted")
		}
		l.breaks(nil)
		l.stop()
		l.pass(5 * time.Hour)
		l.start()
		p, err := l.e.Backfill(l.t.Context(), BackfillRequest{Since: time.Now().Add(-24 * time.Hour), Typed: "-24h"}, nil)
		if err != nil || !p.Done || !p.Resumed || !p.Since.Equal(l.began.Add(-24*time.Hour)) || p.Until.After(l.began.Add(time.Minute)) || p.Fetched != 50 {
			l.t.Errorf("%+v %v", p, err)
		}
		if n := len(l.delivered()); n != 50 {
			l.t.Errorf("%d delivered", n)
		}
	})
}

func TestAnEstimateStoresNothing(t *testing.T) {
	inDialects(t, func(o *Options) { o.FetchTranscripts = true }, func(l *lab) {
		r := BackfillRequest{Since: l.began.Add(-30 * time.Hour), Rate: 10}
		e, err := l.e.Estimate(l.t.Context(), r)
		how := ByTotal
		if l.noTotal {
			how = ByReading
		}
		if err != nil || e.Calls != 50 || e.CountedBy != how || e.Requests < 1 || e.Transcripts != 50 || e.Minutes != 5 {
			l.t.Errorf("%+v %v", e, err)
		}
		r.Until, r.NoTranscripts = l.began.Add(-12*time.Hour), true
		half, err := l.e.Estimate(l.t.Context(), r)
		if err != nil || half.Calls >= 40 || half.Calls <= 10 || half.Transcripts != 0 {
			l.t.Errorf("%+v %v", half, err)
		}
		if err := <-l.backfill(l.t.Context(), BackfillRequest{Since: r.Since, Until: r.Until, NoTranscripts: true, Typed: "x"}); err != nil {
			l.t.Fatal(err)
		}
		if n := l.filled().Fetched; int(n) < half.Calls-1 || int(n) > half.Calls+1 { // starts are counted where starts are filtered
			l.t.Errorf("estimated %d, seen %d", half.Calls, n)
		}
		if n := l.stats().Transcripts; n != 0 {
			l.t.Errorf("%d transcripts are waited for", n)
		}
	})
}

func TestOverdueTasksAreCounted(t *testing.T) {
	inLab(t, simulator.Options{}, func(o *Options) {
		o.Destinations[0].Mapping = Mapping{Dispositions: map[string]Rule{"callback_requested": {Task: &TaskRule{Title: "Call", Due: 2 * time.Hour}}}}
	}, func(l *lab) {
		call := func(id string, ago time.Duration) {
			l.sim.Add(simulator.Call{ID: id, Phone: "+919876500001", Disposition: "callback_requested", Duration: time.Minute, End: l.began.Add(-ago)})
		}
		call("stale", 30*time.Hour)
		call("staler", 40*time.Hour)
		call("fresh", time.Hour)
		p, err := l.e.Backfill(l.t.Context(), BackfillRequest{Since: l.began.Add(-50 * time.Hour), Typed: "a"}, nil)
		if err != nil || p.Delivered != 3 || p.TasksLeft != 2 {
			l.t.Errorf("%+v %v", p, err)
		}
		for _, e := range l.rec.entries() {
			if (e.Task != nil) != (e.Call.ID == "fresh") {
				l.t.Errorf("%s: task %v", e.Call.ID, e.Task)
			}
		}
		call("wanted", 60*time.Hour)
		p, err = l.e.Backfill(l.t.Context(), BackfillRequest{Since: l.began.Add(-70 * time.Hour), Until: l.began.Add(-50 * time.Hour), WithTasks: true, Typed: "b"}, nil)
		got := l.rec.entries()
		if last := got[len(got)-1]; err != nil || p.TasksLeft != 0 || last.Event != crm.CallCompleted || last.Task == nil {
			l.t.Errorf("%+v %v, task %v", p, err, last.Task)
		}
	})
}

// A destination that is down is waited for; one that an operator has to see to is not.
func TestABackfillWaitsForRetries(t *testing.T) {
	inLab(t, simulator.Options{Seed: 3, Calls: 50, Span: 20 * time.Hour}, nil, func(l *lab) {
		down := l.began.Add(20 * time.Minute)
		l.rec.answer = func(crm.Entry, int) error {
			if time.Now().Before(down) {
				return errors.New("crm.example answers 503 Service Unavailable")
			}
			return nil
		}
		silent := 0 // times that it did not say why nothing moves
		p, err := l.e.Backfill(l.t.Context(), BackfillRequest{Since: l.began.Add(-24 * time.Hour), Typed: "-24h"}, func(p BackfillProgress) {
			if time.Since(l.began) > time.Minute && time.Now().Before(down) && !strings.Contains(p.Waiting, "503") {
				silent++
			}
		})
		if err != nil || !p.Done || p.Delivered != 50 || p.Waiting != "" || time.Now().Before(down) {
			l.t.Errorf("%+v %v", p, err)
		}
		if silent > 0 {
			l.t.Errorf("%d times it does not say why nothing moves", silent)
		}
	})
	inLab(t, simulator.Options{Seed: 3, Calls: 50, Span: 20 * time.Hour}, nil, func(l *lab) {
		l.rec.answer = func(crm.Entry, int) error { return crm.Halted(errors.New("crm.example answers 401 Unauthorized")) }
		p, err := l.e.Backfill(l.t.Context(), BackfillRequest{Since: l.began.Add(-24 * time.Hour), Typed: "-24h"}, nil)
		if err != nil || p.Done || p.Delivered+p.Dead > 0 || !strings.Contains(p.Waiting, "halted") || time.Since(l.began) > time.Minute {
			l.t.Errorf("%+v %v", p, err)
		}
	})
}
