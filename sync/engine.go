// Package sync is the engine: it reads VInfer's calls into the store, delivers them from there to the destinations, and
// watches for what comes later. It is the only package that joins the client, the store and the writers.
//
//	VInfer → poll, sweep, audit, backfill (read.go) → ingest → store → deliver → crm.Writer
//	                                       ↑                └→ watch: transcripts, calls in progress
package sync

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// Options are what an Engine works with. Durations of zero mean zero unless a default is named.
type Options struct {
	Name         string // of the pipeline, for status and logs
	Version      string
	API          *vinfer.Client
	Store        store.Store
	Destinations []Destination
	Lease        context.Context //nolint:containedctx // when it ends no request begins or goes on: another process works; nil: it never does

	CursorParam string // auto (default), after or from
	Campaigns   []string
	PageSize    int       // 1 to 100; 0: 100
	Start       time.Time // the first cursor of an empty store; zero: now, by the server's clock
	Lookback    time.Duration
	MaxCall     time.Duration
	Schedule    string        // a robfig/cron expression; needed by Run only
	Settle      time.Duration // the sweep reads again what completed this long ago; 0: no sweep
	AuditDays   int           // the completeness check looks so far back; 0: 3, and none by itself
	AuditAt     string        // when Run audits, a robfig/cron expression; empty: never

	FetchTranscripts bool
	GiveUpAfter      time.Duration // for transcripts, from the first ask

	Retention time.Duration // of receipts; 0: 90 days
	Ledger    time.Duration // of ids after they were last seen; 0: 400 days

	Region  string         // default region of phone numbers without a country code; "": IN
	Zone    *time.Location // of call-back times without a zone; nil: Asia/Kolkata's +05:30
	Drain   time.Duration  // how long writes in flight may go on after the end of Run's context; 0: 20 s
	Pause   time.Duration  // between tries of an incomplete listing; 0: 1 s
	Backoff time.Duration  // first wait after a failed write, doubling to 5 min; 0: 1 s
	Logger  *slog.Logger   // nil: slog.Default()
}

// Destination is one configured CRM.
type Destination struct {
	Name, Kind string
	Writer     crm.Writer
	Workers    int // writes side by side; 0: 4
	// Identity is what the destination's access depends on: its URL and credentials. Only a keyed hash of it is kept; when that
	// changes a halt is lifted.
	Identity string
	Filter   Filter
	Mapping  Mapping
	Off      Steps  // steps switched off
	Owner    string // of tasks whose rule names none
	// OnMissing is what the writer does with a call whose contact it does not find: create (default), skip or dead. Only Plan needs it.
	OnMissing string
}

// Steps names the parts of writing a call that a destination can do without.
type Steps struct{ Status, Activity, Link, Task, Transcript bool }

// ErrUnbounded reports a server that honours no lower bound of a listing: reading it would flood the CRM with all history.
var ErrUnbounded = errors.New("the API ignores the lower bound of a listing")

// Engine runs one pipeline. Make it with New, then either Run it (the daemon) or Start it, use RunOnce or Backfill, and Stop it.
// Its methods are safe for concurrent use.
type Engine struct {
	o     Options
	log   *slog.Logger
	zone  *time.Location
	dests map[string]*dispatcher
	order []*dispatcher
	began time.Time

	polling sync.Mutex // one live poll at a time
	probed  atomic.Pointer[vinfer.Bounds]
	lone    loneTotals
	daemon  atomic.Bool // Run works: readings keep their pace
	// What the last RunOnce has counted as delivered and dead.
	toldDelivered, toldDead atomic.Int64
	clock                   serverClock
	observer                Observer                         // nil: nobody
	next                    atomic.Pointer[func() time.Time] // when the schedule polls next, once it runs

	plan       *plan
	unfinished unfinished
	versions   oldVersions
	watcher    *watcher
	rereader   *rereader
	sweeper    *sweeper
	auditing   sync.Mutex // held by the one audit

	salt []byte // of the store

	recording sync.Mutex // held for lastRun
	lastRun   store.Run  // which the store has unless its disk is full
	unkept    bool       // it has not

	unrecorded atomic.Int64  // since when no outcome can be recorded, in Unix nanoseconds; 0: they can
	patience   time.Duration // so long a run by hand waits for that to end

	life   context.Context         // ends when the engine does
	end    context.CancelCauseFunc // of life
	work   sync.WaitGroup
	cancel context.CancelFunc // ends taking new work
	abort  context.CancelFunc // ends writes in flight
	writes context.Context
	busy   activities

	backfills sync.Map // ids of the ones that run now → context.CancelCauseFunc
	specs     sync.Map // id → backfillSpec, of those that there are jobs of
}

// New checks the options, registers the destinations with the store and returns an Engine that does nothing yet.
func New(o Options) (*Engine, error) {
	setDefaults(&o)
	e := &Engine{o: o, log: o.Logger, zone: o.Zone, dests: map[string]*dispatcher{}, began: time.Now(), patience: time.Minute}
	e.clock.reject = e.rejectClock
	e.life, e.end = context.WithCancelCause(o.Lease)
	st, err := o.Store.Stats()
	if err != nil {
		return nil, err
	}
	e.salt, e.lastRun = st.Salt, st.LastRun
	specs := make([]store.DestSpec, 0, len(o.Destinations))
	for i := range o.Destinations {
		d := &o.Destinations[i]
		if d.Workers <= 0 {
			d.Workers = 4
		}
		if err := d.Mapping.compile(); err != nil {
			return nil, fmt.Errorf("destination %s: %w", d.Name, err)
		}
		_, appendOnly := d.Writer.(crm.AppendOnly)
		specs = append(specs, store.DestSpec{Name: d.Name, Kind: d.Kind, Fingerprint: e.fingerprint(d), AppendOnly: appendOnly})
	}
	if err := e.loadClock(); err != nil {
		return nil, err
	}
	// The first cursor by the local clock; the first answer corrects it to the server's (see confirmStart).
	first := o.Start
	if first.IsZero() {
		first = e.began
	}
	if st, err = o.Store.Begin(first.UTC().Truncate(time.Second), specs); err != nil {
		return nil, err
	}
	for i := range o.Destinations {
		c := newDispatcher(e, &o.Destinations[i])
		e.dests[c.d.Name] = c
		e.order = append(e.order, c)
		c.loadThrottle(e.began)
	}
	for _, s := range st.Dests {
		c := e.dests[s.Name]
		switch {
		case c == nil:
			if s.Pending+s.Dead > 0 {
				e.log.Warn("destination is no longer configured; its jobs are kept and go on when one of that name and kind is configured again",
					keyDest, s.Name, "kind", s.Kind, "pending", s.Pending, "dead", s.Dead)
			}
		case s.Held() != "":
			if c.halted, c.paused = s.Held(), s.Paused != ""; c.paused {
				e.log.Warn("destination is paused; its calls are kept", keyDest, s.Name, "reason", c.halted, "remedy", "to go on: vinfer-sync resume "+s.Name)
				break
			}
			e.log.Warn("destination is halted; its calls are kept", keyDest, s.Name, "reason", c.halted, "remedy", "fix the cause, then: vinfer-sync resume "+s.Name)
		case s.New:
			e.log.Info("new destination starts with the calls from now on; to fill it with earlier ones run a backfill",
				keyDest, s.Name, "command", "vinfer-sync backfill --since "+rfc3339(st.First)+" --to "+s.Name)
		}
	}
	e.plan, e.watcher, e.rereader, e.sweeper = newPlan(e), newWatcher(e), newRereader(e), newSweeper(e)
	e.unfinished.e = e
	return e, e.plan.load()
}

func setDefaults(o *Options) {
	if o.Lease == nil {
		o.Lease = context.Background()
	}
	if o.CursorParam == "" {
		o.CursorParam = "auto"
	}
	if o.PageSize <= 0 || o.PageSize > 100 {
		o.PageSize = 100
	}
	if o.Retention <= 0 {
		o.Retention = 90 * 24 * time.Hour
	}
	if o.Ledger <= 0 {
		o.Ledger = 400 * 24 * time.Hour
	}
	if o.Region == "" {
		o.Region = "IN"
	}
	if o.Zone == nil {
		o.Zone = time.FixedZone("IST", 5*3600+1800)
	}
	if o.Drain <= 0 {
		o.Drain = 20 * time.Second
	}
	if o.Pause <= 0 {
		o.Pause = time.Second
	}
	if o.Backoff <= 0 {
		o.Backoff = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// fingerprint tells a destination's access from another one.
func (e *Engine) fingerprint(d *Destination) string { return e.keyed(d.Kind + "\x00" + d.Identity) }

// keyed returns a hash of s that tells nothing to who has only the state file's hashes, and differs between stores.
func (e *Engine) keyed(s string) string {
	m := hmac.New(sha256.New, e.salt)
	m.Write([]byte(s))
	return hex.EncodeToString(m.Sum(nil)[:16])
}

// Keys of log attributes, in one place so that they stay the same everywhere.
const (
	keyDest  = "dest"
	keyCall  = "call"
	keyError = "error"
)
