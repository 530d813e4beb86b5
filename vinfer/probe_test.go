package vinfer_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		name   string
		o      simulator.Options
		faults string
		want   vinfer.Bounds
	}{
		{"empty", simulator.Options{}, "", vinfer.Bounds{Empty: true}},
		{"guide", simulator.Options{Calls: 30}, "", vinfer.Bounds{After: true}},
		{"guide with to", simulator.Options{Calls: 30, GuideTo: true}, "", vinfer.Bounds{After: true, To: true}},
		{"guide, strict", simulator.Options{Calls: 30, Strict: true}, "", vinfer.Bounds{After: true}},
		{"guide, strict, knows no pages", simulator.Options{Calls: 30, Strict: true, NoPaging: true}, "", vinfer.Bounds{After: true, Unpaged: true}},
		{"reference", simulator.Options{Calls: 30, Dialect: simulator.Reference}, "", vinfer.Bounds{From: true, To: true}},
		{"reference, strict", simulator.Options{Calls: 30, Dialect: simulator.Reference, Strict: true}, "", vinfer.Bounds{From: true, To: true}},
		{"totals off", simulator.Options{Calls: 30, Dialect: simulator.Reference}, "wrong-total", vinfer.Bounds{From: true, To: true, AnyTotal: true}},
		{"neither", simulator.Options{Calls: 30}, "ignore-bound", vinfer.Bounds{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := simulator.New(tt.o)
			faults, err := simulator.ParseFaults(tt.faults)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range faults {
				s.Fault(f)
			}
			got, err := newClient(t, s.Start(t)).Probe(t.Context())
			if err != nil || got != tt.want {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	s := simulator.New(simulator.Options{Calls: 30})
	s.Add(simulator.Call{End: time.Now().AddDate(40, 0, 0), Duration: time.Minute, VisibleFrom: time.Now().Add(-time.Hour)})
	base := s.Start(t)
	if got, err := newClient(t, base).Probe(t.Context()); err != nil || got != (vinfer.Bounds{After: true}) {
		t.Errorf("with a call dated far ahead: %+v, %v", got, err)
	}
	s.Fault(simulator.Fault{Kind: simulator.IgnoreBound})
	if got, err := newClient(t, base).Probe(t.Context()); err != nil || got != (vinfer.Bounds{}) {
		t.Errorf("with a call dated far ahead that comes first, and no bound: %+v, %v", got, err)
	}
	s = simulator.New(simulator.Options{Calls: 30})
	s.Fault(simulator.Fault{Kind: simulator.HTML, Skip: 1, Count: -1})
	if _, err := newClient(t, s.Start(t)).Probe(t.Context()); !errors.Is(err, vinfer.ErrUnreadable) {
		t.Errorf("a page that could not be read decided: %v", err)
	}
}

func TestTranscript(t *testing.T) {
	now := time.Date(2024, 2, 1, 9, 0, 0, 0, time.UTC)
	for _, pending := range []int{202, 200, 404, 409, 425} {
		s := simulator.New(simulator.Options{Now: func() time.Time { return now }, TranscriptDelay: time.Hour, Pending: pending})
		s.Add(simulator.Call{ID: "call_1", End: now.Add(-time.Minute), Duration: time.Minute, Language: "ta-IN"})
		c := newClient(t, s.Start(t))
		for _, link := range []string{c.TranscriptURL("job_1"), ""} {
			if _, err := c.Transcript(t.Context(), link, "job_1", vinfer.Transcripts); !errors.Is(err, vinfer.ErrNotReady) {
				t.Errorf("%d, %q: %v", pending, link, err)
			}
		}
		s.Set("call_1", func(c *simulator.Call) { c.TranscriptAt = now })
		for _, link := range []string{
			c.TranscriptURL("job_1"), "", "/v1/transcription/job_1/transcript",
			"https://api.vinfer.ai/v1/transcription/job_1/transcript", "//evil.invalid/transcription/job_1/transcript",
		} {
			job := "job_1"
			if link != "" {
				job = "" // it can be read from the link
			}
			tr, err := c.Transcript(t.Context(), link, job, vinfer.Transcripts)
			if err != nil || len(tr.Segments) != 8 || !strings.Contains(tr.Segments[1].Text, "சொல்லுங்கள்") {
				t.Errorf("%d, %q: %+v, %v", pending, link, tr, err)
			}
		}
	}
	c := newClient(t, "http://127.0.0.1:1/v1")
	for _, link := range []string{"", "https://elsewhere.invalid/t/9", "::", "mailto:x", "javascript:alert(1)"} {
		if _, err := c.Transcript(t.Context(), link, "", vinfer.News); !errors.Is(err, vinfer.ErrNotFound) {
			t.Errorf("%q: %v", link, err)
		}
	}
}

func TestAFinishedJobWithoutWordsPointsToItsTranscript(t *testing.T) {
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/transcript") {
			_, _ = io.WriteString(w, `{"text":"hello there"}`)
			return
		}
		_, _ = io.WriteString(w, `{"id":"j","status":"completed","result":{"summary":"S"}}`)
	})
	tr, err := newClient(t, srv.URL).Transcript(t.Context(), "", "j", vinfer.Transcripts)
	if err != nil || tr.Text != "hello there" {
		t.Error(tr, err)
	}
}
