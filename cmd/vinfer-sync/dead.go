package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	"github.com/vinfer-sync/vinfer-sync/store"
)

const deadPage = 500 // dead letters fetched at a time

func deadCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use: "dead", Short: "List, show, retry or drop dead letters: calls that were refused", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(deadListCommand(a), deadShowCommand(a),
		deadActCommand(a, "retry", "Put dead letters back into the outbox", func(ctx context.Context, b backend, nums []uint64) (int, error) { return b.RetryDead(ctx, nums) }, "put back"),
		deadActCommand(a, "drop", "Forget dead letters: they will never be delivered", func(ctx context.Context, b backend, nums []uint64) (int, error) { return b.DropDead(ctx, nums) }, "dropped"))
	return c
}

// eachDead calls f for the dead letters of a destination, or of all.
func eachDead(ctx context.Context, b backend, dest string, f func(store.DeadLetter) error) error {
	q := admin.DeadQuery{Dest: dest, All: dest == "", N: deadPage}
	for {
		page, err := b.Dead(ctx, q)
		if err != nil {
			return err
		}
		for _, d := range page {
			if err := f(d); err != nil {
				return err
			}
			q.After = d.Num
		}
		if len(page) < deadPage {
			return nil
		}
	}
}

func deadListCommand(a *app) *cobra.Command {
	var dest string
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the dead letters", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), false, func(ctx context.Context, b backend) error {
				enc := json.NewEncoder(c.OutOrStdout())
				w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
				n := 0
				err := eachDead(ctx, b, dest, func(d store.DeadLetter) error {
					n++
					if asJSON {
						return enc.Encode(map[string]any{"id": d.Num, "destination": d.Dest, "call_id": d.ID, "at": stamp(d.At), "attempts": d.Attempts, "error": d.Error, "request": d.Request})
					}
					if n == 1 {
						fmt.Fprintln(w, "ID\tDESTINATION\tCALL\tWHEN\tATTEMPTS\tERROR")
					}
					_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%s\n", d.Num, or(d.Dest, "(unreadable)"), d.ID, stamp(d.At), d.Attempts, cut(d.Error, 120))
					return err
				})
				if err != nil {
					return err
				}
				if n == 0 && !asJSON {
					fmt.Fprintln(c.OutOrStdout(), "no dead letters")
				}
				return w.Flush()
			})
		},
	}
	c.Flags().StringVar(&dest, "dest", "", "only of this `destination`")
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return c
}

func deadShowCommand(a *app) *cobra.Command {
	var reveal bool
	c := &cobra.Command{
		Use: "show ID…", Short: "Show dead letters whole", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			want, err := numbers(args)
			if err != nil {
				return err
			}
			return a.with(c.Context(), false, func(ctx context.Context, b backend) error {
				found := 0
				err := eachDead(ctx, b, "", func(d store.DeadLetter) error {
					if !want[d.Num] {
						return nil
					}
					found++
					body := string(d.Body)
					if !reveal {
						body = mask.Phones(body)
					}
					_, err := fmt.Fprintf(c.OutOrStdout(), "dead letter  %d\ndestination  %s\ncall         %s\nwhen         %s\nattempts     %d\nerror        %s\nrequest      %s\ncontent      %s\n\n",
						d.Num, or(d.Dest, "(a row that could not be understood)"), d.ID, stamp(d.At), d.Attempts, d.Error, or(d.Request, "-"), body)
					return err
				})
				if err == nil && found == 0 {
					return &exitError{exitLeft, errors.New("no such dead letter; vinfer-sync dead list shows them")}
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&reveal, "reveal", false, "show phone numbers whole")
	return c
}

func numbers(args []string) (map[uint64]bool, error) {
	out := map[uint64]bool{}
	for _, s := range args {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return nil, usageError("%q is no number of a dead letter; vinfer-sync dead list shows them", s)
		}
		out[n] = true
	}
	return out, nil
}

func deadActCommand(a *app, name, short string, act func(context.Context, backend, []uint64) (int, error), done string) *cobra.Command {
	var dest string
	var all bool
	c := &cobra.Command{
		Use: name + " [ID…|--all] [--dest NAME]", Short: short, Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && !all && dest == "" {
				return usageError("name the dead letters, or --all, or --dest NAME")
			}
			if len(args) > 0 && all {
				return usageError("either name dead letters or say --all")
			}
			want, err := numbers(args)
			if err != nil {
				return err
			}
			return a.with(c.Context(), false, func(ctx context.Context, b backend) error {
				var nums []uint64
				err := eachDead(ctx, b, dest, func(d store.DeadLetter) error {
					if len(args) == 0 && (name == "drop" || d.Dest != "") || want[d.Num] {
						nums = append(nums, d.Num)
						delete(want, d.Num)
					}
					return nil
				})
				if err != nil {
					return err
				}
				for n := range want {
					return &exitError{exitLeft, fmt.Errorf("there is no dead letter %d; nothing was changed", n)}
				}
				n, err := act(ctx, b, nums)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "%d %s\n", n, done)
				return err
			})
		},
	}
	c.Flags().StringVar(&dest, "dest", "", "only of this `destination`")
	c.Flags().BoolVar(&all, "all", false, "all of them")
	return c
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
