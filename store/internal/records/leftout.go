package records

import (
	"maps"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// leave counts something that the destination does not get.
func (t *txn) leave(d *destRec, reasons ...string) {
	for _, r := range reasons {
		counts := maps.Clone(d.LeftOut.Counts) // Stats has handed it out
		if counts == nil {
			counts = map[string]int64{}
		}
		counts[r]++
		d.LeftOut.Counts = counts
		t.markChanged(d)
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
	t.markChanged(d)
}

// tookCall notes that the destination got a call.
func tookCall(l *store.LeftOut) { l.InARow, l.Since, l.Until, l.Last = 0, time.Time{}, time.Time{}, "" }

func putLeftOut(e *enc, l *store.LeftOut) {
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

func (d *dec) leftOut() (l store.LeftOut) {
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
