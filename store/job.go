package store

import "time"

// What deliveries work on.

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
	Before      map[string]string // refs of the lane's newest delivered call at this destination; nil: none, not known any more, or it is this one
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
	LaneRefs  map[string]string // for Delivered: refs that the lane's newest call gets too, unless it has them
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

// WaitsForListing is what a job waits for whose window is open.
const WaitsForListing = "the listing that showed it has not been read to its end"

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

// Asked is what became of asking VInfer for what is watched for. Just one of Again, Found and GivenUp counts.
type Asked struct {
	At      time.Time
	Again   *Watch // it is to be asked for again: Since, Attempts, Due and Note are kept
	Found   []byte // the body of the job that brings a transcript to the destinations that wait for it
	GivenUp string // why it is not asked for any more; kept in the call's life. A transcript given up counts as left out
}
