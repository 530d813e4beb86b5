package zoho

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// refresh is how long what administrators rarely change is taken for true.
const refresh = 10 * time.Minute

// field is what Zoho tells of a field.
type field struct {
	Name     string          `json:"api_name"`
	Label    string          `json:"field_label"`
	Type     string          `json:"data_type"`
	Unique   json.RawMessage `json:"unique"`
	External json.RawMessage `json:"external"`
	Values   []struct {
		Shown  string `json:"display_value"`
		Actual string `json:"actual_value"`
		Type   string `json:"type"` // "unused" ones are not offered any more
	} `json:"pick_list_values"`
}

// values returns what a pick list offers, as records hold it.
func (f field) values() (out []string) {
	for _, v := range f.Values {
		if name := cmp.Or(v.Actual, v.Shown); name != "" && name != "-None-" && v.Type != "unused" {
			out = append(out, name)
		}
	}
	return out
}

// takes tells whether a pick list takes a value; one whose values are not known takes any.
func (f field) takes(value string) bool {
	if len(f.values()) == 0 {
		return true
	}
	for _, v := range f.Values {
		if v.Type != "unused" && (v.Actual == value || v.Shown == value) {
			return true
		}
	}
	return false
}

// unique tells whether Zoho refuses a second record with the same value.
func (f field) unique() bool { return holds(f.Unique) || f.external() }

// external tells whether records can be read by its value.
func (f field) external() bool { return holds(f.External) }

// holds tells whether a property of a field is there: Zoho has null, {} or an object, and true here and there.
func holds(raw json.RawMessage) bool {
	switch strings.Join(strings.Fields(string(raw)), "") {
	case "", "null", "{}", "false", "[]", `""`:
		return false
	}
	return true
}

// module is what is known of a module. Where the API does not tell, all fields of ours are taken to be there.
type module struct {
	silent bool
	fields map[string]field
}

func (m module) has(name string) bool {
	_, there := m.fields[name]
	return there || m.silent
}

// phones returns the names of the fields that hold numbers.
func (m module) phones() []string {
	var out []string
	for name, f := range m.fields {
		if f.Type == "phone" && !strings.Contains(name, "Fax") {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return []string{"Phone", "Mobile"}
	}
	slices.Sort(out)
	return out
}

// module returns what Zoho tells of a module's fields, as it was within the last ten minutes.
func (a *api) module(ctx context.Context, name string) (module, error) {
	return a.modules.Get(ctx, name, func(ctx context.Context) (module, time.Duration, error) {
		var out struct {
			Fields []field `json:"fields"`
		}
		err := a.do(ctx, httpx.Request{Method: http.MethodGet, Path: "/settings/fields", Query: url.Values{"module": {name}}, Shape: "GET fields of " + name}, &out)
		if crm.VerdictOf(err) == crm.Reject {
			err = nil
		}
		m := module{silent: len(out.Fields) == 0, fields: map[string]field{}}
		for _, f := range out.Fields {
			m.fields[f.Name] = f
		}
		return m, refresh, err
	})
}

// outdated tells whether the fields of leads or contacts have changed since they were read, as a query by them was answered before and is refused now. They
// are asked for again then.
func (a *api) outdated(name string) bool {
	if answered, _ := a.queries.Held(name); !answered || name != leads && name != contactModule {
		return false
	}
	a.queries.Forget(name)
	a.modules.Forget(name)
	return true
}

// compare has a module's fields read again where a record lacks one that they name: Zoho shows empty fields too, so it has been renamed or hidden since. A
// record that lacks it after that proves nothing.
func (a *api) compare(name string, m module, r row, fields ...string) {
	if m.silent || !slices.ContainsFunc(fields, func(f string) bool { _, shown := r[f]; return !shown && m.has(f) }) {
		return
	}
	if _, lately := a.compared.Held(name); !lately {
		a.compared.Put(name, struct{}{}, refresh)
		a.modules.Forget(name)
	}
}

// forget has module ask again, and queries be tried again.
func (a *api) forget() {
	a.modules.Forget()
	a.compared.Forget()
	a.queries.Forget()
}
