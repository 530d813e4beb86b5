package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/vinfer-sync/vinfer-sync/store/internal/records"
)

// txn is a transaction of the records. After a fault it finds nothing; err tells why.
type txn struct {
	db     *DB
	link   *link // nil: not yet connected
	caches map[string]*cache
	gone   []deletion // whole ranges, deleted before anything else is written
	head   pipelineRow
	loaded bool // head and the small tables
	unsure bool // they are a seed that was not compared with the database yet
	err    error
}

// seed is what the leader knows of the small tables after its last transaction: nobody else writes, and if somebody does, the fence or a comparison of
// rev finds out.
type seed struct {
	head   pipelineRow
	tables map[string][]entry
}

// errStale ends a transaction that began with a seed that holds no more.
var errStale = errors.New("another transaction has written meanwhile")

// seed returns what a transaction may begin with; nil: it has to read.
func (d *DB) seed() *seed {
	if l := d.held.Load(); l == nil || l.Held() != nil {
		return nil
	}
	return d.small.Load()
}

// after returns the seed for the transaction that follows this one.
func (t *txn) after() *seed {
	s := &seed{head: t.head, tables: map[string][]entry{}}
	s.head.rev++
	for _, name := range small {
		for _, e := range t.caches[name].entries {
			if e.value != nil {
				s.tables[name] = append(s.tables[name], entry{key: e.key, value: e.value})
			}
		}
	}
	return s
}

type deletion struct {
	table string
	span
}

// Small tables are read whole when a transaction begins. The one of generations also has the sequences.
const tableGenerations = "generations"

var small = []string{"meta", "dests", "settings", "backfills", tableGenerations}

func newTxn(db *DB, l *link, from *seed) *txn {
	t := &txn{db: db, link: l, caches: map[string]*cache{}}
	for _, name := range append(records.Buckets[:len(records.Buckets):len(records.Buckets)], tableGenerations) {
		t.caches[name] = &cache{}
	}
	if from != nil {
		t.head, t.loaded = from.head, true
		for _, name := range small {
			t.caches[name].learn(from.tables[name])
			t.caches[name].cover(span{from: []byte{}})
		}
	}
	return t
}

// chunk is how many keys a cursor reads at a time: somewhat more than a scan looks at.
const chunk = 288

// load reads the pipeline's row and the small tables, if that has not been done.
func (t *txn) load(b *batch) {
	if t.loaded {
		return
	}
	t.loaded = true
	b.readPipeline(&t.head)
	for _, name := range small {
		t.readRange(b, name, span{from: []byte{}}, 1<<20, false)
	}
}

// run sends what is to be read.
func (t *txn) run(b *batch) {
	if t.err != nil {
		return
	}
	if !t.unsure {
		t.err = t.link.run(b)
		return
	}
	var now pipelineRow
	b.readPipeline(&now)
	if t.err = t.link.run(b); t.err == nil && now.rev != t.head.rev {
		t.err = errStale
	}
	t.unsure = false
}

// readRange queues reading up to n keys of a range, from its beginning or its end.
func (t *txn) readRange(b *batch, name string, s span, n int, backwards bool) {
	c := t.caches[name]
	b.readRange(name, s, n, backwards, func(read []entry) {
		full := s
		if len(read) == n && backwards {
			full.from = read[n-1].key
		} else if len(read) == n {
			full.to = after(read[n-1].key)
		}
		if backwards {
			slices.Reverse(read)
		}
		c.learn(read)
		c.cover(full)
	})
}

// get returns the value of a key.
func (t *txn) get(name string, key []byte) []byte {
	c := t.caches[name]
	v, known := c.get(key)
	if known || t.err != nil {
		return v
	}
	b := &batch{}
	t.load(b)
	t.readKeys(b, name, [][]byte{key})
	t.run(b)
	v, _ = c.get(key)
	return v
}

func (t *txn) readKeys(b *batch, name string, keys [][]byte) {
	c := t.caches[name]
	b.readKeys(name, keys, func(read []entry) {
		found := map[string][]byte{}
		for _, e := range read {
			found[string(e.key)] = e.value
		}
		all := make([]entry, 0, len(keys))
		for _, k := range keys {
			all = append(all, entry{key: k, value: found[string(k)]})
		}
		slices.SortFunc(all, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
		c.learn(slices.CompactFunc(all, func(a, b entry) bool { return bytes.Equal(a.key, b.key) }))
	})
}

// next returns the first entry of a range, or with backwards the last one.
func (t *txn) next(name string, s span, backwards bool) (key, value []byte) {
	c := t.caches[name]
	for t.err == nil {
		if s.to != nil && bytes.Compare(s.from, s.to) >= 0 {
			return nil, nil
		}
		x := c.spanAt(s.from)
		if backwards {
			x = c.spanBefore(s.to)
		}
		if x == nil {
			b := &batch{}
			t.load(b)
			t.readRange(b, name, s, chunk, backwards)
			t.run(b)
			continue
		}
		from, to := s.from, s.to
		if bytes.Compare(x.from, from) > 0 {
			from = x.from
		}
		if x.to != nil && (to == nil || bytes.Compare(x.to, to) < 0) {
			to = x.to
		}
		i, _ := c.find(from)
		end := len(c.entries)
		if to != nil {
			end, _ = c.find(to)
		}
		for n := range max(0, end-i) {
			e := &c.entries[i+n]
			if backwards {
				e = &c.entries[end-1-n]
			}
			if e.value != nil {
				return e.key, e.value
			}
		}
		switch {
		case backwards && bytes.Equal(from, s.from):
			return nil, nil
		case backwards:
			s.to = from
		case to == nil:
			return nil, nil
		default:
			s.from = to
		}
	}
	return nil, nil
}

func (t *txn) Bucket(name string) records.Bucket { return bucket{t: t, name: name} }

// generationKey names a generation in the table of generations.
func generationKey(name string, g uint64) []byte { return append([]byte(name+"/"), prefix(g)...) }

func prefix(g uint64) []byte { return binary.BigEndian.AppendUint64(nil, g) }

func (t *txn) Generations(name string) (g []uint64) {
	s := prefixed([]byte(name + "/"))
	for k, _ := t.next(tableGenerations, s, true); k != nil; k, _ = t.next(tableGenerations, s, true) {
		s.to = k
		g = append(g, binary.BigEndian.Uint64(k[len(name)+1:]))
	}
	return g
}

func (t *txn) Generation(name string, g uint64) records.Bucket {
	if t.get(tableGenerations, generationKey(name, g)) == nil {
		return nil
	}
	return bucket{t, name, prefix(g)}
}

func (t *txn) NewGeneration(name string, g uint64) (records.Bucket, error) {
	t.caches[tableGenerations].set(generationKey(name, g), []byte{})
	t.caches[name].cover(prefixed(prefix(g)))
	return bucket{t, name, prefix(g)}, nil
}

func (t *txn) DropGeneration(name string, g uint64) error {
	t.caches[tableGenerations].set(generationKey(name, g), nil)
	s := prefixed(prefix(g))
	t.caches[name].drop(s)
	t.gone = append(t.gone, deletion{name, s})
	return nil
}

// Expect reads all that is about to be read in one round trip.
func (t *txn) Expect(expected func() []records.Need) {
	needs := expected() // which may read, too
	b := &batch{}
	t.load(b)
	keys := map[string][][]byte{}
	type first struct {
		name string
		n    int
	}
	ranges := map[first][]span{}
	for _, n := range needs {
		prefixes := [][]byte{nil}
		if slices.Contains(records.Generational, n.Bucket) {
			prefixes = nil
			for _, g := range t.Generations(n.Bucket) {
				prefixes = append(prefixes, prefix(g))
			}
		}
		for _, p := range prefixes {
			k := slices.Concat(p, n.Key)
			if n.First > 0 {
				if s := prefixed(k); t.caches[n.Bucket].spanAt(k) == nil {
					ranges[first{n.Bucket, n.First}] = append(ranges[first{n.Bucket, n.First}], s)
				}
			} else if _, known := t.caches[n.Bucket].get(k); !known {
				keys[n.Bucket] = append(keys[n.Bucket], k)
			}
		}
	}
	for name, k := range keys {
		t.readKeys(b, name, k)
	}
	for f, spans := range ranges {
		c := t.caches[f.name]
		b.readRanges(f.name, spans, f.n, func(read []entry) {
			slices.SortFunc(read, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
			read = slices.CompactFunc(read, func(a, b entry) bool { return bytes.Equal(a.key, b.key) })
			c.learn(read)
			for _, s := range spans {
				i, _ := slices.BinarySearchFunc(read, s.from, func(e entry, k []byte) int { return bytes.Compare(e.key, k) })
				if last := i + f.n - 1; last < len(read) && (s.to == nil || bytes.Compare(read[last].key, s.to) < 0) {
					s.to = after(read[last].key)
				}
				c.cover(s)
			}
		})
	}
	if b.len() > 0 {
		t.run(b)
	}
}

// bucket is a table, or the keys of it that begin with a prefix: a generation.
type bucket struct {
	t      *txn
	name   string
	prefix []byte
}

func (b bucket) key(k []byte) []byte { return slices.Concat(b.prefix, k) }

func (b bucket) Get(k []byte) []byte { return b.t.get(b.name, b.key(k)) }

func (b bucket) Put(k, v []byte) error {
	b.t.caches[b.name].set(b.key(k), append([]byte{}, v...))
	return b.t.err
}

func (b bucket) Delete(k []byte) error {
	b.t.caches[b.name].set(b.key(k), nil)
	return b.t.err
}

func (b bucket) NextSequence() (uint64, error) {
	n := b.Sequence() + 1
	return n, b.SetSequence(n)
}

func (b bucket) sequence() (all bucket, key []byte) {
	return bucket{t: b.t, name: tableGenerations}, []byte("sequence/" + b.name)
}

func (b bucket) Sequence() uint64 {
	all, k := b.sequence()
	if v := all.Get(k); len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (b bucket) SetSequence(n uint64) error {
	all, k := b.sequence()
	return all.Put(k, prefix(n))
}

func (b bucket) Cursor() records.Cursor {
	if b.prefix == nil {
		return &cursor{b: b, all: span{from: []byte{}}}
	}
	return &cursor{b: b, all: prefixed(b.prefix)}
}

func (b bucket) Within(p []byte) records.Walk { return &cursor{b: b, all: prefixed(b.key(p))} }

type cursor struct {
	b   bucket
	all span   // of the keys that it goes through
	at  []byte // the key that it is at, prefix included
}

func (c *cursor) move(s span, backwards bool) (key, value []byte) {
	k, v := c.b.t.next(c.b.name, s, backwards)
	if k == nil {
		return nil, nil
	}
	c.at = k
	return k[len(c.b.prefix):], v
}

func (c *cursor) First() (key, value []byte) { return c.move(c.all, false) }
func (c *cursor) Last() (key, value []byte)  { return c.move(c.all, true) }
func (c *cursor) Next() (key, value []byte)  { return c.move(span{after(c.at), c.all.to}, false) }
func (c *cursor) Prev() (key, value []byte)  { return c.move(span{c.all.from, c.at}, true) }

func (c *cursor) Seek(to []byte) (key, value []byte) {
	return c.move(span{c.b.key(to), c.all.to}, false)
}
