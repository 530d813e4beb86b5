//go:build external

package postgres

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/internal/dbtest"
	"github.com/vinfer-sync/vinfer-sync/internal/lease"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(dbtest.Main{M: m}) }

func configOf(dsn string) Config {
	return Config{DSN: func() (secret.Text, error) { return secret.New(dsn), nil }, Schema: "vinfer_sync"}
}

func openAt(t testing.TB, dsn, pipeline string) *DB {
	t.Helper()
	d, err := Open(t.Context(), configOf(dsn), pipeline, Node())
	if err != nil {
		t.Fatal(err)
	}
	now := lease.SinceBoot()
	d.clock = func() time.Duration { return now } // the lease is not lost because the machine has much else to do
	if err := d.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// checked is a store that is checked whenever it is closed.
type checked struct {
	*DB
	t *testing.T
}

func (c checked) Close() error {
	if err := c.Check(); err != nil {
		c.t.Error(err)
	}
	return c.DB.Close()
}

// The pipelines of all tests share the tables.
func TestSuite(t *testing.T) {
	_, dsn, _ := dbtest.NewPostgres(t)
	storetest.Run(t, func(t *testing.T) storetest.Factory {
		return func(t *testing.T) store.Store { return checked{openAt(t, dsn, t.Name()), t} }
	})
}
