// Package vinfer is a client of the VInfer API: it reads listings of calls in both published dialects, details and
// transcripts, tolerates what the documentation leaves open, and stays inside the workspace's request budget.
//
// The API is described at https://kb.vinfer.ai (guide "CRM integration" and the API reference).
package vinfer

import (
	"encoding/json"
	"errors"
	"time"
)

// Call is a call as VInfer shows it, under one set of names for both dialects. A zero field means that the row did not have the
// field (or had null): unknown, not empty. Times are UTC. A Call survives a JSON round trip, which is how it is stored.
type Call struct {
	ID              string    `json:"id"`
	CampaignID      string    `json:"campaign,omitempty"`
	Phone           string    `json:"phone,omitempty"` // as sent, E.164 by the documentation
	Name            string    `json:"name,omitempty"`
	Direction       string    `json:"direction,omitempty"`   // lower case; empty: not said (calls are outbound unless said otherwise)
	Status          string    `json:"status,omitempty"`      // in_progress, completed, failed, or what VInfer may add; lower case
	Disposition     string    `json:"disposition,omitempty"` // as sent
	DurationSeconds *float64  `json:"duration,omitempty"`    // from the answer; 0: never connected
	Language        string    `json:"language,omitempty"`
	StartedAt       time.Time `json:"started,omitzero"`
	EndedAt         time.Time `json:"ended,omitzero"` // `ended_at`, or the guide's `timestamp`
	TranscriptURL   string    `json:"transcript_url,omitempty"`
	TranscriptJob   string    `json:"transcript_job,omitempty"`
	Sentiment       string    `json:"sentiment,omitempty"` // a word, or a number from -1 to 1 as text
	QAScore         *float64  `json:"qa_score,omitempty"`
	Summary         string    `json:"summary,omitempty"`
	CallbackAt      string    `json:"callback_at,omitempty"` // as sent: it may lack a zone
}

// Completed returns when the call ended: EndedAt, else StartedAt plus the duration, else StartedAt, else the zero time.
func (c Call) Completed() time.Time {
	switch {
	case !c.EndedAt.IsZero():
		return c.EndedAt
	case !c.StartedAt.IsZero() && c.DurationSeconds != nil:
		return c.StartedAt.Add(time.Duration(*c.DurationSeconds * float64(time.Second)))
	default:
		return c.StartedAt
	}
}

// Unfinished reports whether the call is still going on: its status says so, or it has a status that is not an end
// (completed, failed) and no end time.
func (c Call) Unfinished() bool {
	switch c.Status {
	case "", "completed", "failed":
		return false
	case "in_progress":
		return true
	default:
		return c.EndedAt.IsZero()
	}
}

// Bound is the query parameter that a server honours as the lower bound of a listing.
type Bound string

// The bounds.
const (
	After Bound = "after" // the guide's: calls completed since
	From  Bound = "from"  // the reference's: calls started on or after
)

// Query asks for one page of a listing.
type Query struct {
	Bound    Bound
	Since    time.Time // the lower bound; sent in whole seconds, rounded down; zero: none is sent
	To       time.Time // the upper bound; zero: none is sent. Rounded up to whole seconds
	Campaign string    // empty: all
	Limit    int
	Offset   int
}

// Page is one page of a listing.
type Page struct {
	Calls  []Call
	Broken []Broken  // rows that could not be understood
	Rows   int       // rows on the page, broken and doubled ones included
	Total  int       // rows in the listing as the server says; -1: not said
	Limit  int       // page size as the server says; 0: not said
	Date   time.Time // the server's clock when it answered, from the Date header; the local clock where that is missing

	partial bool // the answer says that it is, or may be, one page of several
}

// Broken is a row that could not be understood.
type Broken struct {
	ID  string          // empty when even that is missing
	Raw json.RawMessage // the row as it came, at most 64 KiB
	Err string          // what is wrong with it
}

// Bounds is the result of Probe: the bounds that the server honours.
type Bounds struct {
	Empty bool // the workspace shows no calls, so nothing could be found out
	After bool
	From  bool
	To    bool // `to` together with the lower bound that will be used (after if honoured, else from)
	// Unpaged: the server refuses limit and offset, and answers each listing whole.
	Unpaged bool
	// AnyTotal: the server's totals are useless: it counts calls in a listing without rows.
	AnyTotal bool
}

// Transcript is what was said in a call.
type Transcript struct {
	Segments  []Segment `json:"segments,omitempty"`
	Text      string    `json:"text,omitempty"` // when the server sends no segments
	Language  string    `json:"language,omitempty"`
	Summary   string    `json:"summary,omitempty"`
	Sentiment string    `json:"sentiment,omitempty"`
	QAScore   *float64  `json:"qa_score,omitempty"`
}

// Segment is one utterance; Start and End are seconds from the beginning of the call, both 0 when not said.
type Segment struct {
	Speaker string  `json:"speaker,omitempty"` // "agent", "customer", or as sent
	Text    string  `json:"text"`
	Start   float64 `json:"start,omitempty"`
	End     float64 `json:"end,omitempty"`
}

// Priority is the purpose of a request. Requests that wait for the budget go in the order of their priorities, the lowest value first.
type Priority int

// The kinds of requests, the most urgent first.
const (
	News        Priority = iota // listings of new calls, and probes
	Unfinished                  // calls that are in progress or have no disposition yet
	Transcripts                 // transcripts
	Again                       // the lookback read again
	Sweeps                      // settled sweeps
	Audits                      // audits
	Backfills                   // backfills
	kinds                       // how many there are
)

// String returns the name under which requests of this kind are counted.
func (p Priority) String() string {
	switch p {
	case News:
		return "news"
	case Unfinished:
		return "unfinished"
	case Transcripts:
		return "transcripts"
	case Again:
		return "again"
	case Sweeps:
		return "sweep"
	case Audits:
		return "audit"
	case Backfills:
		return "backfill"
	default:
		return "unknown"
	}
}

// KindRequests says how many requests of one kind were sent, each try counted.
type KindRequests struct {
	Kind       string `json:"kind"`
	Total      uint64 `json:"total"` // since the process began
	LastMinute int    `json:"last_minute"`
}

// Errors that callers tell apart with errors.Is. Every error of this package names the URL without secrets, says what came, and does
// not contain the key.
var (
	// ErrRefused: the key was refused (401, 403).
	ErrRefused = errors.New("the API key was refused (put a valid one where vinfer.api_key says)")
	// ErrNotFound: there is no such call or transcript (404, 410).
	ErrNotFound = errors.New("not found")
	// ErrNotReady: the transcript is not ready yet, or VInfer has not begun it.
	ErrNotReady = errors.New("not ready yet")
	// ErrBadRequest: the server does not accept the request (400, 422): a mismatch of contract, not a passing fault.
	ErrBadRequest = errors.New("the request was not accepted")
	// ErrUnreadable: the answer was not one of this API (an HTML page, JSON cut off, the wrong shape), after retries.
	ErrUnreadable = errors.New("the answer could not be read")
	// ErrLimited: the server answers 429 again and again although its waits were kept, or asks for a longer wait than a live request has.
	ErrLimited = errors.New("the rate limit is exceeded")
	// ErrClosed: the client was closed while the request waited.
	ErrClosed = errors.New("the client is closed")
)

// BudgetState is the request budget as last seen. Known is false before the first answer with rate headers.
type BudgetState struct {
	Known     bool
	Limit     int
	Remaining int
	Reserve   int // requests of a window that are left to others
	Reset     time.Time
}
