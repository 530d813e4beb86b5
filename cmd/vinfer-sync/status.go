package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/alert"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

func statusCommand(a *app) *cobra.Command {
	var watch, check bool
	c := &cobra.Command{
		Use: "status", Short: "Show the verdict, cursor, lag, queue and destination health", Args: cobra.NoArgs,
		Long: "Shows first whether all is well, then the cursor, the lag, the queue and each destination.\n\n" +
			"With --check it prints one line for monitoring (-o json: the whole status). Exit code 0: fine; 1: something needs an operator.",
		Example: "  vinfer-sync status\n  vinfer-sync status --check\n  vinfer-sync status -o json",
	}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if watch && check {
			return usageError("--watch and --check do not go together")
		}
		show := func(ctx context.Context, b backend) error {
			s, err := b.Status(ctx)
			if err != nil {
				return err
			}
			if check {
				return a.checkStatus(c, s, o.json())
			}
			if o.json() {
				return json.NewEncoder(c.OutOrStdout()).Encode(s)
			}
			if watch && isTerminal(c.OutOrStdout()) {
				fmt.Fprint(rawOf(c.OutOrStdout()), "\x1b[H\x1b[2J")
			}
			return printStatus(a.screen(c, o), s)
		}
		for { // the state is not held between two looks: a daemon may start
			err := a.with(c.Context(), toLook, show)
			if check && err != nil && err.Error() != "" { // monitoring shows what is on standard output
				line := strings.NewReplacer("\n", "; ", "|", "/").Replace(err.Error())
				fmt.Fprintf(c.OutOrStdout(), "NEEDS YOU: the status is not known: %s\n", line)
				return &exitError{codeOf(err), nil}
			}
			if err != nil || !watch || !pause(c.Context(), 2*time.Second) {
				return err
			}
		}
	}
	c.Flags().BoolVar(&watch, "watch", false, "show it again every two seconds")
	c.Flags().BoolVar(&check, "check", false, "print one line for monitoring; exit code 1 if something needs an operator")
	return c
}

// checkStatus prints the verdict in one line, with the figures behind a bar as monitoring plug-ins write them, or the whole status as JSON.
func (a *app) checkStatus(c *cobra.Command, s engine.Status, asJSON bool) (err error) {
	k := a.clock()
	v := admin.Judge(s, time.Now(), k.zone)
	word := "OK"
	if v.NeedsYou {
		word = "NEEDS YOU"
	}
	if asJSON {
		err = json.NewEncoder(c.OutOrStdout()).Encode(s)
	} else {
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s. %s | lag=%ds pending=%d dead=%d\n", word, v.Headline, strings.ReplaceAll(k.local(v.Sentence), "|", "/"), s.LagSeconds, s.Pending, s.Dead)
	}
	if err == nil && v.NeedsYou {
		err = &exitError{exitLeft, nil}
	}
	return err
}

func printStatus(w *screen, s engine.Status) error {
	v := admin.Judge(s, time.Now(), w.zone)
	w.say("%s. %s\n", v.Headline, v.Sentence)
	for _, a := range s.Alerts {
		since := ""
		if !a.Since.IsZero() {
			since = " (since " + w.at(a.Since) + ")"
		}
		w.pair("needs you", "%s%s", a.Message, since)
		w.pair("", "-> %s", a.Remedy)
	}
	if s.ConfigError != "" {
		w.pair("needs you", "the configuration on the disk has faults, and the one before is in use:\n%s", s.ConfigError)
	}
	w.pair("configuration", "%s, pipeline %s", or(s.Config, "unknown"), s.Pipeline)
	if !s.Daemon {
		w.pair("service", "not running here; this is what the stored state tells")
	}
	switch {
	case s.Leader != nil:
		w.pair("leader", "node %s, since %s", s.Leader.Node, s.Leader.Since.Format(time.RFC3339))
	case s.Role != "":
		w.pair("leader", "none: no node runs this pipeline")
	}
	w.pair("cursor", "%s, %s behind (%s)", or(s.Cursor, "none"), span(time.Duration(s.LagSeconds)*time.Second), or(s.CursorParam, "lower bound not found out yet"))
	if at, err := time.Parse(time.RFC3339, s.Cursor); err == nil && time.Until(at) > time.Minute {
		w.pair("", "IN THE FUTURE: until then no call is read; vinfer-sync cursor set now ends that")
	}
	printRuns(w, s)
	w.pair("outbox", "%d pending, %d dead", s.Pending, s.Dead)
	if left := admin.LeftText(s.LeftOut); left != "" {
		w.pair("skipped", "%s, since the store was made", left)
	}
	eta := ""
	if s.TranscriptMinutes > 0 {
		eta = " (about " + span(time.Duration(s.TranscriptMinutes)*time.Minute) + ")"
	}
	w.pair("awaited", "%d transcripts%s, %d calls in progress", s.Transcripts, eta, s.Unfinished)
	if s.NeverEnded > 0 {
		w.pair("", "%d calls had no end within max_call and were delivered as they were", s.NeverEnded)
	}
	printLate(w, s)
	for _, b := range s.Backfills {
		w.pair(fmt.Sprintf("backfill %d", b.ID), "%s, %s: %d seen, %d queued, %d delivered, %d dead", b.State, strings.Replace(b.Range, "/", " to ", 1), b.Fetched, b.Queued, b.Delivered, b.Dead)
		if b.State == "interrupted" {
			w.pair("", "run the same command again to go on; vinfer-sync backfill cancel %d gives it up", b.ID)
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	fmt.Fprintln(w.out)
	var rows [][]string
	for _, d := range s.Destinations {
		reason := w.local(d.Reason)
		if toldOf(s, alert.Halted, d.Name) {
			reason = "see above"
		}
		rows = append(rows, []string{d.Name, d.Kind, stateOf(d), strconv.Itoa(d.Pending), strconv.Itoa(d.Dead), strconv.FormatInt(d.Delivered, 10), reason})
	}
	if err := w.table([]string{"DESTINATION", "KIND", "STATE", "PENDING", "DEAD", "DELIVERED", "REASON"}, rows, 6); err != nil {
		return err
	}
	printDestinations(w, s)
	return nil
}

// toldOf tells whether an alert of a destination is among the status' alerts.
func toldOf(s engine.Status, kind, dest string) bool {
	return slices.ContainsFunc(s.Alerts, func(a engine.Alert) bool { return a.Alert == kind && a.Destination == dest })
}

// stateOf is a destination's state in a word.
func stateOf(d engine.DestStatus) string {
	if d.Paused {
		return "paused"
	}
	return d.State
}

// printRuns shows the polls: the last, the next, and what they cost.
func printRuns(w *screen, s engine.Status) {
	if s.LastRun.At == "" {
		w.pair("last run", "never")
	} else {
		at, _ := time.Parse(time.RFC3339, s.LastRun.At)
		w.pair("last run", "%s: fetched %d, new %d, delivered %d, took %d ms", ago(at), s.LastRun.Fetched, s.LastRun.New, s.LastRun.Delivered, s.LastRun.TookMS)
		if s.LastRun.Error != "" {
			w.pair("", "FAILED: %s", s.LastRun.Error)
		}
	}
	if next, err := time.Parse(time.RFC3339, s.NextRun); err == nil {
		w.pair("next run", "in %s", span(time.Until(next)))
	}
	if s.Budget.Limit > 0 {
		w.pair("API budget", "%d of %d requests left until %s", s.Budget.Remaining, s.Budget.Limit, s.Budget.Reset)
	}
	if text := admin.RequestsText(s.Requests); text != "" {
		w.pair("last minute", "%s", text)
	}
	if s.ScheduleAdvice != "" {
		w.pair("schedule", "TOO SHORT: polls take longer than it leaves; %q fits", s.ScheduleAdvice)
	}
}

// printDestinations says what a destination needs that no alert has said.
func printDestinations(w *screen, s engine.Status) {
	if len(s.Destinations) > 1 {
		for _, d := range s.Destinations {
			if left := admin.LeftText(d.LeftOut); left != "" {
				w.say("skipped at %s: %s", d.Name, left)
			}
		}
	}
	for _, d := range s.Destinations {
		switch {
		case d.Paused:
			w.say("\n%s is paused and its calls are kept. To go on: vinfer-sync resume %s", d.Name, d.Name)
		case d.State == "halted" && !toldOf(s, alert.Halted, d.Name):
			w.say("\n%s is halted and its calls are kept. Fix the cause, then: vinfer-sync resume %s", d.Name, d.Name)
		case d.State == "orphaned" && d.Pending > 0:
			w.say("\n%s is no longer configured. Its %d calls are delivered when a destination of that name and kind (%s) is configured again.", d.Name, d.Pending, d.Kind)
		}
	}
}

// printLate shows what is known of the completeness.
func printLate(w *screen, s engine.Status) {
	w.pair("audited until", "%s", or(s.AuditedUntil, "never yet: vinfer-sync audit"))
	w.pair("found late", "%d", s.LateFound)
	for _, l := range s.Lateness {
		at, _ := time.Parse(time.RFC3339, l.Last)
		w.pair("", "%d by the %s, up to %s after their end, the last %s", l.Found, l.By, span(time.Duration(l.MostSeconds)*time.Second), ago(at))
	}
	if s.Advice != "" {
		w.pair("", "lookback: %s would have found those of the sweep at the next poll", s.Advice)
	}
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
