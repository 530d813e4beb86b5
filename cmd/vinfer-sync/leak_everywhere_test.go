package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
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

	"golang.org/x/sys/unix"

	"github.com/vinfer-sync/vinfer-sync/vinfer/simulator"
)

const leakyConfig = `
vinfer: {base_url: "%API%", api_key_file: secrets/api_key, timeout: 5s}
schedule: "@every 1h"
start: -48h
store: {bbolt: {path: state.db}}
admin: {socket: admin.sock, listen: "%LISTEN%"}
alerts: {exec: [/bin/sh, "%DIR%/page"]}
log: {level: debug, format: %FORMAT%}
crm:
`

// refusal is an answer of echo's.
type refusal struct {
	name   string
	status int
	form   string
	grants bool
}

// refusals are the answers of a CRM, of VInfer, or of a proxy in between that shows everything it was sent.
var refusals = []refusal{
	{"no token", 401, "object", false},
	{"no token in a page", 400, "html", false},
	{"forbidden", 403, "nested", true},
	{"refused", 422, "object", true},
	{"refused in a list", 400, "list", true},
	{"refused in a page", 404, "html", true},
	{"fine but no answer", 200, "html", true},
	{"fine but an error", 200, "nested", true},
	{"fault", 500, "text", true},
	{"fault in a page", 502, "html", true},
	{"too many", 429, "object", true},
	{"elsewhere", 302, "text", true},
	{"proxy", 407, "html", true},
}

// leak is a world in which everything that must not be shown is marked: every secret of every kind, and the contact's number.
type leak struct {
	*world
	*marks
	format string // text, json, journal, terminal
	crm    *echo
	vinfer *echo
	shown  strings.Builder
	listen string
	env    []string
}

func newLeak(t *testing.T, format string) *leak {
	t.Helper()
	l := &leak{world: newWorld(t, simulator.Options{Key: "api-" + secretMark + "-key", LimitPerMinute: -1}), format: format}
	for _, dir := range []string{"secrets", "tmp", "home"} {
		if err := os.Mkdir(filepath.Join(l.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	l.write("secrets/api_key", "api-"+secretMark+"-key\n")
	l.write("page", "cat >>"+l.dir+"/told; env >>"+l.dir+"/told; echo no >&2; exit 1\n")
	l.crm, l.vinfer = &echo{}, &echo{next: l.sim}
	l.crm.says(401, "text", true)
	l.env = []string{"TMPDIR=" + filepath.Join(l.dir, "tmp"), "HOME=" + filepath.Join(l.dir, "home")}
	for i, phone := range []string{"+91" + markPhone, "0" + markPhone, "98123 09876", "0091-98123-09876"} {
		l.sim.Add(simulator.Call{
			ID: fmt.Sprintf("call_marked%d", i), Phone: phone, Name: "Asha Rao", Disposition: "callback_requested", Duration: time.Minute,
			End: time.Now().Add(-time.Minute), Summary: "The number to call is " + markPhone,
		})
	}
	l.configure("")
	return l
}

// configure writes the configuration, with more in each destination that speaks HTTP.
func (l *leak) configure(more string) {
	l.t.Helper()
	url := func(h http.Handler) string {
		s := httptest.NewServer(h)
		l.t.Cleanup(s.Close)
		return s.URL
	}
	dests, secrets := leakyDestinations(l.t, l.dir, url(l.crm), echoDatabase(l.t), more)
	l.marks = newMarks(secrets...)
	format := map[string]string{"json": "json", "text": "text"}[l.format]
	if format == "" {
		format = "auto"
	}
	l.listen = freeAddress(l.t)
	text := strings.NewReplacer("%API%", url(l.vinfer)+"/v1", "%FORMAT%", format, "%DIR%", l.dir, "%LISTEN%", l.listen).Replace(leakyConfig)
	l.write("config.yaml", text+dests)
}

// start starts a command as the format has it; its output is complete when the returned function has returned.
func (l *leak) start(args ...string) (c *exec.Cmd, output func() string) {
	l.t.Helper()
	c = l.command(args...)
	c.Env = append(c.Env, l.env...)
	if l.format == "journal" {
		c.Env = append(c.Env, "JOURNAL_STREAM=8:1")
	}
	var out bytes.Buffer
	output = func() string { return out.String() }
	if l.format != "terminal" {
		c.Stdout, c.Stderr = &out, &out
	} else {
		master, slave := pseudoTerminal(l.t)
		c.Stdout, c.Stderr = slave, slave
		var read sync.WaitGroup
		read.Go(func() { _, _ = io.Copy(&out, master) }) // ends with an error, as terminals do
		output = func() string {
			_ = slave.Close()
			read.Wait()
			_ = master.Close()
			return out.String()
		}
	}
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	return c, output
}

// show runs a command to its end and looks at what it has printed.
func (l *leak) show(args string) string {
	l.t.Helper()
	c, output := l.start(strings.Fields(args)...)
	err := c.Wait()
	out := output()
	code := exitOf(l.t, err)
	l.none(l.t, fmt.Sprintf("vinfer-sync %s (exit code %d)", args, code), out)
	l.shown.WriteString(out)
	return out
}

// left looks through all that lies around but for the store, the destinations, and what was given to it.
func (l *leak) left() {
	l.t.Helper()
	l.scan(l.t, l.dir, "secrets/", "config.yaml", "state.db", "copy.db", "calls.jsonl", "crm.db", "zoho-zoho.token")
}

// pseudoTerminal opens a pseudo-terminal.
func pseudoTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// Whatever CRMs, VInfer and proxies answer, and whichever command is run: nothing secret and no whole number is printed, logged or left
// lying around. The log's other format differs in how it writes a line, so there only what logs most is run.
func TestNothingSecretIsShownOfAnyKind(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		format      string
		checks      []refusal // with which check is run
		most, least refusal   // the calls become dead letters; a fault
		commands    []string
	}{
		{"text", refusals, refusals[3], refusals[9], []string{
			"plan", "once", "status", "status --json", "dead list", "dead list --json", "dead show 1 2 3 4 5 6 7 8", "calls list", "calls list --json",
			"calls show call_marked0", "calls show call_marked1", "calls show call_marked2", "calls show --live call_marked3", "audit", "audit --json",
			"setup --dry-run", "setup", "cursor show", "store check", "store backup copy.db", "backfill --since -47h --to jsonl",
			"backfill --since -48h --dry-run", "backfill list", "pause webhook --reason x", "resume webhook",
		}},
		{"json", refusals[:1], refusals[7], refusals[0], []string{"once", "dead show 1 2 3 4 5 6 7 8", "calls show call_marked0", "setup"}},
	} {
		t.Run(x.format, func(t *testing.T) {
			t.Parallel()
			l := newLeak(t, x.format)
			l.env = append(l.env, firstBackoff+"=1m")
			for _, r := range x.checks {
				l.crm.says(r.status, r.form, r.grants)
				if r.status != http.StatusTooManyRequests { // waited for, minutes long
					l.vinfer.says(r.status, r.form, r.grants)
				}
				l.show("check")
			}
			l.vinfer.says(0, "", false)
			l.crm.says(x.most.status, x.most.form, true)
			for _, args := range x.commands {
				l.show(args)
			}
			l.vinfer.says(x.least.status, x.least.form, x.least.grants)
			l.crm.says(x.least.status, x.least.form, x.least.grants)
			for _, args := range []string{"dead retry --all", "calls show --live call_marked0", "audit", "backfill --since -46h --dry-run", "status"} {
				l.show(args)
			}
			l.show("forget --call call_marked0")
			l.show("forget --phone +91" + markPhone)
			l.left()
			if shown := l.shown.String(); !strings.Contains(shown, "call_marked") || !strings.Contains(shown, "DEBUG") {
				t.Errorf("nothing was shown: %s", shown)
			}
		})
	}
}

// The daemon: what it logs, serves, tells the operator's program and leaves behind, and what it shows of itself when it is made to end with a
// dump of its stacks. What it serves does not depend on the format of its log, so that is looked at in one of them.
func TestTheDaemonShowsNothingSecret(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json", "journal", "terminal"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			l := newLeak(t, format)
			c, output := l.start("run")
			l.until("the daemon answers", func() bool {
				conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", filepath.Join(l.dir, "admin.sock"))
				if err == nil {
					_ = conn.Close()
				}
				return err == nil
			})
			for _, r := range []refusal{refusals[0], refusals[5], refusals[8]} { // halted, dead letters, waiting
				l.crm.says(r.status, r.form, r.grants)
				for _, d := range []string{"webhook", "salesforce", "zoho", "exec"} {
					if format == "text" {
						l.show("resume " + d)
					} else {
						l.ask("resume", d)
					}
				}
				l.show("dead retry --all")
				if format == "text" {
					l.pages()
				}
			}
			l.vinfer.says(401, "html", true)
			l.show("once")
			if format == "text" {
				for _, args := range []string{"status", "status --json", "dead list", "dead show 1", "calls list", "calls show call_marked0", "plan"} {
					l.show(args)
				}
				for _, op := range []string{"status", "whose", "backfills", "cursor", "nothing"} {
					l.none(t, "the socket's "+op, l.ask(op, struct{}{}))
				}
				for _, file := range []string{"cmdline", "environ"} {
					text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", c.Process.Pid, file))
					if err != nil {
						t.Fatal(err)
					}
					l.none(t, "/proc/PID/"+file, string(text))
				}
			}
			l.until("the operator's program is told", func() bool { return exists(filepath.Join(l.dir, "told")) })
			if err := c.Process.Signal(syscall.SIGQUIT); err != nil {
				t.Fatal(err)
			}
			_ = c.Wait()
			log := output()
			l.none(t, "the daemon's log", log)
			for _, proof := range []string{"call_marked", "goroutine ", "DBG", "DEBUG", "<7>"} {
				if want := !(proof == "DBG" && format != "terminal" || proof == "DEBUG" && format == "terminal" || proof == "<7>" && format != "journal"); want && !strings.Contains(log, proof) {
					t.Errorf("the log has no %q: %.2000s", proof, log)
				}
			}
			l.left()
		})
	}
}

// pages looks at what is served over HTTP.
func (l *leak) pages() {
	l.t.Helper()
	for _, path := range []string{"/", "/metrics", "/readyz", "/healthz", "/" + secretMark} {
		_, page := fetch(l.t, "http://"+l.listen+path)
		l.none(l.t, path, page)
	}
}

// ask sends an operation to the daemon's socket.
func (l *leak) ask(op string, in any) string {
	l.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(l.dir, "admin.sock"))
	}}}
	body, _ := json.Marshal(in)
	req, err := http.NewRequestWithContext(l.t.Context(), http.MethodPost, "http://daemon/"+op, bytes.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(text)
}

// Proxies that are named with a user and a password: refused, faulty, and not there.
func TestProxiesPasswordsAreNotShown(t *testing.T) {
	t.Parallel()
	echoes := &echo{}
	echoes.says(407, "html", false)
	proxy := httptest.NewServer(echoes)
	t.Cleanup(proxy.Close)
	at := strings.TrimPrefix(proxy.URL, "http://")
	for name, url := range map[string]string{
		"refusing": "http://me:" + secretMark + "@" + at, "closed": "http://me:" + secretMark + "@127.0.0.1:9", "socks": "socks5://me:" + secretMark + "@127.0.0.1:9",
		"tls": "https://me:" + secretMark + "@" + at, "faulty": "http://me:" + secretMark + "@:bad", "scheme": "gopher://me:" + secretMark + "@" + at,
	} {
		for _, from := range []string{"environment", "configuration"} {
			t.Run(name+", "+from, func(t *testing.T) {
				t.Parallel()
				l := newLeak(t, "text")
				if from == "environment" {
					// Nothing on loopback goes through these.
					l.env = append(l.env, "HTTP_PROXY="+url, "HTTPS_PROXY="+url)
					text, err := os.ReadFile(filepath.Join(l.dir, "config.yaml"))
					if err != nil {
						t.Fatal(err)
					}
					l.write("config.yaml", strings.ReplaceAll(string(text), "http://127.0.0.1:", "http://crm.invalid:"))
				} else {
					l.write("secrets/proxy", url+"\n")
					l.configure("      proxy_file: " + l.dir + "/secrets/proxy\n")
					text, err := os.ReadFile(filepath.Join(l.dir, "config.yaml"))
					if err != nil {
						t.Fatal(err)
					}
					l.write("config.yaml", strings.Replace(string(text), "timeout: 5s}", "timeout: 5s, proxy_file: secrets/proxy}", 1))
				}
				for _, args := range []string{"check", "check --offline", "plan"} {
					l.show(args)
				}
				if name == "refusing" {
					l.show("once")
					l.show("status")
				}
				l.left()
			})
		}
	}
}
