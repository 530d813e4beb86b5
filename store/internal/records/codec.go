package records

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// Every stored value is a CRC-32C of its key and its content, then the content. The key is in the sum so that a value under a wrong
// key is found out too.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumSize = 4

// enc builds a value; the first bytes are kept free for the sum.
type enc struct{ b []byte }

func newEnc(size int) *enc { return &enc{b: make([]byte, sumSize, sumSize+size)} }

func (e *enc) byte(v byte)      { e.b = append(e.b, v) }
func (e *enc) uint(v uint64)    { e.b = binary.AppendUvarint(e.b, v) }
func (e *enc) int(v int)        { e.b = binary.AppendVarint(e.b, int64(v)) }
func (e *enc) int64(v int64)    { e.b = binary.AppendVarint(e.b, v) }
func (e *enc) fix16(v uint16)   { e.b = binary.BigEndian.AppendUint16(e.b, v) }
func (e *enc) fix32(v uint32)   { e.b = binary.BigEndian.AppendUint32(e.b, v) }
func (e *enc) fix64(v uint64)   { e.b = binary.BigEndian.AppendUint64(e.b, v) }
func (e *enc) raw(v []byte)     { e.b = append(e.b, v...) }
func (e *enc) time(t time.Time) { e.int64(micros(t)) }

func (e *enc) bool(v bool) {
	if v {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

func (e *enc) bytes(v []byte) {
	e.uint(uint64(len(v)))
	e.b = append(e.b, v...)
}

// opt keeps nil and empty apart.
func (e *enc) opt(v []byte) {
	if v == nil {
		e.uint(0)
		return
	}
	e.uint(uint64(len(v)) + 1)
	e.b = append(e.b, v...)
}

func (e *enc) str(v string) {
	e.uint(uint64(len(v)))
	e.b = append(e.b, v...)
}

func (e *enc) strs(v []string) {
	e.uint(uint64(len(v)))
	for _, s := range v {
		e.str(s)
	}
}

func (e *enc) refs(m map[string]string) {
	e.uint(uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		e.str(k)
		e.str(m[k])
	}
}

// seal fills in the sum for the key and returns the value.
func (e *enc) seal(key []byte) []byte {
	binary.BigEndian.PutUint32(e.b, sum(key, e.b[sumSize:]))
	return e.b
}

func sum(key, content []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, content)
}

// unseal returns the content of a value, still inside the transaction's memory.
func unseal(bucket string, key, value []byte) ([]byte, error) {
	if len(value) < sumSize || binary.BigEndian.Uint32(value) != sum(key, value[sumSize:]) {
		return nil, damaged(bucket, key, "its checksum does not match")
	}
	return value[sumSize:], nil
}

func damaged(bucket string, key []byte, what string) error {
	return fmt.Errorf("%w: bucket %s, key %q: %s; restore the store from a backup", store.ErrDamaged, bucket, key, what)
}

// dec takes a content apart. It copies what it returns. After a fault it returns zero values, and done tells.
type dec struct {
	b   []byte
	bad bool
}

func (d *dec) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.b) {
		d.bad = true
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *dec) byte() byte {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *dec) bool() bool {
	v := d.byte()
	if v > 1 {
		d.bad = true
	}
	return v == 1
}

func (d *dec) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || d.bad {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *dec) int64() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 || d.bad {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *dec) int() int { return int(d.int64()) }

func (d *dec) fix16() uint16 {
	if v := d.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (d *dec) fix32() uint32 {
	if v := d.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (d *dec) fix64() uint64 {
	if v := d.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (d *dec) time() time.Time { return d.micros(d.int64()) }

// micros takes only times that an encoder writes.
func (d *dec) micros(v int64) time.Time {
	t := fromMicros(v)
	if micros(t) != v {
		d.bad = true
		return time.Time{}
	}
	return t
}

func (d *dec) lane() (l store.Lane) {
	copy(l[:], d.take(len(l)))
	return l
}

// count reads the length of a list whose items take at least one byte each, so that a damaged one cannot ask for all memory.
func (d *dec) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *dec) bytes() []byte {
	n := d.count()
	if n == 0 {
		return nil
	}
	return slices.Clone(d.take(n))
}

func (d *dec) opt() []byte {
	n := d.uint()
	switch {
	case n == 0 || d.bad:
		return nil
	case n-1 > uint64(len(d.b)):
		d.bad = true
		return nil
	}
	return append([]byte{}, d.take(int(n-1))...)
}

func (d *dec) str() string { return string(d.take(d.count())) }

func (d *dec) strs() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	v := make([]string, 0, n)
	for range n {
		v = append(v, d.str())
	}
	return v
}

func (d *dec) refs() map[string]string {
	n := d.count()
	if n == 0 {
		return nil
	}
	m := make(map[string]string, min(n, 64))
	for range n {
		k := d.str()
		m[k] = d.str()
	}
	return m
}

// done tells whether all was read and nothing was missing.
func (d *dec) done() bool { return !d.bad && len(d.b) == 0 }

// micros is the time's form in values and, by timeKey, in keys. Times beyond what a date can say are brought into range: a row with a
// nonsense date must not fail its page.
func micros(t time.Time) int64 {
	switch y := t.Year(); {
	case y < 1:
		t = time.Time{}
	case y > 9999:
		t = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	return t.UnixMicro()
}

func fromMicros(v int64) time.Time { return time.UnixMicro(v).UTC() }

// round brings a time to the store's precision.
func round(t time.Time) time.Time { return fromMicros(micros(t)) }
