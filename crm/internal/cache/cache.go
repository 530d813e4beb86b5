// Package cache remembers for a while what a CRM told that its administrators rarely change: fields, options, users.
package cache

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Forever is how long an answer is kept that cannot become wrong.
const Forever = 100 * 365 * 24 * time.Hour

// Cache holds answers by what was asked. The zero value is ready; it is safe for concurrent use.
type Cache[V any] struct {
	mu    sync.Mutex
	held  map[string]entry[V]
	asked map[string]*question[V] // under way
}

type entry[V any] struct {
	value V
	until time.Time
}

// errUnanswered is what those get who wait for a caller that panics.
var errUnanswered = errors.New("what was to be known of the CRM was not asked to the end")

// question is what one caller asks for all.
type question[V any] struct {
	done  chan struct{} // closed when the answer is there
	value V
	err   error
}

// Get returns the answer that is held, and else asks. ask also returns how long its answer is kept; 0: it is not. One caller asks, and those that come
// meanwhile get its answer, or its error.
func (c *Cache[V]) Get(ctx context.Context, key string, ask func(ctx context.Context) (V, time.Duration, error)) (V, error) {
	c.mu.Lock()
	if e, ok := c.held[key]; ok && time.Now().Before(e.until) {
		c.mu.Unlock()
		return e.value, nil
	}
	q, waits := c.asked[key]
	if !waits {
		q = &question[V]{done: make(chan struct{}), err: errUnanswered}
		if c.asked == nil {
			c.asked = map[string]*question[V]{}
		}
		c.asked[key] = q
	}
	c.mu.Unlock()
	if waits {
		select {
		case <-q.done:
			return q.value, q.err
		case <-ctx.Done():
			return *new(V), ctx.Err()
		}
	}
	var keep time.Duration
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.asked, key)
		if q.err == nil && keep > 0 {
			c.put(key, q.value, keep)
		}
		close(q.done)
	}()
	q.value, keep, q.err = ask(ctx)
	return q.value, q.err
}

// Held returns an answer that is held.
func (c *Cache[V]) Held(key string) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.held[key]
	return e.value, ok && time.Now().Before(e.until)
}

// Put holds an answer that was found without asking.
func (c *Cache[V]) Put(key string, value V, keep time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(key, value, keep)
}

func (c *Cache[V]) put(key string, value V, keep time.Duration) {
	if c.held == nil {
		c.held = map[string]entry[V]{}
	}
	c.held[key] = entry[V]{value, time.Now().Add(keep)}
}

// Forget drops answers, so that they are asked for again; without keys all.
func (c *Cache[V]) Forget(keys ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(keys) == 0 {
		clear(c.held)
	}
	for _, key := range keys {
		delete(c.held, key)
	}
}
