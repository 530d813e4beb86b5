package sync

import (
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	"github.com/vinfer-sync/vinfer-sync/store"
)

// Observer is told what happens, to count and to show it. Its methods are called from many goroutines, some of which
// deliver: they return at once, and ask nothing of the engine.
type Observer interface {
	// Polled tells that a poll of the live window has ended.
	Polled(Polled)
	// Stored tells of calls that were never seen before, and how many of them show up late. Those that ended long ago are only counted.
	Stored(n, late int, recent []NewCall)
	// Attempted tells that one attempt at a delivery has ended.
	Attempted(Attempt)
}

// Polled is one poll.
type Polled struct {
	Took    time.Duration
	Fetched int // calls that the listing showed
	Err     error
}

// NewCall is a call as it was first seen, without what names a person.
type NewCall struct {
	ID, Disposition, Campaign string
	Phone                     string // masked
	Ended                     time.Time
	Talked                    time.Duration
}

// recentCalls is how long ago a call may have ended that an Observer is told of one by one.
const recentCalls = 48 * time.Hour

// Results of attempts.
const (
	ResultDelivered   = "delivered"
	ResultRefused     = "refused" // a dead letter
	ResultRetry       = "retry"
	ResultThrottled   = "throttled"
	ResultHalted      = "halted"
	ResultSkipped     = "skipped"
	ResultInterrupted = "interrupted" // by the end of the process
)

// Results are all of them.
var Results = []string{ResultDelivered, ResultRefused, ResultRetry, ResultThrottled, ResultHalted, ResultSkipped, ResultInterrupted}

// Attempt is one attempt at a delivery.
type Attempt struct {
	Dest   string
	Result string // one of Results
	Took   time.Duration
	// Behind is the time from a call's end until its first delivery; zero for anything else, and for backfills.
	Behind time.Duration
}

// Observe names who is told of what happens from now on. It is called before the engine is started.
func (e *Engine) Observe(o Observer) { e.observer = o }

// observe tells of an attempt.
func (c *dispatcher) observe(job *store.Job, o store.Outcome, took time.Duration) {
	if c.e.observer == nil {
		return
	}
	a := Attempt{Dest: c.d.Name, Took: took}
	switch {
	case o.Verdict == store.Delivered:
		a.Result = ResultDelivered
		if job.First && job.Kind == store.CallJob && job.Backfill == 0 {
			a.Behind = max(o.At.Sub(job.When), 0)
		}
	case o.Verdict == store.Dead:
		a.Result = ResultRefused
	case o.Verdict == store.Retry:
		a.Result = ResultRetry
	case o.Verdict == store.Skip:
		a.Result = ResultSkipped
	case !o.Due.IsZero():
		a.Result = ResultThrottled
	case c.isHalted():
		a.Result = ResultHalted
	default:
		a.Result = ResultInterrupted
	}
	c.e.observer.Attempted(a)
}

// firstSeen takes note of the new calls of a page, and tells the observer of them.
func (e *Engine) firstSeen(p store.Page, got store.Ingested) {
	if got.New == 0 {
		return
	}
	fresh := make(map[string]bool, len(got.NewIDs))
	for _, id := range got.NewIDs {
		fresh[id] = true
	}
	var recent []NewCall
	for _, r := range p.Rows {
		if !fresh[r.ID] || r.When.Before(p.At.Add(-recentCalls)) {
			continue
		}
		delete(fresh, r.ID)
		body, err := decode(r.Body)
		if err != nil {
			continue // it was encoded just now
		}
		c := body.Call
		n := NewCall{ID: r.ID, Disposition: Disposition(c.Disposition), Campaign: c.CampaignID, Phone: mask.Phone(c.Phone), Ended: r.When}
		if c.DurationSeconds != nil {
			n.Talked = time.Duration(*c.DurationSeconds * float64(time.Second))
		}
		recent = append(recent, n)
	}
	if e.observer == nil {
		return
	}
	e.observer.Stored(got.New, got.Late, recent)
}

// Oldest returns when the oldest call ended that waits for a destination, those of backfills left aside; zero: none waits.
func (e *Engine) Oldest(dest string) (time.Time, error) {
	refs, _, err := e.o.Store.Scan(dest, nil, 1, nil)
	if err != nil || len(refs) == 0 || refs[0].Backfill != 0 {
		return time.Time{}, err
	}
	return refs[0].When, nil
}
