package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

func auditCommand(a *app) *cobra.Command {
	var days int
	c := &cobra.Command{
		Use: "audit", Short: "Compare the last days with what was seen: was a call missed?",
		Long: "Lists the calls of the last days as VInfer shows them now, as far as the polls have read, and compares them with the ledger. Calls that\n" +
			"had been missed are delivered, counted and reported. Beside a running daemon it asks that one, whose live polls go first.\n\n" +
			"Exit code 0: nothing had been missed; 1: something had (since the last audit), or it could not be finished. Interrupted, it goes on at the\n" +
			"next call, or after the daemon's next poll.",
		Example: "  vinfer-sync audit --days 30\n  vinfer-sync audit --json",
		Args:    cobra.NoArgs,
	}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if c.Flags().Changed("days") && (days < 1 || days > 3650) {
			return usageError("--days %d: write 1 to 3650", days)
		}
		return a.change(c, toWork, func(ctx context.Context, b backend) error {
			r, err := b.Audit(ctx, days)
			if err != nil {
				return err
			}
			if o.json() {
				err = json.NewEncoder(c.OutOrStdout()).Encode(r)
			} else {
				err = printAudit(a.screen(c, o), r)
			}
			if err == nil && r.Late > 0 {
				err = &exitError{exitLeft, nil}
			}
			return err
		})
	}
	c.Flags().IntVar(&days, "days", 0, "how far back to look, in `days` (default: audit.days, and as far as the last audit reached)")
	return c
}

func printAudit(w *screen, r engine.AuditReport) error {
	row := w.pair
	row("audited", "%s to %s, as far as the polls have read", w.at(r.From), w.at(r.To))
	row("compared", "%s with the ledger, in %s and %s", calls(int64(r.Compared)), count(r.Requests, "request"), (time.Duration(r.TookMS) * time.Millisecond).Round(time.Millisecond))
	if r.Late == 0 {
		row("missed", "none")
	} else {
		row("missed", "%s: neither polls nor sweep had been shown them. They are delivered now.", calls(r.Late))
	}
	for _, c := range r.LateCalls {
		row("", "%s, completed %s, found %s, %s later", c.ID, w.at(c.When), w.at(c.Seen), span(c.Seen.Sub(c.When)))
	}
	if r.BySweep > 0 {
		row("found late", "%s by the settled sweep since the last audit; they are delivered", calls(r.BySweep))
	}
	if r.Advice != "" {
		row("advice", "lookback: %s would have found those of the sweep at the next poll", r.Advice)
	}
	if len(r.Gaps) == 0 {
		row("gaps", "none up to the cursor")
	}
	for _, g := range r.Gaps {
		row("gap", "%s to %s: not read to its end yet; the next poll goes on there", w.at(g.From), w.at(g.To))
	}
	for _, g := range r.Skipped {
		row("skipped", "%s to %s, by cursor set: a backfill delivers them", w.at(g.From), w.at(g.To))
	}
	if len(r.Owed) == 0 {
		row("owed", "nothing: every destination has got its calls of the range")
	}
	for _, o := range r.Owed {
		row("owed", "%s: %d pending, %d dead letters", o.Dest, o.Pending, o.Dead)
	}
	return w.flush()
}

// calls says a number of calls.
func calls(n int64) string { return count(int(n), "call") }

// count says a number of things.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return grouped(int64(n)) + " " + what
}

// grouped writes a number with a comma between thousands.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
