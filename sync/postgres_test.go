//go:build external

package sync

import (
	"database/sql"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/internal/dbtest"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/store/postgres"
)

// With the tag, the tests of the engine keep their state in PostgreSQL: a pipeline for each, in one database.
func init() {
	var once sync.Once
	var dsn string
	openStore = func(t *testing.T, path string) (store.Store, error) {
		once.Do(func() { _, dsn, _ = dbtest.NewPostgres(t) })
		d, err := postgres.Open(t.Context(), postgres.Config{Schema: "vinfer_sync", DSN: func() (secret.Text, error) { return secret.New(dsn), nil }}, path, postgres.Node())
		if err != nil {
			return nil, err
		}
		return d, d.Lead(t.Context())
	}
	stored = func(t *testing.T, path string) (rev string) {
		db, err := sql.Open("pgx", dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		if err := db.QueryRow("SELECT rev FROM vinfer_sync.pipelines WHERE name = $1", path).Scan(&rev); err != nil {
			t.Fatal(err)
		}
		return rev
	}
	testsOf = func(m *testing.M) goleak.TestingM { return dbtest.Main{M: m} }
}
