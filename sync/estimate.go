package sync

import (
	"context"
	"math"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// Estimate is what a backfill would cost.
type Estimate struct {
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until"`
	Calls       int       `json:"calls"`
	CountedBy   string    `json:"counted_by"`          // total: as VInfer counts them; reading: by reading the range
	Requests    int       `json:"requests"`            // for the listing
	Transcripts int       `json:"transcript_requests"` // for transcripts, at most; 0: none are asked for
	PerMinute   int       `json:"requests_per_minute"` // that the limit leaves to it
	Minutes     float64   `json:"minutes"`             // that requests and rate take, not counting how fast the destinations are
}

// The ways of Estimate.CountedBy.
const (
	ByTotal   = "total"
	ByReading = "reading"
)

// Estimate counts the calls of a backfill's range and what it would cost, without storing or delivering anything. Where VInfer's totals can
// be relied on that takes a request or two, elsewhere as many as the backfill itself.
func (e *Engine) Estimate(ctx context.Context, r BackfillRequest) (est Estimate, err error) {
	err = e.whileAlive(ctx, func(ctx context.Context) error {
		est, err = e.estimate(ctx, r)
		return err
	})
	return est, err
}

func (e *Engine) estimate(ctx context.Context, r BackfillRequest) (Estimate, error) {
	bounds, err := e.bounds(ctx) // first, so that the server's clock is known
	if err != nil {
		return Estimate{}, err
	}
	spec, err := e.spec(r)
	if err != nil {
		return Estimate{}, err
	}
	est := Estimate{Since: spec.Since, Until: spec.Until, CountedBy: ByTotal}
	if bounds != nil {
		n, ok, err := e.countByTotal(ctx, bounds, spec)
		if err != nil {
			return est, err
		}
		est.Calls, est.Requests = n, (n+e.o.PageSize-1)/e.o.PageSize+n/sliceRows+1
		if !ok {
			r := spec.asRange()
			r.longest = e.o.MaxCall
			r.take = func(store.Page) error { return nil }
			got, err := e.read(ctx, bounds, r)
			if err != nil {
				return est, err
			}
			est.Calls, est.Requests, est.CountedBy = got.rows, got.requests, ByReading
		}
	}
	if !spec.NoTranscripts && e.asksTranscripts(spec.To) {
		est.Transcripts = est.Calls
	}
	b := e.o.API.Budget()
	if b.Known {
		est.PerMinute = max(b.Limit-b.Reserve, 1)
		est.Minutes = float64(est.Requests+est.Transcripts) / float64(est.PerMinute)
	}
	if spec.Rate > 0 {
		est.Minutes = math.Max(est.Minutes, float64(est.Calls)/float64(spec.Rate))
	}
	return est, nil
}

// asksTranscripts tells whether a destination gets transcripts; only names the one of a backfill --to.
func (e *Engine) asksTranscripts(only string) bool {
	for _, c := range e.order {
		if e.o.FetchTranscripts && !c.d.Off.Transcript && (only == "" || c.d.Name == only) {
			return true
		}
	}
	return false
}

// countByTotal returns how many calls of the range VInfer counts; false: its total cannot be relied on for that. Where starts are
// filtered they are counted by their starts.
func (e *Engine) countByTotal(ctx context.Context, b *vinfer.Bounds, s backfillSpec) (int, bool, error) {
	if b.AnyTotal {
		return 0, false, nil
	}
	bound := boundOf(b)
	q := vinfer.Query{Bound: bound, Since: s.Since, Limit: e.o.PageSize, Campaign: e.campaign(bound, s.Campaign)}
	if b.To {
		q.To = s.Until
	}
	p, err := e.o.API.Calls(ctx, q, vinfer.Backfills)
	if err != nil || p.Total < 0 {
		return 0, false, err
	}
	if err := e.guard(ctx, p, q, true); err != nil {
		return 0, false, err
	}
	for _, c := range p.Calls {
		if !e.wanted(c) || s.Campaign != "" && c.CampaignID != s.Campaign {
			return 0, false, nil // the server does not filter as we do
		}
	}
	n := p.Total
	if !b.To {
		q.Since = s.Until
		if p, err = e.o.API.Calls(ctx, q, vinfer.Backfills); err != nil || p.Total < 0 {
			return 0, false, err
		}
		n = max(n-p.Total, 0)
	}
	return n, true, nil
}
