package sync

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// BackfillRequest asks for a one-off run over a past range.
type BackfillRequest struct {
	Since     time.Time
	Until     time.Time // zero: now, fixed when the backfill begins
	Campaign  string
	To        string // one destination; empty: all
	WithTasks bool   // make follow-up tasks even where they are overdue
	// NoTranscripts asks for no transcript of the calls that it delivers.
	NoTranscripts bool
	Rate          int // calls a minute to each destination, at most; 0: no limit
	// Typed is the range as the operator typed it: the same words, campaign and destination resume an interrupted backfill, with the range as
	// first resolved. What else is asked for may change then.
	Typed string
}

// BackfillProgress is how far a backfill is.
type BackfillProgress struct {
	ID        uint64       `json:"id"`
	Resumed   bool         `json:"resumed"`
	Since     time.Time    `json:"since"`
	Until     time.Time    `json:"until"`
	ReadUpTo  time.Time    `json:"read_up_to"`
	Reading   bool         `json:"reading"`
	Expected  int          `json:"expected"` // calls in the range as VInfer counts them; 0: not known
	Dests     int          `json:"destinations"`
	Fetched   int64        `json:"fetched"`
	Queued    int64        `json:"queued"`
	Delivered int64        `json:"delivered"`
	Dead      int64        `json:"dead"`
	TasksLeft int64        `json:"tasks_left"` // follow-up tasks left out because they were overdue
	LeftOut   int64        `json:"left_out"`   // calls of campaigns that are not configured
	Budget    BudgetStatus `json:"budget"`
	Waiting   string       `json:"waiting,omitempty"` // which destination is halted or fails, and why
	Done      bool         `json:"done"`
}

// backfillSpec is what is kept of a request.
type backfillSpec struct {
	Since         time.Time `json:"since"`
	Until         time.Time `json:"until"`
	Campaign      string    `json:"campaign,omitempty"`
	To            string    `json:"to,omitempty"`
	WithTasks     bool      `json:"with_tasks,omitempty"`
	NoTranscripts bool      `json:"no_transcripts,omitempty"`
	Rate          int       `json:"rate,omitempty"`
	Typed         string    `json:"typed,omitempty"`
}

// backfillMark is how far it was read.
type backfillMark struct {
	UpTo time.Time `json:"up_to"`
	Rows int       `json:"rows"`           // calls seen by then
	Left int       `json:"left,omitempty"` // calls left out by then
}

// progressEvery is how often progress is told.
const progressEvery = 250 * time.Millisecond

// spec resolves the range of a request.
func (e *Engine) spec(r BackfillRequest) (backfillSpec, error) {
	if r.To != "" && e.dests[r.To] == nil {
		return backfillSpec{}, fmt.Errorf("destination %q is not configured: %w", r.To, store.ErrUnknown)
	}
	now := e.serverNow().Truncate(time.Second)
	s := backfillSpec{
		Since: r.Since.UTC().Truncate(time.Second), Until: r.Until.UTC().Truncate(time.Second), Campaign: r.Campaign, To: r.To,
		WithTasks: r.WithTasks, NoTranscripts: r.NoTranscripts, Rate: r.Rate, Typed: r.Typed,
	}
	if r.Until.IsZero() || s.Until.After(now) {
		s.Until = now
	}
	if !s.Since.Before(s.Until) {
		return s, fmt.Errorf("the range %s to %s is empty", rfc3339(s.Since), rfc3339(s.Until))
	}
	return s, nil
}

// Backfill reads a past range into the outbox, after all live work, and returns when its calls are delivered or dead, or when those that are
// left wait for an operator: retries are waited for, however far. The live cursor stays. Interrupted, the same request goes on where it stopped. The engine must have been started.
func (e *Engine) Backfill(ctx context.Context, r BackfillRequest, progress func(BackfillProgress)) (p BackfillProgress, err error) {
	err = e.whileAlive(ctx, func(ctx context.Context) error {
		p, err = e.backfill(ctx, r, progress)
		return err
	})
	return p, err
}

func (e *Engine) backfill(ctx context.Context, r BackfillRequest, progress func(BackfillProgress)) (BackfillProgress, error) {
	spec, err := e.spec(r)
	if err != nil {
		return BackfillProgress{}, err
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return BackfillProgress{}, err
	}
	b, resumed, err := e.o.Store.OpenBackfill(strings.Join([]string{r.Typed, r.Campaign, r.To}, "\n"), raw, time.Now().UTC())
	if err != nil {
		return BackfillProgress{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if _, running := e.backfills.LoadOrStore(b.ID, cancel); running {
		return BackfillProgress{}, fmt.Errorf("this backfill (%d) is already running", b.ID)
	}
	defer e.backfills.Delete(b.ID)
	if resumed {
		if spec, err = e.updateSpec(b, spec); err != nil {
			return BackfillProgress{}, err
		}
	}
	e.applySpec(b.ID, spec)
	w := &backfillRun{e: e, spec: spec, tell: progress, p: BackfillProgress{
		ID: b.ID, Resumed: resumed, Since: spec.Since, Until: spec.Until, ReadUpTo: spec.Since, Dests: len(e.order),
	}}
	if spec.To != "" {
		w.p.Dests = 1
	}
	if b.ReadDone.IsZero() {
		err = w.read(ctx, b)
	} else {
		w.p.ReadUpTo = spec.Until
	}
	if err == nil {
		err = w.await(ctx)
	}
	if err != nil && errors.Is(context.Cause(ctx), store.ErrCancelled) {
		err = fmt.Errorf("backfill %d: %w", b.ID, store.ErrCancelled)
	}
	return w.p, err
}

// updateSpec takes what was asked for first, but for what may change when a backfill goes on.
func (e *Engine) updateSpec(b store.Backfill, asked backfillSpec) (backfillSpec, error) {
	var spec backfillSpec
	if err := json.Unmarshal(b.Spec, &spec); err != nil {
		return spec, fmt.Errorf("backfill %d: %w", b.ID, err)
	}
	spec.WithTasks, spec.NoTranscripts, spec.Rate = asked.WithTasks, asked.NoTranscripts, asked.Rate
	raw, err := json.Marshal(spec)
	if err != nil {
		return spec, err
	}
	_, err = e.o.Store.SaveBackfill(b.ID, store.BackfillChange{Spec: raw})
	return spec, err
}

// storedBackfill returns a backfill as it is now.
func (e *Engine) storedBackfill(id uint64) (store.Backfill, error) {
	st, err := e.o.Store.Stats()
	if err != nil {
		return store.Backfill{}, err
	}
	i := slices.IndexFunc(st.Backfills, func(b store.Backfill) bool { return b.ID == id })
	if i < 0 {
		return store.Backfill{}, fmt.Errorf("backfill %d: %w", id, store.ErrUnknown)
	}
	return st.Backfills[i], nil
}

// applySpec lets deliveries know what was asked for.
func (e *Engine) applySpec(id uint64, spec backfillSpec) {
	e.specs.Store(id, spec)
	for _, c := range e.order {
		c.setPace(id, spec.Rate)
	}
}

// specOf returns what was asked for with the backfill that a job belongs to.
func (e *Engine) specOf(id uint64) (spec backfillSpec) {
	if id == 0 {
		return spec
	}
	if v, ok := e.specs.Load(id); ok {
		return v.(backfillSpec) //nolint:errcheck // applySpec stores nothing else
	}
	b, err := e.storedBackfill(id)
	if err != nil || json.Unmarshal(b.Spec, &spec) != nil {
		return spec
	}
	e.specs.Store(id, spec)
	return spec
}

// loadBackfills takes up what an earlier process left: how fast its backfills may go, and one that was not cancelled to the end.
func (e *Engine) loadBackfills(st store.Stats) error {
	for _, b := range st.Backfills {
		if b.Pending() == 0 {
			continue
		}
		if !b.Cancelled.IsZero() {
			if _, _, err := e.o.Store.CancelBackfill(b.ID, b.Cancelled); err != nil {
				return err
			}
			continue
		}
		var spec backfillSpec
		if json.Unmarshal(b.Spec, &spec) == nil {
			e.applySpec(b.ID, spec)
		}
	}
	return nil
}

// Cancelled tells what became of a backfill's calls that had not been delivered.
type Cancelled struct {
	ID      uint64 `json:"id"`
	Removed int    `json:"removed"` // deliveries taken out of the outbox
	Live    int    `json:"live"`    // deliveries that go on as live work: they are not the backfill's alone
}

// CancelBackfill ends a backfill and takes its calls that are not delivered out of the outbox.
func (e *Engine) CancelBackfill(ctx context.Context, id uint64) (Cancelled, error) {
	for {
		v, running := e.backfills.Load(id)
		if !running {
			break
		}
		v.(context.CancelCauseFunc)(store.ErrCancelled) //nolint:errcheck // nothing else is stored
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return Cancelled{}, err
		}
	}
	removed, live, err := e.o.Store.CancelBackfill(id, time.Now().UTC())
	for _, c := range e.order {
		c.setPace(id, 0)
		c.releasedLive() // it forgets what it had looked up of backfills
	}
	return Cancelled{id, removed, live}, err
}

// backfillRun is one run of a backfill.
type backfillRun struct {
	e    *Engine
	spec backfillSpec
	tell func(BackfillProgress)
	told time.Time
	p    BackfillProgress
}

// progress tells how far it is, now and then or at once.
func (w *backfillRun) progress(atOnce bool) {
	if w.tell == nil || !atOnce && time.Since(w.told) < progressEvery {
		return
	}
	w.told = time.Now()
	w.p.Budget = w.e.budget()
	w.tell(w.p)
}

func (w *backfillRun) count(b store.Backfill) {
	w.p.Fetched, w.p.Queued, w.p.Delivered, w.p.Dead, w.p.TasksLeft = b.Fetched, b.Queued, b.Delivered, b.Dead, b.TasksLeft
	var m backfillMark
	if b.Checkpoint != nil && json.Unmarshal(b.Checkpoint, &m) == nil {
		w.p.LeftOut = int64(m.Left)
	}
}

// read reads what is left of the range into the outbox.
func (w *backfillRun) read(ctx context.Context, b store.Backfill) error {
	e, p := w.e, &w.p
	defer e.busy.begin("backfill")()
	bounds, err := e.bounds(ctx)
	if err != nil {
		return err
	}
	if bounds == nil {
		return w.endRead() // no call at all in the workspace
	}
	if n, ok, err := e.countByTotal(ctx, bounds, w.spec); err != nil {
		return err
	} else if ok {
		p.Expected = n
	}
	from, seen, left := w.spec.Since, 0, 0
	if b.Checkpoint != nil {
		var m backfillMark
		if err := json.Unmarshal(b.Checkpoint, &m); err != nil {
			return fmt.Errorf("backfill %d: checkpoint: %w", b.ID, err)
		}
		from, seen, left = m.UpTo, m.Rows, m.Left
	}
	p.Reading, p.ReadUpTo = true, from
	w.count(b)
	w.progress(true)
	r := w.spec.asRange()
	r.longest = e.o.MaxCall
	r.stream, r.backfill, r.only = store.BackfillStream(b.ID), b.ID, w.spec.To
	r.from, r.goesOn, r.seen = from, from.After(w.spec.Since), seen
	r.left = left
	r.checkpoint = func(upTo time.Time, rows, left int) []byte {
		p.ReadUpTo = upTo
		m, _ := json.Marshal(backfillMark{UpTo: upTo, Rows: rows, Left: left}) // nothing in it can fail
		return m
	}
	r.page = func() {
		if time.Since(w.told) < progressEvery {
			return
		}
		if b, err := e.storedBackfill(p.ID); err == nil {
			w.count(b)
		}
		w.progress(false)
	}
	if _, err := e.read(ctx, bounds, r); err != nil {
		return err
	}
	p.Reading, p.ReadUpTo = false, w.spec.Until
	if err := w.endRead(); err != nil {
		return err
	}
	for _, c := range e.order {
		c.released()
	}
	return nil
}

// endRead keeps that the range was read to its end.
func (w *backfillRun) endRead() error {
	_, err := w.e.o.Store.SaveBackfill(w.p.ID, store.BackfillChange{ReadDone: time.Now().UTC()})
	return err
}

// asRange is what is read for it.
func (s backfillSpec) asRange() readRange {
	return readRange{prio: vinfer.Backfills, campaign: s.Campaign, from: s.Since, to: s.Until, floor: s.Since}
}

// await returns when the backfill's calls are delivered or dead, or when the rest waits for an operator.
func (w *backfillRun) await(ctx context.Context) error {
	e, p := w.e, &w.p
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var looked time.Time
	waits := false
	for {
		quiet := e.idle() // before the look: what ends between the two would seem to wait
		if quiet && !waits || time.Since(looked) >= progressEvery {
			looked = time.Now()
			b, err := e.storedBackfill(p.ID)
			if err != nil {
				return err
			}
			w.count(b)
			p.Waiting = ""
			if p.Done = b.Pending() == 0; p.Done {
				// Transcripts that are there already come along; others follow when they are ready.
				err := e.settle(ctx, b.ID)
				w.progress(true)
				return err
			}
			p.Waiting, waits = e.blockedBy(w.spec.To), quiet
			if quiet && !e.retriesPending(w.spec.To) {
				p.Waiting = cmp.Or(p.Waiting, "the rest waits for a later try")
				w.progress(true)
				return nil
			}
			w.progress(false)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// retriesPending tells whether a destination will be tried again without an operator; to: it alone counts.
func (e *Engine) retriesPending(to string) bool {
	return slices.ContainsFunc(e.order, func(c *dispatcher) bool { return (to == "" || c.d.Name == to) && c.retriesPending() })
}

// blockedBy tells which destination is paused, halted or fails, and why, what needs an operator first; empty: none. to: it alone counts.
func (e *Engine) blockedBy(to string) string {
	fails := ""
	for _, c := range e.order {
		if to != "" && c.d.Name != to {
			continue
		}
		c.mu.Lock()
		halted, paused := c.halted, c.paused
		c.mu.Unlock()
		if paused {
			return c.d.Name + " is " + halted + "; to go on: vinfer-sync resume " + c.d.Name
		}
		if halted != "" {
			return c.d.Name + " is halted: " + halted
		}
		if why, _ := c.waitingFor(); why != "" && fails == "" {
			fails = c.d.Name + " " + why
		}
	}
	return fails
}

// RangeOf returns the range of a kept backfill, and up to where it has been read.
func RangeOf(b store.Backfill) (since, until, upTo time.Time) {
	var spec backfillSpec
	if json.Unmarshal(b.Spec, &spec) != nil {
		return since, until, upTo
	}
	var mark backfillMark
	switch {
	case !b.ReadDone.IsZero():
		mark.UpTo = spec.Until
	case json.Unmarshal(b.Checkpoint, &mark) != nil:
		mark.UpTo = spec.Since
	}
	return spec.Since, spec.Until, mark.UpTo
}
