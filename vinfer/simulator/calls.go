package simulator

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"
)

// Call is one call of the simulator, for scripts and ledgers. A zero field is null in the API, unless said otherwise.
type Call struct {
	ID          string // empty: one is made
	Campaign    string
	Phone, Name string
	Direction   string // left out when empty: it is not documented
	Status      string // empty: in_progress until End, then completed, or failed when Duration is 0
	Disposition string
	Language    string

	Start    time.Time // zero: End less Duration
	End      time.Time // zero: Start and Duration, or now; with Status in_progress: it has not ended
	Duration time.Duration

	DispositionAt time.Time // null before
	VisibleFrom   time.Time // if set it alone decides whether the call is listed: late rows, and rows of the future
	GoneFrom      time.Time // neither listed nor found from then on
	Hidden        bool      // neither listed nor found

	NoTranscript bool
	TranscriptAt time.Time // when it is there; zero: End and Options.TranscriptDelay
	Segments     []Segment // zero: made up, in the call's language

	Sentiment  string
	QAScore    float64 // 0: null
	Summary    string
	CallbackAt string // callback_at, left out when empty

	Raw string // stands in listings and details in place of the call; need not be valid JSON
}

// Segment is one utterance of a transcript, in seconds from the beginning.
type Segment struct {
	Speaker    string  `json:"speaker"`
	Text       string  `json:"text"`
	Start      float64 `json:"start"`
	End        float64 `json:"end"`
	Confidence float64 `json:"confidence"`
}

// row is what is kept of every call: the rest of a generated one is made from its number whenever it is asked for, so
// that a million of them fit.
type row struct {
	start, end int64 // Unix nanoseconds
	gen        int32 // its number as a generated call; below 0: it was added
}

const unended = math.MaxInt64

// Add adds calls. Where options leave something to the simulator (an ID, a time) it is filled in.
func (s *Server) Add(calls ...Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range calls {
		if c.ID == "" {
			c.ID = "call_added" + strconv.Itoa(len(s.ids)+1)
		}
		i, there := s.find(c.ID)
		if !there {
			i = int32(len(s.rows))
			s.rows = append(s.rows, row{gen: -1})
			s.byEnd = append(s.byEnd, i)
			s.byStart = append(s.byStart, i)
			s.ids[c.ID] = i
		}
		s.place(i, &c)
	}
}

// Set changes a call; it does nothing when there is none with that id. The id itself stays.
func (s *Server) Set(id string, change func(*Call)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(s.o.Now())
	i, ok := s.find(id)
	if !ok {
		return
	}
	c := s.call(i)
	change(&c)
	c.ID = id
	s.place(i, &c)
}

// place stores a scripted call at row i.
func (s *Server) place(i int32, c *Call) {
	if c.Status != "in_progress" {
		switch {
		case c.End.IsZero() && c.Start.IsZero():
			c.End = s.o.Now().UTC().Truncate(time.Second)
			c.Start = c.End.Add(-c.Duration)
		case c.End.IsZero():
			c.End = c.Start.Add(c.Duration)
		case c.Start.IsZero():
			c.Start = c.End.Add(-c.Duration)
		}
	}
	r := &s.rows[i]
	r.start, r.end = c.Start.UnixNano(), unended
	if !c.End.IsZero() {
		r.end = c.End.UnixNano()
	}
	if c.Start.IsZero() {
		r.start = 0
	}
	s.special[i] = c
	s.dirty = true
	s.odd = s.odd || c.Hidden || !c.GoneFrom.IsZero() || !c.VisibleFrom.IsZero() || c.Status == "in_progress"
}

// find returns the row of a call.
func (s *Server) find(id string) (int32, bool) {
	if i, ok := s.ids[id]; ok {
		return i, true
	}
	g, ok := s.genOf(id)
	switch {
	case !ok:
		return 0, false
	case g < int32(s.o.Calls):
		return g, true
	case int(g)-s.o.Calls < len(s.laterGen):
		return s.laterGen[int(g)-s.o.Calls], true
	}
	return 0, false
}

// call makes the whole of a call.
func (s *Server) call(i int32) Call {
	if c := s.special[i]; c != nil {
		return *c
	}
	return s.made(s.rows[i])
}

// advance lets the calls begin that Options.Rate brings by now, and puts the rows in order.
func (s *Server) advance(now time.Time) {
	if s.dirty {
		s.sort()
	}
	for s.o.Rate > 0 {
		start := s.t0.Add(s.step(len(s.laterGen) - s.grown + 1))
		if start.After(now) {
			break
		}
		s.begin(start.Truncate(time.Second))
	}
}

// step is how long n calls take to begin.
func (s *Server) step(n int) time.Duration {
	return time.Duration(float64(time.Minute) / s.o.Rate * float64(n))
}

// begin lets the next generated call begin. The rows are in order before and after.
func (s *Server) begin(start time.Time) {
	g, i := int32(s.o.Calls+len(s.laterGen)), int32(len(s.rows))
	s.rows = append(s.rows, s.rowOf(g, start, s.length(g)))
	s.laterGen = append(s.laterGen, i)
	s.byEnd, s.byStart = insert(s.byEnd, i, s.compareEnds), insert(s.byStart, i, s.compareStarts)
}

// grow lets n calls begin now, or end where the listing shows ends only.
func (s *Server) grow(n int, now time.Time) {
	s.advance(now)
	for range n {
		start := now.Truncate(time.Second)
		if s.o.Dialect == Guide {
			start = start.Add(-s.length(int32(s.o.Calls + len(s.laterGen))))
		}
		s.begin(start)
		s.grown++
	}
}

func insert(sorted []int32, i int32, compare func(a, b int32) int) []int32 {
	at, _ := slices.BinarySearchFunc(sorted, i, compare)
	return slices.Insert(sorted, at, i)
}

func (s *Server) compareEnds(a, b int32) int {
	return cmp.Or(cmp.Compare(s.rows[a].end, s.rows[b].end), cmp.Compare(a, b))
}

func (s *Server) compareStarts(a, b int32) int {
	return cmp.Or(cmp.Compare(s.rows[a].start, s.rows[b].start), cmp.Compare(a, b))
}

func (s *Server) sort() {
	slices.SortFunc(s.byEnd, s.compareEnds)
	slices.SortFunc(s.byStart, s.compareStarts)
	s.dirty = false
}

// status is the call's as of now.
func (c *Call) status(now time.Time) string {
	switch {
	case c.Status != "":
		return c.Status
	case c.End.After(now) && c.VisibleFrom.IsZero():
		return "in_progress"
	case c.Duration == 0:
		return "failed"
	default:
		return "completed"
	}
}

// gone tells whether there is no such call, at least not any more.
func (c *Call) gone(now time.Time) bool {
	return c.Hidden || !c.GoneFrom.IsZero() && !c.GoneFrom.After(now)
}

// listed tells whether the listing shows a scripted call.
func (c *Call) listed(o *Options, now time.Time) bool {
	switch {
	case c.gone(now):
		return false
	case !c.VisibleFrom.IsZero():
		return !c.VisibleFrom.After(now)
	case o.EndedOnly:
		return c.status(now) != "in_progress"
	case o.Dialect == Reference:
		return !c.Start.After(now)
	default:
		return c.Status != "in_progress" && !c.End.After(now)
	}
}

// listed tells whether the listing shows row i.
func (s *Server) listed(i int32, now time.Time) bool {
	if c := s.special[i]; c != nil {
		return c.listed(&s.o, now)
	}
	r := s.rows[i]
	from := r.end
	switch {
	case r.end == unended:
		if s.o.EndedOnly && s.unendingStatus(r.gen) == "in_progress" {
			return false
		}
		from = r.start
	case s.chance(r.gen, forVanish, s.o.Vanishing) && now.UnixNano() >= r.end+int64(s.o.VanishAfter):
		return false
	case s.chance(r.gen, forLate, s.o.LateRows):
		from += int64(s.lateness(r.gen))
	case s.o.Dialect == Reference && !s.o.EndedOnly:
		from = r.start
	}
	return from <= now.UnixNano()
}

// Calls returns every call there is, in completion order, those included that are not listed yet: filter by the fields.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(s.o.Now())
	out := make([]Call, len(s.byEnd))
	for n, i := range s.byEnd {
		out[n] = s.call(i)
	}
	return out
}

// IDs returns the ids of the calls that have ended and are listed by now, in completion order: what a reader must have.
// Calls with Raw are among them.
func (s *Server) IDs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	s.advance(now)
	var out []string
	for _, i := range s.byEnd {
		if !s.listed(i, now) {
			continue
		}
		if c := s.special[i]; c != nil {
			if c.status(now) != "in_progress" {
				out = append(out, c.ID)
			}
		} else if s.rows[i].end <= now.UnixNano() {
			out = append(out, s.idOf(s.rows[i].gen))
		}
	}
	return out
}
