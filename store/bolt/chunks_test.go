package bolt

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// settleAll settles jobs with one outcome, many to a transaction.
func settleAll(t testing.TB, d *DB, jobs []store.JobRef, o store.Outcome) {
	t.Helper()
	var settled sync.WaitGroup
	for w := range 64 {
		settled.Go(func() {
			for i := w; i < len(jobs); i += 64 {
				mine := o
				mine.Job = jobs[i]
				if _, err := d.Settle(t.Context(), mine); err != nil {
					t.Error(err)
				}
			}
		})
	}
	settled.Wait()
}

// refuseAll makes dead letters of n calls and returns their numbers.
func refuseAll(t *testing.T, d *DB, n int) []uint64 {
	t.Helper()
	for p := range n / 100 {
		if _, err := d.Ingest(benchPage(p)); err != nil {
			t.Fatal(err)
		}
	}
	var outcomes []store.JobRef
	for from := []byte(nil); ; {
		refs, next, err := d.Scan("crm", from, 1000, nil)
		if err != nil {
			t.Fatal(err)
		}
		outcomes = append(outcomes, refs...)
		if from = next; next == nil {
			break
		}
	}
	settleAll(t, d, outcomes, store.Outcome{Verdict: store.Dead, At: time.Unix(1_900_000_000, 0), Error: "400"})
	letters, err := d.DeadLetters("crm", false, 0, n+1)
	if err != nil || len(letters) != n {
		t.Fatalf("%d dead letters, %v", len(letters), err)
	}
	var nums []uint64
	for _, l := range letters {
		nums = append(nums, l.Num)
	}
	return nums
}

// Many dead letters are taken back in several transactions: in between, polls and deliveries get on.
func TestManyDeadLettersAreTakenInChunks(t *testing.T) {
	d := openTest(t)
	nums := refuseAll(t, d, 1200)
	for name, retry := range map[string]bool{"retry": true, "drop": false} {
		if n, err := d.EndDead(append(nums[:1:1], 1<<40), retry); !errors.Is(err, store.ErrUnknown) || n != 0 {
			t.Errorf("%s of one that is not there: %d, %v", name, n, err)
		}
	}
	if st, err := d.Stats(); err != nil || st.Dead != len(nums) {
		t.Fatalf("%d dead letters, %v", st.Dead, err)
	}
	half := len(nums) / 2
	for name, retry := range map[string]bool{"retry": true, "drop": false} {
		mine := nums[:half]
		if name == "drop" {
			mine = nums[half:]
		}
		n, commits := 0, 0
		var err error
		commits = writes(t, d, func() { n, err = d.EndDead(mine, retry) })
		if err != nil || n != len(mine) || commits != 2 {
			t.Errorf("%s: %d of %d in %d transactions, %v", name, n, len(mine), commits, err)
		}
	}
	if st, err := d.Stats(); err != nil || st.Dead != 0 || st.Pending != half {
		t.Errorf("%d dead letters, %d pending, %v", st.Dead, st.Pending, err)
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
}

// What it takes to find and claim the next job of a contact does not grow with the calls that wait for that contact.
func TestLongLaneIsNotWalked(t *testing.T) {
	cost := func(calls int) float64 {
		d := openTest(t)
		for n := range calls / 100 {
			p := benchPage(n)
			for i := range p.Rows {
				p.Rows[i].Lane = store.Lane{1}
			}
			if _, err := d.Ingest(p); err != nil {
				t.Fatal(err)
			}
		}
		refs, _, err := d.Scan("crm", nil, 1, nil)
		if err != nil || len(refs) != 1 {
			t.Fatalf("%+v, %v", refs, err)
		}
		return testing.AllocsPerRun(20, func() {
			if _, err := d.Claim(t.Context(), refs); err != nil {
				t.Error(err)
			}
			if _, err := d.Settle(t.Context(), store.Outcome{Job: refs[0], Verdict: store.Release}); err != nil {
				t.Error(err)
			}
		})
	}
	few, many := cost(200), cost(4000)
	if many > few*2 {
		t.Errorf("%.0f allocations with 4,000 calls, %.0f with 200", many, few)
	}
}
