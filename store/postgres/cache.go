package postgres

import (
	"bytes"
	"slices"
)

// cache is what a transaction knows of one table: what it has read, and what it has put and deleted.
type cache struct {
	entries []entry // sorted by key
	known   []span  // disjoint and sorted: all keys in them that the table has are among the entries
	clean   int     // entries that were only read
}

type entry struct {
	key, value []byte // value nil: there is none
	dirty      bool   // put or deleted by this transaction
}

// span is a range of keys: from, which belongs to it, to to, which does not. to nil: without end.
type span struct{ from, to []byte }

// maxClean bounds what a transaction that goes through a whole table keeps of what it has read.
const maxClean = 20_000

func (c *cache) find(key []byte) (int, bool) {
	return slices.BinarySearchFunc(c.entries, key, func(e entry, k []byte) int { return bytes.Compare(e.key, k) })
}

// get returns a key's value, and whether that is known.
func (c *cache) get(key []byte) (value []byte, known bool) {
	if i, ok := c.find(key); ok {
		return c.entries[i].value, true
	}
	return nil, c.spanAt(key) != nil
}

// set keeps what this transaction makes of a key: value nil deletes it.
func (c *cache) set(key, value []byte) {
	i, ok := c.find(key)
	switch {
	case !ok:
		c.entries = slices.Insert(c.entries, i, entry{bytes.Clone(key), value, true})
	case !c.entries[i].dirty && (value == nil) == (c.entries[i].value == nil) && bytes.Equal(value, c.entries[i].value):
		// as it was read
	default:
		if !c.entries[i].dirty {
			c.clean--
		}
		c.entries[i].value, c.entries[i].dirty = value, true
	}
}

// learn adds entries that were read, sorted by key. What this transaction has changed stays as it made it.
func (c *cache) learn(read []entry) {
	if c.clean+len(read) > maxClean {
		c.entries = slices.DeleteFunc(c.entries, func(e entry) bool { return !e.dirty })
		c.known, c.clean = nil, 0
	}
	merged := make([]entry, 0, len(c.entries)+len(read))
	have := c.entries
	for _, r := range read {
		for len(have) > 0 && bytes.Compare(have[0].key, r.key) < 0 {
			merged, have = append(merged, have[0]), have[1:]
		}
		if len(have) > 0 && bytes.Equal(have[0].key, r.key) {
			continue
		}
		merged = append(merged, r)
		c.clean++
	}
	c.entries = append(merged, have...)
}

// cover notes that all of a range is known.
func (c *cache) cover(s span) {
	if s.to != nil && bytes.Compare(s.from, s.to) >= 0 {
		return
	}
	var kept []span
	for _, x := range c.known {
		switch {
		case x.to != nil && bytes.Compare(x.to, s.from) < 0, s.to != nil && bytes.Compare(x.from, s.to) > 0:
			kept = append(kept, x)
			continue
		case bytes.Compare(x.from, s.from) < 0:
			s.from = x.from
		}
		if s.to != nil && (x.to == nil || bytes.Compare(x.to, s.to) > 0) {
			s.to = x.to
		}
	}
	i, _ := slices.BinarySearchFunc(kept, s.from, func(x span, k []byte) int { return bytes.Compare(x.from, k) })
	c.known = slices.Insert(kept, i, s)
}

// spanAt returns the known range that a key lies in; nil: none.
func (c *cache) spanAt(key []byte) *span {
	for i := range c.known {
		if x := &c.known[i]; bytes.Compare(x.from, key) <= 0 && (x.to == nil || bytes.Compare(key, x.to) < 0) {
			return x
		}
	}
	return nil
}

// spanBefore returns the known range that what comes right before a key lies in; nil: none. A nil key is the end of the table.
func (c *cache) spanBefore(key []byte) *span {
	for i := range c.known {
		x := &c.known[i]
		if key == nil && x.to == nil || key != nil && bytes.Compare(x.from, key) < 0 && (x.to == nil || bytes.Compare(key, x.to) <= 0) {
			return x
		}
	}
	return nil
}

// drop deletes all keys of a range: nothing of them is to be read any more.
func (c *cache) drop(s span) {
	c.entries = slices.DeleteFunc(c.entries, func(e entry) bool {
		gone := bytes.Compare(e.key, s.from) >= 0 && (s.to == nil || bytes.Compare(e.key, s.to) < 0)
		if gone && !e.dirty {
			c.clean--
		}
		return gone
	})
	c.cover(s)
}

// after is the first key that comes after another.
func after(key []byte) []byte { return append(bytes.Clone(key), 0) }

// prefixed is the range of the keys that begin with prefix.
func prefixed(prefix []byte) span {
	to := bytes.Clone(prefix)
	for len(to) > 0 && to[len(to)-1] == 0xff {
		to = to[:len(to)-1]
	}
	if len(to) == 0 {
		return span{from: prefix}
	}
	to[len(to)-1]++
	return span{prefix, to}
}
