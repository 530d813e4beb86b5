package rest

import (
	"fmt"
	"maps"

	"go.yaml.in/yaml/v3"
)

// tree is a value as it is to be sent: objects, lists, and leaves. What is absent takes its key along.
type tree struct {
	leaf   *leaf
	fixed  any // a number, true, false
	object map[string]tree
	list   []tree
	choice *choice
}

// among is the key of an object that is laid among the others: {id: "{{.ID}}", +: "{{.Fields}}"}.
const among = "+"

// choice takes one of several values by another.
type choice struct {
	Of   leaf            `yaml:"of"`
	Map  map[string]tree `yaml:"map"`
	Else *tree           `yaml:"else"`
}

func (c *choice) check(n node) {
	if c.Of.source == "" || len(c.Map) == 0 {
		n.fault("of and map belong together", "write {of: \"{{.Call.Direction}}\", map: {inbound: In, outbound: Out}}")
	}
}

func (t *tree) decode(n node) {
	switch n.Kind { //nolint:exhaustive // documents and aliases do not come here
	case yaml.MappingNode:
		if t.decodeChoice(n) {
			return
		}
		t.object = map[string]tree{}
		n.entries(func(k string, v node) {
			var sub tree
			n.r.value(v, valueOf(&sub))
			t.object[k] = sub
		})
		if len(t.object) == 0 && len(n.Content) > 0 {
			t.object = nil // the destination has none of these fields
		}
	case yaml.SequenceNode:
		t.list = []tree{}
		for i, c := range n.Content {
			var sub tree
			n.r.value(node{c, fmt.Sprintf("%s[%d]", n.key, i), n.r}, valueOf(&sub))
			t.list = append(t.list, sub)
		}
	default:
		switch n.Tag {
		case "!!int", "!!float", "!!bool":
			if err := n.Decode(&t.fixed); err != nil {
				n.fault(err.Error(), "write a number, true or false")
			}
			return
		case "!!null":
			n.fault("there is no value", "remove the key, or write one")
			return
		}
		t.leaf = &leaf{}
		t.leaf.decode(n)
	}
}

// decodeChoice decodes a mapping with the keys of a choice.
func (t *tree) decodeChoice(n node) bool {
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == "of" {
			t.choice = &choice{}
			n.r.object(n, valueOf(t.choice))
			return true
		}
	}
	return false
}

// render returns the value; nil: it is absent.
func (t tree) render(s *scope) any {
	switch {
	case t.leaf != nil:
		return s.plain(t.leaf.render(s))
	case t.object != nil:
		out := map[string]any{}
		for k, sub := range t.object {
			v := sub.render(s)
			if all, ok := v.(map[string]any); ok && k == among {
				maps.Copy(out, all)
			} else if v != nil {
				out[k] = v
			}
		}
		if len(out) == 0 && len(t.object) > 0 {
			return nil
		}
		return out
	case t.list != nil:
		out := []any{}
		for _, sub := range t.list {
			if v := sub.render(s); v != nil {
				out = append(out, v)
			}
		}
		if len(out) == 0 && len(t.list) > 0 {
			return nil
		}
		return out
	case t.choice != nil:
		of := t.choice.Of.render(s)
		if of == nil {
			return nil
		}
		if sub, ok := t.choice.Map[s.text(of)]; ok {
			return sub.render(s)
		}
		if t.choice.Else != nil {
			return t.choice.Else.render(s)
		}
		return nil
	}
	return t.fixed
}

// leaves calls f for each leaf of the tree.
func (t tree) leaves(f func(leaf)) {
	switch {
	case t.leaf != nil:
		f(*t.leaf)
	case t.choice != nil:
		f(t.choice.Of)
		for _, sub := range t.choice.Map {
			sub.leaves(f)
		}
		if t.choice.Else != nil {
			t.choice.Else.leaves(f)
		}
	}
	for _, sub := range t.object {
		sub.leaves(f)
	}
	for _, sub := range t.list {
		sub.leaves(f)
	}
}

// isOwner tells whether the tree is the owner: {{.Owner}}, or {{or .Owner …}} with whoever it is else.
func (t tree) isOwner() bool {
	if t.leaf == nil {
		return false
	}
	e, _ := t.leaf.single()
	return e.name == "Owner" || e.call && e.name == "or" && e.args[0].name == "Owner"
}

// value returns the name of the value that the tree is, and the limit of its cut; empty: it is not one value alone.
func (t tree) value() (name string, limit int) {
	if t.leaf == nil {
		return "", 0
	}
	e, ok := t.leaf.single()
	if ok && e.call && (e.name == "cut" || e.name == "line") && !e.args[1].call {
		return e.args[1].name, limitOf(e)
	}
	if !ok || e.call {
		return "", 0
	}
	return e.name, 0
}
