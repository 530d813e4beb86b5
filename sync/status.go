package sync

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// Summary is what one run did.
type Summary struct {
	Fetched   int   `json:"fetched"` // calls that the listing showed
	New       int   `json:"new"`     // of them never seen before
	Delivered int64 `json:"delivered"`
	Pending   int   `json:"pending"` // in the outbox now
	Dead      int   `json:"dead"`    // dead letters now
	TookMS    int64 `json:"took_ms"`
	// LeftOut counts what the run left out, by reason (store.LeftReasons).
	LeftOut map[string]int64 `json:"left_out,omitempty"`
	// NewDead counts dead letters made by this run.
	NewDead int `json:"-"`
}

// Status is the state of the pipeline as `status --json` prints it; its field names are stable.
type Status struct {
	Version      string           `json:"version"`
	Pipeline     string           `json:"pipeline"`
	Config       string           `json:"config"` // the configuration's file
	Daemon       bool             `json:"daemon"` // whether the daemon tells it; else the state file does, and no daemon runs
	Cursor       string           `json:"cursor"` // RFC 3339
	CursorParam  string           `json:"cursor_param"`
	LastRun      LastRun          `json:"last_run"`
	LagSeconds   int64            `json:"lag_seconds"`
	Budget       BudgetStatus     `json:"budget"`
	Pending      int              `json:"pending"`
	Dead         int              `json:"dead"`
	Transcripts  int              `json:"transcripts_waiting"`
	Unfinished   int              `json:"calls_in_progress"`
	LateFound    int64            `json:"late_found"`
	Lateness     []LateStatus     `json:"late_by"` // of late_found, by who found them
	Advice       string           `json:"lookback_advice"`
	AuditedUntil string           `json:"audited_until"` // RFC 3339, empty before the first audit
	Destinations []DestStatus     `json:"destinations"`
	Backfills    []BackfillStatus `json:"backfills"`
	LastSuccess  string           `json:"last_success"` // RFC 3339: the last run without an error
	NextRun      string           `json:"next_run"`     // RFC 3339; empty: no daemon, or it polls now
	ClockSkew    float64          `json:"clock_skew_seconds"`
	Alerts       []Alert          `json:"alerts"`       // what needs an operator, as the daemon sees it
	ConfigError  string           `json:"config_error"` // why the daemon did not take up the configuration as it is now
	// Requests counts what was asked of VInfer since the process began, and in the last minute, by kind; empty: no daemon.
	Requests []vinfer.KindRequests `json:"api_requests"`
	// TranscriptMinutes is how long the awaited transcripts take at the pace of the last minute; 0: less than a minute, or not known.
	TranscriptMinutes int `json:"transcripts_minutes"`
	// ScheduleAdvice is a schedule that fits how long polls take; empty: the configured one does.
	ScheduleAdvice string           `json:"schedule_advice"`
	NeverEnded     int64            `json:"never_ended"` // calls that were delivered without an end, as VInfer showed none within max_call
	LeftOut        map[string]int64 `json:"left_out"`    // calls and parts of calls that were skipped since the store was made, by reason
	// Role is leader or standby, and Leader who leads the pipeline, where nodes share it; empty and nil: they do not, or nobody leads.
	Role   string  `json:"role,omitempty"`
	Leader *Leader `json:"leader,omitempty"`
}

// Leader is the node that runs a pipeline which several share.
type Leader struct {
	Node  string    `json:"node"`
	Since time.Time `json:"since"`
}

// Alert is something that needs an operator.
type Alert struct {
	Alert       string    `json:"alert"`       // lag, runs, clock, halted, dead, disk, left_out, gap, key, stuck, listen, down, no_leader or went_back
	Destination string    `json:"destination"` // empty: it concerns none in particular
	Message     string    `json:"message"`
	Remedy      string    `json:"remedy"`
	Since       time.Time `json:"since"`
}

// LateStatus sums up the late calls that polls (which look back), the settled sweep (sweep) or audits (audit) found.
type LateStatus struct {
	By          string `json:"by"` // lookback, sweep or audit
	Found       int64  `json:"found"`
	MostSeconds int64  `json:"most_seconds"` // from a call's end until it was found, at most
	Last        string `json:"last"`         // RFC 3339
}

// LastRun is the last poll.
type LastRun struct {
	At        string `json:"at"` // RFC 3339, empty before the first
	TookMS    int64  `json:"took_ms"`
	Fetched   int    `json:"fetched"`
	New       int    `json:"new"`
	Delivered int    `json:"delivered"`
	Error     string `json:"error"`
}

// BudgetStatus is VInfer's request budget as last seen; zero and empty before the first answer.
type BudgetStatus struct {
	Limit     int    `json:"limit"`
	Remaining int    `json:"remaining"`
	Reset     string `json:"reset"` // RFC 3339
}

// DestStatus is the state of one destination: ok, waiting (for a retry or because it asked to wait: it goes on by itself), halted
// (until an operator resumes it, also if one paused it), or orphaned (no longer configured).
type DestStatus struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	State     string `json:"state"`
	Pending   int    `json:"pending"`
	Dead      int    `json:"dead"`
	Delivered int64  `json:"delivered"`
	LastError string `json:"last_error"`
	Reason    string `json:"reason"` // why it is halted or waiting
	Paused    bool   `json:"paused"` // halted, and by an operator
	// LeftOut counts what it did not get since the store was made, by reason.
	LeftOut map[string]int64 `json:"left_out"`
}

// BackfillStatus is one backfill: running, interrupted (its range is not read to its end: the same command goes on), delivering, done or
// cancelled.
type BackfillStatus struct {
	ID        uint64 `json:"id"`
	State     string `json:"state"`
	Range     string `json:"range"`
	Campaign  string `json:"campaign"`
	To        string `json:"to"`
	Begun     string `json:"begun"` // RFC 3339
	Fetched   int64  `json:"fetched"`
	Queued    int64  `json:"queued"`
	Delivered int64  `json:"delivered"`
	Dead      int64  `json:"dead"`
	TasksLeft int64  `json:"tasks_left"`
}

// Status tells how the pipeline is.
func (e *Engine) Status() (Status, error) {
	st, err := e.Stats()
	if err != nil {
		return Status{}, err
	}
	s := StatusOf(st, e.o.Name, e.o.Version)
	s.Budget = e.budget()
	e.markRunning(s.Backfills)
	if p := e.param(); p != "" {
		s.CursorParam = p
	}
	if next := e.next.Load(); next != nil {
		s.NextRun = rfc3339((*next)())
	}
	s.ClockSkew = e.o.API.Skew().Seconds()
	s.Advice = AdviceOf(st.Lateness, e.o.Lookback)
	ShowCounts(&s, e.o.Store)
	s.Requests, s.ScheduleAdvice = e.o.API.Requests(), e.plan.advice()
	if pace := s.Requests[vinfer.Transcripts].LastMinute; pace > 0 {
		s.TranscriptMinutes = st.Transcripts / pace
	}
	for i := range s.Destinations {
		if c := e.dests[s.Destinations[i].Name]; c != nil && (s.Destinations[i].State == stateOK || s.Destinations[i].State == stateWaiting) {
			if why, last := c.waitingFor(); why != "" {
				s.Destinations[i].State, s.Destinations[i].Reason, s.Destinations[i].LastError = stateWaiting, why, last
			}
		}
	}
	return s, nil
}

// States of a destination that is neither halted nor orphaned.
const (
	stateOK      = "ok"
	stateWaiting = "waiting"
)

// StatusOf tells how a pipeline is from its store alone, for when no engine runs.
func StatusOf(st store.Stats, name, version string) Status {
	s := Status{
		Version: version, Pipeline: name, Cursor: rfc3339(st.Watermark),
		Pending: st.Pending, Dead: st.Dead, Transcripts: st.Transcripts, Unfinished: st.Unfinished,
		LateFound: st.LateFound, AuditedUntil: rfc3339(auditedUntil(st)),
		LastRun: LastRun{
			At: rfc3339(st.LastRun.At), TookMS: st.LastRun.Took.Milliseconds(), Fetched: st.LastRun.Fetched,
			New: st.LastRun.New, Delivered: st.LastRun.Delivered, Error: st.LastRun.Error,
		},
		LastSuccess:  rfc3339(st.LastRun.LastSuccess),
		Destinations: []DestStatus{}, Backfills: []BackfillStatus{}, Alerts: []Alert{}, Lateness: []LateStatus{},
		LeftOut: leftOutOf(st), Requests: []vinfer.KindRequests{},
	}
	if !st.Watermark.IsZero() {
		s.LagSeconds = max(0, int64(time.Since(st.Watermark).Seconds()))
	}
	for _, l := range st.Lateness {
		by := l.By
		if by == store.LiveStream {
			by = "lookback"
		}
		s.Lateness = append(s.Lateness, LateStatus{By: by, Found: l.Found, MostSeconds: int64(l.Most.Seconds()), Last: rfc3339(l.Last)})
	}
	for _, d := range st.Dests {
		s.Destinations = append(s.Destinations, destStatus(d))
	}
	for _, b := range st.Backfills {
		if x := backfillStatus(b); x.State == backfillInterrupted || x.State == backfillDelivering {
			s.Backfills = append(s.Backfills, x)
		}
	}
	return s
}

// destStatus tells how a destination is from its store alone.
func destStatus(d store.Dest) DestStatus {
	ds := DestStatus{Name: d.Name, Kind: d.Kind, State: stateOK, Pending: d.Pending, Dead: d.Dead, Delivered: d.Delivered, LastError: d.LastError, LeftOut: map[string]int64{}}
	maps.Copy(ds.LeftOut, d.LeftOut.Counts)
	switch {
	case d.Orphaned:
		ds.State, ds.Reason = "orphaned", "no longer in the configuration"
	case d.Held() != "":
		ds.State, ds.Reason, ds.Paused = "halted", d.Held(), d.Paused != ""
		ds.LastError = cmp.Or(d.Halted, ds.LastError)
	case d.Pending > 0 && d.LastErrorAt.After(d.LastSuccess):
		ds.State, ds.Reason = stateWaiting, d.LastError
	}
	return ds
}

// budget is VInfer's request budget as last seen.
func (e *Engine) budget() BudgetStatus {
	b := e.o.API.Budget()
	if !b.Known {
		return BudgetStatus{}
	}
	return BudgetStatus{Limit: b.Limit, Remaining: b.Remaining, Reset: rfc3339(b.Reset)}
}

// States of a backfill.
const (
	backfillRunning     = "running"
	backfillInterrupted = "interrupted"
	backfillDelivering  = "delivering"
	backfillDone        = "done"
	backfillCancelled   = "cancelled"
)

func backfillStatus(b store.Backfill) BackfillStatus {
	x := BackfillStatus{
		ID: b.ID, State: backfillDone, Begun: rfc3339(b.CreatedAt), Fetched: b.Fetched, Queued: b.Queued, Delivered: b.Delivered, Dead: b.Dead, TasksLeft: b.TasksLeft,
	}
	var s backfillSpec
	if json.Unmarshal(b.Spec, &s) == nil {
		x.Range, x.Campaign, x.To = rfc3339(s.Since)+"/"+rfc3339(s.Until), s.Campaign, s.To
	}
	switch {
	case !b.Cancelled.IsZero():
		x.State = backfillCancelled
	case b.ReadDone.IsZero():
		x.State = backfillInterrupted
	case b.Pending() > 0:
		x.State = backfillDelivering
	}
	return x
}

// BackfillsOf lists all backfills of a store, for when no engine runs.
func BackfillsOf(st store.Stats) []BackfillStatus {
	out := []BackfillStatus{}
	for _, b := range st.Backfills {
		out = append(out, backfillStatus(b))
	}
	return out
}

// Backfills lists all backfills.
func (e *Engine) Backfills() ([]BackfillStatus, error) {
	st, err := e.o.Store.Stats()
	if err != nil {
		return nil, err
	}
	list := BackfillsOf(st)
	e.markRunning(list)
	return list, nil
}

func (e *Engine) markRunning(list []BackfillStatus) {
	for i := range list {
		if _, running := e.backfills.Load(list[i].ID); running {
			list[i].State = backfillRunning
		}
	}
}

func rfc3339(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// Pause holds a destination for an operator, for good until Resume. What is in flight is finished.
func (e *Engine) Pause(dest, why string) error {
	reason, err := Pause(e.o.Store, dest, why)
	if err != nil {
		return err
	}
	if c := e.dests[dest]; c != nil {
		c.halt(reason)
		c.mu.Lock()
		c.paused = true
		c.mu.Unlock()
	}
	e.log.Info("destination paused", keyDest, dest, "reason", reason)
	return nil
}

// Pause holds a destination in its store for an operator, and returns the reason that status shows. An engine that runs has a Pause of its own.
func Pause(s store.Store, dest, why string) (reason string, err error) {
	now := time.Now().UTC()
	reason = "paused by an operator at " + rfc3339(now)
	if why != "" {
		reason += ": " + why
	}
	return reason, s.Hold(dest, store.Hold{Reason: reason, Operator: true, At: now})
}

// Resume lifts the halt of a destination.
func (e *Engine) Resume(dest string) error {
	if err := Resume(e.o.Store, dest); err != nil {
		return err
	}
	if c := e.dests[dest]; c != nil {
		c.resume()
	}
	return nil
}

// RetryDead puts dead letters back into the outbox and returns how many went.
func (e *Engine) RetryDead(_ context.Context, nums []uint64) (int, error) {
	n, err := e.o.Store.EndDead(nums, true)
	for _, c := range e.order {
		c.releasedLive()
	}
	return n, err
}

// auditedUntil is how far an audit has proved that nothing is missing. Where the cursor was set back, what lies after it is read again first.
func auditedUntil(st store.Stats) time.Time {
	if st.AuditedUntil.After(st.Watermark) {
		return st.Watermark
	}
	return st.AuditedUntil
}
