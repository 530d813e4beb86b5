//go:build external

package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/postgres"
	"github.com/vinfer-sync/vinfer-sync/internal/dbtest"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestCuts(t *testing.T) {
	proxy := crmtest.NewProxy(t, fmt.Sprintf("127.0.0.1:%d", dbtest.Postgres(t).Port))
	crmtest.RunCuts(t, proxy, func(t *testing.T) (func(*testing.T) crm.Writer, func(*testing.T) crmtest.State) {
		_, dsn, db := dbtest.NewPostgres(t)
		u, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = proxy.Addr
		return func(t *testing.T) crm.Writer { return open(t, u.String()) }, func(t *testing.T) crmtest.State { return state(t, db) }
	})
}

// The server ends every connection while calls are written, and the program is killed soon after.
func TestTerminatedBackends(t *testing.T) {
	name, dsn, db := dbtest.NewPostgres(t)
	crmtest.Kills(t, 10, dsn, func() {
		if _, err := db.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", name); err != nil {
			t.Error(err)
		}
	}, func() crmtest.State { return state(t, db) })
}

// The server dies while calls are written, and comes back; so does the program.
func TestServerDies(t *testing.T) {
	_, dsn, db := dbtest.NewPostgres(t)
	s := dbtest.Postgres(t)
	crmtest.Kills(t, 3, dsn, func() {
		s.Kill()
		if err := s.Start(); err != nil {
			t.Error(err)
		}
	}, func() crmtest.State { return state(t, db) })
}

func write(w crm.Writer, e crm.Entry) error {
	return w.Write(context.Background(), e, crm.NewProgress(nil, nil))
}

func TestRefusals(t *testing.T) {
	name, dsn, db := dbtest.NewPostgres(t)
	port := dbtest.Postgres(t).Port
	w := open(t, dsn)
	defer func() { _ = w.Close() }()
	put(t, w, crmtest.Completed(0))
	root := func(queries ...string) {
		t.Helper()
		for _, q := range queries {
			if _, err := db.Exec(q); err != nil {
				t.Fatalf("%s: %v", q, err)
			}
		}
	}
	root("CREATE ROLE other_"+name+" LOGIN PASSWORD 'geheim'", "CREATE DATABASE latin_"+name+" ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0 OWNER "+name,
		"CREATE SCHEMA foreign_"+name)
	raise := func(code, text string) []string {
		return []string{
			"CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION '" + text + "' USING ERRCODE = '" + code + "'; END$$",
			"CREATE TRIGGER refuse BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION refuse()",
		}
	}
	calm := []string{"DROP TRIGGER refuse ON tasks"}
	for what, test := range map[string]struct {
		dsn       string
		do, undo  []string
		want      crm.Verdict
		says      string
		checkSays string
	}{
		"a wrong password":      {dsn: strings.Replace(dsn, "geheim", "falsch", 1), want: crm.Halt, says: "password authentication failed", checkSays: "correct the user"},
		"no such database":      {dsn: dbtest.PostgresDSN(port, name, "geheim-"+name, "nowhere"), want: crm.Halt, says: `"nowhere" does not exist`, checkSays: "nowhere"},
		"no such user":          {dsn: dbtest.PostgresDSN(port, "nobody", "geheim-"+name, name), want: crm.Halt, says: `authentication failed for user "nobody"`, checkSays: "nobody"},
		"no right to the table": {dsn: dbtest.PostgresDSN(port, "other_"+name, "geheim", name), do: []string{"GRANT SELECT ON vinfer_sync_version TO other_" + name}, want: crm.Halt, says: "permission denied", checkSays: "permission denied"},
		"no right to insert":    {do: []string{"ALTER TABLE calls OWNER TO root"}, undo: []string{"ALTER TABLE calls OWNER TO " + name}, want: crm.Halt, says: "permission denied for table calls", checkSays: "permission denied for table calls"},
		"another encoding":      {dsn: dbtest.PostgresDSN(port, name, "geheim-"+name, "latin_"+name), want: crm.Halt, says: "ENCODING 'UTF8'", checkSays: "ENCODING 'UTF8'"},
		"nobody listens":        {dsn: "postgres://127.0.0.1:1/x?sslmode=disable", want: crm.Retry, says: "connection refused", checkSays: "connection refused"},
		"a read-only server":    {do: []string{"ALTER ROLE " + name + " SET default_transaction_read_only = on"}, undo: []string{"ALTER ROLE " + name + " RESET default_transaction_read_only"}, want: crm.Retry, says: "takes no writes", checkSays: "takes no writes"},
		"a trigger's refusal":   {do: raise("P0001", "not for +91 98765 00007"), undo: calm, want: crm.Reject, says: "not for +xx xxxxx xxx07"},
		"a check":               {do: []string{"ALTER TABLE tasks ADD CONSTRAINT titles CHECK (length(title) < 5)"}, undo: []string{"ALTER TABLE tasks DROP CONSTRAINT titles"}, want: crm.Reject, says: `violates check constraint "titles"`},
		"a column too short":    {do: []string{"DROP VIEW open_callbacks, contact_timeline", "ALTER TABLE tasks ALTER title TYPE varchar(5)"}, undo: []string{"ALTER TABLE tasks ALTER title TYPE text"}, want: crm.Reject, says: "value too long"},
		"a full disk":           {do: raise("53100", "could not extend file"), undo: calm, want: crm.Retry, says: "disk is full"},
		"a deadlock":            {do: raise("40P01", "deadlock detected"), undo: calm, want: crm.Retry, says: "deadlock"},
		"a serialization":       {do: raise("40001", "could not serialize access"), undo: calm, want: crm.Retry, says: "serialize"},
		"a shutdown":            {do: raise("57P01", "terminating connection"), undo: calm, want: crm.Retry, says: "terminating"},
		"a lost table":          {do: []string{"ALTER TABLE tasks RENAME TO chores"}, undo: []string{"ALTER TABLE chores RENAME TO tasks"}, want: crm.Halt, says: `relation "tasks" does not exist`, checkSays: "tasks"},
		"a lost column":         {do: []string{"ALTER TABLE tasks RENAME title TO name"}, undo: []string{"ALTER TABLE tasks RENAME name TO title"}, want: crm.Halt, says: "not as this program made them", checkSays: "title"},
	} {
		t.Run(what, func(t *testing.T) {
			root(test.do...)
			to := test.dsn
			if to == "" {
				to = dsn
			}
			w := open(t, to)
			defer func() { _ = w.Close() }()
			p := crm.NewProgress(nil, nil)
			err := w.Write(context.Background(), crmtest.Full(1), p)
			var found []string
			for _, f := range w.Check(t.Context(), nil) {
				if f.Err != nil {
					found = append(found, f.Subject+": "+f.Err.Error())
				}
			}
			root(test.undo...)
			if crm.VerdictOf(err) != test.want || err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v", crm.VerdictOf(err), err)
			}
			if crm.VerdictOf(err) == crm.Reject && crm.Request(err) == "" {
				t.Error("the shape is missing")
			}
			if got := strings.Join(found, "\n"); !strings.Contains(got, test.checkSays) || (test.checkSays == "") != (got == "") {
				t.Errorf("check finds %q", got)
			}
			crmtest.AssertNoLeak(t, what, []string{"geheim-" + name, "geheim"}, fmt.Sprintf("%v %s %v %q", err, crm.Request(err), p.Warnings, found))
			if n := count(t, db, "SELECT count(*) FROM calls"); n != 1 {
				t.Errorf("%d calls are there: a part of one was written", n)
			}
		})
	}
	put(t, w, crmtest.Full(1)) // the first writer is as good as before
	expect(t, db, "SELECT count(*) FROM calls", 2)
}

func count(t *testing.T, db *sql.DB, query string) (n int) {
	t.Helper()
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A value that an index cannot hold is the call's fault, not the destination's.
func TestTooLong(t *testing.T) {
	_, dsn, db := dbtest.NewPostgres(t)
	w := open(t, dsn)
	defer func() { _ = w.Close() }()
	e := crmtest.Completed(1)
	var random strings.Builder // what can be compressed fits
	for n := range 4000 {
		fmt.Fprintf(&random, "%x", n*n*7919)
	}
	e.Call.Campaign = random.String()
	if err := write(w, e); crm.VerdictOf(err) != crm.Reject || len(err.Error()) > 500 {
		t.Errorf("%s: %v", crm.VerdictOf(err), err)
	}
	put(t, w, crmtest.Completed(2))
	expect(t, db, "SELECT count(*) FROM contacts", 1)
}

func TestTimeout(t *testing.T) {
	_, dsn, db := dbtest.NewPostgres(t)
	w, err := postgres.New(postgres.Config{DSN: secret.New(dsn), Timeout: time.Second}, crm.Settings{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	put(t, w, crmtest.Completed(1))
	lock, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec("LOCK TABLE calls"); err != nil {
		t.Fatal(err)
	}
	if err := write(w, crmtest.Completed(2)); crm.VerdictOf(err) != crm.Retry || !strings.Contains(err.Error(), "no answer within 1s") {
		t.Errorf("%v", err)
	}
	_ = lock.Rollback()
	put(t, w, crmtest.Completed(2))
	expect(t, db, "SELECT count(*) FROM calls", 2)
}

// A password that is changed in its file, and at the server, is taken up without a restart.
func TestRotatedDSN(t *testing.T) {
	name, dsn, db := dbtest.NewPostgres(t)
	file := filepath.Join(t.TempDir(), "dsn")
	set := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set(strings.Replace(dsn, name+":", "nobody:", 1))
	w, err := postgres.New(postgres.Config{DSNFile: file}, crm.Settings{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if err := write(w, crmtest.Completed(1)); crm.VerdictOf(err) != crm.Halt {
		t.Errorf("%v", err)
	}
	set(dsn)
	put(t, w, crmtest.Completed(1))
	set("postgres://:%zz@geheim")
	if _, err := db.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", name); err != nil {
		t.Fatal(err)
	}
	if err := write(w, crmtest.Completed(2)); crm.VerdictOf(err) == crm.Reject || err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("%v", err)
	}
}

func TestSchema(t *testing.T) {
	_, dsn, db := dbtest.NewPostgres(t)
	if _, err := db.Exec("CREATE TABLE contacts (a integer)"); err != nil {
		t.Fatal(err)
	}
	w, err := postgres.New(postgres.Config{DSN: secret.New(dsn), Schema: `Vinfer "calls"`}, crm.Settings{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	changes, err := w.Provision(t.Context(), true)
	if err != nil || len(changes) != 1 {
		t.Fatalf("%+v, %v", changes, err)
	}
	for _, f := range w.Check(t.Context(), nil) {
		if f.Err != nil {
			t.Errorf("%+v", f)
		}
	}
	put(t, w, crmtest.Full(1))
	expect(t, db, `SELECT count(*) FROM "Vinfer ""calls""".open_callbacks`, 1)
	// What the dry run prints does the same by hand.
	_, dsn, db = dbtest.NewPostgres(t)
	_, script, ok := strings.Cut(changes[0].Detail, "\n")
	if !ok {
		t.Fatal(changes)
	}
	if _, err := db.Exec(script); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`DO $$BEGIN EXECUTE 'GRANT USAGE ON SCHEMA "Vinfer ""calls""" TO ' || (SELECT rolname FROM pg_roles JOIN pg_database ON datdba = pg_roles.oid WHERE datname = current_database());
		EXECUTE 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "Vinfer ""calls""" TO ' || (SELECT rolname FROM pg_roles JOIN pg_database ON datdba = pg_roles.oid WHERE datname = current_database()); END$$`); err != nil {
		t.Fatal(err)
	}
	w2, err := postgres.New(postgres.Config{DSN: secret.New(dsn), Schema: `Vinfer "calls"`}, crm.Settings{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w2.Close() }()
	put(t, w2, crmtest.Full(1))
	for _, f := range w2.Check(t.Context(), nil) {
		if f.Err != nil {
			t.Errorf("%+v", f)
		}
	}
}

func TestEncryption(t *testing.T) {
	_, dsn, _ := dbtest.NewPostgres(t)
	for mode, test := range map[string]struct {
		want  string
		fails bool
	}{
		"disable":     {want: "on this machine"},
		"require":     {want: "encrypted"},
		"verify-full": {want: "certificate", fails: true},
		"verify-full&sslrootcert=" + dbtest.Postgres(t).CAFile(): {want: "encrypted"},
	} {
		t.Run(mode, func(t *testing.T) {
			w := open(t, strings.Replace(dsn, "sslmode=disable", "sslmode="+mode, 1))
			defer func() { _ = w.Close() }()
			f := w.Check(t.Context(), nil)[0]
			if (f.Err != nil) != test.fails || !strings.Contains(fmt.Sprint(f.Detail, f.Err), test.want) || strings.Contains(f.Detail, "NOT") {
				t.Errorf("%+v", f)
			}
			if err := write(w, crmtest.Completed(1)); (err != nil) != test.fails || crm.VerdictOf(err) != crm.Retry && test.fails {
				t.Errorf("%v", err)
			}
		})
	}
}
