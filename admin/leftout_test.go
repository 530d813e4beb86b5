package admin

import (
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// What is left out is shown by reason: to Prometheus for each destination, those of reason and destination that had none as 0, and on the page.
func TestLeftOutIsShown(t *testing.T) {
	f := someFacts()
	f.Stats.Dests[0].LeftOut.Counts = map[string]int64{store.LeftFiltered: 12, store.LeftTranscript: 1}
	f.Status = engine.StatusOf(f.Stats, "default", "1.0")
	f.Status.LeftOut[store.LeftCampaign] = 7
	source := func() (Facts, error) { return f, nil }
	_, text := get(t, NewMetrics("default", "1.0", source).handler(quiet), "/metrics")
	for _, want := range []string{
		`vinfer_sync_left_out_total{destination="",pipeline="default",reason="campaign"} 7`,
		`vinfer_sync_left_out_total{destination="sales",pipeline="default",reason="filtered"} 12`,
		`vinfer_sync_left_out_total{destination="sales",pipeline="default",reason="transcript_given_up"} 1`,
		`vinfer_sync_left_out_total{destination="none",pipeline="default",reason="overdue_task"} 0`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in:\n%s", want, text)
		}
	}
	for _, r := range store.LeftReasons {
		if leftWords[r] == "" {
			t.Errorf("no words for %s", r)
		}
	}
	if got := LeftText(f.Status.LeftOut); got != "7 of other campaigns, 12 filtered, 1 transcripts given up" {
		t.Errorf("%q", got)
	}
	p := f.Status.Destinations[0]
	if got := LeftText(p.LeftOut); got != "12 filtered, 1 transcripts given up" {
		t.Errorf("%q", got)
	}
}
