package store

import "time"

// Destinations and backfills.

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

// Held tells why the destination is not tried at all, for people; empty: it is.
func (d Dest) Held() string {
	switch {
	case d.Paused != "" && d.Halted != "":
		return d.Paused + "; and it was halted: " + d.Halted
	case d.Paused != "":
		return d.Paused
	}
	return d.Halted
}

// Hold says why a destination is not tried. A halt is the program's, for an error that needs an operator: other credentials lift it. A pause is an
// operator's, and outlives a change of credentials. The zero Hold lifts both.
type Hold struct {
	Reason   string // of a pause: it reads on after "the destination is"
	Operator bool   // a pause, not a halt
	At       time.Time
}

// What a destination does not get of a call that is otherwise in order, by reason. Dead letters are no such thing: they can be retried.
const (
	LeftCampaign   = "campaign"            // the call is of no configured campaign (vinfer.campaigns): no destination gets it
	LeftFiltered   = "filtered"            // the destination's filter leaves the call out
	LeftUnknown    = "unknown_disposition" // the disposition is not in the mapping, and mapping.unknown is skip
	LeftSkipped    = "skipped"             // the writer skipped the call as configured (on_many, on_missing)
	LeftNoNumber   = "no_number"           // the call was written without a contact: its number is missing or none
	LeftOverdue    = "overdue_task"        // the follow-up task was overdue and was not made
	LeftTranscript = "transcript_given_up" // no transcript came in time
)

// LeftReasons are all reasons.
var LeftReasons = []string{LeftCampaign, LeftFiltered, LeftUnknown, LeftSkipped, LeftNoNumber, LeftOverdue, LeftTranscript}

// LeftOut counts what a destination did not get.
type LeftOut struct {
	Counts map[string]int64 // by reason, since the store was made; a reason that never occurred is missing
	InARow int              // whole calls left out since the last delivery of a call
	Since  time.Time        // the first of these
	Until  time.Time        // the last of these
	Last   string           // why the last of these was left out, for people
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

// BackfillChange is what is new of a backfill; a zero field leaves what is there.
type BackfillChange struct {
	Spec     []byte    // replaces what is kept of the request
	ReadDone time.Time // the range was read to its end: what its stream still holds is released
}
