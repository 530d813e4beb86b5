package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

func auditCommand(a *app) *cobra.Command {
	var days int
	var asJSON bool
	c := &cobra.Command{
		Use: "audit", Short: "Compare the last days with what was seen: was a call missed?",
		Long: "Lists the calls of the last days as VInfer shows them now, as far as the polls have read, and compares them with the ledger. Calls that\n" +
			"had been missed are delivered, counted and reported. Beside a running daemon it asks that one, whose live polls go first.\n\n" +
			"Exit code 0: nothing had been missed; 1: something had (since the last audit), or it could not be finished. Interrupted, it goes on at the\n" +
			"next call, or after the daemon's next poll.",
		Example: "  vinfer-sync audit --days 30\n  vinfer-sync audit --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("days") && (days < 1 || days > 3650) {
				return usageError("--days %d: write 1 to 3650", days)
			}
			return a.with(c.Context(), true, func(ctx context.Context, b backend) error {
				r, err := b.Audit(ctx, days)
				if err != nil {
					return err
				}
				if asJSON {
					err = json.NewEncoder(c.OutOrStdout()).Encode(r)
				} else {
					err = printAudit(c.OutOrStdout(), r)
				}
				if err == nil && r.Late > 0 {
					err = &exitError{exitLeft, nil}
				}
				return err
			})
		},
	}
	c.Flags().IntVar(&days, "days", 0, "how far back to look, in `days` (default: audit.days, and as far as the last audit reached)")
	c.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return c
}

func printAudit(out io.Writer, r engine.AuditReport) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	row := func(k, format string, args ...any) { fmt.Fprintf(w, k+"\t"+format+"\n", args...) }
	row("audited", "%s to %s, as far as the polls have read", stamp(r.From), stamp(r.To))
	row("compared", "%s with the ledger, in %s and %s", calls(int64(r.Compared)), count(r.Requests, "request"), (time.Duration(r.TookMS) * time.Millisecond).Round(time.Millisecond))
	if r.Late == 0 {
		row("missed", "none")
	} else {
		row("missed", "%s: neither polls nor sweep had been shown them. They are delivered now.", calls(r.Late))
	}
	for _, c := range r.LateCalls {
		row("", "%s, completed %s, found %s, %s later", c.ID, stamp(c.When), stamp(c.Seen), span(c.Seen.Sub(c.When)))
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
		row("gap", "%s to %s: not read to its end yet; the next poll goes on there", stamp(g.From), stamp(g.To))
	}
	for _, g := range r.Skipped {
		row("skipped", "%s to %s, by cursor set: a backfill delivers them", stamp(g.From), stamp(g.To))
	}
	if len(r.Owed) == 0 {
		row("owed", "nothing: every destination has got its calls of the range")
	}
	for _, o := range r.Owed {
		row("owed", "%s: %d pending, %d dead letters", o.Dest, o.Pending, o.Dead)
	}
	return w.Flush()
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
