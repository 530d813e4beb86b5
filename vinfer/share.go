package vinfer

import (
	"math"
	"slices"
	"time"
)

// class groups the kinds of requests by what they leave to the others.
//
// Each class has a floor below which it stops, so a class never takes what a more urgent one is expected to need before the reset.
// Urgent requests stop at the reserve. Transcripts stop at the reserve, plus what other users of the key are expected to take,
// plus what urgent requests are expected to need, plus the share of what is read again. Requests that read again stop at the reserve, plus
// what others are expected to take, plus what urgent requests and transcripts are expected to need. What is expected comes from the last minutes: others.expected and budget.expect.
//
// A floor alone could stop a class for hours, so each of the two lower classes also has a small share of the limit (shareReread,
// shareCrowded), one request at a time and evenly spaced. Only the reserve and the urgent requests go before that share.
type class int

const (
	classUrgent      class = iota // news and unfinished calls: they leave only the reserve
	classTranscripts              // transcripts: they leave what the urgent ones need besides
	classReread                   // what is read again or later: it leaves what all others need
	numClasses
)

func classOf(p Priority) class {
	switch {
	case p <= Unfinished:
		return classUrgent
	case p == Transcripts:
		return classTranscripts
	default:
		return classReread
	}
}

// Shares of the limit for a class that its floor would stop without end.
const (
	shareReread  = 1. / 20  // for what is read again while transcripts wait: late calls must be found in time
	shareCrowded = 1. / 100 // for each class while the key's other users take all that is left
)

// How many minutes back budget.expect looks for the busiest one: polls come on a schedule, transcripts in short rushes.
const (
	newsMinutes       = 10
	transcriptMinutes = 2
)

// others measures what the key's other users take: in each window, what the server has counted and this client has not sent.
type others struct {
	began time.Time  // of the window
	own   int        // answered or lost in it
	rate  float64    // a second, in this window; below 0: not known yet
	last  [2]float64 // in the two windows before
}

// countOwn counts a request of this client that has ended.
func (o *others) countOwn() { o.own++ }

// learn updates the measurement by an answer at now, which changed the window from before to w. It reports whether w is another window.
func (o *others) learn(before, w window, now time.Time, inFlight int) (another bool) {
	another = !before.known || w.reset.Sub(before.reset).Abs() >= sameWindow || !now.Before(before.reset)
	if another {
		o.last = [2]float64{max(o.rate, 0), o.last[0]}
		// The window is taken to be as long as documented, unless more of it is left.
		*o = others{began: w.reset.Add(-max(defaultWindow, w.reset.Sub(now))), own: 1, rate: -1, last: o.last}
	}
	if gone := now.Sub(o.began); gone >= 5*time.Second {
		o.rate = float64(max(w.limit-w.remaining-o.own-inFlight, 0)) / gone.Seconds()
	}
	return another
}

// expected returns how many requests others will probably send within d: the median of the rates of this window and of the two before
// it, so one unusual window has no effect.
func (o *others) expected(d time.Duration) int {
	lo, hi := min(o.last[0], o.last[1]), max(o.last[0], o.last[1])
	return int(math.Ceil(min(max(o.rate, lo), hi) * d.Seconds()))
}

// transcriptWait measures for how much of a window transcripts waited. If that is more than half, they would take every request that is
// left, so their past rate says nothing about how many they need.
type transcriptWait struct {
	waiting bool // at the last look
	at      time.Time
	total   time.Duration // in this window
	starved bool          // in the window before
}

// observe records whether a transcript waits now.
func (h *transcriptWait) observe(queue []*waiter, now time.Time) {
	if h.waiting {
		h.total += now.Sub(h.at)
	}
	h.at = now
	h.waiting = slices.ContainsFunc(queue, func(w *waiter) bool { return classOf(w.priority) == classTranscripts })
}

// nextWindow ends a window of this length and begins another one.
func (h *transcriptWait) nextWindow(window time.Duration) {
	h.starved, h.total = h.total > window/2, 0
}

// expect returns how many requests of the kinds from first to last are expected until the reset: as many as in the busiest of the last
// minutes, less those already sent in this window, or the part of the busiest minute that the time to the reset is, whichever is
// more; at most most.
func (b *budget) expect(now time.Time, minutes int, first, last Priority, most int) int {
	m := b.meter.Load()
	peak := m.peak(now, minutes, first, last)
	byTime := int(math.Ceil(float64(peak) * min(b.w.reset.Sub(now).Seconds()/defaultWindow.Seconds(), 1)))
	return min(max(byTime, peak-m.recent(now, now.Sub(b.others.began), first, last)), most)
}

// admitClass reports whether a request of a class may be sent now, and if not, after what time to ask again. behind says that a more
// urgent request waits. The window is known and not over.
func (b *budget) admitClass(c class, behind bool, now time.Time) (bool, time.Duration) {
	behind = behind || c == classReread && b.transcripts.starved
	reserve := b.w.reserved(b.reserve)
	if c == classUrgent {
		return b.w.admit(now, reserve, b.inFlight, b.last[c])
	}
	toReset := b.w.reset.Sub(now)
	left := b.w.remaining - b.inFlight
	free := max(b.w.limit-reserve, 0)
	news := b.expect(now, newsMinutes, News, Unfinished, free/2)
	keep := reserve + b.others.expected(toReset) + news // others take their usual number, and the reserve is left
	crowded := left <= keep
	switch c {
	case classReread:
		keep += b.expect(now, transcriptMinutes, Transcripts, Transcripts, free)
	case classTranscripts:
		// Otherwise transcripts would end at the floor of what is read again, which then stood still until the reset.
		keep += int(math.Ceil(shareReread * float64(free) * min(toReset.Seconds()/defaultWindow.Seconds(), 1)))
	}
	wait := toReset
	if !behind && left > keep {
		var ok bool
		if ok, wait = b.w.admit(now, keep, b.inFlight, b.last[c]); ok {
			return true, 0
		}
	}
	share := shareCrowded
	if c == classReread && !crowded {
		share = shareReread
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
	return false, min(wait, time.Second) // what others take may change
}

// nextWaiter returns the place in the queue of the request that may be sent now. A place below 0 means none, and wait is the time after
// which to ask again.
func (b *budget) nextWaiter(now time.Time) (place int, wait time.Duration) {
	if wait := b.blocked.Sub(now); wait > 0 {
		return -1, wait
	}
	switch {
	case b.limitedRounds > 0 && !b.w.known && b.inFlight == 0:
		return 0, 0
	case b.limitedRounds > 0 && !b.w.known:
		return -1, untilAnswer // what one learns spares the others a refusal
	case !b.w.known, !now.Before(b.w.reset):
		if ok, wait := b.w.admit(now, 0, b.inFlight, time.Time{}); !ok {
			return -1, wait
		}
		return 0, 0
	}
	wait = untilAnswer
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
		if wait == untilAnswer || d < wait {
			wait = d
		}
		if c == classUrgent {
			break // nothing goes before it
		}
		seen = c
	}
	return -1, wait
}
