package store

import (
	"context"
	"errors"
	"runtime"
	"sync"
)

// committer makes changes durable in one goroutine. All changes that are queued while a group is being committed form the next group, and each
// is acknowledged when it is durable. A group is as large as the deliveries in flight are many, and nobody waits for a timer.
type committer struct {
	d    *DB
	mu   sync.Mutex
	ops  []*op
	wake chan struct{} // holds one token while there are ops
	quit bool
	done chan struct{}
}

// yields lets those who were just acknowledged, and whose next outcome is there already, into the group. They cost a microsecond or
// two, and nothing where nobody is about to come.
const yields = 8

// op is one change. apply may be called more than once, each time in a new transaction, and starts from scratch then.
type op struct {
	apply func(t *txn) error
	taken bool
	err   error
	ack   chan struct{}
}

func newCommitter(d *DB) *committer {
	c := &committer{d: d, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go c.run()
	return c
}

// do has a change made durable. An op that has been taken is waited for even when ctx ends, so that nil and an error mean what they say.
func (c *committer) do(ctx context.Context, apply func(t *txn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c == nil {
		return errReadOnly
	}
	o := &op{apply: apply, ack: make(chan struct{})}
	c.mu.Lock()
	if c.quit {
		c.mu.Unlock()
		return errClosed
	}
	c.ops = append(c.ops, o)
	c.mu.Unlock()
	c.signal()
	select {
	case <-o.ack:
		return o.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	taken := o.taken
	if !taken {
		for i, x := range c.ops {
			if x == o {
				c.ops = append(c.ops[:i], c.ops[i+1:]...)
				break
			}
		}
	}
	c.mu.Unlock()
	if !taken {
		return ctx.Err()
	}
	<-o.ack
	return o.err
}

func (c *committer) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *committer) run() {
	defer close(c.done)
	for range c.wake {
		for range yields {
			runtime.Gosched()
		}
		c.mu.Lock()
		group := c.ops
		c.ops = nil
		quit := c.quit
		for _, o := range group {
			o.taken = true
		}
		c.mu.Unlock()
		c.commit(group)
		if quit {
			return
		}
	}
}

// commit commits a group. A change that cannot be applied fails alone, and the others are applied without it. A group whose commit fails is
// halved: on a full disk a small one may fit where a large one does not, and what it frees makes room for the next.
func (c *committer) commit(group []*op) {
	for len(group) > 0 {
		bad := -1
		err := c.d.update(func(t *txn) error {
			for i, o := range group {
				if err := o.apply(t); err != nil {
					bad = i
					return err
				}
			}
			return nil
		})
		if bad >= 0 && len(group) > 1 {
			group[bad].err = err
			close(group[bad].ack)
			group = append(group[:bad:bad], group[bad+1:]...)
			continue
		}
		if half := len(group) / 2; half > 0 && errors.As(err, new(*commitError)) {
			c.commit(group[:half:half])
			group = group[half:]
			continue
		}
		for _, o := range group {
			o.err = err
			close(o.ack)
		}
		return
	}
}

// close ends the goroutine when all that was queued is done.
func (c *committer) close() {
	c.mu.Lock()
	c.quit = true
	c.mu.Unlock()
	c.signal()
	<-c.done
}
