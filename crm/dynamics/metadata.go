package dynamics

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// refresh is how long a definition is believed.
const refresh = 10 * time.Minute

// column is the definition of a column.
type column struct {
	missing bool
	options []option // the values of a choice; none: it takes any text
}

// option is a value of a choice.
type option struct {
	Value int
	State int // of a status: its state
	Label struct {
		UserLocalizedLabel struct{ Label string }
	}
}

func (o option) name() string { return o.Label.UserLocalizedLabel.Label }

// named returns the value that has a name, as people read it, or a number; nil: there is none.
func (c *column) named(name string) *option {
	name = strings.TrimSpace(name)
	for i := range c.options {
		if o := &c.options[i]; strings.EqualFold(strings.TrimSpace(o.name()), name) || strconv.Itoa(o.Value) == name {
			return o
		}
	}
	return nil
}

// takes tells whether a status may be written.
func (c *column) takes(status string) bool {
	return !c.missing && (len(c.options) == 0 || c.named(status) != nil)
}

// label returns a value as people read it.
func (c *column) label(v any) string {
	n, ok := v.(float64)
	if !ok {
		s, _ := v.(string)
		return s
	}
	if o := c.named(strconv.Itoa(int(n))); o != nil {
		return o.name()
	}
	return strconv.Itoa(int(n))
}

// choice reads the definition of a column that may be a choice.
func (a *api) choice(ctx context.Context, table, name string) (*column, error) {
	return a.columns.Get(ctx, table+"."+name, func(ctx context.Context) (*column, time.Duration, error) {
		path := "EntityDefinitions(LogicalName='" + table + "')/Attributes(LogicalName='" + name + "')"
		kind := "Status"
		if name != Fields[fieldStatus] {
			var is struct{ AttributeType string }
			err := a.do(ctx, request{method: http.MethodGet, path: path, query: url.Values{"$select": {"LogicalName,AttributeType"}}, out: &is})
			if httpx.StatusOf(err) == http.StatusNotFound {
				return &column{missing: true}, refresh, nil
			}
			if kind = is.AttributeType; err != nil || kind != "Picklist" && kind != "Status" {
				return &column{}, refresh, err
			}
		}
		var out struct {
			OptionSet, GlobalOptionSet struct{ Options []option }
		}
		q := url.Values{"$select": {"LogicalName"}, "$expand": {"OptionSet($select=Options)"}}
		if kind == "Picklist" {
			q.Set("$expand", "OptionSet($select=Options),GlobalOptionSet($select=Options)")
		}
		err := a.do(ctx, request{method: http.MethodGet, path: path + "/Microsoft.Dynamics.CRM." + kind + "AttributeMetadata", query: q, out: &out})
		if httpx.StatusOf(err) == http.StatusNotFound {
			return &column{missing: true}, refresh, nil
		}
		return &column{options: append(out.OptionSet.Options, out.GlobalOptionSet.Options...)}, refresh, err
	})
}

// has returns the types of the columns of phone calls: AttributeType by logical name.
func (a *api) has(ctx context.Context) (map[string]string, error) {
	return a.types.Get(ctx, phonecalls, func(ctx context.Context) (map[string]string, time.Duration, error) {
		var out struct {
			Value []struct{ LogicalName, AttributeType string }
		}
		q := url.Values{"$select": {"LogicalName,AttributeType"}}
		if err := a.do(ctx, request{method: http.MethodGet, path: "EntityDefinitions(LogicalName='phonecall')/Attributes", query: q, out: &out}); err != nil {
			return nil, 0, err
		}
		types := map[string]string{}
		for _, v := range out.Value {
			types[v.LogicalName] = v.AttributeType
		}
		return types, refresh, nil
	})
}

// statusColumn returns the definition of the lead status in a table. The statuscode of contacts tells only whether they are in use.
func (w *Writer) statusColumn(ctx context.Context, set string) (*column, error) {
	name := w.field(fieldStatus)
	if set == contacts && name == Fields[fieldStatus] {
		return &column{missing: true}, nil
	}
	return w.api.choice(ctx, tableOf[set], name)
}

// takes returns why a status cannot be written; nil: it can. What was read before is read again first: the status may be new.
func (w *Writer) takes(ctx context.Context, known map[string]*column, status string) error {
	able := func() bool {
		return slices.ContainsFunc(w.tables, func(set string) bool { return known[set].takes(status) })
	}
	name := w.field(fieldStatus)
	if able() || len(w.tables) == 1 && w.tables[0] == contacts && name == Fields[fieldStatus] {
		return nil // contacts alone, without a column for it: they have no status
	}
	for _, set := range w.tables {
		if set == contacts && name == Fields[fieldStatus] {
			continue
		}
		w.api.columns.Forget(tableOf[set] + "." + name)
		c, err := w.api.choice(ctx, tableOf[set], name)
		if err != nil {
			return err
		}
		known[set] = c
	}
	if able() {
		return nil
	}
	if !slices.ContainsFunc(w.tables, func(set string) bool { return !known[set].missing }) {
		return crm.Rejected(fmt.Errorf("there is no column %s for the lead status: see fields: {status: …}", name), "")
	}
	return crm.Rejected(fmt.Errorf("the column %s does not take the lead status %q", name, status), "")
}

// custom returns what is written to the columns of the configuration that the table has.
func (w *Writer) custom(ctx context.Context, c *crm.Call) (record.Fields, error) {
	types, err := w.api.has(ctx)
	if err != nil {
		return nil, err
	}
	values := record.Extras(c, longColumn)
	values[fieldCallID] = c.ID
	out := record.Fields{}
	for ours, v := range values {
		name := w.field(ours)
		switch types[name] {
		case "String", "Memo":
			out.Set(name, v)
		case "Integer", "BigInt", "Decimal", "Double", "Money":
			if n, ok := record.Numbered(ours, v).(float64); ok && v != "" {
				if types[name] == "Integer" || types[name] == "BigInt" {
					out[name] = int64(n + 0.5)
				} else {
					out[name] = n
				}
			}
		}
	}
	return out, nil
}
