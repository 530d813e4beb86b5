package sync

import (
	"math/rand/v2"
	"testing"
)

func TestIDSet(t *testing.T) {
	var s idSet
	r := rand.New(rand.NewPCG(1, 2))
	want := map[uint64]bool{}
	for range 50_000 {
		h := r.Uint64N(40_000) * 0x9e3779b97f4a7c15 // some come again
		if r.Uint64N(4) == 0 {
			h = 1<<64 - 1 - r.Uint64N(2_000) // all at the end of the table
		}
		if got := s.add(h); got == want[h] {
			t.Fatalf("%x is new: %v", h, got)
		}
		want[h] = true
	}
	if s.n != len(want) {
		t.Errorf("%d ids, want %d", s.n, len(want))
	}
	if most := 2 * s.n; len(s.table) > most {
		t.Errorf("%d places for %d ids", len(s.table), s.n)
	}
}
