//go:build external

package postgres

import (
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/internal/dbtest"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/bolt"
)

// BenchmarkTenThousand stores 10,000 calls for two destinations and settles the jobs of one, by 128 slots, in the file and in the database. The
// tests' server flushes nothing to its disk; the file does.
func BenchmarkTenThousand(b *testing.B) {
	work := func(b *testing.B, s store.Store) {
		b.Helper()
		begin(b, s)
		for n := range 100 {
			if _, err := s.Ingest(pageOf(n)); err != nil {
				b.Fatal(err)
			}
		}
		jobs := make(chan store.JobRef)
		var slots sync.WaitGroup
		for range 128 {
			slots.Go(func() {
				for ref := range jobs {
					if _, err := s.Settle(b.Context(), store.Outcome{Job: ref, Verdict: store.Delivered, At: noon}); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for refs := range slices.Chunk(scanAll(b, s, "crm"), 32) {
			if _, err := s.Claim(b.Context(), refs); err != nil {
				b.Fatal(err)
			}
			for _, ref := range refs {
				jobs <- ref
			}
		}
		close(jobs)
		slots.Wait()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("bolt", func(b *testing.B) {
		for b.Loop() {
			s, err := bolt.Open(filepath.Join(b.TempDir(), "state.db"), bolt.Options{})
			if err != nil {
				b.Fatal(err)
			}
			work(b, s)
		}
	})
	b.Run("postgres", func(b *testing.B) {
		for b.Loop() {
			_, dsn, _ := dbtest.NewPostgres(b)
			work(b, openAt(b, dsn, "default"))
		}
	})
}
