package rest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template/parse"

	"go.yaml.in/yaml/v3"
)

// errAbsent is the error of a path or a query that needs what a call does not have.
var errAbsent = errors.New("the call does not have")

// leaf is a text of a recipe with actions in it: {{.Call.Duration}}. A leaf that is one action has that value, with its type; any other is a text.
// What comes out is never read again: a text stays a text, whatever it looks like.
type leaf struct {
	source string
	parts  []any // string or expression
	at     node
}

// expression is an action: a value, or a function of others.
type expression struct {
	name    string // of a value, "Call.Duration", or of a function
	call    bool
	literal any
	args    []expression
}

// functions are those of templates, with how many arguments they take at least and at most.
var functions = map[string][2]int{"or": {1, 9}, "cut": {2, 2}, "line": {2, 2}, "json": {1, 1}, "at": {2, 2}, "clock": {1, 1}, "number": {1, 1}, "secret": {1, 1}}

var parserFunctions = func() map[string]any {
	all := map[string]any{}
	for name := range functions {
		all[name] = true
	}
	return all
}()

func (l *leaf) decode(n node) {
	if n.Kind != yaml.ScalarNode {
		n.fault("a text is expected here", "write it behind the colon")
		return
	}
	l.source, l.at = n.Value, n
	trees, err := parse.Parse("recipe", n.Value, "", "", parserFunctions)
	if err != nil {
		_, what, _ := strings.Cut(strings.TrimPrefix(err.Error(), "template: "), "recipe:1: ")
		n.fault("no template: "+what, "write a value as {{.Call.Duration}}; docs/recipes.md lists them")
		return
	}
	tree := trees["recipe"]
	if tree == nil || tree.Root == nil {
		return
	}
	for _, part := range tree.Root.Nodes {
		switch part := part.(type) {
		case *parse.TextNode:
			l.parts = append(l.parts, string(part.Text))
		case *parse.ActionNode:
			e, err := compile(part.Pipe)
			if err == nil {
				err = e.known(n)
			}
			if err != nil {
				n.fault(err.Error(), "docs/recipes.md lists the values and the functions")
				return
			}
			l.parts = append(l.parts, e)
		default:
			n.fault("a template holds values and functions only, no "+strings.Fields(strings.Trim(part.String(), "{} "))[0], "write {of: …, map: {…}} for a choice")
			return
		}
	}
}

// compile reads a pipeline.
func compile(pipe *parse.PipeNode) (out expression, err error) {
	if len(pipe.Decl) > 0 {
		return out, errors.New("a template has no variables")
	}
	for i, cmd := range pipe.Cmds {
		e, err := command(cmd)
		if err != nil {
			return e, err
		}
		if i > 0 {
			if !e.call {
				return e, fmt.Errorf("%s after | is not a function", cmd)
			}
			e.args = append(e.args, out)
		}
		out = e
	}
	return out, out.arity()
}

func command(cmd *parse.CommandNode) (expression, error) {
	first, err := argument(cmd.Args[0])
	if err != nil {
		return first, err
	}
	if !first.call && len(cmd.Args) > 1 {
		return first, fmt.Errorf("%s takes no arguments", cmd.Args[0])
	}
	for _, a := range cmd.Args[1:] {
		e, err := argument(a)
		if err != nil {
			return e, err
		}
		first.args = append(first.args, e)
	}
	return first, nil
}

func argument(n parse.Node) (expression, error) {
	switch n := n.(type) {
	case *parse.FieldNode:
		return expression{name: strings.Join(n.Ident, ".")}, nil
	case *parse.StringNode:
		return expression{literal: n.Text}, nil
	case *parse.NumberNode:
		if n.IsInt {
			return expression{literal: n.Int64}, nil
		}
	case *parse.IdentifierNode:
		return expression{name: n.Ident, call: true}, nil
	case *parse.PipeNode:
		return compile(n)
	}
	return expression{}, fmt.Errorf("%s is not taken", n)
}

// arity looks at how many arguments the functions have.
func (e expression) arity() error {
	if e.call {
		if n := functions[e.name]; len(e.args) < n[0] || len(e.args) > n[1] {
			return fmt.Errorf("%s takes %d arguments", e.name, n[0])
		}
		if _, number := e.args[0].literal.(int64); (e.name == "cut" || e.name == "line") && !number {
			return fmt.Errorf("%s takes a number first, as {{.Text | cut 2000}} or {{.Name | line 50}}", e.name)
		}
		if _, text := e.args[0].literal.(string); (e.name == "at" || e.name == "secret") && !text {
			return fmt.Errorf("%s takes a text first, as {{at \"15:04\" .Call.StartedAt}} or {{secret \"key\"}}", e.name)
		}
	}
	for _, a := range e.args {
		if err := a.arity(); err != nil {
			return err
		}
	}
	return nil
}

// known looks whether there are such values, and notes which secrets and vars are used.
func (e expression) known(n node) error {
	for _, a := range e.args {
		if err := a.known(n); err != nil {
			return err
		}
	}
	if name, ok := strings.CutPrefix(e.name, "Vars."); ok {
		if _, has := n.r.vars[name]; !has {
			n.r.needs[name] = n
		}
		return nil
	}
	switch {
	case e.name == "secret" && e.call:
		n.r.uses[e.args[0].literal.(string)] = n
	case e.call || e.literal != nil || strings.HasPrefix(e.name, "Contact.Picked."):
	case values[e.name].of == nil:
		if strings.HasPrefix(e.name, "Phone.") || strings.HasPrefix(e.name, "Call.") {
			group, _, _ := strings.Cut(e.name, ".")
			return fmt.Errorf("there is no value .%s; known: %s", e.name, strings.Join(slices.DeleteFunc(slices.Sorted(maps.Keys(values)), func(v string) bool {
				return !strings.HasPrefix(v, group+".")
			}), ", "))
		}
		return fmt.Errorf("there is no value .%s", e.name)
	}
	return nil
}

// each calls f for the expression and those in it.
func (e expression) each(f func(expression)) {
	f(e)
	for _, a := range e.args {
		a.each(f)
	}
}

// single returns the one action of a leaf without text around it.
func (l leaf) single() (expression, bool) {
	if len(l.parts) != 1 {
		return expression{}, false
	}
	e, ok := l.parts[0].(expression)
	return e, ok
}

// expressions calls f for all expressions of the leaf.
func (l leaf) expressions(f func(expression)) {
	for _, p := range l.parts {
		if e, ok := p.(expression); ok {
			e.each(f)
		}
	}
}

// render returns what the leaf says; nil: it is absent.
func (l leaf) render(s *scope) any {
	if e, ok := l.single(); ok {
		return e.value(s)
	}
	var out strings.Builder
	for _, p := range l.parts {
		if e, ok := p.(expression); ok {
			out.WriteString(s.text(e.value(s)))
		} else {
			out.WriteString(p.(string))
		}
	}
	return out.String()
}

// strict returns what the leaf says as a text, each value escaped; errAbsent where one of them is absent.
func (l leaf) strict(s *scope, escape func(string) string) (string, error) {
	var out strings.Builder
	for _, p := range l.parts {
		e, ok := p.(expression)
		if !ok {
			out.WriteString(p.(string))
			continue
		}
		v := e.value(s)
		if v == nil {
			return "", fmt.Errorf("%w %s, which %s needs", errAbsent, e, l.source)
		}
		out.WriteString(escape(s.text(v)))
	}
	return out.String(), nil
}

// String returns the expression much as it was written.
func (e expression) String() string {
	if e.literal != nil {
		return fmt.Sprintf("%#v", e.literal)
	}
	if !e.call {
		return "." + e.name
	}
	words := []string{e.name}
	for _, a := range e.args {
		words = append(words, a.String())
	}
	return strings.Join(words, " ")
}
