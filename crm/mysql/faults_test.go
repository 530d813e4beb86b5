//go:build external

package mysql_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/mysql"
	"github.com/vinfer-sync/vinfer-sync/internal/dbtest"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestCuts(t *testing.T) {
	target := fmt.Sprintf("127.0.0.1:%d", dbtest.MariaDB(t).Port)
	proxy := crmtest.NewProxy(t, target)
	crmtest.RunCuts(t, proxy, func(t *testing.T) (func(*testing.T) crm.Writer, func(*testing.T) crmtest.State) {
		_, dsn, db := dbtest.NewMariaDB(t)
		dsn = strings.Replace(dsn, target, proxy.Addr, 1)
		return func(t *testing.T) crm.Writer { return open(t, dsn) }, func(t *testing.T) crmtest.State { return state(t, db) }
	})
}

// The server ends every connection while calls are written, and the program is killed soon after.
func TestKilledConnections(t *testing.T) {
	name, dsn, db := dbtest.NewMariaDB(t)
	crmtest.Kills(t, 10, dsn, func() {
		if _, err := db.Exec("KILL HARD CONNECTION USER " + name + "@'127.0.0.1'"); err != nil {
			t.Error(err)
		}
	}, func() crmtest.State { return state(t, db) })
}

// The server dies while calls are written, and comes back; so does the program.
func TestServerDies(t *testing.T) {
	_, dsn, db := dbtest.NewMariaDB(t)
	s := dbtest.MariaDB(t)
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
	name, dsn, db := dbtest.NewMariaDB(t)
	port := dbtest.MariaDB(t).Port
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
	other := "other_" + name
	root("CREATE USER "+other+"@'127.0.0.1' IDENTIFIED BY 'geheim'", "GRANT SELECT ON "+name+".* TO "+other+"@'127.0.0.1'")
	raise := func(number, text string) []string {
		return []string{"CREATE TRIGGER refuse BEFORE INSERT ON tasks FOR EACH ROW SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = " + number + ", MESSAGE_TEXT = '" + text + "'"}
	}
	calm := []string{"DROP TRIGGER refuse"}
	for what, test := range map[string]struct {
		dsn       string
		do, undo  []string
		want      crm.Verdict
		says      string
		checkSays string
	}{
		"a wrong password":       {dsn: strings.Replace(dsn, "geheim", "falsch", 1), want: crm.Halt, says: "Access denied", checkSays: "Access denied"},
		"no such user":           {dsn: dbtest.MariaDBDSN(port, "nobody", "geheim", name), want: crm.Halt, says: "Access denied", checkSays: "Access denied"},
		"no such database":       {dsn: dbtest.MariaDBDSN(port, "root", "", "nowhere"), want: crm.Halt, says: "Unknown database 'nowhere'", checkSays: "nowhere"},
		"another's database":     {dsn: dbtest.MariaDBDSN(port, name, "geheim-"+name, "mysql"), want: crm.Halt, says: "Access denied", checkSays: "Access denied"},
		"no right to write":      {dsn: dbtest.MariaDBDSN(port, other, "geheim", name), want: crm.Halt, says: "command denied", checkSays: "command denied"},
		"nobody listens":         {dsn: "u:p@tcp(127.0.0.1:1)/x", want: crm.Retry, says: "connection refused", checkSays: "connection refused"},
		"a read-only server":     {do: []string{"SET GLOBAL read_only = 1"}, undo: []string{"SET GLOBAL read_only = 0"}, want: crm.Retry, says: "takes no writes", checkSays: "takes no writes"},
		"a trigger's refusal":    {do: raise("1644", "not for +91 98765 00007"), undo: calm, want: crm.Reject, says: "not for +xx xxxxx xxx07"},
		"a check":                {do: []string{"ALTER TABLE tasks ADD CONSTRAINT titles CHECK (length(title) < 5 OR created_at < '2020-01-01')"}, undo: []string{"ALTER TABLE tasks DROP CONSTRAINT titles"}, want: crm.Reject, says: "`titles` failed"},
		"a column too short":     {do: []string{"ALTER TABLE tasks MODIFY title VARCHAR(5) NOT NULL"}, undo: []string{"ALTER TABLE tasks MODIFY title MEDIUMTEXT NOT NULL"}, want: crm.Reject, says: "Data too long for column 'title'"},
		"another set of letters": {do: []string{"ALTER TABLE tasks MODIFY title VARCHAR(50) CHARACTER SET latin1 NOT NULL"}, undo: []string{"ALTER TABLE tasks MODIFY title MEDIUMTEXT NOT NULL"}, want: crm.Reject, says: "Incorrect string value"},
		"a full disk":            {do: raise("1114", "The table is full"), undo: calm, want: crm.Retry, says: "disk is full"},
		"a deadlock":             {do: raise("1213", "Deadlock found"), undo: calm, want: crm.Retry, says: "Deadlock"},
		"a wait for a lock":      {do: raise("1205", "Lock wait timeout exceeded"), undo: calm, want: crm.Retry, says: "Lock wait"},
		"a shutdown":             {do: raise("1053", "Server shutdown in progress"), undo: calm, want: crm.Retry, says: "shutdown"},
		"a lost table":           {do: []string{"RENAME TABLE tasks TO chores"}, undo: []string{"RENAME TABLE chores TO tasks"}, want: crm.Halt, says: "tasks' doesn't exist", checkSays: "tasks"},
		"a lost column":          {do: []string{"ALTER TABLE tasks RENAME COLUMN title TO name"}, undo: []string{"ALTER TABLE tasks RENAME COLUMN name TO title"}, want: crm.Halt, says: "not as this program made them", checkSays: "title"},
	} {
		t.Run(what, func(t *testing.T) {
			root(test.do...)
			to := test.dsn
			if to == "" {
				to = dsn
			}
			w := open(t, to)
			defer func() { _ = w.Close() }()
			e := crmtest.Full(1)
			e.Task.Title = "हिन्दी: " + e.Task.Title
			p := crm.NewProgress(nil, nil)
			err := w.Write(context.Background(), e, p)
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
			var n int
			if err := db.QueryRow("SELECT COUNT(*) FROM calls").Scan(&n); err != nil || n != 1 {
				t.Errorf("%d calls are there, %v: a part of one was written", n, err)
			}
		})
	}
	put(t, w, crmtest.Full(1)) // the first writer is as good as before
	expect(t, db, "SELECT COUNT(*) FROM calls", 2)
}

// A value that a column cannot hold is the call's fault, not the destination's, whatever the server's sql_mode is.
func TestTooLong(t *testing.T) {
	_, dsn, db := dbtest.NewMariaDB(t)
	if _, err := db.Exec("SET GLOBAL sql_mode = ''"); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = db.Exec("SET GLOBAL sql_mode = DEFAULT") }()
	w := open(t, dsn)
	defer func() { _ = w.Close() }()
	e := crmtest.Completed(1)
	e.Call.Campaign = strings.Repeat("long ", 100)
	if err := write(w, e); crm.VerdictOf(err) != crm.Reject || !strings.Contains(err.Error(), "campaign") {
		t.Errorf("%s: %v", crm.VerdictOf(err), err)
	}
	put(t, w, crmtest.Completed(2))
	expect(t, db, "SELECT COUNT(*) FROM contacts", 1)
}

func TestTimeout(t *testing.T) {
	_, dsn, db := dbtest.NewMariaDB(t)
	w, err := mysql.New(mysql.Config{DSN: secret.New(dsn), Timeout: time.Second}, crm.Settings{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	put(t, w, crmtest.Completed(1))
	lock, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if _, err := lock.ExecContext(t.Context(), "LOCK TABLES calls WRITE"); err != nil {
		t.Fatal(err)
	}
	if err := write(w, crmtest.Completed(2)); crm.VerdictOf(err) != crm.Retry || !strings.Contains(err.Error(), "no answer within 1s") {
		t.Errorf("%v", err)
	}
	if _, err := lock.ExecContext(t.Context(), "UNLOCK TABLES"); err != nil {
		t.Fatal(err)
	}
	put(t, w, crmtest.Completed(2))
	expect(t, db, "SELECT COUNT(*) FROM calls", 2)
}

// A process that was killed while it made the tables left some of them.
func TestHalfMade(t *testing.T) {
	name, dsn, db := dbtest.NewMariaDB(t)
	whole := open(t, dsn)
	put(t, whole, crmtest.Completed(1))
	_ = whole.Close()
	for _, q := range []string{"DROP VIEW latest_calls", "DROP VIEW contact_timeline", "DROP TABLE tasks", "UPDATE vinfer_sync_version SET version = 0"} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	w := open(t, dsn)
	defer func() { _ = w.Close() }()
	put(t, w, crmtest.Full(2))
	expect(t, db, "SELECT COUNT(*) FROM "+name+".latest_calls", 2)
	expect(t, db, "SELECT version FROM vinfer_sync_version", 1)
}

// A password that is changed in its file, and at the server, is taken up without a restart.
func TestRotatedDSN(t *testing.T) {
	name, dsn, _ := dbtest.NewMariaDB(t)
	file := filepath.Join(t.TempDir(), "dsn")
	set := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set(strings.Replace(dsn, "geheim", "falsch", 1))
	w, err := mysql.New(mysql.Config{DSNFile: file}, crm.Settings{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	if err := write(w, crmtest.Completed(1)); crm.VerdictOf(err) != crm.Halt {
		t.Errorf("%v", err)
	}
	set(fmt.Sprintf("mysql://%[1]s:geheim%%2d%[1]s@127.0.0.1:%[2]d/%[1]s", name, dbtest.MariaDB(t).Port))
	put(t, w, crmtest.Completed(1))
}

// What the dry run prints makes the tables when somebody else runs it.
func TestScript(t *testing.T) {
	name, dsn, db := dbtest.NewMariaDB(t)
	w := open(t, dsn)
	defer func() { _ = w.Close() }()
	changes, err := w.Provision(t.Context(), true)
	if err != nil || len(changes) != 1 {
		t.Fatalf("%+v, %v", changes, err)
	}
	_, script, _ := strings.Cut(changes[0].Detail, "\n")
	for q := range strings.SplitSeq(script, ";\n") {
		if _, err := db.Exec(strings.TrimSuffix(q, ";")); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	for _, q := range []string{
		"REVOKE ALL ON " + name + ".* FROM " + name + "@'127.0.0.1'",
		"GRANT SELECT, INSERT, UPDATE, DELETE ON " + name + ".* TO " + name + "@'127.0.0.1'",
	} {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	put(t, w, crmtest.Full(1))
	for _, f := range w.Check(t.Context(), nil) {
		if f.Err != nil {
			t.Errorf("%+v", f)
		}
	}
}

func TestEncryption(t *testing.T) {
	_, dsn, _ := dbtest.NewMariaDB(t)
	for what, test := range map[string]struct {
		dsn, ca, want string
		fails         bool
	}{
		"none":              {dsn: dsn, want: "NOT encrypted"},
		"preferred":         {dsn: dsn + "?tls=preferred", want: "encrypted"},
		"our own authority": {dsn: dsn, ca: dbtest.MariaDB(t).CAFile(), want: "encrypted"},
		"the system's":      {dsn: dsn + "?tls=true", fails: true, want: "certificate"},
	} {
		t.Run(what, func(t *testing.T) {
			w, err := mysql.New(mysql.Config{DSN: secret.New(test.dsn), CAFile: test.ca}, crm.Settings{Workers: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = w.Close() }()
			f := w.Check(t.Context(), nil)[0]
			if (f.Err != nil) != test.fails || !strings.Contains(fmt.Sprint(f.Detail, f.Err), test.want) || test.want == "encrypted" && strings.Contains(f.Detail, "NOT") {
				t.Errorf("%+v", f)
			}
			if err := write(w, crmtest.Completed(1)); (err != nil) != test.fails || crm.VerdictOf(err) != crm.Retry && test.fails {
				t.Errorf("%v", err)
			}
		})
	}
}
