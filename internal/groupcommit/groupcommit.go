// Package groupcommit lets concurrent callers share one commit. Values that are queued while a commit runs form the next
// group, so a group is as large as the load asks for and no caller waits for a timer.
package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
)

// ErrClosed is returned by Do after Close.
var ErrClosed = errors.New("already closed")

// maxSize bounds a group, so that no caller waits for an endless one.
const maxSize = 256

// yields lets callers whose value was just committed queue their next one before the next group begins. Without that half
// of them would always miss the group. The yields cost a microsecond or two, a commit costs hundreds.
const yields = 8

// Committer runs Commit for groups of values, one group at a time. A goroutine runs while values are queued; an idle
// Committer has none.
type Committer[T any] struct {
	// Commit makes all of the values durable. It returns nil or one error for each value.
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

// Do returns once v is committed, or with the error of its commit. When ctx ends, Do withdraws v from the queue; a commit of v that has
// already begun is waited for, so that nil means durable and an error means not.
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
	}
	if c.withdraw(it) {
		return ctx.Err()
	}
	return <-it.done
}

// Queued returns how many values wait for the next group.
func (c *Committer[T]) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}

// Close refuses new values and waits until the queued ones are committed.
func (c *Committer[T]) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.idle.Wait()
}

// withdraw takes an item from the queue. It reports false if the commit of the item has begun.
func (c *Committer[T]) withdraw(it *item[T]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.queue, it)
	if i < 0 {
		return false
	}
	c.queue = slices.Concat(c.queue[:i], c.queue[i+1:])
	return true
}

func (c *Committer[T]) run() {
	for {
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

// commit turns a panic, which would end the process here, into an error of every caller.
func (c *Committer[T]) commit(values []T) (errs []error) {
	defer func() {
		if r := recover(); r != nil {
			errs = slices.Repeat([]error{fmt.Errorf("the commit failed: %v", r)}, len(values))
		}
	}()
	return c.Commit(values)
}
