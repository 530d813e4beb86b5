package records

import (
	"errors"
	"slices"
	"testing"
)

// noTx is a transaction of which nothing is asked.
type noTx struct{ Tx }

func (noTx) Expect(func() []Need) {}

// A group that does not fit on the disk is halved until its parts fit; a change that cannot be made fails alone, and none is made twice.
func TestAGroupThatDoesNotFitIsHalved(t *testing.T) {
	full, mine := errors.New("no space left on device"), errors.New("mine")
	for room := range 9 {
		var made, now []int
		d := New(Engine{Update: func(fn func(tx Tx) (bool, error)) error {
			now = nil
			if _, err := fn(noTx{}); err != nil {
				return err
			}
			if len(now) > room {
				return &CommitError{full}
			}
			made = append(made, now...)
			return nil
		}})
		defer d.Drain()
		var group []change
		for n := range 8 {
			group = append(group, change{apply: func(*txn) error {
				if n == 5 {
					return mine
				}
				now = append(now, n)
				return nil
			}})
		}
		errs := d.commit(group)
		if len(errs) != 8 || !errors.Is(errs[5], mine) {
			t.Fatalf("room for %d: %v", room, errs)
		}
		slices.Sort(made)
		for n, err := range errs {
			switch fits := room > 0; {
			case n == 5:
			case fits != (err == nil) || !fits && !errors.Is(err, full):
				t.Errorf("room for %d: change %d: %v", room, n, err)
			case fits != slices.Contains(made, n):
				t.Errorf("room for %d: change %d is told as made, made are %v", room, n, made)
			}
		}
		if len(slices.Compact(made)) != len(made) {
			t.Errorf("room for %d: made twice: %v", room, made)
		}
	}
}
