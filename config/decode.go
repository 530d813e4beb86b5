package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// decoder walks YAML nodes beside the structs they are for. It notes every fault with its place and goes on.
//
// yaml.Unmarshal would stop at the first fault of syntax, say lines but no columns, and lose its strictness inside
// custom unmarshalers.
type decoder struct {
	file, dir string
	env       func(string) (string, bool)
	faults    Errors
	warnings  []string
	at        map[string]place     // where each key was set
	secrets   map[string]SecretRef // by key
	inline    bool                 // a secret stands in the file itself
	operator  bool                 // secrets may be out of reach, see LoadForOperator
}

// place is where a key stands.
type place struct{ key, value *yaml.Node }

var (
	typeSecret   = reflect.TypeFor[secret.Text]()
	typeRef      = reflect.TypeFor[SecretRef]()
	typeDuration = reflect.TypeFor[time.Duration]()
	typeShare    = reflect.TypeFor[Share]()
	typeStart    = reflect.TypeFor[Start]()
)

func holdsSecret(t reflect.Type) bool { return t == typeSecret || t == typeRef }

// fault notes a fault at a node; n may be nil.
func (d *decoder) fault(n *yaml.Node, key, value, problem, remedy string) {
	f := Fault{File: d.file, Key: key, Value: value, Problem: problem, Remedy: remedy}
	if n != nil {
		f.Line, f.Column = n.Line, n.Column
	}
	d.faults = append(d.faults, f)
}

// value decodes n into v, which key names.
func (d *decoder) value(n *yaml.Node, v reflect.Value, key string) {
	n = target(n)
	t := v.Type()
	if n.Style&yaml.TaggedStyle != 0 && !plainTag(n.Tag) {
		d.fault(n, key, "", "YAML tags are not taken", "remove "+name(n.Tag))
		return
	}
	switch t.Kind() { //nolint:exhaustive // the kinds that configuration structs are made of
	case reflect.Pointer:
		// A key with nothing under it still chooses what it names: a kind of CRM, a task.
		p := reflect.New(t.Elem())
		setDefaults(p)
		d.value(n, p.Elem(), key)
		v.Set(p)
	case reflect.Struct:
		if holdsSecret(t) || t == typeStart {
			d.scalar(n, v, key)
			return
		}
		d.object(n, v, key)
	case reflect.Map:
		d.table(n, v, key)
	case reflect.Slice:
		d.list(n, v, key)
	default:
		d.scalar(n, v, key)
	}
}

// setDefaults fills in what a new value of a list or behind a pointer is before the file has its say.
func setDefaults(p reflect.Value) {
	if s, ok := p.Interface().(interface{ SetDefaults() }); ok {
		s.SetDefaults()
	}
}

// field is one key of a struct.
type field struct {
	key   string
	index []int
	typ   reflect.Type
}

// fieldsOf returns the keys that a struct takes, in order, those of inline structs included.
func fieldsOf(t reflect.Type) []field {
	var all []field
	for i := range t.NumField() {
		f := t.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case options == "inline" && f.Type.Kind() == reflect.Struct:
			for _, g := range fieldsOf(f.Type) {
				g.index = append([]int{i}, g.index...)
				all = append(all, g)
			}
		case key != "" && key != "-" && f.IsExported():
			all = append(all, field{key, []int{i}, f.Type})
		}
	}
	return all
}

// twin is the key that names the file of the secret under key.
func twin(key string) string { return key + "_file" }

// keysOf returns every key that a struct takes, the files of secrets included.
func keysOf(t reflect.Type) []string {
	var keys []string
	for _, f := range fieldsOf(t) {
		keys = append(keys, f.key)
		if holdsSecret(f.typ) {
			keys = append(keys, twin(f.key))
		}
	}
	return keys
}

// entries calls fn for each key of a mapping, and notes what is no key and what stands there twice.
func (d *decoder) entries(n *yaml.Node, key string, fn func(k, v *yaml.Node)) {
	if n.Kind == yaml.ScalarNode && n.Tag == tagNull {
		return
	}
	if n.Kind != yaml.MappingNode {
		remedy := "write the keys below it, each indented"
		if word, rest, cut := strings.Cut(n.Value, ":"); cut && rest != "" && !strings.HasPrefix(rest, "//") && plainName.MatchString(word) {
			remedy = "a space is missing after " + word + ":"
		}
		d.fault(n, key, "", "keys are expected here, not "+kindName(n), remedy)
		return
	}
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch first := seen[k.Value]; {
		case k.Kind != yaml.ScalarNode:
			d.fault(k, key, "", "a key must be a word", "write it as name: value")
		case k.Tag == "!!merge":
			d.fault(k, key, "", "merging with << is not supported", "repeat the keys, or use an alias for a whole value")
		case first != nil:
			d.fault(k, join(key, k.Value), "", fmt.Sprintf("the key is there twice, first in line %d", first.Line), "remove one of them")
		default:
			seen[k.Value] = k
			fn(k, v)
		}
	}
}

// object decodes a mapping into a struct.
func (d *decoder) object(n *yaml.Node, v reflect.Value, key string) {
	t := v.Type()
	byKey := map[string]field{}
	for _, f := range fieldsOf(t) {
		byKey[f.key] = f
	}
	d.entries(n, key, func(k, val *yaml.Node) {
		path := join(key, k.Value)
		f, ok := byKey[k.Value]
		if base, cut := strings.CutSuffix(k.Value, "_file"); cut {
			if s, is := byKey[base]; is && holdsSecret(s.typ) {
				d.at[path] = place{k, val}
				file := d.secretFile(val, v.FieldByIndex(s.index), path, join(key, base))
				if ok && file != "" { // it is read by who uses it
					v.FieldByIndex(f.index).SetString(file)
					v.FieldByIndex(s.index).SetZero()
				}
				return
			}
		}
		if ok {
			d.at[path] = place{k, val}
			d.value(val, v.FieldByIndex(f.index), path)
			if isPath(f) {
				d.resolve(val, v.FieldByIndex(f.index), path)
			}
			return
		}
		d.fault(k, path, "", "unknown key", d.unknown(t, k.Value))
	})
	for _, f := range fieldsOf(t) {
		if holdsSecret(f.typ) {
			d.onlyOne(join(key, f.key))
		}
	}
}

// onlyOne notes a secret that stands there and in a file as well.
func (d *decoder) onlyOne(key string) {
	here, file := d.at[key], d.at[twin(key)]
	if here.value == nil || file.value == nil || isNull(here.value) || isNull(file.value) {
		return
	}
	later := here.key
	if file.key.Line > later.Line || file.key.Line == later.Line && file.key.Column > later.Column {
		later = file.key
	}
	d.fault(later, key, "", "it is set here and in a file as well", "keep either this key or "+lastKey(twin(key)))
}

// table decodes a mapping with free keys.
func (d *decoder) table(n *yaml.Node, v reflect.Value, key string) {
	m := reflect.MakeMap(v.Type())
	elem := v.Type().Elem()
	d.entries(n, key, func(k, val *yaml.Node) {
		if word, _, cut := strings.Cut(k.Value, ":"); cut && holdsSecret(elem) {
			d.fault(k, key, "", "a name here holds a colon", "write a space after "+name(word)+":")
			return
		}
		name, into := k.Value, d.value
		if base, ok := strings.CutSuffix(name, "_file"); ok && holdsSecret(elem) {
			name = base
			into = func(n *yaml.Node, v reflect.Value, path string) { _ = d.secretFile(n, v, twin(path), path) }
		}
		path := join(key, name)
		d.at[join(key, k.Value)] = place{k, val}
		e := reflect.New(elem)
		setDefaults(e)
		into(val, e.Elem(), path)
		if !m.MapIndex(reflect.ValueOf(name)).IsValid() || !e.Elem().IsZero() {
			m.SetMapIndex(reflect.ValueOf(name), e.Elem())
		}
	})
	if holdsSecret(elem) {
		for _, k := range m.MapKeys() {
			d.onlyOne(join(key, k.String()))
		}
	}
	if n.Kind == yaml.MappingNode {
		v.Set(m)
	}
}

// list decodes a sequence.
func (d *decoder) list(n *yaml.Node, v reflect.Value, key string) {
	if isNull(n) {
		v.SetZero()
		return
	}
	if n.Kind != yaml.SequenceNode {
		value := ""
		if n.Kind == yaml.ScalarNode && v.Type().Elem().Kind() == reflect.String {
			value = n.Value
		}
		d.fault(n, key, value, "a list is expected here, not "+kindName(n), "write [one, two], or a line beginning with - for each")
		return
	}
	s := reflect.MakeSlice(v.Type(), 0, len(n.Content))
	for i, c := range n.Content {
		e := reflect.New(v.Type().Elem())
		setDefaults(e)
		path := fmt.Sprintf("%s[%d]", key, i)
		d.at[path] = place{c, c}
		if isNull(target(c)) {
			d.fault(c, path, "", "there is nothing after the -", "remove the line or complete it")
			continue
		}
		d.value(c, e.Elem(), path)
		s = reflect.Append(s, e.Elem())
	}
	if s.Len() == 0 {
		v.SetZero() // [] and nothing are the same
		return
	}
	v.Set(s)
}

const tagNull = "!!null"

func isNull(n *yaml.Node) bool {
	n = target(n)
	return n.Kind == yaml.ScalarNode && n.Tag == tagNull
}

// target follows an alias to what it stands for.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func plainTag(tag string) bool {
	switch tag {
	case "!!str", "!!int", "!!float", "!!bool", tagNull, "!!map", "!!seq", "!!timestamp":
		return true
	}
	return false
}

func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	}
	return "a single value"
}

// join appends a key of the file to a path.
func join(path, key string) string {
	key = name(key)
	if path == "" {
		return key
	}
	return path + "." + key
}

func lastKey(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }

// name shows a word of the file as it is when it is plain. What follows a colon may be a value whose space is missing, perhaps a
// secret, and is left out.
func name(key string) string {
	word, _, cut := strings.Cut(key, ":")
	if cut {
		word += ":…"
	}
	for _, r := range word {
		if r <= ' ' || r == 0x7f || !strconv.IsPrint(r) {
			return quote(word)
		}
	}
	return word
}
