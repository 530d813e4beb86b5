// Package store keeps what must survive the process: how far the API was read, which calls were seen, what is still
// to be delivered where, what is waited for, and what became of each call. The embedded database (bbolt) is Open's.
//
// Every method is one transaction: when it returns nil its effect is durable, when it returns an error nothing of it
// happened. All methods are safe for concurrent use.
//
// Vocabulary: a lane is one contact at one destination; jobs of a lane are ordered by (When, ID, Kind, Revision). A
// stream is one reader of the API (the live poll, a backfill, …); the rows that it brings belong to its open window
// until the window is closed, and no job is deliverable (released) before.
package store

import (
	"context"
	"errors"
	"time"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrLocked: another process holds the store. The message names it where the system tells.
	ErrLocked = errors.New("the store is held by another process")
	// ErrDamaged: the file is not a usable store (truncated, foreign, a checksum does not match), or the marker
	// beside it says that a store was here and there is none. The message says what to do.
	ErrDamaged = errors.New("the store is damaged")
	// ErrNewer: the store was written by a newer version of the program.
	ErrNewer = errors.New("the store was written by a newer version")
	// ErrOlder: the store was written by an older version whose layout this one does not read.
	ErrOlder = errors.New("the store was written by an older version")
	// ErrKind: a destination has the name of one of another kind.
	ErrKind = errors.New("a destination changed its kind")
	// ErrUnknown: there is no such call, job, destination or backfill.
	ErrUnknown = errors.New("unknown")
	// ErrCancelled: the backfill was cancelled.
	ErrCancelled = errors.New("it was cancelled")
)

// Lane identifies a contact: a salted hash of the phone number (see Salt), or of the call id where there is none.
type Lane [16]byte

// Field is the fingerprint of one field of a call: Tag names the field, Hash its value.
type Field struct {
	Tag  byte
	Hash uint32
}

// Target is one destination of a row and the decision about it.
type Target struct {
	Dest   string
	Skip   string // why the destination does not get the call; empty: it does
	Reason string // for Skip: one of the Left constants, under which it is counted
}

// Row is one completed call as read.
type Row struct {
	ID      string
	When    time.Time // completion; fixed at first sight, it orders the lane
	Lane    Lane
	Fields  []Field // of the fields the row has, sorted by Tag; a missing one is unknown, not a change
	Body    []byte  // a JSON object, see Complete
	Targets []Target
	Hold    bool // belongs to the stream's next window
	// Uncovered: no listing has covered the call since it ended, so that it is not late when it is first seen behind the watermark.
	Uncovered bool
}

// Unfinished is a call that is still in progress.
type Unfinished struct {
	ID   string
	Body []byte
	Due  time.Time // when to ask for it by its id, if no listing has shown its end by then
}

// Broken is a row that could not be understood; it is kept as a dead letter of no destination, once per Key.
type Broken struct {
	Key string // stable: the id if it has one, else a hash of Raw
	Raw []byte
	Err string
}

// Interval is a range of completion times that was read to its end: (From, To], whole seconds UTC.
type Interval struct{ From, To time.Time }

// Streams of the engine; a backfill's is BackfillStream. What FollowStream brings is released at once.
const (
	LiveStream   = "live"
	FollowStream = "follow"
	AgainStream  = "again" // the lookback, read again
	SweepStream  = "sweep"
	AuditStream  = "audit"
)

// Page is one page of a listing, stored in one transaction.
type Page struct {
	Stream     string
	Backfill   uint64 // id of the backfill that reads; 0: live. A backfill's jobs come after all live ones, and it queues known calls for destinations that never had them
	At         time.Time
	Rows       []Row
	Unfinished []Unfinished
	Broken     []Broken
	// Close closes the stream's window in the same transaction: its rows are released, the held rows' window becomes the open
	// one, and the interval (of the streams live and again) joins what was read. nil: the window stays open.
	Close *Interval
	// Release releases the rows of the stream's window although the interval was not read to its end: that stays open.
	Release bool
	// Reach is for streams that look for what the live poll missed: what completed from here on lies in the lookback, so that it counts as
	// found by that. Zero: no bound.
	Reach time.Time
	// Seen is how many calls the backfill has seen with this page, in all.
	Seen int64
	// Checkpoint is kept for the backfill together with the page; nil leaves the old one.
	Checkpoint []byte
	// FieldNames names the tags of fields for people, in the call's life. One that is missing is named by its number.
	FieldNames map[byte]string
}

// Ingested counts what a page brought.
type Ingested struct {
	New     int      // ids never seen before
	Changed int      // known ids with a change
	Queued  int      // jobs made or brought up to date
	Late    int      // new ids whose When lies behind the watermark (see LateCall), unless a backfill brought them
	Fresh   []string // destinations that got jobs
	NewIDs  []string // the ids never seen before
}

// Add adds the counts of another page.
func (i *Ingested) Add(o Ingested) {
	i.New += o.New
	i.Changed += o.Changed
	i.Queued += o.Queued
	i.Late += o.Late
}

// Kind of a job.
type Kind byte

// The kinds: the call itself, its transcript.
const (
	CallJob Kind = iota
	TranscriptJob
)

// JobRef names a job and holds what is needed to schedule it.
type JobRef struct {
	Dest     string
	Backfill uint64 // 0: live
	When     time.Time
	ID       string
	Kind     Kind
	Revision int
	Lane     Lane
	Due      time.Time // zero: at once
	Attempts int       // attempts so far that ended or may have begun
	Urgent   bool      // found by Scan: a backfill's job that a live one of its lane waits for
}

// Job is a job with all that its delivery needs.
type Job struct {
	JobRef
	Body        []byte
	Refs        map[string]string // of this call at this destination, from this job or the receipt of an earlier one
	Before      map[string]string // for First: refs of the lane's newest delivered call at this destination; nil: none, or not known any more
	First       bool              // the destination has had no revision of this call yet
	Changed     []byte            // tags that changed since the revision that it had
	Older       bool              // a call of this lane with a later (When, ID) has been delivered, or may have been to an append-only destination
	OlderStatus bool              // a later call of this lane has set the contact's status
	Fails       int               // failures while the destination was otherwise well
	FirstFail   time.Time         // of Fails
	LastError   string
	Seen        time.Time // when the call was first seen
}

// Verdict is how an attempt ended.
type Verdict int

// The verdicts.
const (
	Delivered Verdict = iota // out of the outbox, into the receipts
	Retry                    // again at Outcome.Due; counts an attempt
	Dead                     // out of the outbox, into the dead letters
	Release                  // as if it had not been claimed: no attempt is counted, Due is kept if zero in Outcome
	Skip                     // out of the outbox; the reason stands in the receipt
)

// Outcome is what became of a claimed job.
type Outcome struct {
	Job       JobRef
	Verdict   Verdict
	At        time.Time
	Refs      map[string]string // all refs of the call at this destination so far
	Error     string            // for Retry, Dead, Skip: without secrets
	Limited   bool              // for Release: the destination asked to be left alone; Error is then its last error
	Request   string            // for Dead: the shape of the request
	Due       time.Time         // for Retry
	CountFail bool              // for Retry: count it in Fails
	SetStatus bool              // for Delivered: it set the contact's status
	TaskLeft  bool              // for Delivered: a follow-up task was left out because it was overdue
	Warnings  []string
	// Transcript asks, for Delivered, that the transcript be watched for from now on, for this destination.
	Transcript bool
	// Sort names what the attempt was to write, as far as one sort may be refused while others pass: calls, transcripts. Signature is, for
	// Dead, the error without its particulars. HaltAfter rejections in a row of one sort with one signature, from as many lanes, with no
	// delivery of that sort between, halt the destination and put all of them back into the outbox.
	Sort      string
	Signature string
	HaltAfter int
	// LeftOut holds, for Delivered and Skip, the Left constants of what the destination did not get.
	LeftOut []string
}

// Claimed is the answer of Claim for one job.
type Claimed struct {
	Job *Job  // nil: it is gone, or cannot be read
	Err error // why it cannot be read
}

// Settled tells what settling did.
type Settled struct {
	Next   *JobRef // the lane's next released job, if it has one (due or not); nil otherwise
	Halted string  // the reason, if the destination was halted by this outcome
}

// DestSpec describes a configured destination.
type DestSpec struct {
	Name, Kind  string
	Fingerprint string // keyed hash of URL and credentials: a new one lifts a halt
	AppendOnly  bool
}

// Dest is the state of a destination.
type Dest struct {
	DestSpec
	Since       time.Time // first configured
	New         bool      // it was not known before this Register (and the store was not new)
	Orphaned    bool      // no longer configured
	Halted      string    // why; empty: not halted
	HaltedAt    time.Time
	Paused      string // why an operator holds it; empty: it is not held
	PausedAt    time.Time
	Pending     int
	Dead        int
	Delivered   int64 // since the store was made
	LastError   string
	LastErrorAt time.Time
	LastSuccess time.Time
	LeftOut     LeftOut
}

// WatchKind says what is waited for.
type WatchKind byte

// What is waited for: a transcript, or the end of a call in progress.
const (
	TranscriptWatch WatchKind = iota
	FinishWatch
)

// Watch is one thing that is waited for.
type Watch struct {
	Kind     WatchKind
	ID       string    // of the call
	Body     []byte    // the call
	Since    time.Time // first asked (zero: not yet asked)
	Attempts int
	Due      time.Time
	Note     []byte   // opaque: what the last ask found out (a transcription job's id)
	Dests    []string // for a transcript: who gets it
}

// DeadLetter is a job that was given up, or a row that could not be understood (Dest empty).
type DeadLetter struct {
	Num      uint64 // names it for commands
	Dest     string
	ID       string
	Kind     Kind
	Revision int
	When     time.Time
	At       time.Time
	Attempts int
	Error    string
	Request  string
	Body     []byte // opaque; the raw row where Dest is empty
}

// Backfill is a one-off run over a past range.
type Backfill struct {
	ID         uint64
	Key        string // the flags as typed: the same ones resume it
	Spec       []byte // opaque: the range as first resolved
	Checkpoint []byte // opaque; nil: not begun
	CreatedAt  time.Time
	ReadDone   time.Time // when the range was read to its end; zero: not yet
	Fetched    int64     // rows seen
	Queued     int64     // jobs made
	Delivered  int64
	Dead       int64
	TasksLeft  int64     // follow-up tasks that were overdue and are left out
	Cancelled  time.Time // zero: it was not
}

// Pending returns how many jobs of the backfill are neither delivered nor dead.
func (b Backfill) Pending() int64 { return b.Queued - b.Delivered - b.Dead }

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

// Hold says why a destination is not tried. A halt is the program's, for an error that needs an operator: other credentials lift it. A pause is an
// operator's, and outlives a change of credentials. The zero Hold lifts both.
type Hold struct {
	Reason   string
	Operator bool // a pause, not a halt
	At       time.Time
}

// Asked is what became of asking VInfer for what is watched for. Just one of Again, Found and GivenUp counts.
type Asked struct {
	At      time.Time
	Again   *Watch // it is to be asked for again: Since, Attempts, Due and Note are kept
	Found   []byte // the body of the job that brings a transcript to the destinations that wait for it
	GivenUp string // why it is not asked for any more; kept in the call's life. A transcript given up counts as left out
}

// BackfillChange is what is new of a backfill; a zero field leaves what is there.
type BackfillChange struct {
	Spec     []byte    // replaces what is kept of the request
	ReadDone time.Time // the range was read to its end: what its stream still holds is released
}

// Preview is what storing pages would do.
type Preview struct {
	New   int // ids never seen before
	Dests []PreviewDest
}

// PreviewDest is what one destination would have to get then.
type PreviewDest struct {
	Dest    Dest
	Jobs    []Queued // in the order of the outbox
	More    int      // jobs that are not listed
	Skipped []PreviewSkip
}

// Queued is a job as it would stand in the outbox.
type Queued struct {
	Job
	New   bool   // it is not there yet
	Waits string // what it would wait for, besides its due time; empty: its turn
}

// PreviewSkip is a call that the destination would not get.
type PreviewSkip struct {
	Row *Row
	Why string
}

// Store is the durable state of one pipeline.
type Store interface {
	Reading
	Outbox
	Watches
	DeadLetters
	Backfills
	Records
	Upkeep
	Close() error
}

// Reading is what readers of the API need: how far they came, and where to put what they read.
type Reading interface {
	// Begin says what is configured now and returns what is there. first becomes the first cursor if the store has none. A destination that is
	// not in specs becomes orphaned; a known name with another kind is an error (ErrKind). Dests holds those of specs in their order, then the others.
	Begin(first time.Time, specs []DestSpec) (Stats, error)
	// SetCursor moves the live frontier to t: forwards skips what lies between, for every reader but a backfill; backwards reads again what
	// lies after t (and lowers the first cursor if need be).
	SetCursor(t time.Time) error
	// Ingest stores a page. For each row: an unknown id is queued for its targets; a known one with a change is queued again as a new
	// revision for the destinations that have had it (replacing a job that was not attempted, or any job at a
	// destination that is not append-only), and for targets that skipped it and do not any more. Live rows below
	// the first cursor are left out unless the id is known. A row found finished ends its FinishWatch.
	Ingest(p Page) (Ingested, error)
	// Preview tells what Ingest would make of pages, and stores nothing. Pages of a backfill are read as those of one that does not exist yet.
	// At most n jobs of each destination are listed.
	Preview(pages []Page, n int) (Preview, error)
	// Setting returns a small value that the caller keeps here, nil if there is none; PutSetting keeps one, nil takes it away.
	Setting(key string) ([]byte, error)
	PutSetting(key string, value []byte) error
}

// Outbox is what deliveries need.
type Outbox interface {
	// Hold keeps a destination from being tried, or lets it be tried again (see Hold).
	Hold(dest string, h Hold) error
	// Scan returns up to n released jobs at the heads of their lanes, live ones first, then by When, but those of the lanes in except. from is where
	// to begin (empty: at the beginning), next where to go on (empty: at the end). Jobs that are not yet due are returned too.
	Scan(dest string, from []byte, n int, except map[Lane]struct{}) (jobs []JobRef, next []byte, err error)
	// Claim takes jobs, each for one attempt, in one transaction; there is one Claimed for each ref. For an append-only destination a claim is
	// durable until Settle ends it, and a store that is opened with it counts the job as attempted. If a newer revision has replaced a job, that
	// one is claimed.
	Claim(ctx context.Context, refs []JobRef) ([]Claimed, error)
	// SaveRefs makes refs of a claimed job durable.
	SaveRefs(ctx context.Context, ref JobRef, refs map[string]string) error
	// Settle records the outcome of a claimed job, in one transaction with the others that come at the same time, and returns when it is durable.
	// A job that is gone is settled without effect; a newer revision that replaced the claimed one stays queued; a refusal of the older one
	// is not held against it.
	Settle(ctx context.Context, o Outcome) (Settled, error)
}

// Watches is the list of what VInfer is asked for until it is there: transcripts, and the ends of calls in progress.
type Watches interface {
	// DueWatches returns up to n watches that are due, the longest due first, and when the next one after those is due (zero: none).
	DueWatches(kind WatchKind, now time.Time, n int) ([]Watch, time.Time, error)
	// SettleWatch records what became of asking (see Asked). A watch that has ended meanwhile is no error.
	SettleWatch(kind WatchKind, id string, a Asked) error
}

// DeadLetters is what was refused, and what could not be understood.
type DeadLetters interface {
	// DeadLetters returns those of dest ("" with all: every one) with a number above after, at most n, bodies included.
	DeadLetters(dest string, all bool, after uint64, n int) ([]DeadLetter, error)
	// EndDead ends dead letters: with retry their jobs go back into the outbox, at their place in the lane, with no attempts counted, but one that
	// a newer revision has overtaken; without they are dropped. It returns how many went back or were dropped. It takes none of nums if one
	// is not there (ErrUnknown), or is of no destination and to be retried. Many take several transactions, so that other work gets in between.
	EndDead(nums []uint64, retry bool) (int, error)
}

// Backfills is what backfills need besides Reading.
type Backfills interface {
	// OpenBackfill returns the unfinished backfill with this key, or makes one; the bool tells whether it was there.
	OpenBackfill(key string, spec []byte, at time.Time) (Backfill, bool, error)
	// SaveBackfill changes what is kept of a backfill (see BackfillChange) and returns it as it is then.
	SaveBackfill(id uint64, c BackfillChange) (Backfill, error)
	// CancelBackfill takes the backfill's calls out of the outbox, but those in flight at an append-only destination, and returns how many
	// jobs that were. They count as not seen, where no destination has them. What is not the backfill's alone becomes live work, and is
	// counted by the second number: calls behind the cursor, changes of calls that were delivered before. Cancelled again, it takes out what a
	// kill has left.
	CancelBackfill(id uint64, at time.Time) (removed, live int, err error)
}

// Records is what people look at.
type Records interface {
	Stats() (Stats, error)
	// Owed returns, for each destination that has not got all calls that completed after from and not after to, what it has not.
	Owed(from, to time.Time) ([]Owed, error)
	Calls(q CallQuery) ([]CallSummary, error) // the last seen that q selects, newest first
	Life(id string) (Life, error)
}

// Upkeep is what keeps the store sound and small.
type Upkeep interface {
	// Survey checks all that is stored, structure, checksums and cross references, and counts it; it works beside everything else.
	Survey() (Survey, error)
	// Forget erases all that is kept of some calls, and what the file still held of it, and keeps salted hashes, so that whoever shows
	// them again does not bring them back. It reads all that is stored, and nothing else gets at it meanwhile.
	Forget(f Forgetting) (Forgotten, error)
	// Prune forgets receipts first seen before receipts and ids last seen before ledger. It does a bounded amount of work and reports whether there is more.
	Prune(receipts, ledger time.Time) (more bool, err error)
}
