//go:build packages

package packaging_test

import (
	"bufio"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// tarball returns the static tarball of an architecture that make release has built.
func tarball(t *testing.T, a names) string {
	t.Helper()
	return only(t, "../dist/vinfer-sync-*-linux-"+a.release+".tar.gz")
}

// alone is a command that runs with nothing but the files below dir.
func alone(ctx context.Context, dir string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, args[0], args[1:]...)
	c.Dir = "/"
	c.Env = []string{"HOME=/", "TMPDIR=/"}
	c.SysProcAttr = &syscall.SysProcAttr{Chroot: dir}
	return c
}

// The tarball needs nothing of the system it is unpacked on.
func TestTarball(t *testing.T) {
	need(t)
	_, version := dist(t, "deb")
	dir := only(t, unpacked(t, tarball(t, here(t)))+"/*")
	if want := "vinfer-sync-" + version + "-linux-" + here(t).release; filepath.Base(dir) != want {
		t.Errorf("it unpacks to %s, not %s", filepath.Base(dir), want)
	}
	for _, name := range []string{
		"LICENSE", "licences.txt", "README.md", "CHANGELOG.md", "SECURITY.md", "config.example.yaml", "docs/OPERATIONS.md", "docs/crm/odoo.md",
		"systemd/vinfer-sync.service", "man/vinfer-sync.1", "completions/completion.bash", "contrib/grafana-dashboard.json",
	} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if got := output(t, alone(t.Context(), dir, "/vinfer-sync", "version")); !strings.HasPrefix(got, "vinfer-sync "+version+" ") {
		t.Errorf("the program says %q, not %s", got, version)
	}
	if got := output(t, alone(t.Context(), dir, "/vinfer-sync", "demo", "--once")); !strings.Contains(got, "What arrived:") {
		t.Errorf("the demonstration says %s", got)
	}
}

// Programs for machines that are not at hand run in an emulator.
func TestOtherArchitectures(t *testing.T) {
	emulators := map[string]string{"amd64": "qemu-x86_64-static", "arm64": "qemu-aarch64-static", "arm": "qemu-arm-static"}
	_, version := dist(t, "deb")
	for _, a := range architectures {
		if a.goarch == runtime.GOARCH {
			continue
		}
		need(t, emulators[a.goarch])
		program := only(t, unpacked(t, tarball(t, a))+"/*/vinfer-sync")
		if got := output(t, exec.CommandContext(t.Context(), emulators[a.goarch], program, "version")); !strings.HasPrefix(got, "vinfer-sync "+version+" ") {
			t.Errorf("%s: the program says %q, not %s", a.goarch, got, version)
		}
		c := exec.CommandContext(t.Context(), emulators[a.goarch], program, "demo", "--once")
		c.Dir = t.TempDir()
		if got := output(t, c); !strings.Contains(got, "What arrived:") {
			t.Errorf("%s: the demonstration says %s", a.goarch, got)
		}
	}
}

// The apk package, as far as a system without apk shows it: what it says of itself, its files, its scripts' syntax, and the
// program in a system that holds nothing else.
func TestAPK(t *testing.T) {
	need(t, "dash")
	dir := unpacked(t, only(t, "../dist/vinfer-sync_*_"+here(t).apk+".apk"))
	about, err := os.ReadFile(filepath.Join(dir, ".PKGINFO"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`pkgname = vinfer-sync`, `pkgver = \d+(\.\d+)*(_[a-z]+\d*)*`, `arch = ` + here(t).apk, `depend = ca-certificates`, `license = MIT`} {
		if !regexp.MustCompile("(?m)^" + want + "$").Match(about) {
			t.Errorf("it does not say %q of itself:\n%s", want, about)
		}
	}
	for path, mode := range map[string]os.FileMode{
		"usr/bin/vinfer-sync": 0o755, "etc/init.d/vinfer-sync": 0o755, "etc/vinfer-sync": 0o755, "etc/vinfer-sync/credentials": 0o700,
		"etc/vinfer-sync/config.example.yaml": 0o644, "usr/share/man/man1/vinfer-sync.1.gz": 0o644, "usr/share/doc/vinfer-sync/docs/OPERATIONS.md": 0o644,
	} {
		if fi, err := os.Stat(filepath.Join(dir, path)); err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v, mode %v, not %v", path, err, fi.Mode().Perm(), mode)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "usr/lib/systemd")); err == nil {
		t.Error("it brings units for systemd")
	}
	for _, script := range []string{".pre-install", ".post-install", ".post-upgrade", ".pre-deinstall", "etc/init.d/vinfer-sync"} {
		output(t, exec.CommandContext(t.Context(), "dash", "-n", filepath.Join(dir, script)))
	}
	_, version := dist(t, "deb")
	base, _, _ := strings.Cut(version, "~") // apk spells what is not a release another way
	if got := output(t, alone(t.Context(), dir, "/usr/bin/vinfer-sync", "version")); !strings.HasPrefix(got, "vinfer-sync "+base) {
		t.Errorf("the program says %q, not %s", got, version)
	}
}

// The bill of materials has every module of every program with its version, and no other but Go and the image's authorities.
func TestBillOfMaterials(t *testing.T) {
	raw, err := os.ReadFile(only(t, "../dist/vinfer-sync-*.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom struct {
		BOMFormat, SpecVersion string
		Metadata               struct {
			Component struct{ Name, Version string }
		}
		Components []struct {
			Name, Version, Purl string
			Licenses            []struct{ License struct{ ID string } }
			Hashes              []struct{ Alg, Content string }
		}
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal(raw, &bom); err != nil {
		t.Fatal(err)
	}
	_, version := dist(t, "deb")
	if c := bom.Metadata.Component; bom.BOMFormat != "CycloneDX" || bom.SpecVersion != "1.6" || c.Name != "github.com/vinfer-sync/vinfer-sync" || c.Version != version {
		t.Errorf("it is %s %s of %s %s", bom.BOMFormat, bom.SpecVersion, c.Name, c.Version)
	}
	stated, refs := map[string]string{}, []string{}
	for _, c := range bom.Components {
		stated[c.Name] = c.Version
		refs = append(refs, c.Purl)
		if len(c.Licenses) == 0 || c.Name != "stdlib" && len(c.Hashes) == 0 {
			t.Errorf("%s has no licence or no hash", c.Name)
		}
	}
	for _, d := range bom.Dependencies {
		for _, on := range d.DependsOn {
			if !slices.Contains(refs, on) {
				t.Errorf("%s needs %s, which is not listed", d.Ref, on)
			}
		}
	}
	linked := map[string]string{"stdlib": strings.TrimPrefix(runtime.Version(), "go")}
	for _, a := range architectures {
		info, err := buildinfo.ReadFile(only(t, unpacked(t, tarball(t, a))+"/*/vinfer-sync"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range info.Deps {
			linked[m.Path] = m.Version
		}
	}
	for path, v := range linked {
		if stated[path] != v {
			t.Errorf("%s %s is in a program, and the bill says %q", path, v, stated[path])
		}
		delete(stated, path)
	}
	if len(stated) != 1 || stated["golang.org/x/crypto/x509roots/fallback"] == "" {
		t.Errorf("listed and in no program: %v", stated)
	}
}

// What is signed with a key is verified by another program than the one that has signed it.
func TestSignature(t *testing.T) {
	need(t, "minisign")
	keys, dir := t.TempDir(), t.TempDir()
	c := exec.CommandContext(t.Context(), "minisign", "-G", "-p", keys+"/key.pub", "-s", keys+"/key")
	c.Stdin = strings.NewReader("a password\na password\n")
	output(t, c)
	c = exec.CommandContext(t.Context(), "../packaging/build", dir)
	c.Env = append(os.Environ(), "FORMATS=sbom", "ARCHES="+runtime.GOARCH, "VERSION=1.2.3", "SOURCE_DATE_EPOCH=1700000000", "MINISIGN_KEY="+keys+"/key", "MINISIGN_PASSWORD=a password")
	output(t, c)
	verify := func() ([]byte, error) {
		return exec.CommandContext(t.Context(), "minisign", "-V", "-p", keys+"/key.pub", "-m", dir+"/SHA256SUMS").CombinedOutput()
	}
	if out, err := verify(); err != nil || !strings.Contains(string(out), "vinfer-sync 1.2.3") {
		t.Errorf("%v: %s", err, out)
	}
	f, err := os.OpenFile(dir+"/SHA256SUMS", os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString("0  another\n")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := verify(); err == nil {
		t.Errorf("sums that were changed are taken: %s", out)
	}
}

// simulated starts a VInfer API of the program on loopback that ends with the test, and returns its base URL.
func simulated(t *testing.T, program string) string {
	t.Helper()
	c := exec.Command(program, "simulate", "--listen", "127.0.0.1:0", "--rate", "0", "--calls", "50")
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	_, base, ok := strings.Cut(strings.TrimSpace(line), " at ")
	if err != nil || !ok {
		t.Fatalf("the API says %q: %v", line, err)
	}
	return base
}
