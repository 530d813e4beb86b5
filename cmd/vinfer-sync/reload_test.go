package main

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// running is a daemon whose log is read along.
type running struct {
	w     *world
	cmd   *exec.Cmd
	ended chan struct{}

	mu    sync.Mutex
	log   []string
	more  chan struct{} // closed and replaced at each line
	shown int           // lines that await has passed
}

// start starts run and returns once it is up.
func (w *world) start() *running {
	w.t.Helper()
	r := &running{w: w, cmd: w.command("run"), ended: make(chan struct{}), more: make(chan struct{})}
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		defer close(r.ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			r.mu.Lock()
			r.log = append(r.log, lines.Text())
			close(r.more)
			r.more = make(chan struct{})
			r.mu.Unlock()
		}
	}()
	r.await("msg=started")
	return r
}

// await returns the next line of the log with text in it.
func (r *running) await(text string) string {
	r.w.t.Helper()
	late := time.After(time.Minute)
	for {
		r.mu.Lock()
		for r.shown < len(r.log) {
			line := r.log[r.shown]
			r.shown++
			if strings.Contains(line, text) {
				r.mu.Unlock()
				return line
			}
		}
		more := r.more
		r.mu.Unlock()
		select {
		case <-more:
		case <-r.ended:
			r.w.t.Fatalf("run ended without %q in its log:\n%s", text, strings.Join(r.log, "\n"))
		case <-late:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.w.t.Fatalf("no %q in the log:\n%s", text, strings.Join(r.log, "\n"))
		}
	}
}

func (r *running) hup() {
	r.w.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		r.w.t.Fatal(err)
	}
}

// stop ends the daemon, which has to end well, and returns its log.
func (r *running) stop() string {
	r.w.t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.w.t.Error(err)
	}
	<-r.ended
	log := strings.Join(r.log, "\n")
	if code := exitOf(r.w.t, r.cmd.Wait()); code != 0 {
		r.w.t.Errorf("run: exit code %d\n%s", code, log)
	}
	return log
}

// status is what status --json says, as far as these tests look.
func (w *world) status() (s struct {
	Pending      int    `json:"pending"`
	LateFound    int    `json:"late_found"`
	AuditedUntil string `json:"audited_until"`
	ConfigError  string `json:"config_error"`
	LastRun      struct {
		Error string `json:"error"`
	} `json:"last_run"`
	Destination []struct {
		Name      string `json:"name"`
		State     string `json:"state"`
		Delivered int    `json:"delivered"`
	} `json:"destinations"`
},
) {
	w.t.Helper()
	out := w.must(exitFine, "status", "--json").stdout
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// The configuration is read again and again, with another set of destinations each time, while calls are under way.
func TestReloadLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	w := busy(t, "-25h")
	config := strings.ReplaceAll(threeDestinations, "%START%", "-25h")
	r := w.start()
	for n := range 6 {
		<-w.hook.after(20)
		text := strings.Replace(config, "start:", fmt.Sprintf("lookback: %dm\nstart:", 15+n), 1)
		if n%2 == 0 {
			text = strings.Replace(text, "workers: 4, webhook", "workers: 2, webhook", 1) + "  - {name: other, jsonl: {path: other.jsonl}}\n"
		}
		w.write("config.yaml", text)
		r.hup()
		r.await("configuration reloaded")
	}
	w.must(exitFine, "once")
	log := r.stop()
	for _, want := range []string{"added=other removed=\"\"", "added=\"\" removed=other"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q:\n%s", want, log)
		}
	}
	w.ledger(0)
}

func TestBadConfigurationIsNotTakenUp(t *testing.T) {
	t.Parallel()
	w := busy(t, "-25h")
	good := strings.ReplaceAll(threeDestinations, "%START%", "-25h")
	r := w.start()
	w.write("config.yaml", good+"lookbak: 3m\n")
	r.hup()
	if line := r.await("not taken up"); !strings.Contains(line, "lookbak") || !strings.Contains(line, "lookback") {
		t.Errorf("the fault is not in the log: %s", line)
	}
	if s := w.status(); !strings.Contains(s.ConfigError, "lookbak") {
		t.Errorf("status: %+v", s)
	}
	if out := w.must(exitFine, "status").stdout; !strings.Contains(out, "The configuration on the disk has faults") || !strings.Contains(out, "lookbak") {
		t.Errorf("status does not say so:\n%s", out)
	}
	// Another kind under the same name is a fault that only the store knows of.
	w.write("config.yaml", strings.Replace(good, "sqlite: {path: crm.db}", "jsonl: {path: crm.jsonl}", 1))
	r.hup()
	r.await("is of kind jsonl and was of kind sqlite")
	w.must(exitFine, "once")
	w.write("config.yaml", strings.Replace(good, "socket: admin.sock", "socket: other.sock", 1))
	r.hup()
	if line := r.await("only by a restart"); !strings.Contains(line, "admin.socket") || !strings.Contains(line, "other.sock") {
		t.Error(line)
	}
	r.await("configuration reloaded")
	w.write("config.yaml", good)
	if s := w.status(); s.ConfigError != "" || s.Pending != 0 {
		t.Errorf("status: %+v", s)
	}
	// The same by a command, which is told.
	w.write("config.yaml", good+"lookbak: 3m\n")
	if said := w.must(exitConfig, "reload").stderr; !strings.Contains(said, "lookbak") {
		t.Errorf("reload says: %s", said)
	}
	w.write("config.yaml", good)
	w.must(exitFine, "reload")
	if s := w.status(); s.ConfigError != "" {
		t.Errorf("status: %+v", s)
	}
	r.stop()
	if said := w.must(exitLeft, "reload").stderr; !strings.Contains(said, "no service runs") {
		t.Errorf("reload without a service says: %s", said)
	}
	w.ledger(0)
}

func TestBackfillGoesOnAcrossAReload(t *testing.T) {
	t.Parallel()
	w := busy(t, "now")
	w.hook.delay = 20 * time.Millisecond
	r := w.start()
	backfill := w.command("backfill", "--since", "-25h")
	some := w.hook.after(40)
	if err := backfill.Start(); err != nil {
		t.Fatal(err)
	}
	<-some
	r.hup()
	r.await("configuration reloaded")
	if code := exitOf(t, backfill.Wait()); code != 0 {
		t.Errorf("backfill: exit code %d", code)
	}
	r.stop()
	w.ledger(0)
}

const rotating = `
vinfer: {base_url: "${API}", api_key_file: key}
schedule: "@every 1s"
start: -25h
store: {bbolt: {path: state.db}}
admin: {socket: admin.sock, listen: ""}
transcripts: {fetch: false}
crm:
  - {name: events, webhook: {url: "${HOOK}", secret_file: token}}
`

// Keys are rotated in their files, and nobody restarts or resumes anything.
func TestKeysAreRotatedWithoutARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Key: "first", LimitPerMinute: -1})
	w.write("config.yaml", rotating)
	w.write("key", "first\n")
	w.write("token", "old\n")
	add := func(id string) {
		w.sim.Add(simulator.Call{ID: id, Phone: "+919812300001", Disposition: "interested", Duration: time.Minute, End: time.Now().Add(-time.Minute)})
	}
	add("call_1")
	one := w.hook.after(1)
	r := w.start()
	<-one
	w.hook.answers(http.StatusUnauthorized, "signed with the wrong secret")
	add("call_2")
	r.await("destination halted")
	w.hook.answers(0, "")
	one = w.hook.after(1)
	w.write("token", "new\n")
	r.await("secrets read again")
	<-one
	w.sim.SetKey("second")
	r.await("poll failed")
	w.write("key", "second\n")
	r.await("poll works again")
	one = w.hook.after(1)
	add("call_3")
	<-one
	if log := r.stop(); strings.Count(log, "destination halted") != 1 {
		t.Error(log)
	}
	got := w.hook.arrivals()
	if len(got) != 4 { // call_2 was refused once
		t.Errorf("%d requests arrived", len(got))
	}
	last := got[len(got)-1]
	mac := hmac.New(sha256.New, []byte("new"))
	mac.Write(last.body)
	if last.header.Get("X-VInfer-Signature") != hex.EncodeToString(mac.Sum(nil)) {
		t.Error("the new secret does not sign")
	}
}
