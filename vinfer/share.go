package vinfer

import (
	"math"
	"slices"
	"time"
)

// class groups the kinds of requests by what they leave to whom.
type class int

const (
	urgent    class = iota // news and unfinished calls: they leave only the reserve
	following              // transcripts: they leave what the urgent ones need besides
	again                  // what is read again or later: it leaves what all others need
	classes
)

func classOf(p Priority) class {
	switch {
	case p <= Unfinished:
		return urgent
	case p == Transcripts:
		return following
	default:
		return again
	}
}

// Shares of the limit that are there for whom the rule would let wait without end.
const (
	shareAgain   = 1. / 20  // for what is read again while transcripts wait: late calls must be found in time
	shareCrowded = 1. / 100 // for each class while the key's other users take all that is left
)

// How many minutes back the busiest is looked for: polls come on a schedule, transcripts in rushes that are over at once.
const (
	newsMinutes       = 10
	transcriptMinutes = 2
)

// others follows what the key's other users take: in each window what the server has counted and this client has not sent.
type others struct {
	began time.Time  // of the window
	ours  int        // answered or lost in it
	rate  float64    // a second, in this window; below 0: not known yet
	last  [2]float64 // in the two windows before
}

// count counts a request of ours that came to its end.
func (o *others) count() { o.ours++ }

// learn takes up what an answer at now made of the window, and tells whether that is another one than before.
func (o *others) learn(before, w window, now time.Time, flying int) (another bool) {
	another = !before.known || w.reset.Sub(before.reset).Abs() >= sameWindow || !now.Before(before.reset)
	if another {
		o.last = [2]float64{max(o.rate, 0), o.last[0]}
		// The window is taken to be as long as documented, unless more of it is left.
		*o = others{began: w.reset.Add(-max(defaultWindow, w.reset.Sub(now))), ours: 1, rate: -1, last: o.last}
	}
	if gone := now.Sub(o.began); gone >= 5*time.Second {
		o.rate = float64(max(w.limit-w.remaining-o.ours-flying, 0)) / gone.Seconds()
	}
	return another
}

// expected returns how many requests others will send within d. One window that was unlike the ones before says nothing.
func (o *others) expected(d time.Duration) int {
	lo, hi := min(o.last[0], o.last[1]), max(o.last[0], o.last[1])
	return int(math.Ceil(min(max(o.rate, lo), hi) * d.Seconds()))
}

// hunger measures for how much of a window transcripts waited for their turn. Where that is most of it they would take all that there
// is, and how many they were says nothing of how many they would be.
type hunger struct {
	waiting bool // at the last look
	at      time.Time
	waited  time.Duration // in this window
	hungry  bool          // in the window before
}

// look notes whether any waits now.
func (h *hunger) look(queue []*waiter, now time.Time) {
	if h.waiting {
		h.waited += now.Sub(h.at)
	}
	h.at = now
	h.waiting = slices.ContainsFunc(queue, func(w *waiter) bool { return classOf(w.priority) == following })
}

// turn begins another window after one of so long.
func (h *hunger) turn(window time.Duration) {
	h.hungry, h.waited = h.waited > window/2, 0
}

// need returns how many requests of the kinds from first to last are to be expected until the reset: as many as in the
// busiest of the last minutes, less what they have had in this window, or by the time that is left; at most so many.
func (b *budget) need(now time.Time, minutes int, first, last Priority, most int) int {
	m := b.meter.Load()
	peak := m.peak(now, minutes, first, last)
	byTime := int(math.Ceil(float64(peak) * min(b.w.reset.Sub(now).Seconds()/defaultWindow.Seconds(), 1)))
	return min(max(byTime, peak-m.recent(now, now.Sub(b.others.began), first, last)), most)
}

// admitClass is the rule for a request of a class; behind: a more urgent one waits. The window is known and not over.
func (b *budget) admitClass(c class, behind bool, now time.Time) (bool, time.Duration) {
	behind = behind || c == again && b.hunger.hungry
	reserve := b.w.kept(b.reserve)
	if c == urgent {
		return b.w.admit(now, reserve, b.flying, b.last[c])
	}
	toReset := b.w.reset.Sub(now)
	left := b.w.remaining - b.flying
	free := max(b.w.limit-reserve, 0)
	news := b.need(now, newsMinutes, News, Unfinished, free/2)
	keep := reserve + b.others.expected(toReset) + news // others may take what they use to, and the reserve is there yet
	crowded := left <= keep
	if c == again {
		keep += b.need(now, transcriptMinutes, Transcripts, Transcripts, free)
	}
	wait := toReset
	if !behind && left > keep {
		var ok bool
		if ok, wait = b.w.admit(now, keep, b.flying, b.last[c]); ok {
			return true, 0
		}
	}
	share := shareCrowded
	if c == again && !crowded {
		share = shareAgain
	}
	if left > reserve+news {
		// Measured from the last request, as in window.admit.
		pace := time.Duration(float64(defaultWindow) / max(share*float64(b.w.limit), 1))
		due := b.last[c].Add(pace).Sub(now)
		if due <= 0 {
			return true, 0
		}
		wait = min(wait, due)
	}
	return false, min(wait, time.Second) // what others take is looked at again and again
}

// next returns the place in the queue of the request that may go now; below 0: none, and after what time to look again.
func (b *budget) next(now time.Time) (place int, wait time.Duration) {
	if wait := b.blocked.Sub(now); wait > 0 {
		return -1, wait
	}
	switch {
	case b.limited > 0 && !b.w.known && b.flying == 0:
		return 0, 0
	case b.limited > 0 && !b.w.known:
		return -1, never // what one learns spares the others a refusal
	case !b.w.known, !now.Before(b.w.reset):
		if ok, wait := b.w.admit(now, 0, b.flying, time.Time{}); !ok {
			return -1, wait
		}
		return 0, 0
	}
	wait = never
	seen := class(-1)
	for i, w := range b.queue {
		c := classOf(w.priority)
		if c == seen {
			continue
		}
		ok, d := b.admitClass(c, seen >= 0, now)
		if ok {
			return i, 0
		}
		if wait == never || d < wait {
			wait = d
		}
		if c == urgent {
			break // nothing goes before it
		}
		seen = c
	}
	return -1, wait
}
