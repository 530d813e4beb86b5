//go:build packages

package packaging_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The service of the apk package under OpenRC, which Debian has, too: it runs as its own user, reloads and stops, and does
// not start with a bad configuration.
func TestOpenRC(t *testing.T) {
	need(t, "mmdebstrap")
	r := newRootWith(t, "openrc,adduser,bsdutils,ca-certificates")
	output(t, exec.CommandContext(t.Context(), "tar", "--warning=no-unknown-keyword", "-C", r.dir, "-xf", only(t, "../dist/vinfer-sync_*_"+here(t).apk+".apk"), "etc", "usr"))
	if err := syscall.Mount("proc", r.at("/proc"), "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(r.at("/proc"), 0); err != nil {
			t.Error(err)
		}
	})
	r.run("adduser", "--system", "--group", "--no-create-home", "--home", "/var/lib/vinfer-sync", "vinfer-sync")
	// As a boot leaves it, which here is none; and nothing brings a network up: --nodeps.
	for _, dir := range []string{"daemons", "exclusive", "options", "started", "starting"} {
		r.run("mkdir", "-p", "/run/openrc/"+dir)
	}
	r.write("/run/openrc/softlevel", "", 0o644)
	good := fmt.Sprintf("vinfer: {base_url: %q, api_key: '${VINFER_API_KEY}'}\nstart: -48h\ntranscripts: {fetch: false}\nadmin: {listen: ''}\n", simulated(t, r.at("/usr/bin/vinfer-sync")))
	r.write("/etc/vinfer-sync/config.yaml", good, 0o644)
	r.write("/etc/vinfer-sync/env", operatorsKey, 0o600)

	r.run("rc-service", "--nodeps", "vinfer-sync", "start")
	t.Cleanup(func() { // also where the test ends early; its context has ended by then
		_ = exec.Command("chroot", r.dir, "rc-service", "--nodeps", "vinfer-sync", "stop").Run()
	})
	for began := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		if said, err := r.command(t.Context(), "vinfer-sync", "status", "-c", "/etc/vinfer-sync/config.yaml").CombinedOutput(); strings.Contains(string(said), "last run") && strings.Contains(string(said), " 0 pending") {
			break
		} else if time.Since(began) > time.Minute {
			t.Fatalf("it does not deliver: %v\n%s", err, said)
		}
	}
	uid := strings.TrimSpace(r.run("id", "-u", "vinfer-sync"))
	if owner := strings.TrimSpace(r.run("stat", "-c", "%u %a", "/var/lib/vinfer-sync/state.db")); owner != uid+" 600" {
		t.Errorf("the state file's owner and mode are %s, and the user is %s", owner, uid)
	}
	status := processOf(t, r.dir)
	for _, want := range []string{"Uid:\t" + uid + "\t" + uid, "NoNewPrivs:\t1", "Umask:\t0077"} {
		if !strings.Contains(status, want) {
			t.Errorf("the process has no %q: %s", want, status)
		}
	}
	r.run("rc-service", "--nodeps", "vinfer-sync", "reload")
	r.run("rc-service", "--nodeps", "vinfer-sync", "stop")

	r.write("/etc/vinfer-sync/config.yaml", good+"nonsense: 1\n", 0o644)
	if said, err := r.command(t.Context(), "rc-service", "--nodeps", "vinfer-sync", "start").CombinedOutput(); err == nil || !strings.Contains(string(said), "nonsense") {
		t.Errorf("with a bad configuration: %v\n%s", err, said)
	}
}

// processOf returns what the kernel says of the program's process whose root is dir.
func processOf(t *testing.T, dir string) string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, exe := range all {
		if to, err := os.Readlink(exe); err == nil && to == filepath.Join(dir, "usr/bin/vinfer-sync") {
			about, err := os.ReadFile(filepath.Join(filepath.Dir(exe), "status"))
			// The simulator runs from the same file, as root.
			if err == nil && !strings.Contains(string(about), "Uid:\t0\t") {
				return string(about)
			}
		}
	}
	t.Fatal("there is no process of the service")
	return ""
}
