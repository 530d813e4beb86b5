//go:build soak

package soak

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

const (
	perSecond = 5  // calls that end: 300 a minute
	people    = 60 // few: each contact has many calls
	long      = 20 // calls in progress that began almost three hours before
)

// workspace is an API where calls go on and everything goes wrong.
type workspace struct {
	sim  *simulator.Server
	dice *rand.Rand

	late   time.Time // until then all calls are listed late
	storms int       // so many there were

	mu    sync.Mutex
	calls map[string]time.Time // all that there are, and when they ended
	ids   []string             // in the order of their making
}

// newWorkspace makes one where things go wrong for so long.
func newWorkspace(seed int64, d simulator.Dialect, length time.Duration) *workspace {
	w := &workspace{dice: rand.New(rand.NewPCG(uint64(seed), 2)), calls: map[string]time.Time{}}
	w.sim = simulator.New(simulator.Options{
		Seed: seed, Dialect: d, Calls: 300, Contacts: people, Span: 2 * time.Hour, RetryAfter: true, TranscriptDelay: 3 * time.Second,
	})
	for _, c := range w.sim.Calls() {
		w.calls[c.ID] = c.End
		w.ids = append(w.ids, c.ID)
	}
	now := time.Now().UTC().Truncate(time.Second)
	for range long {
		c := w.call(time.Duration(w.dice.Int64N(int64(length))))
		c.Status, c.Start, c.End = "", now.Add(-170*time.Minute), now.Add(c.Duration)
		c.Duration = c.End.Sub(c.Start)
		w.add(c)
	}
	return w
}

func (w *workspace) ended(id string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[id]
}

func (w *workspace) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.ids...)
}

var dispositions = []string{
	"interested", "not_interested", "not_reachable", "callback", "callback_requested", "dispute", "payment_promised", "already_paid", "dnd", "escalated", "a_new_one",
}

// latest is the longest that a call stays unlisted after its end, or a disposition unset: long enough for lookback, sweep and audit to have
// something to find each.
const latest = 30 * time.Second

// call makes a call up, without its place in time.
func (w *workspace) call(length time.Duration) simulator.Call {
	return simulator.Call{
		ID: fmt.Sprintf("call_soak%07d", len(w.ids)), Campaign: "cmp_soak", Status: "completed",
		Phone: fmt.Sprintf("+9198765%05d", w.dice.IntN(people)), Name: "Asha Rao", Language: "hi-IN",
		Disposition: dispositions[w.dice.IntN(len(dispositions))], Duration: length, Summary: "Spoke for a while.", Sentiment: "neutral", QAScore: 70,
	}
}

func (w *workspace) add(c simulator.Call) {
	w.mu.Lock()
	w.calls[c.ID] = c.End
	w.ids = append(w.ids, c.ID)
	w.mu.Unlock()
	w.sim.Add(c)
}

// begin makes a call. Nothing of it may be held back beyond until.
func (w *workspace) begin(until time.Time) {
	now, n := time.Now().UTC(), w.dice.IntN(100)
	length := time.Duration(1+w.dice.IntN(8)) * time.Second
	c := w.call(length)
	c.Start, c.End = now.Add(-length), now
	hold := func(d time.Duration) time.Time {
		if at := now.Add(d); at.Before(until) {
			return at
		}
		return until
	}
	switch {
	case n < 10, now.Before(w.late): // late, for the lookback to find
		c.VisibleFrom = hold(time.Duration(1+w.dice.IntN(8)) * time.Second)
	case n < 14: // for the sweep
		c.VisibleFrom = hold(time.Duration(12+w.dice.IntN(6)) * time.Second)
	case n < 16: // for the audit
		c.VisibleFrom = hold(latest)
	case n < 17: // dated in the future
		c.End, c.VisibleFrom = now.Add(time.Duration(1+w.dice.IntN(90))*time.Minute), now
		c.Start = c.End.Add(-length)
	case n < 40: // in progress
		c.Status, c.Start, c.End = "", now, hold(length)
	case n < 44: // failed
		c.Status, c.Disposition, c.Duration, c.NoTranscript = "failed", "not_reachable", 0, true
	}
	if w.dice.IntN(5) == 0 {
		c.DispositionAt = hold(time.Duration(1+w.dice.IntN(30)) * time.Second)
	}
	w.add(c)
}

// change changes one of the last calls.
func (w *workspace) change() {
	w.mu.Lock()
	id := w.ids[len(w.ids)-1-w.dice.IntN(min(len(w.ids), 100))]
	w.mu.Unlock()
	d := dispositions[w.dice.IntN(len(dispositions))]
	w.sim.Set(id, func(c *simulator.Call) { c.Disposition = d })
}

// storm does much at once: all calls of three seconds are listed late, many change, or many begin and end in the same seconds.
func (w *workspace) storm() {
	w.storms++
	switch w.storms % 3 {
	case 0:
		w.late = time.Now().Add(3 * time.Second)
	case 1:
		for range 60 {
			w.change()
		}
	case 2:
		now := time.Now().UTC().Truncate(time.Second)
		for range 25 {
			c := w.call(4 * time.Second)
			c.Start, c.End = now.Add(-c.Duration), now
			w.add(c)
		}
	}
}

// common are the faults that strike some request all the time.
var common = []simulator.Fault{
	{Kind: simulator.Status, Status: 500, Share: 0.03},
	{Kind: simulator.Status, Status: 503, Share: 0.02},
	{Kind: simulator.Status, Status: 429, RetryAfter: time.Second, Share: 0.01},
	{Kind: simulator.HTML, Share: 0.02},
	{Kind: simulator.Cut, Share: 0.02},
	{Kind: simulator.Drop, Share: 0.02},
	{Kind: simulator.HangUp, Share: 0.02},
	{Kind: simulator.Empty, Share: 0.01},
	{Kind: simulator.WrongType, Share: 0.01},
	{Kind: simulator.ErrorBody, Share: 0.01},
	{Kind: simulator.Redirect, Share: 0.01},
	{Kind: simulator.Slow, Delay: 300 * time.Millisecond, Share: 0.04},
	{Kind: simulator.Slow, Delay: 6 * time.Second, Share: 0.003}, // longer than is waited for
}

// manners change every few seconds.
var manners = []simulator.Fault{
	{Kind: simulator.Doubled, Share: 0.3},
	{Kind: simulator.Endless},
	{Kind: simulator.IgnoreBound},
	{Kind: simulator.Clamp, N: 7},
	{Kind: simulator.Ascending},
	{Kind: simulator.Random},
	{Kind: simulator.Disorder},
	{Kind: simulator.Repeats},
	{Kind: simulator.NoTotal},
	{Kind: simulator.WrongTotal},
	{Kind: simulator.Miscount},
	{Kind: simulator.PageTotal},
	{Kind: simulator.NoTo},
	{Kind: simulator.Twins},
	{Kind: simulator.PastEnd},
	{Kind: simulator.PastEnd, N: 404},
	{Kind: simulator.NoContent},
	{Kind: simulator.NoDate},
	{Kind: simulator.Rates, Value: "none"},
	{Kind: simulator.Rates, Value: "past"},
	{Kind: simulator.Rates, Value: "ms"},
	{Kind: simulator.Rates, Value: "delta"},
	{Kind: simulator.Rates, Value: "negative"},
	{Kind: simulator.Rates, Value: "huge"},
	{Kind: simulator.Rates, Value: "text"},
	{Kind: simulator.Status, Status: 502},
	{Kind: simulator.HangUp, Count: -1},
}

// misbehave lets other things go wrong than before.
func (w *workspace) misbehave() {
	w.sim.Clear()
	if w.dice.IntN(4) > 0 {
		w.sim.Fault(manners[w.dice.IntN(len(manners))])
	}
	for _, f := range common {
		w.sim.Fault(f)
	}
	if w.dice.IntN(10) == 0 {
		w.sim.Spend(200) // somebody else uses the key's limit
	}
}

// live lets calls go on and things go wrong until then.
func (w *workspace) live(until time.Time) {
	next := time.Now()
	for now := next; now.Before(until); now = time.Now() {
		w.begin(until)
		if w.dice.IntN(10) == 0 {
			w.change()
		}
		if w.dice.IntN(5*perSecond) == 0 {
			w.storm()
		}
		if now.After(next) {
			w.misbehave()
			next = now.Add(time.Second + time.Duration(w.dice.IntN(3000))*time.Millisecond)
		}
		time.Sleep(time.Second / perSecond)
	}
	w.sim.Clear()
}
