package vinfersync_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/alert"
)

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var (
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	fenced   = regexp.MustCompile("(?ms)^ *```.*?^ *```")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	noAnchor = regexp.MustCompile(`[^\p{L}\p{N}\p{M} _-]`)
	ruleName = regexp.MustCompile(`(?m)^\s*- alert: (\S+)$`)
)

// anchors are the places of a page that links can lead to.
func anchors(page string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
		all = append(all, strings.ReplaceAll(noAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), ""), " ", "-"))
	}
	return all
}

// Links within the documents lead somewhere.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("docs/crm/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, page := range append(append(pages, more...), "README.md", "SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md") {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text(t, page), ""), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, ":") {
				continue
			}
			seen++
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s leads nowhere", page, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(text(t, target)), anchor) {
				t.Errorf("%s: %s has no heading for %s", page, target, m[1])
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d links seen", seen)
	}
}

// Every alerting rule names the place of docs/OPERATIONS.md that says what to do.
func TestRunbooks(t *testing.T) {
	rules := text(t, "contrib/prometheus-rules.yaml")
	places := anchors(text(t, "docs/OPERATIONS.md"))
	books := regexp.MustCompile(`runbook_url: \S+/docs/OPERATIONS\.md#(\S+)`).FindAllStringSubmatch(rules, -1)
	if n := len(ruleName.FindAllString(rules, -1)); n < 10 || n != len(books) {
		t.Errorf("%d rules, %d runbooks", n, len(books))
	}
	for _, m := range books {
		if !slices.Contains(places, m[1]) {
			t.Errorf("docs/OPERATIONS.md has no heading for %s", m[1])
		}
	}
}

// Every alert has a heading in docs/OPERATIONS.md that says what to do.
func TestAlertsAreExplained(t *testing.T) {
	page := text(t, "docs/OPERATIONS.md")
	page = page[strings.Index(page, "\n## Alerts\n"):strings.Index(page, "\n## Monitoring\n")]
	var explained []string
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		explained = append(explained, strings.Split(m[1], ", ")...)
	}
	names := slices.Clone(alert.Kinds)
	for _, m := range ruleName.FindAllStringSubmatch(text(t, "contrib/prometheus-rules.yaml"), -1) {
		names = append(names, m[1])
	}
	if len(names) < 15 {
		t.Errorf("only %d alerts found: %q", len(names), names)
	}
	for _, name := range names {
		if !slices.Contains(explained, name) {
			t.Errorf("docs/OPERATIONS.md has no heading for the alert %s", name)
		}
	}
	for _, name := range explained {
		if name != "Alerts" && !slices.Contains(names, name) {
			t.Errorf("docs/OPERATIONS.md explains an alert that there is not: %s", name)
		}
	}
}
