package sync

import (
	"container/heap"
	"time"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// waitHeap is a heap of jobs by due time.
type waitHeap []store.JobRef

// first takes the job out that is due first.
func (h *waitHeap) first() store.JobRef {
	return heap.Pop(h).(store.JobRef) //nolint:errcheck // only jobs are pushed
}

// due tells whether the first one is due.
func (h waitHeap) due(now time.Time) bool { return len(h) > 0 && !h[0].Due.After(now) }

// next returns when the first one is due; zero: there is none.
func (h waitHeap) next() time.Time {
	if len(h) == 0 {
		return time.Time{}
	}
	return h[0].Due
}

func (h waitHeap) Len() int           { return len(h) }
func (h waitHeap) Less(i, j int) bool { return h[i].Due.Before(h[j].Due) }
func (h waitHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *waitHeap) Push(x any)        { *h = append(*h, x.(store.JobRef)) } //nolint:errcheck // only jobs are pushed
func (h *waitHeap) Pop() any {
	old := *h
	n := len(old) - 1
	x := old[n]
	*h = old[:n]
	return x
}
