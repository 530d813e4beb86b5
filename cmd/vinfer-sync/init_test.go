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

// TestInitOnTerminal answers the questions, one wrongly, and goes on to the first delivery by what init says.
func TestInitOnTerminal(t *testing.T) {
	t.Parallel()
	const key, secret = "vk_marked_key_0123456789", "marked-webhook-secret" //nolint:gosec // nobody's
	w := newWorld(t, simulator.Options{Key: key, Calls: 5, Span: time.Hour, LimitPerMinute: -1})
	x := w.onTerminal("init", "-c", "config.yaml")
	x.until("Kind [sqlite]: ", "webhook\r")
	x.until("Its name", "Sales\r")
	x.until("Its name", "sales\r")
	x.until("Where is it [1]: ", "\r")
	x.until("unseen: ", key+"\r")
	x.until("VInfer's API [", w.api+"\r")
	x.until("cron expression [", "every minute\r")
	x.until("cron expression: ", "@every 2m\r")
	x.until("from when on", "-24h\r")
	x.until("country code [", "\r")
	x.until("call-back times [", "Europe/London\r")
	x.until("state file [", "\r")
	x.until("url (as ", "crm.internal/vinfer\r")
	x.until("write it in full", "")
	x.until("url (as ", w.hookURL+"\r")
	x.until("Enter: none", "secret\r")
	x.until("Where is it [1]: ", "\r")
	x.until("unseen: ", secret+"\r")
	x.until("Enter: none", "timeout=5s\r")
	x.until("Enter: none", "\r")
	x.until("yes or no [no]: ", "yes\r")
	x.until("interested [Hot Lead]: ", "Prospect, new\r")
	for range 8 {
		x.until("]: ", "\r")
	}
	code, seen := x.end()
	if code != exitFine {
		t.Fatalf("exit code %d:\n%s", code, seen)
	}
	if strings.Contains(seen, key) || strings.Contains(seen, secret) {
		t.Errorf("a secret is shown:\n%s", seen)
	}
	for _, want := range []string{"accepts it", "Next: ", " once"} {
		if !strings.Contains(seen, want) {
			t.Errorf("it does not say %q:\n%s", want, seen)
		}
	}
	text := w.read("config.yaml")
	if strings.Contains(text, key) || strings.Contains(text, secret) || w.read("vinfer_api_key") != key+"\n" || w.read("webhook_secret") != secret+"\n" {
		t.Error("the secrets are not where they belong")
	}
	if a, b, c := w.mode("config.yaml"), w.mode("vinfer_api_key"), w.mode("webhook_secret"); a != 0o640 || b != 0o600 || c != 0o600 {
		t.Errorf("modes %o %o %o", a, b, c)
	}
	cfg, err := config.Load(filepath.Join(w.dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	d := cfg.CRM[0]
	if cfg.Schedule != "@every 2m" || cfg.Start.Ago != 24*time.Hour || cfg.Timezone != "Europe/London" || d.Name != "sales" || d.Webhook.URL != w.hookURL || d.Webhook.Timeout != 5*time.Second ||
		d.Mapping.Dispositions["interested"].Status != "Prospect, new" || d.Mapping.Dispositions["dispute"].Status != "Dispute" || cfg.Store.Bolt.Path != filepath.Join(w.dir, "state/state.db") {
		t.Errorf("%+v", cfg)
	}
	if r := w.must(exitFine, "once"); !strings.Contains(r.stdout, "fetched 5 calls, 5 new; ") || len(w.hook.arrivals()) < 5 {
		t.Errorf("%s", r.stdout)
	}
}

// TestInitGivenUp ends it at each of several questions, also where a key is being typed: nothing is left.
func TestInitGivenUp(t *testing.T) {
	t.Parallel()
	const interrupt, end = "\x03", "\x04"
	for _, keys := range []string{interrupt, end} {
		for _, last := range []string{"Kind [sqlite]: ", "Where is it [1]: ", "unseen: ", "VInfer's API [", "yes or no [no]: "} {
			w := newWorld(t, simulator.Options{})
			x := w.onTerminal("init", "-c", "config.yaml")
			for _, step := range [][2]string{
				{"Kind [sqlite]: ", "\r"},
				{"Its name", "\r"},
				{"Where is it [1]: ", "\r"},
				{"unseen: ", "some-key\r"},
				{"VInfer's API [", "http://127.0.0.1:1/v1\r"},
				{"expression [", "\r"},
				{"from when on", "\r"},
				{"country code [", "\r"},
				{"call-back times [", "\r"},
				{"state file [", "\r"},
				{"path [", "\r"},
				{"yes or no [no]: ", "\r"},
			} {
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
	// All that is missing or wrong at once, with its flag, and nothing written.
	r := run(exitUsage, "--kind", "zoho", "--schedule", "never", "--region", "india", "--name", "Big CRM")
	has(r, r.stderr, "--api-key-file", "--schedule", "--region", "--name", "--set data_center=", "--set client_id=", "--set client_secret_file=", "--set refresh_token_file=")
	r = run(exitUsage, "--kind", "hubspot", "--api-key-file", "key", "--set", "access_token=pat-na1-marked-0001")
	if has(r, r.stderr, "access_token", "_file"); strings.Contains(r.stderr, "pat-na1") {
		t.Errorf("it shows the secret: %s", r.stderr)
	}
	for _, args := range [][]string{{"--kind", "hubspott"}, {"--set", "url"}, {"--disposition", "=x"}, {"--api-key-file", "a", "--api-key-env", "B"}, {"--set", "urk=x", "--kind", "webhook", "--api-key-env", "K"}, {"--api-key-env", "no name"}, {"--set", "vinfer.nothing=1"}} {
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
	if err := writeNew(filepath.Join(w.dir, "missing", "c.yaml"), nil, 0o640, false); err == nil || !strings.Contains(err.Error(), "missing/c.yaml cannot be written") || !strings.Contains(err.Error(), "--config") {
		t.Errorf("got %v", err)
	}
	// A wrong key: everything is written, and said what to mend.
	w.write("key", "wrong\n")
	args := []string{"--api-key-file", "key", "--kind", "jsonl", "--disposition", "interested=Prospect", "--disposition", "new-one=New", "--set", "vinfer.page_size=50"}
	r = run(exitRefused, args...)
	has(r, r.stdout, "FAILS", "mend what stands above", "Next: ", " check")
	w.write("key", "right\n")
	w.must(exitFine, "check")
	// What is there stays, unless --force.
	text := w.read("config.yaml")
	r = run(exitLeft, args...)
	if has(r, r.stderr, "--force"); w.read("config.yaml") != text {
		t.Error("it wrote over the file")
	}
	r = run(exitFine, append(args, "--force", "--schedule", "@every 7m", "--state-dir", "elsewhere")...)
	if has(r, r.stdout, " once"); !strings.Contains(w.read("config.yaml"), "@every 7m") {
		t.Error("it did not write over the file")
	}
	cfg, err := config.Load(filepath.Join(w.dir, "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if m := cfg.Mapping.Dispositions; m["interested"].Status != "Prospect" || m["new_one"].Status != "New" || m["callback_requested"].Task == nil || cfg.VInfer.PageSize != 50 ||
		cfg.CRM[0].JSONL.Path != filepath.Join(w.dir, "elsewhere/calls.jsonl") || cfg.Admin.Socket != filepath.Join(w.dir, "elsewhere/admin.sock") {
		t.Errorf("%+v", cfg)
	}
	// An API that cannot be reached, no check, a variable, a key on standard input.
	r = w.must(exitUnreachable, "init", "-c", "far.yaml", "--api-key-file", "key", "--base-url", "http://127.0.0.1:1/v1")
	has(r, r.stdout, "FAILS", "check -c ")
	r = w.must(exitFine, "init", "-c", "unchecked.yaml", "--api-key-env", "NOT_SET", "--no-check")
	has(r, r.stdout, "export NOT_SET", "Next: ")
	r = w.must(exitConfig, "init", "-c", "variable.yaml", "--api-key-env", "NOT_SET")
	has(r, r.stdout+r.stderr, "NOT_SET is not set", "export NOT_SET")
	// The variable that is the default, which this environment has not: nobody but the service needs it.
	c := w.command("init", "-c", "default.yaml", "--api-key-env", "VINFER_API_KEY", "--no-check")
	c.Env = slices.DeleteFunc(c.Env, func(s string) bool { return strings.HasPrefix(s, "VINFER_API_KEY=") })
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	c = w.command("status", "-c", "default.yaml")
	c.Env = slices.DeleteFunc(c.Env, func(s string) bool { return strings.HasPrefix(s, "VINFER_API_KEY=") })
	if out, err := c.CombinedOutput(); exitOf(t, err) != exitLeft || !strings.Contains(string(out), "no state file") {
		t.Errorf("%v\n%s", err, out)
	}
	r = w.must(exitConfig, "init", "-c", "credential.yaml", "--api-key-credential", "vinfer_cred")
	has(r, r.stdout, "LoadCredential=vinfer_cred:", "CREDENTIALS_DIRECTORY=")
	c = w.command("init", "-c", "stdin.yaml", "--api-key-file", "-", "--base-url", w.api)
	c.Stdin = strings.NewReader("right\n")
	if out, err := c.CombinedOutput(); err != nil || w.mode("vinfer_api_key") != 0o600 {
		t.Errorf("%v\n%s", err, out)
	}
	c = w.command("init", "-c", "again.yaml", "--api-key-file", "-", "--base-url", w.api)
	c.Stdin = strings.NewReader("other\n")
	if out, err := c.CombinedOutput(); exitOf(t, err) != exitUsage || w.read("vinfer_api_key") != "right\n" {
		t.Errorf("%v\n%s", err, out)
	}
	w.must(exitLeft, "init", "-c", "no/such/config.yaml", "--api-key-file", "key")
	if got := w.files(); slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, ".") }) {
		t.Errorf("files were left: %q", got)
	}
}

// TestInitOfEachKind writes a configuration of each kind by flags alone, as the messages name them, which check --offline takes.
func TestInitOfEachKind(t *testing.T) {
	t.Parallel()
	for _, kind := range config.Kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simulator.Options{})
			w.write("key", "any\n")
			args := []string{"init", "-c", "config.yaml", "--kind", kind, "--api-key-file", "key", "--no-check"}
			r := w.run(args...)
			if r.code == exitUsage {
				for line := range strings.Lines(strings.ReplaceAll(r.stderr, "vinfer-sync: --set", "--set")) {
					setting, ok := strings.CutPrefix(strings.TrimSpace(line), "--set ")
					if !ok {
						continue
					}
					value, _, _ := strings.Cut(setting, ": ")
					if key, file, _ := strings.Cut(value, "="); strings.HasSuffix(key, "_file") {
						w.write(file, map[string]string{"postgres_dsn": "postgres://u:p@db.example/crm", "mysql_dsn": "u:p@tcp(db.example)/crm"}[file]+"\n")
						if w.read(file) == "\n" {
							w.write(file, "x\n")
						}
					}
					args = append(args, "--set", value)
				}
				r = w.must(exitFine, args...)
			}
			if r.code != exitFine {
				t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			w.must(exitFine, "check", "--offline")
		})
	}
}

// TestInitCompletion asks for what the shell proposes.
func TestInitCompletion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"init", "--kind", ""}, append(config.Kinds(), ":4")},
		{[]string{"init", "--kind", "od"}, []string{"odoo", ":4"}},
		{[]string{"init", "--disposition", "not_"}, []string{"not_interested=", "not_reachable=", ":6"}},
		{[]string{"init", "--kind", "hubspot", "--set", "a"}, []string{"access_token_file=", ":6"}},
		{[]string{"init", "--region", "I"}, []string{"IN", "IT"}},
	} {
		r := w.must(exitFine, append([]string{"__complete"}, c.args...)...)
		var got []string
		for line := range strings.Lines(r.stdout) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			got = append(got, word)
		}
		for _, want := range c.want {
			if !slices.Contains(got, want) {
				t.Errorf("%q: %q is not among %q", c.args, want, got)
			}
		}
	}
}
