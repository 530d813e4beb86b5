package records

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// codec is one record's way to bytes and back.
type codec struct {
	name   string
	sample []byte // a content
	again  func(content []byte) ([]byte, any, bool)
}

func codecOf[T any](name string, sample T, encode func(*T, []byte) []byte, decode func([]byte) (T, bool)) codec {
	return codec{name, encode(&sample, nil)[sumSize:], func(b []byte) ([]byte, any, bool) {
		r, ok := decode(b)
		if !ok {
			return nil, nil, false
		}
		return encode(&r, nil)[sumSize:], r, true
	}}
}

func codecs() []codec {
	at := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)
	refs := map[string]string{"contact": "7", "note": "8"}
	job := jobRec{
		jobHead: jobHead{window: 3, due: at, lane: store.Lane{1, 2}, backfill: 4, attempts: 5, flags: flagFirst},
		seen:    at, fails: 6, firstFail: at, lastError: "503", refs: refs, changed: []byte{1, 2}, body: []byte("body"),
	}
	dead := deadRec{job: job, at: at, err: "400", request: "POST"}
	dead.job.jobKey = jobKey{dest: 1, prio: 1, when: at, id: "id\x00x", kind: store.TranscriptJob, rev: 3}
	events := func(e *[]store.Event, k []byte) []byte { return encodeEvents(k, *e) }
	return []codec{
		codecOf("meta", metaRec{
			first: at, read: []store.Interval{{From: at, To: at}}, skips: []store.Interval{{From: at, To: at}}, late: 1, registered: true, nextDest: 2, nextWindow: 9, nextBackfill: 1, streams: []stream{{"live", 1, 2, true, false}}, broken: 1, transcripts: 2, unfinished: 3,
		}, (*metaRec).encode, decodeMeta),
		codecOf("late", lateRec{sums: []store.Lateness{{By: "audit", Found: 1, Most: time.Hour, Last: at}}, recent: []store.LateCall{{ID: "id", When: at, Seen: at, By: "audit"}}}, (*lateRec).encode, decodeLate),
		codecOf("ledger", ledgerRec{seen: at, when: at, rev: 2, fields: []store.Field{{Tag: 1, Hash: 2}, {Tag: 3, Hash: 4}}, dests: []ledgerDest{{1, 2, 3}, {2, 0, 0}}}, (*ledgerRec).encode, decodeLedger),
		codecOf("job", job, (*jobRec).encode, decodeJob),
		codecOf("dead", dead, (*deadRec).encode, decodeDead),
		codecOf("lane", laneState{at, at, "a", "b"}, (*laneState).encode, decodeLane),
		codecOf("receipt", receiptRec{state: 1, rev: 2, attempts: 3, at: at, note: "n", refs: refs, warnings: []string{"w"}, transcript: true}, (*receiptRec).encode, decodeReceipt),
		codecOf("events", []store.Event{{At: at, What: "seen"}}, events, decodeEvents),
		codecOf("watch", watchRec{since: at, attempts: 1, due: at, note: []byte{}, body: []byte("b"), when: at, seen: at, dests: []watchDest{{1, store.Lane{1}, 2}}}, (*watchRec).encode, decodeWatch),
		codecOf("dest", destRec{id: 1, Dest: store.Dest{DestSpec: store.DestSpec{Name: "n", Kind: "k", Fingerprint: "f", AppendOnly: true}, Since: at, Orphaned: true, Halted: "h", HaltedAt: at, Pending: 1, Dead: 2, Delivered: 3, LastError: "e", LastErrorAt: at, LastSuccess: at, LeftOut: store.LeftOut{Counts: map[string]int64{"filtered": 3}, InARow: 2, Since: at, Until: at, Last: "filter"}}, rejections: []rejectionStreak{{"sort", "s", []rejection{{1, store.Lane{2}}}}, {"other", "t", nil}}}, (*destRec).encode, decodeDest),
		codecOf("backfill", store.Backfill{ID: 1, Key: "k", Spec: []byte("s"), Checkpoint: []byte{}, CreatedAt: at, ReadDone: at, Fetched: 1, Queued: 2, Delivered: 3, Dead: 4, TasksLeft: 5, Cancelled: at}, encodeBackfill, decodeBackfill),
	}
}

func TestCodec(t *testing.T) {
	for _, c := range codecs() {
		b, r, ok := c.again(c.sample)
		if !ok || !bytes.Equal(b, c.sample) {
			t.Errorf("%s: came back as %+v", c.name, r)
		}
		for i := range c.sample {
			if _, _, ok := c.again(c.sample[:i]); ok {
				t.Errorf("%s: decoded from its first %d bytes", c.name, i)
			}
		}
		if _, _, ok := c.again(append(c.sample[:len(c.sample):len(c.sample)], 0)); ok {
			t.Errorf("%s: decoded with a byte too many", c.name)
		}
	}
}

func TestSum(t *testing.T) {
	v := (&laneState{deliveredID: "x"}).encode([]byte("key"))
	if _, err := unseal("b", []byte("key"), v); err != nil {
		t.Error(err)
	}
	if _, err := unseal("b", []byte("kez"), v); !errors.Is(err, store.ErrDamaged) {
		t.Error("a value under another key passes")
	}
	for i := range v {
		v[i] ^= 4
		if _, err := unseal("b", []byte("key"), v); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("byte %d may change", i)
		}
		v[i] ^= 4
	}
}

// FuzzDecode: no content makes a decoder panic, and what it takes comes back the same.
func FuzzDecode(f *testing.F) {
	all := codecs()
	for i, c := range all {
		f.Add(i, c.sample)
	}
	f.Fuzz(func(t *testing.T, which int, b []byte) {
		c := all[uint(which)%uint(len(all))]
		enc, r, ok := c.again(b)
		if !ok {
			return
		}
		// What is written reads back the same. What is only read may hold more than is ever written, a year past 9999 for one.
		again, r2, ok := c.again(enc)
		if !ok || !bytes.Equal(enc, again) {
			t.Errorf("%s: %+v came back as %+v", c.name, r, r2)
		}
		if _, r3, ok := c.again(again); !ok || !reflect.DeepEqual(r2, r3) {
			t.Errorf("%s: %+v came back as %+v", c.name, r2, r3)
		}
	})
}

// FuzzDecodeKey: no key makes a parser panic, and what it takes comes back the same.
func FuzzDecodeKey(f *testing.F) {
	f.Add(jobKey{dest: 1, id: "a\x00b", rev: 2}.bytes())
	f.Add(receiptKey(time.Unix(5, 0), "a", 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, ok := parseJobKey(b); ok && keyTime(b[orderAt:]).Year() >= 1 && keyTime(b[orderAt:]).Year() <= 9999 && !bytes.Equal(k.bytes(), b) {
			t.Errorf("%x is %+v, which is %x", b, k, k.bytes())
		}
		if seen, id, dest, ok := parseReceiptKey(b); ok && seen.Year() >= 1 && seen.Year() <= 9999 && !bytes.Equal(receiptKey(seen, id, dest), b) {
			t.Errorf("%x came back otherwise", b)
		}
	})
}
