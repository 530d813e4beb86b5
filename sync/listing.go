package sync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// A listing is read by offset. Nothing is known of its order, so it is complete only if it has brought as many distinct ids as the server
// counted with the first page of the reading. Calls that come up meanwhile shift the pages and raise the total: that is no fault, they
// belong to the next poll. A listing that stays short is read again, three times in all and longer while that brings calls not seen
// before. One that is still short then is errIncomplete: its rows are released, and its interval is not closed.

// errIncomplete reports a listing that does not bring what it promises.
var errIncomplete = errors.New("the listing is incomplete")

// errEndless reports a listing that has rows at any offset. Nothing of it is released.
var errEndless = errors.New("the listing cannot be read")

// A listing of so many pages, and again after so many more, is looked at for whether it has an end at all.
const (
	firstDoubt  = 100
	laterDoubts = 1000
)

// tries is how often a faulty page is asked for again, and how often an incomplete listing is read in all if that brings nothing new.
const tries = 3

// fewRows is how many rows no server's page is as short as: what it counts then is the listing.
const fewRows = 5

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
	pace  time.Duration // from one page to the next, at least
	// hasty: an incomplete listing is not read again. The server is known to count more than it shows.
	hasty bool
	// doubtful: nothing that was learned of the server's totals counts.
	doubtful bool

	all    *idSet // over all passes
	reach  int    // rows of the listing that were covered, from its beginning
	order  uint64 // tells the pages of the last pass, in their order, from others
	total  int    // as the server last said; -1: it does not say
	stated int    // as the server said with the first page of the pass; -1: it did not say
	pages  int
	own    bool     // the server's total may be the page's own length
	barren bool     // the readings that came to nothing new, not their number, ended it
	coming []coming // pages that were asked for ahead, in their order
}

// coming is a page that was asked for ahead.
type coming struct {
	offset int
	answer <-chan fetched
	cancel context.CancelFunc
}

// pagesAhead is how many pages of a listing for news are asked for side by side, if its upper end is fixed: a poll is to be short. Where calls
// come up meanwhile, pages that are answered in another order than they were asked for would leave rows out. Other listings have one page ahead.
const pagesAhead = 4

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
		// A second reading that brings the very same pages, as many rows as the server counts, shows that the server counts doubled
		// rows. One that mixes its rows anew at each request proves nothing by bringing none that is new.
		stable := fruitless > 0 && l.order == order && l.reach >= l.stated
		if l.stated < 0 || l.all.n >= l.stated || stable {
			return l.all.n, l.page(vinfer.Page{}, nil, true)
		}
		if l.hasty || fruitless == tries-1 || again == maxReadings {
			l.barren = fruitless == tries-1 && pass.n == l.all.n // one that mixes its rows shows others each time
			return l.all.n, fmt.Errorf("%w: VInfer counts %d calls in it, but %d readings brought %d; those are delivered, and the range is read again",
				errIncomplete, l.stated, again+1, l.all.n)
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
	widest, length := 0, 0 // of the pages; of the page before
	faults, asked := 0, false
	l.own = false
	defer l.drop()
	l.q.Offset, l.reach, l.order = 0, 0, 0
	for {
		p, err := l.ask(ctx, l.q)
		if err != nil {
			return false, err
		}
		if l.q.Offset == 0 {
			l.stated = p.Total
			l.own = p.Total == p.Rows && p.Rows >= fewRows && (l.doubtful || p.Rows >= l.q.Limit || !l.e.lone.covers(p.Rows))
		} else if l.own {
			l.own = false
			if l.ownLength(p, seen) {
				p.Total, l.total = -1, -1
			}
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
		sig, distinct, fresh, first := l.count(p, seen)
		l.order = l.order*1099511628211 + sig.sum
		next := l.q.Offset + min(distinct, l.q.Limit)
		if fresh == 0 {
			if l.total < 0 && p.Rows < widest {
				return false, nil // a short page ends a listing; calls that came up meanwhile moved its rows there
			}
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
		widest, length = max(widest, p.Rows), p.Rows
		last := l.total >= 0 && next >= l.total && seen.n >= l.stated && !l.own
		l.q.Offset = next
		if !last && l.pace == 0 {
			l.prefetch(ctx, l.q)
		}
		if err := l.page(p, first, last); err != nil {
			return false, err
		}
		if last {
			return true, nil
		}
	}
}

// ownLength looks at the page after a first one whose total was its own length: if it has other calls, the server's totals count
// pages and not the listing, and say nothing. It tells so, and remembers up to which length that was not the case.
func (l *listing) ownLength(p vinfer.Page, seen *idSet) bool {
	for i := range p.Calls {
		if !seen.has(hashID(p.Calls[i].ID)) {
			l.anyTotal, l.stated = true, -1
			l.e.lone.forget()
			return true
		}
	}
	l.e.lone.learn(l.reach)
	return false
}

// loneTotals remembers that first pages of so many rows were whole listings, though their total was their own length. It forgets that after a
// while: what taught it may have been a passing fault.
type loneTotals struct {
	mu   sync.Mutex
	rows int
	at   time.Time
}

// loneFor is less than the lookback: calls that were missed for so long are still in it.
const loneFor = 5 * time.Minute

func (t *loneTotals) covers(rows int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return rows <= t.rows && time.Since(t.at) < loneFor
}

func (t *loneTotals) learn(rows int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.at) >= loneFor {
		t.rows, t.at = 0, time.Now()
	}
	t.rows = max(t.rows, rows)
}

func (t *loneTotals) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = 0
}

// ask fetches one page and refuses what no listing of the range can be. A server that refuses an offset at or past the end says by that
// that the listing is over; as a refusal may also be a passing fault, it is asked again first.
func (l *listing) ask(ctx context.Context, q vinfer.Query) (vinfer.Page, error) {
	if l.pace > 0 && l.pages > 0 {
		if err := pause(ctx, l.pace); err != nil {
			return vinfer.Page{}, err
		}
	}
	got := l.fetch(ctx, q)
	for try := 1; q.Offset > 0 && refusesOffset(got.err); try++ {
		if l.stated >= 0 && l.reach >= l.stated && !l.own || try == tries {
			got = fetched{page: vinfer.Page{Total: l.stated, Date: time.Now().Add(l.e.o.API.Skew())}, at: time.Now()}
			break
		}
		if err := pause(ctx, l.e.o.Pause); err != nil {
			return vinfer.Page{}, err
		}
		got = l.fetch(ctx, q)
	}
	p := got.page
	if got.err != nil {
		return p, got.err
	}
	p.Date = l.e.clock.accept(p.Date.UTC(), got.at)
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
		"The cursor stays; ask VInfer what is wrong with its listing", errEndless, l.all.n)
}

// fetched is an answer to a page's request, and when it came.
type fetched struct {
	page vinfer.Page
	at   time.Time
	err  error
}

// prefetch asks for the page at q while the one before is stored, and for those behind it that the server's total says there are.
func (l *listing) prefetch(ctx context.Context, q vinfer.Query) {
	most := 1
	if l.prio == vinfer.News && !l.q.To.IsZero() {
		most = pagesAhead
	}
	if len(l.coming) > 0 {
		if l.coming[0].offset != q.Offset {
			l.drop()
		} else {
			q.Offset = l.coming[len(l.coming)-1].offset + q.Limit
		}
	}
	for ; len(l.coming) < most && (len(l.coming) == 0 || q.Offset < l.total); q.Offset += q.Limit {
		pctx, cancel := context.WithCancel(ctx)
		answer := make(chan fetched, 1)
		go func(q vinfer.Query) {
			p, err := l.e.o.API.Calls(pctx, q, l.prio)
			answer <- fetched{p, time.Now(), err}
		}(q)
		l.coming = append(l.coming, coming{q.Offset, answer, cancel})
	}
}

// drop gives up the pages that were asked for ahead.
func (l *listing) drop() {
	for _, c := range l.coming {
		c.cancel()
		<-c.answer
	}
	l.coming = nil
}

// fetch returns the page that was asked for ahead, or asks for it.
func (l *listing) fetch(ctx context.Context, q vinfer.Query) fetched {
	if len(l.coming) > 0 && l.coming[0].offset == q.Offset {
		first := l.coming[0]
		l.coming = l.coming[1:]
		got := <-first.answer
		first.cancel()
		return got
	}
	l.drop()
	p, err := l.e.o.API.Calls(ctx, q, l.prio)
	return fetched{p, time.Now(), err}
}

// signature tells one page from another.
type signature struct {
	rows int
	sum  uint64
}

// refusesOffset tells whether an error may mean that there is nothing at an offset.
func refusesOffset(err error) bool {
	return errors.Is(err, vinfer.ErrBadRequest) || errors.Is(err, vinfer.ErrNotFound)
}

// count adds the page's ids to the sets: distinct ones it has, fresh ones in this pass, and first tells of each call whether it is the first
// time in any.
func (l *listing) count(p vinfer.Page, seen *idSet) (sig signature, distinct, fresh int, first []bool) {
	sig.rows = p.Rows
	var own idSet
	one := func(id string) (isFirst bool) {
		h := hashID(id)
		sig.sum = sig.sum*1099511628211 + h
		if !own.add(h) {
			return false
		}
		distinct++
		isNew := seen.add(h)
		if isNew {
			fresh++
		}
		if seen == l.all { // in the first pass
			return isNew
		}
		return l.all.add(h)
	}
	first = make([]bool, len(p.Calls))
	for i := range p.Calls {
		first[i] = one(p.Calls[i].ID)
	}
	for i := range p.Broken {
		one(brokenKey(p.Broken[i]))
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
