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

	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

func forgetCommand(a *app) *cobra.Command {
	var r engine.ForgetRequest
	c := &cobra.Command{
		Use: "forget --phone NUMBER | --call CALL_ID", Short: "Erase a person or a call from the store", Args: cobra.NoArgs,
		Long: "Erases all that the store holds of a person's calls, or of one call: what waits, receipts, dead letters, rows that could not be\n" +
			"understood. The state file is rewritten, so that nothing is left in its free pages. Only a salted hash stays, by which the calls are not\n" +
			"taken again by a later poll, audit or backfill; a call that the person gets after this is a new one.\n\n" +
			"What the destinations hold is not erased: it is listed, to be erased there. Backups keep what they have,\n" +
			"and so do the write-ahead log and the backups of a database.",
		Example: "  vinfer-sync forget --phone +919876543210\n  vinfer-sync forget --call call_abc123",
	}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if len(r.Calls)+len(r.Phones) == 0 {
			return usageError("say whom: --phone NUMBER or --call CALL_ID")
		}
		if slices.Contains(r.Calls, "") {
			return usageError("--call is empty")
		}
		if !r.Dry {
			if err := a.sure(c, "Erase this from the store for good?"); err != nil {
				return err
			}
			a.announce = c.ErrOrStderr()
		}
		return a.with(c.Context(), toChange, func(ctx context.Context, b backend) error { // --dry-run erases too, in a transaction that is undone
			f, err := b.Forget(ctx, r)
			if err != nil && strings.Contains(err.Error(), engine.ErrNoNumber.Error()) {
				return usageError("--phone: %w", engine.ErrNoNumber)
			}
			nothing := len(f.Calls)+f.Receipts+f.Jobs+f.Letters+f.Rows+f.Watches == 0
			if err != nil && nothing {
				return err
			}
			if o.json() {
				err = errors.Join(err, printForgottenJSON(c.OutOrStdout(), f))
			} else {
				err = errors.Join(err, printForgotten(c.OutOrStdout(), f, r.Dry))
			}
			if err == nil && nothing {
				err = &exitError{exitLeft, errors.New("the store holds nothing of that number or call")}
			}
			return err
		})
	}
	c.Flags().StringArrayVar(&r.Phones, "phone", nil, "erase the person with this `number`")
	c.Flags().StringArrayVar(&r.Calls, "call", nil, "erase the call with this `id`")
	c.Flags().BoolVar(&r.Dry, "dry-run", false, "only say what would be erased")
	a.asks(c)
	_ = c.RegisterFlagCompletionFunc("call", a.completing(callIDs)) // the flag is there
	return c
}

func printForgotten(out io.Writer, f engine.Forgotten, dry bool) error {
	verb := "erased"
	if dry {
		verb = "would erase"
	}
	fmt.Fprintf(out, verb+" %d calls: %d receipts, %d jobs, %d dead letters, %d unreadable rows, %d awaited\n",
		len(f.Calls), f.Receipts, f.Jobs, f.Letters, f.Rows, f.Watches)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	some := false
	for _, c := range f.Calls {
		for _, d := range c.Dests {
			if d.State == "skipped" || d.State == "pending" && len(d.Refs) == 0 && d.Attempts == 0 {
				continue // it had nothing of it
			}
			if !some {
				some = true
				fmt.Fprintln(out, "\nWhat the destinations hold is not erased. Erase there:")
				fmt.Fprintln(w, "DESTINATION\tCALL\tSTATE\tWHAT IS THERE")
			}
			var refs []string
			for _, k := range slices.Sorted(maps.Keys(d.Refs)) {
				refs = append(refs, k+" "+d.Refs[k])
			}
			what := strings.Join(refs, ", ")
			if what == "" {
				what = "no ids are known: look for the call's id"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", d.Dest, c.ID, d.State, what)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, d := range f.Busy {
		fmt.Fprintf(out, "A delivery to %s was under way: look there for what it wrote as well.\n", d)
	}
	if len(f.Calls) == 0 {
		fmt.Fprintln(out, "Receipts are kept for a time only (retention): what was delivered before that may still be at the destinations.")
	}
	if dry {
		_, err := fmt.Fprintln(out, "\nNothing was erased.")
		return err
	}
	_, err := fmt.Fprintln(out, "\nBackups that were made before still hold it.")
	return err
}

func printForgottenJSON(out io.Writer, f engine.Forgotten) error {
	type remains struct {
		Destination string            `json:"destination"`
		CallID      string            `json:"call_id"`
		State       string            `json:"state"`
		Refs        map[string]string `json:"refs"`
	}
	list := []remains{}
	ids := []string{}
	for _, c := range f.Calls {
		ids = append(ids, c.ID)
		for _, d := range c.Dests {
			if d.State != "skipped" {
				list = append(list, remains{d.Dest, c.ID, d.State, d.Refs})
			}
		}
	}
	return json.NewEncoder(out).Encode(map[string]any{
		"calls": ids, "receipts": f.Receipts, "jobs": f.Jobs, "dead_letters": f.Letters, "rows": f.Rows, "awaited": f.Watches,
		"remains": list, "busy": append([]string{}, f.Busy...),
	})
}
