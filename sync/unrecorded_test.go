package sync

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// brokenDisk is a store that can record no outcome.
type brokenDisk struct{ store.Store }

func (brokenDisk) Settle(context.Context, store.Outcome) (store.Settled, error) {
	return store.Settled{}, syscall.EIO
}

// A run by hand ends when its deliveries cannot be recorded, instead of trying for ever.
func TestRunByHandEndsOnABrokenDisk(t *testing.T) {
	rec := &recorder{}
	r := newRig(t, newAPI(t, true, past(20)...), rec, func(o *Options) { o.Drain = 10 * time.Millisecond })
	r.e.Stop()
	o := r.o
	o.Store = brokenDisk{r.store}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	e.patience = 20 * time.Millisecond
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.RunOnce(t.Context()); !errors.Is(err, ErrUnrecorded) {
		t.Errorf("got %v", err)
	}
	e.Stop()
	if st := r.stats(); st.Pending != 20 {
		t.Errorf("%d calls are pending", st.Pending)
	}
	r.restart(nil) // the disk is well again
	if s := r.once(); s.Pending != 0 {
		t.Errorf("%+v", s)
	}
}
