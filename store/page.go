package store

import (
	"strconv"
	"time"
)

// What readers of the API bring.

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

// BackfillStream names the stream of a backfill.
func BackfillStream(id uint64) string { return "backfill/" + strconv.FormatUint(id, 10) }

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
