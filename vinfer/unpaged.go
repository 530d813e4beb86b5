package vinfer

import (
	"context"
	"errors"
	"sync"
	"time"
)

// unpagedFor is how long the pages of a listing may be asked for after its first one, which was all of it.
const unpagedFor = 10 * time.Minute

// fewRows is how many rows no server's default page is as short as.
const fewRows = 5

// unpaged remembers the listings whose first answer was all of them, by their parameters. Nothing is learned of the
// server: each listing finds out anew, so that a fault that passes costs one reading and teaches nothing.
type unpaged struct {
	mu       sync.Mutex
	listings map[string]unpagedListing
	told     bool // the log says that the server refuses limit and offset
}

type unpagedListing struct {
	total int
	at    time.Time
}

// page returns one page; whole tells that it is all of the listing, because the server refuses limit and offset.
func (c *Client) page(ctx context.Context, q Query, p Priority) (page Page, whole bool, err error) {
	key := q.values()
	key.Del("offset")
	listing := key.Encode()
	if q.Offset > 0 {
		if total, ok := c.unpaged.of(listing); ok {
			return Page{Total: total, Date: time.Now().Add(c.Skew()).UTC()}, true, nil
		}
		page, err = c.calls(ctx, q, p)
		return page, false, err
	}
	page, err = c.calls(ctx, q, p)
	if q.Limit > 0 && errors.Is(err, ErrBadRequest) {
		// The guide mentions no paging: a server that goes by it alone may refuse the parameters, and only those.
		if page, ok := c.whole(ctx, q, p); ok {
			if c.unpaged.keep(listing, page.Total) {
				c.log.Warn("VInfer refuses limit and offset: each listing is read as one answer", "error", err)
			}
			return page, true, nil
		}
	}
	if c.unpaged.drop(listing, err == nil && q.Limit > 0) {
		c.log.Info("VInfer takes limit and offset again: listings are read in pages")
	}
	return page, false, err
}

// whole asks for a listing whose limit was refused once without it, and tells whether the answer is all of the listing.
// The refusal may have been a passing fault, and the answer the first page of many. So an answer that is part of a
// whole by what it says itself does not count. One that says nothing has to stand two trials: the limit is refused a
// second time, and an offset of as many rows is refused too or brings no other row.
func (c *Client) whole(ctx context.Context, q Query, p Priority) (Page, bool) {
	bare := q
	bare.Limit = 0
	page, err := c.calls(ctx, bare, p)
	switch {
	case err != nil || page.partial || page.Total >= 0 && page.Total != page.Rows:
		return Page{}, false
	case page.Total == page.Rows || page.Rows < fewRows:
		return page, true
	}
	if _, err := c.calls(ctx, q, p); !errors.Is(err, ErrBadRequest) {
		return Page{}, false
	}
	bare.Offset = page.Rows
	rest, err := c.calls(ctx, bare, p)
	if errors.Is(err, ErrBadRequest) {
		return page, true
	}
	if err != nil || len(rest.Broken) > len(page.Broken) {
		return Page{}, false
	}
	known := make(map[string]bool, len(page.Calls))
	for i := range page.Calls {
		known[page.Calls[i].ID] = true
	}
	for i := range rest.Calls {
		if !known[rest.Calls[i].ID] {
			return Page{}, false
		}
	}
	return page, true
}

// of returns what the first answer of a listing stated as its total, if it was all of it.
func (u *unpaged) of(listing string) (total int, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	l, ok := u.listings[listing]
	return l.total, ok && time.Since(l.at) < unpagedFor
}

// keep remembers a listing and tells whether that is news for the log.
func (u *unpaged) keep(listing string, total int) (tell bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for k, l := range u.listings {
		if time.Since(l.at) >= unpagedFor {
			delete(u.listings, k)
		}
	}
	if u.listings == nil {
		u.listings = map[string]unpagedListing{}
	}
	u.listings[listing] = unpagedListing{total, time.Now()}
	tell, u.told = !u.told, true
	return tell
}

// drop forgets a listing; paged: the server took its limit. It tells whether that is news for the log.
func (u *unpaged) drop(listing string, paged bool) (tell bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.listings, listing)
	if tell = paged && u.told; tell {
		u.told = false
	}
	return tell
}
