package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

const (
	planRows    = 50_000 // calls that a plan holds in memory
	planJobs    = 10_000 // calls that it shows of a destination
	planLookups = 500    // contacts that it looks up at a destination
)

// PlanRequest asks what a run would send now.
type PlanRequest struct {
	Since time.Time `json:"since"` // as if a backfill from here on came with it; zero: the run alone
}

// Plan is what a run would send where.
type Plan struct {
	Since        string     `json:"since"` // RFC 3339: from where the API was read
	Fetched      int        `json:"fetched"`
	New          int        `json:"new"`                 // of them never seen before
	LeftOut      int        `json:"left_out"`            // of campaigns that are not configured
	Unreadable   int        `json:"unreadable"`          // rows that would become dead letters
	Transcripts  int        `json:"transcripts_waiting"` // that the run may also find and attach
	Destinations []PlanDest `json:"destinations"`
}

// PlanDest is what one destination would get.
type PlanDest struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	State  string `json:"state"`  // as in Status
	Reason string `json:"reason"` // why it is halted or waiting
	Send   int    `json:"send"`
	Skip   int    `json:"skip"`
	Dead   int    `json:"dead"`
	Wait   int    `json:"wait"`
	// TasksLeft counts the follow-up tasks that are overdue and would not be made.
	TasksLeft int        `json:"tasks_left,omitempty"`
	Calls     []PlanCall `json:"calls"`
	Omitted   int        `json:"omitted"` // calls that are counted and not listed
}

// PlanCall is what would become of one call at a destination.
type PlanCall struct {
	CallID      string       `json:"call_id"`
	Action      string       `json:"action"` // send, skip, dead (by the mapping), wait
	Reason      string       `json:"reason"` // for all but send
	Origin      string       `json:"origin"` // new, changed, waiting (in the outbox already)
	Event       crm.Event    `json:"event"`
	EndedAt     string       `json:"ended_at"`
	Phone       string       `json:"phone"` // masked
	Disposition string       `json:"disposition"`
	Status      string       `json:"status"`     // lead status
	SetsStatus  bool         `json:"set_status"` // false: a newer call has set it, or the step is off
	Task        *PlanTask    `json:"task"`
	TaskLeft    string       `json:"task_left,omitempty"` // when a follow-up was due that is left out, as it is overdue; empty: none is
	Late        bool         `json:"late"`
	Contact     *PlanContact `json:"contact"` // nil: the destination has no contacts, or nothing is sent
}

// PlanTask is the follow-up that would be made.
type PlanTask struct {
	Title string `json:"title"`
	Due   string `json:"due"`
}

// PlanContact is whom the call would be written to.
type PlanContact struct {
	Action string `json:"action"` // match, create, skip, dead, none (the call has no usable number, or one of own_numbers), unknown (it was not looked up)
	ID     string `json:"id"`
	Label  string `json:"label"`
	Count  int    `json:"count"` // of contacts that match
	Error  string `json:"error"`
}

var errPlanTooBig = errors.New("too many calls for a plan")

// Plan tells what a run would send to each destination now, and to which contact. Nothing is written, neither to the store nor to a
// destination, and VInfer and the destinations are only asked. The engine need not have been started.
func (e *Engine) Plan(ctx context.Context, r PlanRequest) (Plan, error) {
	defer e.busy.begin("plan")()
	st, err := e.o.Store.Stats()
	if err != nil {
		return Plan{}, err
	}
	p := &planner{e: e, at: time.Now().UTC().Truncate(time.Microsecond), since: r.Since.UTC().Truncate(time.Second)}
	p.out = Plan{Since: rfc3339(st.Watermark), Transcripts: st.Transcripts}
	if err := p.look(ctx, st); err != nil {
		return Plan{}, err
	}
	would, err := e.o.Store.Preview(p.pages, planJobs)
	if err != nil {
		return Plan{}, err
	}
	p.out.New = would.New
	for _, c := range e.order {
		i := slices.IndexFunc(would.Dests, func(d store.PreviewDest) bool { return d.Dest.Name == c.d.Name })
		if i < 0 {
			return Plan{}, fmt.Errorf("destination %q: %w", c.d.Name, store.ErrUnknown)
		}
		p.out.Destinations = append(p.out.Destinations, p.destination(ctx, c, &would.Dests[i]))
	}
	return p.out, ctx.Err()
}

// planner makes one plan.
type planner struct {
	e     *Engine
	at    time.Time
	since time.Time
	pages []store.Page
	rows  int
	out   Plan
}

// planBackfill stands for the backfill of a plan.
const planBackfill = 1

// look reads what a run would read.
func (p *planner) look(ctx context.Context, st store.Stats) error {
	b := p.e.probed.Load()
	if b == nil {
		var err error
		if b, err = p.e.askBounds(ctx); b == nil || err != nil {
			return err
		}
	}
	live := readRange{stream: store.LiveStream, prio: vinfer.Audits, from: st.Watermark, floor: st.First, overlap: p.e.o.Lookback, longest: p.e.o.MaxCall, take: p.take}
	got, err := p.e.read(ctx, b, live)
	p.out.Fetched, p.out.LeftOut = got.fetched, got.left
	if err != nil || p.since.IsZero() || !p.since.Before(st.Watermark) {
		return err
	}
	p.out.Since = rfc3339(p.since)
	past := readRange{
		stream: store.BackfillStream(planBackfill), prio: vinfer.Backfills, backfill: planBackfill, from: p.since, to: st.Watermark, floor: p.since,
		longest: p.e.o.MaxCall, take: p.take,
	}
	got, err = p.e.read(ctx, b, past)
	p.out.Fetched += got.fetched
	p.out.LeftOut += got.left
	return err
}

func (p *planner) take(page store.Page) error {
	if p.rows += len(page.Rows); p.rows > planRows {
		return fmt.Errorf("%w: more than %d; take a later --since, or see how many they are with backfill --dry-run", errPlanTooBig, planRows)
	}
	page.At, page.FieldNames = p.at, tagNames
	p.pages = append(p.pages, page)
	p.out.Unreadable += len(page.Broken)
	return nil
}

func (p *planner) destination(ctx context.Context, c *dispatcher, would *store.PreviewDest) PlanDest {
	now := destStatus(would.Dest)
	out := PlanDest{Name: c.d.Name, Kind: c.d.Kind, State: now.State, Reason: now.Reason, Calls: []PlanCall{}, Omitted: would.More}
	if why, _ := c.waitingFor(); out.State == "ok" && why != "" {
		out.State, out.Reason = "waiting", why
	}
	find := contactFinder{d: c.d, region: p.e.o.Region, known: map[string]*PlanContact{}}
	for i := range would.Jobs {
		call := p.call(ctx, c, &would.Jobs[i], &find)
		switch {
		case call.Action == "send" && out.State == "halted":
			if call.Action, call.Reason = "wait", "the destination is halted"; now.Paused {
				call.Reason = "the destination is paused"
			}
		case call.Action == "send" && call.Contact != nil && (call.Contact.Action == "skip" || call.Contact.Action == "dead"):
			call.Action, call.Reason = call.Contact.Action, "no contact has this number"
		}
		switch call.Action {
		case "send":
			if call.TaskLeft != "" {
				out.TasksLeft++
			}
			out.Send++
		case "skip":
			out.Skip++
		case "dead":
			out.Dead++
		default:
			out.Wait++
		}
		out.Calls = append(out.Calls, call)
	}
	for _, s := range would.Skipped {
		out.Skip++
		out.Calls = append(out.Calls, p.skipped(s))
	}
	return out
}

func (p *planner) skipped(s store.PreviewSkip) PlanCall {
	call := PlanCall{CallID: s.Row.ID, Action: "skip", Reason: s.Why, Origin: "new", Event: crm.CallCompleted, EndedAt: rfc3339(s.Row.When)}
	if body, err := decode(s.Row.Body); err == nil {
		call.Phone, call.Disposition = mask.Phones(body.Call.Phone), Disposition(body.Call.Disposition)
	}
	return call
}

// call tells what would become of a job.
func (p *planner) call(ctx context.Context, c *dispatcher, j *store.Queued, find *contactFinder) PlanCall {
	out := PlanCall{CallID: j.ID, Action: "send", Origin: "new", EndedAt: rfc3339(j.When)}
	switch {
	case !j.New:
		out.Origin = "waiting"
	case !j.First:
		out.Origin = "changed"
	}
	entry, notes, refusal, err := p.e.entry(c.d, &j.Job)
	if err != nil {
		out.Action, out.Reason = "dead", err.Error()
		return out
	}
	out.Event, out.Phone, out.Disposition = entry.Event, mask.Phones(entry.Call.Contact.Phone), entry.Call.Disposition
	out.Status, out.SetsStatus, out.Late = entry.Status, entry.SetStatus, entry.Late
	if entry.Task != nil {
		out.Task = &PlanTask{Title: mask.Phones(entry.Task.Title), Due: rfc3339(entry.Task.Due)}
	}
	out.TaskLeft = rfc3339(notes.taskLeft)
	switch skip, _ := c.d.skipsJob(&j.Job); {
	case skip != "":
		out.Action, out.Reason = "skip", skip
		return out
	case refusal != "":
		out.Action, out.Reason = "dead", refusal
		return out
	case j.Waits != "":
		out.Reason = j.Waits
		if !p.goesLater(j) {
			out.Reason = "" // an earlier call of the contact goes first, in the same run
			break
		}
		out.Action = "wait"
	case j.Due.After(p.at.Add(retryHorizon)):
		out.Action, out.Reason = "wait", "it is tried again at "+rfc3339(j.Due)+": "+j.LastError
	}
	out.Contact = find.find(ctx, entry.Call.Contact)
	return out
}

// goesLater tells whether what a job waits for keeps it out of this run.
func (p *planner) goesLater(j *store.Queued) bool { return j.Waits == store.WaitsForListing }

// contactFinder looks contacts up, each once.
type contactFinder struct {
	d      *Destination
	region string
	known  map[string]*PlanContact
	asked  int
}

func (f *contactFinder) find(ctx context.Context, c crm.Contact) *PlanContact {
	w, ok := f.d.Writer.(crm.Finder)
	if !ok {
		return nil
	}
	key := phoneKey(c.Phone, f.region)
	if key == "" {
		return &PlanContact{Action: "none"}
	}
	if got := f.known[key]; got != nil {
		return got
	}
	out := &PlanContact{Action: "unknown"}
	f.known[key] = out
	if f.asked++; f.asked > planLookups {
		out.Error = fmt.Sprintf("only %d contacts are looked up", planLookups)
		return out
	}
	m, err := w.Find(ctx, c)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	out.ID, out.Label, out.Count = m.ID, m.Label, m.Count
	switch {
	case m.None:
		out.Action = "none"
	case m.ID != "":
		out.Action = "match"
	case m.Count > 0:
		out.Action = "skip" // several match, and the configuration wants none of them
	case f.d.OnMissing == "" || f.d.OnMissing == crm.MissingCreate:
		out.Action = "create"
	default:
		out.Action = f.d.OnMissing
	}
	return out
}
