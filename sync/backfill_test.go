package sync

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

func TestBackfill(t *testing.T) {
	both(t, func(t *testing.T, after bool) {
		rows := past(300)
		rec := &recorder{}
		a := newAPI(t, after, rows...)
		r := newRig(t, a, rec, func(o *Options) { o.Start = time.Now().Add(-time.Second) })
		r.once()
		cursor := r.stats().Watermark
		if len(rec.entries()) != 0 {
			t.Fatal("delivered below the first cursor")
		}
		req := BackfillRequest{Since: time.Now().Add(-2 * time.Hour), Typed: "-2h"}
		p, err := r.e.Backfill(t.Context(), req, nil)
		if err != nil || !p.Done || p.Delivered != 300 {
			t.Fatalf("%+v %v", p, err)
		}
		sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
		if !r.stats().Watermark.Equal(cursor) {
			t.Error("the live cursor moved")
		}
		p, err = r.e.Backfill(t.Context(), req, nil)
		if err != nil || p.Delivered != 0 || len(rec.entries()) != 300 {
			t.Errorf("the second time: %+v %v", p, err)
		}
	})
}

func TestBackfillGoesOnWhereItStopped(t *testing.T) {
	rows := past(300)
	a := newAPI(t, false, rows...)
	rec := &recorder{}
	r := newRig(t, a, rec, func(o *Options) { o.Start = time.Now().Add(-time.Second) })
	a.hook = func(w http.ResponseWriter, q *http.Request, _ int) bool {
		if q.URL.Query().Get("offset") == "200" {
			http.Error(w, "no", http.StatusInternalServerError)
			return true
		}
		return false
	}
	req := BackfillRequest{Since: time.Now().Add(-2 * time.Hour), Typed: "-2h"}
	if _, err := r.e.Backfill(t.Context(), req, nil); err == nil {
		t.Fatal("did not fail")
	}
	a.set(func() { a.hook = nil })
	r.restart(nil)
	p, err := r.e.Backfill(t.Context(), req, nil)
	if err != nil || !p.Resumed || !p.Done {
		t.Fatalf("%+v %v", p, err)
	}
	sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
}

func TestBackfillFillsANewDestination(t *testing.T) {
	rows := past(20)
	a := newAPI(t, true, rows...)
	rec, second := &recorder{}, &recorder{}
	r := newRig(t, a, rec, nil)
	r.once()
	r.restart(func(o *Options) {
		d := o.Destinations[0]
		d.Name, d.Writer = "second", second
		o.Destinations = append(o.Destinations, d)
	})
	r.once()
	if n := len(second.entries()); n != 0 {
		t.Fatalf("a new destination got %d old calls by itself", n)
	}
	p, err := r.e.Backfill(t.Context(), BackfillRequest{Since: time.Now().Add(-2 * time.Hour), To: "second", Typed: "x"}, nil)
	if err != nil || !p.Done {
		t.Fatalf("%+v %v", p, err)
	}
	sameIDs(t, second.ids(crm.CallCompleted), idsOf(rows))
	sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
}

// A live call waits for no more of a backfill than what had been claimed when it was stored, also when all of the backfill waits for a destination that was
// halted. How many of those are written while the live call is claimed depends on the machine.
func TestALiveCallGoesBeforeABackfill(t *testing.T) {
	for _, sick := range []bool{false, true} {
		rows := past(400)
		rec := &recorder{latency: time.Millisecond}
		a := newAPI(t, false, rows...)
		r := newRig(t, a, rec, func(o *Options) { o.Start = time.Now().Add(-time.Second) })
		if sick {
			rec.answer = func(crm.Entry, int) error { return crm.Halted(errSick) }
		}
		ended := make(chan error, 1)
		begun := make(chan struct{})
		var once sync.Once
		go func() {
			_, err := r.e.Backfill(t.Context(), BackfillRequest{Since: time.Now().Add(-4 * time.Hour), Typed: "-4h"}, func(p BackfillProgress) {
				if p.Delivered > 20 {
					once.Do(func() { close(begun) })
				}
			})
			ended <- err
		}()
		if sick {
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
		} else {
			<-begun
		}
		live := row{id: "live", phone: "+919123456789", disposition: "interested", started: time.Now().Add(-time.Second)}
		a.set(func() { a.rows = append(a.rows, live) })
		if _, err := r.e.poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if sick {
			rec.mu.Lock()
			rec.answer = nil
			rec.mu.Unlock()
			if err := r.e.Resume("crm"); err != nil {
				t.Fatal(err)
			}
		}
		before := len(rec.entries())
		if err := r.e.settle(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if !sick {
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
		}
		got := rec.ids(crm.CallCompleted)
		at := slices.Index(got, "live")
		if at < 0 || at > before+r.e.dests["crm"].slots || len(got) != 401 {
			t.Errorf("sick %v: the live call was number %d of %d; %d had been delivered when it was stored", sick, at, len(got), before)
		}
	}
}
