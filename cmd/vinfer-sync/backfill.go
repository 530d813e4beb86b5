package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

func backfillCommand(a *app) *cobra.Command {
	var since, until string
	var r engine.BackfillRequest
	c := &cobra.Command{
		Use: "backfill --since T [--until T]", Short: "Deliver the calls of a past range, once",
		Long: "Reads a past range of calls through the same outbox as the live work, which goes first, and returns when they are delivered or dead\n" +
			"(exit code 0 or 1). Calls that a destination already has are not sent again. Interrupted, the same flags go on where it stopped, with the\n" +
			"range as first resolved. The live cursor does not move. Works beside a running daemon. Follow-up tasks that are already overdue are not made.\n\n" +
			"Times: RFC 3339, a date, or -48h.",
		Example: "  vinfer-sync backfill --since -7d\n  vinfer-sync backfill --since 2026-01-01 --until 2026-02-01 --to sales",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.read(config.LoadForOperator)
			if err != nil {
				return err
			}
			if since == "" {
				return usageError("--since is needed: from when on? For example --since -48h")
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
					return usageError("--since %s does not lie before --until %s", since, until)
				}
			} else if r.Since.After(now) {
				return usageError("--since %s lies in the future", since)
			}
			r.Typed = since + "\n" + until
			return a.with(c.Context(), true, func(ctx context.Context, b backend) error {
				show := progressPrinter(c)
				p, err := b.Backfill(ctx, r, show)
				if term.IsTerminal(int(os.Stderr.Fd())) { //nolint:gosec // a file descriptor is small
					fmt.Fprintln(os.Stderr)
				}
				if errors.Is(err, store.ErrUnknown) {
					return usageError("--to: there is no destination %q; vinfer-sync status shows them", r.To)
				}
				if err != nil {
					if ctx.Err() != nil {
						return &exitError{exitLeft, fmt.Errorf("interrupted; the same command goes on where it stopped")}
					}
					return err
				}
				_, perr := fmt.Fprintf(c.OutOrStdout(), "backfill %d, %s to %s: %d calls seen, %d queued, %d delivered, %d dead\n",
					p.ID, stamp(p.Since), stamp(p.Until), p.Fetched, p.Queued, p.Delivered, p.Dead)
				if perr != nil {
					return perr
				}
				if !p.Done {
					return &exitError{exitLeft, fmt.Errorf("%d calls wait: %s", p.Queued-p.Delivered-p.Dead, p.Waiting)}
				}
				if p.Dead > 0 {
					return &exitError{exitLeft, fmt.Errorf("%d calls were refused: vinfer-sync dead list", p.Dead)}
				}
				return nil
			})
		},
	}
	c.Flags().StringVar(&since, "since", "", "beginning of the range (`time`)")
	c.Flags().StringVar(&until, "until", "", "end of the range (`time`; default: now)")
	c.Flags().StringVar(&r.Campaign, "campaign", "", "only the calls of this campaign (`id`)")
	c.Flags().StringVar(&r.To, "to", "", "only to this `destination`")
	c.Flags().BoolVar(&r.WithTasks, "with-tasks", false, "make follow-up tasks even where they are overdue")
	return c
}

// progressPrinter shows progress on a terminal as a line that changes, elsewhere as a line now and then.
func progressPrinter(c *cobra.Command) func(engine.BackfillProgress) {
	terminal := term.IsTerminal(int(os.Stderr.Fd())) //nolint:gosec // a file descriptor is small
	var last time.Time
	first := true
	return func(p engine.BackfillProgress) {
		if first {
			first = false
			verb := "reading"
			if p.Resumed {
				verb = "going on with"
			}
			fmt.Fprintf(c.ErrOrStderr(), "backfill %d: %s %s to %s\n", p.ID, verb, stamp(p.Since), stamp(p.Until))
		}
		every := 10 * time.Second
		if terminal {
			every = 200 * time.Millisecond
		}
		if time.Since(last) < every {
			return
		}
		last = time.Now()
		doing := "read up to " + stamp(p.ReadUpTo)
		if !p.Reading {
			doing = "read to its end"
		}
		text := fmt.Sprintf("%s; %d calls seen, %d queued, %d delivered, %d dead", doing, p.Fetched, p.Queued, p.Delivered, p.Dead)
		if terminal {
			fmt.Fprintf(c.ErrOrStderr(), "\r\x1b[K%s", text)
			return
		}
		fmt.Fprintln(c.ErrOrStderr(), text)
	}
}
