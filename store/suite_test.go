package store_test

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Factory {
		path := filepath.Join(t.TempDir(), "state.db")
		return func(t *testing.T) store.Store {
			t.Helper()
			d, err := store.Open(path, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	})
}
