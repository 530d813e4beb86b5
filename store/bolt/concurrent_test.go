package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// All is done side by side while the file grows.
func TestSideBySide(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "state.db"))
	if err := begin(d); err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	done := make(chan struct{})
	work.Go(func() {
		defer close(done)
		for n := range 40 {
			var rows []store.Row
			for k := range 60 {
				rows = append(rows, call(fmt.Sprintf("c%06d", n*60+k), n*60+k))
			}
			if _, err := d.Ingest(pageOf(n*60+59, rows...)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	until := func(f func() error) {
		work.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := f(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 2 {
		until(func() error { _, err := d.Stats(); return err })
	}
	until(func() error { _, err := d.Calls(store.CallQuery{N: 20}); return err })
	until(func() error {
		_, err := d.Life("c000000")
		if errors.Is(err, store.ErrUnknown) {
			return nil
		}
		return err
	})
	until(func() error { _, err := d.Prune(noon, noon); return err })
	for _, x := range spec {
		until(func() error {
			refs, _, err := d.Scan(x.Name, nil, 20, nil)
			for _, ref := range refs {
				job, cerr := claim(d, ref)
				if cerr != nil || job == nil {
					return fmt.Errorf("claiming %s: %w", ref.ID, cerr)
				}
				if _, cerr = d.Settle(context.Background(), store.Outcome{Job: job.JobRef, Verdict: store.Delivered, At: noon}); cerr != nil {
					return cerr
				}
			}
			return err
		})
	}
	work.Wait()
	if err := errors.Join(d.Check(), d.Close()); err != nil {
		t.Fatal(err)
	}
}
