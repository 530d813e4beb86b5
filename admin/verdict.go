package admin

import (
	"cmp"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vinfer-sync/vinfer-sync/alert"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

// The classes of a Verdict; the dashboard colours by them.
const (
	fine  = "ok"
	mild  = "warn"
	grave = "bad"
)

// Verdict says in one line whether all is well.
type Verdict struct {
	Class    string // ok, warn or bad
	NeedsYou bool   // whether an operator has to act
	Headline string // the most important fact
	Sentence string // what follows from it
}

// classOf returns how bad an alert is.
func classOf(a engine.Alert) string {
	switch a.Alert {
	case alert.Dead, alert.Clock, alert.LeftOut, alert.Listen, alert.WentBack:
		return mild
	}
	return grave
}

// Judge returns the verdict on a status. now and zone are the operator's clock.
func Judge(s engine.Status, now time.Time, zone *time.Location) Verdict {
	var worst *engine.Alert
	n := 0
	for i, a := range s.Alerts {
		if a.Alert == alert.LeftOut {
			continue // as configured, perhaps on purpose: it is shown, and calls nobody
		}
		n++
		if worst == nil || classOf(*worst) == mild && classOf(a) == grave {
			worst = &s.Alerts[i]
		}
	}
	if s.ConfigError != "" {
		n++
	}
	if n > 0 {
		v := Verdict{Class: mild, NeedsYou: true, Headline: "The configuration on the disk has faults", Sentence: "The one before is in use."}
		if worst != nil {
			v.Class, v.Headline = classOf(*worst), headline(*worst, now, zone)
			v.Sentence = "Calls go on."
		}
		if v.Class == grave {
			v.Sentence = "Calls are kept; nothing is lost."
		}
		if n > 1 {
			v.Headline += fmt.Sprintf(", and %d more", n-1)
		}
		return v
	}
	for _, d := range s.Destinations {
		switch {
		case d.Paused:
			return Verdict{mild, false, d.Name + " is paused", "Its calls are kept until it is resumed: vinfer-sync resume " + d.Name}
		case d.State == "halted":
			return Verdict{grave, true, d.Name + " is halted", "Its calls are kept."}
		}
	}
	if s.LastRun.Error != "" {
		return Verdict{mild, false, "The last poll failed", "The next one tries again: " + mask.Phones(s.LastRun.Error)}
	}
	for _, d := range s.Destinations {
		switch {
		case d.State == "waiting":
			return Verdict{mild, false, d.Name + " is not taking calls just now", "Its calls are kept, and are tried again without you."}
		case d.State == "orphaned" && d.Pending > 0:
			return Verdict{mild, false, d.Name + " is no longer configured", fmt.Sprintf("Calls kept for it: %d. They are delivered when a destination of that name and kind is configured again.", d.Pending)}
		}
	}
	v := Verdict{Class: fine, Headline: "All is well", Sentence: "Every call that VInfer has shown is delivered."}
	switch {
	case s.LastRun.At == "":
		return Verdict{fine, false, "Starting", "The first poll is under way."}
	case s.Pending > 0:
		v.Sentence = fmt.Sprintf("Deliveries under way: %d.", s.Pending)
	case delivered(s.Destinations) == 0:
		v.Sentence = "No call has come yet."
	case s.Transcripts > 0:
		v.Sentence += fmt.Sprintf(" Transcripts awaited: %d.", s.Transcripts)
	}
	return v
}

// headline says in a few words what an alert is about, and since when.
func headline(a engine.Alert, now time.Time, zone *time.Location) string {
	what := cmp.Or(map[string]string{
		alert.Halted: a.Destination + " is halted", alert.Runs: "polls fail", alert.Clock: "the clock is off", alert.Disk: "the disk of " + a.Destination + " is nearly full",
		alert.Dead: cmp.Or(a.Destination, "the reading of calls") + " has dead letters", alert.Lag: cmp.Or(a.Destination, "reading") + " is late",
		alert.Gap: "VInfer's listing is incomplete", alert.Key: "VInfer refuses the key", alert.Stuck: "the service is stuck", alert.Down: "the service does not run", alert.Listen: "an address is taken",
		alert.NoLeader: "no node leads", alert.WentBack: "the database went back in time",
	}[a.Alert], a.Message)
	if a.Destination == "" { // a destination's name is written as it is
		first, size := utf8.DecodeRuneInString(what)
		what = string(unicode.ToUpper(first)) + what[size:]
	}
	if a.Since.IsZero() {
		return what
	}
	at := clock(a.Since, now, zone)
	if a.Since.In(zone).YearDay() == now.In(zone).YearDay() {
		at = at[:strings.LastIndexByte(at, ':')] // a headline needs no seconds
	}
	return what + " since " + at
}

func delivered(dests []engine.DestStatus) (n int64) {
	for _, d := range dests {
		n += d.Delivered
	}
	return n
}
