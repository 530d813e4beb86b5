package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// both runs a test against either published description of the listing.
func both(t *testing.T, f func(t *testing.T, after bool)) {
	t.Run("guide", func(t *testing.T) { f(t, true) })
	t.Run("reference", func(t *testing.T) { f(t, false) })
}

func TestEveryCallArrivesOnce(t *testing.T) {
	both(t, func(t *testing.T, after bool) {
		rows := past(250)
		rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		rec := &recorder{}
		r := newRig(t, newAPI(t, after, rows...), rec, nil)
		s := r.once()
		if s.Fetched != 250 || s.New != 250 || s.Delivered != 250 || s.Pending != 0 || s.Dead != 0 {
			t.Errorf("summary %+v", s)
		}
		sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
		for range 3 {
			r.once()
		}
		r.restart(nil)
		r.once()
		sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
		e := rec.entries()[0]
		if e.Status != "Hot Lead" || !e.SetStatus || e.Late || e.Attempt != 1 || e.Key == "" || e.Call.Contact.National == "" {
			t.Errorf("entry %+v", e)
		}
	})
}

func TestContactsKeepTheirOrder(t *testing.T) {
	both(t, func(t *testing.T, after bool) {
		rows := past(120)
		for i := range rows {
			rows[i].phone = fmt.Sprintf("+91900000000%d", i%7)
		}
		order := slices.Clone(rows)
		rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		rec := &recorder{}
		r := newRig(t, newAPI(t, after, rows...), rec, nil)
		r.once()
		place := map[string]int{}
		for i, x := range order {
			place[x.id] = i
		}
		last := map[string]int{}
		for _, e := range rec.entries() {
			if p := place[e.Call.ID]; p < last[e.Call.Contact.Phone] || e.Late {
				t.Fatalf("%s out of order", e.Call.ID)
			} else {
				last[e.Call.Contact.Phone] = p
			}
		}
		if len(rec.entries()) != 120 {
			t.Fatalf("%d entries", len(rec.entries()))
		}
	})
}

func TestLateCallIsMarkedAndSetsNoStatus(t *testing.T) {
	both(t, func(t *testing.T, after bool) {
		rows := past(2)
		rows[1].phone = rows[0].phone
		a := newAPI(t, after, rows[1])
		rec := &recorder{}
		r := newRig(t, a, rec, nil)
		r.once()
		a.set(func() { a.rows = rows })
		r.once()
		got := rec.entries()
		if len(got) != 2 || got[1].Call.ID != rows[0].id || !got[1].Late || got[1].SetStatus {
			t.Fatalf("%+v", got)
		}
		if r.stats().LateFound != 1 {
			t.Errorf("late found %d", r.stats().LateFound)
		}
	})
}

func TestDispositionSetLater(t *testing.T) {
	rows := past(1)
	rows[0].disposition = ""
	a := newAPI(t, true, rows...)
	rec := &recorder{}
	r := newRig(t, a, rec, nil)
	r.once()
	a.set(func() { a.rows[0].disposition = "interested" })
	r.once()
	r.once()
	got := rec.entries()
	if len(got) != 2 || got[0].SetStatus || got[1].Event != crm.DispositionSet || !got[1].SetStatus || got[1].Key == got[0].Key || got[1].Revision != 2 {
		t.Fatalf("%+v", got)
	}
}

func TestRevisionSupersedesWhatWasNeverAttempted(t *testing.T) {
	for _, kind := range []string{"keyed", "append-only"} {
		t.Run(kind, func(t *testing.T) {
			rows := past(1)
			a := newAPI(t, true, rows...)
			rec := &appendRecorder{}
			var w crm.Writer = rec
			if kind == "keyed" {
				w = &rec.recorder
			}
			r := newRig(t, a, w, nil)
			if err := r.store.Hold("crm", store.Hold{Reason: "maintenance", At: time.Now()}); err != nil {
				t.Fatal(err)
			}
			r.restart(nil)
			if s := r.once(); s.Pending != 1 {
				t.Fatalf("%+v", s)
			}
			a.set(func() { a.rows[0].disposition = "not_interested" })
			r.once()
			r.restart(nil)
			if err := r.e.Resume("crm"); err != nil {
				t.Fatal(err)
			}
			r.once()
			got := rec.entries()
			if len(got) != 1 || got[0].Event != crm.CallCompleted || got[0].Call.Disposition != "not_interested" {
				t.Fatalf("%+v", got)
			}
		})
	}
}

func TestAttemptedRevisionIsFrozen(t *testing.T) {
	rows := past(1)
	a := newAPI(t, true, rows...)
	rec := &appendRecorder{}
	rec.answer = func(crm.Entry, int) error { return errSick }
	r := newRig(t, a, rec, func(o *Options) { o.Backoff = time.Minute })
	r.once()
	a.set(func() { a.rows[0].disposition = "not_interested" })
	r.once()
	rec.mu.Lock()
	rec.answer = nil
	rec.mu.Unlock()
	r.e.dests["crm"].resume()
	r.once()
	got := rec.entries()
	if len(got) != 2 || got[0].Event != crm.CallCompleted || got[0].Call.Disposition != "interested" || got[1].Event != crm.DispositionSet || got[1].Call.Disposition != "not_interested" {
		t.Fatalf("%+v", got)
	}
}

func TestUnfinishedCallIsFollowed(t *testing.T) {
	rows := past(2)
	rows[0].running = true
	a := newAPI(t, false, rows...)
	rec := &recorder{}
	r := newRig(t, a, rec, nil)
	r.once()
	sameIDs(t, rec.ids(crm.CallCompleted), []string{rows[1].id})
	if n := r.stats().Unfinished; n != 1 {
		t.Fatalf("%d unfinished", n)
	}
	a.set(func() { a.rows[0].running = false })
	r.once()
	sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
	if n := r.stats().Unfinished; n != 0 {
		t.Fatalf("%d unfinished", n)
	}
}

func TestTranscriptFollows(t *testing.T) {
	rows := past(2)
	rows[1].seconds = 0 // nobody answered: never asked for
	a := newAPI(t, true, rows...)
	a.texts[rows[0].id] = "मुझे टॉप-अप लोन चाहिए"
	rec := &recorder{}
	r := newRig(t, a, rec, func(o *Options) { o.FetchTranscripts = true })
	r.once()
	got := rec.ids(crm.TranscriptReady)
	sameIDs(t, got, []string{rows[0].id})
	for _, e := range rec.entries() {
		if e.Event == crm.TranscriptReady && (e.Transcript.Text != "customer: मुझे टॉप-अप लोन चाहिए" || e.Late) {
			t.Errorf("%+v", e.Transcript)
		}
	}
	for _, q := range a.requests {
		if strings.Contains(q, rows[1].id) {
			t.Errorf("asked for the transcript of a call that nobody answered: %s", q)
		}
	}
	if l, err := r.store.Life(rows[0].id); err != nil || l.Body != nil {
		t.Errorf("content is kept: %s, %v", l.Body, err)
	}
}

// A run whose caller goes away is not kept as a failed one.
func TestARunThatIsBrokenOffIsNoFailure(t *testing.T) {
	a := newAPI(t, true, past(3)...)
	r := newRig(t, a, &recorder{}, nil)
	r.once()
	ctx, cancel := context.WithCancel(t.Context())
	a.set(func() {
		a.hook = func(http.ResponseWriter, *http.Request, int) bool { cancel(); return false }
	})
	if _, err := r.e.RunOnce(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if st := r.stats(); st.LastRun.Error != "" {
		t.Errorf("the last run is kept as failed: %s", st.LastRun.Error)
	}
}

// The end of a call in progress is asked for while transcripts are, however long those take.
func TestACallInProgressDoesNotWaitForTranscripts(t *testing.T) {
	done, long := past(1)[0], past(2)[1]
	done.id, long.id, long.started = "call_done", "call_long", time.Now().Add(-5*time.Hour)
	a := newAPI(t, false, done)
	asked, answer := make(chan struct{}), make(chan struct{})
	var first sync.Once
	a.hook = func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if strings.HasSuffix(r.URL.Path, done.id) { // for its transcript
			first.Do(func() { close(asked) })
			a.mu.Unlock()
			<-answer
			a.mu.Lock()
		}
		return false
	}
	rec := &recorder{}
	r := newRig(t, a, rec, func(o *Options) { o.FetchTranscripts = true })
	ended := make(chan error)
	go func() {
		_, err := r.e.RunOnce(t.Context())
		ended <- err
	}()
	<-asked
	a.set(func() { a.rows = append(a.rows, long) })
	body := encode(content{Call: vinfer.Call{ID: long.id, Phone: long.phone, StartedAt: long.started, Status: "in_progress"}})
	if _, err := r.store.Ingest(store.Page{Stream: store.LiveStream, Unfinished: []store.Unfinished{{ID: long.id, Body: body, Due: time.Now()}}}); err != nil {
		t.Fatal(err)
	}
	r.e.watcher.wake()
	for until := time.Now().Add(time.Minute); !slices.Contains(rec.ids(crm.CallCompleted), long.id); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Error("the call was not found while a transcript was asked for")
			break
		}
	}
	close(answer)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A transcript that meets a fault each time while VInfer answers polls is given up in the end; when VInfer fails as a whole, or refuses
// the key, no call loses its transcript by that.
func TestTranscriptThatCannotBeAskedFor(t *testing.T) {
	rows := past(1)
	a := newAPI(t, true)
	r := newRig(t, a, &recorder{}, func(o *Options) { o.FetchTranscripts = true })
	r.once()
	down := false
	a.set(func() {
		a.rows, a.texts[rows[0].id] = rows, "there"
		a.hook = func(w http.ResponseWriter, q *http.Request, _ int) bool {
			bad := down || strings.HasPrefix(q.URL.Path, "/v1/transcription/")
			if bad {
				http.Error(w, "no", http.StatusInternalServerError)
			}
			return bad
		}
	})
	r.once()
	due, _, err := r.store.DueWatches(store.TranscriptWatch, time.Now().Add(time.Hour), 10)
	if err != nil || len(due) != 1 || due[0].Attempts != 1 {
		t.Errorf("the ask does not count: %+v, %v", due, err)
	}
	asked := 0
	for _, q := range a.requests {
		if strings.HasPrefix(q, "/v1/transcription/") {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	fault := errors.New("500")
	if w := r.e.watcher; !w.isFinal(fault) || !w.isFinal(vinfer.ErrNotReady) || w.isFinal(vinfer.ErrRefused) || w.isFinal(vinfer.ErrLimited) {
		t.Error("while polls succeed")
	}
	a.set(func() { down = true })
	_ = r.fails()
	if w := r.e.watcher; w.isFinal(fault) || !w.isFinal(vinfer.ErrNotReady) {
		t.Error("while polls fail")
	}
}

func TestCursorStaysWhenAPageCannotBeRead(t *testing.T) {
	faults := map[string]func(w http.ResponseWriter){
		"html":  func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>login</html>") },
		"cut":   func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"data":[{"call_id":"x"`) },
		"empty": func(http.ResponseWriter) {},
		"500":   func(w http.ResponseWriter) { http.Error(w, "oops", http.StatusInternalServerError) },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			rows := past(250)
			a := newAPI(t, true, rows...)
			rec := &recorder{}
			r := newRig(t, a, rec, nil)
			before := r.stats().Watermark
			a.set(func() {
				a.hook = func(w http.ResponseWriter, q *http.Request, _ int) bool {
					if q.URL.Query().Get("offset") == "200" {
						fault(w)
						return true
					}
					return false
				}
			})
			r.fails()
			if !r.stats().Watermark.Equal(before) {
				t.Error("the cursor moved")
			}
			if n := len(rec.entries()); n != 0 {
				t.Errorf("%d calls of an unfinished window were delivered", n)
			}
			a.set(func() { a.hook = nil })
			r.restart(nil)
			r.once()
			sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
		})
	}
}

func TestServerThatIgnoresItsBound(t *testing.T) {
	rows := past(5)
	a := newAPI(t, true, rows...)
	a.hook = func(_ http.ResponseWriter, q *http.Request, _ int) bool {
		v := q.URL.Query()
		v.Del("after")
		q.URL.RawQuery = v.Encode()
		return false
	}
	rec := &recorder{}
	r := newRig(t, a, rec, nil)
	err := r.fails()
	if !strings.Contains(err.Error(), "ignores the lower bound") || len(rec.entries()) != 0 {
		t.Errorf("%v, %d delivered", err, len(rec.entries()))
	}
}

func TestFutureRowIsTakenAndMovesNoCursor(t *testing.T) {
	both(t, func(t *testing.T, after bool) {
		rows := append(past(3), row{id: "call_2099", phone: "+919000000001", started: time.Date(2098, 1, 1, 0, 0, 0, 0, time.UTC), seconds: 5})
		rec := &recorder{}
		a := newAPI(t, after, rows...)
		r := newRig(t, a, rec, nil)
		r.once()
		sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
		if w := r.stats().Watermark; w.After(time.Now().Add(time.Second)) {
			t.Errorf("cursor %s", w)
		}
	})
}

func TestFutureRowIsNotTheNewestForEver(t *testing.T) {
	both(t, func(t *testing.T, after bool) {
		for _, starts := range []time.Time{time.Now().Add(time.Hour), time.Date(2098, 1, 1, 0, 0, 0, 0, time.UTC)} {
			const phone = "+919000000001"
			ahead := row{id: "call_2099", phone: phone, disposition: "interested", started: starts, seconds: 5}
			rec := &recorder{}
			a := newAPI(t, after, ahead)
			r := newRig(t, a, rec, nil)
			r.once()
			a.set(func() {
				a.rows = append(a.rows, row{id: "call_now", phone: phone, disposition: "not_interested", started: time.Now().Add(2 * time.Second), seconds: 1})
			})
			r.once()
			got := rec.entries()
			if len(got) != 2 || got[1].Call.ID != "call_now" || !got[1].SetStatus || got[1].Late {
				t.Errorf("started %v: entries %+v", starts, got)
			}
		}
	})
}

// Calls that are dated ahead all by the same keep their order.
func TestPlacedAhead(t *testing.T) {
	seen := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	for _, ahead := range []time.Duration{-time.Hour, 0, 5 * time.Second} {
		if at := placed(seen.Add(ahead), seen); !at.Equal(seen.Add(ahead)) {
			t.Errorf("ahead by %v: %v", ahead, at)
		}
	}
	last := seen
	for _, ahead := range []time.Duration{5*time.Hour + 30*time.Minute, 5*time.Hour + 30*time.Minute + time.Second, 23 * time.Hour, 9000 * time.Hour} {
		at := placed(seen.Add(ahead), seen).Truncate(time.Microsecond) // as the store keeps it
		if !at.After(last) || at.After(seen.Add(time.Second)) {
			t.Errorf("ahead by %v: %v after %v", ahead, at, last)
		}
		last = at
	}
}

func TestBrokenRowIsKeptAndThePageGoesOn(t *testing.T) {
	rows := append(past(3), row{raw: `{"contact":{"phone":"+919000000009"}}`, started: time.Now().Add(-time.Minute)}, row{raw: `"no call"`, started: time.Now().Add(-time.Minute)})
	rec := &recorder{}
	r := newRig(t, newAPI(t, true, rows...), rec, nil)
	r.once()
	s := r.once()
	if len(rec.entries()) != 3 || s.Dead != 2 {
		t.Fatalf("%d delivered, %+v", len(rec.entries()), s)
	}
	d, err := r.store.DeadLetters("", true, 0, 10)
	if err != nil || len(d) != 2 || string(d[1].Body) != `"no call"` {
		t.Errorf("%+v %v", d, err)
	}
}

func TestBrokenRowThatDiffersEachTimeIsKeptOnce(t *testing.T) {
	a := newAPI(t, true, append(past(3), row{})...)
	r := newRig(t, a, &recorder{}, nil)
	for i := range 3 {
		a.set(func() {
			a.rows[3] = row{raw: fmt.Sprintf(`{"call_id":"x","timestamp":"soon","recording_url":"https://cdn.invalid/x?sig=%d"}`, i), started: time.Now().Add(-time.Minute)}
		})
		r.once()
	}
	if n := r.stats().Dead; n != 1 {
		t.Errorf("%d dead letters", n)
	}
}

func TestNothingBelowTheFirstCursor(t *testing.T) {
	both(t, func(t *testing.T, after bool) {
		rows := past(10)
		rec := &recorder{}
		first := rows[5].ended()
		r := newRig(t, newAPI(t, after, rows...), rec, func(o *Options) { o.Start = first })
		r.once()
		r.once()
		var want []string
		for _, x := range rows {
			if !x.ended().Before(first) {
				want = append(want, x.id)
			}
		}
		sameIDs(t, rec.ids(crm.CallCompleted), want)
	})
}

func TestLongCallOfAStartFilteredServer(t *testing.T) {
	long := row{id: "call_long", phone: "+919000000077", disposition: "interested", started: time.Now().Add(-3 * time.Hour).Truncate(time.Second), seconds: 60}
	long.running = true
	a := newAPI(t, false, past(3)...)
	rec := &recorder{}
	r := newRig(t, a, rec, nil)
	r.once()
	long.running, long.seconds = false, 3*3600-5 // it was never listed while it went on
	a.set(func() { a.rows = append(a.rows, long) })
	r.once()
	if !slices.Contains(rec.ids(crm.CallCompleted), "call_long") {
		t.Fatal("a call that started long before the cursor and ended after it was lost")
	}
}

// A call that ends between two pages of a listing belongs to the next window. A run by hand has no next one.
func TestCallThatEndsDuringTheListingIsDeliveredByTheSameRun(t *testing.T) {
	rows := past(150)
	a := newAPI(t, true, rows...)
	late := row{id: "call_late", phone: "+919000000099", disposition: "interested", started: time.Now().Add(-time.Minute).Truncate(time.Second), seconds: 65}
	a.hook = func(w http.ResponseWriter, q *http.Request, _ int) bool {
		at, err := time.Parse(time.RFC3339, q.URL.Query().Get("after"))
		if err != nil || at.After(time.Now()) || q.URL.Query().Get("to") != "" {
			return false
		}
		if offset := q.URL.Query().Get("offset"); offset != "" && offset != "0" || len(a.rows) > len(rows) {
			if len(a.rows) == len(rows) {
				a.rows = append(a.rows, late)
			}
			w.Header().Set("Date", late.ended().Add(2*time.Second).UTC().Format(http.TimeFormat))
		}
		return false
	}
	rec := &recorder{}
	r := newRig(t, a, rec, nil)
	if s := r.once(); s.Pending != 0 {
		t.Errorf("%+v", s)
	}
	sameIDs(t, rec.ids(crm.CallCompleted), append(idsOf(rows), "call_late"))
}

func TestRefusedKeyFailsTheRun(t *testing.T) {
	a := newAPI(t, true, past(3)...)
	a.hook = func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		http.Error(w, "no", http.StatusUnauthorized)
		return true
	}
	r := newRig(t, a, &recorder{}, nil)
	if err := r.fails(); !Refused(err) || strings.Contains(err.Error(), "k-secret") {
		t.Errorf("%v", err)
	}
	a.set(func() { a.hook = nil })
	r.once() // nothing was halted
}
