package groupcommit

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryValueIsCommittedOnce(t *testing.T) {
	var got []int // only Commit touches it: the race detector watches
	groups := 0
	c := &Committer[int]{Commit: func(values []int) []error {
		got = append(got, values...)
		groups++
		errs := make([]error, len(values))
		for i, v := range values {
			if v%10 == 0 {
				errs[i] = context.DeadlineExceeded
			}
		}
		return errs
	}}
	var all sync.WaitGroup
	for v := range 1000 {
		all.Go(func() {
			if err := c.Do(context.Background(), v); (err != nil) != (v%10 == 0) {
				t.Errorf("%d: %v", v, err)
			}
		})
	}
	all.Wait()
	c.Close()
	slices.Sort(got)
	if len(got) != 1000 || len(slices.Compact(got)) != 1000 {
		t.Errorf("%d values", len(got))
	}
	if err := c.Do(context.Background(), 1); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestWaitersShareAGroup(t *testing.T) {
	begun, goOn := make(chan int, 8), make(chan struct{})
	c := &Committer[int]{Commit: func(values []int) []error {
		begun <- len(values)
		<-goOn
		return nil
	}}
	var all sync.WaitGroup
	all.Go(func() { _ = c.Do(context.Background(), 0) })
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- c.Do(ctx, 99) }()
	for c.Queued() < 1 {
		runtime.Gosched()
	}
	cancel() // its commit has not begun
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for v := range 5 {
		all.Go(func() { _ = c.Do(context.Background(), v) })
	}
	for c.Queued() < 5 {
		runtime.Gosched()
	}
	close(goOn)
	if n := <-begun; n != 5 {
		t.Errorf("a group of %d, want 5", n)
	}
	all.Wait()
	c.Close()
}

func TestABegunCommitIsWaitedFor(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	c := &Committer[int]{Commit: func([]int) []error {
		close(begun)
		<-goOn
		return nil
	}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Do(ctx, 1) }()
	<-begun
	cancel()
	runtime.Gosched()
	select {
	case err := <-done:
		t.Errorf("Do returned %v during the commit", err)
	default:
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Errorf("a value that was committed: %v", err)
	}
	c.Close()
}

func TestPanicIsAnError(t *testing.T) {
	c := &Committer[int]{Commit: func([]int) []error { panic("oh") }}
	if err := c.Do(context.Background(), 1); err == nil {
		t.Error("no error")
	}
	c.Close()
}
