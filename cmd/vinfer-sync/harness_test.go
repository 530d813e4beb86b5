package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/internal/dbtest"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// asProgram makes the test binary be the program: children that are real processes can be killed, and need no build.
const asProgram = "VINFER_SYNC_TEST_AS_PROGRAM"

// firstBackoff sets the wait before another try at a destination: a long one, and once does not wait for any.
const firstBackoff = "VINFER_SYNC_TEST_BACKOFF"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		retryWait = 20 * time.Millisecond
		backoff, _ = time.ParseDuration(os.Getenv(firstBackoff)) // 0 where it is not set
		os.Exit(run(os.Args[1:]))
	}
	goleak.VerifyTestMain(dbtest.Main{M: m})
}

// arrival is one request as the webhook's handler got it.
type arrival struct {
	Event   string `json:"event"`
	CallID  string `json:"call_id"`
	Contact struct {
		Phone string `json:"phone"`
	} `json:"contact"`

	header http.Header
	body   []byte
}

// hook is a webhook's handler that keeps a ledger.
type hook struct {
	mu     sync.Mutex
	got    []arrival
	status int    // of the answers; 0: 200
	answer string // the body of the answers
	enough chan struct{}
	until  int           // arrivals until enough is closed
	delay  time.Duration // how long a delivery is in flight, so that kills fall into some
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed
	}
	a := arrival{header: r.Header.Clone(), body: body}
	if err := json.Unmarshal(body, &a); err != nil {
		http.Error(w, "no JSON", http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	h.got = append(h.got, a)
	if h.until > 0 && len(h.got) >= h.until {
		close(h.enough)
		h.until = 0
	}
	status, answer, delay := h.status, h.answer, h.delay
	h.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	if status != 0 {
		w.WriteHeader(status)
	}
	_, _ = io.WriteString(w, strings.ReplaceAll(answer, "{phone}", a.Contact.Phone))
}

// after returns a channel that closes when n more requests have arrived.
func (h *hook) after(n int) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.enough, h.until = make(chan struct{}), len(h.got)+n
	return h.enough
}

func (h *hook) answers(status int, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status, h.answer = status, text
}

// delays sets how long a delivery is in flight.
func (h *hook) delays(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.delay = d
}

func (h *hook) arrivals() []arrival {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]arrival(nil), h.got...)
}

// world is a directory to run the program in, an API and a webhook's handler.
type world struct {
	t       *testing.T
	dir     string
	sim     *simulator.Server
	hook    *hook
	api     string
	hookURL string
}

func newWorld(t *testing.T, o simulator.Options) *world {
	t.Helper()
	w := &world{t: t, dir: newDir(t), hook: &hook{}}
	w.serve(o)
	s := httptest.NewServer(w.hook)
	t.Cleanup(s.Close)
	w.hookURL = s.URL + "/hook"
	return w
}

// newDir makes a directory to run the program in.
func newDir(t *testing.T) string {
	t.Helper()
	// Not t.TempDir: with the test's name in it the path can be too long for a socket.
	dir, err := os.MkdirTemp("", "vs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// serve puts another API in the place of the one before.
func (w *world) serve(o simulator.Options) {
	w.sim = simulator.New(o)
	w.api = w.sim.Start(w.t)
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) command(args ...string) *exec.Cmd {
	w.t.Helper()
	self, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	c := exec.CommandContext(w.t.Context(), self, args...)
	c.Dir = w.dir
	c.Env = append(os.Environ(), asProgram+"=1", "API="+w.api, "HOOK="+w.hookURL, "STATE_DIRECTORY="+w.dir)
	return c
}

type result struct {
	stdout, stderr string
	code           int
}

func (w *world) run(args ...string) result {
	w.t.Helper()
	c := w.command(args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	return result{code: exitOf(w.t, c.Run()), stdout: stdout.String(), stderr: stderr.String()}
}

// must runs a command that has to exit with code.
func (w *world) must(code int, args ...string) result {
	w.t.Helper()
	r := w.run(args...)
	if r.code != code {
		w.t.Fatalf("vinfer-sync %s: exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", strings.Join(args, " "), r.code, code, r.stdout, r.stderr)
	}
	return r
}

func exitOf(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// daemon starts run and returns once it answers on its socket.
func (w *world) daemon() (stop func() (code int, log string)) {
	w.t.Helper()
	c := w.command("run")
	stderr, err := c.StderrPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan struct{})
	var log strings.Builder
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(stderr)
		for up := false; lines.Scan(); {
			log.WriteString(lines.Text() + "\n")
			if !up && strings.Contains(lines.Text(), "msg=started") {
				up = true
				close(started)
			}
		}
	}()
	select {
	case <-started:
	case <-ended:
		w.t.Fatalf("run ended: %v\n%s", c.Wait(), log.String())
	}
	return func() (int, string) {
		w.t.Helper()
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			w.t.Error(err)
		}
		<-ended
		return exitOf(w.t, c.Wait()), log.String()
	}
}

// killed runs a command and kills it some time after its start.
func (w *world) killed(least, most time.Duration, args ...string) {
	w.t.Helper()
	w.killedOnce(func() { time.Sleep(least + rand.N(most-least)) }, args...)
}

// killedOnce runs a command and kills it once wait returns.
func (w *world) killedOnce(wait func(), args ...string) {
	w.t.Helper()
	c := w.command(args...)
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	wait()
	_ = c.Process.Kill() // it may have ended
	_ = c.Wait()
}
