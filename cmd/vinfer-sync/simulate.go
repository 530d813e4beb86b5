package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

func simulateCommand() *cobra.Command {
	var listen, faults, dialect, key string
	var o simulator.Options
	c := &cobra.Command{
		Use: "simulate", Short: "Serve a VInfer API with made-up calls, to try things out", Args: cobra.NoArgs,
		Long: "Serves a VInfer API with made-up calls: people, numbers and conversations are invented. Faults make it misbehave, for example\n" +
			"--faults 500:3,html:2,slow=5s,429=10@/calls,503%5,clamp=20 (three answers 500, two HTML pages, one slow answer, one 429, five per cent 503, pages of 20).\n" +
			"Besides status codes there are:\n" + simulator.Names() + ".\n" +
			"A value goes with slow (how long), redirect (where to), clamp (rows a page), wrong-total and miscount (off by so many; miscount only where there\n" +
			"are rows), grow (so many calls at each request), past-end (the status) and rates. Of calls, shares from 0 to 1 can be odd: see --late and the like.",
		Example: "  vinfer-sync simulate --calls 500 --rate 30\n  VINFER_API_KEY=any vinfer-sync once    # base_url: http://127.0.0.1:8420/v1",
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := simulator.ParseFaults(faults)
			if err != nil {
				return usageError("--faults: %w", err)
			}
			switch dialect {
			case "guide":
				o.Dialect = simulator.Guide
			case "reference":
				o.Dialect = simulator.Reference
			default:
				return usageError("--dialect %q: write guide or reference", dialect)
			}
			if o.Calls < 0 {
				return usageError("--calls %d: a number from 0 up", o.Calls)
			}
			for name, share := range map[string]float64{
				"late": o.LateRows, "late-dispositions": o.LateDispositions, "vanishing": o.Vanishing, "long": o.LongCalls, "unending": o.Unending,
			} {
				if !(share >= 0 && share <= 1) {
					return usageError("--%s %g: a share from 0 to 1", name, share)
				}
			}
			o.Key = key
			o.InProgress = min(o.Calls/50, 20)
			s := simulator.New(o)
			for _, f := range list {
				s.Fault(f)
			}
			base, stop, err := s.Listen(listen)
			if err != nil {
				return usageError("--listen %s: %w", listen, err)
			}
			defer stop()
			fmt.Fprintf(c.OutOrStdout(), "serving %d made-up calls (%s dialect) at %s\nend with ctrl-C\n", o.Calls, dialect, base)
			<-c.Context().Done()
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:8420", "`address` to serve on")
	f.IntVar(&o.Calls, "calls", 100, "finished calls that are there from the start")
	f.DurationVar(&o.Span, "span", 24*time.Hour, "the time before now that they are spread over")
	f.Float64Var(&o.Rate, "rate", 6, "calls a minute that begin as time goes on")
	f.Int64Var(&o.Seed, "seed", 1, "the same seed makes the same calls")
	f.StringVar(&dialect, "dialect", "reference", "guide (after) or reference (from, to)")
	f.StringVar(&key, "key", "", "the API key that is let in (default: any)")
	f.IntVar(&o.LimitPerMinute, "limit", 1000, "requests a minute")
	f.DurationVar(&o.TranscriptDelay, "transcript-delay", time.Minute, "from a call's end until its transcript is there")
	f.BoolVar(&o.Steady, "steady", false, "--calls began at --rate, so that some go on as long as calls last (--span does not count)")
	f.Float64Var(&o.LateRows, "late", 0, "`share` of calls that are listed late")
	f.DurationVar(&o.LateBy, "late-by", 10*time.Minute, "how long after their end, at least")
	f.DurationVar(&o.LateMost, "late-most", 0, "how long at most, the shorter the likelier (default: all after --late-by)")
	f.Float64Var(&o.LateDispositions, "late-dispositions", 0.05, "`share` of calls whose disposition is set after their end")
	f.DurationVar(&o.DispositionDelay, "disposition-delay", 0, "how long after (default: one to ten minutes)")
	f.Float64Var(&o.Vanishing, "vanishing", 0, "`share` of calls that are no longer there after a while")
	f.DurationVar(&o.VanishAfter, "vanish-after", 10*time.Minute, "how long after their end")
	f.Float64Var(&o.LongCalls, "long", 0, "`share` of calls that last one to three hours")
	f.Float64Var(&o.Unending, "unending", 0, "`share` of calls that never get an end (reference)")
	f.StringVar(&o.UnendingStatus, "unending-status", "", "their status (default: no_answer, busy, canceled, voicemail or in_progress)")
	f.BoolVar(&o.EndedOnly, "ended-only", false, "listings show no calls in progress (reference)")
	f.StringVar(&faults, "faults", "", "what goes wrong: a `list` of name[=value][:times]")
	return c
}
