package sync

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// readRange is a range of completion times to be read by one of the callers: poll, sweep, audit, backfill.
type readRange struct {
	stream   string
	prio     vinfer.Priority
	backfill uint64
	only     string        // destination of a backfill --to
	campaign string        // of a backfill --campaign
	from     time.Time     // everything that completed after this …
	to       time.Time     // … and not after this; zero: up to now, whatever that becomes while reading
	floor    time.Time     // no row that completed before this is wanted; the server need not be asked for it
	goesOn   bool          // the same reader has read what lies before from
	overlap  time.Duration // what completed so long before from is listed once more, but nothing below floor
	longest  time.Duration // where the server filters by start: calls up to this long are listed from their start on
	listedTo time.Time     // what the server lists by a later time is not asked for; zero: no such bound
	pace     time.Duration // from one page to the next, at least
	doubtful bool          // trust nothing that was learned of the server's totals
	joins    bool          // its slices are closed: what they cover counts as read
	starts   startCounts   // counts the listed calls by their start; nil: nobody wants that
	reach    time.Time     // see store.Page
	// closed is called when a slice was read to its end and stored, with the rows of the range that all slices brought so far.
	closed func(upTo time.Time, rows int) error
	// checkpoint makes what a backfill keeps in the transaction that closes a slice, page what it counts with each page.
	checkpoint func(upTo time.Time, rows, left int) []byte
	page       func() // called now and then when pages were stored
	seen       int    // rows that the same reader has brought before
	left       int    // calls that it has left out before, see readResult
	// take gets the pages instead of the store: nothing is written or remembered; nil: the store does.
	take func(store.Page) error
}

// readResult counts.
type readResult struct {
	fetched  int // distinct calls of the listings
	rows     int // of them finished ones of the range
	left     int // finished ones of the range whose campaigns are not wanted
	others   int // of them those that the live poll counted, each once
	requests int
	since    time.Time // from where the first slice was listed
	at       time.Time // the server's clock when the last slice was
	open     int       // slices that stayed open because VInfer counts more calls in them than it shows
	store.Ingested
}

func (s *readResult) add(n readResult) {
	s.fetched += n.fetched
	s.rows += n.rows
	s.left += n.left
	s.others += n.others
	s.requests += n.requests
	if s.since.IsZero() {
		s.since = n.since
	}
	s.at = n.at
	s.open += n.open
	s.Ingested.Add(n.Ingested)
}

const (
	sliceRows  = 5000           // a slice with more rows is halved
	sliceMin   = time.Minute    // but no further than this
	sliceFirst = 24 * time.Hour // the first slice of a long range
	sliceMax   = 366 * 24 * time.Hour
)

var errTooWide = errors.New("slice too wide")

// read reads a range to its end, stores what it finds, and closes it, slice by slice where the server honours an upper
// bound. It stops at the first slice that cannot be read: that one stays open, and the next call goes on there. A slice in which VInfer
// counts more calls than it shows stays open, too, but the reading goes on behind it: the error is returned at the end.
func (e *Engine) read(ctx context.Context, b *vinfer.Bounds, r readRange) (readResult, error) {
	var sum readResult
	var short error // of the first slice that was incomplete
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
		sl := &slice{
			e: e, b: b, r: r, lo: lo, hi: hi, before: r.seen + sum.rows, leftBefore: r.left + sum.left,
			first: lo.Equal(r.from) && !r.goesOn, open: end && r.to.IsZero(), divisible: b.To && limit.Sub(lo) > sliceMin,
		}
		err := sl.read(ctx)
		if err == nil {
			e.countOthers(&sl.got, sl.others)
		}
		sum.add(sl.got)
		switch {
		case errors.Is(err, errTooWide):
			width = max(min(width, limit.Sub(lo))/2, sliceMin)
			continue
		case errors.Is(err, errIncomplete) && r.take == nil:
			if short == nil {
				short = err
			}
			sum.open++
			r.checkpoint = nil // the reading goes on here another time
		case err != nil:
			return sum, err
		}
		if r.closed != nil && short == nil {
			if err := r.closed(sl.hi, r.seen+sum.rows); err != nil {
				return sum, err
			}
		}
		if end {
			return sum, short
		}
		if sl.got.fetched < sliceRows/4 {
			width = min(width*2, sliceMax)
		}
		lo = hi
	}
}

// slice is the reading of (lo, hi]; open: hi is the server's clock at the first page.
type slice struct {
	e         *Engine
	b         *vinfer.Bounds
	r         readRange
	lo, hi    time.Time
	first     bool // nothing before it was read by this reader
	open      bool
	divisible bool                // it may be refused with errTooWide, before anything is stored
	before    int                 // rows of the slices before
	rows      int                 // of the range, distinct ones
	going     map[string]struct{} // calls that had not ended when they were first read
	versions  versions
	ends      []uint64                 // hashes of calls whose end no poll of late has shown
	ended     map[string]struct{}      // where starts are filtered: calls that were in progress until now
	lanes     map[store.Lane]time.Time // where starts are filtered: the contacts whose calls ended, and when the last one did
	writer    *pageWriter
	got       readResult

	left, leftBefore int // calls that are left out: here, and in the slices before
	others           int // calls left out that ended in the slice, of the live poll: each is in one slice alone
}

func (s *slice) read(ctx context.Context) error {
	e, bound := s.e, boundOf(s.b)
	since := s.lo
	if s.first {
		if since = since.Add(-s.r.overlap); since.Before(s.r.floor) {
			since = s.r.floor
		}
		if bound == vinfer.From {
			since = since.Add(-s.r.longest) // what ended in the range may have started long before
		}
	}
	s.got.since = since
	// One second more settles whether the bound is inclusive.
	q := vinfer.Query{Bound: bound, Since: since.Add(-time.Second), Limit: e.o.PageSize, Campaign: e.campaign(bound, s.r.campaign)}
	if s.b.To {
		q.To = s.r.listedTo
		if !s.open && (q.To.IsZero() || s.hi.Before(q.To)) {
			q.To = s.hi
		}
	}
	if s.r.take == nil {
		s.writer = newPageWriter(e)
	}
	l := &listing{
		e: e, q: q, prio: s.r.prio, anyTotal: s.b.AnyTotal, first: s.begin, look: s.r.take != nil, pace: s.r.pace, doubtful: s.r.doubtful,
		hasty: s.r.stream == store.LiveStream && e.plan.miscounted(),
		page:  func(p vinfer.Page, fresh []bool, last bool) error { return s.take(ctx, p, fresh, last) },
	}
	n, err := l.read(ctx)
	if s.writer != nil {
		late := s.r.stream == store.AgainStream || s.r.stream == store.SweepStream || s.r.stream == store.AuditStream
		if errors.Is(err, errIncomplete) || err != nil && late {
			// What was shown is delivered: nobody waits for a server that miscounts. The interval stays open. What was missed before is
			// late as it is, and the next reading of its kind may be long in coming.
			if kept := s.writer.write(store.Page{Stream: s.r.stream, Backfill: s.r.backfill, Release: true}); kept != nil {
				err = kept
			}
		}
		if kept := s.writer.end(); kept != nil {
			err = kept
		}
		s.got.Ingested = s.writer.got
	}
	if err == nil {
		e.versions.seen(&s.versions)
		e.unfinished.haveEnded(s.ends)
	}
	if s.r.take == nil {
		e.plan.listed(l, err)
	}
	s.got.fetched, s.got.rows, s.got.left, s.got.requests, s.got.at = n, s.rows, s.left, l.pages, s.hi
	return err
}

// campaign is the one to ask the server for. The guide does not have the parameter; rows are filtered here in any case.
func (e *Engine) campaign(bound vinfer.Bound, only string) string {
	switch {
	case bound != vinfer.From:
		return ""
	case only == "" && len(e.o.Campaigns) == 1:
		return e.o.Campaigns[0]
	}
	return only
}

// begin looks at the first page.
func (s *slice) begin(p vinfer.Page) error {
	if s.open {
		s.hi = p.Date.UTC().Truncate(time.Second)
		if s.hi.Before(s.lo) { // the server's clock went back: nothing can be said of the time since
			s.hi = s.lo
		}
	}
	if s.divisible && p.Total > sliceRows && s.hi.Sub(s.lo) > 2*sliceMin {
		return errTooWide
	}
	return nil
}

// take has a page stored; with the last one the slice is closed.
func (s *slice) take(ctx context.Context, p vinfer.Page, fresh []bool, last bool) error {
	page := s.page(p, fresh)
	if last && s.r.stream == store.LiveStream && s.r.take == nil {
		ended, err := s.e.endedBefore(ctx, s.lanes, s.hi, s.going, s.ended)
		if err != nil {
			return err
		}
		page.Rows = append(page.Rows, ended...)
	}
	rows := s.before + s.rows
	page.Seen = int64(rows)
	if last {
		page.Release = true
		if s.r.joins || s.r.stream != store.AgainStream {
			page.Close = &store.Interval{From: s.lo, To: s.hi}
		}
		if s.r.checkpoint != nil {
			page.Checkpoint = s.r.checkpoint(s.hi, rows, s.leftBefore+s.left)
		}
	}
	if len(page.Rows)+len(page.Unfinished)+len(page.Broken) == 0 && !last {
		return nil
	}
	if s.r.take != nil {
		return s.r.take(page)
	}
	if err := s.writer.write(page); err != nil {
		return err
	}
	if s.r.page != nil && s.writer.stored.Swap(false) {
		s.r.page()
	}
	return nil
}

// holds tells whether a finished call is one of the range that no slice before has shown.
func (s *slice) holds(c vinfer.Call) bool {
	at := c.Completed()
	late, early := !s.r.to.IsZero() && at.After(s.r.to), s.r.prio == vinfer.Backfills && at.Before(s.r.floor)
	return !c.Unfinished() && !late && !early && (s.first || listedAt(c, boundOf(s.b)).After(s.lo))
}

// page makes of a page what the store ingests. fresh tells of each call whether it was not there before.
func (s *slice) page(p vinfer.Page, fresh []bool) store.Page {
	e, r := s.e, s.r
	out := store.Page{Stream: r.stream, Backfill: r.backfill, Reach: r.reach}
	for i, c := range p.Calls {
		if fresh[i] && r.starts != nil && (s.first || c.StartedAt.After(s.lo)) {
			r.starts.add(c.StartedAt)
		}
		if fresh[i] && boundOf(s.b) == vinfer.From && (r.stream == store.LiveStream || r.stream == store.AgainStream) {
			e.plan.lasted(c, p.Date)
		}
		if !e.wanted(c) {
			if fresh[i] && s.holds(c) {
				s.left++
			}
			if at := c.Completed(); fresh[i] && r.stream == store.LiveStream && r.take == nil && !c.Unfinished() && at.After(s.lo) && !at.After(s.hi) {
				s.others++
			}
			continue
		}
		if r.campaign != "" && c.CampaignID != r.campaign {
			continue
		}
		if c.Unfinished() {
			if s.going == nil {
				s.going = map[string]struct{}{}
			}
			s.going[c.ID] = struct{}{}
			if r.backfill == 0 {
				out.Unfinished = append(out.Unfinished, e.unfinished.note(c, e.overdue(c, p.Date)))
				continue
			}
			if !e.overdue(c, p.Date) {
				continue // the live readers follow it to its end
			}
		}
		row := e.row(c, p.Date, r.only)
		if !r.to.IsZero() && row.When.After(r.to) || r.prio == vinfer.Backfills && row.When.Before(r.floor) {
			if r.starts != nil {
				r.starts.spoil(c.StartedAt) // it was listed, and not taken
			}
			continue
		}
		if s.versions.drops(&e.versions, &row, &out, fresh[i]) {
			continue
		}
		if boundOf(s.b) == vinfer.From && r.stream == store.LiveStream {
			row.Uncovered = !e.plan.covered(c.StartedAt)
			if s.lanes == nil {
				s.lanes, s.ended = map[store.Lane]time.Time{}, map[string]struct{}{}
			}
			if e.unfinished.knows(c.ID) {
				s.ended[c.ID] = struct{}{}
			}
			if e.unfinished.ends(c.ID) {
				s.ends = append(s.ends, hashID(c.ID))
				if row.When.After(s.lanes[row.Lane]) {
					s.lanes[row.Lane] = row.When
				}
			}
		}
		if s.open {
			// A call that ended while the listing was read: an earlier one of the same contact may have been missed, the next window
			// will show it. One dated beyond the server's clock is no such thing, it is wrong.
			at := c.Completed()
			row.Hold = !at.Before(s.hi.Add(time.Second)) && at.Before(p.Date.Add(time.Second))
		} else {
			row.Hold = row.When.After(s.hi) // it began in this slice and ended in the next, which may hold an earlier one
		}
		if !row.When.Before(r.from) && (s.first || listedAt(c, boundOf(s.b)).After(s.lo)) {
			if _, was := s.going[c.ID]; was || fresh[i] {
				delete(s.going, c.ID)
				s.rows++ // the others were counted with the slice before
			}
		}
		out.Rows = append(out.Rows, row)
	}
	for _, b := range p.Broken {
		out.Broken = append(out.Broken, store.Broken{Key: brokenKey(b), Raw: b.Raw, Err: b.Err})
	}
	return out
}

// brokenKey recognises a row that could not be understood when it comes again: by its id where it has one, for what else is in it may differ
// each time (a signed link), and at every poll there would be one more dead letter.
func brokenKey(b vinfer.Broken) string {
	sum := sha256.Sum256(b.Raw)
	if b.ID != "" {
		sum = sha256.Sum256([]byte("id:" + b.ID))
	}
	return "row-" + hex.EncodeToString(sum[:12])
}
