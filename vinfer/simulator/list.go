package simulator

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"time"
)

// reply is an answer before it is sent.
type reply struct {
	status int
	body   []byte
}

func failure(status int, code, message string) reply {
	return reply{status, []byte(`{"error":{"code":"` + code + `","message":"` + message + `"}}`)}
}

// query is what a listing was asked for.
type query struct {
	lower, upper                     int64 // Unix nanoseconds, both inclusive
	limit, offset                    int
	campaign, disposition, languages string
	order                            Order
}

func (q query) filtered() bool { return q.campaign+q.disposition+q.languages != "" }

var parameters = map[Dialect][]string{
	Guide:     {"after", "limit", "offset", "campaign_id", "disposition", "language"},
	Reference: {"from", "to", "limit", "offset", "campaign_id", "disposition", "language"},
}

// parse reads the parameters that the dialect has; what is wrong with them is told in the second result.
func (s *Server) parse(v url.Values, m manners) (query, string) {
	q := query{
		lower: -1 << 63, upper: 1<<63 - 1, limit: 20, order: s.o.Order,
		campaign: v.Get("campaign_id"), disposition: v.Get("disposition"), languages: v.Get("language"),
	}
	if s.o.Strict {
		for name := range v {
			known := slices.Contains(parameters[s.o.Dialect], name) || name == "to" && s.o.GuideTo
			if paging := name == "limit" || name == "offset"; !known || paging && s.o.NoPaging {
				return q, "unknown parameter " + strconv.Quote(name)
			}
		}
	}
	var bad string
	moment := func(name string) (int64, bool) {
		t, err := time.Parse(time.RFC3339, v.Get(name))
		if err != nil && v.Get(name) != "" {
			bad = name + " is no time"
		}
		return t.UnixNano(), err == nil
	}
	count := func(name string, n *int, least int) {
		if v.Get(name) == "" {
			return
		}
		x, err := strconv.Atoi(v.Get(name))
		if err != nil || x < least {
			bad = name + " is out of range"
		}
		*n = x
	}
	lower := "after"
	if s.o.Dialect == Reference {
		lower = "from"
	}
	if t, ok := moment(lower); ok {
		q.lower = t
		if s.o.Dialect == Guide && !s.o.AfterInclusive {
			q.lower++
		}
	}
	if s.o.Dialect == Reference || s.o.GuideTo {
		if t, ok := moment("to"); ok {
			q.upper = t
		}
	}
	count("limit", &q.limit, 1)
	count("offset", &q.offset, 0)
	q.limit = min(q.limit, 100)
	if f := m.kinds[Clamp]; f != nil {
		q.limit = min(q.limit, cmp.Or(f.N, 10))
	}
	if m.has(NoTo) {
		q.upper = 1<<63 - 1
	}
	if m.has(IgnoreBound) {
		q.lower, q.upper = -1<<63, 1<<63-1
	}
	for k, o := range map[Kind]Order{Ascending: Oldest, Descending: Newest, Random: Shuffled, Disorder: Unstable} {
		if m.has(k) {
			q.order = o
		}
	}
	return q, bad
}

// list answers a listing.
func (s *Server) list(r *http.Request, m manners, now time.Time) reply {
	q, bad := s.parse(r.URL.Query(), m)
	if bad != "" {
		return reply{http.StatusBadRequest, []byte(`{"error":{"code":"invalid_parameter","message":` + strconv.Quote(bad) + `}}`)}
	}
	if f := m.kinds[Grow]; f != nil {
		s.grow(cmp.Or(f.N, 1), now)
	}
	at := s.selection(q, now)
	total := at.n
	switch past := m.kinds[PastEnd]; {
	case past != nil && q.offset > 0 && q.offset >= total:
		return failure(cmp.Or(past.N, http.StatusBadRequest), "out_of_range", "the offset is past the end")
	case m.has(NoContent) && q.offset >= total:
		return reply{http.StatusNoContent, nil}
	}
	limit, offset := q.limit, q.offset
	if s.o.NoPaging {
		limit, offset = total, 0
	}
	if m.has(Doubled) {
		offset = max(offset-limit, 0)
	}
	if m.has(Endless) && total > 0 {
		offset %= total
	}
	body := make([]byte, 0, 512+min(limit, max(total-offset, 0))*450)
	if s.o.List != "-" {
		body = append(body, `{"`...)
		body = append(body, s.o.List...)
		body = append(body, `":`...)
	}
	body = append(body, '[')
	base := s.base(r)
	n := 0
	for k := offset; n < limit && k < total; k++ {
		fifth, times := (k-offset)%5 == 2, 1
		if fifth && (m.has(Repeats) || m.has(Twins)) {
			times = 2
		}
		for ; times > 0 && n < limit; times-- {
			if n++; n > 1 {
				body = append(body, ',')
			}
			body = s.appendRow(body, at.get(k), base, now, fifth && m.has(Twins) && times == 1+k%2)
		}
	}
	body = append(body, ']')
	if s.o.List == "-" {
		return reply{http.StatusOK, body}
	}
	if !s.o.NoTotal && !m.has(NoTotal) && !m.has(Endless) {
		if m.has(PageTotal) {
			total = n
		}
		for _, k := range []Kind{WrongTotal, Miscount} {
			if f := m.kinds[k]; f != nil && (k == WrongTotal || total > 0) {
				total = max(total+cmp.Or(f.N, 7), 0)
			}
		}
		body = strconv.AppendInt(append(body, `,"total":`...), int64(total), 10)
	}
	if !s.o.NoPaging {
		body = strconv.AppendInt(append(body, `,"limit":`...), int64(q.limit), 10)
		body = strconv.AppendInt(append(body, `,"offset":`...), int64(q.offset), 10)
	}
	return reply{http.StatusOK, append(body, '}')}
}

// selection is the rows of a listing, in its order.
type selection struct {
	n   int
	get func(k int) int32
}

// selection finds the rows of a listing. Without filters and oddly placed calls the bounds alone say which they are, and
// a listing of a million rows costs two binary searches.
func (s *Server) selection(q query, now time.Time) selection {
	s.advance(now)
	order, key := s.byEnd, func(i int32) int64 { return s.rows[i].end }
	if s.o.Dialect == Reference {
		order, key = s.byStart, func(i int32) int64 { return s.rows[i].start }
	}
	upper := q.upper
	if !s.odd {
		upper = min(upper, now.UnixNano())
	}
	lo := sort.Search(len(order), func(k int) bool { return key(order[k]) >= q.lower })
	hi := sort.Search(len(order), func(k int) bool { return key(order[k]) > upper })
	rows := order[min(lo, hi):hi]
	if s.odd || q.filtered() {
		var some []int32
		for _, i := range rows {
			if s.listed(i, now) && s.wanted(i, q, now) {
				some = append(some, i)
			}
		}
		rows = some
	}
	switch q.order {
	case Oldest:
		return selection{len(rows), func(k int) int32 { return rows[k] }}
	case Shuffled, Unstable:
		purpose := uint64(forOrder)
		if q.order == Unstable {
			purpose += s.served << 8
		}
		rows = slices.Clone(rows)
		slices.SortFunc(rows, func(a, b int32) int { return cmp.Compare(s.mix(a, purpose), s.mix(b, purpose)) })
		return selection{len(rows), func(k int) int32 { return rows[k] }}
	default:
		return selection{len(rows), func(k int) int32 { return rows[len(rows)-1-k] }}
	}
}

func (s *Server) wanted(i int32, q query, now time.Time) bool {
	if !q.filtered() {
		return true
	}
	c := s.call(i)
	shown := c.Disposition
	if c.DispositionAt.After(now) {
		shown = ""
	}
	return (q.campaign == "" || c.Campaign == q.campaign) && (q.disposition == "" || shown == q.disposition) &&
		(q.languages == "" || c.Language == q.languages)
}
