//go:build packages

package packaging_test

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// names are Go's, dpkg's and rpm's of an architecture.
type names struct {
	goarch, deb, rpm string
	machine          elf.Machine
}

var architectures = []names{
	{"amd64", "amd64", "x86_64", elf.EM_X86_64},
	{"arm64", "arm64", "aarch64", elf.EM_AARCH64},
}

// dist returns the package of this machine's architecture that make packages has built, and its version.
func dist(t *testing.T, format string) (file, version string) {
	t.Helper()
	for _, a := range architectures {
		if a.goarch != runtime.GOARCH {
			continue
		}
		if format == "rpm" {
			file = only(t, "../dist/vinfer-sync-*."+a.rpm+".rpm")
			return file, strings.TrimSpace(output(t, exec.CommandContext(t.Context(), "rpm", "-qp", "--qf", "%{VERSION}", file)))
		}
		file = only(t, "../dist/vinfer-sync_*_"+a.deb+".deb")
		return file, strings.TrimSpace(output(t, exec.CommandContext(t.Context(), "dpkg-deb", "-f", file, "Version")))
	}
	t.Fatalf("there are no packages for %s", runtime.GOARCH)
	return "", ""
}

func TestContents(t *testing.T) {
	need(t, "dpkg-deb", "rpm")
	_, version := dist(t, "deb")
	for _, a := range architectures {
		deb, rpm := only(t, "../dist/vinfer-sync_*_"+a.deb+".deb"), only(t, "../dist/vinfer-sync-*."+a.rpm+".rpm")
		if got := output(t, exec.CommandContext(t.Context(), "dpkg-deb", "-f", deb, "Package", "Version", "Architecture")); got != "Package: vinfer-sync\nVersion: "+version+"\nArchitecture: "+a.deb+"\n" {
			t.Errorf("%s says it is %s", deb, got)
		}
		if got := output(t, exec.CommandContext(t.Context(), "dpkg-deb", "-I", deb, "conffiles")); got != "/etc/vinfer-sync/config.example.yaml\n" {
			t.Errorf("%s has configuration files %q", deb, got)
		}
		if got := output(t, exec.CommandContext(t.Context(), "rpm", "-qp", "--qf", "%{NAME} %{VERSION} %{ARCH} %{BUILDHOST}", rpm)); got != "vinfer-sync "+version+" "+a.rpm+" reproducible" {
			t.Errorf("%s says it is %s", rpm, got)
		}
		if got := output(t, exec.CommandContext(t.Context(), "rpm", "-qp", "--configfiles", rpm)); got != "/etc/vinfer-sync/config.example.yaml\n" {
			t.Errorf("%s has configuration files %q", rpm, got)
		}
		fromDeb, fromRPM := t.TempDir(), t.TempDir()
		output(t, exec.CommandContext(t.Context(), "dpkg-deb", "-x", deb, fromDeb))
		output(t, exec.CommandContext(t.Context(), "rpm", "--root", fromRPM, "-i", "--nodeps", "--noscripts", "--ignorearch", rpm))
		checkProgram(t, filepath.Join(fromDeb, "usr/bin/vinfer-sync"), a.machine)
		compare(t, filepath.Join(fromDeb, "usr/bin/vinfer-sync"), filepath.Join(fromRPM, "usr/bin/vinfer-sync"))
	}
}

// checkProgram wants a program for the machine that needs no library of the system.
func checkProgram(t *testing.T, path string, machine elf.Machine) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if f.Machine != machine {
		t.Errorf("%s is for %v, not %v", path, f.Machine, machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s is not static", path)
		}
	}
}

// compare wants two files to hold the same.
func compare(t *testing.T, a, b string) {
	t.Helper()
	one, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, other) {
		t.Errorf("%s (%d bytes) and %s (%d bytes) differ", a, len(one), b, len(other))
	}
}

func TestSums(t *testing.T) {
	sums, err := os.ReadFile("../dist/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(sums)), "\n")
	if len(lines) != 2*len(architectures) {
		t.Errorf("sums of %d packages:\n%s", len(lines), sums)
	}
	for _, line := range lines {
		sum, name, _ := strings.Cut(line, "  ")
		data, err := os.ReadFile(filepath.Join("../dist", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s has another sum than SHA256SUMS says", name)
		}
	}
}

// The same commit makes the same packages in another directory, for a user with other habits, from files that only he can read.
func TestReproducible(t *testing.T) {
	need(t, "rpm")
	file, version := dist(t, "rpm")
	source, again := tree(t), t.TempDir()
	err := filepath.WalkDir(source, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		return os.Chmod(path, fi.Mode().Perm()&0o700)
	})
	if err != nil {
		t.Fatal(err)
	}
	epoch := output(t, exec.CommandContext(t.Context(), "rpm", "-qp", "--qf", "%{BUILDTIME}", file))
	c := exec.CommandContext(t.Context(), "sh", "-c", `umask 077; exec "$0" "$1"`, filepath.Join(source, "packaging/build"), again)
	c.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH="+epoch, "TZ=Asia/Kolkata", "LC_ALL=C.UTF-8", "ARCHES=arm64 amd64")
	output(t, c)
	for _, pattern := range []string{"*.deb", "*.rpm"} {
		files, err := filepath.Glob("../dist/" + pattern)
		if err != nil || len(files) != len(architectures) {
			t.Fatalf("%d of %s: %v", len(files), pattern, err)
		}
		for _, f := range files {
			compare(t, f, filepath.Join(again, filepath.Base(f)))
		}
	}
	compare(t, "../dist/SHA256SUMS", filepath.Join(again, "SHA256SUMS"))
}
