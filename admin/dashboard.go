package admin

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

//go:embed page
var pageFiles embed.FS

var pageTemplate = template.Must(template.ParseFS(pageFiles, "page/index.html"))

const (
	pageSeen  = 100 // calls seen last, of which
	pageCalls = 20  // those that ended last are shown
	pageDead  = 500 // dead letters that are grouped by reason
	pageHours = 24
	pageFresh = time.Second // how long one rendering serves all who ask
)

// Source is where the dashboard finds what it shows.
type Source struct {
	Facts func() (Facts, error)
	Calls func(context.Context, store.CallQuery) ([]CallLine, error)
	Dead  func(context.Context, DeadQuery) ([]store.DeadLetter, error)
	Tally *Tally
	Zone  func() *time.Location // of the operator's clock
}

// dashboard serves the page and its parts. It only reads.
type dashboard struct {
	source Source
	log    *slog.Logger

	mu   sync.Mutex
	page []byte
	made time.Time
}

// ServeHTTP serves the page.
func (d *dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page, err := d.render(r.Context())
	if err != nil {
		d.log.Warn("the dashboard cannot be shown", "error", err)
		http.Error(w, "the dashboard cannot be shown: the log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page) //nolint:gosec // html/template has escaped what is in it
}

// render makes the page, or takes the one just made.
func (d *dashboard) render(ctx context.Context) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.page != nil && time.Since(d.made) < pageFresh {
		return d.page, nil
	}
	v, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		return nil, err
	}
	d.page, d.made = b.Bytes(), time.Now()
	return d.page, nil
}

// view is what the page's template shows. All of it is text: the template escapes.
type view struct {
	Pipeline, Version, Now, Zone string
	Leader                       string // who leads, where nodes share the pipeline
	Verdict                      Verdict
	Alerts                       []notice
	Tiles                        []tile
	Hours                        hoursChart
	Outcomes                     []bar
	Calls24                      int
	Destinations                 []destView
	OtherCampaigns               int64 // calls of campaigns that are not configured
	Calls                        []callView
	Unknown                      bool // whether some of the calls are older than what is remembered
	Dead                         []deadView
	DeadMore                     bool
	Backfills                    []backfillView
	Late                         int64
	Audited                      string
	StoreSize, DiskFree          string
}

// notice is something that an operator should know.
type notice struct{ Class, Message, Remedy, Since string }

// tile is one figure.
type tile struct {
	Class, Label, Value, Note string
	Share                     *int // of 100; nil: no bar
}

type destView struct {
	Name, Kind, Class, State, Words, Remedy, Last string
	Left                                          string // what it did not get
	Pending, Dead                                 int
	Delivered                                     int64
}

type callView struct {
	ID, Ended, Ago, Phone, Outcome, Talked string
	Way                                    []wayView
}

// wayView is a call at one destination, or at all of them.
type wayView struct{ Dest, Class, State, Note string }

type deadView struct {
	Dest, Reason, Command string
	N                     int
}

type backfillView struct {
	Name, Words       string
	ReadShare, Done   int // of 100
	Fetched, Refused  int64
	Delivered, Queued int64
}

// look gathers what the page shows.
func (d *dashboard) look(ctx context.Context) (*view, error) {
	f, err := d.source.Facts()
	if err != nil {
		return nil, err
	}
	zone := d.source.Zone()
	v := &view{
		Pipeline: f.Status.Pipeline, Version: f.Status.Version, Now: f.Now.In(zone).Format("2 January 2006, 15:04:05"), Zone: zone.String(),
		Late: f.Stats.LateFound, StoreSize: bytesText(uint64(f.StoreBytes)),
	}
	if l := f.Status.Leader; l != nil {
		v.Leader = "node " + l.Node + " leads since " + clock(l.Since, f.Now, zone)
	}
	if !f.Stats.AuditedUntil.IsZero() {
		v.Audited = clock(f.Stats.AuditedUntil, f.Now, zone)
	}
	for i, s := range f.Disks {
		if i == 0 || s.Free < f.Disks[0].Free {
			v.DiskFree = bytesText(s.Free)
		}
	}
	v.judge(f, zone)
	v.tiles(f, zone)
	hours, outcomes := d.source.Tally.counts(f.Now, pageHours)
	v.Hours = chartOf(hours)
	v.Outcomes = barsOf(outcomes)
	for _, h := range hours {
		v.Calls24 += h.N
	}
	v.OtherCampaigns = f.Status.LeftOut[store.LeftCampaign]
	for _, x := range f.Status.Destinations {
		var kept store.Dest
		if i := slices.IndexFunc(f.Stats.Dests, func(k store.Dest) bool { return k.Name == x.Name }); i >= 0 {
			kept = f.Stats.Dests[i]
		}
		shown := destOf(x, kept, f, zone)
		shown.Left = LeftText(x.LeftOut)
		v.Destinations = append(v.Destinations, shown)
	}
	if err := d.recent(ctx, v, f, zone); err != nil {
		return nil, err
	}
	if err := d.refused(ctx, v); err != nil {
		return nil, err
	}
	for _, b := range f.Stats.Backfills {
		if b.ReadDone.IsZero() || b.Pending() > 0 {
			v.Backfills = append(v.Backfills, backfillOf(b, f.Now, zone))
		}
	}
	return v, nil
}

// recent shows the last calls and where each is.
func (d *dashboard) recent(ctx context.Context, v *view, f Facts, zone *time.Location) error {
	calls, err := d.source.Calls(ctx, store.CallQuery{N: pageSeen})
	if err != nil {
		return err
	}
	slices.SortStableFunc(calls, func(a, b CallLine) int { return b.When.Compare(a.When) })
	for _, c := range calls[:min(pageCalls, len(calls))] {
		x := callView{ID: c.ID, Ended: clock(c.When, f.Now, zone), Ago: since(c.When, f.Now)}
		if known := c.Known; known.ID != "" {
			x.Phone, x.Outcome = known.Phone, words(cmp.Or(known.Disposition, noOutcome))
			if known.Talked > 0 {
				s := int(known.Talked.Round(time.Second).Seconds())
				x.Talked = fmt.Sprintf("%d:%02d", s/60, s%60)
			}
		} else {
			v.Unknown = true
		}
		x.Way = waysOf(c.Dests, f.Now, zone)
		v.Calls = append(v.Calls, x)
	}
	return nil
}

// refused groups the dead letters by reason.
func (d *dashboard) refused(ctx context.Context, v *view) error {
	letters, err := d.source.Dead(ctx, DeadQuery{All: true, N: pageDead})
	if err != nil {
		return err
	}
	at := map[[2]string]int{}
	for _, l := range letters {
		key := [2]string{l.Dest, engine.Reason(l.Error)}
		i, known := at[key]
		if !known {
			i = len(v.Dead)
			at[key] = i
			x := deadView{Dest: cmp.Or(l.Dest, "(unreadable)"), Reason: mask.Phones(l.Error), Command: "vinfer-sync dead list"}
			if l.Dest != "" {
				x.Command += " --dest " + l.Dest
			}
			v.Dead = append(v.Dead, x)
		}
		v.Dead[i].N++
	}
	slices.SortStableFunc(v.Dead, func(a, b deadView) int { return cmp.Compare(b.N, a.N) })
	v.DeadMore = len(letters) == pageDead
	return nil
}

func backfillOf(b store.Backfill, now time.Time, zone *time.Location) backfillView {
	from, until, upTo := engine.RangeOf(b)
	x := backfillView{
		Name:    fmt.Sprintf("%d: %s to %s", b.ID, clock(from, now, zone), clock(until, now, zone)),
		Fetched: b.Fetched, Refused: b.Dead, Delivered: b.Delivered, Queued: b.Queued,
	}
	if whole := until.Sub(from); whole > 0 {
		x.ReadShare = int(100 * upTo.Sub(from) / whole)
	}
	if b.Queued > 0 {
		x.Done = int(100 * (b.Delivered + b.Dead) / b.Queued)
	}
	x.Words = "is being read; live work goes first"
	if !b.ReadDone.IsZero() {
		x.ReadShare, x.Words = 100, "has been read, and is being delivered; live work goes first"
	}
	return x
}
