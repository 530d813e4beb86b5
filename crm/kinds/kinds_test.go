package kinds_test

import (
	"slices"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/dynamics"
	"github.com/vinfer-sync/vinfer-sync/crm/espocrm"
	"github.com/vinfer-sync/vinfer-sync/crm/exec"
	"github.com/vinfer-sync/vinfer-sync/crm/hubspot"
	"github.com/vinfer-sync/vinfer-sync/crm/jsonl"
	"github.com/vinfer-sync/vinfer-sync/crm/kinds"
	"github.com/vinfer-sync/vinfer-sync/crm/leadsquared"
	"github.com/vinfer-sync/vinfer-sync/crm/mysql"
	"github.com/vinfer-sync/vinfer-sync/crm/odoo"
	"github.com/vinfer-sync/vinfer-sync/crm/postgres"
	"github.com/vinfer-sync/vinfer-sync/crm/salesforce"
	"github.com/vinfer-sync/vinfer-sync/crm/sqlite"
	"github.com/vinfer-sync/vinfer-sync/crm/suitecrm"
	"github.com/vinfer-sync/vinfer-sync/crm/webhook"
	"github.com/vinfer-sync/vinfer-sync/crm/zoho"
)

// What the writers can do besides Write is found out by assertion: who lost a method would be asked for less.
var (
	_ = []interface {
		crm.Writer
		crm.Checker
		crm.Finder
		crm.Provisioner
	}{(*dynamics.Writer)(nil), (*espocrm.Writer)(nil), (*hubspot.Writer)(nil), (*leadsquared.Writer)(nil), mysql.Writer{}, (*odoo.Writer)(nil), postgres.Writer{}, (*salesforce.Writer)(nil), (*sqlite.Writer)(nil), (*suitecrm.Writer)(nil), (*zoho.Writer)(nil)}
	_ = []interface {
		crm.Writer
		crm.Checker
		crm.AppendOnly
	}{(*exec.Writer)(nil), (*jsonl.Writer)(nil), (*webhook.Writer)(nil)}
)

// TestEveryKindIsWhole looks at what the rest of the program takes from the list.
func TestEveryKindIsWhole(t *testing.T) {
	var names []string
	kinds.Each(func(name string, c kinds.Config) {
		if name == "" || slices.Contains(names, name) {
			t.Errorf("%T has the key %q", c, name)
		}
		names = append(names, name)
		if w, err := c.Open(crm.Settings{}); err == nil || w != nil {
			t.Errorf("%s opens without a configuration: %v", name, w)
		}
		if f, ok := c.(kinds.Contacts); ok && len(f.FieldNames()) == 0 && name != "rest" { // whose recipes name them
			t.Errorf("%s has contacts, and no field can be named", name)
		}
	})
	if len(names) < 13 {
		t.Errorf("%q", names)
	}
}

func TestChosen(t *testing.T) {
	var all kinds.All
	if name, c := all.Chosen(); name != "" || c != nil {
		t.Errorf("none is set: %s %v", name, c)
	}
	all.SuiteCRM = &suitecrm.Config{URL: "https://suite.example", ClientID: "a"}
	if name, c := all.Chosen(); name != "suitecrm" || c.Identity() != "https://suite.example a" {
		t.Errorf("%s %v", name, c)
	}
}
