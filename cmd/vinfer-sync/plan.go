package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/config"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

func planCommand(a *app) *cobra.Command {
	var since string
	c := &cobra.Command{
		Use: "plan [--since T]", Short: "Show what a run would send where, without writing anything",
		Long: "Shows what a run would send to each destination now, what waits in the outbox included, and the contact it would match or create where\n" +
			"the destination can tell. With --since it also shows what a backfill from there on would bring. Nothing is written: not to the state\n" +
			"file, not to a destination, and VInfer is only read, within its limit. Calls that are skipped are shown with the reason.\n\n" +
			"Times: RFC 3339, a date, or -48h.",
		Args: cobra.NoArgs,
	}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
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
				return usageError("--since %s is in the future", since)
			}
		}
		return a.preview(c.Context(), func(ctx context.Context, b backend) error {
			p, err := b.Plan(ctx, r)
			if err != nil {
				return err
			}
			if o.json() {
				return json.NewEncoder(c.OutOrStdout()).Encode(p)
			}
			return printPlan(a.screen(c, o), p)
		})
	}
	c.Flags().StringVar(&since, "since", "", "as if a backfill from then on came with the run (`time`)")
	return c
}

func printPlan(w *screen, p engine.Plan) error {
	text := fmt.Sprintf("read from %s on: %d calls, %d of them new", p.Since, p.Fetched, p.New)
	if p.LeftOut > 0 {
		text += fmt.Sprintf(", %d of campaigns that are not configured", p.LeftOut)
	}
	if p.Unreadable > 0 {
		text += fmt.Sprintf(", %d that cannot be understood and would be dead letters", p.Unreadable)
	}
	w.say("%s; nothing was written", text)
	if p.Transcripts > 0 {
		w.say("%d transcripts are waited for; a run attaches those that are ready", p.Transcripts)
	}
	for i := range p.Destinations {
		d := &p.Destinations[i]
		w.say("\n%s (%s, %s): %d to send, %d skipped, %d refused, %d wait", d.Name, d.Kind, stateOf(engine.DestStatus{State: d.State, Paused: strings.HasPrefix(d.Reason, "paused ")}), d.Send, d.Skip, d.Dead, d.Wait)
		if d.TasksLeft > 0 {
			w.say("%d follow-up tasks are overdue and would not be made (mapping.overdue; a backfill's with --with-tasks)", d.TasksLeft)
		}
		if d.Reason != "" {
			w.say("%s", d.Reason)
		}
		if len(d.Calls) == 0 {
			continue
		}
		var rows [][]string
		for k := range d.Calls {
			rows = append(rows, planLine(w, &d.Calls[k]))
		}
		if err := w.table([]string{"CALL", w.head("ENDED"), "WHAT", "PHONE", "DISPOSITION", "EFFECT"}, rows, 2); err != nil {
			return err
		}
		if d.Omitted > 0 {
			w.say("and %d more that wait in the outbox", d.Omitted)
		}
	}
	return nil
}

// planLine is the row of a call. Its last cell tells what would become of the contact.
func planLine(w *screen, c *engine.PlanCall) []string {
	var effect []string
	if x := c.Contact; x != nil {
		contact := strings.TrimSpace(x.Action + " " + x.ID + " " + x.Label)
		if x.Count > 1 {
			contact += fmt.Sprintf(" (of %d)", x.Count)
		}
		if x.Error != "" {
			contact += ": " + cut(x.Error, 80)
		}
		effect = append(effect, contact)
	}
	switch {
	case c.Status != "" && c.SetsStatus:
		effect = append(effect, "status "+c.Status)
	case c.Status != "":
		effect = append(effect, "status stays")
	}
	if c.Task != nil {
		effect = append(effect, fmt.Sprintf("task %q, due %s", c.Task.Title, w.local(c.Task.Due)))
	}
	if c.TaskLeft != "" {
		effect = append(effect, "no task: it was due "+w.local(c.TaskLeft))
	}
	if c.Late {
		effect = append(effect, "late: a newer call of the contact was written already")
	}
	if c.Reason != "" {
		effect = append(effect, c.Reason)
	}
	what := c.Action + ", " + c.Origin
	if c.Action == "send" {
		what = string(c.Event) + ", " + c.Origin
	}
	ended := c.EndedAt
	if t, err := time.Parse(time.RFC3339, ended); err == nil {
		ended = w.short(t)
	}
	return []string{c.CallID, ended, what, or(c.Phone, "-"), or(c.Disposition, "-"), or(strings.Join(effect, "; "), "-")}
}
