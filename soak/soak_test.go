//go:build soak

package soak

import (
	"database/sql"
	"flag"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to look at what arrived

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

var length = flag.Duration("soak", time.Minute, "how long things go wrong")

// How much more than at the beginning is no leak. A daemon's memory swings with the collector, which lets the heap grow to three times what is in use,
// and with how much is in flight; idle connections come and go. Leaks have no bound: the longer it runs, the smaller ones are found.
const (
	memoryGrows, memoryMore = 1.25, 6 << 20
	moreDescriptors         = 8
	moreGoroutines          = 24 // two for each connection, and some
	// The state file grows by 4 MB at a time, and by what is kept of a call that has been delivered everywhere: its id in the ledger, its receipts.
	fileMore, fileEach = 8 << 20, 3 << 10
)

// course is what one run was like.
type course struct {
	idle    sample // before anything went wrong
	samples []sample
	late    int    // calls since the first quarter of them
	drained sample // when all was over
}

// quarter returns the medians of the nth quarter, from 0.
func (c *course) quarter(n int) sample {
	q := len(c.samples) / 4
	return middle(c.samples[n*q : (n+1)*q])
}

// leaks tells what has grown that should not have.
func (c *course) leaks() (found []string) {
	second, last := c.quarter(1), c.quarter(3)
	if float64(last.anon) > float64(second.anon)*memoryGrows+memoryMore {
		found = append(found, fmt.Sprintf("memory: %.1f MB in the second quarter, %.1f MB in the last", float64(second.anon)/1e6, float64(last.anon)/1e6))
	}
	if last.descriptors > second.descriptors+moreDescriptors || c.drained.descriptors > c.idle.descriptors+moreDescriptors {
		found = append(found, fmt.Sprintf("descriptors: %d at the start, %d in the second quarter, %d in the last, %d at the end",
			c.idle.descriptors, second.descriptors, last.descriptors, c.drained.descriptors))
	}
	if last.goroutines > second.goroutines+moreGoroutines || c.drained.goroutines > c.idle.goroutines+moreGoroutines {
		found = append(found, fmt.Sprintf("goroutines: %d at the start, %d in the second quarter, %d in the last, %d at the end",
			c.idle.goroutines, second.goroutines, last.goroutines, c.drained.goroutines))
	}
	if was := c.samples[len(c.samples)/4].file; c.drained.file > was+fileMore+int64(c.late)*fileEach {
		found = append(found, fmt.Sprintf("state file: %d bytes after the first quarter, %d at the end, %d calls later", was, c.drained.file, c.late))
	}
	return found
}

func TestSoak(t *testing.T) {
	t.Parallel()
	program := build(t, "")
	for _, dialect := range []simulator.Dialect{simulator.Guide, simulator.Reference} {
		t.Run(dialect.String(), func(t *testing.T) {
			t.Parallel()
			c := soak(t, program, dialect, *length)
			for _, leak := range c.leaks() {
				t.Error(leak)
			}
		})
	}
}

// planted leaks some of everything twice a second.
const planted = `package main

import ("os"; "time")

var planted []any

func init() {
	go func() {
		for range time.Tick(500 * time.Millisecond) {
			b := make([]byte, 512<<10)
			for i := range b { b[i] = byte(i) }
			f, _ := os.Open("/dev/null")
			planted = append(planted, b, f)
			go func() { select {} }()
		}
	}()
}
`

// Were the bounds so wide that they let everything through, or were nothing measured, this would show it.
func TestALeakIsFound(t *testing.T) {
	t.Parallel()
	c := soak(t, build(t, planted), simulator.Guide, time.Minute)
	found := strings.Join(c.leaks(), "\n")
	for _, what := range []string{"memory", "descriptors", "goroutines"} {
		if !strings.Contains(found, what) {
			t.Errorf("the leak of %s was not found; found was:\n%s", what, found)
		}
	}
}

// soak lets everything go wrong for so long, and fails if anything is lost or doubled.
func soak(t *testing.T, program string, dialect simulator.Dialect, length time.Duration) *course {
	t.Helper()
	seed := time.Now().UnixNano() // another at each run: it is to find what nobody has thought of
	t.Logf("seed %d", seed)
	w := newWorkspace(seed, dialect, length)
	r := newReceiver(uint64(seed), w.ended)
	s := httptest.NewUnstartedServer(r)
	s.Config.ErrorLog = nil
	s.Start()
	t.Cleanup(s.Close)
	audits := "* * * * *"
	if length > 10*time.Minute {
		audits = "*/5 * * * *"
	}
	d := start(t, program, w.sim.Start(t), s.URL, audits)
	c := &course{}
	d.arrive(w, r, time.Minute)
	c.idle = d.watch(5*time.Second, 250*time.Millisecond, nil)

	r.behave(false)
	over := make(chan struct{})
	until := time.Now().Add(length)
	go func() {
		defer close(over)
		w.live(until)
	}()
	reload := time.NewTicker(max(length/8, 5*time.Second))
	defer reload.Stop()
	early := 0
	d.watch(length, max(length/400, 250*time.Millisecond), func(x sample) {
		c.samples = append(c.samples, x)
		if time.Until(until) > length*3/4 {
			early = len(w.all())
		}
		select {
		case <-reload.C:
			d.reload()
		default:
		}
	})
	<-over
	before := d.status()
	r.behave(true)
	began := time.Now()
	d.arrive(w, r, 6*time.Minute)
	drained := time.Since(began)
	c.drained = d.watch(5*time.Second, 250*time.Millisecond, nil)
	c.late = len(w.all()) - early
	after := d.status()
	d.end()
	judge(t, d, w, r, before, after)
	report(t, c, w, r, before, after, drained)
	return c
}

// watch samples for so long, and returns the medians.
func (d *daemon) watch(length, every time.Duration, each func(sample)) sample {
	d.t.Helper()
	var all []sample
	tick := time.NewTicker(every)
	defer tick.Stop()
	for until := time.Now().Add(length); time.Now().Before(until); <-tick.C {
		s, err := d.sample()
		if err != nil {
			d.t.Fatalf("%v\nlog:\n%s", err, &d.log)
		}
		all = append(all, s)
		if each != nil {
			each(s)
		}
	}
	return middle(all)
}

// arrive waits until every call is everywhere as VInfer has it, and asks for it as an operator would.
func (d *daemon) arrive(w *workspace, r *receiver, patience time.Duration) {
	d.t.Helper()
	until := time.Now().Add(patience)
	for {
		missing := missing(w, r, filepath.Join(d.dir, "crm.db"))
		if len(missing) == 0 && d.socket() && d.status().Pending == 0 {
			return
		}
		if time.Now().After(until) {
			d.t.Fatalf("after %s %d things are missing: %.2000s\nlog:\n%s", patience, len(missing), strings.Join(missing, "\n"), &d.log)
		}
		if d.socket() {
			for _, args := range [][]string{{"resume", "events"}, {"resume", "base"}, {"audit"}} {
				_, _ = d.do(args...) // 1 if something had been missed, or runs already: what counts is what arrives
			}
		}
		time.Sleep(time.Second)
	}
}

// socket tells whether the daemon has begun to listen.
func (d *daemon) socket() bool {
	m, _ := filepath.Glob(filepath.Join(d.dir, "admin.sock"))
	return len(m) > 0
}

// same tells whether two dispositions say the same: the two descriptions of the API spell one differently.
func same(a, b string) bool {
	one := func(s string) string { return strings.Replace(s, "callback_requested", "callback", 1) }
	return one(a) == one(b)
}

// missing lists what VInfer has and a destination has not.
func missing(w *workspace, r *receiver, file string) (out []string) {
	have := map[string]string{}
	if err := query(file, "SELECT id, coalesce(raw_disposition, '') FROM calls", func(rows *sql.Rows) error {
		var id, disposition string
		err := rows.Scan(&id, &disposition)
		have[id] = disposition
		return err
	}); err != nil {
		return []string{err.Error()}
	}
	for _, c := range w.sim.Calls() {
		if c.VisibleFrom.IsZero() && c.End.After(time.Now()) {
			continue // it goes on
		}
		if x, ok := have[c.ID]; !ok || !same(x, c.Disposition) {
			out = append(out, fmt.Sprintf("base: %s, ended %s, there: %v, with %q instead of %q", c.ID, c.End.Format(time.RFC3339), ok, x, c.Disposition))
		}
		if x, ok := r.has(c.ID); !ok || !same(x, c.Disposition) {
			out = append(out, fmt.Sprintf("events: %s, ended %s, there: %v, with %q instead of %q", c.ID, c.End.Format(time.RFC3339), ok, x, c.Disposition))
		}
	}
	return out
}

func query(file, text string, each func(*sql.Rows) error) error {
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Query(text)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// judge fails if anything was doubled, given up or more than there is, or if nothing went wrong.
func judge(t *testing.T, d *daemon, w *workspace, r *receiver, before, after status) {
	t.Helper()
	_, done, wrong := r.account()
	for _, x := range wrong {
		t.Error("webhook: ", x)
	}
	for text, want := range map[string]int{
		"SELECT count(*) FROM calls":                                                 len(w.all()),
		"SELECT count(*) - count(DISTINCT phone_e164) FROM contacts":                 0,
		"SELECT count(*) - count(DISTINCT call_id) FROM notes":                       0,
		"SELECT count(*) - count(DISTINCT call_id) FROM tasks":                       0,
		"SELECT count(*) FROM notes n WHERE n.call_id NOT IN (SELECT id FROM calls)": 0,
	} {
		err := query(filepath.Join(d.dir, "crm.db"), text, func(rows *sql.Rows) error {
			var n int
			err := rows.Scan(&n)
			if n != want {
				t.Errorf("%s: %d, want %d", text, n, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if after.Dead != 0 {
		t.Errorf("%d dead letters", after.Dead)
	}
	if after.LateFound == 0 {
		t.Error("nothing was found late")
	}
	for _, what := range []string{refuses, ails, throttl, hangsUp, loses, dawdles} {
		if done[what] == 0 {
			t.Errorf("the receiver never did this: %s", what)
		}
	}
}

func report(t *testing.T, c *course, w *workspace, r *receiver, before, after status, drained time.Duration) {
	t.Helper()
	repeats, done, _ := r.account()
	faults := 0
	for _, q := range w.sim.Requests() {
		if q.Fault != "" || q.Status == 429 {
			faults++
		}
	}
	t.Logf("%d calls; %d requests to the API, of the last %d of them %d spoilt; the receiver: %v; %d deliveries repeated, the answers of all had been lost",
		len(w.all()), w.sim.Served(), len(w.sim.Requests()), faults, done, repeats)
	t.Logf("%d found late; when the faults ended %d deliveries waited, %s later none; %d transcripts are waited for", after.LateFound, before.Pending,
		drained.Round(time.Second), after.TranscriptsWaiting)
	t.Logf("idle before:    %s", c.idle)
	for n := range 4 {
		t.Logf("quarter %d:      %s", n+1, c.quarter(n))
	}
	t.Logf("when all was over: %s", c.drained)
}
