package sync

import "time"

const (
	hushAfter = 5
	hushFor   = time.Hour
)

// hush lets the same message be said a few times an hour, so that a flood of it does not bury the rest of the log. The caller guards it.
type hush struct {
	since  time.Time
	said   int
	unsaid int
}

// next tells whether to say it at now, and how many times it was left unsaid since it last was.
func (h *hush) next(now time.Time) (say bool, unsaid int) {
	if h.since.IsZero() || now.Sub(h.since) >= hushFor {
		h.since, h.said = now, 0
	}
	if h.said >= hushAfter {
		h.unsaid++
		return false, 0
	}
	h.said++
	unsaid, h.unsaid = h.unsaid, 0
	return true, unsaid
}
