package sync

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// What polls have covered is read again: calls that VInfer lists late are found by that, and changes of calls that it has shown.
//
// A turn reads the lookback once, a third of it after the turn before: by end where the server filters by that, else by start, as far
// back as polls do not list anyway.
//
// Where the server filters by start, it may also list only calls that have ended. Then nobody knows which calls are in progress, and one
// that lasts for hours comes up far behind what turns read. So all starts as far back as the longest call, and `settle` more, are
// compared with what was listed before: by the server's totals, if those have been found exact. The whole reach is one request; if it
// holds another number of calls than were listed, it is halved until the parts are known that differ, and these are read. Where totals
// cannot be used, all of it is read, at a slow pace.
//
// Intervals that stayed open because VInfer counted more calls in them than it showed are read again in each turn, too.

const (
	settingAgain = "read_again"
	bucketWidth  = 5 * time.Minute // of starts that are counted together
)

// startCounts counts calls by the bucket that they began in.
type startCounts map[int64]int

func bucketOf(t time.Time) int64 { return t.Unix() / int64(bucketWidth/time.Second) }

func bucketTime(b int64) time.Time { return time.Unix(b*int64(bucketWidth/time.Second), 0).UTC() }

func (s startCounts) add(began time.Time) { s[bucketOf(began)]++ }

// spoil says that a call of a bucket was listed and not taken: the bucket does not count as listed.
func (s startCounts) spoil(began time.Time) { s[bucketOf(began)] = math.MinInt32 }

// rereader reads again what polls have covered.
type rereader struct {
	e    *Engine
	kick chan struct{}
	busy sync.Mutex // held while reading

	loaded   bool
	state    againState
	retried  time.Time // when open intervals were last read again,
	openFrom time.Time // and from where on they are the next time; zero: from the beginning
	next     int64     // buckets from here on have been seen to since Reach; 0: none
}

// againState is kept for the next process.
type againState struct {
	Asked  string      `json:"asked"`  // what is listed: counts of another listing mean nothing
	Reach  time.Time   `json:"reach"`  // when the whole reach was last compared or read
	Listed startCounts `json:"listed"` // calls by the bucket of their start, of buckets that were listed whole
}

func newRereader(e *Engine) *rereader { return &rereader{e: e, kick: make(chan struct{}, 1)} }

// polled says that a poll has ended.
func (a *rereader) polled() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// run works after polls until ctx ends.
func (a *rereader) run(ctx context.Context) {
	failing := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.kick:
		}
		_, err := a.afterPoll(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && signatureOf(err.Error()) != failing:
			failing = signatureOf(err.Error())
			a.e.log.Warn("cannot read the lookback again; the next turn does", keyError, err)
		case err == nil:
			failing = ""
		}
	}
}

// afterPoll reads what is due to be read again.
func (a *rereader) afterPoll(ctx context.Context) (sum readResult, err error) {
	if !a.busy.TryLock() {
		return sum, nil
	}
	defer a.busy.Unlock()
	e := a.e
	b := e.probed.Load()
	if b == nil || !e.plan.ready() {
		return sum, nil
	}
	st, err := e.o.Store.Stats()
	if err != nil {
		return sum, err
	}
	bound := boundOf(b)
	if err := a.load(bound); err != nil {
		return sum, err
	}
	turn, covered := e.plan.turnDue(e.serverNow())
	reach := bound == vinfer.From && e.serverNow().Sub(later(a.state.Reach, e.plan.reachedAt())) >= e.plan.turnEvery()
	open := OpenRanges(st)
	if head := e.plan.headAt(st); head.After(st.Watermark) { // behind the last closed interval
		last := Range{From: st.Watermark, To: head}
		if n := len(st.Read); n > 0 {
			last.From = later(last.From, st.Read[n-1].To)
		}
		if last.From.Before(last.To) {
			open = append(open, last)
		}
	}
	if len(open) > 0 && e.serverNow().Sub(a.retried) < e.plan.turnEvery() {
		open = nil
	}
	if !turn && !reach && len(open) == 0 {
		return sum, nil
	}
	defer e.busy.begin("read the lookback again")()
	if turn {
		got, err := a.turn(ctx, b, st, covered)
		sum.add(got)
		if err != nil {
			return sum, err
		}
	}
	if len(open) > 0 {
		got, err := a.open(ctx, b, st, open)
		sum.add(got)
		if err != nil {
			return sum, err
		}
	}
	if reach {
		got, err := a.wholeReach(ctx, b, st)
		sum.add(got)
		if err != nil {
			return sum, err
		}
	}
	return sum, errors.Join(a.keep(), e.plan.keep())
}

// openAtOnce is how much of the ranges that stayed open is read again at a time: more would hold up the turns of the lookback.
const openAtOnce = 30 * time.Minute

// open reads again what stayed open, a part at a time, and closes what is complete by now.
func (a *rereader) open(ctx context.Context, b *vinfer.Bounds, st store.Stats, open []Range) (sum readResult, err error) {
	a.retried = a.e.serverNow()
	left := openAtOnce
	for _, r := range open {
		from := later(r.From, a.openFrom)
		to := r.To
		if from.Add(left).Before(to) {
			to = from.Add(left)
		}
		if !from.Before(to) {
			continue
		}
		got, err := a.list(ctx, b, st, readRange{from: from, to: to, longest: a.e.plan.reachOf(boundOf(b)), joins: true})
		sum.add(got)
		if err != nil && !errors.Is(err, errIncomplete) {
			return sum, err
		}
		a.openFrom = to
		if left -= to.Sub(from); left <= 0 {
			return sum, nil // the rest after the next turn
		}
	}
	a.openFrom = time.Time{} // from the beginning the next time
	return sum, nil
}

// list reads a range again.
func (a *rereader) list(ctx context.Context, b *vinfer.Bounds, st store.Stats, r readRange) (readResult, error) {
	r.stream, r.prio, r.floor, r.doubtful = store.AgainStream, vinfer.Again, st.First, true
	if boundOf(b) == vinfer.From {
		r.floor = st.First.Add(-a.e.o.MaxCall) // what began before it may have ended after the first cursor
	}
	if r.reach = st.Watermark.Add(-a.e.o.Lookback); r.pace == 0 {
		r.pace = a.e.plan.pace(againShare)
	}
	return a.e.read(ctx, b, r)
}

// turn reads the lookback. covered is from where on polls list all there is, several times a turn.
func (a *rereader) turn(ctx context.Context, b *vinfer.Bounds, st store.Stats, covered time.Time) (readResult, error) {
	e := a.e
	bound := boundOf(b)
	e.plan.turnBegun(e.serverNow())
	from := e.serverNow().Add(-e.plan.depth(bound)).Truncate(time.Second)
	if bound == vinfer.After && from.Before(st.First) {
		from = st.First
	}
	r := readRange{from: from, to: e.plan.headAt(st), starts: startCounts{}}
	if bound == vinfer.From {
		r.listedTo = covered
		if !covered.IsZero() && !from.Before(covered) {
			return readResult{}, nil
		}
	}
	if !r.from.Before(r.to) {
		return readResult{}, nil
	}
	got, err := a.list(ctx, b, st, r)
	if err == nil && bound == vinfer.From && b.To && !covered.IsZero() {
		a.record(r.starts, bucketOf(from.Add(bucketWidth-1)), bucketOf(covered))
	}
	return got, err
}

// record keeps how many calls began in the buckets from lo up to before hi, which were listed whole.
func (a *rereader) record(counts startCounts, lo, hi int64) {
	for k := lo; k < hi; k++ {
		if delete(a.state.Listed, k); counts[k] >= 0 {
			a.state.Listed[k] = counts[k]
		}
	}
}

// wholeReach compares all starts as far back as the longest call with what was listed.
func (a *rereader) wholeReach(ctx context.Context, b *vinfer.Bounds, st store.Stats) (sum readResult, err error) {
	e := a.e
	now := e.serverNow()
	oldest := now.Add(-e.plan.wholeReach())
	if least := st.First.Add(-e.o.MaxCall); oldest.Before(least) {
		oldest = least // what began before cannot have ended after the first cursor
	}
	lo, hi := bucketOf(oldest), bucketOf(now.Add(-e.plan.depth(vinfer.From)))+1
	for k := range a.state.Listed {
		if k < lo {
			delete(a.state.Listed, k)
		}
	}
	switch {
	case lo >= hi:
	case !b.To:
		sum, err = a.list(ctx, b, st, readRange{from: oldest, to: st.Watermark})
	default:
		if a.next == 0 || a.next > hi {
			a.next = hi
		}
		counts := e.plan.counts(b)
		for a.next > lo {
			if due, _ := e.plan.turnDue(e.serverNow()); due && e.daemon.Load() {
				return sum, nil // the lookback first; this goes on after the next poll
			}
			from := max(a.next-e.plan.bucketsAtOnce(), lo)
			got, err := a.unlisted(ctx, b, st, from, a.next, counts)
			sum.add(got)
			if err != nil {
				return sum, err
			}
			a.next = from
		}
		if counts {
			var got readResult
			got, err = a.compare(ctx, b, st, lo, hi)
			sum.add(got)
		}
	}
	if err == nil {
		a.state.Reach, a.next = now, 0
	}
	return sum, err
}

// unlisted reads the buckets from lo up to before hi, or, where those that were listed before can be counted, the part of them that was not.
func (a *rereader) unlisted(ctx context.Context, b *vinfer.Bounds, st store.Stats, lo, hi int64, counts bool) (readResult, error) {
	if counts {
		for listed := true; listed && lo < hi; {
			if _, listed = a.state.Listed[lo]; listed {
				lo++
			}
		}
		for listed := true; listed && lo < hi; {
			if _, listed = a.state.Listed[hi-1]; listed {
				hi--
			}
		}
	}
	if lo == hi {
		return readResult{}, nil
	}
	return a.listBuckets(ctx, b, st, lo, hi)
}

// compare reads the buckets from lo up to before hi that hold another number of calls than were listed.
func (a *rereader) compare(ctx context.Context, b *vinfer.Bounds, st store.Stats, lo, hi int64) (sum readResult, err error) {
	e := a.e
	known := 0
	for k := lo; k < hi; k++ {
		known += a.state.Listed[k]
	}
	q := vinfer.Query{Bound: vinfer.From, Since: bucketTime(lo), To: bucketTime(hi).Add(-time.Second), Limit: 1, Campaign: e.campaign(vinfer.From, "")}
	if pace := e.plan.pace(againShare); pace > 0 {
		if err := pause(ctx, pace); err != nil {
			return sum, err
		}
	}
	p, err := e.o.API.Calls(ctx, q, vinfer.Again)
	sum.requests++
	switch {
	case err != nil:
		return sum, err
	case p.Total == known:
		return sum, nil
	case hi-lo == 1:
		sum, err = a.listBuckets(ctx, b, st, lo, hi)
		if _, listed := a.state.Listed[lo]; listed && err == nil {
			a.state.Listed[lo] = p.Total // rows that cannot be understood are counted, too
		}
		return sum, err
	}
	for _, half := range [][2]int64{{lo, (lo + hi) / 2}, {(lo + hi) / 2, hi}} {
		got, err := a.compare(ctx, b, st, half[0], half[1])
		sum.add(got)
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// listBuckets reads the buckets from lo up to before hi and keeps how many calls began in each.
func (a *rereader) listBuckets(ctx context.Context, b *vinfer.Bounds, st store.Stats, lo, hi int64) (readResult, error) {
	r := readRange{
		from: bucketTime(lo).Add(time.Second), to: st.Watermark, listedTo: bucketTime(hi).Add(-time.Second), starts: startCounts{},
		pace: a.e.plan.pace(reachShare),
	}
	got, err := a.list(ctx, b, st, r)
	switch {
	case errors.Is(err, errIncomplete):
		return got, nil // what it showed is delivered; the buckets do not count as listed
	case err != nil:
		return got, err
	}
	a.record(r.starts, lo, hi)
	return got, nil
}

// load takes up what an earlier process has listed.
func (a *rereader) load(bound vinfer.Bound) error {
	asked := string(bound) + " " + a.e.campaign(bound, "")
	if a.loaded && a.state.Asked == asked {
		return nil
	}
	v, err := a.e.o.Store.Setting(settingAgain)
	if err != nil {
		return err
	}
	a.state = againState{}
	if v != nil && json.Unmarshal(v, &a.state) != nil || a.state.Asked != asked {
		a.state = againState{Asked: asked}
	}
	if a.state.Listed == nil {
		a.state.Listed = startCounts{}
	}
	a.loaded = true
	return nil
}

// keep keeps it for the next process.
func (a *rereader) keep() error {
	v, err := json.Marshal(a.state)
	if err != nil {
		return err
	}
	return a.e.o.Store.PutSetting(settingAgain, v)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// OpenRanges are the intervals that polls have listed and that stayed open, oldest first.
func OpenRanges(st store.Stats) []Range {
	return slices.DeleteFunc(gaps(st), func(r Range) bool { return !r.From.Before(r.To) })
}
