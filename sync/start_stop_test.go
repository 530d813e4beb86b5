package sync

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/lease"
	"github.com/vinfer-sync/vinfer-sync/store"
)

// slowWriter is at its write until it may end, or its context does.
type slowWriter struct {
	begun chan struct{}
	may   chan struct{}
	cut   chan struct{}
}

func (w *slowWriter) Write(ctx context.Context, _ crm.Entry, _ *crm.Progress) error {
	w.begun <- struct{}{}
	select {
	case <-w.may:
		return nil
	case <-ctx.Done():
		close(w.cut)
		return ctx.Err()
	}
}

// Another engine is to take over: what is in flight is neither cut off nor begun again by the other one.
func TestRetiringLetsASlowWriteEnd(t *testing.T) {
	w := &slowWriter{begun: make(chan struct{}), may: make(chan struct{}), cut: make(chan struct{})}
	r := newRig(t, newAPI(t, true, past(1)...), w, func(o *Options) { o.Drain = time.Millisecond })
	r.e.Stop() // the rig's own start
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	ended := make(chan error, 1)
	go func() { ended <- r.e.Run(ctx, nil) }()
	<-w.begun
	waiting := make(chan error, 1)
	go func() {
		_, err := r.e.RunOnce(t.Context())
		waiting <- err
	}()
	stop(ErrStopped)
	if err := <-waiting; !errors.Is(err, ErrStopped) {
		t.Errorf("a run in progress ended with %v", err)
	}
	close(w.may)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	select {
	case <-w.cut:
		t.Error("the write was cut off")
	default:
	}
	if st := r.stats(); st.Pending != 0 {
		t.Errorf("%d pending", st.Pending)
	}
}

// The halt that an operator lifted, or another engine found, since New counts.
func TestStartAsksTheStoreForHalts(t *testing.T) {
	rec := &recorder{}
	r := newRig(t, newAPI(t, true, past(3)...), rec, nil)
	r.e.Stop()
	if err := r.store.Hold("crm", store.Hold{Reason: "401", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	e, err := New(r.o)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.Hold("crm", store.Hold{}); err != nil {
		t.Fatal(err)
	}
	r.e = e
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	if s := r.once(); s.Pending != 0 {
		t.Errorf("%+v", s)
	}
	sameIDs(t, rec.ids(crm.CallCompleted), idsOf(past(3)))
}

// Another process may work from the end of the lease on: what is in flight is cut off, and nothing begins any more.
func TestEndOfTheLeaseEndsAllRequests(t *testing.T) {
	w := &slowWriter{begun: make(chan struct{}), may: make(chan struct{}), cut: make(chan struct{})}
	held := lease.New(lease.SinceBoot, lease.SinceBoot()+time.Hour)
	a := newAPI(t, true, past(3)...)
	r := newRig(t, a, w, func(o *Options) { o.Lease = held; o.Destinations[0].Workers = 1 })
	ended := make(chan error, 1)
	go func() {
		_, err := r.e.RunOnce(t.Context())
		ended <- err
	}()
	<-w.begun
	held.End()
	<-w.cut
	if err := <-ended; err == nil {
		t.Error("the run did not fail")
	}
	r.e.Stop()
	before := 0
	a.set(func() { before = len(a.requests) })
	if err := r.e.Start(); err != nil { // another pipeline over the same store, by a reload
		t.Fatal(err)
	}
	if err := r.fails(); err == nil {
		t.Error("a run began")
	}
	r.e.Stop()
	a.set(func() {
		if n := len(a.requests) - before; n > 0 {
			t.Errorf("%d requests to VInfer", n)
		}
	})
	select {
	case <-w.begun:
		t.Error("a write began")
	default:
	}
	if st := r.stats(); st.Pending != 3 {
		t.Errorf("%d pending", st.Pending)
	}
}
