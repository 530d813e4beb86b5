package sync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// readRange is a range of completion times to be read by one of the callers (poll, backfill).
type readRange struct {
	stream   string
	prio     vinfer.Priority
	backfill uint64
	only     string    // destination of a backfill --to
	campaign string    // of a backfill --campaign
	from     time.Time // everything that completed after this …
	to       time.Time // … and not after this; zero: up to now, whatever that becomes while reading
	floor    time.Time // no row that completed before this is wanted; the server need not be asked for it
	// closed is called after a slice was read to its end and stored: the checkpoint of a backfill goes into the same transaction.
	checkpoint func(upTo time.Time, fetched int) []byte
}

// readResult counts.
type readResult struct {
	fetched int
	store.Ingested
}

const (
	sliceRows  = 5000           // a slice with more rows is halved
	sliceMin   = time.Minute    // but no further than this
	sliceFirst = 24 * time.Hour // the first slice of a long range
	sliceMax   = 366 * 24 * time.Hour
	sweepPages = 10               // a start-filtered poll that reads max_call back in no more pages does so at every poll,
	sweepEvery = 10 * time.Minute // and else this often
)

var errTooWide = errors.New("slice too wide")

// extent remembers how a start-filtered server's extended reading went.
type extent struct {
	sync.Mutex
	at    time.Time
	pages int
}

// read reads a range to its end, stores what it finds, and closes it, slice by slice where the server honours an upper
// bound. It stops at the first slice that cannot be read: that one stays open, and the next call goes on there.
func (e *Engine) read(ctx context.Context, b *vinfer.Bounds, r readRange) (readResult, error) {
	var sum readResult
	width := sliceFirst
	lo := r.from
	for {
		now := e.serverNow().Truncate(time.Second)
		hi, end := r.to, true
		limit := hi
		if limit.IsZero() {
			limit = now
		}
		if b.To && limit.Sub(lo) > width+width/8 { // a short rest would read the overlap for next to nothing
			hi, end = lo.Add(width).Truncate(time.Second), false
		}
		n, got, err := e.readSlice(ctx, b, r, lo, hi, end && r.to.IsZero(), b.To && limit.Sub(lo) > sliceMin)
		sum.fetched += n
		sum.New += got.New
		sum.Changed += got.Changed
		sum.Queued += got.Queued
		sum.Late += got.Late
		switch {
		case errors.Is(err, errTooWide):
			width = max(min(width, limit.Sub(lo))/2, sliceMin)
			continue
		case err != nil:
			return sum, err
		case end:
			return sum, nil
		}
		if n < sliceRows/4 {
			width = min(width*2, sliceMax)
		}
		lo = hi
	}
}

// readSlice reads (lo, hi]; open: hi is the server's clock at the first page. It may answer errTooWide before anything is stored, if divisible.
func (e *Engine) readSlice(ctx context.Context, b *vinfer.Bounds, r readRange, lo, hi time.Time, open, divisible bool) (int, store.Ingested, error) {
	var sum store.Ingested
	bound := boundOf(b)
	since := lo.Add(-e.o.Lookback)
	if since.Before(r.floor) {
		since = r.floor
	}
	if bound == vinfer.From {
		// Filtered by start: what ended in the range may have started long before.
		if r.backfill != 0 || e.extend() {
			since = since.Add(-e.o.MaxCall)
		}
	}
	// One second more settles whether the bound is inclusive.
	q := vinfer.Query{Bound: bound, Since: since.Add(-time.Second), Limit: e.o.PageSize}
	if bound == vinfer.From { // the guide does not have the parameter; rows are filtered here in any case
		q.Campaign = r.campaign
		if q.Campaign == "" && len(e.o.Campaigns) == 1 {
			q.Campaign = e.o.Campaigns[0]
		}
	}
	if !open && b.To {
		q.To = hi
	}
	count := 0
	l := &listing{e: e, q: q, prio: r.prio, anyTotal: b.AnyTotal}
	l.first = func(p vinfer.Page) error {
		date := p.Date.UTC().Truncate(time.Second)
		if open {
			hi = date
			if hi.Before(lo) { // the server's clock went back: nothing can be said of the time since
				hi = lo
			}
		}
		if divisible && p.Total > sliceRows && (hi.Sub(lo) > 2*sliceMin) {
			return errTooWide
		}
		return nil
	}
	l.page = func(p vinfer.Page, last bool) error {
		page := e.page(r, p, hi, open)
		if last {
			page.Close = &store.Interval{From: lo, To: hi}
			if r.checkpoint != nil {
				page.Checkpoint = r.checkpoint(hi, len(l.all))
			}
		}
		if len(page.Rows)+len(page.Unfinished)+len(page.Broken) == 0 && !last {
			return nil
		}
		got, err := e.ingest(page)
		sum.New += got.New
		sum.Changed += got.Changed
		sum.Queued += got.Queued
		sum.Late += got.Late
		return err
	}
	count, err := l.read(ctx)
	if bound == vinfer.From && r.backfill == 0 && err == nil {
		e.extended.Lock()
		e.extended.pages = max(l.pages, 1)
		e.extended.Unlock()
	}
	return count, sum, err
}

// extend tells whether this poll of a start-filtered server reads the length of the longest call further back, and notes that it does.
func (e *Engine) extend() bool {
	e.extended.Lock()
	defer e.extended.Unlock()
	if e.extended.pages > sweepPages && time.Since(e.extended.at) < sweepEvery {
		return false
	}
	e.extended.at = time.Now()
	return true
}

// page makes of a page what the store ingests.
func (e *Engine) page(r readRange, p vinfer.Page, hi time.Time, open bool) store.Page {
	out := store.Page{Stream: r.stream, Backfill: r.backfill}
	for _, c := range p.Calls {
		if !e.wanted(c) || r.campaign != "" && c.CampaignID != r.campaign {
			continue
		}
		if c.Unfinished() {
			if r.backfill == 0 {
				out.Unfinished = append(out.Unfinished, store.Unfinished{ID: c.ID, Body: encode(content{Call: c})})
			}
			continue
		}
		row := e.row(c, p.Date, r.only)
		if r.backfill != 0 && (row.When.Before(r.floor) || !r.to.IsZero() && row.When.After(r.to)) {
			continue
		}
		if open {
			// A call that ended while the listing was read: an earlier one of the same contact may have been missed, the next window
			// will show it. One dated beyond the server's clock is no such thing, it is wrong.
			at := c.Completed()
			row.Hold = !at.Before(hi.Add(time.Second)) && at.Before(p.Date.Add(time.Second))
		} else {
			row.Hold = row.When.After(hi) // it began in this slice and ended in the next, which may hold an earlier one
		}
		out.Rows = append(out.Rows, row)
	}
	for _, b := range p.Broken {
		out.Broken = append(out.Broken, store.Broken{Key: brokenKey(b), Raw: b.Raw, Err: b.Err})
	}
	return out
}

func brokenKey(b vinfer.Broken) string {
	sum := sha256.Sum256(b.Raw)
	return "row-" + hex.EncodeToString(sum[:12])
}
