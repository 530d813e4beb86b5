package sync

import (
	"net/http"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

func TestServerClock(t *testing.T) {
	now := time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
	var leaps []time.Duration
	c := serverClock{reject: func(d time.Duration) { leaps = append(leaps, d) }}
	for i, step := range []struct {
		after, says, believed time.Duration // said and believed against the local clock
	}{
		{0, 2 * time.Hour, 0}, // the two have not agreed yet: the earlier one counts
		{30 * time.Minute, 2 * time.Hour, 0},
		{31 * time.Minute, 2 * time.Hour, 2 * time.Hour}, // it stays
		{time.Minute, 2*time.Hour + 5*time.Second, 2*time.Hour + 5*time.Second},
		{time.Minute, 74 * time.Hour, 2*time.Hour + 5*time.Second}, // a leap
		{time.Minute, 2 * time.Hour, 2 * time.Hour},                // that was a mistake
		{time.Minute, 74 * time.Hour, 2 * time.Hour},
		{30 * time.Minute, 74 * time.Hour, 2 * time.Hour},
		{30 * time.Minute, 74 * time.Hour, 74 * time.Hour}, // it stays
		{time.Minute, -time.Hour, -time.Hour},              // going back costs nothing
		{time.Minute, 0, 0},                                // and what agrees with this machine's is no leap
		{time.Minute, -time.Hour, -time.Hour},              // but a mistake that passes
		{2 * time.Hour, 0, 0},
	} {
		now = now.Add(step.after)
		if got := c.accept(now.Add(step.says), now).Sub(now); got != step.believed {
			t.Errorf("step %d: %v is believed, not %v", i, got, step.believed)
		}
	}
	if len(leaps) != 3 || leaps[2] != 72*time.Hour {
		t.Errorf("told of %v", leaps)
	}
	c = serverClock{reject: func(time.Duration) {}}
	if got := c.accept(now.Add(72*time.Hour), now); !got.Equal(now) {
		t.Errorf("a first date three days ahead is believed: %v", got.Sub(now))
	}
}

// One answer with a Date of days ahead must not pass over days of calls, in one process or in a run under cron.
func TestDateThatLeapsAhead(t *testing.T) {
	both(t, func(t *testing.T, after bool) {
		for _, restart := range []bool{false, true} {
			rows := past(5)
			a := newAPI(t, after, rows...)
			rec := &recorder{}
			r := newRig(t, a, rec, nil)
			r.once()
			wrong := true
			a.set(func() {
				a.hook = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
					if wrong {
						w.Header().Set("Date", time.Now().Add(20*time.Hour).UTC().Format(http.TimeFormat))
					}
					return false
				}
			})
			if restart {
				r.restart(nil)
			}
			r.once()
			if w := r.stats().Watermark; w.After(time.Now().Add(time.Minute)) {
				t.Errorf("cursor %s", w)
			}
			a.set(func() {
				wrong = false
				rows = append(rows, row{id: "after", phone: "+919000000001", started: time.Now().Add(-2 * time.Second), seconds: 1})
				a.rows = rows
			})
			r.once()
			sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
		}
	})
}

// start: now means VInfer's now, or this machine's where that is earlier: a Date that is wrong must not pass over calls.
func TestStartNowByTheServersClock(t *testing.T) {
	both(t, func(t *testing.T, after bool) {
		for _, skew := range []time.Duration{2 * time.Hour, -2 * time.Hour} {
			at := func(d time.Duration) time.Time { return time.Now().Add(skew + d) }
			rows := []row{
				{id: "old", phone: "+919000000001", started: at(-5 * time.Minute), seconds: 60},
				{id: "new", phone: "+919000000001", started: at(2 * time.Second), seconds: 1},
			}
			a := newAPI(t, after, rows...)
			a.hook = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
				w.Header().Set("Date", at(0).UTC().Format(http.TimeFormat))
				return false
			}
			rec := &recorder{}
			r := newRig(t, a, rec, func(o *Options) { o.Start = time.Time{} })
			r.once()
			want := []string{"new"}
			if skew > 0 {
				want = []string{"new", "old"}
			}
			sameIDs(t, rec.ids(crm.CallCompleted), want)
		}
	})
}
