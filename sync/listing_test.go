package sync

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

func TestPagesThatMisbehave(t *testing.T) {
	serve := func(w http.ResponseWriter, total int, rows []row) {
		var out []string
		for _, x := range rows {
			out = append(out, x.json(true))
		}
		tail := ""
		if total >= 0 {
			tail = fmt.Sprintf(`,"total":%d`, total)
		}
		_, _ = fmt.Fprintf(w, `{"data":[%s]%s}`, strings.Join(out, ","), tail)
	}
	asked := func(q *http.Request) bool { // for the listing, not to find out the bounds
		at, err := time.Parse(time.RFC3339, q.URL.Query().Get("after"))
		return err == nil && at.Before(time.Now()) && q.URL.Query().Get("to") == ""
	}
	offset := func(q *http.Request) (n int) { _, _ = fmt.Sscan(q.URL.Query().Get("offset"), &n); return n }
	rows := past(230)
	var twice []row
	for i, x := range rows {
		twice = append(twice, x)
		if i%9 == 0 {
			twice = append(twice, x)
		}
	}
	mistaken := false
	cases := []struct {
		name string
		hook func(w http.ResponseWriter, q *http.Request, n int) bool
		ok   bool
	}{
		{"clamped without a word", func(w http.ResponseWriter, q *http.Request, _ int) bool {
			o := min(offset(q), len(rows))
			serve(w, len(rows), rows[o:min(o+30, len(rows))])
			return true
		}, true},
		{"no total", func(w http.ResponseWriter, q *http.Request, _ int) bool {
			o := min(offset(q), len(rows))
			serve(w, -1, rows[o:min(o+100, len(rows))])
			return true
		}, true},
		{"rows twice", func(w http.ResponseWriter, q *http.Request, _ int) bool {
			o := min(offset(q), len(twice))
			serve(w, len(rows), twice[o:min(o+100, len(twice))])
			return true
		}, true},
		{"no pages at all", func(w http.ResponseWriter, _ *http.Request, _ int) bool { serve(w, -1, rows); return true }, true},
		{"the first page for ever", func(w http.ResponseWriter, _ *http.Request, _ int) bool { serve(w, -1, rows[:100]); return true }, false},
		{"shuffled at every page", func(w http.ResponseWriter, q *http.Request, _ int) bool {
			mixed := slices.Clone(rows)
			rand.Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
			o := min(offset(q), len(mixed))
			serve(w, len(rows), mixed[o:min(o+100, len(mixed))])
			return true
		}, true},
		{"rows twice, and counted twice", func(w http.ResponseWriter, q *http.Request, _ int) bool {
			o := min(offset(q), len(twice))
			serve(w, len(twice), twice[o:min(o+100, len(twice))])
			return true
		}, true},
		{"rows twice, not counted", func(w http.ResponseWriter, q *http.Request, _ int) bool {
			o := min(offset(q), len(twice))
			serve(w, -1, twice[o:min(o+100, len(twice))])
			return true
		}, true},
		{"no pages, but a total", func(w http.ResponseWriter, _ *http.Request, _ int) bool { serve(w, len(rows), rows); return true }, true},
		{"no pages, and few calls", func(w http.ResponseWriter, _ *http.Request, _ int) bool { serve(w, -1, rows[:50]); return true }, true},
		{"a small first page for ever", func(w http.ResponseWriter, q *http.Request, _ int) bool {
			n := 50
			if q.URL.Query().Get("limit") != "100" {
				n = 7
			}
			serve(w, -1, rows[:n])
			return true
		}, false},
		{"an empty page by mistake", func(w http.ResponseWriter, q *http.Request, _ int) bool {
			o := min(offset(q), len(rows))
			if o == 100 && !mistaken {
				mistaken = true
				serve(w, -1, nil)
			} else {
				serve(w, -1, rows[o:min(o+100, len(rows))])
			}
			return true
		}, true},
		{"an end before the end", func(w http.ResponseWriter, q *http.Request, _ int) bool {
			o := min(offset(q), 200)
			serve(w, len(rows), rows[o:min(o+100, 200)])
			return true
		}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := newAPI(t, true, rows...)
			a.hook = func(w http.ResponseWriter, q *http.Request, n int) bool { return asked(q) && c.hook(w, q, n) }
			rec := &recorder{}
			r := newRig(t, a, rec, nil)
			before := r.stats().Watermark
			_, err := r.e.RunOnce(t.Context())
			if c.name == "shuffled at every page" {
				for range 30 { // each run may fail; none may lose
					if err == nil {
						break
					}
					_, err = r.e.RunOnce(t.Context())
				}
			}
			if (err == nil) != c.ok {
				t.Fatalf("error %v", err)
			}
			if c.ok {
				want := rows
				if c.name == "no pages, and few calls" {
					want = rows[:50]
				}
				sameIDs(t, rec.ids(crm.CallCompleted), idsOf(want))
			} else if !r.stats().Watermark.Equal(before) {
				t.Error("the cursor moved")
			}
		})
	}
}

// Calls come up at the head of a listing while it is read: known ones move down, and the server counts more than it did.
func TestCallsThatComeUpWhileTheListingIsRead(t *testing.T) {
	both(t, func(t *testing.T, after bool) {
		old := past(230)
		slices.Reverse(old)
		a := newAPI(t, after, old...)
		n := 0
		a.hook = func(_ http.ResponseWriter, q *http.Request, _ int) bool {
			if q.URL.Query().Get("offset") != "" && n < 400 {
				for range 3 {
					n++
					a.rows = append([]row{{id: fmt.Sprintf("up%03d", n), phone: "+919000000001", started: time.Now().UTC(), seconds: 0}}, a.rows...)
				}
			}
			return false
		}
		rec := &recorder{}
		r := newRig(t, a, rec, nil)
		r.once()
		got := rec.ids(crm.CallCompleted)
		for _, id := range idsOf(old) {
			if !slices.Contains(got, id) {
				t.Fatalf("%s did not arrive", id)
			}
		}
		a.set(func() { a.hook = nil })
		r.once()
		sameIDs(t, rec.ids(crm.CallCompleted), idsOf(a.rows))
	})
}

// A server that mixes its rows anew at each request may bring nothing new in one reading and lack something all the same.
func TestRowsThatAreMixedAtEachRequest(t *testing.T) {
	rows := past(7)
	for range 60 {
		a := newAPI(t, true, rows...)
		a.hook = func(http.ResponseWriter, *http.Request, int) bool {
			rand.Shuffle(len(a.rows), func(i, j int) { a.rows[i], a.rows[j] = a.rows[j], a.rows[i] })
			return false
		}
		rec := &recorder{}
		r := newRig(t, a, rec, func(o *Options) { o.PageSize = 3 })
		for {
			if _, err := r.e.RunOnce(t.Context()); err == nil {
				break // a run may fail; none may call it complete that is not
			} else if !errors.Is(err, errIncomplete) {
				t.Fatal(err)
			}
		}
		sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
	}
}

func TestTotalsThatCountEverything(t *testing.T) {
	both(t, func(t *testing.T, after bool) {
		rows := past(230)
		a := newAPI(t, after, rows...)
		a.surplus = 500
		rec := &recorder{}
		r := newRig(t, a, rec, nil)
		r.once()
		sameIDs(t, rec.ids(crm.CallCompleted), idsOf(rows))
	})
}

func TestListingWithoutAnEnd(t *testing.T) {
	a := newAPI(t, true, past(5)...)
	a.hook = func(w http.ResponseWriter, q *http.Request, _ int) bool {
		at, err := time.Parse(time.RFC3339, q.URL.Query().Get("after"))
		if err != nil || at.After(time.Now()) {
			return false
		}
		var o int
		_, _ = fmt.Sscan(q.URL.Query().Get("offset"), &o)
		var out []string
		for i := range 100 {
			x := row{id: fmt.Sprintf("call_%d", o+i), phone: "+919000000001", started: time.Now().Add(-time.Minute)}
			out = append(out, x.json(true))
		}
		_, _ = fmt.Fprintf(w, `{"data":[%s],"total":%d}`, strings.Join(out, ","), o+10_000)
		return true
	}
	r := newRig(t, a, &recorder{}, nil)
	before := r.stats().Watermark
	if err := r.fails(); !errors.Is(err, errEndless) || !strings.Contains(err.Error(), "no end") {
		t.Errorf("error %v", err)
	}
	if !r.stats().Watermark.Equal(before) {
		t.Error("the cursor moved")
	}
}
