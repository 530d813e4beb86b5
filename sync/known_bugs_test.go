package sync

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/crc32"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Faults that users of other synchronisers met, as far as no other test is about them. docs/GUARANTEES.md lists them all.

// A call that ends in the very second up to which was read, and is shown only then, is not lost by a bound that excludes its second.
func TestRowOfTheSecondThatWasReadLast(t *testing.T) {
	for _, after := range []bool{true, false} {
		a := newAPI(t, after, past(3)...)
		rec := &recorder{}
		r := newRig(t, a, rec, func(o *Options) { o.Lookback = 0 })
		r.once()
		mark := r.stats().Watermark
		a.set(func() {
			a.rows = append(a.rows, row{id: "same second", phone: "+919000000077", disposition: "interested", started: mark.Add(-time.Minute), seconds: 60})
		})
		if s := r.once(); s.New != 1 || !slices.Contains(rec.ids(crm.CallCompleted), "same second") {
			t.Errorf("after=%v: %+v", after, s)
		}
	}
}

// Another version of the program with another `start:` goes on where the old one stopped, and brings what ended in between.
func TestCursorOutlivesARedeploy(t *testing.T) {
	a := newAPI(t, true, past(3)...)
	rec := &recorder{}
	r := newRig(t, a, rec, nil)
	r.once()
	mark := r.stats().Watermark
	r.close()
	a.set(func() {
		a.rows = append(a.rows, row{id: "meanwhile", phone: "+919000000077", disposition: "interested", started: mark.Add(-30 * time.Second), seconds: 31})
	})
	r.restart(func(o *Options) { o.Start, o.Version, o.Lookback = time.Time{}, "another", 0 })
	if got := r.stats().Watermark; !got.Equal(mark) {
		t.Fatalf("the cursor went from %s to %s", mark, got)
	}
	r.once()
	if got := rec.ids(crm.CallCompleted); len(got) != 4 || !slices.Contains(got, "meanwhile") {
		t.Errorf("%v", got)
	}
}

// collision returns two ids with one CRC-32.
func collision() (string, string) {
	seen := map[uint32]string{}
	for n := 0; ; n++ {
		sum := sha256.Sum256([]byte(strconv.Itoa(n)))
		id := "call_" + hex.EncodeToString(sum[:6])
		c := crc32.ChecksumIEEE([]byte(id))
		if other, ok := seen[c]; ok {
			return other, id
		}
		seen[c] = id
	}
}

// However often a long overlap is read, and by whichever process, each call arrives once; and two calls are two, whatever a checksum of
// their ids says.
func TestOverlapDoublesNothing(t *testing.T) {
	rows := past(30)
	rows[3].id, rows[4].id = collision()
	a := newAPI(t, true, rows...)
	rec := &appendRecorder{}
	r := newRig(t, a, rec, func(o *Options) { o.Lookback = 24 * time.Hour })
	for range 3 {
		r.once()
		if s := r.once(); s.Fetched != 30 || s.New != 0 {
			t.Fatalf("%+v", s)
		}
		r.restart(nil)
	}
	sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
}

// After an outage the overlap lies before the cursor, where reading stopped, and not before now.
func TestLookbackCountsFromTheCursor(t *testing.T) {
	a := newAPI(t, true, past(3)...)
	r := newRig(t, a, &recorder{}, nil)
	r.once()
	cursor := time.Now().Add(-6 * time.Hour).UTC().Truncate(time.Second)
	if err := r.store.SetCursor(cursor); err != nil {
		t.Fatal(err)
	}
	var asked int
	a.set(func() { asked = len(a.requests) })
	r.once()
	var first url.Values
	a.set(func() {
		u, err := url.Parse(a.requests[asked])
		if err != nil {
			t.Fatal(err)
		}
		first = u.Query()
	})
	from, err := time.Parse(time.RFC3339, first.Get("after"))
	if err != nil || from.After(cursor.Add(-15*time.Minute)) {
		t.Errorf("asked for calls after %s, with the cursor at %s and 15 min of overlap: %v", from, cursor, err)
	}
}
