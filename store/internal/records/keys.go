package records

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// Keys sort as the things they name are to be worked off: times are big endian with the sign turned, ids are escaped and end in a
// terminator that sorts before all that an id can go on with.

// maxID is the longest call id that is taken: an index entry of PostgreSQL must not exceed 2.7 KB, and a NUL takes two bytes.
const maxID = 1024

func appendTime(k []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint64(k, uint64(micros(t))^(1<<63))
}

func keyTime(k []byte) time.Time {
	return fromMicros(int64(binary.BigEndian.Uint64(k) ^ (1 << 63)))
}

func appendID(k []byte, id string) []byte {
	for i := range len(id) {
		if id[i] == 0 {
			k = append(k, 0, 0xff)
		} else {
			k = append(k, id[i])
		}
	}
	return append(k, 0, 0)
}

// cutID takes an id off the front of a key.
func cutID(k []byte) (id string, rest []byte, ok bool) {
	var b []byte
	for {
		i := bytes.IndexByte(k, 0)
		if i < 0 || i+1 >= len(k) {
			return "", nil, false
		}
		b = append(b, k[:i]...)
		switch k[i+1] {
		case 0:
			return string(b), k[i+2:], true
		case 0xff:
			b = append(b, 0)
			k = k[i+2:]
		default:
			return "", nil, false
		}
	}
}

// jobKey names a job in the outbox: destination, priority, time, id, kind, revision.
type jobKey struct {
	dest uint16
	prio byte
	when time.Time
	id   string
	kind store.Kind
	rev  int
}

const (
	prioAt   = 2  // where the priority stands in a job's key
	orderAt  = 3  // where that begins which orders a lane
	laneHead = 18 // length of destination and lane in a lane index key
)

// prioOf orders the jobs of a destination: live calls, then live transcripts, then what backfills brought.
func prioOf(backfill uint64, kind store.Kind) byte {
	switch {
	case backfill != 0:
		return 2
	case kind == store.TranscriptJob:
		return 1
	}
	return 0
}

// prefix is the key without the revision: all revisions of one event of one call.
func (k jobKey) prefix() []byte {
	b := make([]byte, 0, 24+len(k.id))
	b = binary.BigEndian.AppendUint16(b, k.dest)
	b = append(b, k.prio)
	b = appendTime(b, k.when)
	b = appendID(b, k.id)
	return append(b, byte(k.kind))
}

func (k jobKey) bytes() []byte {
	return binary.BigEndian.AppendUint32(k.prefix(), uint32(k.rev))
}

func parseJobKey(b []byte) (k jobKey, ok bool) {
	if len(b) < orderAt+8 {
		return k, false
	}
	k.dest = binary.BigEndian.Uint16(b)
	k.prio = b[prioAt]
	k.when = keyTime(b[orderAt:])
	id, rest, ok := cutID(b[orderAt+8:])
	if !ok || len(rest) != 5 {
		return k, false
	}
	k.id, k.kind = id, store.Kind(rest[0])
	k.rev = int(binary.BigEndian.Uint32(rest[1:]))
	return k, true
}

// laneKey is the key of the job with this outbox key in the lane index.
func laneKey(job []byte, lane store.Lane) []byte {
	b := make([]byte, 0, laneHead+len(job)-orderAt)
	b = append(b, job[:prioAt]...)
	b = append(b, lane[:]...)
	return append(b, job[orderAt:]...)
}

func lanePrefix(dest uint16, lane store.Lane) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, laneHead), dest), lane[:]...)
}

// jobOfLane is the outbox key for an entry of the lane index.
func jobOfLane(k []byte, prio byte) []byte {
	b := make([]byte, 0, len(k)-laneHead+orderAt)
	b = append(b, k[:prioAt]...)
	b = append(b, prio)
	return append(b, k[laneHead:]...)
}

func u16Key(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
func u64Key(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

// receiptKey: destination 0 holds the events of the call.
func receiptKey(seen time.Time, id string, dest uint16) []byte {
	return binary.BigEndian.AppendUint16(receiptPrefix(seen, id), dest)
}

func receiptPrefix(seen time.Time, id string) []byte {
	return appendID(appendTime(make([]byte, 0, 12+len(id)), seen), id)
}

func parseReceiptKey(b []byte) (seen time.Time, id string, dest uint16, ok bool) {
	if len(b) < 8 {
		return seen, "", 0, false
	}
	id, rest, ok := cutID(b[8:])
	if !ok || len(rest) != 2 {
		return seen, "", 0, false
	}
	return keyTime(b), id, binary.BigEndian.Uint16(rest), true
}

func watchKey(kind store.WatchKind, id string) []byte { return append([]byte{byte(kind)}, id...) }

func dueKey(kind store.WatchKind, due time.Time, id string) []byte {
	return append(appendTime([]byte{byte(kind)}, due), id...)
}

// deadPrefix names the dead letters of one event of one call at one destination; deadKey one of them.
func deadPrefix(dest uint16, id string, kind store.Kind) []byte {
	return append(appendID(u16Key(dest), id), byte(kind))
}

func deadKey(dest uint16, id string, kind store.Kind, rev int) []byte {
	return binary.BigEndian.AppendUint32(deadPrefix(dest, id, kind), uint32(rev))
}

func keyUint(k []byte) uint64 { return binary.BigEndian.Uint64(k) }
