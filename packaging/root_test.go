//go:build packages || systemd

// Package packaging_test installs what packaging/build makes into real Debian systems: into roots that nothing runs in (build tag
// packages) and into one that systemd boots (build tag systemd). Both need root, mmdebstrap and Debian's archive; the first
// rpm besides, the second systemd-nspawn. Where something of that is missing they fail and say so.
package packaging_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The system that the packages are installed into: its archive's name, and what a server has besides the essential.
const (
	suite   = "bookworm"
	include = "systemd,systemd-sysv,dbus,ca-certificates"
)

// path is where programs are looked for in a root.
const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// need fails the test unless it runs as root and the programs are there.
func need(t *testing.T, programs ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test needs root: it makes a system of its own")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("this test needs %s (apt-get install mmdebstrap systemd-container rpm)", p)
		}
	}
}

// output runs a command that has to succeed and returns what it wrote, errors included.
func output(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(c.Args, " "), err, out)
	}
	return string(out)
}

// build makes the packages of this machine's architecture in the named version, from the tree at source, and returns their directory.
func build(t *testing.T, source, version, formats string) string {
	t.Helper()
	dir := t.TempDir()
	c := exec.CommandContext(t.Context(), filepath.Join(source, "packaging", "build"), dir)
	c.Env = append(os.Environ(), "VERSION="+version, "ARCHES="+runtime.GOARCH, "FORMATS="+formats, "SOURCE_DATE_EPOCH=1700000000")
	output(t, c)
	return dir
}

// only returns the one file that the pattern fits.
func only(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %d files, not one: %v", pattern, len(found), err)
	}
	return found[0]
}

// tree copies what the repository holds to a directory, without its history.
func tree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	output(t, exec.CommandContext(t.Context(), "sh", "-ec", `cd ..
		git -c safe.directory='*' ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf - | tar -xf - -C "$0"`, dir))
	return dir
}

// root is the directory of a Debian system.
type root struct {
	t   *testing.T
	dir string
}

// newRoot unpacks a fresh system with systemd; it goes with the test.
func newRoot(t *testing.T) *root { return newRootWith(t, include) }

// newRootWith unpacks one that has the named packages besides the essential.
func newRootWith(t *testing.T, include string) *root {
	t.Helper()
	archive := debian(t, include)
	// Not t.TempDir: systemd refuses paths with some of the characters of a test's name.
	dir, err := os.MkdirTemp("", "vinfer-sync-root-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the system's own users go through it
		t.Fatal(err)
	}
	output(t, exec.CommandContext(t.Context(), "tar", "-C", dir, "--numeric-owner", "-xpf", archive))
	return &root{t, dir}
}

// debian returns an archive of the system, made once a week: that takes a minute and needs the network.
func debian(t *testing.T, include string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = "/root/.cache"
	}
	cache = filepath.Join(cache, "vinfer-sync-ci")
	file := filepath.Join(cache, "debian-"+suite+"-"+strings.ReplaceAll(include, ",", "-")+".tar")
	if fi, err := os.Stat(file); err == nil && time.Since(fi.ModTime()) < 7*24*time.Hour {
		return file
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	fresh := fmt.Sprintf("%s.%d.tar", file, os.Getpid())
	defer func() { _ = os.Remove(fresh) }()
	output(t, exec.CommandContext(t.Context(), "mmdebstrap", "--variant=minbase", "--include="+include, suite, fresh))
	if err := os.Rename(fresh, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// at is the place of a file of the system.
func (r *root) at(path string) string { return filepath.Join(r.dir, path) }

// command is one that runs in the root, where no systemd runs.
func (r *root) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "/usr/bin/env", args...)
	c.Dir = "/"
	c.Env = []string{path, "LC_ALL=C", "HOME=/root", "DEBIAN_FRONTEND=noninteractive"}
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: r.dir}
	return c
}

// run runs a command in the root that has to succeed.
func (r *root) run(args ...string) string {
	r.t.Helper()
	return output(r.t, r.command(r.t.Context(), args...))
}

// write writes a file of the system.
func (r *root) write(path, text string, mode fs.FileMode) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Dir(r.at(path)), 0o755); err != nil { //nolint:gosec // as the system's own
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.at(path), []byte(text), mode); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Chmod(r.at(path), mode); err != nil {
		r.t.Fatal(err)
	}
}

// copyIn copies a file into the system, and returns its place there.
func (r *root) copyIn(file string) string {
	r.t.Helper()
	from, err := os.Open(file)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	inside := "/root/" + filepath.Base(file)
	to, err := os.Create(r.at(inside))
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		r.t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		r.t.Fatal(err)
	}
	return inside
}

// read returns what a file of the system holds.
func (r *root) read(path string) string {
	r.t.Helper()
	data, err := os.ReadFile(r.at(path))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

// has tells whether the system has a file; a link counts wherever it leads.
func (r *root) has(path string) bool {
	r.t.Helper()
	_, err := os.Lstat(r.at(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Fatal(err)
	}
	return err == nil
}

// holds compares what a file of the system holds, and who may read it.
func (r *root) holds(path, text string, mode fs.FileMode) {
	r.t.Helper()
	if !r.has(path) {
		r.t.Errorf("%s is gone", path)
		return
	}
	if got := r.read(path); got != text {
		r.t.Errorf("%s holds %q, not %q", path, got, text)
	}
	fi, err := os.Stat(r.at(path))
	if err != nil {
		r.t.Fatal(err)
	}
	if fi.Mode().Perm() != mode {
		r.t.Errorf("%s has mode %o, not %o", path, fi.Mode().Perm(), mode)
	}
}

// gone wants files not to be there.
func (r *root) gone(paths ...string) {
	r.t.Helper()
	for _, p := range paths {
		if r.has(p) {
			r.t.Errorf("%s is still there", p)
		}
	}
}

// files lists all paths of the system.
func (r *root) files() map[string]bool {
	r.t.Helper()
	all := map[string]bool{}
	err := filepath.WalkDir(r.dir, func(path string, _ fs.DirEntry, err error) error {
		all[strings.TrimPrefix(path, r.dir)] = true
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}
