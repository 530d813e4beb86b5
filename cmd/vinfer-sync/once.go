package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/admin"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

func onceCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "once", Short: "Poll once, deliver what is due, print a summary",
		Long: "Polls once, delivers until nothing is due (it waits for the API's budget and for retries due within 10 s) and prints a summary.\nBeside a running daemon it asks that one to run now.\n\nExit code 0: all delivered; 1: something failed or waits.",
		Args: cobra.NoArgs,
	}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.change(c, toWork, func(ctx context.Context, b backend) error {
			if l, alone := b.(*admin.Local); alone {
				_ = l.Store.PutSetting(settingService, nil) // the run itself tells of a state that cannot be written
			}
			s, err := b.Once(ctx)
			if perr := printSummary(c, s, o.json()); perr != nil {
				return perr
			}
			if err != nil {
				return err
			}
			if s.Pending > 0 || s.NewDead > 0 {
				return &exitError{exitLeft, nil}
			}
			return nil
		})
	}
	return c
}

func printSummary(c *cobra.Command, s engine.Summary, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(s)
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "fetched %d calls, %d new; delivered %d; pending %d; dead letters %d; took %d ms\n",
		s.Fetched, s.New, s.Delivered, s.Pending, s.Dead, s.TookMS)
	if err != nil {
		return err
	}
	if left := admin.LeftText(s.LeftOut); left != "" {
		if _, err := fmt.Fprintln(c.OutOrStdout(), "skipped:", left); err != nil {
			return err
		}
	}
	if s.Pending > 0 {
		_, err = fmt.Fprintln(c.OutOrStdout(), "What is pending waits for a retry or an operator: vinfer-sync status")
	}
	if s.Dead > 0 && err == nil {
		_, err = fmt.Fprintln(c.OutOrStdout(), "Dead letters were refused: vinfer-sync dead list")
	}
	return err
}
