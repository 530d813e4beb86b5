package sync

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

const (
	settingAudit    = "audit"
	settingAuditing = "audit_progress"
	auditStale      = 24 * time.Hour // an interrupted audit that is older begins anew
	day             = 24 * time.Hour

	defaultAuditDays = 3
)

// ErrAuditing is returned when an audit is asked for while one runs.
var ErrAuditing = errors.New("an audit is running")

// AuditReport is the outcome of the completeness check: the calls of a range as VInfer lists them now, compared with the ledger.
type AuditReport struct {
	From     time.Time `json:"from"` // calls that completed after this …
	To       time.Time `json:"to"`   // … and not after this: as far as the polls had read
	Compared int       `json:"compared"`
	// Late counts the calls that neither polls nor sweep had found. They are delivered now. It counts from the end of the last audit
	// that came to one, so that what an interrupted one found is told, too.
	Late          int64            `json:"late"`
	LateCalls     []store.LateCall `json:"late_calls"` // the last of them
	LatestSeconds int64            `json:"latest_seconds"`
	BySweep       int64            `json:"late_by_sweep"` // since the last audit, by the settled sweep
	Gaps          []Range          `json:"gaps"`          // that no poll has read to its end yet
	Skipped       []Range          `json:"skipped"`       // that an operator passed over by setting the cursor
	Owed          []store.Owed     `json:"owed"`          // what destinations have not got of the range
	Advice        string           `json:"lookback_advice"`
	Requests      int              `json:"requests"`
	TookMS        int64            `json:"took_ms"`
	Resumed       bool             `json:"resumed"`

	new int
}

// Range is a range of completion times.
type Range struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// auditProgress is how far an audit is, and auditEnd what the last one left.
type auditProgress struct {
	Days     int       `json:"days"` // as asked for
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	UpTo     time.Time `json:"up_to"`
	Began    time.Time `json:"began"`
	Compared int       `json:"compared"`
}

type auditEnd struct {
	At    time.Time `json:"at"`
	Audit int64     `json:"audit"` // late calls that audits and sweeps had found by then
	Sweep int64     `json:"sweep"`
}

func (e *Engine) auditProgress() (*auditProgress, error) {
	v, err := e.o.Store.Setting(settingAuditing)
	if err != nil || v == nil {
		return nil, err
	}
	var p auditProgress
	if err := json.Unmarshal(v, &p); err != nil {
		return nil, nil //nolint:nilerr // begun anew
	}
	return &p, nil
}

func (e *Engine) putAudit(key string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.o.Store.PutSetting(key, raw)
}

// Audit compares the calls of the last days with the ledger, as far as the polls have read, delivers what had been missed, and reports.
// days 0: Options.AuditDays, and as far back as the last audit reached. The engine must have been started. Interrupted, it goes on at
// the next call, or after the next poll.
func (e *Engine) Audit(ctx context.Context, days int) (r AuditReport, err error) {
	err = e.whileAlive(ctx, func(ctx context.Context) error {
		if r, err = e.audit(ctx, days); err != nil {
			return err
		}
		if err = e.settle(ctx, 0); err != nil {
			return err
		}
		r.Owed, err = e.owed(r.From, r.To)
		return err
	})
	return r, err
}

func (e *Engine) owed(from, to time.Time) ([]store.Owed, error) {
	owed, err := e.o.Store.Owed(from, to)
	if owed == nil {
		owed = []store.Owed{}
	}
	return owed, err
}

func (e *Engine) audit(ctx context.Context, days int) (AuditReport, error) {
	if !e.auditing.TryLock() {
		return AuditReport{}, ErrAuditing
	}
	defer e.auditing.Unlock()
	defer e.busy.begin("audit")()
	began := time.Now()
	b, err := e.probe(ctx) // anew: an audit must not rest on what it is to prove
	if err != nil {
		return AuditReport{}, err
	}
	st, err := e.o.Store.Stats()
	if err != nil {
		return AuditReport{}, err
	}
	p, resumed, err := e.openAudit(days, st)
	if err != nil {
		return AuditReport{}, err
	}
	r := AuditReport{From: p.From, To: p.To, Resumed: resumed}
	if b != nil && p.UpTo.Before(p.To) {
		got, err := e.read(ctx, b, readRange{
			stream: store.AuditStream, prio: vinfer.Audits, from: p.UpTo, to: p.To, floor: st.First, reach: p.To.Add(-e.o.Lookback),
			goesOn: p.UpTo.After(p.From), seen: p.Compared, longest: e.o.MaxCall, doubtful: true,
			closed: func(upTo time.Time, rows int) error {
				p.UpTo, p.Compared = upTo, rows
				return e.putAudit(settingAuditing, p)
			},
		})
		r.new = got.New
		r.Requests = got.requests
		if err != nil {
			return r, fmt.Errorf("the audit of %s to %s: %w", rfc3339(p.From), rfc3339(p.To), err)
		}
	}
	r.Compared = p.Compared
	if err := e.closeAudit(p, &r); err != nil {
		return r, err
	}
	r.TookMS = time.Since(began).Milliseconds()
	if r.Owed, err = e.owed(r.From, r.To); err != nil {
		return r, err
	}
	if r.Late > 0 {
		e.log.Warn("the audit found calls that had been missed; they are delivered now", "late", r.Late, "compared", r.Compared, "from", rfc3339(r.From), "to", rfc3339(r.To), "advice", r.Advice)
	} else {
		e.log.Info("audit: nothing had been missed", "compared", r.Compared, "from", rfc3339(r.From), "to", rfc3339(r.To))
	}
	return r, nil
}

// openAudit goes on with an interrupted audit over so many days, or begins one.
func (e *Engine) openAudit(days int, st store.Stats) (*auditProgress, bool, error) {
	old, err := e.auditProgress()
	if err != nil {
		return nil, false, err
	}
	now := time.Now().UTC()
	if old != nil && old.Days == days && now.Sub(old.Began) < auditStale && !old.From.Before(st.First) {
		return old, true, nil
	}
	p := &auditProgress{Days: days, To: st.Watermark, Began: now}
	if at := e.serverNow().Truncate(time.Second); p.To.After(at) {
		p.To = at // an operator has set the cursor beyond it
	}
	if days > 0 {
		p.From = p.To.Add(-time.Duration(days) * day)
	} else {
		p.From = p.To.Add(-time.Duration(cmp.Or(e.o.AuditDays, defaultAuditDays)) * day)
		if !st.AuditedUntil.IsZero() && st.AuditedUntil.Before(p.From) {
			p.From = st.AuditedUntil
		}
	}
	if p.From.Before(st.First) {
		p.From = st.First
	}
	if p.To.Before(p.From) {
		p.To = p.From
	}
	p.UpTo = p.From
	return p, false, e.putAudit(settingAuditing, p)
}

// closeAudit keeps how far it has proved that nothing is missing, and fills in the report.
func (e *Engine) closeAudit(p *auditProgress, r *AuditReport) error {
	var last auditEnd
	if v, err := e.o.Store.Setting(settingAudit); err != nil {
		return err
	} else if v != nil {
		_ = json.Unmarshal(v, &last) // written by putAudit; without it everything is reported once more
	}
	st, err := e.o.Store.Stats()
	if err != nil {
		return err
	}
	end := auditEnd{At: time.Now().UTC()}
	for _, l := range st.Lateness {
		switch l.By {
		case store.AuditStream:
			end.Audit = l.Found
		case store.SweepStream:
			end.Sweep = l.Found
		}
	}
	r.Late, r.BySweep = end.Audit-last.Audit, end.Sweep-last.Sweep
	r.Gaps, r.Skipped = gaps(st), ranges(st.Skipped, p.From, p.To)
	r.Advice = AdviceOf(st.Lateness, e.o.Lookback)
	r.LateCalls = []store.LateCall{}
	for _, c := range st.Late {
		if c.By == store.AuditStream && c.Seen.After(last.At) {
			c.Seen = c.Seen.Truncate(time.Second)
			r.LateCalls = append(r.LateCalls, c)
			r.LatestSeconds = max(r.LatestSeconds, int64(c.Seen.Sub(c.When).Seconds()))
		}
	}
	if p.To.After(st.AuditedUntil) && !p.To.After(e.serverNow()) {
		if err := e.o.Store.PutSetting(store.AuditedSetting, []byte(rfc3339(p.To))); err != nil {
			return err
		}
	}
	if err := e.putAudit(settingAudit, end); err != nil {
		return err
	}
	return e.o.Store.PutSetting(settingAuditing, nil)
}

// gaps lists what lies between the ranges that were read.
func gaps(st store.Stats) []Range {
	out := []Range{}
	at := st.First
	for _, iv := range st.Read {
		if iv.From.After(at) {
			out = append(out, Range{at, iv.From})
		}
		if iv.To.After(at) {
			at = iv.To
		}
	}
	return out
}

// ranges are the parts of intervals inside (from, to].
func ranges(list []store.Interval, from, to time.Time) []Range {
	out := []Range{}
	for _, iv := range list {
		if iv.From.Before(from) {
			iv.From = from
		}
		if iv.To.After(to) {
			iv.To = to
		}
		if iv.From.Before(iv.To) {
			out = append(out, Range{iv.From, iv.To})
		}
	}
	return out
}

// lookbackAdvice is AdviceOf as things are.
func (e *Engine) lookbackAdvice() string {
	st, err := e.o.Store.Stats()
	if err != nil {
		return ""
	}
	return AdviceOf(st.Lateness, e.o.Lookback)
}

// AdviceOf says which lookback would have found the calls that came later than the polls look back; empty: none did. What only an
// audit found came later still than the sweep: a lookback that long would make every poll dear.
func AdviceOf(late []store.Lateness, lookback time.Duration) string {
	for _, l := range late {
		if l.By == store.SweepStream && l.Most > lookback {
			return fmt.Sprintf("%dm", (l.Most+5*time.Minute-1).Truncate(5*time.Minute)/time.Minute)
		}
	}
	return ""
}
