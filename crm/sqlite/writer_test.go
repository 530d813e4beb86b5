package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/sqlite"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		child(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func TestWriter(t *testing.T) {
	crmtest.Run(t, crmtest.Target{NoMany: true, New: func(t *testing.T) crmtest.Destination {
		path := filepath.Join(t.TempDir(), "crm.db")
		return crmtest.Destination{
			Open:  func(t *testing.T) crm.Writer { return open(t, path) },
			State: func(t *testing.T) crmtest.State { return state(t, path) },
			AddContact: func(t *testing.T, c crmtest.Contact) string {
				if _, err := open(t, path).Provision(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				res, err := shell(t, path).Exec("INSERT INTO contacts (phone_e164, phone, name, created_at, updated_at) VALUES (?1, ?1, ?2, '', '')", c.Phone, c.Name)
				if err != nil {
					t.Fatal(err)
				}
				id, _ := res.LastInsertId()
				return strconv.FormatInt(id, 10)
			},
		}
	}})
}

func open(t testing.TB, path string) *sqlite.Writer {
	t.Helper()
	w, err := sqlite.New(sqlite.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// shell opens the file as somebody else would.
func shell(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=rw&_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func state(t testing.TB, path string) (s crmtest.State) {
	t.Helper()
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return s
	}
	db := shell(t, path)
	each(t, db, `SELECT id, coalesce(phone_e164, phone, ''), coalesce(name, ''), coalesce(status, ''), do_not_call FROM contacts ORDER BY id`, func(r *sql.Rows) error {
		var c crmtest.Contact
		err := r.Scan(&c.ID, &c.Phone, &c.Name, &c.Status, &c.DoNotCall)
		s.Contacts = append(s.Contacts, c)
		return err
	})
	each(t, db, `SELECT id, contact_id, coalesce(disposition, ''), coalesce(summary, ''), json_array(campaign, direction, status, raw_disposition,
		duration_seconds, language, started_at, ended_at, callback_at, transcript_url, sentiment, qa_score) FROM calls ORDER BY rowid`, func(r *sql.Rows) error {
		var c crmtest.Call
		err := r.Scan(&c.ID, &c.Contact, &c.Disposition, &c.Summary, &c.Rest)
		s.Calls = append(s.Calls, c)
		return err
	})
	each(t, db, `SELECT call_id, text FROM notes ORDER BY id`, func(r *sql.Rows) error {
		var n crmtest.Note
		err := r.Scan(&n.Call, &n.Text)
		s.Notes = append(s.Notes, n)
		return err
	})
	each(t, db, `SELECT call_id, title FROM tasks ORDER BY id`, func(r *sql.Rows) error {
		var k crmtest.Task
		err := r.Scan(&k.Call, &k.Title)
		s.Tasks = append(s.Tasks, k)
		return err
	})
	return s
}

func each(t testing.TB, db *sql.DB, query string, f func(*sql.Rows) error) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// value returns the one value of a query as text.
func value(t testing.TB, path, query string) string {
	t.Helper()
	var v any
	if err := shell(t, path).QueryRow(query).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return fmt.Sprint(v)
}
