package records

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vinfer-sync/vinfer-sync/store"
)

func TestDiff(t *testing.T) {
	f := func(s string) (out []store.Field) {
		for _, p := range strings.Fields(s) {
			out = append(out, store.Field{Tag: p[0], Hash: uint32(p[1])})
		}
		return out
	}
	for _, x := range []struct{ known, fresh, changed, merged string }{
		{"", "", "", ""},
		{"", "a1", "a", "a1"},
		{"a1", "", "", "a1"},
		{"a1 c1", "a1 c1", "", "a1 c1"},
		{"a1 c1", "b1", "b", "a1 b1 c1"},
		{"a1 c1", "c2", "c", "a1 c2"},
		{"b1", "a1 b1 c1", "ac", "a1 b1 c1"},
	} {
		changed, merged := diff(f(x.known), f(x.fresh))
		if string(changed) != x.changed || len(merged) != len(f(x.merged)) || len(merged) > 0 && !reflect.DeepEqual(merged, f(x.merged)) {
			t.Errorf("%+v: %q %v", x, changed, merged)
		}
	}
}

// Intervals against a plain set of seconds.
func TestIntervals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sec := func(n int) time.Time { return time.Unix(int64(n), 0).UTC() }
		const end = 40
		m := &metaRec{first: sec(0)}
		read := [end + 1]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				a, b := rapid.IntRange(0, end).Draw(t, "from"), rapid.IntRange(0, end).Draw(t, "to")
				m.join(store.Interval{From: sec(a), To: sec(b)})
				for i := a + 1; i <= b; i++ {
					read[i] = true
				}
			},
			"cut": func(t *rapid.T) {
				a := rapid.IntRange(0, end).Draw(t, "at")
				m.read = until(m.read, sec(a))
				for i := a + 1; i <= end; i++ {
					read[i] = false
				}
			},
			"": func(t *rapid.T) {
				want := 0
				for want < end && read[want+1] {
					want++
				}
				if !m.watermark().Equal(sec(want)) {
					t.Fatalf("watermark %v, want %d; %v", m.watermark().Unix(), want, m.read)
				}
				for i := 1; i <= end; i++ {
					in := 0
					for _, iv := range m.read {
						if sec(i).After(iv.From) && !sec(i).After(iv.To) {
							in++
						}
					}
					if in > 1 || (in == 1) != read[i] {
						t.Fatalf("second %d is in %d intervals, read: %v", i, in, read[i])
					}
				}
			},
		})
	})
}

// Keys sort as what they name.
func TestKeyOrder(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) jobKey {
		return jobKey{
			dest: 1, when: fromMicros(rapid.SampledFrom([]int64{-62135596800000000, -1, 0, 1, 256, 1_800_000_000_000_000, 253402300799000000}).Draw(t, "when")),
			id:   rapid.StringOfN(rapid.SampledFrom([]rune{0, 1, 'a', 'b', 0xff}), 0, 4, -1).Draw(t, "id"),
			kind: store.Kind(rapid.IntRange(0, 1).Draw(t, "kind")), rev: rapid.IntRange(1, 300).Draw(t, "rev"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		want := a.when.Compare(b.when)
		if want == 0 {
			want = strings.Compare(a.id, b.id)
		}
		if want == 0 {
			want = int(a.kind) - int(b.kind)
		}
		if want == 0 {
			want = a.rev - b.rev
		}
		if got := bytes.Compare(a.bytes(), b.bytes()); (got > 0) != (want > 0) || (got < 0) != (want < 0) {
			t.Fatalf("%+v and %+v: %d, want %d", a, b, got, want)
		}
		k, ok := parseJobKey(a.bytes())
		if !ok || k != a {
			t.Fatalf("%+v came back as %+v", a, k)
		}
		l := laneKey(a.bytes(), store.Lane{7})
		if !bytes.Equal(jobOfLane(l, a.prio), a.bytes()) {
			t.Fatal("the lane index leads elsewhere")
		}
	})
}

func TestTimes(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(0, 0).UTC(), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)} {
		if got := fromMicros(micros(at)); !got.Equal(at) || got.IsZero() != at.IsZero() {
			t.Errorf("%v came back as %v", at, got)
		}
	}
	for _, at := range []time.Time{time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0), time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if y := fromMicros(micros(at)).Year(); y < 1 || y > 9999 {
			t.Errorf("%v became year %d", at, y)
		}
	}
}
