package admin

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/alert"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// judge shows the verdict and what needs an operator.
func (v *view) judge(f Facts, zone *time.Location) {
	v.Verdict = Judge(f.Status, f.Now, zone)
	for _, a := range f.Status.Alerts {
		v.Alerts = append(v.Alerts, notice{classOf(a), plain(a.Message, f.Now, zone), a.Remedy, clock(a.Since, f.Now, zone)})
	}
	if f.Status.ConfigError != "" {
		v.Alerts = append(v.Alerts, notice{Class: mild, Message: "The configuration on the disk has faults; the one before is in use: " + f.Status.ConfigError, Remedy: "vinfer-sync check --offline"})
	}
	slices.SortStableFunc(v.Alerts, func(a, b notice) int { return strings.Compare(a.Class, b.Class) }) // bad before warn
}

// tiles are the figures at the top.
func (v *view) tiles(f Facts, zone *time.Location) {
	raised := func(kinds ...string) bool {
		return slices.ContainsFunc(f.Status.Alerts, func(a engine.Alert) bool { return a.Destination == "" && slices.Contains(kinds, a.Alert) })
	}
	lag := tile{Class: fine, Label: "Lag", Value: "–", Note: "nothing read yet"}
	if !f.Stats.Watermark.IsZero() {
		behind := max(f.Now.Sub(f.Stats.Watermark), 0)
		lag.Value, lag.Note = span(behind), "read up to "+clock(f.Stats.Watermark, f.Now, zone)
		if raised(alert.Lag, alert.Runs, alert.Key) {
			lag.Class = grave
		}
	}
	run := tile{Class: fine, Label: "Last poll", Value: "–", Note: "the first one is under way"}
	if !f.Stats.LastRun.At.IsZero() {
		r := f.Stats.LastRun
		run.Value, run.Note = since(r.At, f.Now), fmt.Sprintf("%d seen, %d new, %d\u00a0ms", r.Fetched, r.New, r.Took.Milliseconds())
		if r.Error != "" {
			run.Class, run.Note = mild, "failed"
			if raised(alert.Runs, alert.Key) {
				run.Class = grave
			}
		}
	}
	next := tile{Class: fine, Label: "Next poll", Value: "now", Note: f.Schedule}
	if at, err := time.Parse(time.RFC3339, f.Status.NextRun); err == nil && at.After(f.Now) {
		next.Value = "in " + span(at.Sub(f.Now))
	}
	budget := tile{Class: fine, Label: "API budget left", Value: "–", Note: "no answer seen yet"}
	if b := f.Status.Budget; b.Limit > 0 {
		share := 100 * b.Remaining / b.Limit
		budget.Value, budget.Share = fmt.Sprintf("%d %%", share), &share
		budget.Note = fmt.Sprintf("%d of %d requests", b.Remaining, b.Limit)
		if at, err := time.Parse(time.RFC3339, b.Reset); err == nil && at.After(f.Now) {
			budget.Note += ", new in " + span(at.Sub(f.Now))
		}
		if text := RequestsText(f.Status.Requests); text != "" {
			budget.Note += "; last minute " + text
		}
		if share < 10 {
			budget.Class = mild
		}
	}
	pending := tile{Class: fine, Label: "Waiting", Value: number(int64(f.Status.Pending)), Note: "deliveries in the outbox"}
	if n := f.Status.Transcripts; n > 0 {
		pending.Note += fmt.Sprintf("; transcripts awaited: %d", n)
		if m := f.Status.TranscriptMinutes; m > 0 {
			pending.Note += ", about " + span(time.Duration(m)*time.Minute)
		}
	}
	for _, d := range f.Status.Destinations {
		switch {
		case d.Pending == 0:
		case d.State == "halted" && !d.Paused:
			pending.Class = grave
		case pending.Class == fine && d.State != "ok":
			pending.Class = mild
		}
	}
	dead := tile{Class: fine, Label: "Dead letters", Value: number(int64(f.Status.Dead)), Note: "calls that were refused"}
	if f.Status.Dead > 0 {
		dead.Class = mild
	}
	v.Tiles = []tile{lag, run, next, budget, pending, dead}
}

// destOf shows a destination's state in plain words, and the command that fixes it.
func destOf(s engine.DestStatus, d store.Dest, f Facts, zone *time.Location) destView {
	x := destView{Name: s.Name, Kind: s.Kind, Class: fine, State: s.State, Pending: s.Pending, Dead: s.Dead, Delivered: s.Delivered, Last: "no delivery yet"}
	if !d.LastSuccess.IsZero() {
		x.Last = "last delivery " + since(d.LastSuccess, f.Now)
	}
	reason := plain(s.Reason, f.Now, zone)
	switch {
	case s.Paused:
		x.Class, x.State, x.Words, x.Remedy = mild, "paused", "Its calls are kept: "+reason+". To go on, run:", "vinfer-sync resume "+s.Name
	case s.State == "halted":
		x.Class, x.Words, x.Remedy = grave, "Stopped: access was refused, or several calls in a row failed the same way. Calls are kept: "+reason+". Fix the cause, then run:", "vinfer-sync resume "+s.Name
	case s.State == "waiting":
		x.Class, x.Words = mild, "It is not taking calls just now and is tried again without you: "+reason
	case s.State == "orphaned":
		x.Class, x.Words = mild, "It is no longer in the configuration."
		if s.Pending > 0 {
			x.Words += " Its calls are kept until it is configured again."
		}
	case s.Dead > 0:
		x.Words, x.Remedy = "It takes calls, but refused some. See them:", "vinfer-sync dead list --dest "+s.Name
	case s.Pending > 0:
		x.Words = "It takes calls."
	default:
		x.Words = "It has every call."
	}
	return x
}

// waysOf shows where a call is: at all destinations, or what the exceptions are.
func waysOf(dests []store.DestLife, now time.Time, zone *time.Location) []wayView {
	var exceptions []wayView
	for _, at := range dests {
		if at.State != "delivered" {
			exceptions = append(exceptions, wayOf(at, now, zone))
		}
	}
	if len(exceptions) == 0 && len(dests) > 0 {
		x := wayOf(dests[0], now, zone)
		x.Dest = ""
		return []wayView{x}
	}
	return exceptions
}

// wayOf shows where a call is.
func wayOf(at store.DestLife, now time.Time, zone *time.Location) wayView {
	x := wayView{Dest: at.Dest, State: at.State, Class: mild}
	switch at.State {
	case "delivered":
		x.Class = fine
		if !at.At.IsZero() {
			x.Note = clock(at.At, now, zone)
		}
	case "dead":
		x.Class, x.State, x.Note = grave, "refused", mask.Phones(at.Error)
	case "skipped":
		x.Class, x.State, x.Note = "off", "skipped", mask.Phones(at.Error)
	default:
		x.State, x.Note = "waits", mask.Phones(at.Error)
		if at.Waits != "" {
			x.Note = strings.TrimSpace(at.Waits + " " + x.Note)
		}
	}
	return x
}

var instant = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// plain shows a reason by the operator's clock and without phone numbers.
func plain(reason string, now time.Time, zone *time.Location) string {
	return instant.ReplaceAllStringFunc(mask.Phones(reason), func(s string) string {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return s
		}
		return clock(t, now, zone)
	})
}

// span shows a duration as people say it.
func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

func since(t, now time.Time) string { return span(now.Sub(t)) + " ago" }

// clock shows a time by the operator's clock, with its day where that is not today.
func clock(t, now time.Time, zone *time.Location) string {
	t, now = t.In(zone), now.In(zone)
	switch {
	case t.YearDay() == now.YearDay() && t.Year() == now.Year():
		return t.Format("15:04:05")
	case t.Year() == now.Year():
		return t.Format("2 Jan 15:04")
	default:
		return t.Format("2 Jan 2006 15:04")
	}
}

// number groups the digits of large numbers.
func number(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func bytesText(n uint64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	default:
		return fmt.Sprintf("%d KiB", n>>10)
	}
}
