package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
	"github.com/vinfer-sync/vinfer-sync/store"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
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
	var number int
	var asJSON bool
	c := &cobra.Command{
		Use: "list", Short: "List the dead letters by reason", Args: cobra.NoArgs,
		Long: "Lists the dead letters by destination and reason: letters with the same error, but for names and numbers in it, stand together.",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), false, func(ctx context.Context, b backend) error {
				if asJSON {
					enc := json.NewEncoder(c.OutOrStdout())
					return unknownDest(dest, eachDead(ctx, b, dest, func(d store.DeadLetter) error {
						return enc.Encode(map[string]any{"id": d.Num, "destination": d.Dest, "call_id": d.ID, "at": stamp(d.At), "attempts": d.Attempts, "error": d.Error, "request": d.Request})
					}))
				}
				var groups deadGroups
				if err := eachDead(ctx, b, dest, func(d store.DeadLetter) error { groups.add(d, number); return nil }); err != nil {
					return unknownDest(dest, err)
				}
				return groups.print(c.OutOrStdout())
			})
		},
	}
	c.Flags().StringVar(&dest, "dest", "", "only of this `destination`")
	c.Flags().IntVarP(&number, "number", "n", 20, "how many of each reason to name")
	c.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return c
}

// unknownDest makes of the error for a destination that is not known one about the command line.
func unknownDest(dest string, err error) error {
	if dest != "" && errors.Is(err, store.ErrUnknown) {
		return usageError("there is no destination %q; vinfer-sync status shows them", dest)
	}
	return err
}

// deadGroups are dead letters by destination and reason, the largest group first when printed.
type deadGroups struct {
	list []*deadGroup
	by   map[string]*deadGroup
}

type deadGroup struct {
	dest, reason string
	count        int
	some         []store.DeadLetter // without bodies
}

// add takes up a letter; of each group at most number are kept.
func (g *deadGroups) add(d store.DeadLetter, number int) {
	key := d.Dest + "\x00" + engine.Reason(d.Error)
	x := g.by[key]
	if x == nil {
		x = &deadGroup{dest: or(d.Dest, "(unreadable)"), reason: d.Error}
		if g.by == nil {
			g.by = map[string]*deadGroup{}
		}
		g.by[key] = x
		g.list = append(g.list, x)
	}
	x.count++
	if len(x.some) < number {
		d.Body = nil
		x.some = append(x.some, d)
	}
}

func (g *deadGroups) print(out io.Writer) error {
	if len(g.list) == 0 {
		_, err := fmt.Fprintln(out, "no dead letters")
		return err
	}
	slices.SortStableFunc(g.list, func(a, b *deadGroup) int { return b.count - a.count })
	for i, x := range g.list {
		if i > 0 {
			fmt.Fprintln(out)
		}
		noun := "calls"
		if x.count == 1 {
			noun = "call"
		}
		fmt.Fprintf(out, "%s, %d %s: %s\n", x.dest, x.count, noun, cut(x.reason, 300))
		w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
		fmt.Fprintln(w, "  ID\tCALL\tWHEN\tATTEMPTS")
		for _, d := range x.some {
			fmt.Fprintf(w, "  %d\t%s\t%s\t%d\n", d.Num, d.ID, stamp(d.At), d.Attempts)
		}
		if more := x.count - len(x.some); more > 0 {
			fmt.Fprintf(w, "  and %d more (dead list -n %d names them)\n", more, x.count)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(out, "\nOne whole: vinfer-sync dead show ID. Again once it is mended: dead retry ID… | --all | --dest NAME. Never: dead drop.")
	return err
}

func deadShowCommand(a *app) *cobra.Command {
	var reveal bool
	c := &cobra.Command{
		Use: "show ID…", Short: "Show dead letters whole, by their number or their call's id", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), false, func(ctx context.Context, b backend) error {
				want := namedBy(args)
				err := eachDead(ctx, b, "", func(d store.DeadLetter) error {
					if !want.has(&d) {
						return nil
					}
					body := string(d.Body)
					if !reveal {
						body = mask.Phones(body)
					}
					_, err := fmt.Fprintf(c.OutOrStdout(), "dead letter  %d\ndestination  %s\ncall         %s\nwhen         %s\nattempts     %d\nerror        %s\nrequest      %s\ncontent      %s\n\n",
						d.Num, or(d.Dest, "(a row that could not be understood)"), d.ID, stamp(d.At), d.Attempts, d.Error, or(d.Request, "-"), body)
					return err
				})
				if err == nil {
					err = want.missing()
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&reveal, "reveal", false, "show phone numbers whole")
	return c
}

// named are the dead letters that arguments name, each by its number or by the id of its call.
type named map[string]bool // to whether one was found

func namedBy(args []string) named {
	n := named{}
	for _, a := range args {
		n[a] = false
	}
	return n
}

// has tells whether a letter is one of them, and notes that it was found.
func (n named) has(d *store.DeadLetter) bool {
	found := false
	for _, name := range []string{strconv.FormatUint(d.Num, 10), d.ID} {
		if _, ok := n[name]; ok {
			n[name], found = true, true
		}
	}
	return found
}

// missing returns an error for the first that was not found.
func (n named) missing() error {
	for _, name := range slices.Sorted(maps.Keys(n)) {
		if !n[name] {
			return &exitError{exitLeft, fmt.Errorf("there is no dead letter %s; nothing was changed (vinfer-sync dead list shows them)", name)}
		}
	}
	return nil
}

func deadActCommand(a *app, name, short string, act func(context.Context, backend, []uint64) (int, error), done string) *cobra.Command {
	var dest string
	var all bool
	c := &cobra.Command{
		Use: name + " [ID…|--all] [--dest NAME]", Short: short, Args: cobra.ArbitraryArgs,
		Long: short + ". ID is the number that dead list shows, or the id of a call: then all of its dead letters are meant.",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && !all && dest == "" {
				return usageError("name the dead letters, or --all, or --dest NAME")
			}
			if len(args) > 0 && all {
				return usageError("either name dead letters or say --all")
			}
			return a.with(c.Context(), false, func(ctx context.Context, b backend) error {
				want := namedBy(args)
				var nums []uint64
				dests := map[string]bool{}
				err := eachDead(ctx, b, dest, func(d store.DeadLetter) error {
					if len(args) == 0 && (name == "drop" || d.Dest != "") || want.has(&d) {
						nums = append(nums, d.Num)
						dests[d.Dest] = true
					}
					return nil
				})
				if err != nil {
					return unknownDest(dest, err)
				}
				if err := want.missing(); err != nil {
					return err
				}
				n, err := act(ctx, b, nums)
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintf(c.OutOrStdout(), "%d %s\n", n, done); err != nil || name != "retry" {
					return err
				}
				return tellHeld(ctx, c, b, dests)
			})
		},
	}
	c.Flags().StringVar(&dest, "dest", "", "only of this `destination`")
	c.Flags().BoolVar(&all, "all", false, "all of them")
	return c
}

// tellHeld says of destinations that got dead letters back why these will not be tried now.
func tellHeld(ctx context.Context, c *cobra.Command, b backend, dests map[string]bool) error {
	s, err := b.Status(ctx)
	if err != nil {
		return err
	}
	for _, d := range s.Destinations {
		switch {
		case !dests[d.Name]:
		case d.State == "halted":
			fmt.Fprintf(c.OutOrStdout(), "%s is halted and takes nothing until: vinfer-sync resume %s\n", d.Name, d.Name)
		case d.State == "orphaned":
			fmt.Fprintf(c.OutOrStdout(), "%s is no longer configured: they wait until a destination of that name and kind is\n", d.Name)
		}
	}
	return nil
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
