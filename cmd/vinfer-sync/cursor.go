package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/config"
)

func cursorCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "cursor", Short: "Show or set how far the API has been read", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var force bool
	show := &cobra.Command{Use: "show", Short: "Print the cursor, one RFC 3339 line in UTC", Args: cobra.NoArgs}
	o := outputFlags(show)
	show.RunE = func(c *cobra.Command, _ []string) error {
		return a.with(c.Context(), toLook, func(ctx context.Context, b backend) error {
			t, err := b.Cursor(ctx)
			if err != nil {
				return err
			}
			if t.IsZero() {
				return &exitError{exitLeft, errors.New("there is no cursor yet: nothing has run with this store")}
			}
			if o.json() {
				return json.NewEncoder(c.OutOrStdout()).Encode(map[string]string{"cursor": stamp(t)})
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), stamp(t))
			return err
		})
	}
	set := &cobra.Command{
		Use: "set T", Short: "Set the cursor: earlier reads again, later skips", Args: cobra.ExactArgs(1),
		Long: "Sets the cursor. An earlier time reads again what follows it: calls already delivered are recognised and not sent again.\nA later one skips what is between for good. Times: RFC 3339, a date, or -48h.",
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := a.read(config.LoadForOperator)
			if err != nil {
				return err
			}
			t, err := parseTime(args[0], time.Now(), cfg.Location())
			if err != nil {
				return err
			}
			if t.After(time.Now()) && !force {
				return usageError("%s is in the future: every call until then would be skipped (--force if you mean it)", args[0])
			}
			return a.change(c, toChange, func(ctx context.Context, b backend) error {
				if err := b.SetCursor(ctx, t.Truncate(time.Second)); err != nil {
					return err
				}
				_, err := fmt.Fprintln(c.OutOrStdout(), stamp(t))
				return err
			})
		},
	}
	set.Flags().BoolVar(&force, "force", false, "take a time in the future")
	c.AddCommand(show, set)
	return c
}

func pauseCommand(a *app) *cobra.Command {
	var why string
	c := &cobra.Command{
		Use: "pause DEST", Short: "Hold a destination for maintenance", Args: cobra.ExactArgs(1), ValidArgsFunction: a.destinations,
		Long: "Holds a destination: nothing is written to it, its calls are kept in order, and status shows it as paused with the reason. This\noutlives restarts and new credentials; vinfer-sync resume DEST lifts it. A write that is in flight is finished.",
		RunE: func(c *cobra.Command, args []string) error {
			return a.change(c, toChange, func(ctx context.Context, b backend) error {
				if err := b.Pause(ctx, admin.PauseRequest{Dest: args[0], Why: why}); err != nil {
					return unknownDest(args[0], err)
				}
				_, err := fmt.Fprintf(c.OutOrStdout(), "%s is paused; its calls are kept until: vinfer-sync resume %s\n", args[0], args[0])
				return err
			})
		},
	}
	c.Flags().StringVar(&why, "reason", "", "what status shows (`text`)")
	return c
}

func resumeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "resume DEST", Short: "Lift the halt or pause of a destination", Args: cobra.ExactArgs(1), ValidArgsFunction: a.destinations,
		RunE: func(c *cobra.Command, args []string) error {
			return a.change(c, toChange, func(ctx context.Context, b backend) error {
				if err := b.Resume(ctx, args[0]); err != nil {
					return unknownDest(args[0], err)
				}
				_, err := fmt.Fprintf(c.OutOrStdout(), "%s resumes\n", args[0])
				return err
			})
		},
	}
}
