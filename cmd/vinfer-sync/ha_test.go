//go:build external

package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/dbtest"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

const sharedPipeline = `
vinfer: {base_url: "${API}", api_key: any}
schedule: "@every 1s"
start: -24h
store: {postgres: {dsn_file: dsn}}
admin: {socket: admin.sock, listen: ""}
crm:
  - {name: events, workers: 4, webhook: {url: "${HOOK}", secret: s3cret}}
`

// pollers notes which node asks VInfer, and counts how often another one asks than before, and how often two ask at once.
type pollers struct {
	api http.Handler

	mu              sync.Mutex
	asking          map[int]int
	last            int
	turns, together int
}

// of returns the API as a node reaches it.
func (p *pollers) of(t *testing.T, node int) (url string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asking[node]++
		if len(p.asking) > 1 {
			p.together++
		}
		if p.last != node {
			p.last = node
			p.turns++
		}
		p.mu.Unlock()
		defer func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.asking[node]--; p.asking[node] == 0 {
				delete(p.asking, node)
			}
		}()
		p.api.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v1"
}

var kills = flag.Int("kills", 2, "how often TestThreeNodesLoseNothing kills the leader")

// member is one of the nodes that share a pipeline: a process in a directory of its own.
type member struct {
	*world
	leads chan<- *member
	led   atomic.Int32 // how often
	c     *exec.Cmd
	ended chan struct{}

	mu  sync.Mutex
	log strings.Builder
}

func (m *member) start() {
	m.t.Helper()
	m.c, m.ended = m.command("run"), make(chan struct{})
	stderr, err := m.c.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.c.Start(); err != nil {
		m.t.Fatal(err)
	}
	ended := m.ended
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			m.mu.Lock()
			m.log.WriteString(lines.Text() + "\n")
			m.mu.Unlock()
			if strings.Contains(lines.Text(), "msg=started") {
				m.led.Add(1)
				m.leads <- m
			}
		}
	}()
}

func (m *member) signal(s syscall.Signal) {
	m.t.Helper()
	if err := m.c.Process.Signal(s); err != nil {
		m.t.Error(err)
	}
}

func (m *member) wait() {
	<-m.ended
	_ = m.c.Wait()
}

// Three nodes share a pipeline. The leader is killed, stopped for longer than its lease, cut off from the database; the server is killed. Nothing is
// lost, and only what the leader had under way is repeated.
func TestThreeNodesLoseNothing(t *testing.T) {
	name, dsn, super := dbtest.NewPostgres(t)
	w := newWorld(t, simulator.Options{Seed: 5, Calls: 1200, Contacts: 300, Span: 20 * time.Hour, LimitPerMinute: -1})
	w.hook.delay = 200 * time.Millisecond
	leads := make(chan *member, 16)
	var nodes []*member
	api := &pollers{api: w.sim, asking: map[int]int{}, last: -1}
	for i := range 3 {
		m := &member{world: &world{t: t, dir: newDir(t), sim: w.sim, hook: w.hook, api: api.of(t, i), hookURL: w.hookURL}, leads: leads}
		m.write("config.yaml", sharedPipeline)
		m.write("dsn", dsn+"\n")
		m.start()
		nodes = append(nodes, m)
	}
	defer func() {
		for _, m := range nodes {
			m.signal(syscall.SIGCONT)
			m.signal(syscall.SIGTERM)
		}
		for _, m := range nodes {
			m.wait()
			if t.Failed() {
				t.Logf("a node's log:\n%s", m.log.String())
			}
		}
	}()
	next := func(what string, since time.Time) *member {
		t.Helper()
		select {
		case m := <-leads:
			t.Logf("%s: another node leads after %v", what, time.Since(since).Round(100*time.Millisecond))
			return m
		case <-time.After(2 * time.Minute):
			t.Fatalf("%s: no node leads", what)
		}
		return nil
	}
	breaks := 0
	leader := next("start", time.Now())
	<-w.hook.after(50)

	for range *kills {
		breaks++
		at := time.Now()
		leader.signal(syscall.SIGKILL)
		leader.wait()
		leader.start()
		leader = next("kill -9", at)
		<-w.hook.after(50)
	}

	breaks++
	stopped, at := leader, time.Now()
	stopped.signal(syscall.SIGSTOP)
	leader = next("SIGSTOP", at)
	<-w.hook.after(50)
	stopped.signal(syscall.SIGCONT)
	<-w.hook.after(50)
	if leader == stopped {
		t.Error("the node that was stopped leads again")
	}

	if _, err := super.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", name); err != nil {
		t.Fatal(err)
	}
	<-w.hook.after(50)
	server := dbtest.Postgres(t)
	server.Kill()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	<-w.hook.after(50)

	holder := func() (node string) {
		if err := super.QueryRow("SELECT node FROM vinfer_sync.leases").Scan(&node); err != nil {
			t.Error(err)
		}
		return node
	}
	before, at := holder(), time.Now()
	leader.signal(syscall.SIGTERM)
	leader.wait()
	if holder() == before {
		t.Errorf("a clean stop did not give the lease up")
	}
	clean := leader
	leader = next("clean stop", at)
	clean.start()

	var s struct {
		Pending int
		Role    string
		Leader  struct{ Node string }
	}
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(time.Second) {
		r := leader.must(exitFine, "status", "--json")
		if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
			t.Fatal(err)
		}
		if s.Pending == 0 && len(w.hook.arrivals()) >= 1200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d pending", s.Pending)
		}
	}
	if s.Role != "leader" || s.Leader.Node == "" {
		t.Errorf("the leader says: %+v", s)
	}
	seen, repeated := map[string]int{}, 0
	for _, a := range w.hook.arrivals() {
		if a.Event != "call.completed" {
			continue
		}
		if seen[a.CallID]++; seen[a.CallID] > 1 {
			repeated++
		}
	}
	for _, c := range w.sim.Calls() {
		if seen[c.ID] == 0 {
			t.Errorf("%s is lost", c.ID)
		}
	}
	t.Logf("%d calls, %d deliveries repeated after %d breaks", len(seen), repeated, breaks)
	if most := breaks * workers * onTheirWay; repeated > most {
		t.Errorf("%d deliveries were repeated, at most %d may be", repeated, most)
	}
	begun := 0
	for _, m := range nodes {
		begun += int(m.led.Load())
	}
	api.mu.Lock()
	t.Logf("nodes led %d times, and took turns in asking VInfer %d times", begun, api.turns)
	if api.together > 0 || api.turns > begun {
		t.Errorf("two nodes polled side by side: %d requests at once; %d turns of %d leaders", api.together, api.turns, begun)
	}
	api.mu.Unlock()
	standby := nodes[0]
	if standby == leader {
		standby = nodes[1]
	}
	if r := standby.must(exitFine, "status", "--json"); !strings.Contains(r.stdout, `"role":"standby"`) && !strings.Contains(r.stdout, `"role": "standby"`) {
		t.Errorf("a standby says: %s", r.stdout)
	}
	if r := standby.must(exitLocked, "pause", "events"); !strings.Contains(r.stderr, s.Leader.Node) {
		t.Errorf("what acts does not say who leads: %s", r.stderr)
	}
	standby.must(exitFine, "store", "check")
}

// Ten pipelines share a database and three nodes, each a process for each pipeline. One node is killed: all pipelines go on.
func TestTenPipelinesOnThreeNodes(t *testing.T) {
	const pipelines = 10
	_, dsn, _ := dbtest.NewPostgres(t)
	w := newWorld(t, simulator.Options{Seed: 7, Calls: 20, Contacts: 10, Span: 20 * time.Hour, LimitPerMinute: -1})
	leads := make(chan *member, 4*pipelines)
	var nodes [3][]*member
	hooks := make([]*hook, pipelines)
	for p := range pipelines {
		hooks[p] = &hook{}
		s := httptest.NewServer(hooks[p])
		t.Cleanup(s.Close)
		for n := range nodes {
			m := &member{world: &world{t: t, dir: newDir(t), sim: w.sim, hook: hooks[p], api: w.api, hookURL: s.URL}, leads: leads}
			m.write("config.yaml", fmt.Sprintf("name: p%d\n%s", p, sharedPipeline))
			m.write("dsn", dsn+"\n")
			nodes[n] = append(nodes[n], m)
		}
	}
	arrived := func(call string) {
		t.Helper()
		for p, h := range hooks {
			for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
				if slices.ContainsFunc(h.arrivals(), func(a arrival) bool { return a.CallID == call }) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("pipeline %d: %s has not arrived", p, call)
				}
			}
		}
	}
	stop := func(list []*member, s syscall.Signal) {
		for _, m := range list {
			m.signal(s)
		}
		for _, m := range list {
			m.wait()
			if t.Failed() {
				t.Logf("a node's log:\n%s", m.log.String())
			}
		}
	}
	alive := nodes[:]
	for _, node := range nodes { // the first one leads most of them
		for _, m := range node {
			m.start()
		}
	}
	defer func() { stop(slices.Concat(alive...), syscall.SIGTERM) }()
	for range pipelines {
		<-leads
	}
	for _, c := range w.sim.Calls() {
		arrived(c.ID)
	}
	led := 0
	for _, m := range nodes[0] {
		led += int(m.led.Load())
	}
	alive = nodes[1:]
	at := time.Now()
	stop(nodes[0], syscall.SIGKILL)
	w.sim.Add(simulator.Call{ID: "after", Phone: "+919876543210", Name: "Asha Rao", Disposition: "interested", Duration: time.Minute, End: time.Now()})
	arrived("after")
	t.Logf("a node that led %d of %d pipelines was killed: all had delivered another call after %v", led, pipelines, time.Since(at).Round(100*time.Millisecond))
	for p, h := range hooks {
		seen, repeated := map[string]int{}, 0
		for _, a := range h.arrivals() {
			if a.Event != "call.completed" {
				continue
			}
			if seen[a.CallID]++; seen[a.CallID] > 1 {
				repeated++
			}
		}
		if len(seen) < 21 || repeated > workers*onTheirWay {
			t.Errorf("pipeline %d: %d calls of 21 arrived, %d deliveries were repeated", p, len(seen), repeated)
		}
	}
}

// The state goes from a file into the database and back, with work on both sides, and no call arrives twice.
func TestMigrate(t *testing.T) {
	_, dsn, _ := dbtest.NewPostgres(t)
	w := newWorld(t, simulator.Options{Seed: 6, Calls: 150, Contacts: 40, Span: 20 * time.Hour, LimitPerMinute: -1})
	file := strings.Replace(sharedPipeline, "store: {postgres: {dsn_file: dsn}}", "store: {bbolt: {path: state.db}}", 1)
	w.write("file.yaml", file)
	w.write("config.yaml", sharedPipeline)
	w.write("dsn", dsn+"\n")
	w.must(exitFine, "once", "-c", "file.yaml")
	arrived := len(w.hook.arrivals())
	call := w.hook.arrivals()[0].CallID
	w.must(exitUsage, "store", "migrate")
	w.must(exitUsage, "store", "migrate", "--from", "state.db", "-c", "file.yaml")
	w.must(exitLeft, "store", "migrate", "--from", "other.db")
	w.must(exitFine, "store", "migrate", "--from", "state.db")
	if r := w.must(exitLeft, "once", "-c", "file.yaml"); !strings.Contains(r.stderr, "moved to") {
		t.Errorf("the file that was left: %s", r.stderr)
	}
	w.must(exitFine, "once")
	if r := w.must(exitFine, "forget", "--call", call, "--dry-run"); !strings.Contains(r.stdout, "would erase 1 calls") {
		t.Errorf("forget --dry-run: %s", r.stdout)
	}
	w.must(exitFine, "forget", "--call", call)
	if r := w.must(exitFine, "calls", "show", call); !strings.Contains(r.stdout, "forgotten") {
		t.Errorf("after forget: %s", r.stdout)
	}
	w.must(exitFine, "store", "check")
	if r := w.must(exitUsage, "store", "backup", "copy.db"); !strings.Contains(r.stderr, "pg_dump") {
		t.Errorf("store backup: %s", r.stderr)
	}
	w.must(exitFine, "store", "migrate", "--to", "state.db")
	if r := w.must(exitLeft, "once"); !strings.Contains(r.stderr, "moved to") {
		t.Errorf("the database that was left: %s", r.stderr)
	}
	w.must(exitFine, "once", "-c", "file.yaml")
	w.must(exitFine, "store", "check", "-c", "file.yaml")
	if n := len(w.hook.arrivals()); n != arrived || n < 150 {
		t.Errorf("%d deliveries, then %d", arrived, n)
	}
}
