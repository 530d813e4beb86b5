package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

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
	c := &cobra.Command{
		Use: "list", Short: "List the dead letters by reason", Args: cobra.NoArgs,
		Long: "Lists the dead letters by destination and reason: letters whose errors differ only in names and numbers are one group.",
	}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return a.with(c.Context(), toLook, func(ctx context.Context, b backend) error {
			if o.json() {
				enc := json.NewEncoder(c.OutOrStdout())
				return unknownDest(dest, eachDead(ctx, b, dest, func(d store.DeadLetter) error {
					return enc.Encode(deadJSON(d))
				}))
			}
			var groups deadGroups
			if err := eachDead(ctx, b, dest, func(d store.DeadLetter) error { groups.add(d, number); return nil }); err != nil {
				return unknownDest(dest, err)
			}
			return groups.print(a.screen(c, o))
		})
	}
	c.Flags().StringVar(&dest, "dest", "", "only of this `destination`")
	c.Flags().IntVarP(&number, "number", "n", 20, "how many of each reason to name")
	_ = c.RegisterFlagCompletionFunc("dest", a.destinations) // the flag is there
	return c
}

func deadJSON(d store.DeadLetter) map[string]any {
	return map[string]any{"id": d.Num, "destination": d.Dest, "call_id": d.ID, "at": stamp(d.At), "attempts": d.Attempts, "error": d.Error, "request": d.Request}
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

func (g *deadGroups) print(w *screen) error {
	if len(g.list) == 0 {
		_, err := fmt.Fprintln(w.out, "no dead letters")
		return err
	}
	slices.SortStableFunc(g.list, func(a, b *deadGroup) int { return b.count - a.count })
	for i, x := range g.list {
		if i > 0 {
			fmt.Fprintln(w.out)
		}
		w.say("%s, %s: %s", x.dest, calls(int64(x.count)), cut(x.reason, 300))
		var rows [][]string
		for _, d := range x.some {
			rows = append(rows, []string{"  " + strconv.FormatUint(d.Num, 10), d.ID, w.at(d.At), strconv.Itoa(d.Attempts)})
		}
		if err := w.table([]string{"  ID", "CALL", "WHEN", "ATTEMPTS"}, rows, 3); err != nil {
			return err
		}
		if more := x.count - len(x.some); more > 0 {
			w.say("  and %d more (dead list -n %d names them)", more, x.count)
		}
	}
	w.say("\nSee one whole: vinfer-sync dead show ID. Once the cause is fixed: vinfer-sync dead retry ID… | --all | --dest NAME. To give up: vinfer-sync dead drop.")
	return nil
}

func deadShowCommand(a *app) *cobra.Command {
	var reveal bool
	c := &cobra.Command{
		Use: "show ID…", Short: "Show dead letters whole, by their number or their call's id", Args: cobra.MinimumNArgs(1), ValidArgsFunction: a.completing(deadIDs),
	}
	o := outputFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.with(c.Context(), toLook, func(ctx context.Context, b backend) error {
			want := namedBy(args)
			err := eachDead(ctx, b, "", func(d store.DeadLetter) error {
				if !want.has(&d) {
					return nil
				}
				body := string(d.Body)
				if !reveal {
					body = mask.Phones(body)
				}
				if o.json() {
					line := deadJSON(d)
					line["content"] = body
					return json.NewEncoder(c.OutOrStdout()).Encode(line)
				}
				w := a.screen(c, o)
				w.pair("dead letter", "%d", d.Num)
				w.pair("destination", "%s", or(d.Dest, "(a row that could not be understood)"))
				w.pair("call", "%s", d.ID)
				w.pair("when", "%s", w.at(d.At))
				w.pair("attempts", "%d", d.Attempts)
				w.pair("error", "%s", d.Error)
				w.pair("request", "%s", or(d.Request, "-"))
				w.pair("content", "%s", body)
				w.pair("", "")
				return w.flush()
			})
			if err == nil {
				err = want.missing()
			}
			return err
		})
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
	var all, dry bool
	c := &cobra.Command{
		Use: name + " [ID…|--all] [--dest NAME]", Short: short, Args: cobra.ArbitraryArgs, ValidArgsFunction: a.completing(deadIDs),
		Long: short + ". ID is the number that dead list shows, or the id of a call: then all of its dead letters are meant.",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && !all && dest == "" {
				return usageError("name the dead letters, or --all, or --dest NAME")
			}
			if len(args) > 0 && all {
				return usageError("either name dead letters or say --all")
			}
			need := toLook
			if !dry {
				need, a.announce = toChange, c.ErrOrStderr()
			}
			return a.with(c.Context(), need, func(ctx context.Context, b backend) error {
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
				if dry {
					_, err := fmt.Fprintf(c.OutOrStdout(), "%d would be %s; nothing was changed\n", len(nums), done)
					return err
				}
				if name == "drop" && len(args) == 0 && len(nums) > 0 {
					if err := a.sure(c, "Drop %s for good?", count(len(nums), "dead letter")); err != nil {
						return err
					}
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
	c.Flags().BoolVar(&dry, "dry-run", false, "only say how many")
	if name == "drop" {
		a.asks(c)
	}
	_ = c.RegisterFlagCompletionFunc("dest", a.destinations) // the flag is there
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
