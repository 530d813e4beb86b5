package sync

import (
	"encoding/json"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// keptThrottle is how long a destination asked to be let alone. One that is longer than a run by hand waits is kept in the store: under cron
// the next process comes a minute later.
type keptThrottle struct {
	Until time.Time `json:"until"`
	Why   string    `json:"why"`
	Whose string    `json:"whose"` // fingerprint of the destination that asked: another URL or credential has not
}

func throttleKey(dest string) string { return "wait/" + dest }

// throttleOf returns the wait that is kept for a destination; one in the past if there is none.
func throttleOf(s store.Store, dest string) (w keptThrottle) {
	v, err := s.Setting(throttleKey(dest))
	if err != nil || v == nil || json.Unmarshal(v, &w) != nil {
		return keptThrottle{}
	}
	return w
}

// keepThrottle keeps that the destination is let alone until then.
func (c *dispatcher) keepThrottle(until time.Time, why string) {
	if time.Until(until) <= retryHorizon {
		return
	}
	v, err := json.Marshal(keptThrottle{until.UTC(), why, c.e.fingerprint(c.d)})
	if err == nil {
		err = c.e.o.Store.PutSetting(throttleKey(c.d.Name), v)
	}
	if err != nil {
		c.e.log.Error("cannot keep how long the destination asked to wait", keyDest, c.d.Name, keyError, err)
	}
}

// loadThrottle goes on with a wait that an earlier process kept. Nothing runs yet.
func (c *dispatcher) loadThrottle(now time.Time) {
	w := throttleOf(c.e.o.Store, c.d.Name)
	if w.Whose != c.e.fingerprint(c.d) || !w.Until.After(now) {
		return
	}
	c.throttledUntil, c.reason, c.throttles = w.Until, w.Why, 1
	if most := now.Add(throttleMax); c.throttledUntil.After(most) { // the clock was set back
		c.throttledUntil = most
	}
}

// Resume lifts the halt of a destination in its store, and ends a wait that it asked for. An engine that runs has a Resume of its own.
func Resume(s store.Store, dest string) error {
	if err := s.Hold(dest, store.Hold{}); err != nil {
		return err
	}
	if throttleOf(s, dest).Until.IsZero() {
		return nil
	}
	return s.PutSetting(throttleKey(dest), nil)
}

// ShowWaits adds to a status made by StatusOf which destinations asked to be let alone.
func ShowWaits(status *Status, s store.Store) {
	for i := range status.Destinations {
		d := &status.Destinations[i]
		if w := throttleOf(s, d.Name); d.Pending > 0 && w.Until.After(time.Now()) && (d.State == stateOK || d.State == stateWaiting) {
			d.State, d.Reason, d.LastError = stateWaiting, waitReason(w.Until, w.Why), w.Why
		}
	}
}

func waitReason(until time.Time, why string) string {
	if why == "" {
		return "asked to wait until " + rfc3339(until)
	}
	return "asked to wait until " + rfc3339(until) + ": " + why
}
