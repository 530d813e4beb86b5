package vinfer

import (
	"context"
	"errors"
	"sync"
	"time"
)

// unpagedFor is how long unpaged remembers a listing whose first answer was all of it.
const unpagedFor = 10 * time.Minute

// fewRows is less than the default page of any server: an answer with fewer rows is not the first page of many.
const fewRows = 5

// unpaged is the dialect of a server without pages. The guide mentions no paging, so a server that goes by the guide alone may refuse
// limit and offset and answer each listing whole.
//
// A listing is asked for with a limit first. If the limit is refused, wholeListing asks without one and checks that the answer is all
// of the listing; then unpaged remembers the listing by its parameters for a while, and its further pages are empty without a
// request. Nothing is concluded about the server as a whole: each listing finds out for itself, so a passing fault costs one
// reading and has no effect on later ones.
type unpaged struct {
	mu       sync.Mutex
	listings map[string]unpagedListing
	warned   bool // the log says that the server refuses limit and offset
}

type unpagedListing struct {
	total int
	at    time.Time
}

// page returns one page. whole says that the page is all of the listing, because the server refuses limit and offset.
func (c *Client) page(ctx context.Context, q Query, p Priority) (page Page, whole bool, err error) {
	key := q.values()
	key.Del("offset")
	listing := key.Encode()
	if q.Offset > 0 {
		if total, ok := c.unpaged.total(listing); ok {
			return Page{Total: total, Date: time.Now().Add(c.Skew()).UTC()}, true, nil
		}
		page, err = c.calls(ctx, q, p)
		return page, false, err
	}
	page, err = c.calls(ctx, q, p)
	if q.Limit > 0 && errors.Is(err, ErrBadRequest) {
		if page, ok := c.wholeListing(ctx, q, p); ok {
			if c.unpaged.remember(listing, page.Total) {
				c.log.Warn("VInfer refuses limit and offset: each listing is read as one answer", "error", err)
			}
			return page, true, nil
		}
	}
	if c.unpaged.forget(listing, err == nil && q.Limit > 0) {
		c.log.Info("VInfer takes limit and offset again: listings are read in pages")
	}
	return page, false, err
}

// wholeListing asks without a limit for a listing whose limit was refused once, and reports whether the answer is all of the
// listing. The refusal may have been a passing fault, and the answer the first page of many. So an answer that calls itself a part
// does not count. An answer that says nothing about its completeness has to pass two checks: the limit is refused a second
// time, and an offset of as many rows is refused too or brings no other row.
func (c *Client) wholeListing(ctx context.Context, q Query, p Priority) (Page, bool) {
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

// total returns the total that the first answer of a listing stated, if that answer was all of the listing.
func (u *unpaged) total(listing string) (total int, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	l, ok := u.listings[listing]
	return l.total, ok && time.Since(l.at) < unpagedFor
}

// remember adds a listing and reports whether the log should say that the server has no pages.
func (u *unpaged) remember(listing string, total int) (tell bool) {
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
	tell, u.warned = !u.warned, true
	return tell
}

// forget removes a listing. paged says that the server took the limit. forget reports whether the log should say that the server has
// pages again.
func (u *unpaged) forget(listing string, paged bool) (tell bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.listings, listing)
	if tell = paged && u.warned; tell {
		u.warned = false
	}
	return tell
}
