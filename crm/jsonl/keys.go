package jsonl

import (
	"bytes"
	"encoding/json"
)

// keys remembers the last so many keys that were written, so that an entry that comes again although it was written (its
// acknowledgement was lost in a kill or a full store) adds no second line.
type keys struct {
	ring []string
	next int
	set  map[string]struct{}
}

func newKeys(n int) *keys {
	return &keys{ring: make([]string, n), set: make(map[string]struct{}, n)}
}

func (k *keys) has(key string) bool {
	_, ok := k.set[key]
	return ok
}

func (k *keys) add(key string) {
	if key == "" || k.has(key) {
		return
	}
	delete(k.set, k.ring[k.next])
	k.ring[k.next] = key
	k.set[key] = struct{}{}
	k.next = (k.next + 1) % len(k.ring)
}

// read adds the keys of the lines in b, of which the first may be cut off.
func (k *keys) read(b []byte) {
	for l := range bytes.Lines(b) {
		var head struct {
			Key string `json:"key"`
		}
		if bytes.HasPrefix(l, []byte(opening)) && json.Unmarshal(l, &head) == nil {
			k.add(head.Key)
		}
	}
}
