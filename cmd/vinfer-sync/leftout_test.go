package main

import (
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// TestBackfillTellsWhatItLeftOut compares what a backfill has seen and left out, because of vinfer.campaigns, with all that there is: read as
// one listing and in slices.
func TestBackfillTellsWhatItLeftOut(t *testing.T) {
	t.Parallel()
	told := regexp.MustCompile(`: (\d+) calls seen, .*; (\d+) calls skipped, of campaigns that are not configured\n`)
	for _, dialect := range []simulator.Dialect{simulator.Guide, simulator.Reference} {
		const all = 400
		w := newWorld(t, simulator.Options{Seed: 5, Dialect: dialect, Calls: all, Span: 20 * 24 * time.Hour, LimitPerMinute: -1})
		text := "vinfer: {base_url: '${API}', api_key: any, campaigns: [cmp_topup_loan, cmp_feedback]}\nstore: {bbolt: {path: state.db}}\nadmin: {socket: admin.sock, listen: ''}\ncrm: [{name: a, jsonl: {path: a}}]\n"
		w.write("config.yaml", text)
		r := w.must(exitFine, "backfill", "--since", "-30d", "--no-transcripts")
		m := told.FindStringSubmatch(r.stdout)
		if m == nil {
			t.Fatalf("%v: it does not tell:\n%s", dialect, r.stdout)
		}
		seen, _ := strconv.Atoi(m[1])
		left, _ := strconv.Atoi(m[2])
		if seen+left != all || seen == 0 || left == 0 {
			t.Errorf("%v: %d seen and %d left out of %d", dialect, seen, left, all)
		}
	}
}
