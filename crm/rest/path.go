package rest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// path says where a value is in an answer: names and numbers of places in lists, with dots between them ("data.0.id"); "." is the whole.
// A name that meets a list is looked up in each of its entries.
type path struct {
	steps []string
	set   bool
}

var pathText = regexp.MustCompile(`^(\.|[^.\s]+(\.[^.\s]+)*)$`)

func (p *path) decode(n node) {
	if n.Kind == yaml.ScalarNode {
		if text := n.expand(n.Value); text != n.Value && (text == "" || strings.HasSuffix(text, ".")) {
			return // the destination has no such field
		}
		n.Node = &yaml.Node{Kind: yaml.ScalarNode, Value: n.expand(n.Value), Line: n.Line, Column: n.Column}
	}
	if !pathText.MatchString(n.Value) {
		n.fault("no path into an answer", "write names with dots between them, as data.0.id, or . for the whole")
		return
	}
	*p = pathOf(n.Value)
}

func pathOf(text string) path {
	if text == "." {
		return path{set: true}
	}
	return path{strings.Split(text, "."), true}
}

// or returns the path, or another where the recipe has none.
func (p path) or(other path) path {
	if p.set {
		return p
	}
	return other
}

// in returns the value at the path; nil: there is none, or it is null.
func (p path) in(v any) any {
	for i, step := range p.steps {
		switch held := v.(type) {
		case map[string]any:
			v = held[step]
		case []any:
			if at, err := strconv.Atoi(step); err == nil {
				if v = nil; at >= 0 && at < len(held) {
					v = held[at]
				}
				continue
			}
			var all []any
			for _, e := range held {
				if x := (path{steps: p.steps[i:]}).in(e); x != nil {
					all = append(all, x)
				}
			}
			return all
		default:
			return nil
		}
	}
	return v
}

// text returns the value at the path as a text; empty: there is none, or no single one.
func (p path) text(v any) string { return textOf(p.in(v)) }

// texts returns all texts at the path.
func (p path) texts(v any) (all []string) {
	switch found := p.in(v).(type) {
	case []any:
		for _, e := range found {
			all = append(all, (path{}).texts(e)...)
		}
	default:
		if s := textOf(found); s != "" {
			all = append(all, s)
		}
	}
	return all
}

// textOf writes a single value as it is compared and kept.
func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case nil, []any, map[string]any:
		return ""
	}
	return fmt.Sprint(v)
}

// match says at which path a value is compared, and with which.
type match struct {
	Path path     `yaml:"path"`
	Is   []string `yaml:"is"`
}

func (m *match) check(n node) {
	if !m.Path.set || len(m.Is) == 0 {
		n.fault("path and is belong together", "write {path: status, is: [open]}")
	}
}

// fits tells whether one of the values is at the path.
func (m *match) fits(v any) bool {
	held := m.Path.text(v)
	for _, is := range m.Is {
		if held == is {
			return true
		}
	}
	return false
}
