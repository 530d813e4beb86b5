// Package alert finds what needs an operator, and tells of it once: when it begins and when it is over, in the log and by a program of
// the operator's choice.
package alert

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// Kinds of alerts.
const (
	Lag    = "lag"    // calls are read, or arrive at a destination, too late
	Runs   = "runs"   // no run has succeeded for a while
	Clock  = "clock"  // this machine's clock and VInfer's differ
	Halted = "halted" // a destination is halted
	Dead   = "dead"   // calls were refused
	Disk   = "disk"   // a disk is nearly full
	// LeftOut: all calls of a destination are left out, by its filter, its mapping or the writer's settings.
	LeftOut = "left_out"
	// Gap: VInfer counts more calls in a range than it shows.
	Gap = "gap"
	// Key: VInfer refused the API key, which another try does not change.
	Key = "key"
	// Stuck: a part of the service shows no sign of life.
	Stuck = "stuck"
	// Listen: an address of the service, for commands or for browsers, could not be had.
	Listen = "listen"
	// Down: a service worked on the pipeline last, and none runs. Only who looks without it finds that.
	Down = "down"
	// NoLeader: no node can lead the pipeline.
	NoLeader = "no_leader"
	// WentBack: the database of the state went back in time.
	WentBack = "went_back"
)

// Kinds are all of them.
var Kinds = []string{Lag, Runs, Clock, Halted, Dead, Disk, LeftOut, Gap, Key, Stuck, Listen, Down, NoLeader, WentBack}

const (
	missedRuns = 5                // intervals without a successful run
	maxSkew    = 30 * time.Second // as check has it
	fewCalls   = 5                // that are left out in a row tell nothing
	backFor    = 24 * time.Hour   // a database that went back is told of
	gapAfter   = 10 * time.Minute // the range of a passing fault has been read again by then
)

// Facts are what the rules look at. Times are UTC.
type Facts struct {
	Now     time.Time
	Started time.Time // of the process: what was late before is its predecessor's
	Stats   store.Stats
	Oldest  map[string]time.Time // when the oldest call ended that a destination lacks
	Skew    time.Duration        // VInfer's clock minus this machine's
	Disks   []Space
	Refusal string  // how VInfer refused the key at the last poll; empty: it did not
	Down    bool    // a service should run, and does not
	Stuck   error   // what shows no sign of life; nil: nothing
	Listen  []error // of the addresses that could not be had

	NoLeader string    // why neither this node nor another one leads; nothing else is known then
	WentBack time.Time // when the database was found to have gone back; zero: it did not
}

// Space is the room on a disk.
type Space struct {
	Path        string
	Free, Total uint64 // bytes
}

// Rules say what is too much.
type Rules struct {
	Lag     time.Duration                  // 0: lag is no reason
	LeftOut time.Duration                  // all calls of a destination may be left out for so long; 0: for ever
	Next    func(time.Time) time.Time      // when the schedule polls next after a time
	Is      func(kind, dest string) bool   // whether an alert stands: what stands is over only when it is clearly over
	Remedy  func(kind, dest string) string // what an operator does about it
}

// found is an alert, and how large its matter is: it is told again when that has doubled.
type found struct {
	engine.Alert
	size   int
	passes bool // it may be over the next moment: it counts when it is still there at the next look
}

// look returns what needs an operator.
func (r Rules) look(f Facts) []found {
	var all []found
	add := func(kind, dest string, size int, format string, args ...any) {
		a := engine.Alert{Alert: kind, Destination: dest, Message: mask.Phones(fmt.Sprintf(format, args...)), Since: f.Now}
		if r.Remedy != nil {
			a.Remedy = r.Remedy(kind, dest)
		}
		all = append(all, found{a, size, kind == Lag})
	}
	if f.NoLeader != "" {
		add(NoLeader, "", 1, "no node can lead, and nothing is read or delivered: %s", f.NoLeader)
		return all
	}
	if !f.WentBack.IsZero() && f.Now.Sub(f.WentBack) < backFor {
		add(WentBack, "", 1, "the database was found to have gone back in time at %s: what was delivered after that time is delivered again", f.WentBack.UTC().Format(time.RFC3339))
	}
	if f.Down {
		add(Down, "", 1, "the service does not run; it polled last at %s", lastPoll(f))
	}
	refused := f.Refusal != ""
	if refused {
		add(Key, "", 1, "VInfer refused the API key: %s", f.Refusal)
	}
	failing := !refused && r.failing(f)
	if failing {
		add(Runs, "", 1, "no run has succeeded since %s: %s", since(f), f.Stats.LastRun.Error)
	}
	if late := r.behind(f); late > 0 && !failing && !refused && !f.Down {
		add(Lag, "", 1, "calls are read %s late: VInfer was last read up to %s", words(late), f.Stats.Watermark.UTC().Format(time.RFC3339))
	}
	if skew := f.Skew.Abs(); skew > r.easier(Clock, "", maxSkew) {
		add(Clock, "", 1, "this machine's clock is %s off VInfer's", words(skew))
	}
	for _, g := range engine.OpenRanges(f.Stats) {
		if f.Now.Sub(g.To) > gapAfter {
			add(Gap, "", 1, "VInfer counts more calls than it shows between %s and %s: those that it shows are delivered, and the range is read again",
				g.From.UTC().Format(time.RFC3339), g.To.UTC().Format(time.RFC3339))
			break
		}
	}
	if f.Stuck != nil {
		add(Stuck, "", 1, "%v", f.Stuck)
	}
	if err := errors.Join(f.Listen...); err != nil {
		add(Listen, "", 1, "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	unread := f.Stats.Dead
	for _, d := range f.Stats.Dests {
		unread -= d.Dead
		if d.Dead > 0 {
			add(Dead, d.Name, d.Dead, "%s refused calls: dead letters %d", d.Name, d.Dead)
		}
		if d.Orphaned || d.Paused != "" {
			continue
		}
		if l := d.LeftOut; r.LeftOut > 0 && l.InARow >= fewCalls && l.Until.Sub(l.Since) >= r.LeftOut {
			add(LeftOut, d.Name, l.InARow, "all %d calls since %s were skipped at %s, the last by: %s", l.InARow, l.Since.UTC().Format(time.RFC3339), d.Name, l.Last)
		}
		if d.Halted != "" {
			add(Halted, d.Name, 1, "%s is halted, and its calls are kept: %s", d.Name, d.Halted)
			continue
		}
		oldest := f.Oldest[d.Name]
		if oldest.IsZero() || r.Lag <= 0 {
			continue
		}
		if age := f.Now.Sub(later(oldest, f.Started)); age > r.easier(Lag, d.Name, r.Lag) {
			add(Lag, d.Name, 1, "the oldest call that %s lacks ended %s ago%s", d.Name, words(f.Now.Sub(oldest)), because(d))
		}
	}
	if unread > 0 {
		add(Dead, "", unread, "rows of VInfer's that could not be understood: dead letters %d", unread)
	}
	for _, s := range f.Disks {
		if full(s, r.is(Disk, s.Path)) {
			add(Disk, s.Path, 1, "the disk of %s is nearly full: %d MiB of %d MiB are free", s.Path, s.Free>>20, s.Total>>20)
		}
	}
	return all
}

// words shows a duration as people say it.
func words(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	default:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
}

// because says what stands in a destination's way, if that is recent.
func because(d store.Dest) string {
	if d.LastError == "" || d.LastErrorAt.Before(d.LastSuccess) {
		return ""
	}
	return ": " + d.LastError
}

func (r Rules) is(kind, dest string) bool { return r.Is != nil && r.Is(kind, dest) }

// easier returns the limit, and half of it for an alert that stands, so that one at the limit does not come and go.
func (r Rules) easier(kind, dest string, limit time.Duration) time.Duration {
	if r.is(kind, dest) {
		return limit / 2
	}
	return limit
}

// failing tells whether runs fail, and the last good one is some intervals ago.
func (r Rules) failing(f Facts) bool {
	if f.Stats.LastRun.Error == "" || r.Next == nil {
		return false
	}
	t := later(f.Stats.LastRun.LastSuccess, f.Started)
	for range missedRuns {
		if t = r.Next(t); t.IsZero() || t.After(f.Now) {
			return false
		}
	}
	return true
}

// behind returns how much later than the schedule would have it calls are read, if that is too much: a schedule that rests at night is not
// late in the morning.
func (r Rules) behind(f Facts) time.Duration {
	if r.Lag <= 0 || r.Next == nil || f.Stats.Watermark.IsZero() {
		return 0
	}
	due := r.Next(f.Stats.Watermark)
	if due.IsZero() {
		return 0
	}
	late := f.Now.Sub(due)
	if late <= r.easier(Lag, "", r.Lag) || f.Now.Sub(f.Started) <= r.Lag {
		return 0
	}
	return late
}

func since(f Facts) string {
	if f.Stats.LastRun.LastSuccess.IsZero() {
		return "the start"
	}
	return f.Stats.LastRun.LastSuccess.UTC().Format(time.RFC3339)
}

func lastPoll(f Facts) string {
	if f.Stats.LastRun.At.IsZero() {
		return "no time yet"
	}
	return f.Stats.LastRun.At.UTC().Format(time.RFC3339)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// A disk is nearly full below a twentieth of it, but a large one only below 1 GiB, and any below 100 MiB.
const (
	fewBytes  = 100 << 20
	someBytes = 1 << 30
)

func full(s Space, stands bool) bool {
	limit := max(min(s.Total/20, someBytes), min(fewBytes, s.Total/5))
	if stands {
		limit += limit / 5
	}
	return s.Total > 0 && s.Free < limit
}
