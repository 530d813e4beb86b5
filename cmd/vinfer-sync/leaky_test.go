package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm/kinds"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// leaky are destinations of every kind: the keys that each needs besides its secrets, and the secrets that do not go with those. {URL} is a server that
// repeats what it is sent, and {MARK} a secret that stands in a URL.
var leaky = []struct {
	name, kind string
	keys       []string
	without    string
}{
	{"webhook", "webhook", []string{`url: "{URL}/hook/{MARK}0123456789?token={MARK}"`, "timeout: 5s"}, ""},
	{"salesforce", "salesforce", []string{"url: {URL}", "client_id: me", "company: x"}, "private_key"},
	{"salesforce-jwt", "salesforce", []string{"url: {URL}", "client_id: me", "username: me@example.com"}, "client_secret"},
	{"dynamics", "dynamics", []string{"url: {URL}", `token_url: "{URL}/token"`, "client_id: me"}, ""},
	{"freshsales", "freshsales", []string{"url: {URL}"}, ""},
	{"hubspot", "hubspot", []string{"base_url: {URL}"}, ""},
	{"zoho", "zoho", []string{"accounts_url: {URL}", "api_url: {URL}", "client_id: me"}, ""},
	{"leadsquared", "leadsquared", []string{"url: {URL}", "auth: headers"}, ""},
	{"leadsquared-query", "leadsquared", []string{"url: {URL}", "auth: query"}, ""},
	{"espocrm", "espocrm", []string{"url: {URL}", "admin_user: admin"}, "secret_key"},
	{"espocrm-hmac", "espocrm", []string{"url: {URL}", "admin_user: admin"}, ""},
	{"suitecrm", "suitecrm", []string{"url: {URL}", "client_id: me"}, ""},
	{"odoo", "odoo", []string{"url: {URL}", "database: crm", "user: me", "api: json2"}, ""},
	{"odoo-jsonrpc", "odoo", []string{"url: {URL}", "database: crm", "user: me", "api: jsonrpc"}, ""},
	{"rest", "rest", []string{"url: {URL}", "use: lms"}, ""},
	{"rest-url", "rest", []string{"url: {URL}", "use: bitrix24", `vars: {user: "7", rate: "50"}`}, ""},
	{"postgres", "postgres", []string{"timeout: 2s"}, ""},
	{"mysql", "mysql", []string{"timeout: 2s"}, ""},
	{"exec", "exec", []string{`command: [/bin/sh, -c, "cat >&2; env >&2; exit 1"]`}, ""},
	{"exec-answer", "exec", []string{`command: [/bin/sh, -c, 'x=$(tr -d "\"\\" | tr "\n" " "); y=$(env | tr "\n" " "); echo "{\"verdict\": \"reject\", \"error\": \"$x $y\"}"']`}, ""},
	{"exec-running", "exec", []string{`command: [/bin/sh, -c, "while read x; do echo $x; echo $x $TOKEN >&2; done"]`, "keep_running: true"}, ""},
	{"sqlite", "sqlite", []string{"path: crm.db"}, ""},
	{"jsonl", "jsonl", []string{"path: calls.jsonl"}, ""},
}

// leakyDestinations writes the secrets of every kind into files below dir/secrets and returns the YAML of the destinations, and what else
// must not be shown. more is added to each that speaks HTTP.
func leakyDestinations(t *testing.T, dir, url, database, more string) (text string, secrets []string) {
	t.Helper()
	used := map[string]bool{}
	for _, d := range leaky {
		text += fmt.Sprintf("  - name: %s\n    %s:\n", d.name, d.kind)
		keys := secretKeys(t, d.kind)
		for _, line := range d.keys {
			text += "      " + strings.NewReplacer("{URL}", url, "{MARK}", secretMark).Replace(line) + "\n"
		}
		http := false
		for _, key := range keys {
			used[d.kind+"."+key] = true
			if slices.Contains(strings.Fields(d.without), key) {
				continue
			}
			value := d.name + "-" + secretMark + "-" + key
			switch d.kind + "." + key {
			case "salesforce.private_key":
				value = privateKey(t)
				secrets = append(secrets, strings.Split(value, "\n")[5])
			case "postgres.dsn":
				value = "postgres://me:" + secretMark + "@" + database + "/crm?sslmode=disable"
			case "mysql.dsn":
				value = "me:" + secretMark + "@tcp(127.0.0.1:9)/crm"
			}
			file := filepath.Join(dir, "secrets", d.name+"-"+strings.Trim(key, "{}"))
			if err := os.WriteFile(file, []byte(value+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			switch key {
			case "headers{}":
				http = true
				text += fmt.Sprintf("      headers: {X-Token_file: %s}\n", file)
			case "secrets{}":
				text += fmt.Sprintf(map[string]string{
					"rest":     "      secrets: {client_id: me, client_secret_file: %s}\n",
					"rest-url": "      secrets: {webhook_file: %s}\n",
				}[d.name], file)
			case "env{}":
				text += fmt.Sprintf("      env: {TOKEN_file: %s}\n", file)
			default:
				text += fmt.Sprintf("      %s_file: %s\n", key, file)
			}
		}
		if http {
			text += more
		}
	}
	for _, kind := range kindsOf() {
		for _, key := range secretKeys(t, kind) {
			if !used[kind+"."+key] {
				t.Errorf("no destination of these tests has a %s.%s: add it to leaky", kind, key)
			}
		}
	}
	return text, secrets
}

// kindsOf lists the kinds that a destination can be.
func kindsOf() (all []string) {
	kinds.Each(func(name string, _ kinds.Config) { all = append(all, name) })
	return all
}

// secretKeys lists the keys of a kind that hold secrets; those of a map end in {}. Proxies have tests of their own.
func secretKeys(t *testing.T, kind string) (keys []string) {
	t.Helper()
	var within func(reflect.Type)
	within = func(typ reflect.Type) {
		for f := range typ.Fields() {
			switch {
			case f.Anonymous:
				within(f.Type)
			case f.Type == reflect.TypeFor[map[string]secret.Text]():
				keys = append(keys, yamlKey(f)+"{}")
			case f.Type == reflect.TypeFor[secret.Text]() && yamlKey(f) != "proxy":
				keys = append(keys, yamlKey(f))
			}
		}
	}
	of := kinds.Of(kind)
	if of == nil {
		t.Fatalf("there is no kind %s", kind)
	}
	within(reflect.TypeOf(of).Elem())
	return keys
}

func yamlKey(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
}

func privateKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}
