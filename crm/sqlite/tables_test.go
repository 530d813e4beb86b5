package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/sqlite"
)

func put(t testing.TB, w crm.Writer, entries ...crm.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := w.Write(context.Background(), e, crm.NewProgress(nil, nil)); err != nil {
			t.Fatalf("%s: %v", e.Key, err)
		}
	}
}

func begun(t testing.TB, entries ...crm.Entry) (path string, w *sqlite.Writer) {
	t.Helper()
	path = t.TempDir() + "/dir with ? # % ü/crm.db"
	if err := mkdir(path); err != nil {
		t.Fatal(err)
	}
	w = open(t, path)
	t.Cleanup(func() { _ = w.Close() })
	put(t, w, entries...)
	return path, w
}

func of(e crm.Entry, c crm.Contact) crm.Entry {
	e.Call.Contact = c
	return e
}

func expect(t testing.TB, path, query string, want any) {
	t.Helper()
	if got := value(t, path, query); got != fmt.Sprint(want) {
		t.Errorf("%s: got %s, want %v", query, got, want)
	}
}

func TestContactOfANumberAsSent(t *testing.T) {
	odd := crm.Contact{Phone: "ext. 4711", Name: "Odd"}
	path, w := begun(t, of(crmtest.Completed(1), odd), of(crmtest.Completed(2), odd))
	expect(t, path, "SELECT count(*) FROM contacts", 1)
	// The same text, once its international form is known, is the same person.
	odd.E164, odd.Name = "+914711000000", "Another"
	put(t, w, of(crmtest.Completed(3), odd))
	expect(t, path, "SELECT count(*) || phone_e164 || phone || name FROM contacts", "1+914711000000ext. 4711Odd")
	// And a call whose number can no longer be told is not a new one.
	odd.E164 = ""
	put(t, w, of(crmtest.Completed(4), odd))
	expect(t, path, "SELECT count(*) FROM contacts", 1)
}

func TestOtherSpellingsOfANumber(t *testing.T) {
	path, _ := begun(t,
		of(crmtest.Completed(1), crm.Contact{Phone: "098765 43210", E164: "+919876543210"}),
		of(crmtest.Completed(2), crm.Contact{Phone: "+91-98765-43210", E164: "+919876543210", Name: "Priya"}),
		of(crmtest.Completed(3), crm.Contact{Phone: "098765 43210", E164: "+19876543210"})) // another country's
	expect(t, path, "SELECT count(*) FROM contacts", 2)
	expect(t, path, "SELECT phone || name FROM contacts WHERE phone_e164 = '+919876543210'", "098765 43210Priya")
}

func TestNumberBecomesKnown(t *testing.T) {
	full := crmtest.Full(1)
	path, w := begun(t, of(full, crm.Contact{Name: "Nobody"}), of(crmtest.Completed(2), crm.Contact{}))
	expect(t, path, "SELECT count(*) FROM contacts", 2)
	put(t, w, of(full, crm.Contact{Phone: "+919876543210", E164: "+919876543210"}))
	expect(t, path, "SELECT count(*) FROM contacts", 2)
	expect(t, path, "SELECT name FROM contacts WHERE phone_e164 = '+919876543210'", "Nobody")
	// The second call's number has a contact already: its own goes.
	put(t, w, of(crmtest.Completed(2), crm.Contact{Phone: "+919876543210", E164: "+919876543210"}))
	expect(t, path, "SELECT count(*) FROM contacts", 1)
	expect(t, path, "SELECT count(*) FROM calls WHERE contact_id = (SELECT id FROM contacts)", 2)
	expect(t, path, "SELECT do_not_call FROM contacts", 1)
}

func TestStatusKeepsToTheNewest(t *testing.T) {
	first, second := crmtest.Completed(1), of(crmtest.Completed(2), crmtest.Completed(1).Call.Contact)
	first.Status, second.Status = "First", "Second"
	first.Call.EndedAt = first.Call.EndedAt.Add(500 * time.Millisecond)
	second.Call.EndedAt = first.Call.EndedAt.Add(time.Millisecond)
	path, w := begun(t, second, first) // although both have leave
	expect(t, path, "SELECT status FROM contacts", "Second")
	second.Status = "Third"
	put(t, w, second)
	expect(t, path, "SELECT status FROM contacts", "Third")
}

func TestStatusOfACallDatedAhead(t *testing.T) {
	ahead, next := crmtest.Completed(1), of(crmtest.Completed(2), crmtest.Completed(1).Call.Contact)
	ahead.Status, next.Status = "Ahead", "Next"
	ahead.Call.EndedAt = time.Now().AddDate(5, 0, 0)
	next.Call.EndedAt = time.Now().Add(time.Hour)
	path, _ := begun(t, ahead, next)
	expect(t, path, "SELECT status FROM contacts", "Next")
}

func TestLostStateSetsNoStatus(t *testing.T) {
	path, w := begun(t, crmtest.Completed(1))
	if _, err := shell(t, path).Exec("UPDATE contacts SET status = 'Old status'"); err != nil {
		t.Fatal(err)
	}
	again := crmtest.Completed(1)
	again.Call.Summary = "It is told in other words by now."
	put(t, w, crmtest.Completed(1), again)
	expect(t, path, "SELECT status FROM contacts", "Old status")
	put(t, w, crmtest.Revised(crmtest.Completed(1), "not_interested", "Cold"))
	expect(t, path, "SELECT status FROM contacts", "Cold")
}

func TestTask(t *testing.T) {
	e := crmtest.Full(1)
	path, w := begun(t, e)
	later := e
	later.Call.CallbackAt = e.Call.CallbackAt.Add(time.Hour)
	later.Task = &crm.Task{Title: "another", Due: later.Call.CallbackAt}
	put(t, w, later)
	expect(t, path, "SELECT count(*) || title || due_at FROM tasks", "1Call back Priya Sharma 12024-01-15T13:36:22.000Z")
	if _, err := shell(t, path).Exec("UPDATE tasks SET due_at = '2024-02-01T00:00:00.000Z', title = 'mine'"); err != nil {
		t.Fatal(err)
	}
	put(t, w, e)
	expect(t, path, "SELECT title || due_at FROM tasks", "mine2024-02-01T00:00:00.000Z")
	if _, err := shell(t, path).Exec("UPDATE tasks SET done = 1"); err != nil {
		t.Fatal(err)
	}
	put(t, w, later)
	expect(t, path, "SELECT count(*) || done FROM tasks", "11")
}

func TestNoActivity(t *testing.T) {
	e := crmtest.Full(1)
	e.NoActivity = true
	path, _ := begun(t, e)
	expect(t, path, "SELECT count(*) FROM calls WHERE coalesce(campaign, disposition, ended_at, summary, lead_status) IS NULL", 1)
	expect(t, path, "SELECT count(*) FROM tasks", 1)
	expect(t, path, "SELECT status FROM contacts", "Hot Lead")
}

func TestTranscriptWithoutItsCall(t *testing.T) {
	path, w := begun(t, crmtest.Transcribed(1))
	expect(t, path, "SELECT count(*) FROM notes JOIN calls ON calls.id = call_id JOIN contacts ON contacts.id = contact_id", 1)
	empty := crmtest.Transcribed(1)
	empty.Transcript = &crm.Transcript{}
	put(t, w, empty)
	expect(t, path, "SELECT json_extract(segments, '$[1].start') || language || length(text) > 10 FROM notes", 1)
}

func TestViews(t *testing.T) {
	other := crmtest.Completed(2)
	zero := 0.0
	other.Call.Duration, other.Call.Status = &zero, "failed"
	path, _ := begun(t, crmtest.Full(1), other, crmtest.Transcribed(1))
	expect(t, path, "SELECT sum(calls) || ' ' || sum(connected) || ' ' || max(day_utc) || ' ' || max(average_seconds) FROM outcomes_by_campaign_day", "2 1 2024-01-15 145.0")
	expect(t, path, "SELECT hour_utc || calls || connected || failed FROM calls_by_hour", "2024-01-15T10:00Z211")
	expect(t, path, "SELECT name || phone || due_at || do_not_call FROM open_callbacks", "Priya Sharma 1+9198765000012024-01-15T12:36:22.000Z1")
	expect(t, path, "SELECT group_concat(kind, ' ') FROM (SELECT kind FROM contact_timeline WHERE phone = '+919876500001' ORDER BY kind)", "call task transcript")
	expect(t, path, "SELECT call_id || calls FROM latest_calls WHERE name = 'Priya Sharma 2'", "cal_test000021")
	expect(t, path, "SELECT count(*) FROM pragma_foreign_key_check", 0)
}

// An entry that the tables refuse harms none of those that share its transaction, and leaves nothing of itself.
func TestRefusedEntry(t *testing.T) {
	path, w := begun(t, crmtest.Completed(0))
	if _, err := shell(t, path).Exec(`CREATE TRIGGER no BEFORE INSERT ON tasks BEGIN SELECT raise(ABORT, 'not for +919876500007'); END`); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 40)
	for n := range cap(errs) {
		go func() {
			e := crmtest.Completed(n + 1)
			if n%8 == 0 {
				e = crmtest.Full(n + 1)
			}
			err := w.Write(context.Background(), e, crm.NewProgress(nil, nil))
			if refused := crm.VerdictOf(err) == crm.Reject; refused != (n%8 == 0) {
				errs <- fmt.Errorf("call %d: %w", n, errors.Join(err, errors.New("unexpected")))
				return
			}
			if err != nil && (strings.Contains(err.Error(), "9876500007") || crm.Request(err) == "") {
				errs <- err
				return
			}
			errs <- nil
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	expect(t, path, "SELECT count(*) FROM calls", 36)
	expect(t, path, "SELECT count(*) FROM contacts", 36)
}
