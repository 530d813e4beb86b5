package sync

import (
	"bytes"
	"slices"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/store"
)

// What the program leaves out, it counts: by reason, for each destination (store.LeftReasons).

// sortOf names what an entry is made of, as far as a destination may refuse one sort for good while it takes others.
func sortOf(e *crm.Entry) string {
	s := string(e.Event)
	if e.Task != nil {
		s += " with a task"
	}
	return s
}

// leftOf returns what a destination did not get of a call that was delivered or skipped.
func (c *dispatcher) leftOf(job *store.Job, e *crm.Entry, o *store.Outcome) (reasons []string) {
	if job.Kind != store.CallJob {
		return nil
	}
	if o.TaskLeft && (job.First || bytes.IndexByte(job.Changed, tagDisposition) >= 0 || bytes.IndexByte(job.Changed, tagCallback) >= 0) {
		reasons = append(reasons, store.LeftOverdue)
	}
	if !job.First {
		return reasons
	}
	_, contacts := c.d.Writer.(crm.Finder)
	noNumber := contacts && phoneKey(e.Call.Contact.Phone, c.e.o.Region) == ""
	switch {
	case o.Verdict == store.Skip && !noNumber:
		reasons = append(reasons, store.LeftSkipped)
	case noNumber:
		reasons = append(reasons, store.LeftNoNumber)
	}
	return reasons
}

// leftOutOf sums what all destinations did not get, by reason.
func leftOutOf(st store.Stats) map[string]int64 {
	sum := map[string]int64{}
	for _, d := range st.Dests {
		for reason, n := range d.LeftOut.Counts {
			sum[reason] += n
		}
	}
	return sum
}

// leftSince returns what was left out between two looks at the store, without reasons that had nothing.
func leftSince(before, after store.Stats) map[string]int64 {
	was, is := leftOutOf(before), leftOutOf(after)
	for reason, n := range was {
		if is[reason] -= n; is[reason] <= 0 {
			delete(is, reason)
		}
	}
	return is
}

// leftOut returns how much was left out since the store was made.
func (e *Engine) leftOut() int64 {
	st, err := e.o.Store.Stats()
	if err != nil {
		return 0 // the run itself tells
	}
	return total(leftOutOf(st))
}

// LeftReasons returns the reasons of a count in their order.
func LeftReasons(counts map[string]int64) []string {
	return slices.DeleteFunc(slices.Clone(store.LeftReasons), func(r string) bool { return counts[r] == 0 })
}

func total(counts map[string]int64) (n int64) {
	for _, x := range counts {
		n += x
	}
	return n
}
