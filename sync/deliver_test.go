package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/store"
)

func TestRefusedCallIsADeadLetterAndHoldsUpNobody(t *testing.T) {
	rows := past(10)
	rows[4].phone = rows[3].phone // behind the refused one
	rec := &recorder{answer: func(e crm.Entry, _ int) error {
		if e.Call.ID == "call_0003" {
			return crm.Rejected(errors.New("422: phone is not valid"), "POST /contacts {phone}")
		}
		return nil
	}}
	r := newRig(t, newAPI(t, true, rows...), rec, nil)
	s := r.once()
	if s.Delivered != 9 || s.Dead != 1 || s.NewDead != 1 || s.Pending != 0 {
		t.Fatalf("%+v", s)
	}
	d, err := r.store.DeadLetters("crm", false, 0, 10)
	if err != nil || len(d) != 1 || d[0].ID != "call_0003" || !strings.Contains(d[0].Error, "phone is not valid") || d[0].Request == "" {
		t.Fatalf("%+v %v", d, err)
	}
	rec.mu.Lock()
	rec.answer = nil
	rec.mu.Unlock()
	if n, err := r.e.RetryDead(t.Context(), []uint64{d[0].Num}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	s = r.once()
	got := rec.entries()
	if last := got[len(got)-1]; s.Dead != 0 || last.Call.ID != "call_0003" || !last.Late || last.SetStatus {
		t.Errorf("%+v %+v", s, last)
	}
}

func TestRefusedCredentialsHaltTheDestination(t *testing.T) {
	rows := past(20)
	var attempts atomic.Int32
	rec := &recorder{answer: func(crm.Entry, int) error {
		attempts.Add(1)
		return crm.Halted(errors.New("401: token expired"))
	}}
	r := newRig(t, newAPI(t, true, rows...), rec, nil)
	s := r.once()
	if s.Pending != 20 || s.Dead != 0 || int(attempts.Load()) > rigWorkers {
		t.Fatalf("%+v after %d attempts", s, attempts.Load())
	}
	st, err := r.e.Status()
	if err != nil || st.Destinations[0].State != "halted" || !strings.Contains(st.Destinations[0].Reason, "token expired") || st.Destinations[0].LastError == "" {
		t.Errorf("%+v %v", st.Destinations, err)
	}
	before := attempts.Load()
	r.restart(nil)
	r.once()
	if attempts.Load() != before {
		t.Error("a halt did not outlive the process")
	}
	rec.mu.Lock()
	rec.answer = nil
	rec.mu.Unlock()
	r.restart(func(o *Options) { o.Destinations[0].Identity = "another token" })
	r.once()
	sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
}

func TestSameErrorForCallAfterCallHalts(t *testing.T) {
	rows := past(30)
	rec := &recorder{answer: func(e crm.Entry, _ int) error {
		return crm.Rejected(fmt.Errorf(`400 from crm: field "lead_status_%s" does not exist`, e.Call.ID), "")
	}}
	r := newRig(t, newAPI(t, true, rows...), rec, nil)
	s := r.once()
	if s.Pending != 30 || s.Dead != 0 {
		t.Fatalf("%+v", s)
	}
	rec.mu.Lock()
	rec.answer = nil
	rec.mu.Unlock()
	if err := r.e.Resume("crm"); err != nil {
		t.Fatal(err)
	}
	r.once()
	sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
}

func TestSickDestinationIsProbedNotHammered(t *testing.T) {
	rows := past(200)
	var attempts atomic.Int32
	sick := atomic.Bool{}
	sick.Store(true)
	rec := &recorder{answer: func(crm.Entry, int) error {
		attempts.Add(1)
		if sick.Load() {
			return errSick
		}
		return nil
	}}
	r := newRig(t, newAPI(t, true, rows...), rec, func(o *Options) { o.Backoff = 40 * time.Second })
	s := r.once()
	if s.Pending != 200 || s.Dead != 0 {
		t.Fatalf("%+v", s)
	}
	// Five failures open the breaker; each of the workers may have had one more in flight.
	if n := int(attempts.Load()); n > breakerAfter+rigWorkers {
		t.Errorf("%d attempts at a destination that answers nothing", n)
	}
	if d := StatusOf(r.stats(), "", "").Destinations[0]; d.State != "waiting" || d.Reason == "" || d.LastError == "" {
		t.Errorf("by the store alone: %+v", d)
	}
	sick.Store(false)
	r.e.dests["crm"].resume()
	r.once()
	if d := StatusOf(r.stats(), "", "").Destinations[0]; d.State != "ok" || d.Reason != "" {
		t.Errorf("by the store alone, when it works again: %+v", d)
	}
	sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
}

func TestOneSickContactHoldsUpNoOther(t *testing.T) {
	rows := past(60)
	rec := &recorder{answer: func(e crm.Entry, _ int) error {
		if e.Call.ID == "call_0000" {
			return errSick
		}
		return nil
	}}
	r := newRig(t, newAPI(t, true, rows...), rec, func(o *Options) { o.Backoff = time.Minute })
	if s := r.once(); s.Delivered != 59 || s.Pending != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestPostponedIsNoFailureOfTheDestination(t *testing.T) {
	rows := past(60)
	asked := map[string]int{}
	rec := &recorder{}
	rec.answer = func(e crm.Entry, _ int) error {
		if asked[e.Call.ID]++; e.Call.ID < "call_0020" && asked[e.Call.ID] < 4 {
			return crm.Postponed(errSick, time.Millisecond)
		}
		if e.Attempt != 1 {
			return crm.Rejected(fmt.Errorf("attempt %d was counted", e.Attempt), "")
		}
		return nil
	}
	r := newRig(t, newAPI(t, true, rows...), rec, nil)
	if s := r.once(); s.Delivered != 60 || s.Pending != 0 || s.Dead != 0 {
		t.Fatalf("%+v", s)
	}
	if d := StatusOf(r.stats(), "", "").Destinations[0]; d.State != "ok" || d.Reason != "" || d.LastError != "" {
		t.Errorf("%+v", d)
	}
}

func TestThrottledWaitsAndCostsNoAttempt(t *testing.T) {
	rows := past(20)
	var told atomic.Int32
	rec := &recorder{answer: func(crm.Entry, int) error {
		if told.Add(1) <= 3 {
			return crm.Throttled(errors.New("429"), 20*time.Millisecond)
		}
		return nil
	}}
	r := newRig(t, newAPI(t, true, rows...), rec, nil)
	r.once()
	sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
	for _, e := range rec.entries() {
		if e.Attempt != 1 {
			t.Errorf("%s: attempt %d", e.Call.ID, e.Attempt)
		}
	}
}

// A destination that asks to be let alone again and again gets one probe at a time, and a run by hand ends all the same.
func TestThrottledForEver(t *testing.T) {
	for _, wait := range []time.Duration{20 * time.Millisecond, 0} {
		var log logged
		rec := &recorder{answer: func(crm.Entry, int) error {
			return crm.Throttled(errors.New("429 the day's requests are used up"), wait)
		}}
		r := newRig(t, newAPI(t, true, past(50)...), rec, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		if s := r.once(); s.Pending != 50 || s.Dead != 0 {
			t.Errorf("%+v", s)
		}
		if n, most := len(rec.entries()), r.o.Destinations[0].Workers+limitedMax+1; n > most {
			t.Errorf("%d writes, at most %d", n, most)
		}
		// Who looks afterwards, when the last wait is over, is told why they are pending.
		if d := StatusOf(r.stats(), "", "").Destinations[0]; d.State != "waiting" || !strings.Contains(d.Reason, "the day's requests") || d.LastError == "" {
			t.Errorf("%+v", d)
		}
		if said := strings.Count(log.String(), "asks to be left alone"); said == 0 || said > logEvery || !strings.Contains(log.String(), "the day's requests") {
			t.Errorf("the log: %s", log.String())
		}
	}
}

// A long wait outlives the process: under cron the next one comes a minute later. Another URL or credential has not asked for it.
func TestThrottledForLongOutlivesTheProcess(t *testing.T) {
	var asked atomic.Int32
	rec := &recorder{answer: func(crm.Entry, int) error {
		asked.Add(1)
		return crm.Throttled(errors.New("429 slow down"), 5*time.Minute)
	}}
	r := newRig(t, newAPI(t, true, past(20)...), rec, nil)
	r.once()
	n := asked.Load()
	r.restart(nil)
	r.once()
	if got := asked.Load(); got != n {
		t.Errorf("%d writes while the destination asked to be let alone", got-n)
	}
	for _, st := range []func() (Status, error){r.e.Status, func() (Status, error) {
		s := StatusOf(r.stats(), "", "")
		ShowWaits(&s, r.store)
		return s, nil
	}} {
		s, err := st()
		if err != nil || s.Destinations[0].State != "waiting" || !strings.Contains(s.Destinations[0].Reason, "asked to wait until") || s.Destinations[0].LastError != "429 slow down" {
			t.Errorf("%+v %v", s.Destinations, err)
		}
	}
	r.restart(func(o *Options) { o.Destinations[0].Identity = "another token" })
	r.once()
	if got := asked.Load(); got == n {
		t.Error("the wait held for another credential")
	}
	if err := r.e.Resume("crm"); err != nil {
		t.Fatal(err)
	}
	n = asked.Load()
	r.restart(nil)
	r.once()
	if got := asked.Load(); got == n {
		t.Error("the wait held after resume")
	}
}

func TestFailuresAreRetriedUntilTheyPass(t *testing.T) {
	rows := past(100)
	tried := map[string]int{}
	rec := &recorder{}
	rec.answer = func(e crm.Entry, _ int) error { // under rec's lock
		if tried[e.Call.ID]++; strings.HasSuffix(e.Call.ID, "7") && tried[e.Call.ID] <= 2 {
			return errSick
		}
		return nil
	}
	r := newRig(t, newAPI(t, true, rows...), rec, nil)
	r.once()
	sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
	for _, e := range rec.entries() {
		if want := 1 + 2*strings.Count(e.Call.ID[len(e.Call.ID)-1:], "7"); e.Attempt != want {
			t.Fatalf("%s: attempt %d", e.Call.ID, e.Attempt)
		}
	}
}

func TestSickDestinationSlowsNoOther(t *testing.T) {
	rows := past(50)
	dead := &recorder{answer: func(crm.Entry, int) error { return errSick }}
	well := &recorder{}
	r := newRig(t, newAPI(t, true, rows...), dead, func(o *Options) {
		o.Backoff = time.Minute
		o.Destinations = append(o.Destinations, Destination{Name: "well", Kind: "test", Writer: well})
	})
	r.once()
	sameIDs(t, well.ids(crm.CallCompleted), idsOf(rows))
}

func TestRefsSurviveBetweenAttempts(t *testing.T) {
	rows := past(1)
	w := &stepper{}
	r := newRig(t, newAPI(t, true, rows...), w, func(o *Options) { o.Backoff = time.Minute })
	r.once()
	r.restart(func(o *Options) { o.Backoff = time.Millisecond })
	r.e.dests["crm"].resume()
	for range 200 {
		if r.once().Pending == 0 {
			break
		}
		r.e.dests["crm"].resume()
		time.Sleep(5 * time.Millisecond)
	}
	if w.made != 1 {
		t.Errorf("the first step was made %d times", w.made)
	}
}

// stepper makes a thing, saves its id, and fails once after that.
type stepper struct{ made, tries int }

func (s *stepper) Write(_ context.Context, _ crm.Entry, p *crm.Progress) error {
	s.tries++
	if p.Refs["thing"] == "" {
		s.made++
		if err := p.Save("thing", "1"); err != nil {
			return err
		}
	}
	if s.tries == 1 {
		return errSick
	}
	return nil
}

// An older call tells of a wish that belongs to the number after a newer one was delivered: the number's next call hears of it.
func TestWishOfAnOlderCallReachesTheNext(t *testing.T) {
	rows := past(3)
	for i := range rows {
		rows[i].phone = rows[0].phone
	}
	a := newAPI(t, true, rows[:2]...)
	w := &wisher{}
	r := newRig(t, a, w, nil)
	r.once()
	a.set(func() { a.rows[0].disposition = "dnd" })
	r.once()
	a.set(func() { a.rows = append(a.rows, rows[2]) })
	r.once()
	if got := strings.Join(w.heard, " "); got != "call_0000: call_0001: call_0000: call_0002:asked" {
		t.Errorf("got %s", got)
	}
}

// wisher keeps wishes not to be called, and what it is told of those before.
type wisher struct{ heard []string }

func (w *wisher) Write(_ context.Context, e crm.Entry, p *crm.Progress) error {
	w.heard = append(w.heard, e.Call.ID+":"+e.Before[crm.Wish])
	if e.DoNotCall {
		p.Refs[crm.Wish] = e.Key
	}
	return nil
}

func TestPanickingWriterEndsOnlyItsCall(t *testing.T) {
	rows := past(5)
	rec := &recorder{answer: func(e crm.Entry, _ int) error {
		if e.Call.ID == "call_0002" {
			panic("nil map")
		}
		return nil
	}}
	r := newRig(t, newAPI(t, true, rows...), rec, nil)
	if s := r.once(); s.Delivered != 4 || s.Dead != 1 {
		t.Fatalf("%+v", s)
	}
}

func TestFiltersTasksAndUnknownDispositions(t *testing.T) {
	rows := past(5)
	rows[1].disposition = "Callback"
	rows[2].disposition = "Paid-Twice"
	rows[3].disposition = ""
	rows[4].disposition = "not_interested"
	pass, skip, dead := &recorder{}, &recorder{}, &recorder{}
	r := newRig(t, newAPI(t, true, rows...), pass, func(o *Options) {
		d := o.Destinations[0]
		d.Name, d.Writer, d.Mapping.Unknown, d.Filter = "skip", skip, UnknownSkip, Filter{Dispositions: []string{"interested", "call-back", "paid twice"}}
		o.Destinations = append(o.Destinations, d)
		d.Name, d.Writer, d.Mapping.Unknown, d.Filter = "dead", dead, UnknownDead, Filter{}
		o.Destinations = append(o.Destinations, d)
	})
	s := r.once()
	sameIDs(t, pass.ids(crm.CallCompleted), idsOf(rows))
	sameIDs(t, skip.ids(crm.CallCompleted), []string{"call_0000", "call_0001"})
	sameIDs(t, dead.ids(crm.CallCompleted), []string{"call_0000", "call_0001", "call_0003", "call_0004"})
	if s.Dead != 1 {
		t.Errorf("%+v", s)
	}
	for _, e := range pass.entries() {
		switch e.Call.ID {
		case "call_0001":
			if e.Status != "Callback" || e.Task == nil || e.Task.Title != "Call back Priya Sharma" || !e.Task.Due.Equal(e.Call.EndedAt.Add(2*time.Hour)) || e.Call.Disposition != "callback_requested" {
				t.Errorf("%+v", e)
			}
		case "call_0002":
			if e.Status != "Paid-Twice" || e.Call.Disposition != "paid_twice" {
				t.Errorf("%+v", e)
			}
		case "call_0003":
			if e.SetStatus {
				t.Errorf("%+v", e)
			}
		}
	}
	l, err := r.store.Life("call_0002")
	if err != nil || !slices.ContainsFunc(l.Dests, func(d store.DestLife) bool { return d.State == "skipped" && strings.Contains(d.Error, "Paid-Twice") }) {
		t.Errorf("%+v %v", l, err)
	}
}

// A writer may keep calls back by its configuration: that is neither a failure of the destination nor, however many, a reason to halt it.
func TestCallsThatTheConfigurationKeepsBack(t *testing.T) {
	rows := past(3 * sameErrors)
	var writes atomic.Int64
	rec := &recorder{answer: func(e crm.Entry, _ int) error {
		writes.Add(1)
		if e.Call.ID < "call_0012" {
			return crm.Skipped("two contacts match")
		}
		return crm.Refused("no contact matches")
	}}
	r := newRig(t, newAPI(t, true, rows...), rec, nil)
	if s := r.once(); s.Delivered != 0 || s.Dead != 12 || s.Pending != 0 {
		t.Fatalf("%+v", s)
	}
	for id, want := range map[string]string{"call_0001": "skipped two contacts match", "call_0013": "dead no contact matches"} {
		l, err := r.store.Life(id)
		if err != nil || len(l.Dests) != 1 || l.Dests[0].State+" "+l.Dests[0].Error != want {
			t.Errorf("%s: %+v %v", id, l, err)
		}
	}
	if st := r.stats(); st.Dests[0].Halted != "" {
		t.Errorf("halted: %+v", st.Dests[0])
	}
	r.once()
	if got := int(writes.Load()); got != len(rows) {
		t.Errorf("%d writes of %d calls", got, len(rows))
	}
}

func TestStopLetsWritesInFlightFinish(t *testing.T) {
	rows := past(40)
	rec := &recorder{latency: 20 * time.Millisecond}
	r := newRig(t, newAPI(t, true, rows...), rec, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = r.e.RunOnce(t.Context())
	}()
	for len(rec.entries()) < 8 {
		time.Sleep(time.Millisecond)
	}
	e := r.e
	e.Stop()
	before := len(rec.entries())
	st := r.stats()
	if st.Pending+before != 40 {
		t.Errorf("%d delivered, %d pending", before, st.Pending)
	}
	if err := r.e.Start(); err != nil {
		t.Fatal(err)
	}
	<-done
	r.once()
	sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
}

// What is delivered while the process starts belongs to the run that it was started for.
func TestDeliveredAtTheStartIsCounted(t *testing.T) {
	var well atomic.Bool
	rec := &recorder{answer: func(crm.Entry, int) error {
		if !well.Load() {
			return crm.Halted(errSick)
		}
		return nil
	}}
	r := newRig(t, newAPI(t, true, past(3)...), rec, nil)
	if s := r.once(); s.Delivered != 0 || s.Pending != 3 {
		t.Fatalf("%+v", s)
	}
	well.Store(true)
	r.restart(func(o *Options) { o.Destinations[0].Identity = "another token" }) // which lifts the halt
	for r.stats().Pending > 0 {
		time.Sleep(time.Millisecond)
	}
	if s := r.once(); s.Delivered != 3 || s.Pending != 0 {
		t.Errorf("%+v", s)
	}
	if s := r.once(); s.Delivered != 0 {
		t.Errorf("counted twice: %+v", s)
	}
}
