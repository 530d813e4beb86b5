package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

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

func callsListCommand(a *app) *cobra.Command {
	var n int
	c := &cobra.Command{
		Use: "list", Short: "List the calls seen last", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), false, func(ctx context.Context, b backend) error {
				calls, err := b.Calls(ctx, n)
				if err != nil {
					return err
				}
				if len(calls) == 0 {
					_, err := fmt.Fprintln(c.OutOrStdout(), "no calls yet")
					return err
				}
				w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
				fmt.Fprintln(w, "CALL\tENDED\tFIRST SEEN\tREVISION\tDESTINATIONS")
				for _, x := range calls {
					var dests []string
					for _, d := range x.Dests {
						dests = append(dests, d.Dest+": "+d.State)
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", x.ID, stamp(x.When), stamp(x.FirstSeen), x.Revision, strings.Join(dests, ", "))
				}
				return w.Flush()
			})
		},
	}
	c.Flags().IntVarP(&n, "number", "n", 20, "how many")
	return c
}

func callsShowCommand(a *app) *cobra.Command {
	var reveal, live bool
	c := &cobra.Command{
		Use: "show CALL_ID", Short: "Show when a call was seen and what became of it at each destination", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if live {
				return showLive(c, a, args[0], reveal)
			}
			return a.with(c.Context(), false, func(ctx context.Context, b backend) error {
				l, err := b.Life(ctx, args[0])
				if errors.Is(err, store.ErrUnknown) {
					return &exitError{exitLeft, fmt.Errorf("call %s was never seen, or is older than the ledger; --live asks VInfer", args[0])}
				}
				if err != nil {
					return err
				}
				return printLife(c.OutOrStdout(), l, reveal)
			})
		},
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
	call, err := api.Call(c.Context(), id, vinfer.Live)
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

func printLife(out io.Writer, l store.Life, reveal bool) error {
	fmt.Fprintf(out, "call        %s\nended       %s\nfirst seen  %s\nrevision    %d\n", l.ID, stamp(l.When), stamp(l.FirstSeen), l.Revision)
	if l.Body == nil {
		fmt.Fprintln(out, "content     deleted: every destination has it (calls show --live asks VInfer)")
	} else {
		body := string(l.Body)
		if !reveal {
			body = mask.Phones(body)
		}
		fmt.Fprintf(out, "content     %s\n", body)
	}
	for _, e := range l.Events {
		fmt.Fprintf(out, "%s  %s\n", stamp(e.At), e.What)
	}
	for _, d := range l.Dests {
		fmt.Fprintf(out, "\n%s: %s", d.Dest, d.State)
		if d.Attempts > 0 {
			fmt.Fprintf(out, ", %d attempts", d.Attempts)
		}
		if !d.At.IsZero() {
			fmt.Fprintf(out, ", %s", stamp(d.At))
		}
		if !d.Due.IsZero() {
			fmt.Fprintf(out, ", next try %s", stamp(d.Due))
		}
		fmt.Fprintln(out)
		if d.Error != "" {
			fmt.Fprintln(out, "  reason:", d.Error)
		}
		for _, k := range slices.Sorted(maps.Keys(d.Refs)) {
			fmt.Fprintf(out, "  %s: %s\n", k, d.Refs[k])
		}
		for _, w := range d.Warnings {
			fmt.Fprintln(out, "  warning:", w)
		}
	}
	return nil
}
