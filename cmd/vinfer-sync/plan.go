package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/config"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

func planCommand(a *app) *cobra.Command {
	var since string
	var asJSON bool
	c := &cobra.Command{
		Use: "plan [--since T]", Short: "Show what a run would send where, without writing anything",
		Long: "Shows what a run would send to each destination now, what waits in the outbox included, and the contact it would match or create where\n" +
			"the destination can tell. With --since it also shows what a backfill from there on would bring. Nothing is written: not to the state\n" +
			"file, not to a destination, and VInfer is only read, within its limit. Calls that are left out are shown with the reason.\n\n" +
			"Times: RFC 3339, a date, or -48h.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var r engine.PlanRequest
			if since != "" {
				cfg, err := a.read(config.LoadForOperator)
				if err != nil {
					return err
				}
				now := time.Now()
				if r.Since, err = parseTime(since, now, cfg.Location()); err != nil {
					return err
				}
				if r.Since.After(now) {
					return usageError("--since %s lies in the future", since)
				}
			}
			return a.preview(c.Context(), func(ctx context.Context, b backend) error {
				p, err := b.Plan(ctx, r)
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(c.OutOrStdout()).Encode(p)
				}
				return printPlan(c.OutOrStdout(), p)
			})
		},
	}
	c.Flags().StringVar(&since, "since", "", "as if a backfill from then on came with the run (`time`)")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

func printPlan(out io.Writer, p engine.Plan) error {
	fmt.Fprintf(out, "read from %s on: %d calls, %d of them new", p.Since, p.Fetched, p.New)
	if p.LeftOut > 0 {
		fmt.Fprintf(out, ", %d of campaigns that are not configured", p.LeftOut)
	}
	if p.Unreadable > 0 {
		fmt.Fprintf(out, ", %d that cannot be understood and would be dead letters", p.Unreadable)
	}
	fmt.Fprintln(out, "; nothing was written")
	if p.Transcripts > 0 {
		fmt.Fprintf(out, "%d transcripts are waited for; a run attaches those that are ready\n", p.Transcripts)
	}
	for i := range p.Destinations {
		d := &p.Destinations[i]
		fmt.Fprintf(out, "\n%s (%s, %s): %d to send, %d left out, %d refused, %d wait\n", d.Name, d.Kind, d.State, d.Send, d.Skip, d.Dead, d.Wait)
		if d.TasksLeft > 0 {
			fmt.Fprintf(out, "%d follow-up tasks are overdue and would not be made (mapping.overdue; a backfill's with --with-tasks)\n", d.TasksLeft)
		}
		if d.Reason != "" {
			fmt.Fprintf(out, "%s\n", d.Reason)
		}
		if len(d.Calls) == 0 {
			continue
		}
		w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "CALL\tENDED\tWHAT\tPHONE\tDISPOSITION\tSTATUS\tTASK\tCONTACT\tNOTE")
		for k := range d.Calls {
			planLine(w, &d.Calls[k])
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if d.Omitted > 0 {
			fmt.Fprintf(out, "and %d more that wait in the outbox\n", d.Omitted)
		}
	}
	return nil
}

func planLine(w io.Writer, c *engine.PlanCall) {
	status, task, contact := or(c.Status, "-"), "-", "-"
	if c.Status != "" && !c.SetsStatus {
		status = "stays"
	}
	if c.Task != nil {
		task = fmt.Sprintf("%s, due %s", c.Task.Title, c.Task.Due)
	}
	if c.TaskLeft != "" {
		task = "left out, was due " + c.TaskLeft
	}
	if x := c.Contact; x != nil {
		contact = x.Action
		if x.ID != "" {
			contact += " " + x.ID + " " + x.Label
		}
		if x.Count > 1 {
			contact += fmt.Sprintf(" (of %d)", x.Count)
		}
		if x.Error != "" {
			contact += ": " + cut(x.Error, 80)
		}
	}
	what := c.Action + ", " + c.Origin
	if c.Action == "send" {
		what = string(c.Event) + ", " + c.Origin
	}
	note := c.Reason
	if c.Late {
		note = joinText("late: a newer call of the contact was written already", note)
	}
	fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.CallID, c.EndedAt, what, or(c.Phone, "-"), or(c.Disposition, "-"), status, task, contact, note)
}
