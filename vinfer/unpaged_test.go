package vinfer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

func TestAServerThatKnowsNoPages(t *testing.T) {
	for _, tt := range []struct {
		noTotal  bool
		total    int
		requests int // of one reading
	}{{false, 130, 2}, {true, -1, 4}} {
		s := simulator.New(simulator.Options{Calls: 130, Strict: true, NoPaging: true, NoTotal: tt.noTotal})
		var log bytes.Buffer
		c := newClient(t, s.Start(t), func(c *vinfer.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		for range 2 {
			p, err := c.Calls(t.Context(), vinfer.Query{Limit: 100}, vinfer.News)
			if err != nil || p.Rows != 130 || p.Total != tt.total {
				t.Fatal(p.Rows, p.Total, err)
			}
			if p, err = c.Calls(t.Context(), vinfer.Query{Limit: 100, Offset: 130}, vinfer.News); err != nil || p.Rows != 0 || p.Total != tt.total || p.Date.IsZero() {
				t.Fatal(p, err)
			}
		}
		if n := s.Served(); n != 2*tt.requests {
			t.Errorf("%d requests", n)
		}
		if strings.Count(log.String(), "refuses limit and offset") != 1 {
			t.Errorf("the log says %q", log.String())
		}
	}
}

// paged is a server of 60 rows in pages of 20 at most, whose answers to the requests named in refuse are 400.
func paged(t *testing.T, form string, refuse ...int) (base string) {
	t.Helper()
	n := 0
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		for _, f := range refuse {
			if n == f {
				http.Error(w, `{"error":"try again"}`, http.StatusBadRequest)
				return
			}
		}
		limit := 20
		if l, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil {
			limit = min(l, limit)
		}
		offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		var rows []string
		for i := offset; i < min(offset+limit, 60); i++ {
			rows = append(rows, fmt.Sprintf(`{"id":"c%d","ended_at":"2024-01-15T10:35:22Z"}`, i))
		}
		_, _ = io.WriteString(w, strings.NewReplacer("ROWS", "["+strings.Join(rows, ",")+"]", "LIMIT", strconv.Itoa(limit)).Replace(form))
	})
	return srv.URL
}

// One 400 that passes says nothing of how the server pages: what was read then must not count as all there is.
func TestAPassingRefusalTeachesNothing(t *testing.T) {
	for _, form := range []string{
		`{"data":ROWS,"total":60,"limit":LIMIT,"offset":0}`,
		`{"data":ROWS,"total":60}`,
		`{"data":ROWS,"total":20,"limit":LIMIT}`, // it counts the page
		`{"data":ROWS,"limit":LIMIT}`,
		`{"data":ROWS,"has_more":true}`,
		`{"data":ROWS,"pagination":{"next":"/calls?offset=20"}}`,
		`{"data":ROWS,"page":1,"total_pages":3,"total":20}`,
		`{"data":ROWS}`,
		`ROWS`,
	} {
		for _, refuse := range [][]int{{1}, {1, 3}} {
			c := newClient(t, paged(t, form, refuse...))
			if p, err := c.Calls(t.Context(), vinfer.Query{Limit: 100}, vinfer.News); !errors.Is(err, vinfer.ErrBadRequest) || !strings.Contains(err.Error(), "limit=100") {
				t.Errorf("%s refuses %v: %d of %d rows, %v", form, refuse, p.Rows, p.Total, err)
			}
			_, _ = c.Calls(t.Context(), vinfer.Query{Limit: 100}, vinfer.News) // takes up what is still refused
			for offset := 0; offset < 60; offset += 20 {
				p, err := c.Calls(t.Context(), vinfer.Query{Limit: 100, Offset: offset}, vinfer.News)
				if err != nil || p.Rows != 20 || p.Calls[0].ID != fmt.Sprint("c", offset) {
					t.Fatalf("%s: %+v, %v", form, p, err)
				}
			}
		}
	}
}

func TestAPassingRefusalDecidesNothingInAProbe(t *testing.T) {
	s := simulator.New(simulator.Options{Calls: 30, Dialect: simulator.Reference})
	c := newClient(t, s.Start(t))
	want, err := c.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for skip := range s.Served() {
		s.Fault(simulator.Fault{Kind: simulator.Status, Status: 400, Skip: skip, Count: 1})
		got, err := c.Probe(t.Context())
		if got != want && !errors.Is(err, vinfer.ErrBadRequest) {
			t.Errorf("a refusal of request %d: %+v, %v", skip+1, got, err)
		}
		s.Clear()
	}
	s.Fault(simulator.Fault{Kind: simulator.WrongTotal, Skip: 2, Count: 1})
	if got, err := c.Probe(t.Context()); err != nil || got != want {
		t.Errorf("a total that was wrong once: %+v, %v", got, err)
	}
}

// What was found out of one listing is forgotten with the next.
func TestPagesAreFoundOutAnewByEachListing(t *testing.T) {
	refuses := true
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); refuses && (q.Has("limit") || q.Has("offset")) {
			http.Error(w, "unknown parameter", http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, `{"data":[{"id":"a"},{"id":"b"}],"total":2}`)
	})
	c := newClient(t, srv.URL)
	q := vinfer.Query{Limit: 1, Bound: vinfer.After, Since: time.Now()}
	next := q
	next.Offset = 2
	if p, err := c.Calls(t.Context(), q, vinfer.News); err != nil || p.Rows != 2 {
		t.Fatal(p, err)
	}
	if p, err := c.Calls(t.Context(), next, vinfer.News); err != nil || p.Rows != 0 || p.Total != 2 {
		t.Fatal(p, err)
	}
	refuses = false
	if p, err := c.Calls(t.Context(), q, vinfer.News); err != nil || p.Rows != 2 {
		t.Fatal(p, err)
	}
	if p, err := c.Calls(t.Context(), next, vinfer.News); err != nil || p.Rows != 2 {
		t.Errorf("the second page was not asked for: %+v, %v", p, err)
	}
}
