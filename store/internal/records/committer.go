package records

import (
	"context"
	"errors"
	"slices"

	"github.com/vinfer-sync/vinfer-sync/internal/groupcommit"
	"github.com/vinfer-sync/vinfer-sync/store"
)

// change is one change of the store, to some jobs.
type change struct {
	jobs []store.JobRef
	// apply may run more than once, each time in a new transaction, and starts from scratch then.
	apply func(t *txn) error
}

// committer makes changes durable. Concurrent changes share one transaction.
type committer struct{ groupcommit.Committer[change] }

func newCommitter(d *DB) *committer {
	return &committer{groupcommit.Committer[change]{Commit: d.commit}}
}

// do returns once a change is durable, or with why it is not.
func (c *committer) do(ctx context.Context, jobs []store.JobRef, apply func(t *txn) error) error {
	if c == nil {
		return errReadOnly
	}
	err := c.Do(ctx, change{jobs, apply})
	if errors.Is(err, groupcommit.ErrClosed) {
		return ErrClosed
	}
	return err
}

// commit commits a group. A change that cannot be applied fails alone, and the others are applied without it. A group whose commit fails is
// halved: on a full disk a small one may fit where a large one does not, and what it frees makes room for the next.
func (d *DB) commit(group []change) []error {
	bad := -1
	err := d.update(func(t *txn) error {
		bad = -1
		var jobs []store.JobRef
		for _, c := range group {
			jobs = append(jobs, c.jobs...)
		}
		t.expectJobs(jobs)
		for i, c := range group {
			if err := c.apply(t); err != nil {
				bad = i
				return err
			}
		}
		return nil
	})
	n := len(group)
	switch {
	case n > 1 && bad >= 0:
		return slices.Insert(d.commit(slices.Delete(group, bad, bad+1)), bad, err)
	case n > 1 && errors.As(err, new(*CommitError)):
		return append(d.commit(group[:n/2]), d.commit(group[n/2:])...)
	}
	return slices.Repeat([]error{err}, n)
}
