//go:build soak

package soak

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// build builds the program, with one file more if given.
func build(t *testing.T, planted string) string {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "vinfer-sync")
	args := []string{"build", "-buildvcs=false", "-o", out}
	if planted != "" {
		source := filepath.Join(dir, "planted.go")
		place, err := filepath.Abs("../cmd/vinfer-sync/planted.go")
		if err != nil {
			t.Fatal(err)
		}
		overlay, _ := json.Marshal(map[string]map[string]string{"Replace": {place: source}})
		put(t, source, planted)
		put(t, filepath.Join(dir, "overlay.json"), string(overlay))
		args = append(args, "-overlay", filepath.Join(dir, "overlay.json"))
	}
	c := exec.Command("go", append(args, "../cmd/vinfer-sync")...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, text)
	}
	return out
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const configuration = `
vinfer: {base_url: %q, api_key: k, timeout: 5s}
schedule: "@every 1s"
start: -3h
lookback: 10s
settle: 20s
audit: {days: 1, at: %q}
max_call: 4h
transcripts: {fetch: true, give_up_after: 2h}
store: {bbolt: {path: state.db}}
admin: {socket: admin.sock, listen: %q}
log: {level: warn}
crm:
  - {name: events, workers: 4, webhook: {url: %q, secret: s3cret, timeout: 5s}}
  - {name: base, workers: 4, sqlite: {path: crm.db}}
`

// daemon is the program, running.
type daemon struct {
	t       *testing.T
	program string
	dir     string
	admin   string
	c       *exec.Cmd
	log     tail
}

// tail keeps the end of a log.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (l *tail) read(s *bufio.Scanner) {
	for s.Scan() {
		l.mu.Lock()
		if l.lines = append(l.lines, s.Text()); len(l.lines) > 400 {
			l.lines = l.lines[200:]
		}
		l.mu.Unlock()
	}
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, len(l.lines)-40):], "\n")
}

func start(t *testing.T, program, api, hook, auditAt string) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "soak") // a short path: there is a socket in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, program: program, dir: dir, admin: l.Addr().String()}
	_ = l.Close()
	put(t, filepath.Join(dir, "config.yaml"), fmt.Sprintf(configuration, api, auditAt, d.admin, hook))
	d.c = exec.Command(program, "run")
	d.c.Dir = dir
	stderr, err := d.c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.c.Process.Kill() }) // it may have ended
	go d.log.read(bufio.NewScanner(stderr))
	return d
}

// do runs a command beside the daemon.
func (d *daemon) do(args ...string) (string, error) {
	c := exec.Command(d.program, args...)
	c.Dir = d.dir
	var out, wrong bytes.Buffer
	c.Stdout, c.Stderr = &out, &wrong
	err := c.Run()
	if err != nil {
		err = fmt.Errorf("vinfer-sync %s: %w: %s", strings.Join(args, " "), err, wrong.String())
	}
	return out.String(), err
}

// status is the part of it that counts here.
type status struct {
	Pending, Dead      int
	TranscriptsWaiting int `json:"transcripts_waiting"`
	LateFound          int `json:"late_found"`
}

func (d *daemon) status() (s status) {
	d.t.Helper()
	out, err := d.do("status", "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	if err != nil {
		d.t.Fatalf("%v\nlog:\n%s", err, &d.log)
	}
	return s
}

// reload has the configuration read again.
func (d *daemon) reload() {
	if err := d.c.Process.Signal(syscall.SIGHUP); err != nil {
		d.t.Error(err)
	}
}

// end stops it and looks at what it leaves.
func (d *daemon) end() {
	d.t.Helper()
	if err := d.c.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Error(err)
	}
	if err := d.c.Wait(); err != nil {
		d.t.Errorf("the daemon ended: %v\n%s", err, &d.log)
	}
	if out, err := d.do("store", "check"); err != nil {
		d.t.Errorf("%v\n%s", err, out)
	}
}

// sample is what the daemon takes at one moment.
type sample struct {
	anon        int64 // bytes of memory besides mapped files
	descriptors int
	goroutines  int
	file        int64 // bytes of the state file
}

func (d *daemon) sample() (s sample, err error) {
	proc := "/proc/" + strconv.Itoa(d.c.Process.Pid)
	raw, err := os.ReadFile(proc + "/status")
	if err != nil {
		return s, err
	}
	s.anon = number(string(raw), "RssAnon:") * 1024
	open, err := os.ReadDir(proc + "/fd")
	if err != nil {
		return s, err
	}
	s.descriptors = len(open)
	st, err := os.Stat(filepath.Join(d.dir, "state.db"))
	if err != nil {
		return s, err
	}
	s.file = st.Size()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := client.Get("http://" + d.admin + "/metrics")
	if err != nil {
		return s, err
	}
	defer func() { _ = resp.Body.Close() }()
	var text bytes.Buffer
	_, err = text.ReadFrom(resp.Body)
	s.goroutines = int(number(text.String(), "go_goroutines"))
	return s, errors.Join(err, check(s))
}

// check refuses what no running daemon takes.
func check(s sample) error {
	if s.anon == 0 || s.descriptors == 0 || s.goroutines == 0 || s.file == 0 {
		return fmt.Errorf("no figures: %+v", s)
	}
	return nil
}

// number returns the whole number behind a name at the beginning of a line.
func number(text, name string) int64 {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			n, _ := strconv.ParseInt(f[1], 10, 64)
			return n
		}
	}
	return 0
}

// middle is, of each figure, the median of some samples.
func middle(some []sample) (m sample) {
	pick := func(of func(sample) int64) int64 {
		var all []int64
		for _, s := range some {
			all = append(all, of(s))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	m.anon = pick(func(s sample) int64 { return s.anon })
	m.descriptors = int(pick(func(s sample) int64 { return int64(s.descriptors) }))
	m.goroutines = int(pick(func(s sample) int64 { return int64(s.goroutines) }))
	m.file = pick(func(s sample) int64 { return s.file })
	return m
}

func (s sample) String() string {
	return fmt.Sprintf("%.1f MB RssAnon, %d descriptors, %d goroutines, state file %.1f MB", float64(s.anon)/1e6, s.descriptors, s.goroutines, float64(s.file)/1e6)
}
