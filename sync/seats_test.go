package sync

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// A seat goes to who has waited longest for it, live work first.
func TestSeatsGoToLiveWorkFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &seats{free: 1}
		if !s.take(t.Context(), false) {
			t.Fatal("the first seat was not free")
		}
		var mu sync.Mutex
		var order []int
		for n, live := range []bool{false, true, false, true} {
			go func() {
				if s.take(t.Context(), live) {
					mu.Lock()
					order = append(order, n)
					mu.Unlock()
					s.give()
				}
			}()
			synctest.Wait()
		}
		s.give()
		synctest.Wait()
		if !slices.Equal(order, []int{1, 3, 0, 2}) {
			t.Errorf("seats went to %v", order)
		}
		if s.free != 1 {
			t.Errorf("%d seats are free", s.free)
		}
	})
}

// Never are more seats taken than there are, and none is lost, whoever gives up waiting and when.
func TestSeatsAreNeitherLostNorDoubled(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 3).Draw(rt, "seats")
		type user struct {
			begin, patience, stay int
			live                  bool
		}
		users := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) user {
			of := func(name string) int { return rapid.IntRange(0, 5).Draw(t, name) }
			return user{of("begin"), of("patience"), of("stay"), rapid.Bool().Draw(t, "live")}
		}), 1, 12).Draw(rt, "users")
		synctest.Test(t, func(*testing.T) {
			s := &seats{free: n}
			var mu sync.Mutex
			taken, most := 0, 0
			var all sync.WaitGroup
			for _, u := range users {
				all.Go(func() {
					time.Sleep(time.Duration(u.begin) * time.Second)
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(u.patience)*time.Second)
					defer cancel()
					if !s.take(ctx, u.live) {
						return
					}
					mu.Lock()
					taken++
					most = max(most, taken)
					mu.Unlock()
					time.Sleep(time.Duration(u.stay) * time.Second)
					mu.Lock()
					taken--
					mu.Unlock()
					s.give()
				})
			}
			all.Wait()
			if most > n || s.free != n || len(s.live)+len(s.rest) != 0 {
				rt.Fatalf("%d seats: %d taken at once, %d free in the end, %d still waited for", n, most, s.free, len(s.live)+len(s.rest))
			}
		})
	})
}
