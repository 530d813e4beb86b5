package admin

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// leftOut shows Prometheus at each scrape what destinations did not get, by reason.
type leftOut struct {
	facts func() (Facts, error)
	total *prometheus.Desc
}

func newLeftOut(facts func() (Facts, error)) *leftOut {
	return &leftOut{facts, prometheus.NewDesc(namespace+"_left_out_total",
		"What was skipped since the store was made, by reason; campaign is of no destination: "+strings.Join(store.LeftReasons, ", ")+".", []string{"reason", "destination"}, nil)}
}

// Describe implements prometheus.Collector.
func (l *leftOut) Describe(ch chan<- *prometheus.Desc) { ch <- l.total }

// Collect implements prometheus.Collector.
func (l *leftOut) Collect(ch chan<- prometheus.Metric) {
	f, err := l.facts()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(l.total, err)
		return
	}
	ch <- prometheus.MustNewConstMetric(l.total, prometheus.CounterValue, float64(f.Status.LeftOut[store.LeftCampaign]), store.LeftCampaign, "")
	for _, d := range f.Stats.Dests {
		if d.Orphaned {
			continue
		}
		for _, reason := range store.LeftReasons {
			if reason == store.LeftCampaign {
				continue // no matter of a destination
			}
			ch <- prometheus.MustNewConstMetric(l.total, prometheus.CounterValue, float64(d.LeftOut.Counts[reason]), reason, d.Name)
		}
	}
}

// leftWords are the reasons for people.
var leftWords = map[string]string{
	store.LeftCampaign: "of other campaigns", store.LeftFiltered: "filtered", store.LeftUnknown: "with an unknown disposition", store.LeftSkipped: "skipped", store.LeftNoNumber: "without a number",
	store.LeftOverdue: "overdue follow-up tasks", store.LeftTranscript: "transcripts given up",
}

// LeftText shows people what was left out, by reason; empty: nothing was.
func LeftText(counts map[string]int64) string {
	var parts []string
	for _, r := range engine.LeftReasons(counts) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[r], leftWords[r]))
	}
	return strings.Join(parts, ", ")
}
