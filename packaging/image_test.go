//go:build packages

package packaging_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// containers runs some, with its storage in a directory of the test's.
type containers struct {
	t    *testing.T
	args []string
}

func newContainers(t *testing.T) *containers {
	t.Helper()
	need(t, "podman", "runc")
	dir := t.TempDir()
	e := &containers{t, []string{"--root", dir + "/storage", "--runroot", dir + "/run", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--runtime", "runc"}}
	t.Cleanup(func() { // also of those that a failure leaves; the test's context has ended
		_ = exec.Command("podman", append(e.args, "rm", "--all", "--force", "--time", "0")...).Run()
	})
	return e
}

func (e *containers) command(args ...string) *exec.Cmd {
	return exec.CommandContext(e.t.Context(), "podman", append(e.args, args...)...)
}

// do runs a command of podman that has to succeed.
func (e *containers) do(args ...string) string {
	e.t.Helper()
	return strings.TrimSpace(output(e.t, e.command(args...)))
}

// confined are the flags of docs/CONTAINER.md, on the host's network, where the test's API is. The limits are some that
// root without CAP_SYS_RESOURCE may set.
var confined = []string{
	"--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
}

const containerConfig = `
vinfer: {base_url: %q, api_key_file: /etc/vinfer-sync/api_key}
start: -48h
schedule: "CRON_TZ=Asia/Kolkata */5 * * * *"
timezone: Asia/Kolkata
transcripts: {fetch: false}
admin: {listen: %q}
crm:
  - {name: db, sqlite: {path: /var/lib/vinfer-sync/crm.db}}
`

// The image from its file alone: a container that may write nothing but its volumes delivers, answers its probes, stops in
// order, and the next one goes on with its state.
func TestImage(t *testing.T) {
	e := newContainers(t)
	_, version := dist(t, "deb")
	loaded := e.do("load", "--quiet", "--input", only(t, "../dist/vinfer-sync-*-image.tar"))
	_, image, ok := strings.Cut(loaded, "Loaded image: ")
	if !ok || !strings.Contains(image, "vinfer-sync:") {
		t.Fatalf("loading the image says %q", loaded)
	}
	if user := e.do("inspect", "--format", "{{.Config.User}} {{.Os}}/{{.Architecture}}", image); user != "65532:65532 linux/"+here(t).goarch {
		t.Errorf("it runs as %s", user)
	}
	run := func(args ...string) []string { return append(append([]string{"run", "--rm"}, confined...), args...) }
	if got := e.do(run(image, "version")...); !strings.HasPrefix(got, "vinfer-sync "+version+" ") {
		t.Errorf("the program says %q, not %s", got, version)
	}
	if out, err := e.command(run(image)...).CombinedOutput(); err == nil || e.exitCode(err) != 78 {
		t.Errorf("without a configuration: %v, not exit code 78:\n%s", err, out)
	}

	listen, config := freeAddress(t), t.TempDir()
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(config, name), []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(config, name), 65532, 65532); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(config, 0o755); err != nil { //nolint:gosec // the container's user goes through it
		t.Fatal(err)
	}
	program := only(t, unpacked(t, tarball(t, here(t)))+"/*/vinfer-sync")
	put("config.yaml", fmt.Sprintf(containerConfig, simulated(t, program), listen))
	put("api_key", "any\n")
	volumes := []string{"--volume", config + ":/etc/vinfer-sync:ro", "--volume", "state:/var/lib/vinfer-sync"}
	e.do(append(append(append([]string{"run", "--detach", "--name", "daemon"}, confined...), volumes...), image)...)
	logs := func() string { return e.do("logs", "daemon") }

	var status struct {
		Pending, Dead int
		Destinations  []struct{ Delivered int }
	}
	e.until("it delivers", logs, func() bool {
		out, err := e.command("exec", "daemon", "/usr/bin/vinfer-sync", "status", "--json").Output()
		return err == nil && json.Unmarshal(out, &status) == nil && len(status.Destinations) == 1 && status.Destinations[0].Delivered > 0 && status.Pending == 0
	})
	e.do("exec", "daemon", "/usr/bin/vinfer-sync", "status")
	e.do("exec", "daemon", "/usr/bin/vinfer-sync", "check")
	for _, path := range []string{"/healthz", "/readyz"} {
		if code := statusOf(t, "http://"+listen+path); code != http.StatusOK {
			t.Errorf("%s answers %d:\n%s", path, code, logs())
		}
	}
	e.do("stop", "--time", "30", "daemon")
	if code := e.do("inspect", "--format", "{{.State.ExitCode}}", "daemon"); code != "0" {
		t.Errorf("it stops with %s:\n%s", code, logs())
	}

	// podman gives a new volume the owner that the image says, and a mode of its own.
	state := e.do("volume", "inspect", "--format", "{{.Mountpoint}}", "state")
	for path, mode := range map[string]os.FileMode{state: 0o777, state + "/state.db": 0o600, state + "/crm.db": 0o600} {
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st, ok := fi.Sys().(*syscall.Stat_t); !ok || st.Uid != 65532 || fi.Mode().Perm()&^mode != 0 {
			t.Errorf("%s has mode %v and user %d", path, fi.Mode(), st.Uid)
		}
	}
	var summary struct{ New, Delivered int }
	out := e.do(run(append(volumes, "--log-driver", "none", image, "once", "--json", "--log-level", "error")...)...)
	_, answer, _ := strings.Cut(out, "\n") // after the line that names the pipeline
	if err := json.Unmarshal([]byte(answer), &summary); err != nil || summary.New != 0 || summary.Delivered != 0 {
		t.Errorf("the next container begins anew: %v %s", err, out)
	}

	bundle := filepath.Join(t.TempDir(), "roots.pem")
	e.do("cp", "daemon:/etc/ssl/certs/ca-certificates.crt", bundle)
	pem, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if n := strings.Count(string(pem), "BEGIN CERTIFICATE"); !pool.AppendCertsFromPEM(pem) || n < 80 {
		t.Errorf("it trusts %d authorities", n)
	}
}

func (e *containers) exitCode(err error) int {
	e.t.Helper()
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as Run returns it
		return exit.ExitCode()
	}
	e.t.Fatal(err)
	return 0
}

func (e *containers) until(what string, logs func() string, done func() bool) {
	e.t.Helper()
	for began := time.Now(); !done(); time.Sleep(200 * time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			e.t.Fatalf("it never came to this: %s\n%s", what, logs())
		}
	}
}

// freeAddress is one on loopback that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}
