package sync

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

const (
	settingSwept = "swept_until"
	sweepStepMax = 15 * time.Minute // a sweep waits until it has this much to read, or a quarter of Options.Settle if that is less
)

// sweeper reads once more what the polls have read, when it is Options.Settle old: calls that came up late are found then. It
// also ends audits that were interrupted. What a server that filters by start lists is swept by its start.
type sweeper struct {
	e    *Engine
	kick chan struct{}
	busy sync.Mutex // held while sweeping

	mu     sync.Mutex
	loaded bool
	swept  time.Time // everything from the first cursor up to here was read Settle later, or later still
	ahead  Range     // what a poll read so late, beyond a part that is still to be swept
}

func newSweeper(e *Engine) *sweeper { return &sweeper{e: e, kick: make(chan struct{}, 1)} }

// advance notes that all up to t was swept.
func (s *sweeper) advance(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !t.Before(s.ahead.From) && t.Before(s.ahead.To) {
		t = s.ahead.To
	}
	if !t.After(s.swept) {
		return nil
	}
	s.swept = t
	return s.e.o.Store.PutSetting(settingSwept, []byte(rfc3339(t)))
}

// polled says that a poll has ended, which began at a time. What it read so late that it had settled needs no sweep: after an outage, or
// at a first start in the past.
func (s *sweeper) polled(st store.Stats, got readResult, began time.Time, err error) error {
	settled := began.Add(-s.e.o.Settle).Truncate(time.Second)
	s.mu.Lock()
	lerr := s.load(st)
	behind := got.since.After(s.swept)
	if err == nil && got.since.Before(settled) && behind {
		s.ahead = Range{got.since, settled}
	}
	s.mu.Unlock()
	if lerr == nil && err == nil && got.since.Before(settled) && !behind {
		lerr = s.advance(settled)
	}
	select {
	case s.kick <- struct{}{}:
	default:
	}
	return lerr
}

// load takes up what an earlier process swept. The caller holds mu.
func (s *sweeper) load(st store.Stats) error {
	if s.loaded {
		return nil
	}
	v, err := s.e.o.Store.Setting(settingSwept)
	if err != nil {
		return err
	}
	s.swept, s.loaded = st.First, true
	if at, err := time.Parse(time.RFC3339, string(v)); err == nil && at.After(st.First) {
		s.swept = at.UTC()
	}
	return nil
}

// due returns the range that is to be swept now; false: none is.
func (s *sweeper) due(st store.Stats) (from, to time.Time, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(st); err != nil {
		return from, to, false, err
	}
	to = s.e.plan.headAt(st).Add(-s.e.o.Settle)
	if s.ahead.From.After(s.swept) && s.ahead.From.Before(to) {
		to = s.ahead.From
	}
	step := min(max(s.e.o.Settle/4, time.Second), sweepStepMax)
	return s.swept, to, s.e.o.Settle > 0 && to.Sub(s.swept) >= step, nil
}

// sweep reads what is due and returns what it found.
func (s *sweeper) sweep(ctx context.Context) (readResult, error) {
	if !s.busy.TryLock() {
		return readResult{}, nil
	}
	defer s.busy.Unlock()
	e := s.e
	defer e.busy.begin("sweep")()
	st, err := e.o.Store.Stats()
	if err != nil {
		return readResult{}, err
	}
	from, to, ok, err := s.due(st)
	if err != nil || !ok {
		return readResult{}, err
	}
	b, err := e.bounds(ctx)
	if err != nil || b == nil {
		return readResult{}, err
	}
	r := readRange{
		stream: store.SweepStream, prio: vinfer.Sweeps, from: from, to: to, floor: st.First, reach: st.Watermark.Add(-e.o.Lookback),
		pace: e.plan.pace(sweepShare), doubtful: true,
		closed: func(upTo time.Time, _ int) error {
			if upTo.After(to) {
				upTo = to
			}
			return s.advance(upTo)
		},
	}
	if boundOf(b) == vinfer.From {
		r.to, r.listedTo = st.Watermark, to // what began by then and ended later belongs to it
		r.floor = st.First.Add(-e.o.MaxCall)
	}
	got, err := e.read(ctx, b, r)
	if errors.Is(err, errIncomplete) { // what it showed is delivered, and the audit tells of the rest
		err = errors.Join(err, s.advance(to))
	}
	if got.Late > 0 {
		e.log.Warn("calls came up later than the polls look back; they were found and are delivered", "late", got.Late,
			"from", rfc3339(from), "to", rfc3339(to), "advice", e.lookbackAdvice())
	}
	e.log.Debug("sweep", "from", rfc3339(from), "to", rfc3339(to), "fetched", got.fetched, "requests", got.requests, "late", got.Late)
	return got, err
}

// afterPoll does what comes after a poll: the sweep, if one is due, and the rest of an audit that was interrupted.
func (s *sweeper) afterPoll(ctx context.Context) (readResult, error) {
	got, err := s.sweep(ctx)
	if err != nil {
		return got, err
	}
	p, err := s.e.auditProgress()
	if err != nil || p == nil {
		return got, err
	}
	r, err := s.e.audit(ctx, p.Days)
	if errors.Is(err, ErrAuditing) {
		return got, nil
	}
	got.New += r.new
	return got, err
}

// run sweeps after polls until ctx ends. It is a loop of its own: a poll does not wait for it.
func (s *sweeper) run(ctx context.Context) {
	failing := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.kick:
		}
		_, err := s.afterPoll(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && signatureOf(err.Error()) != failing:
			failing = signatureOf(err.Error())
			s.e.log.Error("sweep or audit failed; it goes on where it stopped", keyError, err)
		case err == nil:
			failing = ""
		}
	}
}
