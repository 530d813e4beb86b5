package vinfer

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxLiveWait bounds how long live requests wait out a Retry-After. A longer Retry-After fails them, because a poll that hangs
// reports no cause.
const maxLiveWait = 2 * time.Minute

// sameWindow bounds the difference between two statements of the same reset.
const sameWindow = 2 * time.Second

// leastWait is the shortest wait after a 429.
const leastWait = time.Second

// window is the rate window as the server last described it, by the local clock.
type window struct {
	seen      bool // an answer has come
	known     bool // an answer had rate headers
	limit     int
	remaining int
	reset     time.Time
}

// untilAnswer is the wait of a request that only an answer can admit, and no lapse of time.
const untilAnswer = time.Duration(-1)

// reserved returns how many requests of the limit a reserve leaves to others.
func (w window) reserved(reserve float64) int { return int(math.Ceil(float64(w.limit)*reserve - 1e-9)) }

// admit reports whether a request may be sent now, and if not, after what time to ask again. inFlight requests were sent and
// are not answered; the last request of the same class was admitted at last; kept requests are left to others.
//
// Requests go at full speed while more than half of the limit is left. Below that, the requests that are left above kept are
// spread evenly over the time to the reset. At kept nothing goes before the reset. While the window is unknown (at the start,
// and when a window has ended) one request goes, and the others wait for its answer. A server that sends no rate headers is
// not throttled.
func (w window) admit(now time.Time, kept, inFlight int, last time.Time) (bool, time.Duration) {
	switch {
	case !w.seen, w.known && !now.Before(w.reset):
		return inFlight == 0, untilAnswer
	case !w.known:
		return true, 0
	}
	left := w.remaining - inFlight
	spare := left - kept
	toReset := w.reset.Sub(now)
	switch {
	case spare <= 0:
		return false, toReset
	case 2*left > w.limit:
		return true, 0
	}
	// Measured from the last request: each takes its share of the time that is left.
	if wait := last.Add(toReset / time.Duration(spare)).Sub(now); wait > 0 {
		return false, min(wait, toReset)
	}
	return true, 0
}

// learn updates the window by an answer that came at now to the request numbered seq. newest is the number of the newest request
// whose answer has updated the window. learn reports whether this answer has.
func (w *window) learn(r rates, now time.Time, seq, newest uint64) bool {
	if r.remaining < 0 {
		w.spend()
		return false
	}
	switch {
	case r.limit > 0:
	case w.limit > 0:
		r.limit = w.limit
	default:
		r.limit = defaultLimit
	}
	// Answers overtake each other. Within one window the lower count is the later one, unless it rose by more than
	// that explains (a limit that refills as time goes on); across windows the newer request knows better.
	same := w.known && !r.reset.IsZero() && r.reset.Sub(w.reset).Abs() < sameWindow && now.Before(w.reset)
	switch {
	case same && (seq < newest || r.remaining-w.remaining <= max(r.limit/16, 1)):
		r.remaining = min(r.remaining, w.remaining)
	case w.known && seq < newest:
		return false
	}
	if r.reset.IsZero() {
		r.reset = now.Add(defaultWindow)
	}
	w.known, w.limit, w.remaining, w.reset = true, max(r.limit, 1), min(r.remaining, max(r.limit, 1)), r.reset
	return true
}

// spend counts a request whose answer had no rate headers, or that had no answer.
func (w *window) spend() {
	if w.known {
		w.remaining = max(w.remaining-1, 0)
	}
}

// budget admits requests one by one, the most urgent first.
type budget struct {
	reserve float64
	meter   atomic.Pointer[meter]

	mu              sync.Mutex
	w               window
	blocked         time.Time // a 429 forbids requests until then
	limitedRounds   int       // rounds of answers 429 in a row
	lastBeforeLimit uint64    // number of the last request that was admitted before the last round began
	inFlight        int
	last            [numClasses]time.Time // when the last request of each class was admitted
	others          others
	transcripts     transcriptWait
	seq             uint64    // number of the last admitted request
	newest          uint64    // number of the newest request whose answer was learned from
	queue           []*waiter // the next one first
	order           uint64
	timer           *time.Timer
	closed          bool
}

// ticket is the right to send one request.
type ticket struct{ seq uint64 }

func newBudget(reserve float64) *budget {
	if math.IsNaN(reserve) {
		reserve = 0
	}
	b := &budget{reserve: min(max(reserve, 0), 0.95), others: others{rate: -1}}
	b.meter.Store(newMeter())
	return b
}

func (b *budget) state() BudgetState {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.w.known {
		return BudgetState{}
	}
	return BudgetState{Known: true, Limit: b.w.limit, Remaining: b.w.remaining, Reserve: b.w.reserved(b.reserve), Reset: b.w.reset.UTC()}
}

// acquire waits for its turn and then for room. The caller returns the ticket by answered or release.
func (b *budget) acquire(ctx context.Context, p Priority) (*ticket, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, ErrClosed
	}
	b.order++
	w := &waiter{priority: p, order: b.order, ready: make(chan struct{})}
	at, _ := slices.BinarySearchFunc(b.queue, w, (*waiter).compare)
	b.queue = slices.Insert(b.queue, at, w)
	b.admitWaiting(time.Now())
	b.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
		b.mu.Lock()
		if i := slices.Index(b.queue, w); i >= 0 {
			b.queue = slices.Delete(b.queue, i, i+1)
			b.admitWaiting(time.Now()) // it may have been the head, which others waited for
			b.mu.Unlock()
			return nil, ctx.Err()
		}
		b.mu.Unlock()
		if w.ticket != nil {
			b.giveBack()
		}
		return nil, ctx.Err()
	}
	if w.ticket == nil {
		return nil, w.err
	}
	return w.ticket, nil
}

// giveBack takes back a ticket with which nothing was sent.
func (b *budget) giveBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	b.admitWaiting(time.Now())
}

// release takes back the ticket of a request that had no answer. The server may have counted it.
func (b *budget) release(_ *ticket, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	b.w.spend()
	b.others.countOwn()
	b.admitWaiting(now)
}

// answered takes back the ticket of a request whose answer came at now; skew is the server's clock minus the local one.
func (b *budget) answered(t *ticket, status int, h http.Header, now time.Time, skew time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	r := readRates(h, now, skew)
	before := b.w
	b.others.countOwn()
	if b.w.learn(r, now, t.seq, b.newest) {
		b.newest = max(b.newest, t.seq)
		if began := b.others.began; b.others.learn(before, b.w, now, b.inFlight) {
			b.transcripts.nextWindow(now.Sub(began))
		}
	}
	b.w.seen = true
	if status == http.StatusTooManyRequests {
		b.limit(t, r, h.Get("Retry-After"), now, skew)
	} else {
		b.limitedRounds = 0
	}
	b.admitWaiting(now)
}

// limit stops all requests after a 429: for as long as Retry-After says, else until the reset. A wait of a second or less (0, or a
// date or a reset in the past) does not count as advice. Without advice the stop lasts a second and doubles with each round of
// refusals. After the stop one request goes ahead of the others.
func (b *budget) limit(t *ticket, r rates, after string, now time.Time, skew time.Duration) {
	// Requests in flight beside the first refused one belong to its round, unless one of them was answered well meanwhile.
	if t.seq > b.lastBeforeLimit || b.limitedRounds == 0 {
		b.lastBeforeLimit = b.seq
		b.limitedRounds++
	}
	wait, ok := retryAfter(after, now.Add(skew))
	if !ok && !r.reset.IsZero() {
		wait = r.reset.Sub(now)
	}
	if wait <= leastWait {
		wait = min(leastWait<<min(b.limitedRounds-1, 6), defaultWindow)
	}
	b.blocked = now.Add(wait)
	if b.w.known {
		// Retry-After wins over the reset: at its end the window counts as over, whatever the reset said.
		b.w.remaining, b.w.reset = 0, b.blocked
	}
}

// admitWaiting admits as many waiting requests as the rule allows and sets the timer for the next one. The caller holds the lock.
func (b *budget) admitWaiting(now time.Time) {
	defer func() { b.transcripts.observe(b.queue, now) }()
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	if b.blocked.Sub(now) > maxLiveWait {
		b.turnAway(News, fmt.Errorf("%w: VInfer wants no request before %s (its Retry-After)", ErrLimited, b.blocked.UTC().Format(time.RFC3339)))
	}
	for len(b.queue) > 0 {
		i, wait := b.nextWaiter(now)
		if i < 0 {
			if wait >= 0 {
				b.timer = time.AfterFunc(max(wait, time.Millisecond), b.wake)
			}
			return
		}
		b.inFlight++
		w := b.queue[i]
		b.last[classOf(w.priority)] = now
		b.seq++
		b.queue = slices.Delete(b.queue, i, i+1)
		w.ticket = &ticket{b.seq}
		close(w.ready)
	}
}

// wake admits requests when a wait is over.
func (b *budget) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.admitWaiting(time.Now())
	}
}

func (b *budget) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.timer != nil {
		b.timer.Stop()
	}
	b.turnAway(Priority(math.MaxInt), ErrClosed)
}

// turnAway ends the waits of this priority and of more urgent ones with an error. The caller holds the lock.
func (b *budget) turnAway(p Priority, err error) {
	for len(b.queue) > 0 && b.queue[0].priority <= p {
		w := b.queue[0]
		b.queue = slices.Delete(b.queue, 0, 1)
		w.err = err
		close(w.ready)
	}
}

// waiter is a request that waits for its turn.
type waiter struct {
	priority Priority
	order    uint64
	ready    chan struct{}
	ticket   *ticket // this or err is set before ready is closed
	err      error
}

// compare orders the more urgent waiter first, then the older one.
func (w *waiter) compare(o *waiter) int {
	return cmp.Or(cmp.Compare(w.priority, o.priority), cmp.Compare(w.order, o.order))
}

// TakeOver copies to c what another client of the same workspace has learned of the request budget and of the server's clock, so a
// new configuration does not spend the requests of the same window again. It is called before c sends anything. If the two
// clients have different servers, only the count of requests is kept.
func (c *Client) TakeOver(old *Client) {
	c.budget.meter.Store(old.budget.meter.Load()) // one meter for both: the old client may still have requests under way
	if c.base.String() != old.base.String() {
		return
	}
	c.clock.copyFrom(&old.clock)
	old.budget.mu.Lock()
	w, blocked, limited, last, rest := old.budget.w, old.budget.blocked, old.budget.limitedRounds, old.budget.last, old.budget.others
	old.budget.mu.Unlock()
	c.budget.mu.Lock()
	defer c.budget.mu.Unlock()
	c.budget.w, c.budget.blocked, c.budget.limitedRounds, c.budget.last, c.budget.others = w, blocked, limited, last, rest
	c.budget.admitWaiting(time.Now())
}
