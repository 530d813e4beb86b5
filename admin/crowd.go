package admin

import (
	"net"
	"net/http"
	"sync"
)

// maxConnections is how many connections the dashboard, scrapes and health checks have together: a process has so many descriptors, and
// deliveries need them.
const maxConnections = 64

// crowd bounds the connections of a server. When there are too many the one that has done nothing for longest is closed, so that who opens
// many and sends nothing keeps nobody else out.
type crowd struct {
	most int

	mu    sync.Mutex
	order []net.Conn // the one that has done nothing for longest first
}

// changed is for http.Server.ConnState.
func (c *crowd) changed(conn net.Conn, s http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, x := range c.order {
		if x == conn {
			c.order = append(c.order[:i], c.order[i+1:]...)
			break
		}
	}
	if s == http.StateClosed || s == http.StateHijacked {
		return
	}
	if c.order = append(c.order, conn); len(c.order) > c.most {
		_ = c.order[0].Close() // its end is told here, too
		c.order = c.order[1:]
	}
}
