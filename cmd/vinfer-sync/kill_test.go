package main

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

const workers = 4

// onTheirWay is how many deliveries at most, for each worker, a kill may repeat at a destination that has no key.
const onTheirWay = 4

const threeDestinations = `
vinfer: {base_url: "${API}", api_key: any}
schedule: "@every 1s"
start: %START%
store: {bbolt: {path: state.db}}
admin: {socket: admin.sock, listen: ""}
crm:
  - {name: crm, workers: 4, sqlite: {path: crm.db}}
  - {name: events, workers: 4, webhook: {url: "${HOOK}", secret: s3cret}}
  - {name: file, workers: 4, jsonl: {path: calls.jsonl}}
`

// busy is a workspace with many calls for each contact, and destinations of every kind.
func busy(t *testing.T, start string) *world {
	t.Helper()
	w := newWorld(t, simulator.Options{Seed: 3, Calls: 400, Contacts: 40, Span: 24 * time.Hour, LimitPerMinute: -1})
	w.hook.delay = 5 * time.Millisecond
	w.write("config.yaml", strings.ReplaceAll(threeDestinations, "%START%", start))
	return w
}

// ledger compares what arrived with what there was. Up to doubles deliveries may have been repeated at each destination
// that cannot tell.
func (w *world) ledger(doubles int) {
	w.t.Helper()
	ends, phones := map[string]time.Time{}, map[string]bool{}
	for _, c := range w.sim.Calls() {
		ends[c.ID], phones[c.Phone] = c.End, true
	}

	seen, newest := map[[2]string]int{}, map[string]string{}
	repeated := 0
	for _, a := range w.hook.arrivals() {
		key := [2]string{a.Event, a.CallID}
		seen[key]++
		// An escalation goes with the completion it belongs to: one delivery, two requests.
		if seen[key] > 1 && a.Event != "call.escalated" {
			repeated++
		}
		if a.Event != "call.completed" || seen[key] > 1 || a.header.Get("X-VInfer-Sync-Late") != "" {
			continue
		}
		if last := newest[a.Contact.Phone]; last != "" && ends[a.CallID].Before(ends[last]) {
			w.t.Errorf("webhook: %s arrived after %s of the same contact, which is newer", a.CallID, last)
		}
		newest[a.Contact.Phone] = a.CallID
	}
	if repeated > doubles {
		w.t.Errorf("webhook: %d deliveries were repeated, at most %d may be", repeated, doubles)
	}
	for id := range ends {
		if seen[[2]string{"call.completed", id}] == 0 {
			w.t.Errorf("webhook: %s is lost", id)
		}
	}

	lines, keys, repeated := map[string]bool{}, map[string]bool{}, 0
	for _, l := range w.lines("calls.jsonl") {
		var e struct{ Event, Key, CallID string }
		if err := json.Unmarshal([]byte(strings.Replace(l, `"call_id"`, `"CallID"`, 1)), &e); err != nil {
			w.t.Errorf("jsonl: %v in %.80q", err, l)
			continue
		}
		if e.Event == "call.completed" {
			lines[e.CallID] = true
		}
		if keys[e.Key] {
			repeated++
		}
		keys[e.Key] = true
	}
	if repeated > doubles {
		w.t.Errorf("jsonl: %d lines were repeated, at most %d may be", repeated, doubles)
	}
	for id := range ends {
		if !lines[id] {
			w.t.Errorf("jsonl: %s is lost", id)
		}
	}

	if got := w.count("SELECT count(*) FROM calls"); got != len(ends) {
		w.t.Errorf("sqlite: %d calls, want %d", got, len(ends))
	}
	if got := w.count("SELECT count(*) FROM contacts"); got != len(phones) {
		w.t.Errorf("sqlite: %d contacts, want %d", got, len(phones))
	}
	if got := w.count("SELECT count(*) - count(DISTINCT call_id) FROM notes"); got != 0 {
		w.t.Errorf("sqlite: %d notes are there twice", got)
	}
	if got := w.count("SELECT count(*) - count(DISTINCT call_id) FROM tasks"); got != 0 {
		w.t.Errorf("sqlite: %d tasks are there twice", got)
	}
	if out := w.must(exitFine, "dead", "list").stdout; !strings.Contains(out, "no dead letters") {
		w.t.Errorf("dead letters:\n%s", out)
	}
}

func (w *world) lines(name string) (out []string) {
	w.t.Helper()
	f, err := os.Open(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		out = append(out, s.Text())
	}
	if err := s.Err(); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) count(query string) (n int) {
	w.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.dir, "crm.db"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(w.t.Context(), query).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func TestKilledAtAnyTimeNothingIsLost(t *testing.T) {
	for n, kills := range map[int]int{1: 6, workers: 25, 8: 6, 64: 6} {
		t.Run(strconv.Itoa(n)+" workers", func(t *testing.T) {
			t.Parallel()
			killedAtAnyTime(t, n, kills)
		})
	}
}

// killedAtAnyTime kills the daemon with so many workers, and counts what arrives all the same.
func killedAtAnyTime(t *testing.T, workers, kills int) {
	w := busy(t, "-48h")
	w.write("config.yaml", strings.ReplaceAll(strings.ReplaceAll(threeDestinations, "%START%", "-48h"), "workers: 4", "workers: "+strconv.Itoa(workers)))
	for round := range kills {
		w.killed(30*time.Millisecond, 400*time.Millisecond, "run")
		// Calls go on arriving, so that kills fall into later polls too.
		for i := range 4 {
			w.sim.Add(simulator.Call{
				ID: "call_live_" + strconv.Itoa(round*4+i), Phone: "+9198765000" + strconv.Itoa(10+i),
				Disposition: "interested", Duration: time.Minute, End: time.Now(),
			})
		}
	}
	w.must(exitFine, "once")
	w.ledger(onTheirWay * workers * kills)
}

func TestAKilledBackfillGoesOn(t *testing.T) {
	t.Parallel()
	const kills = 10
	w := busy(t, "now")
	w.must(exitFine, "once")
	if n := len(w.hook.arrivals()); n != 0 {
		t.Fatalf("%d calls from before the first cursor were delivered", n)
	}
	cursor := w.must(exitFine, "cursor", "show").stdout
	w.hook.delays(20 * time.Millisecond)
	some := w.hook.after(1)
	var first string
	for n := range kills {
		w.killedOnce(func() {
			if n < kills-1 {
				time.Sleep(100*time.Millisecond + rand.N(300*time.Millisecond))
				return
			}
			select { // the last one comes when something was delivered, however slow the machine is
			case <-some:
			case <-time.After(time.Minute):
				t.Error("nothing was delivered in a minute")
			}
		}, "backfill", "--since", "-30h")
		list := w.must(exitFine, "backfill", "list").stdout
		if first == "" {
			first = rangeOf(list)
		}
		if rangeOf(list) != first || strings.Count(list, "\n") > 2 || strings.Contains(list, "done") {
			t.Fatalf("after kill %d, the first range was %s:\n%s", n+1, first, list)
		}
	}
	w.hook.delays(0)
	last := w.must(exitFine, "backfill", "--since", "-30h")
	if !strings.Contains(last.stderr, "backfill 1: going on with") {
		t.Errorf("it did not go on:\n%s", last.stderr)
	}
	if list := w.must(exitFine, "backfill", "list").stdout; rangeOf(list) != first || !strings.Contains(list, "done") {
		t.Errorf("the first range was %s:\n%s", first, list)
	}
	w.ledger(onTheirWay * workers * kills)
	if now := w.must(exitFine, "cursor", "show").stdout; now != cursor {
		t.Errorf("the backfill moved the cursor from %s to %s", cursor, now)
	}
}

// rangeOf returns the range of the only backfill in a list; empty: there is none yet.
func rangeOf(list string) string {
	return regexp.MustCompile(`\S+Z to \S+Z`).FindString(list)
}

func TestAStopInTheMiddleDoublesNothing(t *testing.T) {
	t.Parallel()
	w := busy(t, "-48h")
	for range 3 {
		some := w.hook.after(40)
		stop := w.daemon()
		<-some
		if code, log := stop(); code != exitFine || strings.Contains(log, "level=ERROR") {
			t.Fatalf("exit code %d\n%s", code, log)
		}
	}
	w.must(exitFine, "once")
	w.ledger(0)
}

func TestCommandsBesideTheDaemon(t *testing.T) {
	t.Parallel()
	w := busy(t, "now")
	stop := w.daemon()
	second := w.must(exitLocked, "run")
	if !strings.Contains(second.stderr, "state.db") {
		t.Errorf("the second daemon does not name the file: %s", second.stderr)
	}
	w.must(exitFine, "once", "--json")
	w.must(exitFine, "status", "--json")
	cursor := strings.TrimSpace(w.must(exitFine, "cursor", "show").stdout)
	if _, err := time.Parse(time.RFC3339, cursor); err != nil {
		t.Error(err)
	}
	w.must(exitFine, "cursor", "set", cursor)
	w.must(exitFine, "resume", "crm")
	w.must(exitUsage, "resume", "nobody")
	w.must(exitFine, "dead", "list")
	w.must(exitFine, "backfill", "--since", "-30h", "--dry-run")
	w.must(exitFine, "backfill", "--since", "-30h")
	w.must(exitFine, "calls", "list")
	w.must(exitFine, "audit", "--json")
	if list := w.must(exitFine, "backfill", "list").stdout; !strings.Contains(list, "done") {
		t.Errorf("backfills:\n%s", list)
	}
	if code, log := stop(); code != exitFine {
		t.Errorf("exit code %d\n%s", code, log)
	}
	w.ledger(0)
}

// A command beside the daemon has to exit as it would alone.
func TestOnceBesideTheDaemonTellsOfRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{LimitPerMinute: -1})
	w.write("config.yaml", strings.ReplaceAll(strings.Replace(threeDestinations, "@every 1s", "@every 1h", 1), "%START%", "-48h"))
	stop := w.daemon()
	w.must(exitFine, "once")
	w.hook.answers(422, "no")
	w.sim.Add(simulator.Call{ID: "call_refused", Phone: "+919876500001", Disposition: "interested", Duration: time.Minute, End: time.Now().Add(-time.Minute)})
	w.must(exitLeft, "once")
	w.must(exitFine, "once")
	if code, log := stop(); code != exitFine {
		t.Errorf("exit code %d\n%s", code, log)
	}
}

// Beside the daemon as well: the command that waits for the backfill is told, and nothing of it is delivered any more.
func TestABackfillIsCancelledBesideTheDaemon(t *testing.T) {
	t.Parallel()
	w := busy(t, "now")
	stop := w.daemon()
	some := w.hook.after(20)
	ended := make(chan result)
	go func() { ended <- w.run("backfill", "--since", "-30h", "--rate", "1200") }()
	<-some
	out := w.must(exitFine, "backfill", "cancel", "1").stdout
	if r := <-ended; r.code != exitLeft || !strings.Contains(r.stderr, "cancelled") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	if !regexp.MustCompile(`cancelled: [0-9,]+ undelivered jobs`).MatchString(out) {
		t.Error(out)
	}
	n := len(w.hook.arrivals())
	w.must(exitFine, "once")
	// What was on its way may have arrived after the count, an escalated call's in two requests.
	if more := len(w.hook.arrivals()) - n; more > 2*onTheirWay*workers || n >= 400 {
		t.Errorf("%d arrived, %d more after the backfill was cancelled", n, more)
	}
	w.must(exitFine, "backfill", "--since", "-30h")
	if code, log := stop(); code != exitFine {
		t.Errorf("exit code %d\n%s", code, log)
	}
	w.ledger(onTheirWay * workers)
}
