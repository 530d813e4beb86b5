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
	w, err := sqlite.New(sqlite.Config{Path: path}, crm.Settings{})
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

// A number of our own is nobody's: the contact who has it is left alone, and the call stands at one without a number.
func TestOwnNumbersAreNobodys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crm.db")
	w, err := sqlite.New(sqlite.Config{Path: path}, crm.Settings{OwnNumbers: []string{"+919876543210"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	put := func(id, phone string) {
		t.Helper()
		e := crmtest.Completed(1)
		e.Call.ID, e.Call.Contact = id, crm.Contact{Phone: phone, E164: phone, Name: "Somebody"}
		if err := w.Write(t.Context(), e, crm.NewProgress(nil, nil)); err != nil {
			t.Fatal(err)
		}
	}
	put("a", "+919876543210")
	put("b", "+919876543210")
	put("c", "+919876543211")
	got := state(t, path)
	if len(got.Contacts) != 3 || len(got.Calls) != 3 || got.Contacts[0].Phone != "" || got.Contacts[1].Phone != "" || got.Contacts[2].Phone != "+919876543211" {
		t.Errorf("got %+v", got)
	}
	if m, err := w.Find(t.Context(), crm.Contact{Phone: "09876543210", E164: "+919876543210"}); err != nil || m.Count != 0 {
		t.Errorf("found %+v, %v", m, err)
	}
}
