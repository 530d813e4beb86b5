//go:build packages

package packaging_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What an operator has put into the system: none of it is the package's to change.
const (
	operatorsConfig  = "start: -24h\n"
	operatorsKey     = "VINFER_API_KEY=made-up\n"
	operatorsExample = "# my own notes\n"
	state            = "the state"
)

// enabled is the link by which systemd starts the service at a boot.
const enabled = "/etc/systemd/system/multi-user.target.wants/vinfer-sync.service"

// before returns the packages of an older version whose example is another one.
func before(t *testing.T) string {
	t.Helper()
	source := tree(t)
	example := filepath.Join(source, "config.example.yaml")
	if err := os.WriteFile(example, []byte("# the example of an older version\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return build(t, source, "0.0.0~older", "deb rpm")
}

// settle does what an operator does after the installation, and what the service does.
func (r *root) settle() {
	r.t.Helper()
	r.write("/etc/vinfer-sync/config.yaml", operatorsConfig, 0o644)
	r.write("/etc/vinfer-sync/env", operatorsKey, 0o600)
	r.write("/etc/vinfer-sync/credentials/vinfer_api_key", operatorsKey, 0o600)
	r.write("/etc/vinfer-sync/config.example.yaml", operatorsExample, 0o644)
	r.write("/var/lib/vinfer-sync/state.db", state, 0o600)
	r.write("/var/lib/vinfer-sync-sales/state.db", state, 0o600)
	r.run("chown", "-R", "vinfer-sync:", "/var/lib/vinfer-sync", "/var/lib/vinfer-sync-sales")
	r.run("systemctl", "enable", "vinfer-sync")
	r.run("systemctl", "enable", "vinfer-sync@sales")
}

// settled wants all of that to be there still.
func (r *root) settled() {
	r.t.Helper()
	r.holds("/etc/vinfer-sync/config.yaml", operatorsConfig, 0o644)
	r.holds("/etc/vinfer-sync/env", operatorsKey, 0o600)
	r.holds("/etc/vinfer-sync/credentials/vinfer_api_key", operatorsKey, 0o600)
	r.holds("/var/lib/vinfer-sync/state.db", state, 0o600)
	r.holds("/var/lib/vinfer-sync-sales/state.db", state, 0o600)
	if owner := strings.TrimSpace(r.run("stat", "-c", "%U:%G", "/var/lib/vinfer-sync/state.db")); owner != "vinfer-sync:vinfer-sync" {
		r.t.Errorf("the state is %s's", owner)
	}
}

// installed wants what every package brings.
func (r *root) installed(version string) {
	r.t.Helper()
	if got := r.run("vinfer-sync", "version"); !strings.HasPrefix(got, "vinfer-sync "+version+" ") {
		r.t.Errorf("the program says %q, not %s", got, version)
	}
	if passwd := r.run("getent", "passwd", "vinfer-sync"); !strings.Contains(passwd, ":/var/lib/vinfer-sync:/usr/sbin/nologin") {
		r.t.Errorf("the user is %q", passwd)
	}
	r.run("getent", "group", "vinfer-sync")
	for path, mode := range map[string]os.FileMode{
		"/usr/bin/vinfer-sync": 0o755, "/etc/vinfer-sync": 0o755, "/etc/vinfer-sync/credentials": 0o700,
		"/usr/lib/systemd/system/vinfer-sync.service": 0o644, "/usr/lib/systemd/system/vinfer-sync@.service": 0o644,
		"/usr/lib/systemd/system/vinfer-sync-backfill@.service": 0o644, "/usr/lib/sysusers.d/vinfer-sync.conf": 0o644,
		"/usr/share/bash-completion/completions/vinfer-sync": 0o644, "/usr/share/fish/vendor_completions.d/vinfer-sync.fish": 0o644,
		"/usr/share/doc/vinfer-sync/README.md": 0o644, "/usr/share/doc/vinfer-sync/config.example.yaml": 0o644,
		"/usr/share/man/man1/vinfer-sync.1.gz": 0o644, "/usr/share/doc/vinfer-sync/LICENSE": 0o644, "/usr/share/doc/vinfer-sync/licences.txt": 0o644,
		"/usr/share/doc/vinfer-sync/docs/OPERATIONS.md": 0o644, "/usr/share/doc/vinfer-sync/docs/crm/odoo.md": 0o644,
	} {
		fi, err := os.Stat(r.at(path))
		if err != nil {
			r.t.Error(err)
		} else if fi.Mode().Perm() != mode {
			r.t.Errorf("%s has mode %o, not %o", path, fi.Mode().Perm(), mode)
		}
	}
}

// removed wants the package's own files to be gone.
func (r *root) removed() {
	r.t.Helper()
	r.gone("/usr/bin/vinfer-sync", "/usr/lib/systemd/system/vinfer-sync.service", "/usr/lib/systemd/system/vinfer-sync@.service",
		"/usr/lib/systemd/system/vinfer-sync-backfill@.service", "/usr/lib/sysusers.d/vinfer-sync.conf", "/usr/share/doc/vinfer-sync")
}

func TestDeb(t *testing.T) {
	need(t, "mmdebstrap", "dpkg-deb")
	older := only(t, filepath.Join(before(t), "*.deb"))
	newer, version := dist(t, "deb")
	r := newRoot(t)
	r.run("sh", "-c", "dpkg --verify > /root/untouched")
	older, newer = r.copyIn(older), r.copyIn(newer)
	empty := r.files()

	says := r.run("dpkg", "-i", older)
	r.installed("0.0.0~older")
	if !strings.Contains(says, "Next, as root: vinfer-sync init") {
		t.Errorf("the installation does not say what is next: %s", says)
	}
	r.gone(enabled, "/etc/vinfer-sync/config.yaml", "/etc/vinfer-sync/env")
	if differs := r.run("dpkg", "--verify", "vinfer-sync"); differs != "" {
		t.Errorf("what was installed is not what the package holds:\n%s", differs)
	}

	r.settle()
	// Who keeps his own file where both have changed it gets the new one beside it; dpkg asks otherwise.
	says = r.run("dpkg", "--force-confold", "-i", newer)
	r.installed(version)
	r.settled()
	r.holds("/etc/vinfer-sync/config.example.yaml", operatorsExample, 0o644)
	if !r.has("/etc/vinfer-sync/config.example.yaml.dpkg-dist") || !r.has(enabled) {
		t.Error("no new example beside the operator's, or the service is enabled no more")
	}
	if strings.Contains(says, "vinfer-sync init") {
		t.Errorf("an upgrade says what the first installation does: %s", says)
	}
	r.run("dpkg", "--force-confold", "-i", newer) // once more changes nothing
	r.installed(version)
	r.settled()

	r.run("dpkg", "--remove", "vinfer-sync")
	r.removed()
	r.settled()
	r.holds("/etc/vinfer-sync/config.example.yaml", operatorsExample, 0o644)
	r.run("dpkg", "--force-confold", "-i", newer) // back again, as it was
	r.installed(version)
	r.settled()
	if !r.has(enabled) {
		t.Error("the service is enabled no more after it was removed and installed again")
	}

	r.run("dpkg", "--purge", "vinfer-sync")
	r.removed()
	for path := range r.files() {
		ours := !empty[path] && !strings.HasPrefix(path, "/var/lib/dpkg/") && !strings.HasPrefix(path, "/var/log/")
		if ours && !strings.HasPrefix(path, "/etc/passwd") && !strings.HasPrefix(path, "/etc/group") && !strings.HasPrefix(path, "/etc/shadow") && !strings.HasPrefix(path, "/etc/gshadow") {
			t.Errorf("a purge leaves %s", path)
		}
	}
	r.run("dpkg", "-i", newer) // and from the beginning
	r.installed(version)
	r.gone(enabled, "/etc/vinfer-sync/config.yaml", "/var/lib/vinfer-sync")
}

func TestRPM(t *testing.T) {
	need(t, "mmdebstrap", "rpm")
	older := only(t, filepath.Join(before(t), "*.rpm"))
	newer, version := dist(t, "rpm")
	r := newRoot(t)
	// The database is the root's and empty: a Debian system fulfils the dependencies, but rpm does not know.
	rpm := func(args ...string) string {
		t.Helper()
		return output(t, exec.CommandContext(t.Context(), "rpm", append([]string{"--root", r.dir}, args...)...))
	}

	says := rpm("-i", "--nodeps", older)
	r.installed("0.0.0~older")
	if !strings.Contains(says, "Next, as root: vinfer-sync init") {
		t.Errorf("the installation does not say what is next: %s", says)
	}
	r.gone(enabled, "/etc/vinfer-sync/config.yaml", "/etc/vinfer-sync/env")
	if differs := rpm("-V", "--nodeps", "vinfer-sync"); differs != "" {
		t.Errorf("what was installed is not what the package holds:\n%s", differs)
	}

	r.settle()
	says = rpm("-U", "--nodeps", newer)
	r.installed(version)
	r.settled()
	r.holds("/etc/vinfer-sync/config.example.yaml", operatorsExample, 0o644)
	if !r.has("/etc/vinfer-sync/config.example.yaml.rpmnew") || !r.has(enabled) {
		t.Error("no new example beside the operator's, or the service is enabled no more")
	}
	if strings.Contains(says, "vinfer-sync init") {
		t.Errorf("an upgrade says what the first installation does: %s", says)
	}
	if got := strings.TrimSpace(rpm("-q", "--qf", "%{VERSION}\n", "vinfer-sync")); got != version {
		t.Errorf("rpm has %s, not %s", got, version)
	}

	rpm("-e", "--nodeps", "vinfer-sync")
	r.removed()
	r.settled()
	r.gone(enabled)
	r.holds("/etc/vinfer-sync/config.example.yaml.rpmsave", operatorsExample, 0o644)
	rpm("-i", "--nodeps", newer)
	r.installed(version)
	r.settled()
}
