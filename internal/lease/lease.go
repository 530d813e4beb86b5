// Package lease says how long this process may start requests, where several processes share work and one of them does it at a time.
package lease

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrOver is why a context ended whose lease is over.
var ErrOver = errors.New("the lease is over: another node may work now")

// SinceBoot is a clock that goes on while the machine sleeps, unlike Go's own.
func SinceBoot() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // never fails: the clock is there
	return time.Duration(t.Nano())
}

// Lease ends at a time of its clock, unless that is put off before.
type Lease struct {
	context.Context // ends with the lease, and brings it to who starts requests
	clock           func() time.Duration
	until           atomic.Int64
	cancel          context.CancelCauseFunc
}

type key struct{}

// New returns a lease, of which Watch has to run.
func New(clock func() time.Duration, until time.Duration) *Lease {
	l := &Lease{clock: clock}
	l.until.Store(int64(until))
	ctx, cancel := context.WithCancelCause(context.Background())
	l.Context, l.cancel = context.WithValue(ctx, key{}, l), cancel
	return l
}

// Extend puts the end off. A lease that is over stays so.
func (l *Lease) Extend(until time.Duration) { l.until.Store(int64(until)) }

// End ends it now.
func (l *Lease) End() { l.cancel(ErrOver) }

// Held errs when the lease is over. It looks at the clock: a process that was stopped for longer than the lease learns it before anything else.
func (l *Lease) Held() error {
	if l.clock() >= time.Duration(l.until.Load()) {
		l.End()
	}
	return context.Cause(l.Context)
}

// lookEvery is how late a lease may end after the machine has slept: timers stand still meanwhile.
const lookEvery = time.Second

// Watch ends the context when the lease is over.
func (l *Lease) Watch() {
	for l.Held() == nil {
		wait := time.NewTimer(min(time.Duration(l.until.Load())-l.clock(), lookEvery))
		select {
		case <-l.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
}

// Allows errs if the lease is over that a context was made under. What is made under none may always begin.
func Allows(ctx context.Context) error {
	if l, ok := ctx.Value(key{}).(*Lease); ok {
		return l.Held()
	}
	return nil
}

// With returns a context that belongs to the lease of another one. It does not end with it: see Allows.
func With(ctx, other context.Context) context.Context {
	if l, ok := other.Value(key{}).(*Lease); ok {
		return context.WithValue(ctx, key{}, l)
	}
	return ctx
}
