package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The journal keeps what workers did since it was last worked into the buckets. An outcome and the claim that goes with it are some
// two hundred bytes behind the last ones and one flush, where the buckets take pages in a dozen places and two flushes. It is a file beside the
// state file, made when it is first needed and removed when the store is closed; after a kill the next Open works it in.
//
// Format: a header that names the store, then two halves, filled by turns, each when all that it holds has been worked in. A half holds
// records one behind the other: length 4, number 8, then a checksum and an entry. Numbers go up by one; what comes after a half's
// last record is zero or has another number. The buckets know the number up to which they have it all.

const (
	journalMagic  = "vinfer-sync journal 1\n"
	journalHeader = 4096
	journalHalf   = 384 << 10
	recordHeader  = 4 + 8
)

// journalAgain is how long nothing is tried after the journal could not be made or written.
const journalAgain = 10 * time.Second

// errNoJournal says that what was to be noted has to go into the buckets at once.
var errNoJournal = errors.New("the journal takes nothing now")

// journal is the file. Only one goroutine at a time uses it.
type journal struct {
	path    string
	install string
	f       *os.File  // nil: not made
	num     uint64    // given last
	half    int       // being filled,
	at      int64     // up to here
	last    [2]uint64 // the newest number in each half
	failed  time.Time // it could not be made or written then; what was in it still counts. Zero: it is well
}

func journalPath(path string) string { return path + ".journal" }

// ready makes the file if need be. worked is the number up to which all has been worked in.
func (j *journal) ready(worked uint64) bool {
	if !j.failed.IsZero() {
		if time.Since(j.failed) < journalAgain || j.f != nil && worked < max(j.last[0], j.last[1]) {
			return false
		}
		if j.remove() != nil {
			return false
		}
	}
	if j.f != nil {
		return true
	}
	if err := j.make(); err != nil {
		_ = j.remove()
		j.failed = time.Now()
		return false
	}
	return true
}

// make makes the file in its whole length: later it never grows, and needs no room on a disk that has become full.
func (j *journal) make() (err error) {
	if j.f, err = os.OpenFile(j.path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return err
	}
	b := make([]byte, journalHeader+2*journalHalf)
	copy(b, journalMagic+j.install)
	if _, err := j.f.Write(b); err != nil {
		return err
	}
	if err := j.f.Sync(); err != nil {
		return err
	}
	j.half, j.at, j.last = 0, 0, [2]uint64{}
	return syncDir(filepath.Dir(j.path))
}

// append makes entries durable, all or none, and gives them their numbers. After an error it cannot be said whether they are in the
// file: they have to go into the buckets, where they are without effect if they come again.
func (j *journal) append(entries []*entry, worked uint64) error {
	b := make([]byte, 0, 256*len(entries))
	num := j.num
	for _, e := range entries {
		num++
		e.num = num
		v := e.encode(u64Key(num))
		b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
		b = binary.BigEndian.AppendUint64(b, num)
		b = append(b, v...)
	}
	if j.at+int64(len(b)) > journalHalf {
		if j.last[1-j.half] > worked || len(b) > journalHalf {
			return errNoJournal
		}
		j.half, j.at = 1-j.half, 0
	}
	_, err := j.f.WriteAt(b, journalHeader+int64(j.half)*journalHalf+j.at)
	if err == nil {
		err = flush(j.f)
	}
	j.num = num
	if err != nil {
		j.failed = time.Now()
		return fmt.Errorf("writing the journal: %w", err)
	}
	j.at += int64(len(b))
	j.last[j.half] = num
	return nil
}

// remove takes the file away. It may only be called when all that is in it has been worked in.
func (j *journal) remove() error {
	if j.f != nil {
		_ = j.f.Close()
		j.f = nil
	}
	j.failed = time.Time{}
	if err := os.Remove(j.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		j.failed = time.Now()
		return err
	}
	return nil
}

// read returns the entries that a kill has left, in order. One of another store counts for nothing.
func (j *journal) read() ([]*entry, error) {
	b, err := os.ReadFile(j.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if len(b) < journalHeader || string(b[:len(journalMagic)+len(j.install)]) != journalMagic+j.install {
		return nil, nil
	}
	b = b[journalHeader:]
	first := min(len(b), journalHalf)
	entries := append(records(b[:first]), records(b[first:])...)
	slices.SortFunc(entries, func(x, y *entry) int {
		if x.num < y.num {
			return -1
		}
		return 1
	})
	return entries, nil
}

// records reads a half up to its last whole record.
func records(b []byte) (entries []*entry) {
	for len(b) >= recordHeader {
		n, num := binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:])
		if n > uint32(len(b)-recordHeader) || len(entries) > 0 && num != entries[len(entries)-1].num+1 {
			break
		}
		e, err := open("journal", u64Key(num), b[recordHeader:recordHeader+int(n)], decodeEntry)
		if err != nil {
			break // the write that was under way when the process ended: nobody was told that it had been done
		}
		e.num = num
		entries = append(entries, e)
		b = b[recordHeader+int(n):]
	}
	return entries
}
