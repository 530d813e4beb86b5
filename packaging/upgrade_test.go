//go:build systemd

package packaging_test

import "strings"

func (w *world) backfill() {
	w.dropIn("vinfer-sync-backfill@.service", "credentials", "LoadCredential=vinfer_api_key:/etc/vinfer-sync/credentials/vinfer_api_key")
	before := len(w.inDatabase("/var/lib/vinfer-sync/crm.db"))
	w.run("systemctl", "start", "vinfer-sync-backfill@-3h") // returns when it has ended, and fails if that does
	w.shows("vinfer-sync-backfill@-3h.service", "ActiveState", "inactive", "Result", "success", "ExecMainStatus", "0")
	w.shows(unit, "ActiveState", "active")
	beside := len(w.inDatabase("/var/lib/vinfer-sync/crm.db"))
	// 50 made-up calls an hour: each of these brings those of more than an hour.
	if beside-before < 50 {
		w.t.Errorf("the backfill beside the service brought %d calls", beside-before)
	}

	w.run("systemctl", "stop", unit)
	w.run("systemctl", "start", "vinfer-sync-backfill@-7h")
	w.shows("vinfer-sync-backfill@-7h.service", "ActiveState", "inactive", "Result", "success", "ExecMainStatus", "0")
	if alone := len(w.inDatabase("/var/lib/vinfer-sync/crm.db")); alone-beside < 50 {
		w.t.Errorf("the backfill alone brought %d calls", alone-beside)
	}
	w.shows(unit, "ActiveState", "inactive")
	w.run("systemctl", "start", unit)
	w.delivers()
}

func (w *world) upgrade() {
	const sales = "vinfer-sync@sales.service"
	w.write("/etc/vinfer-sync/other.yaml", "name: other\n", 0o644)
	pid, salesPID, before := w.show(unit, "MainPID"), w.show(sales, "MainPID"), w.status()
	inode := w.run("stat", "-c", "%i", "/var/lib/vinfer-sync/state.db")
	w.run("dpkg", "-i", w.newer)
	w.shows(unit, "ActiveState", "active", "UnitFileState", "enabled")
	w.shows(sales, "ActiveState", "active")
	w.shows("vinfer-sync@other.service", "ActiveState", "inactive")
	if w.show(unit, "MainPID") == pid || w.show(sales, "MainPID") == salesPID {
		w.t.Error("the old program runs on")
	}
	after := w.status()
	if before.Version != "0.0.1" || after.Version != "0.0.2" || after.Cursor < before.Cursor {
		w.t.Errorf("before: version %s, cursor %s; after: %s, %s", before.Version, before.Cursor, after.Version, after.Cursor)
	}
	if now := w.run("stat", "-c", "%i", "/var/lib/vinfer-sync/state.db"); now != inode {
		w.t.Error("the state is another file")
	}
	w.holds(config, withHook, 0o644)
	w.holds("/etc/vinfer-sync/credentials/vinfer_api_key", apiKey+"\n", 0o600)
	w.delivers()
	w.run("vinfer-sync", "store", "check", "-c", config)

	// What is stopped stays so.
	w.run("systemctl", "stop", sales)
	w.run("dpkg", "-i", w.newer)
	w.shows(sales, "ActiveState", "inactive")
	w.shows(unit, "ActiveState", "active")
}

func (w *world) count() {
	want := w.ended()
	if len(want) < 300 {
		w.t.Fatalf("only %d calls have ended", len(want))
	}
	w.until("all calls that have ended are delivered", func() bool {
		return len(missing(want, once(w.t, "the archive", w.archived()))) == 0 && len(missing(want, w.inDatabase("/var/lib/vinfer-sync/crm.db"))) == 0
	})
	once(w.t, "the webhook", w.hook.events(w.t))
	s := w.status()
	if s.Dead != 0 {
		w.t.Errorf("%d dead letters", s.Dead)
	}
	w.run("vinfer-sync", "audit", "-c", config) // exit code 1: a call was missed
	w.t.Logf("%d calls, each once: %d deliveries to the file, %d to the webhook", len(want), len(w.archived()), len(w.hook.events(w.t)))
	if strings.Contains(w.journal("vinfer-sync.service", "vinfer-sync@sales.service", "vinfer-sync-backfill@-3h.service", "vinfer-sync-backfill@-7h.service"), apiKey) {
		w.t.Error("the key is in the journal")
	}
}

func (w *world) reboot() {
	before := w.status() // the webhook's handler ends with the network, and is waited for
	w.poweroff()
	again := boot(w.outer, w.root)
	again.t = w.t
	w.machine = again
	w.until("the service is up", func() bool { return w.show(unit, "ActiveState") == "active" })
	w.until("it polls", func() bool { s := w.status(); return s.LastRun.At > before.LastRun.At && s.LastRun.Error == "" })
	if after := w.status(); after.Cursor < before.Cursor {
		w.t.Errorf("the cursor was %s and is %s", before.Cursor, after.Cursor)
	}
}

func (w *world) remove() {
	w.run("systemctl", "start", "vinfer-sync@sales")
	w.run("systemctl", "stop", "simulator") // which is the same program
	w.run("dpkg", "--remove", "vinfer-sync")
	w.shows(unit, "ActiveState", "inactive")
	w.shows("vinfer-sync@sales.service", "ActiveState", "inactive")
	if processes := w.run("sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null; true"); strings.Contains(processes, "vinfer-sync") {
		w.t.Errorf("something runs still:\n%s", processes)
	}
	w.holds(config, withHook, 0o644)
	for _, p := range []string{"/var/lib/vinfer-sync/state.db", "/var/lib/vinfer-sync/crm.db", "/var/lib/vinfer-sync-sales/state.db", "/etc/vinfer-sync/env"} {
		if !w.has(p) {
			w.t.Errorf("%s is gone", p)
		}
	}
}

func (w *world) purge() {
	w.run("dpkg", "--purge", "vinfer-sync")
	w.gone("/etc/vinfer-sync", "/var/lib/vinfer-sync", "/var/lib/vinfer-sync-sales", "/run/vinfer-sync",
		"/etc/systemd/system/multi-user.target.wants/vinfer-sync.service")
	w.shows(unit, "LoadState", "not-found")
}
