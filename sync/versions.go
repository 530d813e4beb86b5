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
	old   map[string]bool    // calls of which an old version was left out
}

type version struct {
	content uint64
	fields  int
}

// oldVersions remembers the versions that listings showed besides a newer one.
type oldVersions struct {
	mu  sync.Mutex
	old map[string]uint64 // call id → content
}

func versionOf(r *store.Row) version {
	h := fnv.New64a()
	var b [5]byte
	for _, f := range r.Fields {
		b[0], b[1], b[2], b[3], b[4] = f.Tag, byte(f.Hash), byte(f.Hash>>8), byte(f.Hash>>16), byte(f.Hash>>24)
		_, _ = h.Write(b[:]) // a hash takes all
	}
	return version{h.Sum64(), len(r.Fields)}
}

// drops tells whether a row is to be left out, because the listing shows the same call with newer content or has shown it just so. first:
// the listing has not shown the call before. A row of the page that it takes the place of goes.
func (s *versions) drops(known *oldVersions, r *store.Row, page *store.Page, first bool) bool {
	v := versionOf(r)
	if known.is(r.ID, v.content) {
		if s.old == nil {
			s.old = map[string]bool{}
		}
		s.old[r.ID] = true
		return true
	}
	was, compared := s.shown[r.ID]
	switch {
	case first && len(s.shown) < maxVersions:
		if s.shown == nil {
			s.shown = map[string]version{}
		}
		s.shown[r.ID] = v
		return false
	case first || !compared:
		return false
	case was.content == v.content:
		return true
	case v.fields < was.fields:
		known.add(r.ID, v.content)
		return true
	}
	known.add(r.ID, was.content)
	s.shown[r.ID] = v
	page.Rows = slices.DeleteFunc(page.Rows, func(o store.Row) bool { return o.ID == r.ID })
	return false
}

// seen takes note of a listing that was read to its end: an old version that it showed alone is old no more.
func (k *oldVersions) seen(s *versions) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range s.old {
		if _, both := s.shown[id]; !both {
			delete(k.old, id)
		}
	}
}

func (k *oldVersions) is(id string, content uint64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	old, there := k.old[id]
	return there && old == content
}

func (k *oldVersions) add(id string, content uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.old == nil || len(k.old) >= maxVersions {
		k.old = map[string]uint64{}
	}
	k.old[id] = content
}
