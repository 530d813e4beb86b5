package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/config"
)

// TestWhatTheServiceMayUse: check finds the files that the service could not use, though root can.
func TestWhatTheServiceMayUse(t *testing.T) {
	t.Parallel()
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	group, err := user.LookupGroupId(nobody.Gid)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.MkdirTemp("/var/tmp", "vs") // below t.TempDir the directories are closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	file := func(name string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // others must get through
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.Chmod(root, 0o755); err != nil { //nolint:gosec // others must get through
		t.Fatal(err)
	}
	u, err := parseUnit("vinfer-sync.service", fmt.Sprintf("LoadState=loaded\nUser=nobody\nGroup=%s\nStateDirectory=vinfer-sync-test\nReadWritePaths=-%s/open /srv/calls\nProtectSystem=strict\nProtectHome=yes\nLoadCredential=key:%[2]s/key\n", group.Name, root))
	if err != nil {
		t.Fatal(err)
	}
	readable, closed := file("config.yaml", 0o644), file("closed.yaml", 0o600)
	_ = file("open/x", 0o600)
	key := file("key", 0o600)
	for _, tt := range []struct {
		name, file, state string
		want              string
	}{
		{"as init leaves it", readable, "/var/lib/vinfer-sync-test/state.db", "ok"},
		{"the configuration is root's alone", closed, "/var/lib/vinfer-sync-test/state.db", "FAILS closed.yaml the service's user nobody may not read .* 0640"},
		{"a credential of the unit", key, "/var/lib/vinfer-sync-test/state.db", "ok"},
		{"a credential that no unit has", serviceCredentials + "/other", "/var/lib/vinfer-sync-test/state.db", "FAILS other .* is not handed over.*LoadCredential=other:"},
		{"state below /srv", readable, "/srv/vinfer/state.db", "FAILS state.db .* may not write below /srv/vinfer.*ReadWritePaths=/srv/vinfer"},
		{"state below /srv, which the unit lets it have, but nobody made", readable, "/srv/calls/state.db", "FAILS state.db there is no directory /srv/calls.*install -d -o nobody"},
		{"state in a directory of root's", readable, root + "/open/state.db", "FAILS state.db the service's user nobody may not write to .*open"},
		{"state below /proc", readable, "/proc/vinfer/state.db", "FAILS state.db /proc/vinfer keeps no files"},
		{"state below /root", readable, "/root/state.db", "FAILS state.db .* does not see /root/state.db"},
		{"configuration below /root", "/root/config.yaml", "/var/lib/vinfer-sync-test/state.db", "FAILS config.yaml .* does not see /root/config.yaml"},
	} {
		cfg := &config.Config{File: tt.file}
		cfg.Store.Bolt.Path = tt.state
		table := &checkTable{}
		table.files(u, cfg)
		var got []string
		for _, f := range table.findings {
			got = append(got, strings.Join([]string{f.State, f.Subject, f.Detail}, " "))
		}
		if len(got) != 1 || !regexp.MustCompile("^"+tt.want).MatchString(got[0]) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	if _, err := parseUnit("vinfer-sync.service", "LoadState=not-found\n"); err == nil || !strings.Contains(err.Error(), "there is no unit") {
		t.Error(err)
	}
}
