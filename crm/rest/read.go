package rest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// reader decodes a recipe strictly: it notes every fault with its place and goes on.
type reader struct {
	file   string
	faults Faults
	vars   map[string]string // of the recipe
	given  map[string]string // of the destination
	uses   map[string]node   // secrets, by name, with the place of their first use
	needs  map[string]node   // vars without a default
	values int
}

// most is how many values a recipe may have. Aliases count as what they name: one that names itself has no end.
const most = 10_000

// yamlLine finds the line in an error of the YAML parser.
var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// parse reads the one document of a recipe.
func (r *reader) parse(text []byte) *yaml.Node {
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	err := dec.Decode(&doc)
	if err == nil && dec.Decode(new(yaml.Node)) == nil {
		err = errors.New("the file has two documents: write one recipe a file")
	}
	switch {
	case errors.Is(err, io.EOF):
		err = errors.New("the file is empty")
	case err == nil && len(doc.Content) == 1 && doc.Content[0].Kind == yaml.MappingNode:
		return doc.Content[0]
	case err == nil:
		err = errors.New("the file holds no keys")
	}
	f := Fault{File: r.file, Problem: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := yamlLine.FindStringSubmatch(f.Problem); m != nil {
		f.Line, _ = strconv.Atoi(m[1])
		f.Column, f.Problem = 1, m[2]
	}
	r.faults = append(r.faults, f)
	return nil
}

// decodable is implemented by the values of a recipe that are more than YAML.
type decodable interface{ decode(n node) }

var durationType = reflect.TypeFor[time.Duration]()

// value decodes a value into v.
func (r *reader) value(n node, v reflect.Value) {
	if n.Kind == yaml.AliasNode {
		n.Node = n.Alias
	}
	if r.values++; r.values > most {
		if r.values == most+1 {
			n.fault(fmt.Sprintf("the recipe has more than %d values", most), "look for an alias that names itself")
		}
		return
	}
	if d, ok := v.Addr().Interface().(decodable); ok {
		d.decode(n)
		return
	}
	switch v.Kind() { //nolint:exhaustive // the kinds that recipes are made of
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.value(n, v.Elem())
	case reflect.Struct:
		r.object(n, v)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		n.entries(func(k string, val node) {
			e := reflect.New(v.Type().Elem()).Elem()
			r.value(val, e)
			v.SetMapIndex(reflect.ValueOf(k), e)
		})
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			n.fault("a list is expected here", "write [one, two], or a line beginning with - for each")
			return
		}
		for i, c := range n.Content {
			e := reflect.New(v.Type().Elem()).Elem()
			r.value(node{c, fmt.Sprintf("%s[%d]", n.key, i), r}, e)
			v.Set(reflect.Append(v, e))
		}
	default:
		r.scalar(n, v)
	}
}

func (r *reader) scalar(n node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode {
		n.fault("a single value is expected here", "write it behind the colon")
		return
	}
	var err error
	text := n.expand(n.Value)
	switch {
	case v.Type() == durationType:
		var d time.Duration
		d, err = time.ParseDuration(text)
		if err == nil && d <= 0 {
			err = errors.New("not above 0")
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.Int:
		var i int
		i, err = strconv.Atoi(text)
		v.SetInt(int64(i))
	default:
		v.SetString(text)
	}
	if err != nil {
		n.fault(fmt.Sprintf("%q is not taken", text), map[bool]string{true: "write a time span as 30s or 5m", false: "write a number"}[v.Type() == durationType])
	}
}

// object decodes a mapping into a struct.
func (r *reader) object(n node, v reflect.Value) {
	t := v.Type()
	var known []string
	index := map[string]int{}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" {
			known = append(known, key)
			index[key] = i
		}
	}
	n.entries(func(k string, val node) {
		i, ok := index[k]
		if !ok {
			val.fault("unknown key", "known here: "+strings.Join(known, ", "))
			return
		}
		r.value(val, v.Field(i))
	})
	if c, ok := v.Addr().Interface().(interface{ check(n node) }); ok {
		c.check(n)
	}
}

// named finds the vars in paths and in names of fields, which belong to the destination and not to a call.
var named = regexp.MustCompile(`\{\{ ?\.Vars\.(\w+) ?\}\}`)

// expand puts the destination's vars into a path or a name.
func (n node) expand(text string) string {
	return named.ReplaceAllStringFunc(text, func(m string) string {
		name := named.FindStringSubmatch(m)[1]
		if v := n.r.given[name]; v != "" {
			return v
		}
		if v, has := n.r.vars[name]; has {
			return v
		}
		n.r.needs[name] = n
		return name
	})
}

// entries calls f for each key of a mapping. The place of a key's value is that of the key: that is where people look.
func (n node) entries(f func(k string, v node)) {
	if n.Kind != yaml.MappingNode {
		n.fault("keys are expected here", "write the keys below it, each indented")
		return
	}
	var seen []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		val := node{v, strings.TrimPrefix(n.key+"."+k.Value, "."), n.r}
		if v.Kind != yaml.ScalarNode || v.Value == "" {
			at := *v
			at.Line, at.Column = k.Line, k.Column
			val.Node = &at
		}
		switch {
		case k.Kind != yaml.ScalarNode || k.Tag == "!!merge":
			val.fault("a key must be a word; << is not taken", "repeat the keys, or use an alias for a whole value")
		case slices.Contains(seen, k.Value):
			val.fault("the key is there twice", "remove one of them")
		default:
			seen = append(seen, k.Value)
			if name := val.expand(k.Value); name != "" { // the destination has no such field
				f(name, val)
			}
		}
	}
}
