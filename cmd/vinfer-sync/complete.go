package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/admin"
	"github.com/vinfer-sync/vinfer-sync/store"
)

// completionTime is how long a shell waits for names.
const completionTime = 2 * time.Second

// completing completes the words that a pipeline knows, as list tells them.
func (a *app) completing(list func(context.Context, backend) ([]string, error)) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), completionTime)
		defer cancel()
		var words []string
		_ = a.with(ctx, toLook, func(ctx context.Context, b backend) (err error) { // no names, then: a shell shows no errors
			words, err = list(ctx, b)
			return err
		})
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// destinations completes the names of destinations.
func (a *app) destinations(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.completing(func(ctx context.Context, b backend) ([]string, error) {
		s, err := b.Status(ctx)
		var names []string
		for _, d := range s.Destinations {
			names = append(names, cobra.CompletionWithDesc(d.Name, d.Kind+", "+stateOf(d)))
		}
		return names, err
	})(c, args, word)
}

// callIDs lists the calls seen last.
func callIDs(ctx context.Context, b backend) ([]string, error) {
	calls, err := b.Calls(ctx, store.CallQuery{N: 50})
	var ids []string
	for _, c := range calls {
		ids = append(ids, cobra.CompletionWithDesc(c.ID, c.Known.Disposition))
	}
	return ids, err
}

// deadIDs lists the first dead letters.
func deadIDs(ctx context.Context, b backend) ([]string, error) {
	letters, err := b.Dead(ctx, admin.DeadQuery{All: true, N: 50})
	var ids []string
	for _, d := range letters {
		ids = append(ids, cobra.CompletionWithDesc(strconv.FormatUint(d.Num, 10), d.Dest+" "+d.ID))
	}
	return ids, err
}

// backfillIDs lists the backfills.
func backfillIDs(ctx context.Context, b backend) ([]string, error) {
	list, err := b.Backfills(ctx)
	var ids []string
	for _, x := range list {
		ids = append(ids, cobra.CompletionWithDesc(strconv.FormatUint(x.ID, 10), x.State))
	}
	return ids, err
}
