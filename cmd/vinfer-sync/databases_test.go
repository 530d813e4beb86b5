//go:build external

package main

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/dbtest"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

const databaseKind = `
vinfer: {base_url: "${API}", api_key: any}
start: -24h
store: {bbolt: {path: state.db}}
admin: {socket: admin.sock, listen: ""}
crm:
  - {name: warehouse, workers: 4, KIND: {dsn_file: dsn}}
`

// TestDatabases goes with each database server the way that an operator goes: check, setup, once, and once more.
func TestDatabases(t *testing.T) {
	for kind, fresh := range map[string]func(testing.TB) (string, string, *sql.DB){"postgres": dbtest.NewPostgres, "mysql": dbtest.NewMariaDB} {
		t.Run(kind, func(t *testing.T) {
			name, dsn, db := fresh(t)
			w := newWorld(t, simulator.Options{Seed: 4, Calls: 150, Contacts: 30, Span: 20 * time.Hour, LimitPerMinute: -1})
			w.write("config.yaml", strings.Replace(databaseKind, "KIND", kind, 1))
			w.write("dsn", dsn+"\n")
			says := func(what string, r result, texts ...string) {
				t.Helper()
				for _, text := range texts {
					if !strings.Contains(r.stdout, text) {
						t.Errorf("%s does not say %q:\n%s%s", what, text, r.stdout, r.stderr)
					}
				}
				if strings.Contains(r.stdout+r.stderr, "geheim-"+name) {
					t.Errorf("%s shows the password:\n%s%s", what, r.stdout, r.stderr)
				}
			}
			says("check", w.must(0, "check"), "connection", "encoding", "not there yet")
			says("setup --dry-run", w.must(0, "setup", "--dry-run"), "to do", "CREATE TABLE", "open_callbacks", "vinfer_sync_version")
			says("setup --dry-run", w.must(0, "setup", "--dry-run"), "to do") // it made nothing
			says("setup", w.must(0, "setup"), "done", "version 1")
			says("check", w.must(0, "check"), "version 1", "rights")
			for range 8 {
				w.killed(50*time.Millisecond, 700*time.Millisecond, "once")
			}
			for range 2 {
				says("once", w.must(0, "once"))
				value := func(query string) (n int) {
					t.Helper()
					if err := db.QueryRow(query).Scan(&n); err != nil {
						t.Fatal(err)
					}
					return n
				}
				if got, want := value("SELECT COUNT(*) FROM calls"), len(w.sim.Calls()); got != want {
					t.Errorf("%d calls, want %d", got, want)
				}
				if got := value("SELECT COUNT(*) - COUNT(DISTINCT phone_e164) FROM contacts"); got != 0 {
					t.Errorf("%d contacts too many", got)
				}
				if value("SELECT COUNT(*) FROM notes") == 0 || value("SELECT COUNT(*) FROM open_callbacks") == 0 {
					t.Error("no transcripts, or no tasks")
				}
			}
			w.write("dsn", strings.Replace(dsn, "geheim", "falsch", 1))
			r := w.must(77, "check")
			says("check with a wrong password", r, "FAILS", "then resume")
		})
	}
}
