package sync

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// The reading plan: what is asked of VInfer, when, and why. A workspace has 1,000 requests a minute, for all who use it.
//
//	kind         what is asked                                  when                     at most
//	news         a listing of what ended since the last poll    each poll                what it takes; by start: 34 % of the limit
//	unfinished   a call in progress, by its id                  with growing pauses      one of ten of the limit
//	transcripts  a transcript                                   2, 5, 10, … min apart    what the kinds above leave
//	again        the lookback, read once more                   every third of lookback  a twentieth of the limit
//	sweep        what is `settle` old, read once more           every quarter of settle  a tenth of the limit
//	audit        the last days, compared with the ledger        daily                    what the kinds above leave
//	backfill     a past range                                   on demand                what the kinds above leave
//
// Requests wait for the budget in this order (package vinfer).
//
// News and looking again are two things. A poll asks for what is new, with an overlap that costs nothing: the rest of the last page, and
// 15 s at least. The lookback is read again in turns, each a third of it long: a call that VInfer lists late is found by the turn, not
// by the next poll. While the whole lookback fits on two pages, and in the first poll of a process, each poll reads all of it.
//
// A server that filters by start shows the end of a call only in a listing that reaches back to its start, which costs a page for a
// hundred calls. How long calls last is learned. The listings of polls reach back by turns: to the length that nine of ten calls do not
// exceed at each poll, and farther every 30 s and every minute; less far where that would cost more than a poll's share of the limit. A
// call that lasts longer than a turn of the lookback reaches back is asked for by its id, at first a minute apart. And since a server may
// list only calls that have ended, all starts as far back as the longest call are counted every third of lookback (again.go).

const (
	overlapLeast = 15 * time.Second
	cheapPages   = 2    // the whole lookback is read at each poll while it takes no more
	firstPages   = 10   // the first poll of a process reaches back by the longest call while that takes no more
	pageSlack    = 0.1  // of a page is left free for calls that come up while a listing is read
	defaultLimit = 1000 // requests a minute, as documented

	newsShare  = 0.352 // of the limit, for listings by start and the turns of the lookback
	againShare = 0.05  // of the limit, to read again
	reachShare = 0.02  // of the limit, to read what a new store has never listed
	sweepShare = 0.10

	settingPlan = "reading_plan"
)

// plan is what is known of the server's calls, and what polls have covered. Its methods are safe for concurrent use.
type plan struct {
	e        *Engine
	schedule cron.Schedule // nil: none

	mu       sync.Mutex
	learned  learned
	last     [3]time.Time // when a listing reached back as far as each step says
	polled   bool         // this process has polled
	reached  time.Time    // when a poll last listed the whole reach
	listing  Range        // what the last poll listed, by the time that the server filters by
	turn     time.Time    // when the last turn of the lookback began
	took     time.Duration
	slow     int // polls in a row that took longer than the schedule leaves
	toldSlow time.Time
}

// learned is kept for the next process.
type learned struct {
	Rate    float64 `json:"rate"` // calls a second
	Lengths lengths `json:"lengths"`
	Exact   int     `json:"exact"` // listings in a row whose total was the number of their calls
	// Head is where polls go on ahead of an interval that stayed open, with the watermark as it was then; zero: at the watermark.
	Head time.Time `json:"head,omitzero"`
	Mark time.Time `json:"mark,omitzero"`
	// Short: the server counts more calls than it shows, also when they are read again.
	Short bool `json:"short,omitempty"`
}

func newPlan(e *Engine) *plan {
	p := &plan{e: e}
	if s, err := cron.ParseStandard(e.o.Schedule); err == nil {
		p.schedule = s
	}
	return p
}

// load takes up what an earlier process has learned.
func (p *plan) load() error {
	v, err := p.e.o.Store.Setting(settingPlan)
	if err != nil || v == nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = json.Unmarshal(v, &p.learned) // else it is learned anew
	return nil
}

// keep keeps what was learned.
func (p *plan) keep() error {
	p.mu.Lock()
	v, err := json.Marshal(p.learned)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return p.e.o.Store.PutSetting(settingPlan, v)
}

// step is one depth of the listings by start: so far back, so often.
type step struct{ depth, every time.Duration }

// steps returns how far back polls list, for calls that begin at a rate a second and last as the quantiles say, and a turn of the lookback
// that lists so far back. spend is what they may cost, in requests a minute; short: that is not enough for what is wanted.
func steps(rate float64, quantile func(float64) time.Duration, interval time.Duration, size int, turn step, spend float64) (all [3]step, short bool) {
	q := func(share float64, every time.Duration) step {
		every = max(every, interval)
		return step{quantile(share) + every, every}
	}
	all = [3]step{q(0.90, 0), q(0.95, 30*time.Second), q(0.99, time.Minute)}
	if cost(all, rate, size, turn) <= spend {
		return all, false
	}
	// The tail is found more slowly, and of the body each poll lists only what is left to spend.
	// To reach farther at every second poll finds more calls soon, for its price, than to reach as far at each.
	all = [3]step{{0, interval}, q(0.88, 2*interval), q(0.95, max(time.Minute, 4*interval))}
	for cost(all, rate, size, turn) > spend && all[1].every < time.Hour {
		all[1].every += all[1].every / 4
		all[2].every = max(all[2].every, 2*all[1].every)
	}
	perSecond := (60/interval.Seconds() - 60/all[1].every.Seconds()) * rate / float64(size) // requests a minute for a second of depth
	if left := spend - cost(all, rate, size, turn); left > 0 && perSecond > 0 {
		all[0].depth = min(time.Duration(left/perSecond*float64(time.Second)), all[1].depth)
	}
	return all, true
}

// cost returns how many requests a minute listings by steps take. A listing takes half a page more than its calls fill.
func cost(all [3]step, rate float64, size int, turn step) float64 {
	pages, before := 0.0, time.Duration(0)
	for _, s := range all {
		if s.depth > before {
			pages += rate * (s.depth - before).Seconds() / float64(size) * 60 / s.every.Seconds()
			before = s.depth
		}
	}
	if turn.every > 0 && turn.depth > before {
		pages += rate * (turn.depth - before).Seconds() / float64(size) * 60 / turn.every.Seconds()
	}
	return pages + 0.5*60/all[0].every.Seconds()
}

// interval is the time between two polls.
func (p *plan) interval() time.Duration {
	if p.schedule == nil {
		return time.Minute
	}
	next := p.schedule.Next(time.Now())
	return max(p.schedule.Next(next).Sub(next), time.Second)
}

// limit is how many requests a minute the workspace has.
func (p *plan) limit() float64 {
	if b := p.e.o.API.Budget(); b.Known && b.Limit > 0 {
		return float64(b.Limit)
	}
	return defaultLimit
}

// pace is the time from one request of a reading to the next that keeps to a share of the limit, if this is a daemon: a command does not
// wait.
func (p *plan) pace(share float64) time.Duration {
	if !p.e.daemon.Load() {
		return 0
	}
	return time.Duration(float64(time.Minute) / (share * p.limit()))
}

// turnEvery is how often the lookback is read again.
func (p *plan) turnEvery() time.Duration {
	if p.e.o.Lookback <= 0 {
		return time.Minute // there is none, but there may be other things to read again
	}
	return max(p.e.o.Lookback/3, time.Second)
}

// headAt is how far polls have listed: the watermark, or farther where intervals stayed open.
func (p *plan) headAt(st store.Stats) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return later(st.Watermark, p.learned.Head)
}

// turnDepth is how far back a turn of the lookback lists: by start, what ended within the lookback may have begun before it.
func (p *plan) turnDepth(bound vinfer.Bound) time.Duration {
	depth := p.e.o.Lookback
	if bound == vinfer.From && p.learned.Lengths.known() {
		depth += p.learned.Lengths.quantile(0.90)
	}
	return depth
}

// depth is turnDepth for those who do not hold the lock.
func (p *plan) depth(bound vinfer.Bound) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.turnDepth(bound)
}

// wholeReach is how far back calls may have begun that come up now: the longest call, and as much as the sweep looks back.
func (p *plan) wholeReach() time.Duration {
	return p.e.o.MaxCall + max(p.e.o.Settle+sweepStepMax, p.e.o.Lookback)
}

// reachedAt is when a poll last listed the whole reach.
func (p *plan) reachedAt() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reached
}

// turnDue tells whether the lookback is to be read again now. covered is from where on polls list all there is several times a turn; zero:
// they do not.
func (p *plan) turnDue(now time.Time) (due bool, covered time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	deepest := len(p.last) - 1
	if at := p.last[deepest]; !at.IsZero() && now.Sub(at) < p.turnEvery()/2 {
		all, _ := p.steps(vinfer.From)
		covered = at.Add(-all[deepest].depth)
	}
	return p.e.o.Lookback > 0 && now.Sub(p.turn) >= p.turnEvery(), covered
}

func (p *plan) turnBegun(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn = now
}

// reachOf is how long calls are that an interval may hold which is read again.
func (p *plan) reachOf(bound vinfer.Bound) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := &p.learned.Lengths; bound == vinfer.From && l.known() {
		return min(l.quantile(0.99), p.e.o.MaxCall)
	}
	return p.e.o.MaxCall
}

// bucketsAtOnce is how many buckets of starts fill so many pages as are read again in a minute, an hour's at most.
func (p *plan) bucketsAtOnce() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	pages := againShare * p.limit()
	perBucket := p.learned.Rate * bucketWidth.Seconds() / float64(p.e.o.PageSize)
	return int64(min(max(pages/max(perBucket, 0.01), 1), 12))
}

// news returns what the poll lists: what completed after from, and as much before it as is worth its price.
func (p *plan) news(ctx context.Context, b *vinfer.Bounds, st store.Stats) (readRange, error) {
	e := p.e
	bound := boundOf(b)
	r := readRange{stream: store.LiveStream, prio: vinfer.News, from: st.Watermark, floor: st.First, joins: true, reach: st.Watermark.Add(-e.o.Lookback)}
	p.mu.Lock()
	if st.Watermark.Before(p.learned.Mark) { // an operator has set it back
		p.polled, p.learned.Head, p.listing = false, time.Time{}, Range{}
	}
	if p.learned.Mark = st.Watermark; p.learned.Head.After(p.learned.Mark) {
		r.from = p.learned.Head
	} else {
		p.learned.Head = time.Time{}
	}
	first, rate := !p.polled, p.learned.Rate
	p.mu.Unlock()
	if first {
		r.overlap = e.o.Lookback
		if bound == vinfer.From {
			var err error
			r.longest, err = p.firstReach(ctx, b, r)
			return r, err
		}
		return r, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := e.serverNow()
	since := max(now.Sub(r.from), 0)
	size := float64(e.o.PageSize)
	// filled returns how far back a listing reaches that fills the pages which it takes to reach back by least.
	filled := func(least time.Duration) time.Duration {
		if rate <= 0 {
			return max(least, p.wholeReach())
		}
		pages := math.Ceil(rate*least.Seconds()/size + pageSlack)
		return max(time.Duration((pages-pageSlack)*size/rate*float64(time.Second)), least)
	}
	if bound == vinfer.After {
		r.overlap = min(filled(since+overlapLeast)-since, e.o.Lookback)
		if rate*(since+e.o.Lookback).Seconds() <= cheapPages*size {
			r.overlap = e.o.Lookback
		}
		return r, nil
	}
	depth := since + overlapLeast
	deepest := 0
	all, short := p.steps(bound)
	for i, s := range all {
		if now.Sub(p.last[i]) >= s.every-s.every/4 {
			depth, deepest = max(depth, s.depth), i
		}
	}
	if b.To && short && p.learned.Lengths.known() && deepest < len(all)-1 {
		// Where there is not enough to spend, calls that can hardly have ended are left to the next poll.
		r.listedTo = now.Add(-p.learned.Lengths.quantile(0.03))
	}
	depth = filled(depth)
	if back := since + p.turnDepth(bound); rate*back.Seconds() <= cheapPages*size {
		depth = max(depth, back)
	}
	r.longest = min(max(depth-since, 0), p.wholeReach())
	return r, nil
}

// steps are those of a server that filters by start. The caller holds the lock.
func (p *plan) steps(bound vinfer.Bound) (all [3]step, short bool) {
	l := &p.learned.Lengths
	quantile := l.quantile
	if !l.known() {
		quantile = func(float64) time.Duration { return p.e.o.Lookback }
	}
	turn := step{p.turnDepth(bound), p.turnEvery()}
	return steps(p.learned.Rate, quantile, p.interval(), p.e.o.PageSize, turn, newsShare*p.limit())
}

// firstReach is how far back, beyond the lookback, the first poll of a process lists by start: all calls in progress may be unknown to it.
// It reaches back over the whole reach where that is cheap, which the server's total tells, and leaves it to the turns that follow elsewhere.
func (p *plan) firstReach(ctx context.Context, b *vinfer.Bounds, r readRange) (time.Duration, error) {
	e := p.e
	reach := p.wholeReach()
	since := r.from.Add(-reach)
	q := vinfer.Query{Bound: vinfer.From, Since: since, Limit: 1, Campaign: e.campaign(vinfer.From, "")}
	page, err := e.o.API.Calls(ctx, q, vinfer.News)
	switch {
	case err != nil && !errors.Is(err, vinfer.ErrBadRequest):
		return 0, err
	case err != nil || b.AnyTotal || page.Total < 0 || page.Total <= page.Rows:
		return reach - r.overlap, nil // not known: all of it is read
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if span := e.serverNow().Sub(since).Seconds(); span > 0 {
		p.learned.Rate = float64(page.Total) / span
	}
	if page.Total <= firstPages*e.o.PageSize {
		return reach - r.overlap, nil
	}
	if p.learned.Lengths.known() {
		return p.learned.Lengths.quantile(0.99), nil
	}
	return 0, nil
}

// done takes note of a poll.
func (p *plan) done(b *vinfer.Bounds, r readRange, got readResult, took time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && !errors.Is(err, errIncomplete) {
		return
	}
	p.polled = true
	if got.open > 0 || !p.learned.Head.IsZero() {
		p.learned.Head = later(p.learned.Head, got.at)
	}
	p.watchPace(took)
	span := got.at.Sub(got.since)
	if span >= 10*time.Second {
		rate := float64(got.fetched) / span.Seconds()
		if p.learned.Rate > 0 { // a short listing says less
			rate = p.learned.Rate + (rate-p.learned.Rate)*min(max(span.Minutes()/2, 0.1), 1)
		}
		p.learned.Rate = rate
	}
	p.listing = Range{got.since, got.at}
	bound := boundOf(b)
	if bound == vinfer.From {
		all, _ := p.steps(bound)
		for i, s := range all {
			if span >= s.depth {
				p.last[i] = got.at
			}
		}
		if err != nil {
			return
		}
		if span >= p.wholeReach() || !got.since.After(r.floor.Add(-p.e.o.MaxCall)) {
			p.reached = got.at
		}
	}
	if err == nil && span >= p.turnDepth(bound) || err == nil && bound == vinfer.After && !got.since.After(r.floor) {
		p.turn = got.at
	}
}

// listed takes note of a listing that was read to its end, or not.
func (p *plan) listed(l *listing, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case errors.Is(err, errIncomplete):
		p.learned.Exact, p.learned.Short = 0, p.learned.Short || l.barren
	case err != nil || l.stated <= 0:
	case l.all.n == l.stated:
		p.learned.Exact = min(p.learned.Exact+1, exactListings)
		p.learned.Short = false
	}
}

// miscounted tells whether the server counts more calls than it shows, as far as the last listing tells.
func (p *plan) miscounted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.learned.Short
}

// counts tells whether a range can be counted instead of read: its bounds are honoured, and the totals of the last listings were exact.
func (p *plan) counts(b *vinfer.Bounds) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return b.To && !b.AnyTotal && p.learned.Exact >= exactListings
}

// exactListings is how many listings in a row show that the server's totals are exact.
const exactListings = 3

// covered tells whether the last poll listed calls that began at a time.
func (p *plan) covered(began time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.listing.From.IsZero() && !began.Before(p.listing.From)
}

// ready tells whether this process has polled: before, calls in progress are not asked for one by one.
func (p *plan) ready() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.polled
}

// lasted takes note of how long a listed call has lasted. Of calls that began a short while ago only the short ones have ended: they say
// nothing of how long calls last, and what they said would make the listings shorter still. So those count which began long enough ago for
// nearly all to have ended, and one of them that has not counts as long as it has lasted by now.
func (p *plan) lasted(c vinfer.Call, now time.Time) {
	if c.StartedAt.IsZero() || now.Sub(c.StartedAt) < p.e.o.Lookback*4/5 || c.StartedAt.Before(now.Add(-p.wholeReach())) {
		return
	}
	length := c.EndedAt.Sub(c.StartedAt)
	if c.Unfinished() {
		length = now.Sub(c.StartedAt)
	}
	if length < 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.learned.Lengths.add(length)
}

// askAt returns when a call in progress is asked for by its id after so many asks: not before listings reach back to its start no more,
// then a minute apart until it has lasted twice as long as all but one of a hundred do, then an eighth of its age, ten minutes at most.
func (p *plan) askAt(c vinfer.Call, asked int) time.Time {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.StartedAt.IsZero() {
		return now.Add(time.Minute << min(asked, 3))
	}
	began := c.StartedAt.Add(-p.e.o.API.Skew()) // by the local clock, as all that is due
	if asked == 0 {
		reach := max(p.turnDepth(vinfer.From), p.listing.To.Sub(p.listing.From)) + p.interval()
		if most := p.e.o.MaxCall; most > 0 {
			reach = min(reach, most+time.Second) // then it is delivered as it is
		}
		return began.Add(reach)
	}
	age, pause := now.Sub(began), time.Minute
	if l := &p.learned.Lengths; !l.known() || age > 2*l.quantile(0.99) {
		pause = min(max(age/8, pause), 10*time.Minute)
	}
	if most := p.e.o.MaxCall; most > 0 && age < most && age+pause > most {
		pause = most - age + time.Second // then it is delivered as it is
	}
	return now.Add(pause)
}
