package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

func callsCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "calls", Short: "List calls, or show the life of one", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(callsListCommand(a), callsShowCommand(a))
	return c
}

// callStates are the states of a call at a destination that a list can be narrowed to.
var callStates = []string{"pending", "delivered", "dead", "skipped"}

func callsListCommand(a *app) *cobra.Command {
	var q store.CallQuery
	c := &cobra.Command{
		Use: "list", Short: "List the calls seen last", Args: cobra.NoArgs,
		Long: "Lists the calls seen last, newest first, and what became of each at each destination.\n\nStates: " + strings.Join(callStates, ", ") + ".",
	}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if q.State != "" && !slices.Contains(callStates, q.State) {
			return usageError("--state %q: write %s", q.State, strings.Join(callStates, ", "))
		}
		if q.N <= 0 {
			return usageError("--number %d: write how many calls to list", q.N)
		}
		return a.with(c.Context(), toLook, func(ctx context.Context, b backend) error {
			calls, err := b.Calls(ctx, q)
			if errors.Is(err, store.ErrUnknown) {
				return usageError("there is no destination %q; vinfer-sync status shows them", q.Dest)
			}
			if err != nil {
				return err
			}
			if o.json() {
				return printCallsJSON(c, calls)
			}
			return printCalls(a.screen(c, o), calls)
		})
	}
	c.Flags().IntVarP(&q.N, "number", "n", 20, "how many")
	c.Flags().StringVar(&q.Dest, "dest", "", "only those of this `destination`")
	c.Flags().StringVar(&q.State, "state", "", "only those in this `state`")
	_ = c.RegisterFlagCompletionFunc("dest", a.destinations) // the flags are there
	_ = c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(callStates, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func printCalls(w *screen, calls []admin.CallLine) error {
	if len(calls) == 0 {
		_, err := fmt.Fprintln(w.out, "no calls yet")
		return err
	}
	var rows [][]string
	for _, x := range calls {
		var dests []string
		elsewhere := false
		for _, d := range x.Dests {
			dests = append(dests, d.Dest+": "+d.State)
			elsewhere = elsewhere || d.State != "delivered"
		}
		if !elsewhere && len(dests) > 1 {
			dests = []string{"all: delivered"}
		}
		rows = append(rows, []string{x.ID, w.short(x.When), or(x.Known.Phone, "-"), or(x.Known.Disposition, "-"), strings.Join(dests, ", ")})
	}
	return w.table([]string{"CALL", w.head("ENDED"), "CONTACT", "DISPOSITION", "DESTINATIONS"}, rows, 2)
}

func printCallsJSON(c *cobra.Command, calls []admin.CallLine) error {
	type destination struct {
		Name     string `json:"name"`
		State    string `json:"state"`
		Attempts int    `json:"attempts"`
		Error    string `json:"error"`
	}
	enc := json.NewEncoder(c.OutOrStdout())
	for _, x := range calls {
		dests := []destination{}
		for _, d := range x.Dests {
			dests = append(dests, destination{d.Dest, d.State, d.Attempts, mask.Phones(d.Error)})
		}
		line := map[string]any{"call_id": x.ID, "ended_at": stamp(x.When), "first_seen": stamp(x.FirstSeen), "revision": x.Revision, "contact": x.Known.Phone, "disposition": x.Known.Disposition, "destinations": dests}
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

func callsShowCommand(a *app) *cobra.Command {
	var reveal, live bool
	c := &cobra.Command{
		Use: "show CALL_ID", Short: "Show the life of a call", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completing(callIDs),
		Long: "Shows when a call was seen and by which listing, what changed since, and its way at each destination: attempts, what was made\nthere, why it waits, was refused or skipped. With --live it asks VInfer for the call's full details instead.",
	}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if live {
			return showLive(c, a, args[0], reveal)
		}
		return a.with(c.Context(), toLook, func(ctx context.Context, b backend) error {
			l, err := b.Life(ctx, args[0])
			if errors.Is(err, store.ErrUnknown) {
				return &exitError{exitLeft, fmt.Errorf("call %s was never seen, or is older than the ledger; --live asks VInfer", args[0])}
			}
			if err != nil {
				return err
			}
			if o.json() {
				return printLifeJSON(c.OutOrStdout(), l, reveal)
			}
			printLife(a.screen(c, o), l, reveal)
			return nil
		})
	}
	c.Flags().BoolVar(&reveal, "reveal", false, "show phone numbers whole")
	c.Flags().BoolVar(&live, "live", false, "fetch the call's details from VInfer instead")
	return c
}

func showLive(c *cobra.Command, a *app, id string, reveal bool) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	api, err := newClient(cfg, a.logger(cfg))
	if err != nil {
		return err
	}
	defer api.Close()
	call, err := api.Call(c.Context(), id, vinfer.News)
	if errors.Is(err, vinfer.ErrNotFound) {
		return &exitError{exitLeft, fmt.Errorf("VInfer has no call %s", id)}
	}
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(call, "", "  ")
	if err != nil {
		return err
	}
	if !reveal {
		text = []byte(mask.Phones(string(text)))
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", text)
	return err
}
