// Package group lets concurrent callers share one commit: what is queued while a commit runs goes into the next one.
package group

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// ErrClosed is returned by Do after Close.
var ErrClosed = errors.New("the destination is closed")

// maxSize bounds a group, so that no caller waits for an endless one.
const maxSize = 256

// yields costs a microsecond or two, a commit hundreds.
const yields = 8

// Committer runs Commit for groups of values, one group at a time. It starts a goroutine when there is work and ends
// it when there is none: there is no timer and nothing idles.
type Committer[T any] struct {
	// Commit makes all of the values durable and returns nil or one error for each.
	Commit func([]T) []error

	mu     sync.Mutex
	queue  []*item[T]
	busy   bool
	closed bool
	idle   sync.WaitGroup
}

type item[T any] struct {
	value T
	done  chan error
}

// Do returns once v is committed, or when ctx ends: v may be committed all the same then, unless its group had not begun.
func (c *Committer[T]) Do(ctx context.Context, v T) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	it := &item[T]{v, make(chan error, 1)}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	c.queue = append(c.queue, it)
	if !c.busy {
		c.busy = true
		c.idle.Go(c.run)
	}
	c.mu.Unlock()
	select {
	case err := <-it.done:
		return err
	case <-ctx.Done():
		c.withdraw(it)
		return ctx.Err()
	}
}

// Close refuses new values and waits until those that were queued are committed.
func (c *Committer[T]) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.idle.Wait()
}

func (c *Committer[T]) withdraw(it *item[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, q := range c.queue {
		if q == it {
			c.queue = append(c.queue[:i:i], c.queue[i+1:]...)
			return
		}
	}
}

func (c *Committer[T]) run() {
	for {
		// Those whose value was just committed come with their next: let them, or half of them would always miss the group.
		for range yields {
			runtime.Gosched()
		}
		c.mu.Lock()
		n := min(len(c.queue), maxSize)
		if n == 0 {
			c.busy = false
			c.mu.Unlock()
			return
		}
		items := c.queue[:n:n]
		c.queue = c.queue[n:]
		c.mu.Unlock()
		values := make([]T, n)
		for i, it := range items {
			values[i] = it.value
		}
		errs := c.commit(values)
		for i, it := range items {
			if errs == nil {
				it.done <- nil
			} else {
				it.done <- errs[i]
			}
		}
	}
}

// commit turns a panic, which here would end the process, into an error of every caller.
func (c *Committer[T]) commit(values []T) (errs []error) {
	defer func() {
		if r := recover(); r != nil {
			errs = make([]error, len(values))
			for i := range errs {
				errs[i] = fmt.Errorf("the writer failed: %v", r)
			}
		}
	}()
	return c.Commit(values)
}
