package config

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/kinds"
	"github.com/vinfer-sync/vinfer-sync/crm/rest"
	"github.com/vinfer-sync/vinfer-sync/crm/sqlite"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	engine "github.com/vinfer-sync/vinfer-sync/sync"
)

var (
	crmKeys  = []string{"on_many", "on_missing", "fields", "protect"}
	httpKeys = keysOf(reflect.TypeFor[httpx.Config]())
)

// kindNames lists the kinds of this version.
func kindNames() (names []string) {
	kinds.Each(func(name string, _ kinds.Config) { names = append(names, name) })
	return names
}

func versionKinds() string { return "this version has " + strings.Join(kindNames(), ", ") }

func (d *decoder) checkDestinations(c *Config) {
	if len(c.CRM) == 0 {
		if n := d.node("crm"); n != nil && !isNull(n) && n.Content != nil {
			return // what stands there has its faults
		}
		dest := Destination{Name: "crm", All: kinds.All{SQLite: &sqlite.Config{Path: filepath.Join(filepath.Dir(c.Store.Bolt.Path), "crm.db")}}}
		dest.SetDefaults()
		dest.Mapping = c.Mapping.over(Mapping{})
		c.CRM = []Destination{dest}
		return
	}
	names := map[string]string{}
	files := map[string]string{c.Store.Bolt.Path: "store.bbolt.path"}
	for i := range c.CRM {
		key, dest := fmt.Sprintf("crm[%d]", i), &c.CRM[i]
		switch first := names[dest.Name]; {
		case dest.Name == "":
			d.hide(key+".name", "the destination has no name", "add name:, by which its state is kept")
		case first != "":
			d.bad(key+".name", "the name is taken by "+first, "give each destination a name of its own")
		default:
			d.needName(key+".name", dest.Name)
			names[dest.Name] = key
		}
		if dest.Workers < 1 || dest.Workers > maxWorkers {
			d.bad(key+".workers", "out of range", fmt.Sprintf("write 1 to %d", maxWorkers))
		}
		d.checkFilter(dest.Filter, key+".filter")
		d.refused(key, dest.HTTP.Validate())
		d.checkHTTP(dest.HTTP, key)
		d.checkMapping(&dest.Mapping, key+".mapping")
		dest.Mapping = c.Mapping.over(dest.Mapping)
		d.checkKind(dest, key, files)
		if _, k := dest.Chosen(); k != nil {
			if k, ok := k.(kinds.Completer); ok {
				k.Complete(filepath.Dir(c.Store.Bolt.Path), dest.Name)
			}
		}
		for k, s := range d.secrets {
			if rest, ok := strings.CutPrefix(k, key+"."); ok {
				if dest.Secrets == nil {
					dest.Secrets = map[string]SecretRef{}
				}
				dest.Secrets[rest] = s
			}
		}
	}
}

func (d *decoder) checkKind(dest *Destination, key string, files map[string]string) {
	var chosen []string
	for _, name := range kindNames() {
		if d.isSet(join(key, name)) {
			chosen = append(chosen, name)
		}
	}
	switch {
	case len(chosen) == 0:
		for _, f := range d.faults {
			if rest, ok := strings.CutPrefix(f.Key, key+"."); ok && !strings.Contains(rest, ".") && d.at[f.Key].key == nil {
				return // a mistyped kind, or one of another version
			}
		}
		d.hide(key, "the destination has no kind", versionKinds())
		return
	case len(chosen) > 1:
		p := d.at[join(key, chosen[1])]
		d.fault(p.key, join(key, chosen[1]), "", "the destination has two kinds: "+chosen[0]+" and "+chosen[1], "make two destinations of them")
		return
	}
	name, k := dest.Chosen()
	at := join(key, chosen[0])
	if k == nil {
		return // what stands there has its fault
	}
	contacts, others := k.(kinds.Contacts)
	if others {
		d.oneOf(key+".on_many", dest.OnMany, crm.ManyRecent, crm.ManySkip, crm.ManyFirst, crm.ManyAll)
		d.oneOf(key+".on_missing", dest.OnMissing, crm.MissingCreate, crm.MissingSkip, crm.MissingDead)
		d.checkFields(name, contacts.FieldNames(), dest.Fields, key+".fields")
		d.texts(key+".protect", dest.Protect)
	}
	// A setting that does nothing misleads.
	h, web := k.(kinds.HTTP)
	d.refuse(key, name, crmKeys, others, "which keeps no contacts that others change")
	d.refuse(key, name, httpKeys, web, "which does not speak HTTP")
	if !d.faultyBelow(at) {
		d.refused(at, k.Validate())
	}
	if l, ok := k.(kinds.Loader); ok && !d.operator && !d.faultyBelow(at) {
		d.loaded(at, l.Load())
	}
	if web {
		d.checkHTTP(*h.HTTP(), at)
		*h.HTTP() = h.HTTP().Or(dest.HTTP)
	}
	if f, ok := k.(kinds.TLS); ok {
		d.checkHTTP(f.TLS(), at)
	}
	f, ok := k.(kinds.File)
	if !ok {
		return
	}
	if other := files[f.File()]; other != "" && f.File() != "" {
		d.bad(at+".path", "the file is that of "+other, "give each a file of its own")
	}
	files[f.File()] = at + ".path"
}

// loaded notes what is wrong with a file that a kind's configuration names: the faults have places of their own.
func (d *decoder) loaded(key string, err error) {
	var faults rest.Faults
	if !errors.As(err, &faults) {
		d.refused(key, err)
		return
	}
	for _, f := range faults {
		d.faults = append(d.faults, Fault{File: f.File, Line: f.Line, Column: f.Column, Key: f.Key, Problem: f.Problem, Remedy: f.Remedy})
	}
}

// checkFields looks at the names that a destination gives to fields.
func (d *decoder) checkFields(kind string, names, fields map[string]string, key string) {
	known := slices.Sorted(maps.Keys(names))
	for _, ours := range slices.Sorted(maps.Keys(fields)) {
		at := join(key, ours)
		if _, ok := names[ours]; !ok {
			remedy := kind + " has " + strings.Join(known, ", ")
			if len(known) == 0 {
				remedy = "remove it: the recipe has the names of fields"
			}
			if near := nearest(ours, known); near != "" {
				remedy = "did you mean " + near + "? " + remedy
			}
			d.fault(d.at[at].key, at, "", "there is no such field to name", remedy)
		} else if strings.TrimSpace(fields[ours]) == "" {
			d.hide(at, "the field gets no name", "write the CRM's name of it, or remove the line")
		}
	}
}

// refuse notes keys that the kind cannot honour.
func (d *decoder) refuse(key, kind string, keys []string, able bool, why string) {
	for _, k := range keys {
		for _, k := range []string{k, twin(k)} {
			if p, ok := d.at[join(key, k)]; ok && !able && !isNull(p.value) {
				d.fault(p.key, join(key, k), "", "it has no effect on "+kind+", "+why, "remove it")
			}
		}
	}
}

// faultyBelow tells whether anything of key has been found wrong.
func (d *decoder) faultyBelow(key string) bool {
	return slices.ContainsFunc(d.faults, func(f Fault) bool {
		rest, ok := strings.CutPrefix(f.Key, key)
		return ok && (rest == "" || rest[0] == '.')
	})
}

var keyInError = regexp.MustCompile(`^([a-z_]+): (.*)$`)

// refused notes what a kind's own check has to say: one fault an error, of the key that it begins with.
func (d *decoder) refused(key string, err error) {
	if err == nil {
		return
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			d.refused(key, e)
		}
		return
	}
	text := err.Error()
	if m := keyInError.FindStringSubmatch(text); m != nil {
		key, text = join(key, m[1]), m[2]
	}
	if _, is := d.secrets[key]; is && d.operator {
		return // it is not the secret itself
	}
	d.fault(d.node(key), key, "", text, "")
}

var languageTag = regexp.MustCompile(`^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$`)

func (d *decoder) checkFilter(f Filter, key string) {
	d.texts(key+".dispositions", f.Dispositions)
	for i, x := range f.Dispositions {
		d.undocumented(fmt.Sprintf("%s.dispositions[%d]", key, i), x)
	}
	d.texts(key+".campaigns", f.Campaigns)
	d.span(key+".min_duration", f.MinDuration, 0, 7*day)
	for i, l := range f.Languages {
		if !languageTag.MatchString(l) || !engine.KnownLanguage(l) {
			d.bad(fmt.Sprintf("%s.languages[%d]", key, i), "no language tag", "write hi, or hi-IN")
		}
	}
}

// undocumented warns of a disposition that VInfer does not document: calls may never have it.
func (d *decoder) undocumented(key, raw string) {
	name := engine.Disposition(raw)
	if name == "" || slices.Contains(engine.Documented, name) {
		return
	}
	hint := "; names of your own come from VInfer's dashboard"
	if near := nearest(name, engine.Documented); near != "" {
		hint = "; did you mean " + near + "?"
	}
	d.warn("%s: VInfer documents no disposition %s%s", key, quote(raw), hint)
}

// checkHTTP looks at what HTTP kinds share. key is where it stands: the destination, or the kind below it.
func (d *decoder) checkHTTP(h httpx.Config, key string) {
	d.span(key+".timeout", h.Timeout, 0, 10*time.Minute)
	ca, cert, private := d.readable(key+".ca_file", h.CAFile), d.readable(key+".client_cert", h.ClientCert), d.readable(key+".client_key", h.ClientKey)
	if ca && cert && private && (h.ClientCert == "") == (h.ClientKey == "") {
		d.refused(key, h.CheckFiles())
	}
}

// checkMapping looks at a mapping and gives its dispositions their normalised names.
func (d *decoder) checkMapping(m *Mapping, key string) {
	if m.Unknown != "" || d.isSet(key+".unknown") {
		d.oneOf(key+".unknown", m.Unknown, engine.UnknownPass, engine.UnknownSkip, engine.UnknownDead)
	}
	if m.Overdue != "" || d.isSet(key+".overdue") {
		d.oneOf(key+".overdue", m.Overdue, engine.OverdueNow, engine.OverdueSkip)
	}
	rules, written := map[string]Rule{}, map[string]string{}
	for _, raw := range d.inOrder(key+".dispositions", m.Dispositions) {
		at, rule := join(key+".dispositions", raw), m.Dispositions[raw]
		name := engine.Disposition(raw)
		switch first, ok := written[name]; {
		case name == "":
			d.hide(at, "a disposition without a name", "remove it, or name it")
		case ok:
			d.fault(d.at[at].key, at, "", "the same disposition as "+quote(first)+": both are "+name, "remove one of them")
		}
		d.undocumented(at, raw)
		written[name], rules[name] = raw, rule
		if rule.Task == nil {
			continue
		}
		if strings.TrimSpace(rule.Task.Title) == "" {
			d.hide(at+".task.title", "the task has no title", "write one as \"Call back {{.Contact.Name}}\"")
		} else if _, err := engine.ParseTitle(rule.Task.Title); err != nil {
			what := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "template: "), "title:")
			d.bad(at+".task.title", "no template that can be executed, "+what, "write one as \"Call back {{.Contact.Name}}\"")
		}
		d.span(at+".task.due", rule.Task.Due, 0, 365*day)
	}
	if m.Dispositions != nil {
		m.Dispositions = rules
	}
}

// inOrder returns the keys of a mapping's rules as they stand in the file.
func (d *decoder) inOrder(key string, rules map[string]Rule) []string {
	var names []string
	for name := range rules {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		ka, kb := d.at[join(key, a)].key, d.at[join(key, b)].key
		if ka == nil || kb == nil || ka.Line == kb.Line && ka.Column == kb.Column {
			return strings.Compare(a, b)
		}
		if ka.Line != kb.Line {
			return ka.Line - kb.Line
		}
		return ka.Column - kb.Column
	})
	return names
}

// over lays a destination's mapping over the common one.
func (m Mapping) over(top Mapping) Mapping {
	all := Mapping{Unknown: m.Unknown, Overdue: m.Overdue, Dispositions: map[string]Rule{}}
	for _, from := range []Mapping{m, top} {
		for name, r := range from.Dispositions {
			all.Dispositions[name] = r
		}
		if from.Unknown != "" {
			all.Unknown = from.Unknown
		}
		if from.Overdue != "" {
			all.Overdue = from.Overdue
		}
	}
	return all
}
