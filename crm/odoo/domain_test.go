package odoo_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// searchRead is Odoo's search_read over the fake's tables.
func (f *fake) searchRead(model string, args map[string]any) (any, *problem) {
	domain, ok := args["domain"].([]any)
	if !ok {
		return nil, refuse(422, "werkzeug.exceptions.UnprocessableEntity", "missing a required argument: 'domain'")
	}
	context, _ := args["context"].(map[string]any)
	all := context["active_test"] == false
	out := []any{}
	for _, r := range f.tables[model] {
		if active, known := r["active"].(bool); known && !active && !all {
			continue
		}
		rest, fits, bad := domain, true, (*problem)(nil)
		for len(rest) > 0 {
			var one bool
			if one, rest, bad = f.term(model, r, rest); bad != nil {
				return nil, bad
			}
			fits = fits && one
		}
		if !fits {
			continue
		}
		shown := map[string]any{"id": r["id"]}
		for _, name := range args["fields"].([]any) {
			if !f.fields[model][name.(string)] {
				return nil, refuse(500, "builtins.ValueError", "Invalid field '%s' on '%s'", name, model)
			}
			shown[name.(string)] = f.value(model, r, name.(string))
		}
		out = append(out, shown)
	}
	if limit, ok := args["limit"].(float64); ok && len(out) > int(limit) {
		out = out[:int(limit)]
	}
	return out, nil
}

// value is a field as it is read: false where it is empty, a pair for another record.
func (f *fake) value(model string, r map[string]any, name string) any {
	switch name {
	case "phone_sanitized":
		if s := sanitized(r["phone"]); s != "" {
			return s
		}
		return false
	case "phone_blacklisted":
		return slices.ContainsFunc(f.tables["phone.blacklist"], func(b map[string]any) bool { return b["number"] == sanitized(r["phone"]) })
	case "stage_id", "user_id":
		table := map[string]string{"stage_id": "crm.stage", "user_id": "res.users"}[name]
		if model == "res.users.apikeys" {
			return r[name]
		}
		for _, x := range f.tables[table] {
			if fmt.Sprint(x["id"]) == fmt.Sprint(r[name]) {
				return []any{x["id"], x["name"]}
			}
		}
		return false
	}
	if v := r[name]; v != nil && v != "" {
		return v
	}
	return false
}

// term takes one term, with its prefix operators, from the front of a domain.
func (f *fake) term(model string, r map[string]any, domain []any) (bool, []any, *problem) {
	if len(domain) == 0 {
		return false, nil, refuse(500, "builtins.ValueError", "Domain is not well-formed")
	}
	if domain[0] == "|" {
		a, rest, bad := f.term(model, r, domain[1:])
		if bad != nil {
			return false, nil, bad
		}
		b, rest, bad := f.term(model, r, rest)
		return a || b, rest, bad
	}
	leaf, ok := domain[0].([]any)
	if !ok || len(leaf) != 3 {
		return false, nil, refuse(500, "builtins.ValueError", "Invalid leaf")
	}
	name := leaf[0].(string)
	if !f.fields[model][name] {
		return false, nil, refuse(500, "builtins.ValueError", "Invalid field %s.%s in leaf", model, name)
	}
	have, want := f.value(model, r, name), leaf[2]
	if name == "phone_mobile_search" {
		digits := strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "", "/", "").Replace(fmt.Sprint(r["phone"]))
		return leaf[1] == "ilike" && strings.HasPrefix(digits, fmt.Sprint(want)), domain[1:], nil
	}
	switch leaf[1] {
	case "=":
		return fmt.Sprint(have) == fmt.Sprint(want), domain[1:], nil
	case "in":
		list := want.([]any)
		return slices.ContainsFunc(list, func(x any) bool { return fmt.Sprint(x) == fmt.Sprint(have) }), domain[1:], nil
	case "ilike":
		text, _ := have.(string)
		pattern := strings.ReplaceAll(regexp.QuoteMeta(fmt.Sprint(want)), "%", ".*")
		return regexp.MustCompile("(?is)" + pattern).MatchString(text), domain[1:], nil
	}
	return false, nil, refuse(500, "builtins.ValueError", "Invalid operator %v", leaf[1])
}
