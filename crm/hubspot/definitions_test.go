package hubspot_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

func (p *portal) associations(r *http.Request, from, id, to string) (int, object) {
	var ids []int
	if from != "contacts" || p.find(from, id, "") == nil {
		return problem(404, "OBJECT_NOT_FOUND", "not found")
	}
	for _, o := range p.rows[to] {
		if !o.archived && slices.Contains(o.links["contacts"], id) {
			ids = append(ids, o.id)
		}
	}
	start, _ := strconv.Atoi(r.URL.Query().Get("after"))
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	if limit < 1 || limit > 500 {
		return problem(400, "VALIDATION_ERROR", "limit")
	}
	answer := object{}
	found := []object{}
	for i := start; i < len(ids) && i < start+limit; i++ {
		found = append(found, object{"toObjectId": ids[i], "associationTypes": []object{{"category": "HUBSPOT_DEFINED", "typeId": 193, "label": nil}}})
	}
	if start+limit < len(ids) {
		answer["paging"] = object{"next": object{"after": strconv.Itoa(start + limit)}}
	}
	answer["results"] = found
	return 200, answer
}

func (p *portal) definitions(r *http.Request, kind string, rest []string, body object) (int, object) {
	if p.noSchema && (len(rest) == 0 || strings.HasPrefix(rest[0], "vinfer") || rest[0] == "groups") {
		return problem(403, "MISSING_SCOPES", "This app hasn't been granted all required scopes to make this call.")
	}
	switch path := r.Method + " " + strings.Join(rest, "/"); {
	case strings.HasPrefix(path, "GET groups/"):
		if !p.groups[kind+"."+rest[1]] {
			return problem(404, "OBJECT_NOT_FOUND", "no such group")
		}
		return 200, object{"name": rest[1]}
	case path == "POST groups":
		name := fmt.Sprint(body["name"])
		if p.groups[kind+"."+name] {
			return problem(409, "OBJECT_ALREADY_EXISTS", "group exists")
		}
		p.groups[kind+"."+name] = true
		return 201, object{"name": name}
	case r.Method == http.MethodGet && len(rest) == 1:
		d := p.properties[kind][rest[0]]
		if d == nil {
			return problem(404, "OBJECT_NOT_FOUND", fmt.Sprintf("No property named %q", rest[0]))
		}
		return 200, d.show(rest[0])
	case path == "POST ":
		for _, name := range []string{"name", "label", "type", "fieldType", "groupName"} {
			if body[name] == nil || body[name] == "" {
				return problem(400, "VALIDATION_ERROR", "missing "+name)
			}
		}
		name, unique := fmt.Sprint(body["name"]), body["hasUniqueValue"] == true
		switch {
		case p.properties[kind][name] != nil:
			return problem(409, "OBJECT_ALREADY_EXISTS", fmt.Sprintf("A property named '%s' already exists.", name))
		case !p.groups[kind+"."+fmt.Sprint(body["groupName"])]:
			return problem(400, "VALIDATION_ERROR", "no such group")
		case unique && p.noUnique && kind != "contacts":
			return problem(400, "VALIDATION_ERROR", "hasUniqueValue is not supported for this object type")
		case body["type"] == "bool" && len(items(body["options"])) != 2:
			return problem(400, "VALIDATION_ERROR", "Boolean properties must have exactly two options")
		}
		d := &property{typ: fmt.Sprint(body["type"]), unique: unique}
		for _, o := range items(body["options"]) {
			d.options = append(d.options, fmt.Sprint(o["value"], "|", o["label"]))
		}
		p.properties[kind][name] = d
		return 201, d.show(name)
	}
	return problem(405, "VALIDATION_ERROR", "method not allowed")
}

func (d *property) show(name string) object {
	options := []object{}
	for _, o := range d.options {
		value, label, _ := strings.Cut(o, "|")
		options = append(options, object{"value": value, "label": label, "hidden": false})
	}
	return object{"name": name, "type": d.typ, "hasUniqueValue": d.unique, "options": options, "groupName": "x"}
}
