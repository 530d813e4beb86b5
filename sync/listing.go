package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// A listing is read by offset. Nothing is known of its order, so it is complete only if it ends where the server says
// and has brought as many distinct ids as the server counts.

// errIncomplete reports a listing that does not bring what it promises.
var errIncomplete = errors.New("the listing is incomplete")

// A listing of so many pages, and again after so many more, is looked at for whether it has an end at all.
const (
	firstDoubt  = 100
	laterDoubts = 1000
)

// tries is how often a faulty page is asked for again, and an incomplete listing read again although that brought nothing new.
const tries = 3

// maxReadings bounds how often a listing is read again that brings something new each time, and never all.
const maxReadings = 12

// listing is one reading of a range.
type listing struct {
	e    *Engine
	q    vinfer.Query
	prio vinfer.Priority
	// page takes a page; fresh tells of each call whether no page before had it; last: the listing ends with it. It is called once more
	// without calls if the end was an empty page.
	page func(p vinfer.Page, fresh []bool, last bool) error
	// anyTotal: the server's totals do not count the listing.
	anyTotal bool
	// look: only to see, nothing is remembered of it.
	look bool
	// first may refuse the first page, before anything is stored, by an error.
	first func(p vinfer.Page) error

	all    *idSet // over all passes
	reach  int    // rows of the listing that were covered, from its beginning
	order  uint64 // tells the pages of the last pass, in their order, from others
	total  int    // as the server last said; -1: it does not say
	pages  int
	coming <-chan fetched // the page at q, if it was asked for ahead
	missed int            // of the rows that the server counted when the pass began, those that it did not bring
}

// read reads the listing to its end, again if it was incomplete. The returned count is that of distinct ids.
func (l *listing) read(ctx context.Context) (int, error) {
	l.all = &idSet{}
	pass := l.all
	fruitless := 0 // readings in a row that brought nothing new
	for again := 0; ; again++ {
		before, order := l.all.n, l.order
		ended, err := l.pass(ctx, pass)
		if err != nil {
			return l.all.n, err
		}
		if ended {
			return l.all.n, nil
		}
		if fruitless++; again == 0 || l.all.n > before {
			fruitless = 0
		}
		// The end came, but fewer distinct ids than the server counts. Calls that came up while it was read may explain it: then all
		// that the server counted at the beginning are there. Or a second reading that brings the very same pages, all rows covered,
		// shows that the server counts doubled rows. One that mixes its rows anew at each request proves nothing by bringing none that is new.
		stable := fruitless > 0 && l.order == order && l.reach >= l.total
		if l.total < 0 || l.all.n >= l.total || l.missed <= 0 || stable {
			return l.all.n, l.page(vinfer.Page{}, nil, true)
		}
		if fruitless == tries || again == maxReadings {
			return l.all.n, fmt.Errorf("%w: VInfer counts %d calls in it, but %d readings brought %d; the range is read again at the next run",
				errIncomplete, l.total, again+1, l.all.n)
		}
		if err := pause(ctx, l.e.o.Pause); err != nil {
			return l.all.n, err
		}
		pass = &idSet{}
	}
}

// pass reads once from the beginning to an end; ended: the last page was given as the last.
func (l *listing) pass(ctx context.Context, seen *idSet) (ended bool, err error) {
	var head signature
	var began time.Time
	widest, length := 0, 0 // of the pages; of the page before
	faults, asked := 0, false
	l.q.Offset, l.reach, l.order = 0, 0, 0
	for {
		p, err := l.ask(ctx, l.q)
		if err != nil {
			return false, err
		}
		if began.IsZero() {
			began, l.missed = p.Date.Truncate(time.Second), p.Total
		}
		if p.Rows == 0 {
			if p.Total < 0 && length > 0 && length == widest && !asked {
				asked = true // right after a whole page, and with nothing to compare it with: an empty page may be a mistake
				if err := pause(ctx, l.e.o.Pause); err != nil {
					return false, err
				}
				continue
			}
			return false, nil
		}
		asked = false
		sig, distinct, fresh, first := l.count(p, seen, began)
		l.order = l.order*1099511628211 + sig.sum
		next := l.q.Offset + min(distinct, l.q.Limit)
		if fresh == 0 {
			over, err := l.over(ctx, p, head, sig, seen.n)
			if over || err != nil {
				return false, err
			}
			if l.q.Offset+min(p.Rows, l.q.Limit) <= l.reach {
				l.q.Offset = next // these rows were there before: the offset moves by less than a page that has rows twice
				continue
			}
			if faults++; faults > tries {
				return false, fmt.Errorf("%w: the page at offset %d brings no call that the pages before did not have, asked %d times", errIncomplete, l.q.Offset, faults)
			}
			if err := pause(ctx, l.e.o.Pause<<(faults-1)); err != nil {
				return false, err
			}
			continue
		}
		faults = 0
		if l.q.Offset == 0 {
			head = sig
		}
		l.reach = max(l.reach, l.q.Offset+p.Rows)
		size := l.q.Limit
		if p.Limit > 0 && p.Limit < size {
			size = p.Limit
		}
		// A page shorter than asked is the last one, unless the server gives no more at a time: then it is as long as the longest before.
		short := p.Rows < size && (widest == 0 || p.Rows < widest)
		widest, length = max(widest, p.Rows), p.Rows
		last := short && l.total >= 0 && next >= l.total && seen.n == l.total
		l.q.Offset = next
		drop := func() {}
		if !last {
			drop = l.prefetch(ctx, l.q)
		}
		if err := l.page(p, first, last); err != nil {
			drop()
			return false, err
		}
		if last {
			return true, nil
		}
	}
}

// ask fetches one page and refuses what no listing of the range can be.
func (l *listing) ask(ctx context.Context, q vinfer.Query) (vinfer.Page, error) {
	got := l.fetch(ctx, q)
	p := got.page
	if got.err != nil {
		return p, got.err
	}
	p.Date = l.e.clock.believe(p.Date.UTC(), got.at)
	if l.anyTotal {
		p.Total = -1
	}
	l.pages++
	l.e.busy.beat()
	if l.pages == 1 && l.first != nil {
		if err := l.first(p); err != nil {
			return p, err
		}
	}
	if err := l.e.guard(ctx, p, q, l.look); err != nil {
		return p, err
	}
	if l.pages == firstDoubt || l.pages%laterDoubts == 0 {
		if err := l.endless(ctx); err != nil {
			return p, err
		}
	}
	l.total = p.Total
	return p, nil
}

// over tells whether a page without a new call is the end of the listing.
func (l *listing) over(ctx context.Context, p vinfer.Page, head, sig signature, seen int) (bool, error) {
	if l.total < 0 {
		return l.unpaged(ctx, p, head, sig)
	}
	switch {
	case l.q.Offset+p.Rows == l.total:
		return true, nil // calls that came up meanwhile moved known ones to the end; whether any is missing is counted afterwards
	case seen < l.total:
		return false, nil
	case l.q.Offset >= l.total:
		return true, nil // a server that answers with its last page past the end
	default:
		return head == sig && p.Rows >= l.total, nil // one without pages: the whole list again
	}
}

// endless fails if the listing has rows at any offset, which no listing has.
func (l *listing) endless(ctx context.Context) error {
	q := l.q
	var ids [2]string
	for i := range ids {
		q.Offset = 1<<30 + i<<29
		p, err := l.e.o.API.Calls(ctx, q, l.prio)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || len(p.Calls) == 0 {
			return nil //nolint:nilerr // an offset that is refused is no row
		}
		ids[i] = p.Calls[0].ID
	}
	if ids[0] == ids[1] {
		return nil // it answers with its last page, or knows no offset
	}
	return fmt.Errorf("%w: it has no end: after %d calls VInfer answers offsets of more than a thousand million with still other calls. "+
		"The cursor stays; ask VInfer what is wrong with its listing", errIncomplete, l.all.n)
}

// fetched is an answer to a page's request, and when it came.
type fetched struct {
	page vinfer.Page
	at   time.Time
	err  error
}

// prefetch asks for a page while the one before is stored; the next fetch gets it. The returned function gives it up.
func (l *listing) prefetch(ctx context.Context, q vinfer.Query) (drop func()) {
	ctx, cancel := context.WithCancel(ctx)
	coming := make(chan fetched, 1)
	go func() {
		defer cancel()
		p, err := l.e.o.API.Calls(ctx, q, l.prio)
		coming <- fetched{p, time.Now(), err}
	}()
	l.coming = coming
	return func() {
		cancel()
		<-coming
		l.coming = nil
	}
}

// fetch returns the page that was asked for ahead, or asks for it.
func (l *listing) fetch(ctx context.Context, q vinfer.Query) fetched {
	if coming := l.coming; coming != nil {
		l.coming = nil
		return <-coming
	}
	p, err := l.e.o.API.Calls(ctx, q, l.prio)
	return fetched{p, time.Now(), err}
}

// signature tells one page from another.
type signature struct {
	rows int
	sum  uint64
}

// count adds the page's ids to the sets: distinct ones it has, fresh ones in this pass, and first tells of each call whether it is the first
// time in any. A call that came up since the pass began is none of those that the server counted then.
func (l *listing) count(p vinfer.Page, seen *idSet, began time.Time) (sig signature, distinct, fresh int, first []bool) {
	sig.rows = p.Rows
	var own idSet
	one := func(id string, old bool) (isFirst bool) {
		h := hashID(id)
		sig.sum = sig.sum*1099511628211 + h
		if !own.add(h) {
			return false
		}
		distinct++
		isNew := seen.add(h)
		if isNew {
			fresh++
			if old {
				l.missed--
			}
		}
		if seen == l.all { // in the first pass
			return isNew
		}
		return l.all.add(h)
	}
	first = make([]bool, len(p.Calls))
	for i := range p.Calls {
		at := listedAt(p.Calls[i], l.q.Bound)
		first[i] = one(p.Calls[i].ID, at.Before(began) || at.After(p.Date.Add(time.Second)))
	}
	for i := range p.Broken {
		one(brokenKey(p.Broken[i]), true)
	}
	return sig, distinct, fresh, first
}

// unpaged tells whether the server, which counts nothing, has no pages: it ignores the offset and answers with the whole list again. A number
// of rows that looks like a page's size may be a page that repeats; but a server that knows pages gives fewer rows if asked for fewer.
func (l *listing) unpaged(ctx context.Context, p vinfer.Page, head, sig signature) (bool, error) {
	if l.q.Offset == 0 || head != sig {
		return false, nil
	}
	switch p.Rows {
	case l.q.Limit, 100:
		return false, nil
	case 10, 20, 25, 50:
		q := l.q
		q.Limit = 7
		few, err := l.e.o.API.Calls(ctx, q, l.prio)
		return err == nil && few.Rows == p.Rows, err
	}
	return true, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
