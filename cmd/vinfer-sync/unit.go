package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/vinfer-sync/vinfer-sync/config"
)

// unit is what systemd lets a service do with files.
type unit struct {
	name       string
	account    account
	state      []string // directories that systemd makes and gives to the account
	writable   []string // directories that may be written to; with strict nothing else may
	strict     bool
	hidesHomes bool     // /home, /root and /run/user are empty for it
	handedOver []string // files that systemd reads for it, as credentials
}

// account is a user of this machine.
type account struct {
	name   string
	uid    uint32
	groups []uint32
}

// unitOf returns the systemd unit that runs a configuration below /etc/vinfer-sync; nil with a reason: it could not be looked at; nil
// without: no unit runs it.
func unitOf(ctx context.Context, cfg *config.Config) (*unit, error) {
	path, err := filepath.Abs(cfg.File)
	if err != nil || filepath.Dir(path) != filepath.Dir(serviceConfig) || os.Getenv("INVOCATION_ID") != "" { // systemd runs this already
		return nil, nil //nolint:nilnil,nilerr // as said above
	}
	name := "vinfer-sync.service"
	if path != serviceConfig {
		name = "vinfer-sync@" + strings.TrimSuffix(filepath.Base(path), ".yaml") + ".service"
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("whether the service's user may use its files is not known: run check as root")
	}
	text, err := exec.CommandContext(ctx, "systemctl", "show", name, "--property="+unitProperties).Output() //nolint:gosec // the name of a file of ours
	if err != nil {
		return nil, fmt.Errorf("what %s may do with its files is not known: systemctl show does not tell", name)
	}
	files, err := exec.CommandContext(ctx, "systemctl", "cat", name).Output() //nolint:gosec // likewise; show does not tell of credentials
	if err != nil {
		return nil, fmt.Errorf("what %s may do with its files is not known: systemctl cat does not tell", name)
	}
	return parseUnit(name, string(text)+string(files))
}

const unitProperties = "LoadState,User,Group,StateDirectory,ReadWritePaths,ProtectSystem,ProtectHome"

// credential is a line by which systemd reads a file for a unit.
var credential = regexp.MustCompile(`(?m)^LoadCredential=[^:\n]+:(\S+)$`)

// parseUnit reads what systemctl show prints, and cat for the credentials.
func parseUnit(name, text string) (*unit, error) {
	p := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if _, known := p[key]; !known { // what show says comes first
			p[key] = value
		}
	}
	if p["LoadState"] != "loaded" {
		return nil, fmt.Errorf("there is no unit %s: what the service's user may do with its files is not known", name)
	}
	u := &unit{name: name, strict: p["ProtectSystem"] == "strict", hidesHomes: p["ProtectHome"] != "no" && p["ProtectHome"] != "read-only" && p["ProtectHome"] != ""}
	for _, dir := range strings.Fields(p["StateDirectory"]) {
		u.state = append(u.state, filepath.Join("/var/lib", dir))
	}
	u.writable = append(u.writable, u.state...)
	for _, dir := range strings.Fields(p["ReadWritePaths"]) {
		u.writable = append(u.writable, strings.TrimLeft(dir, "-+"))
	}
	for _, m := range credential.FindAllStringSubmatch(text, -1) {
		u.handedOver = append(u.handedOver, m[1])
	}
	var err error
	u.account, err = accountOf(or(p["User"], "root"), p["Group"])
	return u, err
}

func accountOf(name, group string) (account, error) {
	a := account{name: name}
	u, err := user.Lookup(name)
	if err != nil {
		return a, fmt.Errorf("the service's user %s does not exist: systemd-sysusers makes it", name)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return a, err
	}
	if g, err := user.LookupGroup(group); err == nil {
		ids = append(ids, g.Gid)
	}
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			a.groups = append(a.groups, uint32(n))
		}
	}
	n, err := strconv.ParseUint(u.Uid, 10, 32)
	a.uid = uint32(n)
	return a, err
}

// What an account may do with a file, as the bits of a mode have it.
const (
	toRead  = 4
	toWrite = 2
	toEnter = 1
)

// may returns why the account may not do something with a file, of which the directories on the way are entered.
func (a account) may(path string, want uint32) error {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if err := a.has(dir, toEnter); err != nil {
			return err
		}
		if dir == filepath.Dir(dir) {
			return a.has(path, want)
		}
	}
}

func (a account) has(path string, want uint32) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || a.uid == 0 {
		return nil
	}
	bits := uint32(info.Mode().Perm())
	switch {
	case st.Uid == a.uid:
		bits >>= 6
	case slices.Contains(a.groups, st.Gid):
		bits >>= 3
	}
	if bits&want == want {
		return nil
	}
	verb := map[uint32]string{toRead: "read", toEnter: "enter", toWrite | toEnter: "write to", toWrite | toRead: "write"}[want]
	return fmt.Errorf("the service's user %s may not %s %s (%s)", a.name, verb, path, info.Mode())
}

// reads returns why the service cannot read a file, and what to do about it.
func (u *unit) reads(path string) (remedy string, err error) {
	if err := u.hidden(path); err != nil {
		return "keep it in " + filepath.Dir(serviceConfig), err
	}
	if slices.Contains(u.handedOver, path) {
		return "", nil // systemd reads it as root
	}
	if within(path, serviceCredentials) {
		return fmt.Sprintf("write LoadCredential=%s:%s below [Service] by: systemctl edit %s", filepath.Base(path), path, u.name),
			fmt.Errorf("%s is not handed over by %s", path, u.name)
	}
	if err := u.account.may(path, toRead); err != nil {
		return fmt.Sprintf("run: chown root:%s %s && chmod 0640 %s", u.account.name, path, path), err
	}
	return "", nil
}

// writes returns why the service cannot write a file, and what to do about it.
func (u *unit) writes(path string) (remedy string, err error) {
	if err := u.hidden(path); err != nil {
		return "choose a path below /var/lib/vinfer-sync", err
	}
	dir := filepath.Dir(path)
	if u.strict && !slices.ContainsFunc(u.writable, func(w string) bool { return within(dir, w) }) {
		if slices.ContainsFunc([]string{"/proc", "/sys", "/dev", "/run"}, func(w string) bool { return within(dir, w) }) {
			return "choose a path below /var/lib/vinfer-sync", fmt.Errorf("%s keeps no files: it is emptied at each boot", dir)
		}
		return fmt.Sprintf("make the directory for %s, and write ReadWritePaths=%s below [Service] by: systemctl edit %s", u.account.name, dir, u.name),
			fmt.Errorf("%s may not write below %s: its unit lets it write to %s only", u.name, dir, strings.Join(u.writable, ", "))
	}
	if slices.ContainsFunc(u.state, func(s string) bool { return within(dir, s) }) && !exists(dir) {
		return "", nil // systemd makes it, and the service what is below
	}
	if exists(path) {
		if err := u.account.may(path, toWrite|toRead); err != nil {
			return fmt.Sprintf("run: chown %s: %s", u.account.name, path), err
		}
	}
	if err := u.account.may(dir, toWrite|toEnter); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("there is no directory %s", dir)
		}
		return fmt.Sprintf("run: install -d -o %s -g %s -m 0700 %s", u.account.name, u.account.name, dir), err
	}
	return "", nil
}

// hidden returns an error for a path that the unit does not show to the service.
func (u *unit) hidden(path string) error {
	for _, dir := range []string{"/home", "/root", "/run/user"} {
		if u.hidesHomes && within(path, dir) && !slices.ContainsFunc(u.writable, func(w string) bool { return within(path, w) }) {
			return fmt.Errorf("%s does not see %s: its unit has ProtectHome=yes", u.name, path)
		}
	}
	return nil
}

// within tells whether a path is a directory or lies below it.
func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// service tells whether the service could use its files, as its user and within its unit's sandbox.
func (t *checkTable) service(ctx context.Context, cfg *config.Config) {
	u, err := unitOf(ctx, cfg)
	if err != nil {
		t.note("service", "files", err.Error())
	}
	if u != nil {
		t.files(u, cfg)
	}
}

// files checks each file that the service reads or writes.
func (t *checkTable) files(u *unit, cfg *config.Config) {
	failed := false
	look := func(path string, f func(string) (string, error)) {
		if path, err := filepath.Abs(path); err == nil {
			if remedy, err := f(path); err != nil {
				failed = true
				t.row("service", filepath.Base(path), err, remedy)
			}
		}
	}
	for _, path := range cfg.Reads() {
		look(path, u.reads)
	}
	for _, path := range cfg.Writes() {
		look(path, u.writes)
	}
	if !failed {
		t.row("service", "files", nil, fmt.Sprintf("%s may use them as its user %s", u.name, u.account.name))
	}
}
