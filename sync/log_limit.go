package sync

import "time"

const (
	logEvery = 5
	logFor   = time.Hour
)

// logLimiter lets the same message be logged logEvery times in logFor, so that a flood of one message does not bury the others. The caller guards it with a lock.
type logLimiter struct {
	since  time.Time
	said   int
	unsaid int
}

// allow tells whether to say it at now, and how many times it was left unsaid since it last was.
func (h *logLimiter) allow(now time.Time) (say bool, unsaid int) {
	if h.since.IsZero() || now.Sub(h.since) >= logFor {
		h.since, h.said = now, 0
	}
	if h.said >= logEvery {
		h.unsaid++
		return false, 0
	}
	h.said++
	unsaid, h.unsaid = h.unsaid, 0
	return true, unsaid
}
