//go:build systemd

package packaging_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long something may take on a machine that does much else; what does not happen until then does not happen.
const patience = 2 * time.Minute

// machine is a Debian system that systemd has booted, in a container with a network of its own.
type machine struct {
	*root
	leader string // its process 1, as this system knows it
	ended  chan error
	log    *bytes.Buffer // its console, to be read when it has ended
}

// boot starts the system of a root; it ends with the test, or with the test's process.
func boot(t *testing.T, r *root) *machine {
	t.Helper()
	m := &machine{root: r, ended: make(chan error, 1), log: &bytes.Buffer{}}
	name := groupPrefix + strconv.Itoa(os.Getpid())
	groups := controlGroups(t, name)
	// The namespace around the container's ends with unshare, and everything in it.
	enter := `for group; do [ "$group" = -- ] && break; shift; echo $$ > "$group/cgroup.procs"; done; shift
		exec unshare --pid --fork --kill-child --mount-proc systemd-nspawn "$@"`
	args := append(append([]string{"-ec", enter, "sh"}, groups...), "--", "--quiet", "--boot", "--directory="+r.dir, "--machine="+name,
		"--register=no", "--keep-unit", "--private-network", "--console=pipe", "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--settings=no")
	c := exec.CommandContext(t.Context(), "sh", args...)
	c.Stdout, c.Stderr = m.log, m.log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.Cancel = func() error { return nil } // the cleanup below ends it
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the signal comes when the thread that started it is gone
		err := c.Start()
		started <- err
		if err == nil {
			m.ended <- c.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.kill()
		_ = c.Process.Kill() // in case there never was a process 1
		if err := <-m.ended; t.Failed() {
			t.Logf("the console (%v):\n%s", err, m.log.Bytes())
		}
		// What systemd-nspawn notes of a container stays when it is killed.
		notes := []string{filepath.Join("/run/systemd/nspawn/propagate", name)}
		var st unix.Stat_t
		if err := unix.Stat(r.dir, &st); err == nil {
			notes = append(notes, fmt.Sprintf("/run/systemd/nspawn/locks/inode-%d:%d", st.Dev, st.Ino))
		}
		for _, note := range notes {
			if err := os.RemoveAll(note); err != nil {
				t.Error(err)
			}
		}
	})
	m.until("the container has a process 1", func() bool {
		m.leader = first(c.Process.Pid)
		return m.leader != ""
	})
	m.until("systemd has booted", func() bool {
		out, _ := m.command(t.Context(), "systemctl", "is-system-running").CombinedOutput()
		state := strings.TrimSpace(string(out))
		return state == "running" || state == "degraded"
	})
	return m
}

// groupPrefix and the number of a test's process name its control groups.
const groupPrefix = "vinfer-sync-test-"

// controlGroups makes a control group for the container in each hierarchy that systemd uses, so that it shares none with anybody;
// they go with the test, those of a test that was killed with the next one. On machines with both versions of control groups there
// are two.
func controlGroups(t *testing.T, name string) []string {
	t.Helper()
	var groups []string
	for _, hierarchy := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(hierarchy, "cgroup.procs")); err != nil {
			continue
		}
		left, _ := filepath.Glob(filepath.Join(hierarchy, groupPrefix+"*")) // the pattern is a good one
		for _, group := range left {
			if _, err := os.Stat(filepath.Join("/proc", strings.TrimPrefix(filepath.Base(group), groupPrefix))); errors.Is(err, fs.ErrNotExist) {
				if err := removeGroup(group); err != nil {
					t.Error(err)
				}
			}
		}
		group := filepath.Join(hierarchy, name)
		if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // as systemd's own
			t.Fatal(err)
		}
		groups = append(groups, group)
		t.Cleanup(func() {
			if err := removeGroup(group); err != nil {
				t.Error(err)
			}
		})
	}
	if groups == nil {
		t.Fatal("this machine has no control groups")
	}
	return groups
}

// removeGroup removes a control group and those in it. What was killed a moment ago may still be leaving.
func removeGroup(group string) error {
	within, err := os.ReadDir(group)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range within {
		if e.IsDir() {
			err = errors.Join(err, removeGroup(filepath.Join(group, e.Name())))
		}
	}
	for deadline := time.Now().Add(patience); err == nil; time.Sleep(10 * time.Millisecond) {
		err = unix.Rmdir(group)
		if errors.Is(err, unix.EBUSY) && time.Now().Before(deadline) {
			err = nil
			continue
		}
		break
	}
	return err
}

// kill ends everything in the container at once.
func (m *machine) kill() {
	if pid, err := strconv.Atoi(m.leader); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
}

// poweroff ends the system as an operator does, and waits for it.
func (m *machine) poweroff() {
	m.t.Helper()
	m.run("systemctl", "poweroff")
	err := <-m.ended
	m.ended <- err
	m.leader = ""
	if err != nil {
		m.t.Errorf("the container ended with %v", err)
	}
}

// first finds among the descendants of a process the one that is process 1 in a container.
func first(pid int) string {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return ""
	}
	for _, child := range strings.Fields(string(children)) {
		status, err := os.ReadFile("/proc/" + child + "/status")
		if err != nil {
			return ""
		}
		for line := range strings.Lines(string(status)) {
			if f := strings.Fields(line); len(f) > 2 && f[0] == "NSpid:" && f[len(f)-1] == "1" {
				if name, _ := os.ReadFile("/proc/" + child + "/comm"); strings.TrimSpace(string(name)) == "systemd" {
					return child
				}
			}
		}
		if n, err := strconv.Atoi(child); err == nil {
			if found := first(n); found != "" {
				return found
			}
		}
	}
	return ""
}

// command is one that runs in the container, as root.
func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	all := append([]string{
		"-t", m.leader, "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--", "/usr/bin/env", "-i",
		path, "LC_ALL=C", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER=",
	}, args...)
	return exec.CommandContext(ctx, "nsenter", all...)
}

// run runs a command in the container that has to succeed, and returns what it wrote.
func (m *machine) run(args ...string) string {
	m.t.Helper()
	return output(m.t, m.command(m.t.Context(), args...))
}

// fails runs a command in the container that must not succeed, and returns its exit code and what it wrote.
func (m *machine) fails(args ...string) (int, string) {
	m.t.Helper()
	out, err := m.command(m.t.Context(), args...).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		m.t.Fatalf("%s: %v, and should have failed\n%s", strings.Join(args, " "), err, out)
	}
	return exit.ExitCode(), string(out)
}

// show returns a property of a unit.
func (m *machine) show(unit, property string) string {
	m.t.Helper()
	return strings.TrimSpace(m.run("systemctl", "show", "--value", "-p", property, unit))
}

// shows wants properties of a unit to have values: name, value, name, value.
func (m *machine) shows(unit string, want ...string) {
	m.t.Helper()
	for i := 0; i < len(want); i += 2 {
		if got := m.show(unit, want[i]); got != want[i+1] {
			m.t.Errorf("%s: %s is %q, not %q", unit, want[i], got, want[i+1])
		}
	}
}

// until waits for something to become true.
func (m *machine) until(what string, is func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// journal returns what the units have logged; all of it where none is named.
func (m *machine) journal(units ...string) string {
	m.t.Helper()
	args := []string{"journalctl", "--no-pager", "-o", "cat"}
	for _, u := range units {
		args = append(args, "-u", u)
	}
	return m.run(args...)
}

// with runs do on a thread in the container's network: sockets made there belong to it.
func (m *machine) with(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no other use any more
		ns, err := os.Open("/proc/" + m.leader + "/ns/net")
		if err == nil {
			defer func() { _ = ns.Close() }()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

// dial connects to an address of the container's loopback.
func (m *machine) dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = m.with(func() error {
		c, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// listen listens on an address of the container's loopback.
func (m *machine) listen(address string) net.Listener {
	m.t.Helper()
	var l net.Listener
	err := m.with(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(m.t.Context(), "tcp", address)
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return l
}

// proc reads a file of a process of the container, named by its id there.
func (m *machine) proc(pid, name string) string {
	m.t.Helper()
	return m.run("cat", filepath.Join("/proc", pid, name))
}
