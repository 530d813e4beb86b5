package lease

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// A process is stopped, or its machine sleeps, for longer than its lease: what it asks first tells it.
func TestLease(t *testing.T) {
	var now atomic.Int64
	clock := func() time.Duration { return time.Duration(now.Load()) }
	l := New(clock, 10*time.Second)
	request, cancel := context.WithTimeout(l, time.Hour)
	defer cancel()
	now.Store(int64(9 * time.Second))
	if err := Allows(request); err != nil {
		t.Errorf("before its end: %v", err)
	}
	l.Extend(20 * time.Second)
	now.Store(int64(19 * time.Second))
	if err := errors.Join(l.Held(), request.Err()); err != nil {
		t.Errorf("put off: %v", err)
	}
	now.Store(int64(20 * time.Second))
	if request.Err() != nil {
		t.Error("it ended although nobody looked")
	}
	if err := Allows(request); !errors.Is(err, ErrOver) || request.Err() == nil || !errors.Is(context.Cause(request), ErrOver) {
		t.Errorf("at its end: %v, and of the request %v", err, context.Cause(request))
	}
	l.Extend(time.Hour)
	if err := l.Held(); !errors.Is(err, ErrOver) {
		t.Errorf("a lease that was over came back: %v", err)
	}
	if err := Allows(t.Context()); err != nil {
		t.Errorf("without a lease: %v", err)
	}
}

// Nobody asks: the context ends all the same.
func TestLeaseEndsByItself(t *testing.T) {
	l := New(SinceBoot, SinceBoot()+20*time.Millisecond)
	go l.Watch()
	<-l.Done()
	if SinceBoot() < time.Duration(l.until.Load()) {
		t.Error("it ended too early")
	}
	l = New(SinceBoot, SinceBoot()+time.Hour)
	watched := make(chan struct{})
	go func() { defer close(watched); l.Watch() }()
	l.End()
	<-watched
}
