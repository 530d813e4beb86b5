package vinfer

import (
	"testing"
	"time"
)

func TestOneWrongDateMovesNoClock(t *testing.T) {
	var c clock
	const h = time.Hour
	for i, tt := range []struct{ seen, want time.Duration }{
		{0, 0}, {25 * h, 0}, {0, 0}, {1, 1}, {-9 * h, 0}, {2, 1}, {h, 2}, {h, h}, {h, h},
	} {
		if c.learn(tt.seen); c.skew() != tt.want {
			t.Errorf("after %d answers: %v, not %v", i+1, c.skew(), tt.want)
		}
	}
	c = clock{}
	if c.learn(-3 * h); c.skew() != -3*h {
		t.Errorf("after one: %v", c.skew())
	}
	if c.learn(0); c.skew() != 0 {
		t.Errorf("after two that differ: %v", c.skew())
	}
}
