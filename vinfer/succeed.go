package vinfer

import "time"

// Succeed lets c take over from a client of the same workspace: it goes on with what that one has learned of the request budget and
// of the server's clock, so that a new configuration does not spend the same window's requests again. Nothing may be sent by c
// before. Where the two have different servers, only the count of requests goes on.
func (c *Client) Succeed(old *Client) {
	c.budget.meter.Store(old.budget.meter.Load()) // one meter for both: the old client may still have requests under way
	if c.base.String() != old.base.String() {
		return
	}
	c.clock.adopt(&old.clock)
	old.budget.mu.Lock()
	w, blocked, limited, last, rest := old.budget.w, old.budget.blocked, old.budget.limited, old.budget.last, old.budget.others
	old.budget.mu.Unlock()
	c.budget.mu.Lock()
	defer c.budget.mu.Unlock()
	c.budget.w, c.budget.blocked, c.budget.limited, c.budget.last, c.budget.others = w, blocked, limited, last, rest
	c.budget.pump(time.Now())
}
