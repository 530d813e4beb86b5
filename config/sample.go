package config

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	vinfersync "github.com/vinfer-sync/vinfer-sync"
)

// Need is a key that a kind of destination cannot do without.
type Need struct {
	Key     string
	Example string // its value in the example; of a secret's file the name
}

// Secret tells whether the key names the file of a secret.
func (n Need) Secret() bool { return strings.HasSuffix(n.Key, "_file") }

// needs are the keys that each kind cannot do without, in the order of the example.
var needs = map[string][]string{
	"postgres": {"dsn_file"}, "mysql": {"dsn_file"}, "webhook": {"url", "secret_file"}, "exec": {"command"}, "jsonl": {"path"},
	"odoo": {"url", "database", "api_key_file"}, "espocrm": {"url", "api_key_file"}, "suitecrm": {"url", "client_id", "client_secret_file"},
	"zoho":        {"data_center", "client_id", "client_secret_file", "refresh_token_file"},
	"leadsquared": {"region", "access_key_file", "secret_key_file"}, "salesforce": {"url", "client_id", "client_secret_file"},
	"hubspot": {"access_token_file"}, "freshsales": {"url", "api_key_file"}, "dynamics": {"url", "tenant", "client_id", "client_secret_file"},
	"rest": {"use", "url", "secrets"},
}

// Sample is the commented example of one kind of destination.
type Sample struct {
	About string // what the example says of the kind, in one line
	Needs []Need
	lines []string
}

// Kinds lists the kinds that a destination can be.
func Kinds() []string { return kindNames() }

var sampleKey = regexp.MustCompile(`^#?      ([a-z_]+): *(.*)$`)

// SampleOf returns the example of a kind that Kinds lists.
func SampleOf(kind string) Sample {
	lines := strings.Split(vinfersync.Example, "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.TrimPrefix(l, "#") == "    "+kind+":" })
	from, to := at, at
	for ; !strings.HasPrefix(strings.TrimPrefix(lines[from], "#"), "  - name:"); from-- {
	}
	for ; strings.HasPrefix(lines[from-1], "  #"); from-- {
	}
	for ; lines[to] != ""; to++ {
	}
	s := Sample{lines: lines[from:to]}
	about := s.lines[0]
	if above := lines[at-1]; strings.HasPrefix(above, "    # ") { // of the example's own destination, which has more above its name
		about = above
	}
	s.About, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(about), "# "), ". ")
	s.About, _, _ = strings.Cut(strings.TrimSuffix(s.About, "."), ": docs/")
	for _, l := range s.lines {
		if m := sampleKey.FindStringSubmatch(l); m != nil && slices.Contains(needs[kind], m[1]) {
			s.Needs = append(s.Needs, Need{m[1], m[2]})
		}
	}
	return s
}

var plain = regexp.MustCompile(`^(?:[\w/][\w./:@?=&%+-]*|\[.*\])$`)

// Text returns the destination as it is written below crm:, with values for the keys that it needs; what has none keeps the example's.
// All else stays a comment.
func (s Sample) Text(kind string, values map[string]string) string {
	var b strings.Builder
	for _, l := range s.lines {
		bare := strings.TrimPrefix(l, "#")
		m := sampleKey.FindStringSubmatch(l)
		switch {
		case strings.HasPrefix(bare, "  - name:"), bare == "    "+kind+":":
			l = bare
		case m != nil && slices.ContainsFunc(s.Needs, func(n Need) bool { return n.Key == m[1] }):
			value := m[2]
			if v := values[m[1]]; v != "" {
				value = v
				if !plain.MatchString(v) {
					value = strconv.Quote(v)
				}
			}
			l = "      " + m[1] + ": " + value
		}
		b.WriteString(l + "\n")
	}
	return b.String()
}
