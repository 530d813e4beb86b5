package sync

import (
	"hash/fnv"
	"slices"
	"sync"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// A listing may show one call twice, with old and with new content, at every poll: taken as they come, each poll would make two
// revisions of it. So there is one version of an id and listing: the row that has more fields, or else the later one. The other
// version is remembered and left out of the listings that follow, until one shows it alone: then it is what the call is now.

// maxVersions bounds how many calls of a listing are compared, and how many old versions are remembered.
const maxVersions = 20_000

// versions are those of one listing.
type versions struct {
	shown map[string]version // by call id
	old   map[string]uint64  // the old version of a call that was left out
}

type version struct {
	key    uint64 // of the call and its content
	fields int
}

// oldVersions remembers the versions that listings showed besides a newer one.
type oldVersions struct {
	mu  sync.Mutex
	old map[uint64]struct{} // versions' keys
}

func versionOf(r *store.Row) version {
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.ID)) // a hash takes all
	var b [5]byte
	for _, f := range r.Fields {
		b[0], b[1], b[2], b[3], b[4] = f.Tag, byte(f.Hash), byte(f.Hash>>8), byte(f.Hash>>16), byte(f.Hash>>24)
		_, _ = h.Write(b[:])
	}
	return version{h.Sum64(), len(r.Fields)}
}

// drops tells whether a row is to be left out, because the listing shows the same call with newer content or has shown it just so. first:
// the listing has not shown the call before. A row of the page that it takes the place of goes.
func (s *versions) drops(known *oldVersions, r *store.Row, page *store.Page, first bool) bool {
	v := versionOf(r)
	if known.is(v.key) {
		if s.old == nil {
			s.old = map[string]uint64{}
		}
		s.old[r.ID] = v.key
		return true
	}
	was, compared := s.shown[r.ID]
	if _, left := s.old[r.ID]; left && !compared {
		first = true // of the versions that count
	}
	switch {
	case first && len(s.shown) < maxVersions:
		if s.shown == nil {
			s.shown = map[string]version{}
		}
		s.shown[r.ID] = v
		return false
	case first || !compared:
		return false
	case was.key == v.key:
		return true
	case v.fields < was.fields:
		known.add(v.key)
		return true
	}
	known.add(was.key)
	s.shown[r.ID] = v
	page.Rows = slices.DeleteFunc(page.Rows, func(o store.Row) bool { return o.ID == r.ID })
	return false
}

// seen takes note of a listing that was read to its end: an old version that it showed alone is old no more.
func (k *oldVersions) seen(s *versions) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, key := range s.old {
		if _, both := s.shown[id]; !both {
			delete(k.old, key)
		}
	}
}

func (k *oldVersions) is(key uint64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, old := k.old[key]
	return old
}

func (k *oldVersions) add(key uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.old == nil || len(k.old) >= maxVersions {
		k.old = map[uint64]struct{}{}
	}
	k.old[key] = struct{}{}
}
