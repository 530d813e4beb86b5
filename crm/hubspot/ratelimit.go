package hubspot

import (
	"net/http"
	"strconv"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/pace"
)

// HubSpot's limit for a free portal, until its answers tell the real one.
const (
	defaultMax    = 100
	defaultWindow = 10 * time.Second
)

// learn reads the limit from an answer's headers, and that others, or this program before it was started anew, have used some of it.
func learn(l *pace.Limiter, h http.Header) {
	ms, told := header(h, "X-HubSpot-RateLimit-Interval-Milliseconds", 100, 60_000)
	if !told {
		ms = 0
	}
	most, told := header(h, "X-HubSpot-RateLimit-Max", 1, 1_000_000)
	if !told {
		most = 0
	}
	left, told := header(h, "X-HubSpot-RateLimit-Remaining", 0, most)
	if !told {
		left = -1
	}
	l.Learn(most, time.Duration(ms)*time.Millisecond, left)
}

// spare is how many of the day's requests are left to others, who share them, and to the requests under way.
const spare = 10

// dayOver tells whether an answer says that the day's requests are used up.
func dayOver(h http.Header) bool {
	left, ok := header(h, "X-HubSpot-RateLimit-Daily-Remaining", 0, 1_000_000_000)
	return ok && left < spare
}

// header reads a number from a header and clamps it; false: there is none.
func header(h http.Header, name string, least, most int) (int, bool) {
	n, err := strconv.Atoi(h.Get(name))
	return min(max(n, least), most), err == nil
}
