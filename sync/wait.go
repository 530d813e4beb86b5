package sync

import (
	"encoding/json"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// keptWait is how long a destination asked to be let alone. One that is longer than a run by hand waits is kept in the store: under cron
// the next process comes a minute later.
type keptWait struct {
	Until time.Time `json:"until"`
	Why   string    `json:"why"`
	Whose string    `json:"whose"` // fingerprint of the destination that asked: another URL or credential has not
}

func waitKey(dest string) string { return "wait/" + dest }

// waitOf returns the wait that is kept for a destination; one in the past if there is none.
func waitOf(s store.Store, dest string) (w keptWait) {
	v, err := s.Setting(waitKey(dest))
	if err != nil || v == nil || json.Unmarshal(v, &w) != nil {
		return keptWait{}
	}
	return w
}

// keepWait keeps that the destination is let alone until then.
func (c *courier) keepWait(until time.Time, why string) {
	if time.Until(until) <= retryHorizon {
		return
	}
	v, err := json.Marshal(keptWait{until.UTC(), why, c.e.fingerprint(c.d)})
	if err == nil {
		err = c.e.o.Store.PutSetting(waitKey(c.d.Name), v)
	}
	if err != nil {
		c.e.log.Error("cannot keep how long the destination asked to wait", keyDest, c.d.Name, keyError, err)
	}
}

// takeWait goes on with a wait that an earlier process kept. Nothing runs yet.
func (c *courier) takeWait(now time.Time) {
	w := waitOf(c.e.o.Store, c.d.Name)
	if w.Whose != c.e.fingerprint(c.d) || !w.Until.After(now) {
		return
	}
	c.until, c.why, c.limited = w.Until, w.Why, 1
	if most := now.Add(throttleMax); c.until.After(most) { // the clock was set back
		c.until = most
	}
}

// Resume lifts the halt of a destination in its store, and ends a wait that it asked for. An engine that runs has a Resume of its own.
func Resume(s store.Store, dest string) error {
	if err := s.Hold(dest, store.Hold{}); err != nil {
		return err
	}
	if waitOf(s, dest).Until.IsZero() {
		return nil
	}
	return s.PutSetting(waitKey(dest), nil)
}

// ShowWaits adds to a status made by StatusOf which destinations asked to be let alone.
func ShowWaits(status *Status, s store.Store) {
	for i := range status.Destinations {
		d := &status.Destinations[i]
		if w := waitOf(s, d.Name); d.Pending > 0 && w.Until.After(time.Now()) && (d.State == stateOK || d.State == stateWaiting) {
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
