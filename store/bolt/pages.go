package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
	"os"
)

// The structure of the file is checked before the database maps it. The library trusts what it reads: in a file that was cut off
// or whose pages were damaged it runs into faults, some of them in goroutines of its own where nobody can recover them.
//
// Format (version 2): pages of equal size; a header of id 8, flags 2, count 2, overflow 4; two meta pages in front. Numbers are in the
// machine's byte order, little endian wherever this runs.

const (
	pageHeader   = 16
	metaSize     = 64
	metaMagic    = 0xED0CDAED
	metaVersion  = 2
	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	elemSize     = 16
	bucketHeader = 16
	noFreelist   = ^uint64(0)
	maxDepth     = 64
)

type pageMeta struct {
	pageSize            int64
	root, freelist, hwm uint64
	txid                uint64
}

func parseMeta(b []byte) (m pageMeta, ok bool) {
	if len(b) < pageHeader+metaSize || binary.LittleEndian.Uint16(b[8:]) != flagMeta {
		return m, false
	}
	b = b[pageHeader:]
	h := fnv.New64a()
	_, _ = h.Write(b[:metaSize-8])
	le := binary.LittleEndian
	if le.Uint32(b) != metaMagic || le.Uint32(b[4:]) != metaVersion || le.Uint64(b[56:]) != h.Sum64() {
		return m, false
	}
	m = pageMeta{pageSize: int64(le.Uint32(b[8:])), root: le.Uint64(b[16:]), freelist: le.Uint64(b[32:]), hwm: le.Uint64(b[40:]), txid: le.Uint64(b[48:])}
	return m, m.pageSize >= 512 && m.pageSize <= 1<<24 && m.pageSize&(m.pageSize-1) == 0
}

// holdsNothing tells whether a file is empty or has only zeros, which a crash of the system makes of a new file.
func holdsNothing(f *os.File) (bool, error) {
	buf := make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := f.ReadAt(buf, at)
		for _, c := range buf[:n] {
			if c != 0 {
				return false, nil
			}
		}
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return true, nil
		case err != nil:
			return false, fmt.Errorf("cannot be read: %w", err)
		}
	}
}

var errForeign = errors.New("this is not a state file, or its beginning is damaged")

// verifyFile walks all pages of the newest state in the file.
func verifyFile(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, 4096)
	var m pageMeta
	found := false
	try := func(at int64) {
		n, err := f.ReadAt(head, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return
		}
		if c, ok := parseMeta(head[:n]); ok && (at == 0 || at == c.pageSize) && (!found || c.txid > m.txid) {
			m, found = c, true
		}
	}
	try(0)
	if found {
		try(m.pageSize)
	} else {
		for at := int64(512); at <= 1<<24 && !found; at <<= 1 {
			try(at)
		}
	}
	if !found {
		return errForeign
	}
	if need := int64(m.hwm) * m.pageSize; m.hwm > uint64(1<<62)/uint64(m.pageSize) || st.Size() < need {
		return fmt.Errorf("it was cut off: %d bytes are there of at least %d", st.Size(), need)
	}
	w := &walker{f: f, m: m, seen: make([]uint64, m.hwm/64+1)}
	w.mark(0)
	w.mark(1)
	if m.freelist != noFreelist && m.freelist >= m.hwm {
		return errors.New("its list of free pages is outside")
	}
	return w.page(m.root, nil, nil, 0)
}

type walker struct {
	f    *os.File
	m    pageMeta
	seen []uint64
	bufs [][]byte // one for each depth: those above hold the bounds of what is below
}

// buffer returns room for a page at a depth, which holds until the next page at that depth.
func (w *walker) buffer(depth int, size int64) []byte {
	for len(w.bufs) <= depth {
		w.bufs = append(w.bufs, make([]byte, size))
	}
	return w.bufs[depth]
}

// mark notes that a page is in use; false: it was before.
func (w *walker) mark(id uint64) bool {
	if w.seen[id/64]>>(id%64)&1 == 1 {
		return false
	}
	w.seen[id/64] |= 1 << (id % 64)
	return true
}

// used counts the pages that are in use.
func (w *walker) used() (n int64) {
	for _, b := range w.seen {
		n += int64(bits.OnesCount64(b))
	}
	return n
}

// page checks the tree under a page whose keys must lie in [lo, hi).
func (w *walker) page(id uint64, lo, hi []byte, depth int) error {
	if id < 2 || id >= w.m.hwm || depth > maxDepth {
		return fmt.Errorf("page %d is outside", id)
	}
	buf := w.buffer(depth, w.m.pageSize)
	if _, err := w.f.ReadAt(buf, int64(id)*w.m.pageSize); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	le := binary.LittleEndian
	if le.Uint64(buf) != id {
		return fmt.Errorf("page %d says it is page %d", id, le.Uint64(buf))
	}
	overflow := uint64(le.Uint32(buf[12:]))
	if id+overflow >= w.m.hwm {
		return fmt.Errorf("page %d reaches outside", id)
	}
	for i := range overflow + 1 {
		if !w.mark(id + i) {
			return fmt.Errorf("page %d is used twice", id+i)
		}
	}
	if overflow > 0 {
		buf = make([]byte, int64(overflow+1)*w.m.pageSize)
		if _, err := w.f.ReadAt(buf, int64(id)*w.m.pageSize); err != nil {
			return fmt.Errorf("page %d: %w", id, err)
		}
	}
	if err := w.elements(buf, lo, hi, depth); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

func (w *walker) elements(buf, lo, hi []byte, depth int) error {
	le := binary.LittleEndian
	flags, count := le.Uint16(buf[8:]), int(le.Uint16(buf[10:]))
	if pageHeader+count*elemSize > len(buf) {
		return errors.New("it holds more than fits")
	}
	key := func(i int) ([]byte, error) {
		at := pageHeader + i*elemSize
		var pos, size int
		if flags == flagBranch {
			pos, size = int(le.Uint32(buf[at:])), int(le.Uint32(buf[at+4:]))
		} else {
			pos, size = int(le.Uint32(buf[at+4:])), int(le.Uint32(buf[at+8:]))
		}
		if size == 0 || at+pos+size > len(buf) {
			return nil, errors.New("a key is outside")
		}
		return buf[at+pos : at+pos+size], nil
	}
	if flags != flagBranch && flags != flagLeaf || flags == flagBranch && count == 0 {
		return fmt.Errorf("it is of an unknown kind (%#x)", flags)
	}
	last := lo
	for i := range count {
		k, err := key(i)
		if err != nil {
			return err
		}
		if c := bytes.Compare(last, k); last != nil && (c > 0 || c == 0 && i > 0) || hi != nil && bytes.Compare(k, hi) >= 0 {
			return errors.New("its keys are not in order")
		}
		last = k
		at := pageHeader + i*elemSize
		if flags == flagBranch {
			upper := hi
			if i+1 < count {
				if upper, err = key(i + 1); err != nil {
					return err
				}
			}
			if err := w.page(le.Uint64(buf[at+8:]), k, upper, depth+1); err != nil {
				return err
			}
			continue
		}
		pos, ksize, vsize := int(le.Uint32(buf[at+4:])), int(le.Uint32(buf[at+8:])), int(le.Uint32(buf[at+12:]))
		if at+pos+ksize+vsize > len(buf) {
			return errors.New("a value is outside")
		}
		if le.Uint32(buf[at:])&1 == 0 {
			continue
		}
		v := buf[at+pos+ksize : at+pos+ksize+vsize]
		if len(v) < bucketHeader {
			return errors.New("a bucket is too short")
		}
		if root := le.Uint64(v); root != 0 {
			err = w.page(root, nil, nil, depth+1)
		} else if inline := v[bucketHeader:]; len(inline) < pageHeader {
			err = errors.New("a bucket is too short")
		} else if depth > maxDepth {
			err = errors.New("buckets are nested without end")
		} else {
			err = w.elements(inline, nil, nil, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
