package salesforce

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// How long is waited before the org is asked again whether requests are free: twice as long each time. The day's limit counts the
// last 24 hours, so some are freed all the time.
const (
	firstPause = 10 * time.Second
	longPause  = 15 * time.Minute
)

// quota follows how much of the org's requests of a day are used, by the header that each answer has. It is safe for concurrent use.
type quota struct {
	host string
	keep int // left to others

	mu          sync.Mutex
	used, limit int
	heard       int           // answers that told of both
	under       int           // requests under way, which the last header may not have counted
	pause       time.Duration // 0: there are some free
	until       time.Time
}

// overtaken is by how much an answer may tell of less use than another, because it was made before that, or by a server that counts
// later. Where it is more, requests were freed.
const overtaken = 64

var usage = regexp.MustCompile(`(?:^|[\s,;])api-usage=(\d+)/(\d+)`)

// open returns an error if no request may be sent now; else what done is to be told. After a pause one is let through, to look.
func (q *quota) open() (sent int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch wait := time.Until(q.until); {
	case q.pause > 0 && wait > 0:
		return 0, q.full(wait)
	case q.pause > 0:
		q.until = time.Now().Add(q.pause)
	case q.limit > 0 && q.under > 0 && q.used+q.under >= q.limit-q.keep:
		return 0, q.full(time.Second) // those under way may be the last ones
	}
	q.under++
	return q.heard, nil
}

// done notes the end of a request that open let through, and reads its answer's header. sent is what open
// returned, status 0: there was no answer.
func (q *quota) done(sent int, h http.Header, status int) {
	used, limit := 0, 0
	if m := usage.FindStringSubmatch(strings.Join(h.Values("Sforce-Limit-Info"), ",")); m != nil {
		used, _ = strconv.Atoi(m[1]) // what is out of range is the largest there is
		limit, _ = strconv.Atoi(m[2])
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.under--
	if limit <= 0 {
		if status/100 == 2 {
			q.pause = 0
		}
		return
	}
	if back := q.used - used; limit == q.limit && sent != q.heard && back > 0 && back <= overtaken {
		used = q.used
	}
	q.used, q.limit = used, limit
	q.heard++
	if used < limit-q.keep {
		q.pause = 0
		return
	}
	q.longer()
}

// refused notes that the org said that the limit is reached, and returns what Write returns.
func (q *quota) refused(said error) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.longer()
	return crm.Throttled(fmt.Errorf("%w; paused: requests of the last 24 hours are freed little by little", said), q.pause)
}

func (q *quota) longer() {
	if q.pause > 0 && time.Until(q.until) > q.pause/2 {
		return // several workers were told the same
	}
	q.pause = min(max(2*q.pause, firstPause), longPause)
	q.until = time.Now().Add(q.pause)
}

func (q *quota) full(wait time.Duration) error {
	text := fmt.Sprintf("%s: the org's API requests of the last 24 hours are used up", q.host)
	if q.limit > 0 {
		text = fmt.Sprintf("%s: %d of the org's %d API requests of the last 24 hours are used", q.host, q.used, q.limit)
		if q.keep > 0 {
			text += fmt.Sprintf(", and %d are kept free", q.keep)
		}
	}
	return crm.Throttled(fmt.Errorf("%s; paused until some are free", text), wait)
}
