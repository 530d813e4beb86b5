// Package admin lets commands reach the pipeline: directly when they hold the store themselves, or over the daemon's
// Unix socket when the daemon does. Both ways offer the same operations (Backend).
package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// Backend is what commands can ask of a pipeline. All times are UTC. Errors of a remote backend keep their text and
// whether they are store.ErrUnknown.
type Backend interface {
	Status(ctx context.Context) (engine.Status, error)
	Once(ctx context.Context) (engine.Summary, error)
	Backfill(ctx context.Context, r engine.BackfillRequest, progress func(engine.BackfillProgress)) (engine.BackfillProgress, error)
	Pause(ctx context.Context, r PauseRequest) error
	// Estimate counts what a backfill would cost.
	Estimate(ctx context.Context, r engine.BackfillRequest) (engine.Estimate, error)
	// Backfills lists all of them, oldest first.
	Backfills(ctx context.Context) ([]engine.BackfillStatus, error)
	CancelBackfill(ctx context.Context, id uint64) (engine.Cancelled, error)
	// Audit compares the last days with the ledger; 0: as configured.
	Audit(ctx context.Context, days int) (engine.AuditReport, error)
	Resume(ctx context.Context, dest string) error
	Cursor(ctx context.Context) (time.Time, error)
	SetCursor(ctx context.Context, t time.Time) error
	// Calls lists the calls seen last, newest first.
	Calls(ctx context.Context, q store.CallQuery) ([]CallLine, error)
	Life(ctx context.Context, id string) (store.Life, error)
	// Dead returns at most n dead letters with a number above after; dest "" and all: of every destination.
	Dead(ctx context.Context, q DeadQuery) ([]store.DeadLetter, error)
	RetryDead(ctx context.Context, nums []uint64) (int, error)
	DropDead(ctx context.Context, nums []uint64) (int, error)
	// Survey checks the store; Backup writes a consistent copy of it.
	Survey(ctx context.Context) (store.Survey, error)
	Backup(ctx context.Context, w io.Writer) error
	Forget(ctx context.Context, r engine.ForgetRequest) (engine.Forgotten, error)
	Plan(ctx context.Context, r engine.PlanRequest) (engine.Plan, error)
	// Reload has the configuration read again. It returns the faults for which that was refused; empty: it is taken up.
	Reload(ctx context.Context) (faults string, err error)
}

// PauseRequest names a destination to hold, and why.
type PauseRequest struct{ Dest, Why string }

// CallLine is a call in a list, with what is remembered of it: of old ones only when it was seen and what became of it.
type CallLine struct {
	store.CallSummary
	Known engine.NewCall
}

// DeadQuery selects dead letters.
type DeadQuery struct {
	Dest  string
	All   bool
	After uint64
	N     int
}

// Local is the Backend of the process that holds the store. Engine may be nil: then Once and Backfill are not to be had.
type Local struct {
	Store    store.Store
	Engine   *engine.Engine
	Name     string // of the pipeline
	Version  string
	Lookback time.Duration
	Region   string // default one of phone numbers; needed where there is no Engine
	// Successor waits for the Local that takes over once Engine was stopped to make room for another one, so that what a command
	// has begun goes on with that. nil: there will be none.
	Successor func(context.Context) (*Local, error)
	// Reloads implements Reload. nil: there is no daemon that could.
	Reloads func(context.Context) (string, error)
	// Recent remembers the calls seen last; it is asked to forget as well. nil: nothing does.
	Recent *Tally
	// Notes adds to a status what neither the engine nor the store knows. nil: nothing.
	Notes func(*engine.Status)
}

var _ Backend = (*Local)(nil)

// Status implements Backend.
func (l *Local) Status(context.Context) (engine.Status, error) {
	s, err := l.status()
	if err == nil && l.Notes != nil {
		l.Notes(&s)
	}
	return s, err
}

func (l *Local) status() (engine.Status, error) {
	if l.Engine != nil {
		return l.Engine.Status()
	}
	st, err := l.Store.Stats()
	if err != nil {
		return engine.Status{}, err
	}
	s := engine.StatusOf(st, l.Name, l.Version)
	engine.ShowCounts(&s, l.Store)
	s.CursorParam = engine.KnownParam(l.Store)
	s.Advice = engine.AdviceOf(st.Lateness, l.Lookback)
	engine.ShowWaits(&s, l.Store)
	return s, nil
}

// Once implements Backend.
func (l *Local) Once(ctx context.Context) (engine.Summary, error) {
	if l.Engine == nil {
		return engine.Summary{}, errNoEngine
	}
	s, err := l.Engine.RunOnce(ctx)
	if next, nerr := l.next(ctx, err); next != nil || nerr != nil {
		if nerr != nil {
			return s, nerr
		}
		return next.Once(ctx)
	}
	return s, err
}

// next returns who goes on with what ended with err, if anybody does.
func (l *Local) next(ctx context.Context, err error) (*Local, error) {
	if l.Successor == nil || !errors.Is(err, engine.ErrStopped) {
		return nil, nil
	}
	return l.Successor(ctx)
}

// Backfill implements Backend.
func (l *Local) Backfill(ctx context.Context, r engine.BackfillRequest, progress func(engine.BackfillProgress)) (engine.BackfillProgress, error) {
	if l.Engine == nil {
		return engine.BackfillProgress{}, errNoEngine
	}
	p, err := l.Engine.Backfill(ctx, r, progress)
	if next, nerr := l.next(ctx, err); next != nil || nerr != nil {
		if nerr != nil {
			return p, nerr
		}
		return next.Backfill(ctx, r, progress)
	}
	return p, err
}

// Estimate implements Backend.
func (l *Local) Estimate(ctx context.Context, r engine.BackfillRequest) (engine.Estimate, error) {
	if l.Engine == nil {
		return engine.Estimate{}, errNoEngine
	}
	return l.Engine.Estimate(ctx, r)
}

// Backfills implements Backend.
func (l *Local) Backfills(context.Context) ([]engine.BackfillStatus, error) {
	if l.Engine != nil {
		return l.Engine.Backfills()
	}
	st, err := l.Store.Stats()
	return engine.BackfillsOf(st), err
}

// CancelBackfill implements Backend.
func (l *Local) CancelBackfill(ctx context.Context, id uint64) (engine.Cancelled, error) {
	if l.Engine != nil {
		return l.Engine.CancelBackfill(ctx, id)
	}
	removed, live, err := l.Store.CancelBackfill(id, time.Now().UTC())
	return engine.Cancelled{ID: id, Removed: removed, Live: live}, err
}

// Audit implements Backend.
func (l *Local) Audit(ctx context.Context, days int) (engine.AuditReport, error) {
	if l.Engine == nil {
		return engine.AuditReport{}, errNoEngine
	}
	r, err := l.Engine.Audit(ctx, days)
	if next, nerr := l.next(ctx, err); next != nil || nerr != nil {
		if nerr != nil {
			return r, nerr
		}
		return next.Audit(ctx, days)
	}
	return r, err
}

var errNoEngine = fmt.Errorf("this needs a running pipeline, and only its state file is open")

// Pause implements Backend.
func (l *Local) Pause(_ context.Context, r PauseRequest) error {
	if l.Engine != nil {
		return l.Engine.Pause(r.Dest, r.Why)
	}
	_, err := engine.Pause(l.Store, r.Dest, r.Why)
	return err
}

// Resume implements Backend.
func (l *Local) Resume(_ context.Context, dest string) error {
	if l.Engine != nil {
		return l.Engine.Resume(dest)
	}
	return engine.Resume(l.Store, dest)
}

// Cursor implements Backend.
func (l *Local) Cursor(context.Context) (time.Time, error) {
	st, err := l.Store.Stats()
	return st.Watermark, err
}

// SetCursor implements Backend.
func (l *Local) SetCursor(_ context.Context, t time.Time) error { return l.Store.SetCursor(t) }

// Calls implements Backend.
func (l *Local) Calls(_ context.Context, q store.CallQuery) ([]CallLine, error) {
	calls, err := l.Store.Calls(q)
	lines := make([]CallLine, 0, len(calls))
	for _, c := range calls {
		line := CallLine{CallSummary: c}
		if l.Recent != nil {
			line.Known, _ = l.Recent.call(c.ID)
		}
		lines = append(lines, line)
	}
	return lines, err
}

// Life implements Backend.
func (l *Local) Life(_ context.Context, id string) (store.Life, error) { return l.Store.Life(id) }

// Dead implements Backend.
func (l *Local) Dead(_ context.Context, q DeadQuery) ([]store.DeadLetter, error) {
	return l.Store.DeadLetters(q.Dest, q.All, q.After, q.N)
}

// RetryDead implements Backend.
func (l *Local) RetryDead(ctx context.Context, nums []uint64) (int, error) {
	if l.Engine != nil {
		return l.Engine.RetryDead(ctx, nums)
	}
	return l.Store.EndDead(nums, true)
}

// DropDead implements Backend.
func (l *Local) DropDead(_ context.Context, nums []uint64) (int, error) {
	return l.Store.EndDead(nums, false)
}

// Survey implements Backend.
func (l *Local) Survey(context.Context) (store.Survey, error) { return l.Store.Survey() }

// Backup implements Backend.
func (l *Local) Backup(ctx context.Context, w io.Writer) error {
	file, ok := l.Store.(io.WriterTo)
	if !ok {
		return errors.New("the state is in a database: copy it with the tools of that")
	}
	_, err := file.WriteTo(&cancelled{ctx, w})
	return err
}

// Plan implements Backend.
func (l *Local) Plan(ctx context.Context, r engine.PlanRequest) (engine.Plan, error) {
	if l.Engine == nil {
		return engine.Plan{}, errNoEngine
	}
	return l.Engine.Plan(ctx, r)
}

// Reload implements Backend.
func (l *Local) Reload(ctx context.Context) (string, error) {
	if l.Reloads == nil {
		return "", errors.New("no service runs that could take up the configuration")
	}
	return l.Reloads(ctx)
}

// Forget implements Backend.
func (l *Local) Forget(_ context.Context, r engine.ForgetRequest) (engine.Forgotten, error) {
	if l.Recent != nil && !r.Dry { // before the store, which then writes its file anew
		if err := l.Recent.Forget(r.Calls, r.Phones); err != nil {
			return engine.Forgotten{}, err
		}
	}
	if l.Engine != nil {
		return l.Engine.Forget(r)
	}
	f, err := engine.Forget(l.Store, l.Region, r)
	return engine.Forgotten{Forgotten: f}, err
}

// cancelled is a writer that errs once its context has ended.
type cancelled struct {
	ctx context.Context
	w   io.Writer
}

func (c *cancelled) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}
