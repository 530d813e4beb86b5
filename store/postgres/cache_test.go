package postgres

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// A cache against a plain table: what it says is known is as the table has it, with the changes of the transaction.
func TestCache(t *testing.T) {
	key := func(n int) []byte { return []byte{byte(n)} }
	const end = 24
	rapid.Check(t, func(t *rapid.T) {
		table := map[int]bool{}
		for range 10 {
			table[rapid.IntRange(0, end-1).Draw(t, "row")] = true
		}
		now := map[int]byte{}
		for k := range table {
			now[k] = 'r'
		}
		c := &cache{}
		n := rapid.IntRange(0, end-1)
		t.Repeat(map[string]func(*rapid.T){
			"read": func(t *rapid.T) {
				a, b := n.Draw(t, "from"), n.Draw(t, "to")
				var read []entry
				for k := a; k < b; k++ {
					if table[k] {
						read = append(read, entry{key: key(k), value: []byte{'r'}})
					}
				}
				c.learn(read)
				c.cover(span{key(a), key(b)})
			},
			"put": func(t *rapid.T) {
				k := n.Draw(t, "key")
				now[k] = 'w'
				c.set(key(k), []byte{'w'})
			},
			"delete": func(t *rapid.T) {
				k := n.Draw(t, "key")
				delete(now, k)
				c.set(key(k), nil)
			},
			"": func(t *rapid.T) {
				for k := range end {
					v, known := c.get(key(k))
					if want, there := now[k]; known && (there != (v != nil) || there && v[0] != want) {
						t.Fatalf("key %d is %q, want %q", k, v, want)
					}
					if s := c.spanBefore(key(k)); s != nil && bytes.Compare(s.from, key(k)) >= 0 {
						t.Fatalf("before key %d: %v", k, s)
					}
				}
			},
		})
	})
}
