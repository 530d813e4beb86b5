package sync

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/vinfer-sync/vinfer-sync/internal/lease"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// retryHorizon is how long RunOnce waits for retries.
const retryHorizon = 10 * time.Second

const settingStart = "start-confirmed"

// poll reads the live window once: what completed since the cursor, and the lookback before it.
func (e *Engine) poll(ctx context.Context) (readResult, error) {
	defer e.busy.begin("poll")()
	b, err := e.bounds(ctx)
	if err != nil || b == nil {
		return readResult{}, err
	}
	if err := e.saveClock(); err != nil {
		return readResult{}, err
	}
	st, err := e.confirmStart()
	if err != nil {
		return readResult{}, err
	}
	r, err := e.plan.news(ctx, b, st)
	if err != nil {
		return readResult{}, err
	}
	began, at := time.Now(), e.serverNow()
	got, err := e.read(ctx, b, r)
	e.plan.done(b, r, got, time.Since(began), err)
	if errors.Is(err, errIncomplete) { // for a run under cron, which knows nothing else
		err = errors.Join(err, e.plan.keep())
	}
	e.watcher.wake() // calls in progress are asked for only now
	e.rereader.polled()
	if serr := e.sweeper.polled(st, got, at, err); err == nil {
		err = serr
	}
	return got, err
}

// confirmStart corrects the first cursor, taken from the local clock, to the server's, once that is known.
func (e *Engine) confirmStart() (store.Stats, error) {
	st, err := e.o.Store.Stats()
	if err != nil || !e.o.Start.IsZero() {
		return st, err
	}
	done, err := e.o.Store.Setting(settingStart)
	if err != nil || done != nil {
		return st, err
	}
	skew := time.Until(e.serverNow())
	if skew.Abs() > time.Second && st.Watermark.Equal(st.First) {
		if err := e.o.Store.SetCursor(st.First.Add(skew).Truncate(time.Second)); err != nil {
			return st, err
		}
	}
	if err := e.o.Store.PutSetting(settingStart, []byte("1")); err != nil {
		return st, err
	}
	return e.o.Store.Stats()
}

// pollAndRecord polls, keeps the result as the last run and logs one line if there is something to say.
func (e *Engine) pollAndRecord(ctx context.Context, deliveredBefore int64) (readResult, time.Duration, error) {
	e.polling.Lock()
	defer e.polling.Unlock()
	at := time.Now()
	got, err := e.poll(ctx)
	took := time.Since(at)
	if err != nil && ctx.Err() != nil {
		return got, took, err
	}
	if e.observer != nil {
		e.observer.Polled(Polled{Took: took, Fetched: got.fetched, Err: err})
	}
	delivered, _ := e.counts()
	if rerr := e.record(at, got, delivered-deliveredBefore, err); err == nil {
		err = rerr
	}
	return got, took, err
}

// record keeps a run as the last one. One that the store cannot keep, as on a full disk, is shown as failed until one is kept.
func (e *Engine) record(at time.Time, got readResult, delivered int64, err error) error {
	e.recording.Lock()
	defer e.recording.Unlock()
	r := store.Run{At: at.UTC(), Took: time.Since(at), Fetched: got.fetched, New: got.New, Delivered: int(delivered), LastSuccess: e.lastRun.LastSuccess}
	if err != nil {
		r.Error = err.Error()
	} else {
		r.LastSuccess = r.At
	}
	b, err := json.Marshal(r)
	if err == nil {
		err = e.o.Store.PutSetting(store.RunSetting, b)
	}
	if e.unkept = err != nil; e.unkept {
		r.Error, r.LastSuccess = cmp.Or(r.Error, err.Error()), e.lastRun.LastSuccess
	}
	e.lastRun = r
	return err
}

// Stats returns what the store says, with the last run even where the store could not keep it.
func (e *Engine) Stats() (store.Stats, error) {
	st, err := e.o.Store.Stats()
	e.recording.Lock()
	defer e.recording.Unlock()
	if e.unkept {
		st.LastRun = e.lastRun
	}
	return st, err
}

func (e *Engine) counts() (delivered int64, dead int) {
	for _, c := range e.order {
		d, n := c.counts()
		delivered += d
		dead += n
	}
	return delivered, dead
}

// RunOnce polls once and returns when nothing more is due: all that was found is delivered, or waits for longer than ten
// seconds. The engine must have been started. The error is the poll's; deliveries that failed show in the summary.
func (e *Engine) RunOnce(ctx context.Context) (s Summary, err error) {
	err = e.whileAlive(ctx, func(ctx context.Context) error {
		s, err = e.runOnce(ctx)
		return err
	})
	return s, err
}

func (e *Engine) runOnce(ctx context.Context) (Summary, error) {
	began := time.Now()
	before, err := e.o.Store.Stats()
	if err != nil {
		return Summary{}, err
	}
	delivered, dead := e.counts()
	if !e.daemon.Load() { // what was delivered while the process started belongs to its first run
		delivered, dead = e.toldDelivered.Load(), int(e.toldDead.Load())
	}
	got, _, err := e.pollAndRecord(ctx, delivered)
	others := got.others
	if err == nil {
		var more readResult
		if more, err = e.rereader.afterPoll(ctx); err == nil {
			got.New += more.New
			more, err = e.sweeper.afterPoll(ctx)
		}
		got.New += more.New
	}
	if werr := e.settle(ctx, 0); err == nil {
		err = werr
	}
	// A call that ended while the listing was read waits for the next window; nobody may come to read that for an hour.
	for again := 0; err == nil && again < 2 && e.held(); again++ {
		var more readResult
		more, _, err = e.pollAndRecord(ctx, delivered)
		got.New += more.New
		others += more.others
		if werr := e.settle(ctx, 0); err == nil {
			err = werr
		}
	}
	s := Summary{Fetched: got.fetched, New: got.New}
	d2, n2 := e.counts()
	s.Delivered, s.NewDead = d2-delivered, n2-dead
	e.toldDelivered.Store(d2)
	e.toldDead.Store(int64(n2))
	// A run that was broken off by who asked for it says nothing of VInfer.
	if err == nil || ctx.Err() == nil {
		if rerr := e.record(began, got, s.Delivered, err); err == nil {
			err = rerr
		}
	}
	st, serr := e.o.Store.Stats()
	if serr != nil && err == nil {
		err = serr
	}
	s.Pending, s.Dead = st.Pending, st.Dead
	s.NewDead += max(0, unreadable(st)-unreadable(before))
	if s.LeftOut = leftSince(before, st); others > 0 {
		s.LeftOut[store.LeftCampaign] += int64(others)
	}
	s.TookMS = time.Since(began).Milliseconds()
	e.log.Info("run", "fetched", s.Fetched, "new", s.New, "delivered", s.Delivered, "pending", s.Pending, "dead", s.Dead, "left_out", total(s.LeftOut), "took", time.Since(began).Round(time.Millisecond))
	return s, err
}

// unreadable counts the dead letters of no destination: rows that could not be understood.
func unreadable(st store.Stats) int {
	n := st.Dead
	for _, d := range st.Dests {
		n -= d.Dead
	}
	return n
}

// settle waits until nothing is due; while backfills other than own run, nothing but their work.
func (e *Engine) settle(ctx context.Context, own uint64) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for calm := 0; calm < 2; {
		if e.idle() || e.backfilling(own) && e.idleButBackfills() {
			calm++ // twice: one part may just have handed over to another
		} else {
			calm = 0
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		if since := e.unrecorded.Load(); since != 0 && time.Since(time.Unix(0, since)) > e.patience {
			return ErrUnrecorded
		}
	}
	return nil
}

// ErrUnrecorded is what ends a run by hand when deliveries cannot be recorded. The daemon goes on trying.
var ErrUnrecorded = errors.New("what was delivered cannot be recorded in the state file, as the log says: see that its disk is well and has room; deliveries in flight are repeated by the next run")

// held tells whether jobs are left though nothing that is known keeps them: their window is still open.
func (e *Engine) held() bool {
	st, err := e.o.Store.Stats()
	if err != nil {
		return false
	}
	for _, d := range st.Dests {
		if c := e.dests[d.Name]; c != nil && d.Pending > 0 && !c.blocked() {
			return true
		}
	}
	return false
}

// backfilling tells whether a backfill runs, besides own.
func (e *Engine) backfilling(own uint64) (is bool) {
	e.backfills.Range(func(id, _ any) bool {
		is = is || id != own
		return !is
	})
	return is
}

func (e *Engine) idleButBackfills() bool {
	horizon := time.Now().Add(retryHorizon)
	return !slices.ContainsFunc(e.order, func(c *dispatcher) bool { return !c.idleButBackfills(horizon) })
}

func (e *Engine) idle() bool {
	horizon := time.Now().Add(retryHorizon)
	for _, c := range e.order {
		if !c.idle(horizon) {
			return false
		}
	}
	return e.watcher.quiet()
}

// Run is the daemon: it delivers and watches, polls at once and then on the schedule, and returns when ctx has ended and
// writes in flight have finished: within Options.Drain, or, when the context's cause is ErrStopped because another engine is to go on,
// within two minutes. ready is called when the first poll has begun.
func (e *Engine) Run(ctx context.Context, ready func()) error {
	ctx = lease.With(ctx, e.o.Lease)
	schedule := cron.New(cron.WithLogger(cron.DiscardLogger), cron.WithChain(cron.Recover(cronLog{e}), cron.SkipIfStillRunning(cron.DiscardLogger)))
	was := runState{left: e.leftOut()}
	run := func() { was = e.scheduled(ctx, was) }
	polls, err := schedule.AddFunc(e.o.Schedule, run)
	if err != nil {
		return fmt.Errorf("schedule %q: %w", e.o.Schedule, err)
	}
	if e.o.AuditAt != "" && e.o.AuditDays > 0 {
		if _, err := schedule.AddFunc(e.o.AuditAt, func() { e.scheduledAudit(ctx) }); err != nil {
			return fmt.Errorf("audit %q: %w", e.o.AuditAt, err)
		}
	}
	if _, err := schedule.AddFunc("@every 1h", func() { e.prune(ctx) }); err != nil {
		return err
	}
	if err := e.Start(); err != nil {
		return err
	}
	e.daemon.Store(true)
	e.work.Go(func() { e.rereader.run(ctx) })
	e.work.Go(func() { e.sweeper.run(ctx) })
	if ready != nil {
		ready()
	}
	// The schedule's first run is an interval away; a sysadmin who starts the service wants to see it work.
	run()
	schedule.Start()
	next := func() time.Time { return schedule.Entry(polls).Next }
	e.next.Store(&next)
	<-ctx.Done()
	stopped := schedule.Stop()
	if errors.Is(context.Cause(ctx), ErrStopped) {
		e.drain()
	} else {
		e.Stop()
	}
	<-stopped.Done()
	return nil
}

// runState is what the log said last, so that a night of failure is a few lines.
type runState struct {
	failing   string
	failed    int
	since     time.Time
	delivered int64
	left      int64 // what was left out so far, since the store was made
}

// scheduled is one run of the daemon.
func (e *Engine) scheduled(ctx context.Context, was runState) runState {
	if ctx.Err() != nil {
		return was
	}
	got, took, err := e.pollAndRecord(ctx, was.delivered)
	if ctx.Err() != nil {
		return was
	}
	now := runState{}
	now.delivered, _ = e.counts()
	now.left = e.leftOut()
	switch {
	case err != nil:
		now.failing, now.failed, now.since = signatureOf(err.Error()), was.failed+1, was.since
		if was.failed == 0 {
			now.since = time.Now()
		}
		if now.failing != was.failing || now.failed%60 == 0 {
			e.log.Error("poll failed; the cursor stays", keyError, err, "failed_runs", now.failed)
		}
	case was.failed > 0:
		e.log.Info("poll works again", "failed_runs", was.failed, "for", time.Since(was.since).Round(time.Second))
		fallthrough
	default:
		if got.New+got.Changed+got.others > 0 || now.delivered > was.delivered || now.left > was.left {
			e.log.Info("run", "fetched", got.fetched, "new", got.New, "changed", got.Changed, "delivered", now.delivered-was.delivered, "left_out", max(now.left-was.left, 0)+int64(got.others), "took", took.Round(time.Millisecond))
		}
	}
	return now
}

// scheduledAudit is the daily one. What keeps it from its end does not end it: it goes on after the next poll.
func (e *Engine) scheduledAudit(ctx context.Context) {
	if _, err := e.audit(ctx, 0); err != nil && ctx.Err() == nil {
		e.log.Error("audit failed; it goes on where it stopped", keyError, err)
	}
}

// prune forgets what is old, a little at a time.
func (e *Engine) prune(ctx context.Context) {
	for ctx.Err() == nil {
		more, err := e.o.Store.Prune(time.Now().Add(-e.o.Retention), time.Now().Add(-e.o.Ledger))
		if err != nil {
			e.log.Error("cannot forget old receipts", keyError, err)
			return
		}
		if !more {
			return
		}
		_ = pause(ctx, 100*time.Millisecond) // let deliveries in between
	}
}

// cronLog passes what cron's Recover has to say.
type cronLog struct{ e *Engine }

func (l cronLog) Info(string, ...any) {}
func (l cronLog) Error(err error, msg string, kv ...any) {
	l.e.log.Error("a scheduled run broke off: "+msg, append(kv, keyError, err)...)
}

// Refused tells whether err is VInfer's refusal of the key.
func Refused(err error) bool { return errors.Is(err, vinfer.ErrRefused) }
