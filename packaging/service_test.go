//go:build systemd

package packaging_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The service on a machine that systemd has booted, from the package's installation to its purge. Each step goes on where the
// one before ended.
func TestService(t *testing.T) {
	need(t, "mmdebstrap", "systemd-nspawn", "nsenter", "dpkg-deb")
	older, newer := build(t, "..", "0.0.1", "deb"), build(t, "..", "0.0.2", "deb")
	r := newRoot(t)
	w := &world{hook: &hook{}, outer: t}
	w.older, w.newer = r.copyIn(only(t, filepath.Join(older, "*.deb"))), r.copyIn(only(t, filepath.Join(newer, "*.deb")))
	w.machine = boot(t, r)
	w.hook.serve(t, w.machine)
	for _, step := range []struct {
		name string
		do   func(w *world)
	}{
		{"installing starts nothing", (*world).install},
		{"systemd finds no fault with the units", (*world).verify},
		{"the sandbox scores at most 1.5", (*world).score},
		{"without a configuration it stays down, exit code 78", (*world).unconfigured},
		{"a new user's way, from init to the first call", (*world).newcomer},
		{"it starts and is ready", (*world).start},
		{"the key comes as a credential and stands nowhere else", (*world).credential},
		{"the sandbox is in force", (*world).sandbox},
		{"the socket is the group's", (*world).socket},
		{"a reload takes up a changed configuration, not a bad one", (*world).reload},
		{"with a bad configuration it stays down, exit code 78", (*world).badConfiguration},
		{"check sees what the service could not use", (*world).checks},
		{"the watchdog kills one that hangs, and it goes on", (*world).watchdog},
		{"a stop lets deliveries in flight finish", (*world).drain},
		{"a second pipeline", (*world).second},
		{"a backfill beside the service, and alone", (*world).backfill},
		{"an upgrade restarts what runs and keeps state", (*world).upgrade},
		{"nothing is lost, nothing doubled", (*world).count},
		{"it comes up with the machine", (*world).reboot},
		{"removing stops it and keeps state", (*world).remove},
		{"a purge leaves nothing", (*world).purge},
	} {
		if !t.Run(step.name, func(t *testing.T) { w.t = t; step.do(w) }) {
			w.t = t
			t.Fatalf("the other steps go on from here, and did not run. The journal:\n%s\nsystemd:\n%s", tail(w.journal(), 60),
				tail(w.run("journalctl", "--no-pager", "-o", "short-precise", "_PID=1"), 40))
		}
	}
	w.t = t
}

// tail returns the last lines of a text.
func tail(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func (w *world) install() {
	w.run("dpkg", "-i", w.older)
	w.shows(unit, "ActiveState", "inactive", "UnitFileState", "disabled", "NRestarts", "0", "Type", "notify")
	if _, says := w.fails("systemctl", "is-enabled", unit); strings.TrimSpace(says) != "disabled" {
		w.t.Errorf("the service is %s", says)
	}
}

func (w *world) verify() {
	if says := w.run("systemd-analyze", "--man=no", "verify", unit, "vinfer-sync@sales.service", "vinfer-sync-backfill@2026-01-01.service"); says != "" {
		w.t.Errorf("systemd-analyze verify says:\n%s", says)
	}
}

func (w *world) score() {
	for _, u := range []string{unit, "vinfer-sync@sales.service", "vinfer-sync-backfill@2026-01-01.service"} {
		report := strings.TrimSpace(w.run("systemd-analyze", "security", "--threshold=15", "--no-pager", u)) // tenths; more is an exit code
		w.t.Log(report[strings.LastIndex(report, "\n")+1:])
	}
}

// staysDown wants a start to fail with exit code 78, and systemd not to try again.
func (w *world) staysDown(because string) {
	w.t.Helper()
	w.fails("systemctl", "restart", unit)
	w.shows(unit, "ActiveState", "failed", "SubState", "failed", "ExecMainStatus", "78", "Result", "exit-code", "NRestarts", "0")
	if log := w.journal(unit); !strings.Contains(log, because) {
		w.t.Errorf("the journal does not say %q:\n%s", because, tail(log, 20))
	}
	w.run("systemctl", "reset-failed", unit)
}

func (w *world) unconfigured() { w.staysDown("/etc/vinfer-sync/config.yaml: cannot be read") }

// newcomer does what the program says, and nothing else.
func (w *world) newcomer() {
	w.write("/etc/systemd/system/simulator.service", simulatorUnit, 0o644)
	w.run("systemctl", "daemon-reload")
	w.run("systemctl", "enable", "--now", "simulator")
	w.until("the API answers", func() bool { return w.command(w.t.Context(), "bash", "-c", "</dev/tcp/127.0.0.1/8420").Run() == nil })
	w.write("/root/key", apiKey+"\n", 0o600)
	says := w.run("sh", "-c", "vinfer-sync init --non-interactive --api-key-file - --base-url "+api+" --start=-2h </root/key")
	next, found := "", false
	for line := range strings.Lines(says) {
		if next, found = strings.CutPrefix(line, "Next: "); found {
			break
		}
	}
	if next = strings.TrimSpace(next); next != "systemctl enable --now vinfer-sync" {
		w.t.Fatalf("init says:\n%s", says)
	}
	w.run("sh", "-c", next)
	w.until("a call is delivered", func() bool { return w.status().Destinations[0].Delivered > 0 })
	if len(w.inDatabase("/var/lib/vinfer-sync/crm.db")) == 0 {
		w.t.Error("it is not in the database")
	}
	if strings.Contains(says, apiKey) || strings.Contains(w.read(config), apiKey) {
		w.t.Errorf("the key is in the configuration, or in what init says:\n%s", says)
	}
	// What follows begins anew.
	w.run("systemctl", "disable", "--now", unit)
	w.run("sh", "-c", "rm -r /var/lib/vinfer-sync/* /etc/vinfer-sync/config.yaml /etc/vinfer-sync/vinfer_api_key /root/key")
}

func (w *world) start() {
	w.configure(basis)
	w.write("/etc/vinfer-sync/credentials/vinfer_api_key", apiKey+"\n", 0o600)
	w.dropIn(unit, "credentials", "LoadCredential=vinfer_api_key:/etc/vinfer-sync/credentials/vinfer_api_key")
	w.run("systemctl", "enable", unit)
	w.run("systemctl", "start", unit) // returns when it says READY, or fails
	w.shows(unit, "ActiveState", "active", "SubState", "running", "NRestarts", "0")
	w.delivers()
	w.until("systemd knows its cursor", func() bool { return strings.HasPrefix(w.show(unit, "StatusText"), "cursor ") })
	w.run("sh", "-c", "test $(stat -c %a:%U /var/lib/vinfer-sync) = 700:vinfer-sync")
}

func (w *world) credential() {
	pid := w.show(unit, "MainPID")
	environment := strings.Split(w.proc(pid, "environ"), "\x00")
	if !slices.Contains(environment, "CREDENTIALS_DIRECTORY=/run/credentials/"+unit) {
		w.t.Errorf("its environment is %q", environment)
	}
	for what, text := range map[string]string{
		"environment": strings.Join(environment, " "), "command line": w.proc(pid, "cmdline"), "journal": w.journal(unit),
		"status": w.run("systemctl", "status", "--no-pager", unit),
	} {
		if strings.Contains(text, apiKey) {
			w.t.Errorf("the key is in its %s: %s", what, text)
		}
	}
	if w.status().LastRun.Error != "" {
		w.t.Errorf("the last run failed: %s", w.status().LastRun.Error)
	}
}

func (w *world) sandbox() {
	facts := map[string]string{}
	for line := range strings.Lines(w.proc(w.show(unit, "MainPID"), "status")) {
		name, value, _ := strings.Cut(line, ":")
		facts[name] = strings.TrimSpace(value)
	}
	const none = "0000000000000000"
	for name, want := range map[string]string{
		"NoNewPrivs": "1", "Seccomp": "2", "CapEff": none, "CapPrm": none, "CapInh": none, "CapBnd": none, "CapAmb": none,
		"Uid": strings.Repeat(strings.TrimSpace(w.run("id", "-u", "vinfer-sync"))+"\t", 4),
	} {
		if facts[name] != strings.TrimSpace(want) {
			w.t.Errorf("%s is %q, not %q", name, facts[name], want)
		}
	}

	w.copyIn("testdata/probe.pl")
	w.run("install", "-m", "0644", "/root/probe.pl", "/usr/local/lib/probe.pl")
	w.run("touch", "/tmp/of-others")
	w.dropIn(unit, "probe", "ExecStartPre=/bin/sh -c '/usr/bin/perl /usr/local/lib/probe.pl >probe.txt'")
	w.run("systemctl", "restart", unit)
	w.dropOut(unit, "probe")
	inside, outside := byName(w.read("/var/lib/vinfer-sync/probe.txt")), byName(w.run("perl", "/usr/local/lib/probe.pl"))
	allowed := []string{"write-state", "write-tmp", "see-configuration", "socket-inet"}
	if len(inside) != len(outside) || len(outside) < 19 {
		w.t.Errorf("%d attempts inside of the sandbox, %d outside", len(inside), len(outside))
	}
	for name, out := range outside {
		in := inside[name]
		if out[0] != "yes" {
			w.t.Errorf("%s: even outside of the sandbox: %v", name, out)
		}
		want := "no"
		if slices.Contains(allowed, name) {
			want = "yes"
		}
		if in == nil || in[0] != want {
			w.t.Errorf("%s: %v inside of the sandbox, not %s", name, in, want)
		}
	}
	w.run("rm", "/var/lib/vinfer-sync/probe.txt")
}

func (w *world) socket() {
	w.run("useradd", "--groups", "vinfer-sync", "alice")
	w.run("useradd", "bob")
	if says := w.run("runuser", "-u", "alice", "--", "vinfer-sync", "status", "-c", config); !strings.Contains(says, "archive") {
		w.t.Errorf("a member of the group is told %q", says)
	}
	w.run("runuser", "-u", "alice", "--", "vinfer-sync", "once", "-c", config)
	code, says := w.fails("runuser", "-u", "bob", "--", "vinfer-sync", "status", "-c", config)
	if code != 1 || !strings.Contains(says, "member of the group vinfer-sync") {
		w.t.Errorf("somebody else is told %q, exit code %d", says, code)
	}
	w.fails("runuser", "-u", "alice", "--", "cat", "/var/lib/vinfer-sync/state.db")
}

func (w *world) reload() {
	pid := w.show(unit, "MainPID")
	w.configure(withHook)
	w.run("systemctl", "reload", unit)
	w.until("the third destination is taken up", func() bool { return len(w.status().Destinations) == 3 })
	w.until("it gets calls", func() bool { return len(w.hook.events(w.t)) > 0 })

	w.configure(withHook + "shedule: daily\n")
	w.fails("systemctl", "reload", unit)
	w.until("the fault is told", func() bool { return strings.Contains(w.status().ConfigError, "shedule") })
	if n := len(w.status().Destinations); n != 3 {
		w.t.Errorf("%d destinations after a bad reload", n)
	}
	if log := w.journal(unit); !strings.Contains(log, "is not taken up") {
		w.t.Errorf("the journal does not tell of the fault:\n%s", tail(log, 20))
	}
	w.delivers()
	w.shows(unit, "MainPID", pid, "ActiveState", "active", "SubState", "running")

	w.configure(withHook)
	w.run("systemctl", "reload", unit)
	w.until("the fault is over", func() bool { return w.status().ConfigError == "" })
	w.shows(unit, "MainPID", pid)
}

// checks looks whether root is told of what stops the service, but not root.
func (w *world) checks() {
	w.run("vinfer-sync", "check")
	for _, x := range []struct{ change, want string }{
		{"chown root:root " + config + "; chmod 0600 " + config, "may not read " + config},
		{"echo 'store: {bbolt: {path: /srv/vinfer/state.db}}' >>" + config, "may not write below /srv/vinfer"},
		{"echo 'store: {bbolt: {path: /proc/vinfer/state.db}}' >>" + config, "/proc/vinfer keeps no files"},
		{"echo 'store: {bbolt: {path: /root/state.db}}' >>" + config, "does not see /root/state.db"},
	} {
		w.configure(withHook)
		w.run("sh", "-c", x.change)
		if code, says := w.fails("vinfer-sync", "check"); code != 1 || !strings.Contains(says, x.want) {
			w.t.Errorf("after %s: exit code %d\n%s", x.change, code, says)
		}
	}
	w.configure(withHook)
	w.run("vinfer-sync", "check")
}

func (w *world) badConfiguration() {
	w.configure(withHook + "shedule: daily\n")
	w.staysDown("shedule")
	w.configure(withHook)
	w.run("systemctl", "start", unit)
	w.delivers()
}

func (w *world) watchdog() {
	w.dropIn(unit, "watchdog", "WatchdogSec=10s\nRestartSec=1s")
	w.run("systemctl", "restart", unit)
	w.delivers()
	// What is in flight to these when the process dies may come twice, and rightly. So nothing is.
	for _, d := range []string{"archive", "hook"} {
		w.run("vinfer-sync", "pause", d, "-c", config)
	}
	pid, restarts := w.show(unit, "MainPID"), w.show(unit, "NRestarts")
	w.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", unit)
	w.until("systemd has restarted it", func() bool {
		return w.show(unit, "NRestarts") != restarts && w.show(unit, "ActiveState") == "active" && w.show(unit, "MainPID") != pid
	})
	log := w.journal(unit)
	for _, want := range []string{"Watchdog timeout", "SIGABRT", "goroutine 1 "} {
		if !strings.Contains(log, want) {
			w.t.Errorf("the journal does not say %q", want)
		}
	}
	w.dropOut(unit, "watchdog")
	for _, d := range []string{"archive", "hook"} {
		w.run("vinfer-sync", "resume", d, "-c", config)
	}
	w.delivers()
}

func (w *world) drain() {
	w.hook.hold()
	w.until("a delivery is in flight", func() bool { return w.hook.waiting() > 0 })
	w.run("systemctl", "stop", "--no-block", unit)
	w.until("it is stopping", func() bool { return w.show(unit, "ActiveState") == "deactivating" })
	waiting, pid := w.hook.waiting(), w.show(unit, "MainPID")
	if waiting == 0 || pid == "0" {
		w.t.Fatalf("%d deliveries are in flight in process %s", waiting, pid)
	}
	w.hook.release()
	w.until("it has stopped", func() bool { return w.show(unit, "ActiveState") == "inactive" })
	w.shows(unit, "Result", "success", "ExecMainStatus", "0")
	before := w.hook.events(w.t)
	w.run("systemctl", "start", unit)
	w.until("it goes on", func() bool { return len(w.hook.events(w.t)) > len(before) })
	once(w.t, "the webhook", w.hook.events(w.t))
}

func (w *world) second() {
	w.write("/etc/vinfer-sync/env", "VINFER_API_KEY="+apiKey+"\n", 0o600)
	w.write("/etc/vinfer-sync/sales.yaml", fmt.Sprintf(`
name: sales
vinfer: {base_url: %q, api_key: "${VINFER_API_KEY}"}
schedule: "@every 2s"
start: -1h
max_call: 10m
store: {bbolt: {path: /var/lib/vinfer-sync-sales/state.db}}
admin: {socket: /run/vinfer-sync-sales/admin.sock, listen: 127.0.0.1:9478}
`, api), 0o644)
	w.run("sh", "-c", ". /etc/vinfer-sync/env; export VINFER_API_KEY; vinfer-sync check -c /etc/vinfer-sync/sales.yaml")
	w.run("systemctl", "start", "vinfer-sync@sales")
	w.shows("vinfer-sync@sales.service", "ActiveState", "active", "SubState", "running")
	w.until("it has delivered", func() bool {
		s := w.statusOf("/etc/vinfer-sync/sales.yaml")
		return s.Pipeline == "sales" && s.Destinations[0].Delivered > 0
	})
	if len(w.inDatabase("/var/lib/vinfer-sync-sales/crm.db")) == 0 {
		w.t.Error("and its database is empty")
	}
	w.shows(unit, "ActiveState", "active")
}
