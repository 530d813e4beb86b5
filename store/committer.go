package store

import (
	"context"
	"runtime"
	"sync"
)

// committer makes durable what workers hand it, in one goroutine: all that is queued meanwhile goes into the next group, and each is
// acknowledged when it is durable. Thus a group is as large as the workers are many, and nobody waits for a timer. What the journal
// can take goes there, the rest into the buckets.
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

// op is one change. Its functions may be called more than once, each time in a new transaction, and start from scratch then.
type op struct {
	apply func(t *txn) error           // into the buckets
	jot   func(t *txn, e *entry) error // into e, for the journal, where that is enough; errBehind where it is not. It lets e be seen if need be
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
func (c *committer) do(ctx context.Context, jot func(t *txn, e *entry) error, apply func(t *txn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c == nil {
		return errRehearsing
	}
	o := &op{jot: jot, apply: apply, ack: make(chan struct{})}
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
		c.commit(c.d.jot(group))
		if quit {
			return
		}
	}
}

// commit commits a group. One that cannot be applied is told so and the others are applied without it; a commit that fails fails all.
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
