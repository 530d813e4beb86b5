package store

import "time"

// What people look at, and what operators get.

// Run is one poll.
type Run struct {
	// LastSuccess is when the last run without an error began, this one included.
	LastSuccess time.Time     `json:"last_success,omitzero"`
	At          time.Time     `json:"at"`
	Took        time.Duration `json:"took"`
	Fetched     int           `json:"fetched"`
	New         int           `json:"new"`
	Delivered   int           `json:"delivered"`
	Error       string        `json:"error"`
}

// Settings that Stats shows.
const (
	AuditedSetting = "audited_until" // as AuditedUntil: a time in RFC 3339
	RunSetting     = "last_run"      // as LastRun: a Run as JSON
)

// Stats is a summary of the store.
type Stats struct {
	First                   time.Time // the first cursor: nothing but a backfill reads below it
	Watermark               time.Time // everything up to here was read: the cursor
	Read                    []Interval
	Skipped                 []Interval // passed over by SetCursor
	LastRun                 Run        // from the setting RunSetting
	Salt                    []byte     // random, made with the store and the same ever after: it keys hashes of phone numbers and credentials
	LateFound               int64
	Late                    []LateCall // the last late calls that a sweep or an audit found, oldest first
	Lateness                []Lateness // of these, by stream
	AuditedUntil            time.Time  // from the setting AuditedSetting
	Pending, Dead           int
	Transcripts, Unfinished int // waited for
	Dests                   []Dest
	Backfills               []Backfill
}

// Life is what is known of one call.
type Life struct {
	ID        string
	When      time.Time
	FirstSeen time.Time
	Revision  int
	Events    []Event // oldest first
	Dests     []DestLife
	Body      []byte // nil once the content has been deleted
	Awaited   *Watch // the transcript or the end that is waited for; nil: nothing is
}

// Event is one thing that happened to a call.
type Event struct {
	At   time.Time
	What string // for people: "seen by live poll", "revision 2: disposition"
}

// DestLife is the way of one call at one destination.
type DestLife struct {
	Dest       string
	State      string // pending, delivered, dead, skipped
	Revision   int    // delivered
	Attempts   int
	At         time.Time // of the last change
	Due        time.Time // pending: next attempt
	Error      string    // last error, or why skipped
	Waits      string    // pending: what else it waits for: an earlier call of the contact, the end of a listing, an operator
	Refs       map[string]string
	Warnings   []string
	Letters    []uint64 // numbers of its dead letters
	Transcript string   // awaited, pending, dead; empty: nothing of that (Life.Events tells of its delivery)
}

// CallQuery selects calls for a list.
type CallQuery struct {
	N     int    // at most so many
	Dest  string // only what this destination got or is to get; empty: any
	State string // only calls in this state there (or, without Dest, anywhere); empty: any
}

// CallSummary is one line of a list of calls.
type CallSummary struct {
	ID        string
	When      time.Time
	FirstSeen time.Time
	Revision  int
	Dests     []DestLife
}

// LateCall is a call that was found although the time of its end had been read: it had not been shown then. What ended in the last five
// seconds before a poll and is shown to the next one is none.
type LateCall struct {
	ID   string    `json:"call_id"`
	When time.Time `json:"completed"`
	Seen time.Time `json:"found"`
	By   string    `json:"by"` // the stream that found it
}

// Lateness sums up the late calls that one stream found.
type Lateness struct {
	By    string
	Found int64
	Most  time.Duration // the longest time from a call's end until it was found
	Last  time.Time     // when the last one was found
}

// Owed is what a destination has not got of a range of calls.
type Owed struct {
	Dest    string `json:"destination"`
	Pending int    `json:"pending"` // jobs in the outbox
	Dead    int    `json:"dead"`    // dead letters
}

// Survey is what a store holds, as Check counted it.
type Survey struct {
	Path        string `json:"path"`
	Layout      int    `json:"layout"`     // version
	Size        int64  `json:"size_bytes"` // of the file
	Used        int64  `json:"used_bytes"` // of it; compacting frees the rest
	Calls       int    `json:"calls"`      // ids that are recognised
	Receipts    int    `json:"receipts"`   // what became of calls, by destination, and their events
	Jobs        int    `json:"jobs"`       // in the outbox
	DeadLetters int    `json:"dead_letters"`
	Watches     int    `json:"watches"` // transcripts and ends of calls that are waited for
}

// Forgotten is what was erased.
type Forgotten struct {
	Calls    []ForgottenCall
	Jobs     int // of the outbox
	Letters  int // dead letters
	Rows     int // that had not been understood
	Watches  int
	Receipts int
	Lanes    []Lane // of the calls, as far as they were known
	File     Rewritten
}

// ForgottenCall is a call as it was known.
type ForgottenCall struct {
	ID    string
	When  time.Time
	Dests []DestLife
}

// Rewritten tells what rewriting the file did.
type Rewritten struct{ Before, After int64 } // bytes
