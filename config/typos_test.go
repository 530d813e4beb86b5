package config

import (
	"strings"
	"testing"
)

// A disposition that VInfer does not document is warned of, with the one that was probably meant: calls would be left out in silence.
func TestUndocumentedDispositions(t *testing.T) {
	c := parseText(t, `
mapping:
  dispositions: {intrested: {status: Hot}, callback: {status: Callback}, Gold Customer: {status: Gold}}
crm:
  - name: a
    filter: {dispositions: [intrested, Not-Interested, DND]}
    mapping: {dispositions: {not_reacheable: {status: Cold}}}
    sqlite: {path: a.db}
`)
	for _, want := range []string{
		`mapping.dispositions.intrested: VInfer documents no disposition "intrested"; did you mean interested?`,
		`mapping.dispositions."Gold Customer": VInfer documents no disposition "Gold Customer"; names of your own come from VInfer's dashboard`,
		`crm[0].filter.dispositions[0]: VInfer documents no disposition "intrested"; did you mean interested?`,
		`crm[0].mapping.dispositions.not_reacheable: VInfer documents no disposition "not_reacheable"; did you mean not_reachable?`,
	} {
		if !strings.Contains(strings.Join(c.Warnings, "\n"), want) {
			t.Errorf("no warning that says %q: %q", want, c.Warnings)
		}
	}
	if len(c.Warnings) != 4 {
		t.Errorf("%d warnings: %q", len(c.Warnings), c.Warnings)
	}
}

func TestOverdueAndLanguages(t *testing.T) {
	c := parseText(t, "mapping: {overdue: skip}\ncrm:\n  - {name: a, sqlite: {path: a.db}}\n  - {name: b, mapping: {overdue: now}, filter: {languages: [hi_IN, hi]}, sqlite: {path: b.db}}\n")
	if c.CRM[0].Mapping.Overdue != "skip" || c.CRM[1].Mapping.Overdue != "now" {
		t.Errorf("%+v", c.CRM)
	}
	for text, want := range map[string]string{
		"mapping: {overdue: later}": "one of now, skip",
		"crm: [{name: a, filter: {languages: [hindi]}, sqlite: {path: a.db}}]":  "no language tag",
		"crm: [{name: a, filter: {languages: [hi-QQ1]}, sqlite: {path: a.db}}]": "no language tag",
	} {
		if _, err := Parse("config.yaml", []byte(text), testEnv); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
