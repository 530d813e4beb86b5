package sync

import (
	"context"
	"encoding/json"
	"fmt"
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
	// Typed is the range as the operator typed it: the same words resume an interrupted backfill.
	Typed string
}

// BackfillProgress is how far a backfill is.
type BackfillProgress struct {
	ID        uint64    `json:"id"`
	Resumed   bool      `json:"resumed"`
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"`
	ReadUpTo  time.Time `json:"read_up_to"`
	Reading   bool      `json:"reading"`
	Fetched   int64     `json:"fetched"`
	Queued    int64     `json:"queued"`
	Delivered int64     `json:"delivered"`
	Dead      int64     `json:"dead"`
	Waiting   string    `json:"waiting,omitempty"` // why nothing moves, if nothing does
	Done      bool      `json:"done"`
	Error     string    `json:"error,omitempty"`
}

// backfillSpec is what is kept of a request.
type backfillSpec struct {
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"`
	Campaign  string    `json:"campaign,omitempty"`
	To        string    `json:"to,omitempty"`
	WithTasks bool      `json:"with_tasks,omitempty"`
}

// backfillMark is how far it was read.
type backfillMark struct {
	UpTo time.Time `json:"up_to"`
	Rows int       `json:"rows"` // calls seen by then
}

// Backfill reads a past range into the outbox, after all live work, and returns when its calls are delivered or dead, or when nothing of
// them is due for longer than the retry horizon. The live cursor stays. Interrupted, the same request goes on where it stopped. The engine must have been started.
func (e *Engine) Backfill(ctx context.Context, r BackfillRequest, progress func(BackfillProgress)) (p BackfillProgress, err error) {
	err = e.whileAlive(ctx, func(ctx context.Context) error {
		p, err = e.backfill(ctx, r, progress)
		return err
	})
	return p, err
}

func (e *Engine) backfill(ctx context.Context, r BackfillRequest, progress func(BackfillProgress)) (BackfillProgress, error) {
	if progress == nil {
		progress = func(BackfillProgress) {}
	}
	if r.To != "" && e.dests[r.To] == nil {
		return BackfillProgress{}, fmt.Errorf("destination %q is not configured: %w", r.To, store.ErrUnknown)
	}
	now := e.serverNow().Truncate(time.Second)
	spec := backfillSpec{Since: r.Since.UTC().Truncate(time.Second), Until: r.Until.UTC().Truncate(time.Second), Campaign: r.Campaign, To: r.To, WithTasks: r.WithTasks}
	if r.Until.IsZero() || spec.Until.After(now) {
		spec.Until = now
	}
	if !spec.Since.Before(spec.Until) {
		return BackfillProgress{}, fmt.Errorf("the range %s to %s is empty", rfc3339(spec.Since), rfc3339(spec.Until))
	}
	raw, err := json.Marshal(spec)
	if err != nil {
		return BackfillProgress{}, err
	}
	key := strings.Join([]string{r.Typed, r.Campaign, r.To, fmt.Sprint(r.WithTasks)}, "\n")
	b, resumed, err := e.o.Store.OpenBackfill(key, raw, time.Now().UTC())
	if err != nil {
		return BackfillProgress{}, err
	}
	if _, running := e.backfills.LoadOrStore(b.ID, true); running {
		return BackfillProgress{}, fmt.Errorf("this backfill (%d) is already running", b.ID)
	}
	defer e.backfills.Delete(b.ID)
	if err := json.Unmarshal(b.Spec, &spec); err != nil {
		return BackfillProgress{}, fmt.Errorf("backfill %d: %w", b.ID, err)
	}
	p := BackfillProgress{ID: b.ID, Resumed: resumed, Since: spec.Since, Until: spec.Until, ReadUpTo: spec.Since}
	if b.ReadDone.IsZero() {
		if err := e.readBackfill(ctx, b, spec, &p, progress); err != nil {
			return p, err
		}
	}
	return e.awaitBackfill(ctx, p, progress)
}

func (e *Engine) readBackfill(ctx context.Context, b store.Backfill, spec backfillSpec, p *BackfillProgress, progress func(BackfillProgress)) error {
	defer e.busy.begin("backfill")()
	bounds, err := e.bounds(ctx)
	if err != nil {
		return err
	}
	if bounds == nil {
		return e.o.Store.EndRead(b.ID, time.Now().UTC()) // no call at all in the workspace
	}
	from, seen := spec.Since, 0
	if b.Checkpoint != nil {
		var m backfillMark
		if err := json.Unmarshal(b.Checkpoint, &m); err != nil {
			return fmt.Errorf("backfill %d: checkpoint: %w", b.ID, err)
		}
		from, seen = m.UpTo, m.Rows
	}
	p.Reading, p.ReadUpTo = true, from
	progress(*p)
	r := readRange{
		stream: store.BackfillStream(b.ID), prio: vinfer.Backfills, backfill: b.ID, only: spec.To, campaign: spec.Campaign,
		from: from, to: spec.Until, floor: spec.Since, goesOn: from.After(spec.Since), seen: seen,
	}
	r.checkpoint = func(upTo time.Time, rows int) []byte {
		p.ReadUpTo = upTo
		m, _ := json.Marshal(backfillMark{UpTo: upTo, Rows: rows})
		return m
	}
	r.page = func() {
		e.fillProgress(p)
		progress(*p)
	}
	if _, err := e.read(ctx, bounds, r); err != nil {
		return err
	}
	p.Reading = false
	if err := e.o.Store.EndRead(b.ID, time.Now().UTC()); err != nil {
		return err
	}
	for _, c := range e.order {
		c.refresh()
	}
	return nil
}

func (e *Engine) fillProgress(p *BackfillProgress) {
	if b, err := e.o.Store.Backfill(p.ID); err == nil {
		p.Fetched, p.Queued, p.Delivered, p.Dead = b.Fetched, b.Queued, b.Delivered, b.Dead
	}
}

// awaitBackfill returns when the backfill's calls are delivered or dead, or when the rest waits for an operator or a far retry.
func (e *Engine) awaitBackfill(ctx context.Context, p BackfillProgress, progress func(BackfillProgress)) (BackfillProgress, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := time.Time{}
	for {
		quiet := e.quiet() // before the look: what ends between the two would seem to wait
		b, err := e.o.Store.Backfill(p.ID)
		if err != nil {
			return p, err
		}
		p.Fetched, p.Queued, p.Delivered, p.Dead = b.Fetched, b.Queued, b.Delivered, b.Dead
		p.Done = b.Pending() == 0
		if p.Done {
			// Transcripts that are there already come along; others follow when they are ready.
			err := e.settle(ctx, b.ID)
			progress(p)
			return p, err
		}
		if quiet {
			p.Waiting = e.whyWaiting()
			progress(p)
			return p, nil
		}
		if time.Since(last) > 250*time.Millisecond {
			last = time.Now()
			progress(p)
		}
		select {
		case <-ctx.Done():
			return p, ctx.Err()
		case <-tick.C:
		}
	}
}

func (e *Engine) whyWaiting() string {
	for _, c := range e.order {
		c.mu.Lock()
		halted := c.halted
		c.mu.Unlock()
		if halted != "" {
			return c.d.Name + " is halted: " + halted
		}
		if why, _ := c.waitingFor(); why != "" {
			return c.d.Name + " " + why
		}
	}
	return "the rest waits for a later try"
}

// tasksOf tells whether a job's backfill makes overdue tasks.
func (e *Engine) tasksOf(id uint64) bool {
	if id == 0 {
		return false
	}
	b, err := e.o.Store.Backfill(id)
	if err != nil {
		return false
	}
	var spec backfillSpec
	return json.Unmarshal(b.Spec, &spec) == nil && spec.WithTasks
}

// specRange shows a kept request's range.
func specRange(raw []byte) string {
	var s backfillSpec
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return rfc3339(s.Since) + "/" + rfc3339(s.Until)
}
