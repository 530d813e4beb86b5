package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func parseText(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("/etc/vinfer-sync/config.yaml", []byte(text), testEnv)
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return c
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

func TestEmptyFileIsAllDefaults(t *testing.T) {
	for name, text := range map[string]string{"nothing": "", "comments": "# none\n", "mark": "\xef\xbb\xbf", "start": "---\n", "keys": "vinfer:\ncrm:\nmapping:\nlog: {}\n"} {
		t.Run(name, func(t *testing.T) {
			c := parseText(t, text)
			want := Default()
			if c.Lookback != want.Lookback || c.Mapping.Dispositions["dnc"].Status != "Do Not Call" || c.VInfer.PageSize != 100 {
				t.Errorf("got %+v", c)
			}
			if len(c.CRM) != 1 || c.CRM[0].Name != "crm" || c.CRM[0].Kind() != "sqlite" || c.CRM[0].SQLite.Path != "/var/lib/vinfer-sync/crm.db" {
				t.Errorf("destinations: %+v", c.CRM)
			}
			if got := c.VInfer.APIKey.Value.Reveal(); got != "key-of-the-environment" {
				t.Errorf("key %q", got)
			}
		})
	}
}

func TestKeyIsNeeded(t *testing.T) {
	_, err := Parse("config.yaml", nil, func(string) (string, bool) { return "", false })
	var faults Errors
	if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Key != "vinfer.api_key" || !strings.Contains(err.Error(), "VINFER_API_KEY") {
		t.Errorf("got %v", err)
	}
	// A key that is there and empty is no key, in the file or in the environment.
	for _, text := range []string{"vinfer: {api_key: '${EMPTY}'}", "vinfer: {api_key: '  '}"} {
		if _, err := Parse("config.yaml", []byte(text), testEnv); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

func TestValues(t *testing.T) {
	c := parseText(t, `
name: ${WHO}
vinfer: {rate_reserve: 0.25, base_url: https://api.vinfer.ai/v1/, campaigns: [12, a]}
start: -1w
lookback: 1d12h
schedule: "CRON_TZ=Asia/Kolkata */5 9-18 * * *"
mapping:
  unknown: skip
  dispositions:
    Call Back: {status: &s "50$$ ${WHO} $x"}
    DND: {status: *s}
admin: {listen: "", socket: run/admin.sock}
store: {bbolt: {path: state.db}}
crm:
  - name: a
    mapping: {dispositions: {dnc: {status: Stop}}}
    sqlite: {path: sub/../crm.db}
  - name: b
    steps: {transcript: false}
    mapping: {unknown: dead}
    jsonl: {path: /tmp/calls}
`)
	if c == nil {
		return
	}
	check := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	check("name", c.Name, "team")
	check("reserve", c.VInfer.RateReserve, Share(0.25))
	check("base", c.VInfer.BaseURL, "https://api.vinfer.ai/v1")
	check("campaigns", c.VInfer.Campaigns, []string{"12", "a"})
	check("start", c.Start, Start{Ago: 7 * day})
	check("lookback", c.Lookback, 36*time.Hour)
	check("listen", c.Admin.Listen, "")
	check("socket", c.Admin.Socket, "/etc/vinfer-sync/run/admin.sock")
	check("store", c.Store.Bolt.Path, "/etc/vinfer-sync/state.db")
	check("sqlite", c.CRM[0].SQLite.Path, "/etc/vinfer-sync/crm.db")
	check("jsonl", c.CRM[1].JSONL.Path, "/tmp/calls")
	check("common", c.Mapping.Dispositions, map[string]Rule{"callback_requested": {Status: "50$ team $x"}, "dnc": {Status: "50$ team $x"}})
	check("laid over", c.CRM[0].Mapping, Mapping{Unknown: "skip", Overdue: "now", Dispositions: map[string]Rule{"callback_requested": {Status: "50$ team $x"}, "dnc": {Status: "Stop"}}})
	check("inherited", c.CRM[1].Mapping.Dispositions, c.Mapping.Dispositions)
	check("unknown", c.CRM[1].Mapping.Unknown, "dead")
	check("steps", c.CRM[1].Steps, Steps{Status: true, Activity: true, Link: true, Task: true})
	check("zone", c.Location().String(), "Asia/Kolkata")
}

func TestWebhook(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "hook"), "hush\n", 0o600)
	write(t, filepath.Join(dir, "token"), "Bearer t\n", 0o600)
	c, err := Parse(filepath.Join(dir, "config.yaml"), []byte(`
crm:
  - name: a
    headers: {Authorization_file: token, X-Team: sales}
    webhook: {url: https://crm.example/hook, secret_file: hook, headers: {X-Team: support}}
`), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	d := c.CRM[0]
	if got := d.Webhook.Headers["Authorization"].Reveal() + d.Webhook.Headers["X-Team"].Reveal(); got != "Bearer tsupport" {
		t.Errorf("headers %q", got)
	}
	if d.Webhook.Timeout != 10*time.Second || len(d.Webhook.Events) != 4 {
		t.Errorf("timeout %s, events %q", d.Webhook.Timeout, d.Webhook.Events)
	}
	ref := d.Secrets["webhook.secret"]
	if ref.Value.Reveal() != "hush" || ref.File != filepath.Join(dir, "hook") {
		t.Errorf("secret from %q", ref.File)
	}
	if d.Secrets["headers.Authorization"].File == "" || d.Secrets["webhook.headers.X-Team"].Value.Empty() {
		t.Errorf("secrets: %v", d.Secrets)
	}
}

func TestSecretFiles(t *testing.T) {
	dir, creds := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "key"), "beside\r\n", 0o600)
	write(t, filepath.Join(creds, "key"), "credential\n", 0o400)
	env := func(set bool) func(string) (string, bool) {
		return func(name string) (string, bool) {
			if name == "CREDENTIALS_DIRECTORY" && set {
				return creds, true
			}
			return "", false
		}
	}
	for _, c := range []struct {
		name, value string
		systemd     bool
		want        string
	}{
		{"beside the configuration", "key", false, "beside"},
		{"systemd's credential", "key", true, "credential"},
		{"a slash means a path", "./key", true, "beside"},
		{"absolute", filepath.Join(dir, "key"), true, "beside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse(filepath.Join(dir, "config.yaml"), []byte("vinfer: {api_key_file: "+c.value+"}"), env(c.systemd))
			if err != nil {
				t.Fatal(err)
			}
			if s, err := got.VInfer.APIKey.Read(); err != nil || s.Reveal() != c.want || got.VInfer.APIKey.Value.Reveal() != c.want {
				t.Errorf("got %q, %v", s.Reveal(), err)
			}
		})
	}
}

func TestSecretIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	write(t, path, "old\n", 0o600)
	ref := SecretRef{Value: secret.New("old"), File: path}
	write(t, path, "new\n", 0o600)
	if s, err := ref.Read(); err != nil || s.Reveal() != "new" {
		t.Errorf("got %q, %v", s.Reveal(), err)
	}
	for what, data := range map[string]string{"empty": "\n", "binary": "a\x00b", "large": strings.Repeat("x", maxSecret+1)} {
		write(t, path, data, 0o600)
		if s, err := ref.Read(); err == nil || !strings.Contains(err.Error(), path) || !s.Empty() {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(format, struct{ R SecretRef }{ref}); strings.Contains(got, "old") {
			t.Errorf("%s shows %s", format, got)
		}
	}
}

func TestWarnings(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "key"), "k\n", 0o644)
	path := filepath.Join(dir, "config.yaml")
	write(t, path, `
vinfer: {base_url: "http://vinfer.example/api", api_key_file: key}
settle: 1m
admin: {listen: "0.0.0.0:9477"}
alerts: {exec: [/no/such/program]}
crm: [{name: a, proxy: "http://u:p@proxy:3128", webhook: {url: "https://crm.example"}}]
`, 0o644)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"without encryption", "does not end in /v1", "key can be read by everybody", "asks for no password",
		"no /no/such/program", "shorter than lookback", "holds a secret and can be read by everybody",
	} {
		if !strings.Contains(strings.Join(c.Warnings, "\n"), want) {
			t.Errorf("no warning that says %q: %q", want, c.Warnings)
		}
	}
	if len(c.Warnings) != 7 {
		t.Errorf("%d warnings: %q", len(c.Warnings), c.Warnings)
	}
	// The simulator is reached without TLS, on this machine.
	for _, host := range []string{"127.0.0.1:8080", "localhost:8080", "[::1]:8080"} {
		if c := parseText(t, "vinfer: {base_url: \"http://"+host+"/v1\"}"); len(c.Warnings) > 0 {
			t.Errorf("%s: %q", host, c.Warnings)
		}
	}
}

func TestLoadFaults(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yaml")
	write(t, large, "# "+strings.Repeat("x", maxFile), 0o600)
	for _, path := range []string{filepath.Join(dir, "none.yaml"), dir, large} {
		_, err := Load(path)
		var faults Errors
		if !errors.As(err, &faults) || faults[0].File != path || strings.Count(err.Error(), path) != 1 {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	var faults Errors
	if _, err := find("", first, second); !errors.As(err, &faults) || !strings.Contains(err.Error(), first+" nor "+second) {
		t.Errorf("got %v", err)
	}
	write(t, second, "", 0o600)
	if p, err := find("", first, second); p != second || err != nil {
		t.Errorf("got %q, %v", p, err)
	}
	write(t, first, "", 0o600)
	if p, err := find("", first, second); p != first || err != nil {
		t.Errorf("got %q, %v", p, err)
	}
	if p, err := Find("named"); p != "named" || err != nil {
		t.Errorf("got %q, %v", p, err)
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "90d": 90 * day, "1w": 7 * day,
		"1w2d3h": 9*day + 3*time.Hour, "1.5d": 36 * time.Hour, "-2d": -2 * day, "+1d": day,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "1", "1x", "1d ", "1d2", "d1", "1 d", "--1d", "99999999w", "1e3d", "1month"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q was taken as %s", text, got)
		}
	}
}

func TestStart(t *testing.T) {
	now := time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"now": now, "-24h": now.Add(-day), "-2w": now.Add(-14 * day), "2026-01-01T05:30:00+05:30": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		s, err := parseStart(text)
		if err != nil || !s.Time(now).Equal(want) {
			t.Errorf("%q: %s, %v", text, s.Time(now), err)
		}
	}
}

func TestFaultsAreCapped(t *testing.T) {
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, "unknown%d: x\n", i)
	}
	_, err := Parse("config.yaml", []byte(b.String()), testEnv)
	var faults Errors
	if !errors.As(err, &faults) || len(faults) != maxFaults+1 || !strings.Contains(err.Error(), "450 more faults") {
		t.Errorf("%d faults", len(faults))
	}
}

// FuzzParse looks for input that makes Parse panic or hang, or that it neither takes nor explains.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, file := range append(files, "../config.example.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("config.yaml", data, func(name string) (string, bool) {
			return map[string]string{"VINFER_API_KEY": "never-to-be-seen"}[name], name == "VINFER_API_KEY"
		})
		var faults Errors
		switch {
		case err == nil && c == nil:
			t.Error("neither a configuration nor an error")
		case err == nil:
			if s := fmt.Sprintf("%+v %#v", c, c); strings.Contains(s, "never-to-be-seen") && !strings.Contains(string(data), "${VINFER_API_KEY}") {
				t.Errorf("the key is shown: %s", s)
			}
		case !errors.As(err, &faults) || len(faults) == 0:
			t.Errorf("not explained: %v", err)
		case strings.Contains(err.Error(), "never-to-be-seen"):
			t.Errorf("the key is shown: %v", err)
		}
	})
}

func TestOperatorNeedsNoSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	text := "vinfer: {api_key_file: not_here, timeout: 5s}\nname: \"x\"\ncrm:\n  - {name: hook, webhook: {url: \"https://crm.example/hook\", secret: \"${NOT_SET_HERE}\", client_cert: not_here, client_key: not_here}}\n" +
		"  - {name: pg, postgres: {dsn: \"${NOT_SET_HERE}\"}}\n  - {name: pg2, postgres: {dsn_file: not_here}}\n" +
		"  - {name: my, mysql: {dsn: \"${NOT_SET_HERE}\", ca_file: not_here}}\n  - {name: my2, mysql: {dsn_file: not_here}}\n" +
		"  - {name: any, exec: {command: [/not/here], env: {TOKEN_file: not_here}}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil {
		t.Fatal("loaded without its secrets")
	}
	c, err := LoadForOperator(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.VInfer.Timeout != 5*time.Second || len(c.CRM) != 6 {
		t.Errorf("%+v", c)
	}
	if err := os.WriteFile(path, []byte("lokback: 1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadForOperator(path); err == nil {
		t.Error("took a faulty file")
	}
}
