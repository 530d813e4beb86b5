package sync

import (
	"hash/maphash"
	"math/bits"
)

var idSeed = maphash.MakeSeed()

func hashID(id string) uint64 { return maphash.String(idSeed, id) }

// idSet holds the ids of a listing as hashes: a listing may be a million calls long, for which it takes 10 to 14 MB, where a map takes
// 24 to 48. The zero value is an empty set.
type idSet struct {
	n     int
	table []uint64 // open addressing, ordered by hash but for collisions; 0 is an empty place
}

// add puts an id's hash in and tells whether it is new.
func (s *idSet) add(h uint64) bool {
	h = max(h, 1)
	if s.n+1 > len(s.table)-len(s.table)/8 {
		s.grow()
	}
	at := s.place(h)
	if s.table[at] == h {
		return false
	}
	s.table[at] = h
	s.n++
	return true
}

// has tells whether an id's hash is in.
func (s *idSet) has(h uint64) bool {
	h = max(h, 1)
	return len(s.table) > 0 && s.table[s.place(h)] == h
}

// place returns where a hash stands or would stand.
func (s *idSet) place(h uint64) int {
	high, _ := bits.Mul64(h, uint64(len(s.table)))
	at := int(high)
	for s.table[at] != 0 && s.table[at] != h {
		if at++; at == len(s.table) {
			at = 0
		}
	}
	return at
}

// grow makes room, by half: doubled, it would be almost half empty on the average, and twice as large while it is copied.
func (s *idSet) grow() {
	old := s.table
	s.table = make([]uint64, max(128, len(old)+len(old)/2))
	for _, h := range old {
		if h != 0 {
			s.table[s.place(h)] = h
		}
	}
}
