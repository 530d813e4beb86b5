// Package store says what must survive the process and what is done with it: how far the API was read, which calls were seen, what is still
// to be delivered where, what is waited for, and what became of each call. Package bolt keeps it in a file; storetest shows that a store
// keeps it as it is said here.
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
	// ErrMoved: the state is in another store.
	ErrMoved = errors.New("the state is not here")
	// ErrKind: a destination has the name of one of another kind.
	ErrKind = errors.New("a destination changed its kind")
	// ErrUnknown: there is no such call, job, destination or backfill.
	ErrUnknown = errors.New("unknown")
	// ErrCancelled: the backfill was cancelled.
	ErrCancelled = errors.New("it was cancelled")
)

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
