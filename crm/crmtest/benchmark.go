package crmtest

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Benchmark measures how many calls, each of a contact of its own, a writer takes with 1, 4 and 16 workers. open returns a
// writer to a fresh destination.
func Benchmark(b *testing.B, open func(b *testing.B) crm.Writer) {
	for _, workers := range []int{1, 4, 16} {
		b.Run("workers="+strconv.Itoa(workers), func(b *testing.B) {
			w := open(b)
			var next atomic.Int64
			var group sync.WaitGroup
			b.ResetTimer()
			for range workers {
				group.Go(func() {
					for n := int(next.Add(1)); n <= b.N; n = int(next.Add(1)) {
						if err := w.Write(context.Background(), Completed(n), crm.NewProgress(nil, nil)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
