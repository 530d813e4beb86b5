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
	"slices"
	"strings"
	"testing"
)

// names are Go's of an architecture, those of the package formats, and that of the other files of a release.
type names struct {
	goarch, deb, rpm, apk, release string
	machine                        elf.Machine
}

var architectures = []names{
	{"amd64", "amd64", "x86_64", "x86_64", "amd64", elf.EM_X86_64},
	{"arm64", "arm64", "aarch64", "aarch64", "arm64", elf.EM_AARCH64},
	{"arm", "armhf", "armv7hl", "armv7", "armv7", elf.EM_ARM},
}

// here returns the names of this machine's architecture.
func here(t *testing.T) names {
	t.Helper()
	i := slices.IndexFunc(architectures, func(a names) bool { return a.goarch == runtime.GOARCH })
	if i < 0 {
		t.Fatalf("nothing is built for %s", runtime.GOARCH)
	}
	return architectures[i]
}

// dist returns the package of this machine's architecture that make release has built, and its version.
func dist(t *testing.T, format string) (file, version string) {
	t.Helper()
	if format == "rpm" {
		file = only(t, "../dist/vinfer-sync-*."+here(t).rpm+".rpm")
		return file, strings.TrimSpace(output(t, exec.CommandContext(t.Context(), "rpm", "-qp", "--qf", "%{VERSION}", file)))
	}
	file = only(t, "../dist/vinfer-sync_*_"+here(t).deb+".deb")
	return file, strings.TrimSpace(output(t, exec.CommandContext(t.Context(), "dpkg-deb", "-f", file, "Version")))
}

// unpacked returns a directory with what a tar archive or an apk package holds.
func unpacked(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	output(t, exec.CommandContext(t.Context(), "tar", "--warning=no-unknown-keyword", "-xf", file, "-C", dir))
	return dir
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
		compare(t, filepath.Join(fromDeb, "usr/bin/vinfer-sync"), filepath.Join(unpacked(t, only(t, "../dist/vinfer-sync_*_"+a.apk+".apk")), "usr/bin/vinfer-sync"))
		compare(t, filepath.Join(fromDeb, "usr/bin/vinfer-sync"), only(t, unpacked(t, tarball(t, a))+"/vinfer-sync-*/vinfer-sync"))
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
	if len(lines) != 4*len(architectures)+2 { // deb, rpm, apk and tarball; image and bill of materials
		t.Errorf("sums of %d files:\n%s", len(lines), sums)
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

// The same commit makes the same release in another directory, for a user with other habits, from files that only he can read.
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
	c.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH="+epoch, "TZ=Asia/Kolkata", "LC_ALL=C.UTF-8", "ARCHES=armv7 arm64 amd64", "FORMATS=image sbom tar apk rpm deb")
	output(t, c)
	compare(t, "../dist/SHA256SUMS", filepath.Join(again, "SHA256SUMS"))
}
