package crmtest

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Tables reads what the writers to SQL databases write. rest is an expression for a call's other columns.
func Tables(t testing.TB, db *sql.DB, rest string) (s State) {
	t.Helper()
	each(t, db, `SELECT id, coalesce(phone_e164, phone, ''), coalesce(name, ''), coalesce(status, ''), do_not_call FROM contacts ORDER BY id`, func(r *sql.Rows) error {
		var c Contact
		err := r.Scan(&c.ID, &c.Phone, &c.Name, &c.Status, &c.DoNotCall)
		s.Contacts = append(s.Contacts, c)
		return err
	})
	each(t, db, `SELECT id, contact_id, coalesce(disposition, ''), coalesce(summary, ''), `+rest+` FROM calls ORDER BY created_at, id`, func(r *sql.Rows) error {
		var c Call
		err := r.Scan(&c.ID, &c.Contact, &c.Disposition, &c.Summary, &c.Rest)
		s.Calls = append(s.Calls, c)
		return err
	})
	each(t, db, `SELECT call_id, text FROM notes ORDER BY id`, func(r *sql.Rows) error {
		var n Note
		err := r.Scan(&n.Call, &n.Text)
		s.Notes = append(s.Notes, n)
		return err
	})
	each(t, db, `SELECT call_id, title FROM tasks ORDER BY id`, func(r *sql.Rows) error {
		var k Task
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

// ChildOf is the environment variable that makes of a test binary the process that Kills kills. Its value is the caller's.
const (
	ChildOf   = "VINFER_SYNC_TEST_CHILD"
	childFrom = ChildOf + "_FROM"
)

// childWorkers write side by side in the child.
const childWorkers = 4

// Child is that process. It writes call after call, and prints the number of each once it is acknowledged, until it is killed.
// An error that asks for a repetition is repeated, as the engine does.
func Child(open func() (crm.Writer, error)) {
	w, err := open()
	if err != nil {
		panic(err)
	}
	var from int
	if _, err := fmt.Sscan(os.Getenv(childFrom), &from); err != nil {
		panic(err)
	}
	var out sync.Mutex
	for worker := range childWorkers {
		go func() {
			for n := from + worker; ; n += childWorkers {
				err := w.Write(context.Background(), ofChild(n), crm.NewProgress(nil, nil))
				for err != nil {
					if crm.VerdictOf(err) != crm.Retry {
						panic(err)
					}
					time.Sleep(5 * time.Millisecond)
					err = w.Write(context.Background(), ofChild(n), crm.NewProgress(nil, nil))
				}
				out.Lock()
				_, _ = fmt.Fprintln(os.Stdout, n)
				out.Unlock()
			}
		}()
	}
	select {}
}

// ofChild is call n: with a task; every tenth without a number, for nothing but the call's id tells its contact.
func ofChild(n int) crm.Entry {
	e := Full(n)
	if n%10 == 0 {
		e.Call.Contact = crm.Contact{}
	}
	return e
}

// Kills kills a process again and again while it writes to a destination, and counts what arrived: every acknowledged call once,
// with its contact and its task, and nothing twice. meanwhile, if not nil, is called once in each round while calls are written.
func Kills(t *testing.T, rounds int, child string, meanwhile func(), state func() State) {
	t.Helper()
	acknowledged := map[int]bool{}
	from := 0
	for range rounds {
		killOne(t, child, from, meanwhile, acknowledged)
		// As the engine does after a kill, the next process writes again what was in flight.
		for acknowledged[from] {
			from++
		}
	}
	got := state()
	calls, contacts, tasks := map[string]int{}, map[string]int{}, map[string]int{}
	for _, c := range got.Calls {
		calls[c.ID]++
	}
	for _, k := range got.Tasks {
		tasks[k.Call]++
	}
	anonymous := 0
	for _, c := range got.Contacts {
		if contacts[c.Phone]++; c.Phone == "" {
			anonymous++
		}
	}
	for n := range acknowledged {
		e := ofChild(n)
		if calls[e.Call.ID] != 1 || tasks[e.Call.ID] != 1 || e.Call.Contact.E164 != "" && contacts[e.Call.Contact.E164] != 1 {
			t.Errorf("acknowledged call %d is there %d times, its task %d times, its contact %d times", n, calls[e.Call.ID], tasks[e.Call.ID], contacts[e.Call.Contact.E164])
		}
	}
	for phone, times := range contacts {
		if phone != "" && times != 1 {
			t.Errorf("contact %s is there %d times", phone, times)
		}
	}
	if len(calls) != len(got.Calls) || len(tasks) != len(got.Tasks) || len(got.Tasks) != len(got.Calls) || len(got.Calls) != len(got.Contacts) {
		t.Errorf("%d calls of %d ids, %d tasks of %d calls, %d contacts, %d of them without a number", len(got.Calls), len(calls), len(got.Tasks), len(tasks), len(got.Contacts), anonymous)
	}
	if len(acknowledged) == 0 {
		t.Error("nothing was acknowledged")
	}
	t.Logf("%d calls acknowledged, %d there, in %d kills", len(acknowledged), len(got.Calls), rounds)
}

// killOne starts a child, kills it at some moment after its first acknowledgement and adds what it acknowledged.
func killOne(t *testing.T, child string, from int, meanwhile func(), acknowledged map[int]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ChildOf+"="+child, fmt.Sprintf("%s=%d", childFrom, from))
	var complaint strings.Builder
	cmd.Stderr = &complaint
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	for first := true; lines.Scan(); first = false {
		var n int
		// A kill may cut the last line: then nobody has heard the acknowledgement.
		if _, err := fmt.Sscan(lines.Text(), &n); err != nil {
			break
		}
		acknowledged[n] = true
		if first {
			if meanwhile != nil {
				meanwhile()
			}
			time.AfterFunc(time.Duration(rand.IntN(150_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait()
	if complaint.Len() > 0 {
		t.Fatalf("the child complains: %s", complaint.String())
	}
}
