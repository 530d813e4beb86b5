package sync

import (
	"context"
	"errors"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/lease"
	"github.com/vinfer-sync/vinfer-sync/store"
)

// ErrStopped is what RunOnce and Backfill return when the engine was stopped while they were at it. Nothing is lost: another engine
// over the same store goes on where they were.
var ErrStopped = errors.New("the pipeline was stopped")

// Start begins to deliver and to watch; it returns at once. What the store says of the destinations by now counts: another engine may
// have worked on it since New.
func (e *Engine) Start() error {
	st, err := e.o.Store.Stats()
	if err != nil {
		return err
	}
	if err := e.loadBackfills(st); err != nil {
		return err
	}
	if err := e.unfinished.load(); err != nil {
		return err
	}
	// What a reading found that was killed is late as it is.
	for _, stream := range []string{store.AgainStream, store.SweepStream, store.AuditStream} {
		if _, err := e.o.Store.Ingest(store.Page{Stream: stream, Release: true}); err != nil {
			return err
		}
	}
	for _, d := range st.Dests {
		if c := e.dests[d.Name]; c != nil {
			c.mu.Lock()
			c.halted, c.paused = d.Held(), d.Paused != ""
			c.mu.Unlock()
		}
	}
	if e.life.Err() != nil { // stopped before
		e.life, e.end = context.WithCancelCause(e.o.Lease)
	}
	var ctx context.Context
	ctx, e.cancel = context.WithCancel(e.o.Lease)
	e.writes, e.abort = context.WithCancel(e.o.Lease)
	for _, c := range e.order {
		e.work.Go(func() { c.run(ctx) })
	}
	e.work.Go(func() { e.watcher.run(ctx) })
	return nil
}

// Stop takes no more work, lets writes in flight finish (Options.Drain) and returns when nothing runs any more.
func (e *Engine) Stop() {
	e.end(ErrStopped)
	if e.cancel == nil {
		return
	}
	e.cancel()
	drain := time.AfterFunc(e.o.Drain, e.abort)
	e.work.Wait()
	drain.Stop()
	e.abort()
}

// retireWithin is how long writes in flight may go on when another engine is to take over: longer than any receiver needs that answers
// at all, so that none is cut off and repeated; but one that hangs must not hold up the other destinations for good.
const retireWithin = 2 * time.Minute

// drain is Stop without the haste.
func (e *Engine) drain() {
	e.end(ErrStopped)
	e.cancel()
	drain := time.AfterFunc(max(e.o.Drain, retireWithin), e.abort)
	e.work.Wait()
	drain.Stop()
	e.abort()
}

// whileAlive runs f with a context that ends with the engine, too.
func (e *Engine) whileAlive(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(lease.With(ctx, e.o.Lease))
	defer cancel(nil)
	defer context.AfterFunc(e.life, func() { cancel(ErrStopped) })()
	err := f(ctx)
	if err != nil && errors.Is(context.Cause(ctx), ErrStopped) {
		return ErrStopped
	}
	return err
}
