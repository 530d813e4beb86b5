package crmtest

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Database is a database server's writer and a way around it.
type Database struct {
	Open func(t *testing.T) crm.Writer // as a new process would
	DB   *sql.DB                       // of somebody who may do everything
	Time string                        // an SQL expression of due_at as 2024-01-15T13:36:22
}

// RunTables holds the writer to a database server to what schema.sql says of the tables. fresh returns an empty database.
func RunTables(t *testing.T, fresh func(t *testing.T) Database) {
	for name, test := range map[string]func(*testing.T, *rules){
		"a number as sent":                 numberAsSent,
		"other spellings of a number":      otherSpellings,
		"a word instead of a number":       wordsForNumbers,
		"a number becomes known":           numberBecomesKnown,
		"the status is the newest":         statusIsNewest,
		"the status of a call dated ahead": statusDatedAhead,
		"a lost state sets no status":      statusOnce,
		"a task is made once":              taskOnce,
		"without activity":                 noActivity,
		"a transcript without its call":    transcriptAlone,
		"do not call outlives a contact":   wishOutlivesContact,
		"views":                            views,
		"keys tell letters apart":          keysTellLetters,
		"many starters":                    manyStarters,
		"the same calls from many":         sameCallsFromMany,
		"tables of another program":        foreignTables,
		"tables of a newer program":        newerTables,
		"changed tables":                   changedTables,
		"provision":                        provision,
		"check of tables that are there":   checkTables,
	} {
		t.Run(name, func(t *testing.T) {
			d := fresh(t)
			r := &rules{T: t, Database: d}
			r.w = r.open()
			test(t, r)
		})
	}
}

type rules struct {
	*testing.T
	Database
	w crm.Writer
}

// open returns another writer, as of another process.
func (r *rules) open() crm.Writer {
	r.Helper()
	w := r.Open(r.T)
	r.Cleanup(func() { _ = w.(interface{ Close() error }).Close() })
	return w
}

func (r *rules) put(entries ...crm.Entry) {
	r.Helper()
	for _, e := range entries {
		if err := r.w.Write(context.Background(), e, crm.NewProgress(nil, nil)); err != nil {
			r.Fatalf("%s: %v", e.Key, err)
		}
	}
}

func (r *rules) exec(query string) {
	r.Helper()
	if _, err := r.DB.Exec(query); err != nil {
		r.Fatalf("%s: %v", query, err)
	}
}

// expect compares the one row of a query, as text, with want.
func (r *rules) expect(query string, want ...any) {
	r.Helper()
	got := make([]any, len(want))
	for i := range got {
		got[i] = &got[i]
	}
	if err := r.DB.QueryRow(query).Scan(got...); err != nil {
		r.Fatalf("%s: %v", query, err)
	}
	for i, v := range got {
		if b, ok := v.([]byte); ok {
			got[i] = string(b)
		}
	}
	if fmt.Sprintf("%v", got) != fmt.Sprintf("%v", want) {
		r.Errorf("%s: got %v, want %v", query, got, want)
	}
}

func of(e crm.Entry, c crm.Contact) crm.Entry {
	e.Call.Contact = c
	return e
}

func numberAsSent(_ *testing.T, r *rules) {
	odd := crm.Contact{Phone: "ext. 4711", Name: "Odd"}
	r.put(of(Completed(1), odd), of(Completed(2), odd))
	r.expect("SELECT count(*) FROM contacts", 1)
	// The same text, once its international form is known, is the same person.
	odd.E164, odd.Name = "+914711000000", "Another"
	r.put(of(Completed(3), odd))
	r.expect("SELECT phone_e164, phone, name FROM contacts", "+914711000000", "ext. 4711", "Odd")
	// And a call whose number can no longer be told is not a new one.
	odd.E164 = ""
	r.put(of(Completed(4), odd))
	r.expect("SELECT count(*) FROM contacts", 1)
}

func otherSpellings(_ *testing.T, r *rules) {
	r.put(of(Completed(1), crm.Contact{Phone: "098765 43210", E164: "+919876543210"}),
		of(Completed(2), crm.Contact{Phone: "+91-98765-43210", E164: "+919876543210", Name: "Priya"}),
		of(Completed(3), crm.Contact{Phone: "098765 43210", E164: "+19876543210"})) // another country's
	r.expect("SELECT count(*) FROM contacts", 2)
	r.expect("SELECT phone, name FROM contacts WHERE phone_e164 = '+919876543210'", "098765 43210", "Priya")
}

func numberBecomesKnown(_ *testing.T, r *rules) {
	full, known := Full(1), crm.Contact{Phone: "+919876543210", E164: "+919876543210"}
	second := of(Completed(2), crm.Contact{})
	second.DoNotCall, second.Status = true, "Cold"
	r.put(of(full, crm.Contact{Name: "Nobody"}), second)
	r.expect("SELECT count(*) FROM contacts", 2)
	full.SetStatus, full.DoNotCall = false, false
	r.put(of(full, known))
	r.expect("SELECT count(*) FROM contacts", 2)
	r.expect("SELECT name FROM contacts WHERE phone_e164 = '+919876543210'", "Nobody")
	r.exec("UPDATE contacts SET status = NULL, status_at = NULL WHERE phone_e164 IS NOT NULL")
	// The second call's number has a contact already: its own goes, and what it told stays.
	second.SetStatus, second.DoNotCall = false, false
	r.put(of(second, known))
	r.expect("SELECT count(*), min(name), min(status) FROM contacts", 1, "Nobody", "Cold")
	r.expect("SELECT count(*) FROM contacts WHERE do_not_call AND status_at IS NOT NULL", 1)
	r.expect("SELECT count(*) FROM calls WHERE contact_id = (SELECT id FROM contacts)", 2)
}

func statusIsNewest(_ *testing.T, r *rules) {
	first, second := Completed(1), of(Completed(2), Completed(1).Call.Contact)
	first.Status, second.Status = "First", "Second"
	first.Call.EndedAt = first.Call.EndedAt.Add(500 * time.Millisecond)
	second.Call.EndedAt = first.Call.EndedAt.Add(time.Millisecond)
	r.put(second, first) // although both have leave
	r.expect("SELECT status FROM contacts", "Second")
	second.Status = "Third"
	r.put(second)
	r.expect("SELECT status FROM contacts", "Third")
}

func statusDatedAhead(_ *testing.T, r *rules) {
	ahead, next := Completed(1), of(Completed(2), Completed(1).Call.Contact)
	ahead.Status, next.Status = "Ahead", "Next"
	ahead.Call.EndedAt = time.Now().AddDate(5, 0, 0)
	next.Call.EndedAt = time.Now().Add(time.Hour)
	r.put(ahead, next)
	r.expect("SELECT status FROM contacts", "Next")
}

func statusOnce(_ *testing.T, r *rules) {
	r.put(Completed(1))
	r.exec("UPDATE contacts SET status = 'Old status'")
	again := Completed(1)
	again.Call.Summary = "It is told in other words by now."
	r.w = r.open()
	r.put(Completed(1), again)
	r.expect("SELECT status FROM contacts", "Old status")
	r.put(Revised(Completed(1), "not_interested", "Cold"))
	r.expect("SELECT status FROM contacts", "Cold")
}

func taskOnce(_ *testing.T, r *rules) {
	e := Full(1)
	r.put(e)
	later := e
	later.Call.CallbackAt = e.Call.CallbackAt.Add(time.Hour)
	later.Task = &crm.Task{Title: "another", Due: later.Call.CallbackAt}
	r.put(later)
	r.expect("SELECT title, "+r.Time+" FROM tasks", "Call back Priya Sharma 1", "2024-01-15T13:36:22")
	r.exec("UPDATE tasks SET due_at = '2024-02-01 00:00:00', title = 'mine'")
	r.put(e)
	r.expect("SELECT title, count(*) FROM tasks WHERE due_at > '2024-01-31' GROUP BY title", "mine", 1)
	r.exec("UPDATE tasks SET done = true")
	r.put(later)
	r.expect("SELECT count(*) FROM tasks WHERE done", 1)
}

func noActivity(_ *testing.T, r *rules) {
	e := Full(1)
	e.NoActivity = true
	r.put(e)
	r.expect("SELECT count(*) FROM calls WHERE coalesce(campaign, disposition, summary, lead_status) IS NULL AND ended_at IS NULL", 1)
	r.expect("SELECT count(*) FROM tasks", 1)
	r.expect("SELECT status FROM contacts", "Hot Lead")
}

func transcriptAlone(_ *testing.T, r *rules) {
	r.put(Transcribed(1))
	r.expect("SELECT count(*) FROM notes JOIN calls ON calls.id = call_id JOIN contacts ON contacts.id = contact_id", 1)
	empty := Transcribed(1)
	empty.Transcript = &crm.Transcript{}
	r.put(empty)
	r.expect("SELECT count(*) FROM notes WHERE language = 'hi-IN' AND segments IS NOT NULL AND text IS NOT NULL", 1)
}

func wishOutlivesContact(t *testing.T, r *rules) {
	refs := write(t, r.w, Full(1), nil)
	for n := range 2 { // the second has it from the first, which made the contact
		for _, table := range []string{"notes", "tasks", "calls", "contacts"} {
			r.exec("DELETE FROM " + table)
		}
		next := Completed(2 + n)
		next.Call.Contact, next.Before = Full(1).Call.Contact, refs
		refs = write(t, r.w, next, nil)
		r.expect("SELECT count(*) FROM contacts WHERE do_not_call", 1)
	}
	r.exec("UPDATE contacts SET do_not_call = false") // a contact that is there is left as people have it
	last := Completed(5)
	last.Call.Contact, last.Before = Full(1).Call.Contact, refs
	write(t, r.w, last, nil)
	r.expect("SELECT count(*) FROM contacts WHERE do_not_call", 0)
}

func views(_ *testing.T, r *rules) {
	other, again := Completed(2), of(Completed(3), Completed(2).Call.Contact)
	zero := 0.0
	other.Call.Duration, other.Call.Status = &zero, "failed"
	r.put(Full(1), other, again, Transcribed(1))
	r.expect("SELECT sum(calls), sum(connected), count(*), max(average_seconds) FROM outcomes_by_campaign_day WHERE day_utc = '2024-01-15'", 3, 2, 2, "145.0")
	r.expect("SELECT calls, connected, failed FROM calls_by_hour WHERE hour_utc = '2024-01-15 10:00:00'", 3, 2, 1)
	r.expect("SELECT name, phone, call_id FROM open_callbacks WHERE do_not_call", "Priya Sharma 1", "+919876500001", "cal_test00001")
	r.expect("SELECT count(*), min(kind), max(kind) FROM contact_timeline WHERE phone = '+919876500001'", 3, "call", "transcript")
	r.expect("SELECT call_id, calls FROM latest_calls WHERE name = 'Priya Sharma 2'", "cal_test00003", 2)
	r.expect("SELECT count(*) FROM latest_calls", 2)
}

func keysTellLetters(_ *testing.T, r *rules) {
	upper, lower := Completed(1), Completed(2)
	upper.Call.ID, lower.Call.ID = "cal_ABC", "cal_abc"
	upper.Call.Contact = crm.Contact{Phone: "Büro"}
	lower.Call.Contact = crm.Contact{Phone: "buro"}
	r.put(upper, lower)
	r.expect("SELECT count(*) FROM calls", 2)
	r.expect("SELECT count(*) FROM contacts", 2)
}

// manyStarters has many processes make the tables at the same moment.
func manyStarters(t *testing.T, r *rules) {
	var group sync.WaitGroup
	for n := range 8 {
		w := r.open()
		group.Go(func() {
			if err := w.Write(context.Background(), Completed(n), crm.NewProgress(nil, nil)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	r.expect("SELECT count(*) FROM calls", 8)
	r.expect("SELECT version FROM vinfer_sync_version", 1)
}

// sameCallsFromMany has many processes write the same calls, some of them without a number.
func sameCallsFromMany(t *testing.T, r *rules) {
	r.put(Completed(0))
	var group sync.WaitGroup
	for range 4 {
		w := r.open()
		group.Go(func() {
			for n := range 40 {
				e := ofChild(n)
				for tries := 1; ; tries++ {
					err := w.Write(context.Background(), e, crm.NewProgress(nil, nil))
					if err == nil {
						break
					}
					if crm.VerdictOf(err) != crm.Retry || tries == 20 {
						t.Errorf("%s: %v", crm.VerdictOf(err), err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	r.expect("SELECT count(*), count(DISTINCT contact_id) FROM calls", 40, 40)
	r.expect("SELECT (SELECT count(*) FROM contacts), (SELECT count(*) FROM tasks)", 40, 40)
}

func (r *rules) refuses(want crm.Verdict) string {
	r.Helper()
	err := r.open().Write(context.Background(), Full(2), crm.NewProgress(nil, nil))
	if crm.VerdictOf(err) != want {
		r.Errorf("%s: %v, want %s", crm.VerdictOf(err), err, want)
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

func foreignTables(_ *testing.T, r *rules) {
	r.exec("CREATE TABLE contacts (a integer)")
	r.refuses(crm.Halt)
	r.expect("SELECT count(*) FROM contacts", 0)
	if found := faults(r.w); len(found) == 0 {
		r.Error("check finds nothing")
	}
}

func newerTables(_ *testing.T, r *rules) {
	r.put(Completed(1))
	r.exec("UPDATE vinfer_sync_version SET version = 99")
	text := r.refuses(crm.Halt)
	if found := faults(r.w); len(found) == 0 {
		r.Errorf("check finds nothing, write: %s", text)
	}
	r.expect("SELECT count(*) FROM calls", 1)
}

func changedTables(_ *testing.T, r *rules) {
	r.put(Completed(1))
	r.exec("DROP VIEW open_callbacks")
	r.exec("DROP VIEW contact_timeline")
	r.exec("ALTER TABLE tasks RENAME TO chores")
	r.refuses(crm.Halt)
	if found := faults(r.w); len(found) == 0 {
		r.Error("check finds nothing")
	}
	r.exec("ALTER TABLE chores RENAME TO tasks")
	r.put(Full(2))
}

func faults(w crm.Writer) (texts []string) {
	for _, f := range w.(crm.Checker).Check(context.Background(), nil) {
		if f.Err != nil {
			texts = append(texts, f.Subject+": "+f.Err.Error())
		}
	}
	return texts
}

func provision(t *testing.T, r *rules) {
	p := r.w.(crm.Provisioner)
	changes, err := p.Provision(t.Context(), true)
	if err != nil || len(changes) != 1 || changes[0].Done {
		t.Errorf("%+v, %v", changes, err)
	}
	if again, err := p.Provision(t.Context(), true); err != nil || len(again) != 1 {
		t.Errorf("the dry run made something: %+v, %v", again, err)
	}
	if changes, err := p.Provision(t.Context(), false); err != nil || len(changes) != 1 || !changes[0].Done {
		t.Errorf("%+v, %v", changes, err)
	}
	if changes, err := p.Provision(t.Context(), false); err != nil || len(changes) != 0 {
		t.Errorf("%+v, %v", changes, err)
	}
}

func checkTables(_ *testing.T, r *rules) {
	if found := faults(r.w); len(found) > 0 {
		r.Errorf("before: %q", found)
	}
	r.put(Completed(1))
	if found := faults(r.w); len(found) > 0 {
		r.Errorf("after: %q", found)
	}
	found := r.w.(crm.Checker).Check(context.Background(), nil)
	if last := found[len(found)-1]; last.Subject != "rights" {
		r.Errorf("%+v", found)
	}
	r.expect("SELECT count(*) FROM calls", 1)
	r.expect("SELECT count(*) FROM contacts", 1)
}
