package admin

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// requests shows Prometheus at each scrape what was asked of VInfer, by kind.
type requests struct {
	facts func() (Facts, error)
	total *prometheus.Desc
}

func newRequests(facts func() (Facts, error)) *requests {
	return &requests{facts, prometheus.NewDesc(namespace+"_api_requests_total",
		"Requests to VInfer since the process began, repeated ones included, by what they were for.", []string{"kind"}, nil)}
}

// Describe implements prometheus.Collector.
func (r *requests) Describe(ch chan<- *prometheus.Desc) { ch <- r.total }

// Collect implements prometheus.Collector.
func (r *requests) Collect(ch chan<- prometheus.Metric) {
	f, err := r.facts()
	if err != nil {
		ch <- prometheus.NewInvalidMetric(r.total, err)
		return
	}
	for _, k := range f.Status.Requests {
		ch <- prometheus.MustNewConstMetric(r.total, prometheus.CounterValue, float64(k.Total), k.Kind)
	}
}

// RequestsText shows people what was asked of VInfer in the last minute, by kind; empty: nothing was.
func RequestsText(all []vinfer.KindRequests) string {
	sum := 0
	var parts []string
	for _, k := range all {
		if sum += k.LastMinute; k.LastMinute > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", k.Kind, k.LastMinute))
		}
	}
	if sum == 0 {
		return ""
	}
	return fmt.Sprintf("%d requests: %s", sum, strings.Join(parts, ", "))
}
