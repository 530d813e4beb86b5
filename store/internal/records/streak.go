package records

import (
	"fmt"
	"slices"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// rejectionStreak is a row of rejections of one sort of job with one signature, with no delivery of that sort between. One that is long enough
// halts the destination.
type rejectionStreak struct {
	sort, signature string
	rejections      []rejection
}

type rejection struct {
	num  uint64 // of the dead letter
	lane store.Lane
}

// maxStreak bounds how many rejections of few lanes are remembered.
const maxStreak = 256

// refusedAgain adds a rejection to the streak of its sort. With enough rejections for the same reason in a row, of whatever sorts, it halts
// the destination and puts them all back.
func (t *txn) refusedAgain(d *destRec, o *store.Outcome, r rejection) (halted string, err error) {
	i := slices.IndexFunc(d.rejections, func(s rejectionStreak) bool { return s.sort == o.Sort })
	if i < 0 {
		i = len(d.rejections)
		d.rejections = append(d.rejections, rejectionStreak{sort: o.Sort})
	}
	own := &d.rejections[i]
	if own.signature != o.Signature {
		own.signature, own.rejections = o.Signature, nil
	}
	own.rejections = append(own.rejections, r)
	if len(own.rejections) > maxStreak {
		own.rejections = own.rejections[len(own.rejections)-maxStreak:]
	}
	var alike []rejection
	lanes := map[store.Lane]bool{}
	for _, s := range d.rejections {
		if s.signature != o.Signature {
			continue
		}
		alike = append(alike, s.rejections...)
		for _, x := range s.rejections {
			lanes[x.lane] = true
		}
	}
	if len(lanes) < o.HaltAfter {
		return "", nil
	}
	noun := "calls"
	if o.Job.Kind == store.TranscriptJob {
		noun = "transcripts"
	}
	d.rejections = nil
	d.Halted, d.HaltedAt = fmt.Sprintf("%d %s in a row were refused for the same reason: %s", len(alike), noun, o.Error), round(o.At)
	for _, x := range alike {
		r, err := t.deadLetter(x.num)
		if err != nil {
			return "", err
		}
		if r == nil {
			continue // an operator has retried or dropped it
		}
		if _, err := t.requeue(x.num, r, false); err != nil {
			return "", err
		}
	}
	return d.Halted, nil
}

func putStreak(e *enc, s rejectionStreak) {
	e.str(s.signature)
	e.uint(uint64(len(s.rejections)))
	for _, x := range s.rejections {
		e.uint(x.num)
		e.raw(x.lane[:])
	}
}

func (d *dec) streak() (s rejectionStreak) {
	s.signature = d.str()
	for range d.count() {
		s.rejections = append(s.rejections, rejection{num: d.uint(), lane: d.lane()})
	}
	return s
}
