// Package simulator serves a VInfer API in this process, with seeded, made-up calls in either published dialect. Tests
// script its calls and faults; the command line tool serves it to try things without an account.
//
// Nobody in it is real: names and numbers are drawn from short lists by a seed, so the same options always make the
// same calls.
package simulator

import (
	"cmp"
	"net/http"
	"sync"
	"time"
)

// Dialect is one of the two published descriptions of the API.
type Dialect int

// The dialects.
const (
	// Guide is the CRM guide's: `after` bounds the completion time, rows have call_id, timestamp, transcript_url and
	// neuronlens, calls in progress are not listed.
	Guide Dialect = iota
	// Reference is the API reference's: `from` and `to` bound the start, both inclusive, rows have id, started_at,
	// ended_at and status, calls in progress are listed.
	Reference
)

// String names the dialect as flags do.
func (d Dialect) String() string {
	if d == Reference {
		return "reference"
	}
	return "guide"
}

// Order is the order of a listing.
type Order int

// The orders. The API documents none.
const (
	Newest   Order = iota // newest first
	Oldest                // oldest first
	Shuffled              // no order at all, the same at every request
	Unstable              // no order at all, another at every request
)

// Options say what a Server serves. The zero value is an empty workspace in the guide's dialect.
type Options struct {
	Seed    int64
	Dialect Dialect
	Calls   int           // calls that are there from the start, finished unless Steady or InProgress say otherwise
	Span    time.Duration // they are spread over the time before the start; 0: 24 h
	Rate    float64       // calls a minute that begin as time goes on

	Steady     bool   // Calls began at Rate before the start as others do after it: of those at its end some go on, as long as calls last
	InProgress int    // how many of Calls have not ended yet at the start; they end within three minutes
	Contacts   int    // how many people are called; 0: seven for ten calls
	Key        string // the bearer token that is let in; empty: any

	Now            func() time.Time // nil: time.Now
	LimitPerMinute int              // requests a minute; 0: 1000; below 0: no limit and no rate headers
	RetryAfter     bool             // answers 429 say how long to wait, which the API does not document

	TranscriptDelay   time.Duration // from a call's end until its transcript is there
	Pending           int           // status of the answer until then: 202 (also for 0), 200, 404, 409 or 425
	LateDispositions  float64       // share of calls whose disposition is null for a while after the end
	DispositionDelay  time.Duration // how long; 0: one to ten minutes
	LateRows          float64       // share of calls that are listed some time after their end only
	LateBy, LateMost  time.Duration // from how long to how long, the shorter the likelier; 0: 10 min, and all by LateBy
	Vanishing         float64       // share of calls that are no longer there some time after their end
	VanishAfter       time.Duration // how long; 0: 10 min
	LongCalls         float64       // share of calls that last one to three hours
	Unending          float64       // share of the reference's calls that never get an end
	UnendingStatus    string        // what they are for good; empty: no_answer, busy, canceled, voicemail or in_progress
	EndedOnly         bool          // the reference's listings show no calls in progress
	AfterInclusive    bool          // `after` includes calls completed at that very second
	GuideTo           bool          // the guide's dialect honours `to` (on completion)
	Strict            bool          // a parameter the dialect does not have is answered 400
	NoPaging          bool          // limit and offset are ignored: every answer is the whole listing
	NoTotal           bool          // the answer does not say how many rows there are
	List              string        // name of the list in an answer: "data" (also for ""), "calls", …; "-": a bare array
	Order             Order
	PublicURL         string              // what transcript links begin with; empty: as the request came, with /v1
	Before            func(*http.Request) // called before each request is served, to change things between two pages
	RecordingsExpired bool                // leaves recording_url out of details
}

// Server is the simulated API, an http.Handler. It answers below /v1 and, the same, at the root. Its methods may be
// called concurrently, also from Options.Before.
type Server struct {
	o  Options
	t0 time.Time // when it was made

	mu       sync.Mutex
	key      string
	rows     []row
	byEnd    []int32 // indices of rows in completion order
	byStart  []int32
	dirty    bool             // these two need sorting
	special  map[int32]*Call  // calls that were added or changed
	ids      map[string]int32 // of added calls
	laterGen []int32          // row of each generated call from the Options.Calls-th on
	grown    int              // how many of these requests brought, and not the time
	odd      bool             // some call's place in time does not tell whether it is shown
	faults   []*Fault
	requests []Request
	served   uint64
	window   int64 // the minute that used counts
	used     int
}

// New makes a server with its calls.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Span <= 0 {
		o.Span = 24 * time.Hour
	}
	if o.LimitPerMinute == 0 {
		o.LimitPerMinute = 1000
	}
	if o.Pending == 0 {
		o.Pending = http.StatusAccepted
	}
	if o.List == "" {
		o.List = "data"
	}
	o.LateBy, o.VanishAfter = cmp.Or(o.LateBy, 10*time.Minute), cmp.Or(o.VanishAfter, 10*time.Minute)
	o.EndedOnly = o.EndedOnly && o.Dialect == Reference
	o.Calls = max(o.Calls, 0)
	o.InProgress = min(max(o.InProgress, 0), o.Calls)
	if o.Contacts <= 0 {
		o.Contacts = max(o.Calls*7/10, 50)
	}
	s := &Server{
		o: o, t0: o.Now().UTC().Truncate(time.Second), key: o.Key,
		special: map[int32]*Call{}, ids: map[string]int32{}, odd: o.LateRows+o.Vanishing > 0 || o.EndedOnly,
	}
	s.generate()
	return s
}

// SetKey changes the bearer token that is let in, as a rotation does; empty: any.
func (s *Server) SetKey(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = key
}

// Spend counts n requests of somebody else against the limit of the current minute.
func (s *Server) Spend(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.minute(s.o.Now())
	s.used += n
}

// Request is one request as it was recorded.
type Request struct {
	Time       time.Time // by Options.Now
	Method     string
	Path       string // without /v1
	Query      string // as sent
	Authorized bool   // it had the right key
	Keyed      bool   // it had any key
	Status     int    // of the answer; 0: it was hung up on, or is being served
	Fault      Kind   // what was done to it, if anything
}

// maxRequests bounds what is recorded: a benchmark asks for more than anybody reads.
const maxRequests = 100_000

// Requests returns the requests so far, oldest first, at most the last hundred thousand.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Served returns how many requests there were.
func (s *Server) Served() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.served)
}

// ForgetRequests empties the record.
func (s *Server) ForgetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}
