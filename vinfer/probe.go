package vinfer

import (
	"context"
	"errors"
	"time"
)

// probeRows is how many rows a probe asks for: more than a server may have in the far future by mistake, so one that ignores the
// bound shows others.
const probeRows = 50

// Probe finds out which bounds of a listing the server honours. The two published descriptions of the API name different lower
// bounds, and a server may ignore a parameter that it does not know and answer all of its history.
//
// Probe first asks without a bound: a workspace without calls proves nothing (Bounds.Empty). Then it asks, with each lower bound, for
// calls of the far future, and with `to` for calls of the far past. A server that honours the bound answers no row, or only rows
// that lie inside: some row may be dated in the far future by mistake. A bound is not honoured if it is refused (400, 422) or
// if one row from outside comes back.
func (c *Client) Probe(ctx context.Context) (Bounds, error) {
	control, whole, err := c.page(ctx, Query{Limit: 1}, News)
	if err != nil {
		return Bounds{}, err
	}
	if control.Rows == 0 {
		return Bounds{Empty: true}, nil
	}
	b := Bounds{Unpaged: whole}
	rows := probeRows
	if whole {
		rows = 0
	}
	future := time.Now() // or the server's clock: either may be wrong, and the later one is far enough for both
	if control.Date.After(future) && control.Date.Year() < 9000 {
		future = control.Date
	}
	future = future.AddDate(10, 0, 0)
	for _, f := range []struct {
		bound Bound
		found *bool
	}{{After, &b.After}, {From, &b.From}} {
		var total int
		if *f.found, total, err = c.honours(ctx, Query{Bound: f.bound, Since: future, Limit: rows}); err != nil {
			return Bounds{}, err
		}
		b.AnyTotal = b.AnyTotal || *f.found && total > 0
	}
	q := Query{Since: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC), Limit: rows}
	switch {
	case b.After:
		q.Bound = After
	case b.From:
		q.Bound = From
	default:
		return b, nil
	}
	b.To, _, err = c.honours(ctx, q)
	return b, err
}

// honours asks for a range that no call can be in and reports whether the server honours its bounds. total is what the server counts in
// an answer without rows, 0 if the answer has rows. The result is used for long, so a refusal, or a total above 0 without
// rows, counts only if it comes twice.
func (c *Client) honours(ctx context.Context, q Query) (ok bool, total int, err error) {
	var p Page
	for range 2 {
		// Not Calls: its second try without a limit would only be refused again.
		p, err = c.calls(ctx, q, News)
		if !errors.Is(err, ErrBadRequest) && (err != nil || p.Rows > 0 || p.Total <= 0) {
			break
		}
	}
	if errors.Is(err, ErrBadRequest) {
		return false, 0, nil
	}
	if err != nil || p.Rows == 0 {
		return err == nil, p.Total, err
	}
	for _, call := range p.Calls {
		if !within(call, q) {
			return false, 0, nil
		}
	}
	return len(p.Calls) > 0, 0, nil // a row that is dated in the far future by mistake belongs to the answer
}

// within reports whether a row lies inside the bounds that were asked for.
func within(c Call, q Query) bool {
	started := c.StartedAt
	if started.IsZero() {
		started = c.Completed()
	}
	if !q.To.IsZero() && started.After(q.To) {
		return false
	}
	if q.Bound == After {
		return !c.Completed().Before(q.Since)
	}
	return !started.Before(q.Since)
}
