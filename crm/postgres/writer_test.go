//go:build external

package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/postgres"
	"github.com/vinfer-sync/vinfer-sync/internal/dbtest"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(crmtest.ChildOf); dsn != "" {
		crmtest.Child(func() (crm.Writer, error) {
			return postgres.New(postgres.Config{DSN: secret.New(dsn)}, crm.Settings{Workers: 4})
		})
		return
	}
	goleak.VerifyTestMain(dbtest.Main{M: m})
}

func open(t testing.TB, dsn string) postgres.Writer {
	t.Helper()
	w, err := postgres.New(postgres.Config{DSN: secret.New(dsn)}, crm.Settings{Workers: 8})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWriter(t *testing.T) {
	crmtest.Run(t, crmtest.Target{NoMany: true, DropsNUL: true, New: func(t *testing.T) crmtest.Destination {
		name, dsn, db := dbtest.NewPostgres(t)
		return crmtest.Destination{
			Open:    func(t *testing.T) crm.Writer { return open(t, dsn) },
			State:   func(t *testing.T) crmtest.State { return state(t, db) },
			Secrets: []string{"geheim-" + name},
			AddContact: func(t *testing.T, c crmtest.Contact) string {
				w := open(t, dsn)
				defer func() { _ = w.Close() }()
				if _, err := w.Provision(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				var id int64
				if err := db.QueryRow("INSERT INTO contacts (phone_e164, phone, name) VALUES ($1, $1, $2) RETURNING id", c.Phone, c.Name).Scan(&id); err != nil {
					t.Fatal(err)
				}
				return strconv.FormatInt(id, 10)
			},
		}
	}})
}

// state reads all of the tables; of a database without them, nothing.
func state(t testing.TB, db *sql.DB) (s crmtest.State) {
	t.Helper()
	var there bool
	if err := db.QueryRow("SELECT to_regclass('calls') IS NOT NULL").Scan(&there); err != nil || !there {
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return crmtest.Tables(t, db, `json_build_array(campaign, direction, status, raw_disposition, duration_seconds, language, started_at, ended_at,
		callback_at, transcript_url, sentiment, qa_score)::text`)
}

func put(t testing.TB, w crm.Writer, entries ...crm.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := w.Write(context.Background(), e, crm.NewProgress(nil, nil)); err != nil {
			t.Fatalf("%s: %v", e.Key, err)
		}
	}
}

// expect compares the one value of a query as text.
func expect(t testing.TB, db *sql.DB, query string, want any) {
	t.Helper()
	var v any
	if err := db.QueryRow(query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if b, ok := v.([]byte); ok {
		v = string(b)
	}
	if fmt.Sprint(v) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", query, v, want)
	}
}
