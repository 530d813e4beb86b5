package hubspot

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// How long a definition that was read is believed: one that is as wished, and one that setup or an administrator may mend.
const (
	keepGood = time.Hour
	keepBad  = 10 * time.Minute
)

// definition says what a property is.
type definition struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Unique  bool     `json:"hasUniqueValue"`
	Options []option `json:"options"`

	forbidden bool // the token may not read definitions
}

type option struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

// define returns the definition of a property of an object type; nil: there is none. It asks once in a while.
func (w *Writer) define(ctx context.Context, kind, name string) (*definition, error) {
	return w.definitions.Get(ctx, kind+"."+name, func(ctx context.Context) (*definition, time.Duration, error) {
		def, err := w.ask(ctx, kind, name)
		if def == nil || def.forbidden {
			return def, keepBad, err
		}
		return def, keepGood, err
	})
}

// ask reads a definition from the portal.
func (w *Writer) ask(ctx context.Context, kind, name string) (*definition, error) {
	def := &definition{}
	switch err := w.api.call(ctx, http.MethodGet, propertiesPath+kind+"/"+name, nil, nil, def); {
	case httpx.StatusOf(err) == http.StatusNotFound:
		return nil, nil
	case httpx.StatusOf(err) == http.StatusForbidden:
		return &definition{Name: name, forbidden: true}, nil
	case err != nil:
		return nil, err
	}
	return def, nil
}

// distrust has a property count as one without unique values for a while: the portal does not read by it, whatever its definition says.
func (w *Writer) distrust(kind, name string) {
	w.definitions.Put(kind+"."+name, &definition{Name: name}, keepBad)
}

// key returns the property that holds our key of an object type, and whether its values are unique; empty: the portal has none, or
// the token cannot tell.
func (w *Writer) key(ctx context.Context, kind string) (name string, unique bool, err error) {
	name = w.keyName(kind)
	def, err := w.define(ctx, kind, name)
	if err != nil || def == nil || def.forbidden {
		return "", false, err
	}
	return name, def.Unique, nil
}

func (w *Writer) keyName(kind string) string {
	if kind == contactKind {
		return w.field(fieldPhone)
	}
	return w.field(fieldCall)
}

// field returns the property that one of our fields is written to.
func (w *Writer) field(ours string) string { return w.s.Field(ours, Fields[ours]) }

// find returns the value of the option that one of the words is, as value or label, the first word first; empty: none.
func (d *definition) find(words ...string) string {
	for _, word := range words {
		if word == "" {
			continue
		}
		if i := slices.IndexFunc(d.Options, func(o option) bool { return o.Value == word || alike(o.Label, word) || alike(o.Value, word) }); i >= 0 {
			return d.Options[i].Value
		}
	}
	return ""
}

// alike compares names of outcomes as people write them.
func alike(a, b string) bool {
	plain := strings.NewReplacer("_", " ", "-", " ")
	return strings.EqualFold(strings.TrimSpace(plain.Replace(a)), strings.TrimSpace(plain.Replace(b)))
}

// choices lists the options for people: the value, and its label where that is another.
func (d *definition) choices() string {
	var out []string
	for _, o := range d.Options {
		if o.Label != "" && o.Label != o.Value {
			out = append(out, o.Value+" ("+o.Label+")")
		} else {
			out = append(out, o.Value)
		}
	}
	return strings.Join(out, ", ")
}
