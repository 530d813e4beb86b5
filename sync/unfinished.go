package sync

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// unfinished knows the calls that listings showed in progress, as the store's watch list has them. A call is asked for by its id only
// when it has lasted longer than the listings reach back.
type unfinished struct {
	e *Engine

	mu    sync.Mutex
	calls map[string]vinfer.Call
	lanes map[store.Lane]map[string]struct{} // ids

	ended, before idSet // calls that polls have seen ended: of late, and in the minutes before
	since         time.Time
	asked         map[string]time.Time // when a call was asked for by its id because another one of its contact had ended
}

// askedAnew is how long what VInfer said of a call in progress is taken to hold.
const askedAnew = 15 * time.Second

// mayAsk tells whether a call is to be asked for by its id, and notes that it is.
func (u *unfinished) mayAsk(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if now.Sub(u.asked[id]) < askedAnew {
		return false
	}
	if u.asked == nil || len(u.asked) > 10_000 {
		u.asked = map[string]time.Time{}
	}
	u.asked[id] = now
	return true
}

// endedKept is how long it is known at least that a poll has seen a call ended.
const endedKept = 10 * time.Minute

func (u *unfinished) mayAskAgain(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.asked, id)
}

// ends tells whether no poll of the last minutes has shown that the call has ended.
func (u *unfinished) ends(id string) bool {
	h := hashID(id)
	u.mu.Lock()
	defer u.mu.Unlock()
	return !u.ended.has(h) && !u.before.has(h)
}

// haveEnded takes note of the calls, by their hashes, whose ends a poll has shown that was read to its end.
func (u *unfinished) haveEnded(hashes []uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if now := time.Now(); now.Sub(u.since) > endedKept {
		u.before, u.ended, u.since = u.ended, idSet{}, now
	}
	for _, h := range hashes {
		u.ended.add(h)
	}
}

// load takes up what an earlier process was watching.
func (u *unfinished) load() error {
	u.mu.Lock()
	u.calls, u.lanes = map[string]vinfer.Call{}, map[store.Lane]map[string]struct{}{}
	u.mu.Unlock()
	due, _, err := u.e.o.Store.DueWatches(store.FinishWatch, time.Now().AddDate(10, 0, 0), 1<<30)
	for _, w := range due {
		if body, err := decode(w.Body); err == nil { // one that is damaged is told when it is due
			u.add(body.Call)
		}
	}
	return err
}

func (u *unfinished) add(c vinfer.Call) {
	lane := u.e.lane(c.Phone, c.ID)
	u.mu.Lock()
	defer u.mu.Unlock()
	if old, there := u.calls[c.ID]; there {
		if !reflect.DeepEqual(old, c) { // as at nearly every poll
			u.calls[c.ID] = mergeCalls(old, c)
		}
		return
	}
	u.calls[c.ID] = c
	if u.lanes[lane] == nil {
		u.lanes[lane] = map[string]struct{}{}
	}
	u.lanes[lane][c.ID] = struct{}{}
}

// knows tells whether a call was in progress when a listing showed it last.
func (u *unfinished) knows(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, there := u.calls[id]
	return there
}

// note takes a call that a listing shows in progress and returns what the store keeps of it. One that is overdue is no matter any more for
// the order of its contact's calls: it may go on for ever.
func (u *unfinished) note(c vinfer.Call, overdue bool) store.Unfinished {
	if !overdue {
		u.add(c)
	}
	return store.Unfinished{ID: c.ID, Body: encode(content{Call: c}), Due: u.e.plan.askAt(c, 0)}
}

// forget takes out calls that have ended.
func (u *unfinished) forget(rows []store.Row) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.calls) == 0 {
		return
	}
	for i := range rows {
		c, there := u.calls[rows[i].ID]
		if !there {
			continue
		}
		delete(u.calls, c.ID)
		lane := u.e.lane(c.Phone, c.ID)
		if delete(u.lanes[lane], c.ID); len(u.lanes[lane]) == 0 {
			delete(u.lanes, lane)
		}
	}
}

// of returns the calls in progress of a lane that began before a time.
func (u *unfinished) of(lane store.Lane, before time.Time) (calls []vinfer.Call) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id := range u.lanes[lane] {
		if c := u.calls[id]; c.StartedAt.Before(before) {
			calls = append(calls, c)
		}
	}
	return calls
}

// endedBefore asks for the calls in progress of contacts of whom a listing shows calls that have ended, given with the time of the last
// end, and returns those that have ended by now. A listing does not reach back to the start of every call in progress: without this, a
// call that it does not show would arrive after a newer one of its contact. shown are the calls that the listing shows.
func (e *Engine) endedBefore(ctx context.Context, lanes map[store.Lane]time.Time, upTo time.Time, shown ...map[string]struct{}) ([]store.Row, error) {
	isShown := func(id string) bool {
		return slices.ContainsFunc(shown, func(ids map[string]struct{}) bool { _, is := ids[id]; return is })
	}
	var rows []store.Row
	for lane, last := range lanes {
		for _, c := range e.unfinished.of(lane, last) {
			if isShown(c.ID) || !e.unfinished.mayAsk(c.ID) {
				continue
			}
			now, err := e.o.API.Call(ctx, c.ID, vinfer.Unfinished)
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case err != nil:
				e.unfinished.mayAskAgain(c.ID)
				e.log.Debug("cannot ask for a call in progress", keyCall, c.ID, keyError, err)
			case !now.Unfinished():
				row := e.row(mergeCalls(c, now), e.serverNow(), "")
				row.Hold = row.When.After(upTo)
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}

// overdue tells whether a call that has no end has lasted longer than calls do: VInfer will never give it one.
func (e *Engine) overdue(c vinfer.Call, now time.Time) bool {
	return e.o.MaxCall > 0 && !c.StartedAt.IsZero() && now.Sub(c.StartedAt) > e.o.MaxCall
}

// finish looks whether a call in progress has ended. One that has lasted longer than any call does is delivered as it is: its end, should
// VInfer show it one day, is a revision.
func (w *watcher) finish(ctx context.Context, x store.Watch) error {
	e := w.e
	if x.Since.IsZero() {
		x.Since = time.Now().UTC()
	}
	body, err := decode(x.Body)
	if err != nil {
		return err
	}
	known := body.Call
	if due := e.plan.askAt(known, 0); x.Attempts == 0 && time.Until(due) > time.Second {
		x.Due = due // listings still reach back to its start
		return w.again(x)
	}
	c, err := e.o.API.Call(ctx, x.ID, vinfer.Unfinished)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the process ends; the watch stays as it is
	}
	if err != nil && !errors.Is(err, vinfer.ErrNotFound) {
		x.Due = time.Now().Add(time.Minute) // a fault of the API is no answer
		return w.again(x)
	}
	if err != nil { // the listing may still show its end
		c = known
	}
	now := e.serverNow()
	began := known
	if began.StartedAt.IsZero() {
		began.StartedAt = x.Since
	}
	if c.Unfinished() && !e.overdue(began, now) {
		x.Attempts++
		x.Due = e.plan.askAt(known, x.Attempts)
		return w.again(x)
	}
	c = mergeCalls(known, c)
	if c.Unfinished() {
		if c.StartedAt.IsZero() {
			c.StartedAt = x.Since
		}
		e.neverEnded(c)
	}
	row := e.row(c, now, "")
	older, err := e.endedBefore(ctx, map[store.Lane]time.Time{row.Lane: row.When}, row.When, map[string]struct{}{c.ID: {}})
	if err != nil {
		return nil //nolint:nilerr // the process ends; the watch stays as it is
	}
	for i := range older {
		older[i].Hold = false
	}
	_, err = e.ingest(store.Page{Stream: store.FollowStream, Rows: append(older, row), Close: &store.Interval{From: row.When, To: row.When}})
	return err
}

// Settings that count something since the store was made.
const (
	settingNeverEnded = "never_ended"
	settingOthers     = "other_campaigns"
)

// neverEnded counts a call that is delivered without an end, and tells of it.
func (e *Engine) neverEnded(c vinfer.Call) {
	e.log.Warn("a call in progress has lasted longer than max_call; it is delivered as it is", keyCall, c.ID, "status", c.Status, "started", rfc3339(c.StartedAt))
	if err := e.addTo(settingNeverEnded, 1); err != nil {
		e.log.Error("cannot count a call without an end", keyCall, c.ID, keyError, err)
	}
}

// countOthers counts the calls of a slice whose campaigns are not wanted.
func (e *Engine) countOthers(got *readResult, n int) {
	if n == 0 {
		return
	}
	if err := e.addTo(settingOthers, n); err != nil {
		e.log.Error("cannot count the calls of campaigns that are not configured", "calls", n, keyError, err)
		return
	}
	got.others = n
}

// addTo adds to a count that is kept as a setting.
func (e *Engine) addTo(setting string, n int) error {
	return e.o.Store.PutSetting(setting, strconv.AppendInt(nil, countOf(e.o.Store, setting)+int64(n), 10))
}

// ShowCounts adds to a status what is counted beside the destinations.
func ShowCounts(status *Status, s store.Store) {
	status.NeverEnded = countOf(s, settingNeverEnded)
	if n := countOf(s, settingOthers); n > 0 {
		status.LeftOut[store.LeftCampaign] += n
	}
}

// countOf returns a count that is kept as a setting.
func countOf(s store.Store, setting string) int64 {
	v, err := s.Setting(setting)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(v), 10, 64) // none was counted
	return n
}
