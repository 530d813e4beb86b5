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

// patience is how long live requests wait out a Retry-After. A longer one fails them: a poll that hangs tells nobody why.
const patience = 2 * time.Minute

// sameWindow is how far apart two statements of one reset may be.
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

// never is the wait of a request that only an event can admit: an answer, not the clock.
const never = time.Duration(-1)

// kept returns how many requests of the limit a reserve leaves to others.
func (w window) kept(reserve float64) int { return int(math.Ceil(float64(w.limit)*reserve - 1e-9)) }

// admit is the rule of the budget: whether a request may go now, and if not after what time to look again. flying
// requests were sent and not answered, the last one of its class at last; kept requests are left to others.
//
// Full speed while more than half the limit is left; below that, what is left above kept is spread evenly to the
// reset; nothing when that is reached. Without knowledge (at the start, and when a window has ended) one request
// goes and the others wait for what it learns. A server that sends no rate headers is not throttled.
func (w window) admit(now time.Time, kept, flying int, last time.Time) (bool, time.Duration) {
	switch {
	case !w.seen, w.known && !now.Before(w.reset):
		return flying == 0, never
	case !w.known:
		return true, 0
	}
	left := w.remaining - flying
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

// learn takes up what an answer said, which came at now to the request numbered seq; newest is the number of the newest
// request whose answer was taken up. It tells whether this one was.
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

// spend counts a request that told nothing.
func (w *window) spend() {
	if w.known {
		w.remaining = max(w.remaining-1, 0)
	}
}

// budget admits requests one by one, the most urgent first.
type budget struct {
	reserve float64
	meter   atomic.Pointer[meter]

	mu      sync.Mutex
	w       window
	blocked time.Time // a 429 forbids requests until then
	limited int       // rounds of answers 429 in a row
	refusal uint64    // number of the last request that was admitted before the last round began
	flying  int
	last    [classes]time.Time // when the last request of each class was admitted
	others  others
	hunger  hunger
	seq     uint64    // number of the last admitted request
	newest  uint64    // number of the newest request whose answer was learned from
	queue   []*waiter // the next one first
	order   uint64
	timer   *time.Timer
	closed  bool
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
	return BudgetState{Known: true, Limit: b.w.limit, Remaining: b.w.remaining, Reserve: b.w.kept(b.reserve), Reset: b.w.reset.UTC()}
}

// acquire waits for its turn and then for room. The ticket must go back through answered or release.
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
	b.pump(time.Now())
	b.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
		b.mu.Lock()
		if i := slices.Index(b.queue, w); i >= 0 {
			b.queue = slices.Delete(b.queue, i, i+1)
			b.pump(time.Now()) // it may have been the head, which others waited for
			b.mu.Unlock()
			return nil, ctx.Err()
		}
		b.mu.Unlock()
		if w.ticket != nil {
			b.unused()
		}
		return nil, ctx.Err()
	}
	if w.ticket == nil {
		return nil, w.err
	}
	return w.ticket, nil
}

// unused takes back a ticket with which nothing was sent.
func (b *budget) unused() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flying--
	b.pump(time.Now())
}

// release takes back the ticket of a request that had no answer. The server may have counted it.
func (b *budget) release(_ *ticket, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flying--
	b.w.spend()
	b.others.count()
	b.pump(now)
}

// answered takes back the ticket of a request whose answer came at now; skew is the server's clock minus the local one.
func (b *budget) answered(t *ticket, status int, h http.Header, now time.Time, skew time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flying--
	r := readRates(h, now, skew)
	before := b.w
	b.others.count()
	if b.w.learn(r, now, t.seq, b.newest) {
		b.newest = max(b.newest, t.seq)
		if began := b.others.began; b.others.learn(before, b.w, now, b.flying) {
			b.hunger.turn(now.Sub(began))
		}
	}
	b.w.seen = true
	if status == http.StatusTooManyRequests {
		b.refused(t, r, h.Get("Retry-After"), now, skew)
	} else {
		b.limited = 0
	}
	b.pump(now)
}

// refused stops all requests after a 429: for as long as Retry-After says, else to the reset. Advice of a second or less
// (0, a date or a reset in the past) is none, and neither is its absence: then for a second, which doubles with each round of refusals.
// After it one request goes ahead of the others.
func (b *budget) refused(t *ticket, r rates, after string, now time.Time, skew time.Duration) {
	// Those that were under way with the first one are refused by the same fault, unless another one of them was answered well meanwhile.
	if t.seq > b.refusal || b.limited == 0 {
		b.refusal = b.seq
		b.limited++
	}
	wait, ok := retryAfter(after, now.Add(skew))
	if !ok && !r.reset.IsZero() {
		wait = r.reset.Sub(now)
	}
	if wait <= leastWait {
		wait = min(leastWait<<min(b.limited-1, 6), defaultWindow)
	}
	b.blocked = now.Add(wait)
	if b.w.known {
		// Retry-After wins over the reset: at its end the window counts as over, whatever the reset said.
		b.w.remaining, b.w.reset = 0, b.blocked
	}
}

// pump admits as many waiting requests as the rule allows and sets the timer for the next. The caller holds the lock.
func (b *budget) pump(now time.Time) {
	defer func() { b.hunger.look(b.queue, now) }()
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	if b.blocked.Sub(now) > patience {
		b.fail(News, fmt.Errorf("%w: VInfer wants no request before %s (its Retry-After)", ErrLimited, b.blocked.UTC().Format(time.RFC3339)))
	}
	for len(b.queue) > 0 {
		i, wait := b.next(now)
		if i < 0 {
			if wait >= 0 {
				b.timer = time.AfterFunc(max(wait, time.Millisecond), b.wake)
			}
			return
		}
		b.flying++
		w := b.queue[i]
		b.last[classOf(w.priority)] = now
		b.seq++
		b.queue = slices.Delete(b.queue, i, i+1)
		w.ticket = &ticket{b.seq}
		close(w.ready)
	}
}

// wake looks again when a wait is over.
func (b *budget) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.pump(time.Now())
	}
}

func (b *budget) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.timer != nil {
		b.timer.Stop()
	}
	b.fail(Priority(math.MaxInt), ErrClosed)
}

// fail turns away those who wait with this priority or a more urgent one. The caller holds the lock.
func (b *budget) fail(p Priority, err error) {
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

// compare puts the more urgent one first, then the older one.
func (w *waiter) compare(o *waiter) int {
	return cmp.Or(cmp.Compare(w.priority, o.priority), cmp.Compare(w.order, o.order))
}
