package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

func backfillCommand(a *app) *cobra.Command {
	var since, until string
	var dry bool
	var r engine.BackfillRequest
	c := &cobra.Command{
		Use: "backfill --since T [--until T]", Short: "Deliver the calls of a past range, once",
		Long: "Reads a past range of calls through the same outbox as the live work, which goes first, and returns when they are delivered or dead\n" +
			"(exit code 0: all delivered, 1: some are dead, or wait for an operator). A destination that is down is waited for. Calls that a\n" +
			"destination already has are not sent again. The live cursor does not move. Works beside a running daemon, and alone.\n\n" +
			"Interrupted, even by kill -9, the same flags go on where it stopped, with the range as first resolved; --rate, --with-tasks and\n" +
			"--no-transcripts may differ. Follow-up tasks that are already overdue are not made, but counted.\n\n" +
			"Times: RFC 3339, a date, or -48h.",
		Example: "  vinfer-sync backfill --since 2026-01-01 --dry-run\n  vinfer-sync backfill --since 2026-01-01 --until 2026-02-01 --to sales --rate 9\n  vinfer-sync backfill list",
		Args:    cobra.NoArgs,
	}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := a.read(config.LoadForOperator)
		if err != nil {
			return err
		}
		if since == "" {
			return usageError("--since is needed: from when on? For example --since -48h")
		}
		if some := cfg.VInfer.Campaigns; r.Campaign != "" && len(some) > 0 && !slices.Contains(some, r.Campaign) {
			return usageError("--campaign %s is not one of vinfer.campaigns (%s): no call of it is taken", r.Campaign, strings.Join(some, ", "))
		}
		now := time.Now()
		if r.Since, err = parseTime(since, now, cfg.Location()); err != nil {
			return err
		}
		if until != "" {
			if r.Until, err = parseTime(until, now, cfg.Location()); err != nil {
				return err
			}
			if !r.Since.Before(r.Until) {
				return usageError("--since %s is not before --until %s", since, until)
			}
		} else if r.Since.After(now) {
			return usageError("--since %s is in the future", since)
		}
		if c.Flags().Changed("rate") && (r.Rate < 1 || r.Rate > 1_000_000) {
			return usageError("--rate %d: write how many calls a minute, 1 or more", r.Rate)
		}
		r.Typed = since + "\n" + until
		if !dry {
			a.announce = c.ErrOrStderr()
		}
		return a.with(c.Context(), toWork, func(ctx context.Context, b backend) error {
			if dry {
				e, err := b.Estimate(ctx, r)
				if err != nil {
					return toKnown(err, r.To)
				}
				return printEstimate(a.screen(c, o), o.json(), e)
			}
			return runBackfill(ctx, c, a.clock(), b, r)
		})
	}
	c.Flags().StringVar(&since, "since", "", "beginning of the range (`time`)")
	c.Flags().StringVar(&until, "until", "", "end of the range (`time`; default: now)")
	c.Flags().StringVar(&r.Campaign, "campaign", "", "only the calls of this campaign (`id`)")
	c.Flags().StringVar(&r.To, "to", "", "only to this `destination`")
	c.Flags().BoolVar(&dry, "dry-run", false, "only count calls, requests and minutes; nothing is stored or delivered")
	c.Flags().IntVar(&r.Rate, "rate", 0, "at most so many `calls` a minute to each destination (requests to VInfer keep its limit by themselves)")
	c.Flags().BoolVar(&r.NoTranscripts, "no-transcripts", false, "ask for no transcripts of these calls: each is a request")
	c.Flags().BoolVar(&r.WithTasks, "with-tasks", false, "make follow-up tasks even where they are overdue")
	_ = c.RegisterFlagCompletionFunc("to", a.destinations) // the flag is there
	c.AddCommand(backfillListCommand(a), backfillCancelCommand(a))
	return c
}

// toKnown says what is wrong with --to.
func toKnown(err error, to string) error {
	if errors.Is(err, store.ErrUnknown) {
		return usageError("--to: there is no destination %q; vinfer-sync status shows them", to)
	}
	return err
}

func runBackfill(ctx context.Context, c *cobra.Command, k clock, b backend, r engine.BackfillRequest) error {
	m := newMeter(c.ErrOrStderr(), k)
	p, err := b.Backfill(ctx, r, m.show)
	m.end()
	switch {
	case errors.Is(err, store.ErrCancelled):
		return &exitError{exitLeft, err}
	case err != nil && ctx.Err() != nil:
		giveUp := ""
		if m.id != 0 {
			giveUp = fmt.Sprintf(". To give it up: vinfer-sync backfill cancel %d", m.id)
		}
		return &exitError{exitLeft, errors.New("interrupted; the same command goes on where it stopped" + giveUp)}
	case err != nil:
		return toKnown(err, r.To)
	}
	left := ""
	if p.LeftOut > 0 {
		left = fmt.Sprintf("; %s skipped, of campaigns that are not configured", calls(p.LeftOut))
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "backfill %d, %s to %s: %d calls seen, %d queued, %d delivered, %d dead%s\n",
		p.ID, k.at(p.Since), k.at(p.Until), p.Fetched, p.Queued, p.Delivered, p.Dead, left)
	if err == nil && p.TasksLeft > 0 {
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s skipped as overdue (--with-tasks makes them)\n", count(int(p.TasksLeft), "follow-up task"))
	}
	switch {
	case err != nil:
		return err
	case !p.Done:
		return &exitError{exitLeft, fmt.Errorf("%d deliveries wait: %s", p.Queued-p.Delivered-p.Dead, p.Waiting)}
	case p.Dead > 0:
		return &exitError{exitLeft, fmt.Errorf("%d calls were refused: vinfer-sync dead list", p.Dead)}
	}
	return nil
}

func printEstimate(w *screen, asJSON bool, e engine.Estimate) error {
	if asJSON {
		return json.NewEncoder(w.out).Encode(e)
	}
	row := w.pair
	how := "by the total that VInfer gives"
	if e.CountedBy == engine.ByReading {
		how = "by reading the range: VInfer gives no total that can be relied on"
	}
	row("range", "%s to %s", w.at(e.Since), w.at(e.Until))
	row("calls", "%s, counted %s; those that a destination has are not sent again", grouped(int64(e.Calls)), how)
	row("requests", "%s for the listing", grouped(int64(e.Requests)))
	if e.Transcripts > 0 {
		row("", "at most %s for transcripts (--no-transcripts: none)", grouped(int64(e.Transcripts)))
	}
	at := ""
	if e.PerMinute > 0 {
		at = fmt.Sprintf(" at %s requests a minute", grouped(int64(e.PerMinute)))
	}
	minutes := strconv.FormatFloat(e.Minutes, 'f', 1, 64)
	row("minutes", "%s%s, besides what live work needs and destinations take", minutes, at)
	row("", "nothing was stored or delivered")
	return w.flush()
}

func backfillListCommand(a *app) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the backfills and how far they are", Args: cobra.NoArgs}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.with(c.Context(), toLook, func(ctx context.Context, b backend) error {
			list, err := b.Backfills(ctx)
			if err != nil {
				return err
			}
			if o.json() {
				return json.NewEncoder(c.OutOrStdout()).Encode(list)
			}
			return printBackfills(a.screen(c, o), list)
		})
	}
	return c
}

func printBackfills(w *screen, list []engine.BackfillStatus) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w.out, "no backfills")
		return err
	}
	var rows [][]string
	for _, x := range list {
		from, to, _ := strings.Cut(x.Range, "/")
		what := []string{fmt.Sprintf("%d of %d delivered", x.Delivered, x.Queued), fmt.Sprintf("%d seen", x.Fetched)}
		if x.Dead > 0 {
			what = append(what, fmt.Sprintf("%d dead", x.Dead))
		}
		if x.To != "" {
			what = append(what, "to "+x.To)
		}
		if x.Campaign != "" {
			what = append(what, "campaign "+x.Campaign)
		}
		rows = append(rows, []string{strconv.FormatUint(x.ID, 10), x.State, w.minute(from), w.minute(to), strings.Join(what, ", ")})
	}
	return w.table([]string{"ID", "STATE", w.head("FROM"), w.head("TO"), "CALLS"}, rows, 2)
}

func backfillCancelCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "cancel ID", Short: "Give up a backfill: what it has not delivered leaves the outbox", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completing(backfillIDs),
		Long: "Ends a backfill, also one that runs, and takes its calls that are not delivered out of the outbox. They count as never seen: another backfill\n" +
			"brings them. What is not the backfill's alone stays: calls that the polls are still to read, and changes of calls that were delivered before.",
		RunE: func(c *cobra.Command, args []string) error {
			id, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || id == 0 {
				return usageError("%q is not a backfill's number; vinfer-sync backfill list shows them", args[0])
			}
			if err := a.sure(c, "Give up backfill %d?", id); err != nil {
				return err
			}
			return a.change(c, toChange, func(ctx context.Context, b backend) error {
				x, err := b.CancelBackfill(ctx, id)
				if errors.Is(err, store.ErrUnknown) {
					return &exitError{exitLeft, fmt.Errorf("there is no backfill %d; vinfer-sync backfill list shows them", id)}
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "backfill %d cancelled: %s taken out of the outbox\n", x.ID, count(x.Removed, "undelivered job"))
				if err == nil && x.Live > 0 {
					_, err = fmt.Fprintf(c.OutOrStdout(), "%s left as live work: not the backfill's alone\n", count(x.Live, "job"))
				}
				return err
			})
		},
	}
	a.asks(c)
	return c
}
