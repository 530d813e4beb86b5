package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vinfer-sync/vinfer-sync/config"
	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

// terminal is a pseudo terminal with the program on it.
type terminal struct {
	t      *testing.T
	master *os.File
	seen   strings.Builder
	from   int // of what was seen, up to where it was waited for
	wait   func() int
}

// onTerminal starts a command on a terminal of its own.
func (w *world) onTerminal(args ...string) *terminal {
	w.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := master.SyscallConn()
	if err != nil {
		w.t.Fatal(err)
	}
	var number int
	if cerr := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); cerr != nil || err != nil {
		w.t.Fatal(cerr, err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	c := w.command(args...)
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	_ = slave.Close()
	// A program that hangs fails the test instead of holding it up.
	if err := master.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		w.t.Fatal(err)
	}
	x := &terminal{t: w.t, master: master, wait: func() int { return exitOf(w.t, c.Wait()) }}
	w.t.Cleanup(func() { _ = master.Close() })
	return x
}

// read reads on, and tells whether there was more.
func (x *terminal) read() bool {
	b := make([]byte, 4096)
	n, err := x.master.Read(b)
	x.seen.Write(b[:n])
	return err == nil
}

// until waits for words, then types.
func (x *terminal) until(words, keys string) {
	x.t.Helper()
	for {
		if i := strings.Index(x.seen.String()[x.from:], words); i >= 0 {
			x.from += i + len(words)
			break
		}
		if !x.read() {
			x.t.Fatalf("it does not ask for %q:\n%s", words, x.seen.String())
		}
	}
	if _, err := io.WriteString(x.master, keys); err != nil {
		x.t.Fatal(err)
	}
}

// end waits for the end and returns the exit code and all that was seen.
func (x *terminal) end() (code int, seen string) {
	for x.read() {
	}
	return x.wait(), x.seen.String()
}

func (w *world) mode(name string) fs.FileMode {
	w.t.Helper()
	fi, err := os.Stat(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return fi.Mode().Perm()
}

// files lists what is in the directory.
func (w *world) files() []string {
	w.t.Helper()
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func (w *world) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// TestInitOnTerminal answers the questions, some wrongly, and goes on to the first delivery by what init says.
func TestInitOnTerminal(t *testing.T) {
	t.Parallel()
	const key, secret = "vk_marked_key_0123456789", "marked-webhook-secret" //nolint:gosec // nobody's
	w := newWorld(t, simulator.Options{Key: key, Calls: 5, Span: time.Hour, LimitPerMinute: -1})
	x := w.onTerminal("init", "-c", "config.yaml", "--kind", "webhook", "--base-url", w.api)
	x.until("url [https://crm.example/vinfer]: ", w.hookURL+"\r")
	x.until("secret (unseen;", secret+"\r")
	x.until("API key, a Read-Only one (unseen;", "vk_marked_wrong\r")
	x.until("refuses this key", "")
	x.until("API key, a Read-Only one (unseen;", key+"\r")
	x.until("accepts the key", "")
	x.until("Begin with calls from: now, -24h, or a time [now]: ", "-24h\r")
	x.until("without a country code [IN]: ", "india\r")
	x.until("IN stays", "")
	x.until("Directory of the state file [", "state\r")
	x.until("stays.", "")
	code, seen := x.end()
	if code != exitFine {
		t.Fatalf("exit code %d:\n%s", code, seen)
	}
	if strings.Contains(seen, "marked") {
		t.Errorf("a secret is shown:\n%s", seen)
	}
	for _, want := range []string{"it is relative", "accepts it", "Next: ", " once"} {
		if !strings.Contains(seen, want) {
			t.Errorf("it does not say %q:\n%s", want, seen)
		}
	}
	text := w.read("config.yaml")
	if strings.Contains(text, "marked") || w.read("vinfer_api_key") != key+"\n" || w.read("webhook_secret") != secret+"\n" || !strings.Contains(text, "#      timeout: 10s") {
		t.Errorf("the secrets are not where they belong, or the comments are gone:\n%s", text)
	}
	for _, name := range []string{"config.yaml", "vinfer_api_key", "webhook_secret"} {
		if m := w.mode(name); m&0o007 != 0 {
			t.Errorf("%s has the mode %o", name, m)
		}
	}
	cfg, err := config.Load(filepath.Join(w.dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Start.Ago != 24*time.Hour || cfg.Region != "IN" || cfg.CRM[0].Webhook.URL != w.hookURL || cfg.Store.Bolt.Path != filepath.Join(w.dir, "state/state.db") {
		t.Errorf("%+v", cfg)
	}
	if r := w.must(exitFine, "once"); !strings.Contains(r.stdout, "fetched 5 calls, 5 new; ") || len(w.hook.arrivals()) < 5 {
		t.Errorf("%s", r.stdout)
	}
}

// TestInitByEnterAlone: every question can be left with Enter, and a country may be written small.
func TestInitByEnterAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Key: "right", LimitPerMinute: -1})
	w.write("vinfer_api_key", "right\n")
	x := w.onTerminal("init", "-c", "config.yaml", "--base-url", w.api)
	x.until("Kind of destination [sqlite]: ", "\r")
	x.until("or a time [now]: ", "\r")
	x.until("country code [IN]: ", "in\r")
	x.until("state file [", "\r")
	if code, seen := x.end(); code != exitFine || !strings.Contains(w.read("config.yaml"), "region: \"IN\"") {
		t.Errorf("exit code %d\n%s", code, seen)
	}
	w.must(exitFine, "once")
}

// TestInitGivenUp ends it at each of several questions, also where a key is being typed: nothing is left.
func TestInitGivenUp(t *testing.T) {
	t.Parallel()
	const interrupt, end = "\x03", "\x04"
	for _, keys := range []string{interrupt, end} {
		for _, last := range []string{"Kind of destination [sqlite]: ", "(unseen;", "or a time [now]: ", "state file ["} {
			w := newWorld(t, simulator.Options{})
			x := w.onTerminal("init", "-c", "config.yaml", "--base-url", "http://127.0.0.1:1/v1")
			for _, step := range [][2]string{{"Kind of destination [sqlite]: ", "\r"}, {"(unseen;", "some-key\r"}, {"or a time [now]: ", "\r"}, {"country code [", "\r"}, {"state file [", "\r"}} {
				if step[0] == last {
					x.until(step[0], keys)
					break
				}
				x.until(step[0], step[1])
			}
			code, seen := x.end()
			// Of what a program says just after Ctrl-C the terminal may throw away some: it empties its queues then.
			if code != exitLeft || keys == end && !strings.Contains(seen, "given up; nothing was written") || len(w.files()) > 0 {
				t.Errorf("%q at %q: exit code %d, files %q\n%s", keys, last, code, w.files(), seen)
			}
		}
	}
}

// TestInitUnattended takes everything from flags.
func TestInitUnattended(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Key: "right", LimitPerMinute: -1})
	run := func(code int, args ...string) result {
		t.Helper()
		return w.must(code, append([]string{"init", "-c", "config.yaml", "--base-url", w.api}, args...)...)
	}
	has := func(r result, out string, words ...string) {
		t.Helper()
		for _, s := range words {
			if !strings.Contains(out, s) {
				t.Errorf("it does not say %q:\n%s%s", s, r.stdout, r.stderr)
			}
		}
	}
	for _, args := range [][]string{{"--kind", "hubspott"}, {"--set", "url"}, {"--kind", "webhook", "--set", "urk=x"}, {"--region", "india"}, {"--start", "never"}, {"--state-dir", "elsewhere"}} {
		run(exitUsage, args...)
	}
	if got := w.files(); len(got) > 0 {
		t.Fatalf("it wrote %q", got)
	}
	for s, want := range map[string]string{"/etc/a.yaml": "/etc/a.yaml", "/sp ace/c.yaml": "'/sp ace/c.yaml'", "/it's": `'/it'\''s'`, "/$x": "'/$x'", "/प्रिया": "'/प्रिया'", "": "''"} {
		if got := word(s); got != want {
			t.Errorf("%s is written %s", s, got)
		}
	}
	if err := writeNew(filepath.Join(w.dir, "missing", "c.yaml"), nil, false); err == nil || !strings.Contains(err.Error(), "missing/c.yaml cannot be written") || !strings.Contains(err.Error(), "--config") {
		t.Errorf("got %v", err)
	}
	service := &wizard{path: serviceConfig}
	for dir, wrong := range map[string]bool{"/var/lib/vinfer-sync": false, "state": true, "/root/state": true, "/home/asha/state": true} {
		if got := service.wrongState(dir); (got != "") != wrong {
			t.Errorf("%s: %q", dir, got)
		}
	}
	// A wrong key: everything is written, and said what to fix.
	w.write("key", "wrong\n")
	args := []string{"--api-key-file", "key", "--kind", "jsonl"}
	r := run(exitRefused, args...)
	has(r, r.stdout, "FAILS", "Fix what fails above", "Next: ", " check")
	w.write("key", "right\n")
	w.must(exitFine, "check")
	// What exists stays, unless --force.
	text := w.read("config.yaml")
	r = run(exitLeft, args...)
	if has(r, r.stderr, "--force"); w.read("config.yaml") != text {
		t.Error("it wrote over the file")
	}
	r = run(exitFine, append(args, "--force", "--region", "us", "--state-dir", filepath.Join(w.dir, "elsewhere"))...)
	has(r, r.stdout, " once")
	cfg, err := config.Load(filepath.Join(w.dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Region != "US" || cfg.CRM[0].JSONL.Path != filepath.Join(w.dir, "elsewhere/calls.jsonl") || cfg.Admin.Socket != filepath.Join(w.dir, "elsewhere/admin.sock") {
		t.Errorf("%+v", cfg)
	}
	// An API that cannot be reached, no check, a key on standard input.
	r = w.must(exitUnreachable, "init", "-c", "far.yaml", "--api-key-file", "key", "--base-url", "http://127.0.0.1:1/v1")
	has(r, r.stdout, "FAILS", "check -c ")
	r = w.must(exitFine, "init", "-c", "unchecked.yaml", "--no-check")
	has(r, r.stdout, "Next: ")
	for _, x := range []struct {
		name, key string
		code      int
	}{{"stdin.yaml", "right", exitFine}, {"again.yaml", "other", exitLeft}} {
		c := w.command("init", "-c", x.name, "--api-key-file", "-", "--base-url", w.api)
		c.Stdin = strings.NewReader(x.key + "\n")
		if out, err := c.CombinedOutput(); exitOf(t, err) != x.code || w.read("vinfer_api_key") != "right\n" || w.mode("vinfer_api_key")&0o007 != 0 {
			t.Errorf("%s: %v\n%s", x.name, err, out)
		}
	}
	w.must(exitLeft, "init", "-c", "no/such/config.yaml", "--api-key-file", "key")
	if got := w.files(); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, ".") }) {
		t.Errorf("files were left: %q", got)
	}
}

// TestInitOfEachKind writes a configuration of each kind, which check --offline takes once the secrets' files are there.
func TestInitOfEachKind(t *testing.T) {
	t.Parallel()
	for _, kind := range config.Kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simulator.Options{})
			w.write("vinfer_api_key", "any\n")
			s := config.SampleOf(kind)
			if len(s.About) < 5 || strings.ContainsAny(s.About, "#") {
				t.Errorf("about: %q", s.About)
			}
			for _, n := range s.Needs {
				if n.Secret() {
					w.write(n.Example, or(map[string]string{"postgres": "postgres://u:p@db.example/crm", "mysql": "u:p@tcp(db.example)/crm"}[kind], "x")+"\n")
				}
			}
			if kind == "rest" { // its secrets are those of the recipe
				w.write("lms_id", "x\n")
				w.write("lms_secret", "x\n")
			}
			w.must(exitFine, "init", "-c", "config.yaml", "--kind", kind, "--no-check")
			w.must(exitFine, "check", "--offline")
			if len(s.Needs) > 0 && !s.Needs[0].Secret() && kind != "exec" {
				w.must(exitFine, "init", "-c", "set.yaml", "--kind", kind, "--no-check", "--set", s.Needs[0].Key+"="+s.Needs[0].Example)
				w.must(exitFine, "check", "--offline", "-c", "set.yaml")
			}
		})
	}
}
