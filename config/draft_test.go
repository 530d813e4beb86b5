package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// filled returns a draft of a kind in which everything that it asks for is set as the example has it.
func filled(t *testing.T, kind, path string) *Draft {
	t.Helper()
	d, err := NewDraft(kind)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Set("vinfer.api_key_file", "vinfer_api_key"); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		missing, others := d.Missing(path)
		if len(others) > 0 {
			t.Fatalf("%s: %v", kind, others)
		}
		if len(missing) == 0 {
			return d
		}
		for _, s := range missing {
			key := s.Key
			if s.Secret {
				key = twin(key)
			}
			if s.Example == "" || s.About == "" {
				t.Errorf("%s.%s: example %q, about %q", kind, key, s.Example, s.About)
			}
			if err := d.SetOwn(key, s.Example); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatalf("%s asks without end", kind)
	return nil
}

// TestDraftOfEachKind writes a configuration for each kind, by its example's values: the strict loader takes it, and it is commented as
// the example is.
func TestDraftOfEachKind(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "config.yaml")
			d := filled(t, kind, path)
			text := d.Text()
			files := map[string]string{"postgres_dsn": "postgres://u:p@db.example/crm", "mysql_dsn": "u:p@tcp(db.example)/crm"}
			for _, m := range regexp.MustCompile(`(?m)^ +\w+_file: (\w+)$`).FindAllStringSubmatch(text, -1) {
				content := files[m[1]]
				if content == "" {
					content = "x"
				}
				if err := os.WriteFile(filepath.Join(dir, m[1]), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, err := Parse(path, []byte(text), func(string) (string, bool) { return "", false })
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if len(c.CRM) != 1 || c.CRM[0].Kind() != kind || c.CRM[0].Name != d.Name() || c.VInfer.APIKey.Value.Reveal() != "x" || len(c.Warnings) > 0 {
				t.Errorf("it is %+v\n%s", c, text)
			}
			// Nothing but the destination and the key differs from the default.
			want := Default()
			want.File, want.VInfer.APIKey, want.CRM, want.again = c.File, c.VInfer.APIKey, c.CRM, c.again
			c.again, want.again = nil, nil
			if !reflect.DeepEqual(*c, want) {
				t.Errorf("it is %+v, the default %+v", *c, want)
			}
			if want := (Destination{}); !reflect.DeepEqual(c.CRM[0].Protect, want.Protect) || c.CRM[0].Owner != "" || !reflect.DeepEqual(c.CRM[0].Mapping, Default().Mapping) {
				t.Errorf("the example's values are the destination's: %+v", c.CRM[0])
			}
			// Every key is there with the example's comments, but for other kinds and what has no effect on this one.
			_, crm, _ := strings.Cut(text, "\ncrm:\n")
			for _, key := range keysOf(d.kindType()) {
				if base, ok := strings.CutSuffix(key, "_file"); ok && slices.Contains(keysOf(d.kindType()), base) || slices.Contains(keysOf(d.kindType()), twin(key)) {
					continue // one of the two will do
				}
				if slices.Contains(httpKeys, strings.TrimSuffix(key, "_file")) {
					continue // the destination has them, and the example not each below the kind
				}
				if !regexp.MustCompile(`(?m)(^#? +|# .*\b|\{|, )` + key + `\b`).MatchString(crm) {
					t.Errorf("it does not name %s\n%s", key, crm)
				}
			}
			comments := 0
			for l := range strings.Lines(text) {
				if strings.HasPrefix(strings.TrimSpace(l), "# ") {
					comments++
				}
			}
			if comments < 55 {
				t.Errorf("it has only %d lines of comments", comments)
			}
			for _, other := range Kinds() {
				if other != kind && regexp.MustCompile(`(?m)^#?    `+other+`:`).MatchString(text) {
					t.Errorf("it shows %s", other)
				}
			}
		})
	}
}

// TestDraftAlternatives takes every alternative that a draft shows: a # removed, each is right. Keys that exclude each other are left.
func TestDraftAlternatives(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		text := filled(t, kind, "/etc/vinfer-sync/config.yaml").Text()
		head, rest, _ := strings.Cut(text, "\ncrm:\n")
		rest = regexp.MustCompile(`(?m)^#(  .*)$`).ReplaceAllString(rest, "$1")
		_, _, err := parse("/etc/vinfer-sync/config.yaml", []byte(head+"\ncrm:\n"+rest), operatorEnv, true)
		if err != nil {
			t.Errorf("%s: %v\n%s", kind, err, rest)
		}
	}
}

func TestDraftSet(t *testing.T) {
	t.Parallel()
	d, err := NewDraft("webhook")
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"vinfer.api_key": "${OTHER_KEY}", "vinfer.base_url": "http://127.0.0.1:8420/v1", "schedule": "CRON_TZ=Asia/Kolkata */5 9-18 * * *", "timezone": "Europe/London",
		"region": "GB", "start": "-24h", "store.bbolt.path": "state/state.db", "admin.socket": "state/admin.sock", "vinfer.page_size": "50",
	} {
		if err := d.Set(key, value); err != nil {
			t.Error(err)
		}
	}
	d.Rename("sales")
	for key, value := range map[string]string{"url": "https://crm.example/a b?x=${Y}#top", "events": "call.completed call.escalated", "secret": "${SECRET}", "headers": "{X-Team: sales}"} {
		if err := d.SetOwn(key, value); err != nil {
			t.Error(err)
		}
	}
	for disposition, status := range map[string]string{"interested": "Prospect, hot: {x}", "dnc": "No", "new_one": "it's"} {
		if err := d.SetStatus(disposition, status); err != nil {
			t.Error(err)
		}
	}
	env := func(name string) (string, bool) { return name, true }
	if _, err := Parse("config.yaml", []byte(d.Text()), env); err == nil || !strings.Contains(err.Error(), "fragment") {
		t.Errorf("the URL with a fragment: %v\n%s", err, d.Text())
	}
	if err := d.SetOwn("url", "https://crm.example/a"); err != nil {
		t.Error(err)
	}
	c, err := Parse("/x/config.yaml", []byte(d.Text()), env)
	if err != nil {
		t.Fatalf("%v\n%s", err, d.Text())
	}
	m := c.Mapping.Dispositions
	w := c.CRM[0].Webhook
	if c.VInfer.APIKey.Value.Reveal() != "OTHER_KEY" || c.VInfer.BaseURL != "http://127.0.0.1:8420/v1" || c.Schedule != "CRON_TZ=Asia/Kolkata */5 9-18 * * *" || c.Timezone != "Europe/London" ||
		c.Region != "GB" || c.Start.Ago != day || c.Store.Bolt.Path != "/x/state/state.db" || c.Admin.Socket != "/x/state/admin.sock" || c.VInfer.PageSize != 50 || c.CRM[0].Name != "sales" ||
		w.URL != "https://crm.example/a" || len(w.Events) != 2 || w.Secret.Reveal() != "SECRET" || w.Headers["X-Team"].Reveal() != "sales" ||
		m["interested"].Status != "Prospect, hot: {x}" || m["dnc"].Status != "No" || m["new_one"].Status != "it's" || m["callback_requested"].Task == nil {
		t.Errorf("%+v\n%s", c, d.Text())
	}
	names, statuses := d.Statuses()
	if len(names) != 10 || names[0] != "interested" || statuses[4] != "Dispute" {
		t.Errorf("%q %q", names, statuses)
	}
}

// TestDraftRefuses gives it what must not come into the file.
func TestDraftRefuses(t *testing.T) {
	t.Parallel()
	if _, err := NewDraft("hubspott"); err == nil || !strings.Contains(err.Error(), "hubspot") {
		t.Errorf("an unknown kind: %v", err)
	}
	d, err := NewDraft("hubspot")
	if err != nil {
		t.Fatal(err)
	}
	const key = "pat-na1-0000"
	for _, value := range []string{key, "a\nb", " a"} {
		if err := d.SetOwn("access_token", value); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("%q: %v", value, err)
		}
		if err := d.Set("vinfer.api_key", value); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("%q: %v", value, err)
		}
	}
	if strings.Contains(d.Text(), key) {
		t.Error("the secret is in the text")
	}
	for _, set := range []func() error{
		func() error { return d.Set("schedule", "never") }, func() error { return d.Set("region", "XX") }, func() error { return d.SetOwn("search_rate", "fast: yes # no") },
		func() error { return d.SetOwn("serch_rate", "5") },
	} {
		if err := set(); err != nil {
			t.Error(err)
		}
	}
	var keys []string
	for _, f := range d.Faults("config.yaml") {
		keys = append(keys, f.Key)
	}
	slices.Sort(keys)
	if want := []string{"crm[0].hubspot.search_rate", "crm[0].hubspot.serch_rate", "region", "schedule"}; !slices.Equal(keys, want) {
		t.Errorf("faults of %q", keys)
	}
}
