package store

import (
	"maps"
	"slices"
	"time"
)

// What a destination does not get of a call that is otherwise in order, by reason. Dead letters are no such thing: they can be retried.
const (
	LeftFiltered   = "filtered"            // the destination's filter, or the configured campaigns, leave the call out
	LeftUnknown    = "unknown_disposition" // the disposition is not in the mapping, and mapping.unknown is skip
	LeftSkipped    = "skipped"             // the writer skipped the call as configured (on_many, on_missing)
	LeftNoNumber   = "no_number"           // the call was written without a contact: its number is missing or none
	LeftOverdue    = "overdue_task"        // the follow-up task was overdue and was not made
	LeftTranscript = "transcript_given_up" // no transcript came in time
)

// LeftReasons are all reasons.
var LeftReasons = []string{LeftFiltered, LeftUnknown, LeftSkipped, LeftNoNumber, LeftOverdue, LeftTranscript}

// LeftOut counts what a destination did not get.
type LeftOut struct {
	Counts map[string]int64 // by reason, since the store was made; a reason that never occurred is missing
	InARow int              // whole calls left out since the last delivery of a call
	Since  time.Time        // the first of these
	Until  time.Time        // the last of these
	Last   string           // why the last of these was left out, for people
}

// leave counts something that the destination does not get.
func (t *txn) leave(d *destRec, reasons ...string) {
	for _, r := range reasons {
		counts := maps.Clone(d.LeftOut.Counts) // Stats has handed it out
		if counts == nil {
			counts = map[string]int64{}
		}
		counts[r]++
		d.LeftOut.Counts = counts
		t.touch(d)
	}
}

// leaveCall counts a whole call that the destination does not get; why is for people.
func (t *txn) leaveCall(d *destRec, at time.Time, why string, reasons ...string) {
	t.leave(d, reasons...)
	l := &d.LeftOut
	if l.InARow == 0 {
		l.Since = round(at)
	}
	l.InARow++
	l.Until, l.Last = round(at), why
	t.touch(d)
}

// tookCall notes that the destination got a call.
func (l *LeftOut) tookCall() { l.InARow, l.Since, l.Until, l.Last = 0, time.Time{}, time.Time{}, "" }

func (l *LeftOut) put(e *enc) {
	e.uint(uint64(len(l.Counts)))
	for _, r := range slices.Sorted(maps.Keys(l.Counts)) {
		e.str(r)
		e.int64(l.Counts[r])
	}
	e.int(l.InARow)
	e.time(l.Since)
	e.time(l.Until)
	e.str(l.Last)
}

func (d *dec) leftOut() (l LeftOut) {
	for range d.count() {
		if l.Counts == nil {
			l.Counts = map[string]int64{}
		}
		r := d.str()
		l.Counts[r] = d.int64()
	}
	l.InARow, l.Since, l.Until, l.Last = d.int(), d.time(), d.time(), d.str()
	return l
}
