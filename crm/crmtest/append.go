package crmtest

import (
	"bytes"
	"slices"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

func (s *suite) runAppendOnly(t *testing.T) {
	t.Run("repeated with its refs adds nothing", s.repeatedWithRefs)
	t.Run("same key same bytes", s.sameKeySameBytes)
	t.Run("a change is a delivery of its own", s.changeIsOwn)
	t.Run("the transcript is one delivery", s.transcriptOnce)
}

func (s *suite) repeatedWithRefs(t *testing.T) {
	d, w := s.open(t)
	refs := write(t, w, Full(1), nil)
	want := len(d.State(t).Deliveries)
	again := Full(1)
	again.Attempt = 2
	write(t, w, again, refs)
	write(t, d.Open(t), again, refs)
	if got := len(d.State(t).Deliveries); got != want {
		t.Errorf("%d deliveries, want %d", got, want)
	}
}

func (s *suite) sameKeySameBytes(t *testing.T) {
	d, w := s.open(t)
	for attempt := 1; attempt <= 3; attempt++ {
		e := Full(1)
		e.Attempt = attempt
		write(t, w, e, nil) // the refs are lost each time
	}
	distinct(t, d.State(t))
}

func (s *suite) changeIsOwn(t *testing.T) {
	d, w := s.open(t)
	refs := write(t, w, Completed(1), nil)
	write(t, w, Revised(Completed(1), "not_interested", "Cold"), refs)
	got := d.State(t).Deliveries
	if len(got) != 2 || got[0].Key == got[1].Key || got[1].Event != string(crm.DispositionSet) || !holds(t, got[1].Body, "not_interested") {
		t.Errorf("got %s", got)
	}
}

func (s *suite) transcriptOnce(t *testing.T) {
	d, w := s.open(t)
	refs := write(t, w, Full(1), nil)
	before := len(d.State(t).Deliveries)
	refs = write(t, w, Transcribed(1), refs)
	write(t, w, Transcribed(1), refs)
	got := d.State(t).Deliveries
	if len(got) != before+1 || got[before].Event != string(crm.TranscriptReady) || !holds(t, got[before].Body, Transcribed(1).Transcript.Text) {
		t.Errorf("got %s", got[before:])
	}
}

// distinct returns the deliveries without repeats, which must be equal byte for byte.
func distinct(t *testing.T, s State) (out []Delivery) {
	t.Helper()
	for _, d := range s.Deliveries {
		i := slices.IndexFunc(out, func(o Delivery) bool { return o.Key == d.Key })
		if i < 0 {
			out = append(out, d)
		} else if !bytes.Equal(out[i].Body, d.Body) {
			t.Errorf("key %s has two bodies:\n%s\n%s", d.Key, out[i].Body, d.Body)
		}
	}
	return out
}

// same compares what a destination holds after a fault with what it holds without one. Of deliveries that were accepted
// without the writer's knowledge as many as inFlight may be there twice; nothing else may.
func same(t *testing.T, got, want State, inFlight int, when string) {
	t.Helper()
	repeats := len(got.Deliveries)
	got.Deliveries, want.Deliveries = distinct(t, got), distinct(t, want)
	if repeats -= len(got.Deliveries); repeats > inFlight {
		t.Errorf("%s: %d deliveries are there twice", when, repeats)
	}
	// Ids that the destination gives are its own affair.
	g, w := describe(got), describe(want)
	if g != w {
		t.Errorf("%s: got\n%s\nwant\n%s", when, g, w)
	}
}
