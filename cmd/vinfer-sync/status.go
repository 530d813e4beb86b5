package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/alert"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

func statusCommand(a *app) *cobra.Command {
	var asJSON, watch bool
	c := &cobra.Command{
		Use: "status", Short: "Show how far it is and how each destination does", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), false, func(ctx context.Context, b backend) error {
				for {
					s, err := b.Status(ctx)
					if err != nil {
						return err
					}
					if watch && !asJSON && isTerminal(c.OutOrStdout()) {
						fmt.Fprint(rawOf(c.OutOrStdout()), "\x1b[H\x1b[2J")
					}
					if asJSON {
						err = json.NewEncoder(c.OutOrStdout()).Encode(s)
					} else {
						err = printStatus(c.OutOrStdout(), s)
					}
					if err != nil || !watch {
						return err
					}
					select {
					case <-ctx.Done():
						return nil
					case <-time.After(2 * time.Second):
					}
				}
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON, with stable names")
	c.Flags().BoolVar(&watch, "watch", false, "show it again every two seconds")
	return c
}

func printStatus(out io.Writer, s engine.Status) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	row := func(k, format string, args ...any) { fmt.Fprintf(w, k+"\t"+format+"\n", args...) }
	row("pipeline", "%s (vinfer-sync %s)", s.Pipeline, s.Version)
	param := s.CursorParam
	if param == "" {
		param = "lower bound not found out yet"
	}
	row("cursor", "%s, %s behind (%s)", or(s.Cursor, "none"), span(time.Duration(s.LagSeconds)*time.Second), param)
	if at, err := time.Parse(time.RFC3339, s.Cursor); err == nil && time.Until(at) > time.Minute {
		row("", "IN THE FUTURE: until then no call is read; vinfer-sync cursor set now ends that")
	}
	if s.LastRun.At == "" {
		row("last run", "never")
	} else {
		at, _ := time.Parse(time.RFC3339, s.LastRun.At)
		row("last run", "%s: fetched %d, new %d, delivered %d, took %d ms", ago(at), s.LastRun.Fetched, s.LastRun.New, s.LastRun.Delivered, s.LastRun.TookMS)
		if s.LastRun.Error != "" {
			row("", "FAILED: %s", s.LastRun.Error)
		}
	}
	if next, err := time.Parse(time.RFC3339, s.NextRun); err == nil {
		row("next run", "in %s", span(time.Until(next)))
	}
	if s.Budget.Limit > 0 {
		row("API budget", "%d of %d requests left until %s", s.Budget.Remaining, s.Budget.Limit, s.Budget.Reset)
	}
	if text := admin.RequestsText(s.Requests); text != "" {
		row("last minute", "%s", text)
	}
	if s.ScheduleAdvice != "" {
		row("schedule", "TOO SHORT: polls take longer than it leaves; %q fits", s.ScheduleAdvice)
	}
	row("outbox", "%d pending, %d dead", s.Pending, s.Dead)
	if left := admin.LeftText(s.LeftOut); left != "" {
		row("left out", "%s, since the store was made", left)
	}
	eta := ""
	if s.TranscriptMinutes > 0 {
		eta = " (about " + span(time.Duration(s.TranscriptMinutes)*time.Minute) + ")"
	}
	row("awaited", "%d transcripts%s, %d calls in progress", s.Transcripts, eta, s.Unfinished)
	if s.NeverEnded > 0 {
		row("", "%d calls had no end within max_call and were delivered as they were", s.NeverEnded)
	}
	for _, a := range s.Alerts {
		row("needs you", "%s, since %s; %s", a.Message, stamp(a.Since), a.Remedy)
	}
	if s.ConfigError != "" {
		row("configuration", "NOT TAKEN UP, the one before is in use: %s", strings.ReplaceAll(s.ConfigError, "\n", "\n\t"))
	}
	printLate(row, s)
	for _, b := range s.Backfills {
		row(fmt.Sprintf("backfill %d", b.ID), "%s, %s: %d seen, %d queued, %d delivered, %d dead", b.State, b.Range, b.Fetched, b.Queued, b.Delivered, b.Dead)
		if b.State == "interrupted" {
			row("", "its command, given again, goes on; vinfer-sync backfill cancel %d gives it up", b.ID)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	w = tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "DESTINATION\tKIND\tSTATE\tPENDING\tDEAD\tDELIVERED\tREASON")
	for _, d := range s.Destinations {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%s\n", d.Name, d.Kind, d.State, d.Pending, d.Dead, d.Delivered, d.Reason)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(s.Destinations) > 1 {
		printLeft(out, s.Destinations)
	}
	for _, d := range s.Destinations {
		told := func(what string) bool { // above, by a daemon
			return slices.ContainsFunc(s.Alerts, func(a engine.Alert) bool { return a.Alert == what && a.Destination == d.Name })
		}
		switch {
		case d.Paused:
			fmt.Fprintf(out, "\n%s is paused and its calls are kept. To go on: vinfer-sync resume %s\n", d.Name, d.Name)
		case d.State == "halted" && told(alert.Halted), d.Dead > 0 && d.State != "halted" && d.State != "orphaned" && told(alert.Dead):
		case d.State == "halted":
			fmt.Fprintf(out, "\n%s is halted and its calls are kept. Mend what the reason says, then: vinfer-sync resume %s\n", d.Name, d.Name)
		case d.State == "orphaned" && d.Pending > 0:
			fmt.Fprintf(out, "\n%s is no longer configured; its %d calls go on when a destination of that name and kind (%s) is\n", d.Name, d.Pending, d.Kind)
		case d.Dead > 0:
			fmt.Fprintf(out, "\n%s refused %d calls. See why: vinfer-sync dead list --dest %s\n", d.Name, d.Dead, d.Name)
		}
	}
	return nil
}

// printLeft shows what each destination did not get.
func printLeft(out io.Writer, all []engine.DestStatus) {
	for _, d := range all {
		if left := admin.LeftText(d.LeftOut); left != "" {
			fmt.Fprintf(out, "left out at %s: %s\n", d.Name, left)
		}
	}
}

// printLate shows what is known of the completeness.
func printLate(row func(k, format string, args ...any), s engine.Status) {
	if s.AuditedUntil == "" {
		row("audited until", "never yet: vinfer-sync audit")
	} else {
		row("audited until", "%s", s.AuditedUntil)
	}
	row("found late", "%d", s.LateFound)
	for _, l := range s.Lateness {
		at, _ := time.Parse(time.RFC3339, l.Last)
		row("", "%d by the %s, up to %s after their end, the last %s", l.Found, l.By, span(time.Duration(l.MostSeconds)*time.Second), ago(at))
	}
	if s.Advice != "" {
		row("", "lookback: %s would have found those of the sweep at the next poll", s.Advice)
	}
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
