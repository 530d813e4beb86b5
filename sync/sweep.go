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
	sweptKept    = 15 * time.Minute // how much of what polls covered may be forgotten by a restart: it is only read again
)

// sweeper reads once more what the polls have read, when it is Options.Settle old: calls that came up late are found then. It
// also ends audits that were interrupted.
type sweeper struct {
	e    *Engine
	kick chan struct{}
	busy sync.Mutex // held while sweeping

	mu     sync.Mutex
	loaded bool
	swept  time.Time // everything that completed from the first cursor up to here was read Settle after its completion, or later
	kept   time.Time // of that what the store knows
	ahead  Range     // what a poll read late enough, beyond a part that is still to be swept
}

func newSweeper(e *Engine) *sweeper { return &sweeper{e: e, kick: make(chan struct{}, 1)} }

// load brings up what an earlier process swept. The caller holds mu.
func (s *sweeper) load(first time.Time) error {
	if s.loaded {
		return nil
	}
	v, err := s.e.o.Store.Setting(settingSwept)
	if err != nil {
		return err
	}
	s.swept = first
	if at, err := time.Parse(time.RFC3339, string(v)); err == nil && at.After(first) {
		s.swept, s.kept = at.UTC(), at.UTC()
	}
	s.loaded = true
	return nil
}

// advance notes that all up to t was swept. The caller holds mu.
func (s *sweeper) advance(t time.Time, atLeast time.Duration) error {
	if !t.Before(s.ahead.From) && t.Before(s.ahead.To) {
		t = s.ahead.To
	}
	if !t.After(s.swept) {
		return nil
	}
	s.swept = t
	if t.Sub(s.kept) < atLeast {
		return nil
	}
	if err := s.e.o.Store.PutSetting(settingSwept, []byte(rfc3339(t))); err != nil {
		return err
	}
	s.kept = t
	return nil
}

// polled notes what a poll that began at that time has read. What it read late enough needs no sweep: after an outage, or where the
// lookback is as long as Settle.
func (s *sweeper) polled(b *vinfer.Bounds, r readRange, got readResult, began time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(r.floor); err != nil {
		return err
	}
	since := r.from.Add(-r.overlap)
	if since.Before(r.floor) {
		since = r.floor
	}
	settled := began.Add(-s.e.o.Settle).Truncate(time.Second)
	switch {
	case boundOf(b) == vinfer.From && !got.deep, !since.Before(settled):
	case since.After(s.swept):
		s.ahead = Range{since, settled}
	default:
		if err := s.advance(settled, sweptKept); err != nil {
			return err
		}
	}
	select {
	case s.kick <- struct{}{}:
	default:
	}
	return nil
}

// due returns the range that is to be swept now; false: none is.
func (s *sweeper) due(st store.Stats) (from, to time.Time, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(st.First); err != nil {
		return from, to, false, err
	}
	to = st.Watermark.Add(-s.e.o.Settle)
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
	got, err := e.read(ctx, b, readRange{
		stream: store.SweepStream, prio: vinfer.Sweeps, from: from, to: to, floor: st.First, reach: st.Watermark.Add(-e.o.Lookback),
		closed: func(upTo time.Time, _ int) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.advance(upTo, 0)
		},
	})
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
