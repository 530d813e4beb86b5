package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

func exampleFile(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestExampleIsTheDefault loads the example and an empty file: they must mean the same.
func TestExampleIsTheDefault(t *testing.T) {
	example, err := Parse("config.yaml", exampleFile(t), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := Parse("config.yaml", nil, testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if len(example.Warnings) > 0 {
		t.Errorf("warnings: %q", example.Warnings)
	}
	a, b := reflect.ValueOf(*example), reflect.ValueOf(*empty)
	for i := range a.NumField() {
		if !a.Type().Field(i).IsExported() {
			continue
		}
		if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			t.Errorf("%s: the example has %+v, the default is %+v", a.Type().Field(i).Name, a.Field(i).Interface(), b.Field(i).Interface())
		}
	}
}

// TestExampleAlternatives takes every commented alternative of the destinations.
func TestExampleAlternatives(t *testing.T) {
	dir := t.TempDir()
	text := strings.ReplaceAll(string(exampleFile(t)), "/etc/vinfer-sync/", dir+"/")
	head, rest, ok := strings.Cut(text, "\ncrm:\n")
	if !ok {
		t.Fatal("no crm: in the example")
	}
	text = head + "\ncrm:\n" + regexp.MustCompile(`(?m)^#(  .*)$`).ReplaceAllString(rest, "$1")
	cert, key := certificate(t)
	files := map[string][]byte{"postgres_dsn": []byte("postgres://u:p@db.example/crm"), "mysql_dsn": []byte("u:p@tcp(db.example)/crm"), "ca.pem": cert, "client.pem": cert, "client.key": key}
	for _, m := range regexp.MustCompile(`_file: (\w+)`).FindAllStringSubmatch(text, -1) {
		if files[m[1]] == nil {
			files[m[1]] = []byte("x") // a secret of any form
		}
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Parse(filepath.Join(dir, "config.yaml"), []byte(text), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, d := range c.CRM {
		seen[d.Kind()] = true
	}
	for _, name := range kindNames() {
		if !seen[name] {
			t.Errorf("the example has no %s", name)
		}
	}
	if got := c.CRM[0].Mapping.Dispositions["interested"].Status; got != "Prospect" {
		t.Errorf("interested is %q at the destination", got)
	}
}

// certificate returns a certificate and its key, as PEM.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// TestExampleNamesEveryKey walks the structs: each key must stand in the example, below the key that it belongs to.
func TestExampleNamesEveryKey(t *testing.T) {
	text := string(exampleFile(t))
	var walk func(t reflect.Type) []string
	walk = func(t reflect.Type) []string {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || holdsSecret(t) || t == typeStart {
			return nil
		}
		var keys []string
		for _, f := range fieldsOf(t) {
			keys = append(append(keys, f.key), walk(f.typ)...)
		}
		return keys
	}
	keys := walk(reflect.TypeFor[Config]())
	if len(keys) < 90 {
		t.Fatalf("only %d keys found", len(keys))
	}
	for _, key := range keys {
		if !regexp.MustCompile(`(?m)(^#? *(- )?|\{|, )` + key + `:|^ +# .*\b` + key + `\b`).MatchString(text) {
			t.Errorf("the example does not name %s", key)
		}
	}
}
