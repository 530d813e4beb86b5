package sync

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// A follow-up that is overdue when it is to be made, after an outage, is due when the call was found, or left out and told of.
func TestOverdueTask(t *testing.T) {
	for name, test := range map[string]struct {
		overdue string
		ago     time.Duration // when the call ended
		made    bool
	}{
		"by default":               {"", 20 * time.Hour, true},
		"now":                      {OverdueNow, 20 * time.Hour, true},
		"of a call long ago":       {OverdueNow, recentCalls + time.Hour, false},
		"skip":                     {OverdueSkip, 20 * time.Hour, false},
		"skip, though not overdue": {OverdueSkip, time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			var log logged
			old := row{id: "call_old", phone: "+919000000001", disposition: "callback", started: time.Now().Add(-test.ago), seconds: 30}
			rec := &recorder{}
			r := newRig(t, newAPI(t, true, old), rec, func(o *Options) {
				o.Start, o.Logger = time.Now().Add(-96*time.Hour), slog.New(slog.NewTextHandler(&log, nil))
				o.Destinations[0].Mapping.Overdue = test.overdue
			})
			began := time.Now()
			p, err := r.e.Plan(t.Context(), PlanRequest{})
			if err != nil || len(p.Destinations[0].Calls) != 1 {
				t.Fatalf("%+v %v", p, err)
			}
			s := r.once()
			got := rec.entries()
			if len(got) != 1 || (got[0].Task != nil) != test.made {
				t.Fatalf("%+v", got)
			}
			if planned := p.Destinations[0].Calls[0]; (planned.Task != nil) != test.made || (planned.TaskLeft == "") != test.made || (p.Destinations[0].TasksLeft == 0) != test.made {
				t.Errorf("planned: %+v", planned)
			}
			left := map[string]int64{}
			if !test.made {
				left[store.LeftOverdue] = 1
			}
			st, err := r.e.Status()
			if err != nil || !maps.Equal(s.LeftOut, left) || !maps.Equal(st.LeftOut, left) || !maps.Equal(st.Destinations[0].LeftOut, left) {
				t.Errorf("left out: %v by the run, %v and %v by the status, want %v (%v)", s.LeftOut, st.LeftOut, st.Destinations[0].LeftOut, left, err)
			}
			if told := strings.Contains(log.String(), "overdue and is skipped"); told == test.made {
				t.Errorf("the log: %s", log.String())
			}
			if test.made && test.ago > 3*time.Hour && got[0].Task.Due.Before(began.Add(-time.Second)) {
				t.Errorf("due %s, and the call was found after %s", got[0].Task.Due, began)
			}
		})
	}
}

// An overdue task is due when it is delivered, however long the destination was down. Where there is no key it has the same due time at each
// attempt: a receiver drops what comes again under one key.
func TestOverdueTaskAfterADestinationWasDown(t *testing.T) {
	ended := time.Now().Add(-20 * time.Hour)
	job := &store.Job{
		First: true, Seen: ended.Add(time.Minute), JobRef: store.JobRef{ID: "call_old", When: ended, Attempts: 40},
		Body: encode(content{Call: vinfer.Call{ID: "call_old", Phone: "+919000000001", Disposition: "callback", EndedAt: ended}}),
	}
	r := newRig(t, newAPI(t, true), &recorder{}, nil)
	began := time.Now().Truncate(time.Second)
	entry, _, _, err := r.e.entry(r.e.order[0].d, job)
	if err != nil || entry.Task == nil || entry.Task.Due.Before(began) {
		t.Errorf("with a key: %+v %v", entry.Task, err)
	}
	r = newRig(t, newAPI(t, true), &appendRecorder{}, nil)
	job.Seen = ended.Add(3 * time.Hour) // after the task was due
	entry, _, _, err = r.e.entry(r.e.order[0].d, job)
	if err != nil || entry.Task == nil || !entry.Task.Due.Equal(job.Seen) {
		t.Errorf("without a key: %+v %v", entry.Task, err)
	}
}

// people is a destination with contacts of its own, which skips what on_missing keeps from it.
type people struct{ recorder }

func (p *people) Find(context.Context, crm.Contact) (crm.Match, error) { return crm.Match{}, nil }

// Whatever is left out has a number, by reason; a restart does not forget it, and what is read again is not counted again.
func TestWhatIsLeftOutIsCounted(t *testing.T) {
	for _, workers := range workerCounts {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			rows := past(7)
			rows[0].disposition = "not_interested" // filtered
			rows[1].disposition = "Paid-Twice"     // unknown
			rows[2].phone = "anonymous"            // no number
			rows[3].phone = ""                     // the same
			rows[4].disposition = "callback"       // overdue
			rows[4].started = time.Now().Add(-40 * time.Hour)
			w := &people{}
			w.answer = func(e crm.Entry, _ int) error {
				if e.Call.ID == "call_0005" {
					return crm.Skipped("no contact has this number")
				}
				return nil
			}
			r := newRig(t, newAPI(t, true, rows...), w, func(o *Options) {
				d := &o.Destinations[0]
				d.Workers, d.Mapping.Unknown, d.Mapping.Overdue = workers, UnknownSkip, OverdueSkip
				d.Filter.Dispositions = []string{"interested", "callback", "paid twice"}
				o.FetchTranscripts, o.GiveUpAfter = true, time.Nanosecond // which are never ready
			})
			s := r.once()
			want := map[string]int64{store.LeftFiltered: 1, store.LeftUnknown: 1, store.LeftNoNumber: 2, store.LeftOverdue: 1, store.LeftSkipped: 1}
			delete(s.LeftOut, store.LeftTranscript)
			if !maps.Equal(s.LeftOut, want) {
				t.Errorf("got %v, want %v", s.LeftOut, want)
			}
			r.restart(nil)
			if s := r.once(); s.LeftOut[store.LeftFiltered]+s.LeftOut[store.LeftUnknown]+s.LeftOut[store.LeftSkipped] != 0 {
				t.Errorf("read again: %v", s.LeftOut)
			}
			if got := StatusOf(r.stats(), "", "").Destinations[0].LeftOut; got[store.LeftNoNumber] != 2 || got[store.LeftSkipped] != 1 {
				t.Errorf("after a restart: %v", got)
			}
		})
	}
}

// A transcript that is given up is counted.
func TestTranscriptGivenUpIsCounted(t *testing.T) {
	rows := past(3)
	a := newAPI(t, false, rows...)
	r := newRig(t, a, &recorder{}, func(o *Options) { o.FetchTranscripts, o.GiveUpAfter = true, 0 })
	r.once()
	if got := leftOutOf(r.stats())[store.LeftTranscript]; got != 3 {
		t.Errorf("%d transcripts given up", got)
	}
}

// Notes that are refused for good halt the destination although calls pass.
func TestRefusedSortOfJobHalts(t *testing.T) {
	rows := past(60)
	a := newAPI(t, false, rows...)
	for _, x := range rows {
		a.texts[x.id] = "hello"
	}
	rec := &recorder{answer: func(e crm.Entry, _ int) error {
		if e.Event == crm.TranscriptReady {
			return crm.Rejected(fmt.Errorf("400: notes are not allowed for %q", e.Call.ID), "")
		}
		return nil
	}}
	r := newRig(t, a, rec, func(o *Options) { o.FetchTranscripts = true })
	s := r.once()
	if d := r.stats().Dests[0]; d.Halted == "" || s.Dead != 0 || !strings.Contains(d.Halted, "transcripts in a row") {
		t.Errorf("%+v, %+v", s, d)
	}
}

func TestLanguages(t *testing.T) {
	for _, test := range []struct {
		want, have string
		is         bool
	}{
		{"hi", "hi-IN", true},
		{"hi_IN", "hi-IN", true},
		{"HI_in", "hi-IN", true},
		{"hi-IN", "hi_IN", true},
		{"hi", "hi", true},
		{"hi", "hi-Deva-IN", true},
		{"hi-IN", "hi-Deva-IN", true},
		{"hi-Deva", "hi-Deva-IN", true},
		{"hin", "hi-IN", true},
		{"hi-IN", "hi", false},
		{"hi", "hil", false},
		{"en", "hi-IN", false},
		{"en-GB", "en-US", false},
		{"hi", "", false},
		{"hi", "not a language", false},
	} {
		if got := isLanguage(test.want, test.have); got != test.is {
			t.Errorf("%q takes %q: %t", test.want, test.have, got)
		}
	}
}

// Calls of campaigns that are not configured are counted once each, however often a listing shows them.
func TestCallsOfOtherCampaignsAreCounted(t *testing.T) {
	for _, after := range []bool{true, false} {
		a := newAPI(t, after, past(5)...)
		r := newRig(t, a, &recorder{}, func(o *Options) { o.Campaigns = []string{"cmp_2", "cmp_3"} })
		if s := r.once(); s.LeftOut[store.LeftCampaign] != 5 {
			t.Errorf("after: %t: %v by the run", after, s.LeftOut)
		}
		if s := r.once(); len(s.LeftOut) != 0 {
			t.Errorf("after: %t: %v by the next run", after, s.LeftOut)
		}
		r.restart(nil)
		if s, err := r.e.Status(); err != nil || s.LeftOut[store.LeftCampaign] != 5 {
			t.Errorf("after: %t: %v in the status (%v)", after, s.LeftOut, err)
		}
	}
}
