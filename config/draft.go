package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	vinfersync "github.com/vinfer-sync/vinfer-sync"
	"github.com/vinfer-sync/vinfer-sync/crm/kinds"
)

// Draft is a configuration that is being written: the text of the example with one destination of a chosen kind, in which values are
// set. What is not set keeps the example's words, comments and alternatives included. It is for one goroutine.
type Draft struct {
	kind       string
	head, tail []string // lines before and after the destinations
	name       string
	about      []string // comment lines before the destination
	entries    []entry  // of the destination, in order
	set        map[string]bool
}

// Setting is a key of a kind of destination.
type Setting struct {
	Key     string
	Secret  bool   // it is to stand in a file, which KEY_file names, or in a variable
	About   string // what the example says of it; may be empty
	Example string // the value, or for secrets the name of the file, that the example shows; may be empty
}

// Kinds lists the kinds that a destination can be.
func Kinds() []string { return kindNames() }

// NewDraft begins a configuration with a destination of a kind that Kinds lists.
func NewDraft(kind string) (*Draft, error) {
	if !slices.Contains(kindNames(), kind) {
		return nil, fmt.Errorf("there is no kind %s: %s", quote(kind), versionKinds())
	}
	x := readExample(vinfersync.Example)
	own := x.blocks[kind]
	d := &Draft{kind: kind, head: x.head, tail: x.tail, name: own.name, about: own.about, set: map[string]bool{}}
	// What all destinations have stands with the first of the example, what some have with others. The kind's own example goes before.
	take := func(from string, keys []string) {
		for _, e := range x.blocks[from].entries {
			if e.key != from && (keys == nil || slices.Contains(keys, e.key)) && !slices.ContainsFunc(d.entries, func(o entry) bool { return o.key == e.key }) {
				if i := slices.IndexFunc(own.entries, func(o entry) bool { return o.key == e.key }); i >= 0 {
					comments := e.comments
					if e = own.entries[i]; len(e.comments) == 0 {
						e.comments = comments
					}
				}
				d.entries = append(d.entries, e.clone())
			}
		}
	}
	k := kinds.Of(kind)
	take("sqlite", nil)
	if c, ok := k.(kinds.Contacts); ok {
		take("odoo", crmKeys)
		if e := &d.entries[slices.IndexFunc(d.entries, func(e entry) bool { return e.key == "fields" })]; !slices.ContainsFunc(own.entries, func(o entry) bool { return o.key == "fields" }) {
			e.lines = []string{"#    fields: " + someField(c.FieldNames())}
		}
	}
	for _, e := range own.entries {
		if e.key == kind {
			e = e.clone()
			e.lines[0] = strings.TrimPrefix(e.lines[0], "#")
			for i, l := range e.lines[1:] {
				if anyKeyLine.MatchString(l) && !strings.HasPrefix(l, "#") {
					e.lines[1+i] = "#" + l // as other kinds have it
				}
			}
			d.entries = append(d.entries, e)
		}
	}
	if _, ok := k.(kinds.HTTP); ok {
		take("webhook", httpKeys)
	}
	return d, nil
}

// someField shows how one of a kind's fields is given another name, by the name that it has.
func someField(names map[string]string) string {
	for _, ours := range slices.Sorted(maps.Keys(names)) {
		if theirs := names[ours]; theirs != "" {
			return "{" + ours + ": " + theirs + "}"
		}
	}
	return "{}"
}

// Name returns the destination's name.
func (d *Draft) Name() string { return d.name }

// Rename gives the destination a name.
func (d *Draft) Rename(name string) { d.name = name }

// Kind returns the destination's kind.
func (d *Draft) Kind() string { return d.kind }

// About says in a line what the destination's kind is.
func (d *Draft) About() string {
	words := d.about
	if len(words) == 0 {
		words = d.own().comments
	}
	words = slices.Clone(words)
	for i, w := range words {
		words[i] = strings.TrimPrefix(strings.TrimSpace(w), "# ")
	}
	about, _, _ := strings.Cut(strings.Join(words, " ")+" ", ". ")
	return strings.TrimSpace(about)
}

// Settings lists the keys of the destination's kind, in the order of the example, without what all kinds that speak HTTP have beside it.
func (d *Draft) Settings() []Setting {
	var all []Setting
	e := d.own()
	for _, f := range fieldsOf(d.kindType()) {
		if slices.Contains(httpKeys, f.key) && e.find(f.key) < 0 || strings.HasSuffix(f.key, "_file") && slices.Contains(keysOf(d.kindType()), strings.TrimSuffix(f.key, "_file")) {
			continue
		}
		s := Setting{Key: f.key, Secret: holdsSecret(f.typ)}
		key := f.key
		if s.Secret {
			key = twin(key)
		}
		s.About, s.Example = e.tells(key)
		all = append(all, s)
	}
	at := func(s Setting) int {
		if i := e.find(s.Key); i >= 0 {
			return i
		}
		if i := e.find(twin(s.Key)); i >= 0 {
			return i
		}
		return len(e.lines)
	}
	slices.SortStableFunc(all, func(a, b Setting) int { return at(a) - at(b) })
	return all
}

func (d *Draft) kindType() reflect.Type { return reflect.TypeOf(kinds.Of(d.kind)).Elem() }

func (d *Draft) own() *entry {
	return &d.entries[slices.IndexFunc(d.entries, func(e entry) bool { return e.key == d.kind })]
}

var onlyVariable = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`)

var errSecretHere = errors.New("a secret does not belong here")

// Set gives a key of the configuration a value, as it would be written without quotes; lists and tables as YAML has them on one line, or
// a list as words. A secret is refused, but for a variable's name, ${NAME}.
func (d *Draft) Set(key, value string) error {
	path := strings.Split(key, ".")
	text, err := written(value, typeOf(reflect.TypeFor[Config](), path))
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	var inHead, inTail bool
	d.head, inHead = putAt(d.head, path, text)
	d.tail, inTail = putAt(d.tail, path, text)
	if !inHead && !inTail {
		return fmt.Errorf("%s: there is no such key to set", key)
	}
	return nil
}

// SetStatus gives a disposition its lead status.
func (d *Draft) SetStatus(disposition, status string) error {
	text, err := written(status, reflect.TypeFor[string]())
	if err != nil {
		return fmt.Errorf("%s: %w", disposition, err)
	}
	if strings.ContainsAny(text, ",{}[]") && !strings.HasPrefix(text, "'") && !strings.HasPrefix(text, `"`) {
		text = "'" + strings.ReplaceAll(text, "'", "''") + "'" // the rule stands in braces
	}
	from := slices.Index(d.head, "  dispositions:")
	last := from
	for i := from + 1; strings.HasPrefix(d.head[i], "    "); i++ {
		last = i
		if m := rule.FindStringSubmatch(d.head[i]); m != nil && m[2] == disposition {
			d.head[i] = m[1] + text + m[3]
			return nil
		}
	}
	name, err := written(disposition, reflect.TypeFor[string]())
	if err != nil {
		return err
	}
	d.head = slices.Insert(d.head, last+1, "    "+name+": {status: "+text+"}")
	return nil
}

var rule = regexp.MustCompile(`^(    (\w+): \{status: )[^,}]*(.*)$`)

// Statuses returns the dispositions of the mapping and the status of each, in order.
func (d *Draft) Statuses() (names, statuses []string) {
	for _, l := range d.head {
		if m := rule.FindStringSubmatch(l); m != nil {
			names = append(names, m[2])
			statuses = append(statuses, strings.TrimSuffix(strings.TrimPrefix(l, m[1]), m[3]))
		}
	}
	return names, statuses
}

// SetOwn gives a key of the destination's kind a value, as Set does.
func (d *Draft) SetOwn(key, value string) error {
	text, err := written(value, typeOf(d.kindType(), []string{key}))
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	e := d.own()
	e.lines = put(e.lines, 1, 6, key, text)
	d.set["crm[0]."+d.kind+"."+key] = true
	return nil
}

// Has tells whether a key of the destination's kind was set, or its file.
func (d *Draft) Has(key string) bool {
	at := "crm[0]." + d.kind + "." + key
	return d.set[at] || d.set[twin(at)]
}

// Text returns the configuration.
func (d *Draft) Text() string {
	lines := slices.Clone(d.head)
	lines = append(append(lines, "crm:"), d.about...)
	for _, e := range d.entries {
		lines = append(lines, e.comments...)
		if e.key == "name" {
			lines = append(lines, "  - name: "+d.name)
			continue
		}
		lines = append(lines, e.lines...)
	}
	lines = append(lines, "", "  # More destinations go here, each from its own - name: on. config.example.yaml shows all kinds.", "")
	return strings.Join(append(lines, d.tail...), "\n")
}

// Faults reads the configuration as the loader would from path, secrets excepted, and returns what is wrong with it. A fault's key tells
// what to set: one of the destination's kind is crm[0].KIND.KEY.
func (d *Draft) Faults(path string) Errors {
	_, _, err := parse(path, []byte(d.Text()), operatorEnv, true)
	var faults Errors
	if errors.As(err, &faults) {
		return faults
	}
	return nil
}

// Missing returns the faults of keys of the destination's kind that were not set yet, with those keys, and the rest.
func (d *Draft) Missing(path string) (missing []Setting, others Errors) {
	settings := d.Settings()
	for _, f := range d.Faults(path) {
		key, ok := strings.CutPrefix(f.Key, "crm[0]."+d.kind+".")
		i := slices.IndexFunc(settings, func(s Setting) bool { return s.Key == key })
		if !ok || i < 0 || d.Has(key) {
			others = append(others, f)
			continue
		}
		s := settings[i]
		if s.About == "" {
			s.About = f.Problem
			if _, words, cut := strings.Cut(strings.Replace(f.Problem, "missing; ", "missing: ", 1), "missing: "); cut {
				s.About = words
			}
		}
		missing = append(missing, s)
	}
	slices.SortStableFunc(missing, func(a, b Setting) int {
		at := func(s Setting) int { return slices.IndexFunc(settings, func(o Setting) bool { return o.Key == s.Key }) }
		return at(a) - at(b)
	})
	return missing, others
}

// typeOf returns the type of what a path leads to; nil: there is no such key, or it names a file.
func typeOf(t reflect.Type, path []string) reflect.Type {
	for _, key := range path {
		if t = elemOf(t, key); t == nil {
			return nil
		}
	}
	return t
}

func elemOf(t reflect.Type, key string) reflect.Type {
	if t.Kind() != reflect.Struct {
		return nil
	}
	for _, f := range fieldsOf(t) {
		if f.key == key {
			return f.typ
		}
	}
	return nil
}

// written returns a value as the file has it.
func written(value string, t reflect.Type) (string, error) {
	if value != strings.TrimSpace(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", errors.New("it begins or ends with a blank, or holds a line break")
	}
	if t != nil && holdsSecret(t) && !onlyVariable.MatchString(value) {
		return "", fmt.Errorf("%w: write the name of a file that holds it under the key that ends in _file, or a variable as ${NAME}", errSecretHere)
	}
	list := t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Map)
	switch {
	case list && (strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{")):
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(value), &n); err != nil {
			return "", errors.New("it cannot be read: write [one, two] or {name: value}")
		}
		return value, nil
	case list && t.Kind() == reflect.Slice:
		var words []string
		for _, w := range strings.Fields(value) {
			text, err := yaml.Marshal(w)
			if err != nil {
				return "", err
			}
			words = append(words, strings.TrimSpace(string(text)))
		}
		return "[" + strings.Join(words, ", ") + "]", nil
	case t == nil || t.Kind() == reflect.String || holdsSecret(t) || t == typeStart:
		text, err := yaml.Marshal(value)
		return strings.TrimSpace(string(text)), err
	}
	if strings.ContainsAny(value, "#:,{}[]&*!|>'\"%@`") && !strings.HasSuffix(value, "%") || value == "" {
		text, err := yaml.Marshal(value)
		return strings.TrimSpace(string(text)), err // the loader says what is wrong with it
	}
	return value, nil
}
