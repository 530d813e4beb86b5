package sync

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// A listing is read by offset. Nothing is known of its order, so it is complete only if it ends where the server says
// and has brought as many distinct ids as the server counts.

// errIncomplete reports a listing that does not bring what it promises.
var errIncomplete = errors.New("the listing is incomplete")

// tries is how often a faulty page is asked for again, and an incomplete listing read again.
const tries = 3

var idSeed = maphash.MakeSeed()

// idSet holds the ids of a listing as hashes: a listing may be a million calls long.
type idSet map[uint64]struct{}

func (s idSet) add(id string) bool {
	h := maphash.String(idSeed, id)
	if _, ok := s[h]; ok {
		return false
	}
	s[h] = struct{}{}
	return true
}

// listing is one reading of a range.
type listing struct {
	e    *Engine
	q    vinfer.Query
	prio vinfer.Priority
	// page takes a page; last: the listing ends with it. It is called once more without calls if the end was an empty page.
	page func(p vinfer.Page, last bool) error
	// first may refuse the first page, before anything is stored, by an error.
	first func(p vinfer.Page) error

	all   idSet // over all passes
	reach int   // rows of the listing that were covered, from its beginning
	total int   // as the server last said; -1: it does not say
	pages int
}

// read reads the listing to its end, again if it was incomplete. The returned count is that of distinct ids.
func (l *listing) read(ctx context.Context) (int, error) {
	l.all = idSet{}
	pass := l.all
	for again := 0; ; again++ {
		before := len(l.all)
		ended, err := l.pass(ctx, pass)
		if err != nil {
			return len(l.all), err
		}
		if ended {
			return len(l.all), nil
		}
		// The end came, but fewer distinct ids than the server counts. A second reading that brings nothing new, though all rows
		// were covered, shows that the server counts doubled rows.
		stable := again > 0 && len(l.all) == before && l.reach >= l.total
		if l.total < 0 || len(l.all) >= l.total || stable {
			return len(l.all), l.page(vinfer.Page{}, true)
		}
		if again == tries {
			return len(l.all), fmt.Errorf("%w: VInfer counts %d calls in it, but %d readings brought %d; the range is read again at the next run",
				errIncomplete, l.total, again+1, len(l.all))
		}
		if err := pause(ctx, l.e.o.Pause); err != nil {
			return len(l.all), err
		}
		pass = idSet{}
	}
}

// pass reads once from the beginning to an end; ended: the last page was given as the last.
func (l *listing) pass(ctx context.Context, seen idSet) (ended bool, err error) {
	var head signature
	widest := 0
	l.q.Offset = 0
	l.reach = 0
	for faults := 0; ; {
		p, err := l.e.o.API.Calls(ctx, l.q, l.prio)
		if err != nil {
			return false, err
		}
		l.pages++
		l.e.busy.beat()
		if l.pages == 1 && l.first != nil {
			if err := l.first(p); err != nil {
				return false, err
			}
		}
		if err := l.e.guard(ctx, p, l.q); err != nil {
			return false, err
		}
		l.total = p.Total
		if p.Rows == 0 {
			return false, nil
		}
		sig, distinct, fresh := l.count(p, seen)
		if fresh == 0 {
			if l.total >= 0 && len(seen) >= l.total && l.q.Offset >= l.total {
				return false, nil // a server that answers with its last page past the end
			}
			if unpaged(p, l.q, head, sig) {
				return false, nil
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
		next := l.q.Offset + min(distinct, l.q.Limit)
		size := l.q.Limit
		if p.Limit > 0 && p.Limit < size {
			size = p.Limit
		}
		// A page shorter than asked is the last one, unless the server gives no more at a time: then it is as long as the longest before.
		short := p.Rows < size && (widest == 0 || p.Rows < widest)
		widest = max(widest, p.Rows)
		last := short && l.total >= 0 && next >= l.total && len(seen) == l.total
		if err := l.page(p, last); err != nil {
			return false, err
		}
		if last {
			return true, nil
		}
		l.q.Offset = next
	}
}

// signature tells one page from another.
type signature struct {
	rows int
	sum  uint64
}

// count adds the page's ids to the sets.
func (l *listing) count(p vinfer.Page, seen idSet) (sig signature, distinct, fresh int) {
	sig.rows = p.Rows
	own := make(idSet, p.Rows)
	one := func(id string) {
		sig.sum = sig.sum*1099511628211 + maphash.String(idSeed, id)
		if !own.add(id) {
			return
		}
		distinct++
		if seen.add(id) {
			fresh++
		}
		l.all.add(id) // the same set in the first pass
	}
	for i := range p.Calls {
		one(p.Calls[i].ID)
	}
	for i := range p.Broken {
		one(brokenKey(p.Broken[i]))
	}
	return sig, distinct, fresh
}

// unpaged tells whether the server, which counts nothing, has no pages: it ignores the offset and answers with the whole list again. A number
// of rows that looks like a page's size is no list but a page that repeats.
func unpaged(p vinfer.Page, q vinfer.Query, head, sig signature) bool {
	if p.Total >= 0 || q.Offset == 0 || head != sig {
		return false
	}
	switch p.Rows {
	case 10, 20, 25, 50, 100, q.Limit:
		return false
	}
	return true
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
