package salesforce_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

var prefixes = map[string]string{
	"Lead": "00Q", "Contact": "003", "Task": "00T", "ContentNote": "069", "ContentDocumentLink": "06A", "PermissionSet": "0PS", "FieldPermissions": "01k", "PermissionSetAssignment": "0Pa",
}

func (g *org) id(entity string) string {
	g.last++
	return fmt.Sprintf("%s%012dAAA", prefixes[entity], g.last)
}

func (g *org) tick() time.Time {
	g.clock = g.clock.Add(time.Second)
	return g.clock
}

func (g *org) find(entity, id string) object {
	for _, o := range g.records[entity] {
		if text2(o["Id"]) == id {
			return o
		}
	}
	return nil
}

// valid looks at fields as they are written.
func (g *org) valid(entity string, body object, insert bool) *refusal {
	for name, v := range body {
		def := g.fields[entity][name]
		if def == nil || name == "Id" || name == "Name" && entity != "PermissionSet" {
			return &refusal{400, "INVALID_FIELD", fmt.Sprintf("No such column '%s' on sobject of type %s", name, entity), nil, nil}
		}
		if name == g.refuse {
			return &refusal{400, or2(g.refuseCode, "FIELD_INTEGRITY_EXCEPTION"), name + ": bad value", []string{name}, nil}
		}
		if !insert && def["updateable"] == false {
			return &refusal{400, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: " + name + ". Please check the security settings of this field and verify that it is read/write for your profile or permission set.", []string{name}, nil}
		}
		s, isText := v.(string)
		switch def["type"] {
		case "picklist":
			if values := def["picklistValues"].([]any); !slices.ContainsFunc(values, func(o any) bool { return o.(object)["value"] == v }) {
				return &refusal{400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", fmt.Sprintf("%s: bad value for restricted picklist field: %v", name, v), []string{name}, nil}
			}
		case "string", "textarea", "phone":
			if n := def["length"].(int); !isText || utf8.RuneCountInString(s) > n {
				return &refusal{400, "STRING_TOO_LONG", fmt.Sprintf("%s: data value too large (max length=%d)", name, n), []string{name}, nil}
			}
			if strings.Contains(s, "\x00") {
				return &refusal{400, "JSON_PARSER_ERROR", "illegal character", nil, nil}
			}
		case "boolean":
			if _, ok := v.(bool); !ok {
				return &refusal{400, "JSON_PARSER_ERROR", "Cannot deserialize instance of boolean", nil, nil}
			}
		case "int":
			if f, ok := v.(float64); !ok || f != float64(int(f)) {
				return &refusal{400, "JSON_PARSER_ERROR", "Cannot deserialize instance of int", nil, nil}
			}
		case "date":
			if _, err := time.Parse("2006-01-02", s); err != nil {
				return &refusal{400, "JSON_PARSER_ERROR", "Cannot deserialize instance of date from VALUE_STRING value " + s, nil, nil}
			}
		case "datetime":
			if _, err := time.Parse("2006-01-02T15:04:05.000Z07:00", s); err != nil {
				return &refusal{400, "JSON_PARSER_ERROR", "Cannot deserialize instance of datetime from VALUE_STRING value " + s, nil, nil}
			}
		case "reference":
			if fault := g.refers(name, s); fault != nil {
				return fault
			}
		}
	}
	return nil
}

func or2(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func (g *org) refers(name, id string) *refusal {
	bad := &refusal{400, "INVALID_CROSS_REFERENCE_KEY", name + ": invalid cross reference id", []string{name}, nil}
	switch name {
	case "WhoId":
		l := g.find("Lead", id)
		if l == nil && g.find("Contact", id) == nil {
			return bad
		}
		if l["IsConverted"] == true {
			return &refusal{400, "CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", nil, nil}
		}
	case "OwnerId", "AssigneeId":
		if g.find("User", id) == nil {
			return bad
		}
	case "LinkedEntityId":
		if g.find("Lead", id) == nil && g.find("Contact", id) == nil && g.find("Task", id) == nil {
			return bad
		}
	case "ContentDocumentId":
		if g.find("ContentNote", id) == nil {
			return bad
		}
	}
	return nil
}

func (g *org) insert(entity string, body object, rule string) (object, *refusal) {
	if fault := g.valid(entity, body, true); fault != nil {
		return nil, fault
	}
	required := map[string][]string{"Lead": {"LastName", "Company"}, "Contact": {"LastName"}, "ContentNote": {"Title"}, "ContentDocumentLink": {"LinkedEntityId", "ContentDocumentId", "ShareType"}}
	for _, name := range required[entity] {
		if text2(body[name]) == "" {
			return nil, &refusal{400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [" + name + "]", []string{name}, nil}
		}
	}
	for name, def := range g.fields[entity] {
		if v, there := body[name]; def["unique"] == true && there && slices.ContainsFunc(g.records[entity], func(o object) bool { return o[name] == v }) {
			return nil, &refusal{400, "DUPLICATE_VALUE", "duplicate value found: " + name + " duplicates value on record with id: 00T", nil, nil}
		}
	}
	if g.duplicates != "" && entity != "Task" && !strings.Contains(rule, "allowSave=true") {
		of := map[string]string{"00Q": "Lead", "003": "Contact"}[g.duplicates[:3]]
		match := object{"record": object{"attributes": object{"type": of}, "Id": g.duplicates}, "matchConfidence": 100.0}
		return nil, &refusal{400, "DUPLICATES_DETECTED", "Use one of these records?", nil, object{"duplicateResut": object{
			"allowSave": true, "duplicateRuleEntityType": entity, "matchResults": []any{object{"entityType": of, "matchRecords": []any{match}, "size": 1, "success": true}},
		}}}
	}
	o := object{"OwnerId": apiUser}
	defaults := map[string]object{"Lead": {"Status": "Open - Not Contacted", "IsConverted": false}, "Task": {"Status": "Not Started", "Priority": "Normal", "TaskSubtype": "Task"}}
	for name, v := range defaults[entity] {
		o[name] = v
	}
	for name, v := range body {
		o[name] = v
	}
	at := g.tick()
	o["Id"], o["CreatedDate"], o["LastModifiedDate"] = g.id(entity), at, at
	if g.hide {
		g.unseen[text2(o["Id"])] = true
	}
	g.records[entity] = append(g.records[entity], o)
	if entity == "PermissionSetAssignment" {
		g.reveal()
	}
	return o, nil
}

func (g *org) update(entity string, o, body object) *refusal {
	if o == nil {
		return &refusal{404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: Id", nil, nil}
	}
	if o["IsConverted"] == true {
		return &refusal{400, "CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", nil, nil}
	}
	if fault := g.valid(entity, body, false); fault != nil {
		return fault
	}
	o = maps.Clone(o) // a composite request may have to go back to the other
	for name, v := range body {
		o[name] = v
	}
	o["LastModifiedDate"] = g.tick()
	for i, other := range g.records[entity] {
		if other["Id"] == o["Id"] {
			g.records[entity][i] = o
		}
	}
	return nil
}

// customise makes a field of Activity that nobody sees yet.
func (g *org) customise(body object) (int, any) {
	name, ok := strings.CutPrefix(text2(body["FullName"]), "Activity.")
	m, _ := body["Metadata"].(map[string]any)
	fail := func(status int, code, message string) (int, any) {
		return status, (&refusal{status, code, message, nil, nil}).body()
	}
	switch {
	case g.noSetup:
		return fail(403, "INSUFFICIENT_ACCESS", "insufficient access rights on cross-reference id")
	case !ok || m["label"] == nil || m["type"] == nil:
		return fail(400, "FIELD_INTEGRITY_EXCEPTION", "bad metadata")
	case slices.ContainsFunc(g.customised, func(f object) bool { return f["name"] == name }):
		return fail(400, "DUPLICATE_DEVELOPER_NAME", "There is already a field named "+name+" on Activity.")
	case g.noUnique && m["unique"] == true:
		return fail(400, "FIELD_INTEGRITY_EXCEPTION", "Activity custom fields cannot be unique")
	}
	kind := map[any]string{"Text": "string", "DateTime": "datetime"}[m["type"]]
	g.customised = append(g.customised, object{
		"name": name, "type": kind, "length": 120, "externalId": m["externalId"] == true, "unique": m["unique"] == true, "caseSensitive": m["caseSensitive"] == true, "createable": true, "updateable": true,
	})
	return 201, object{"id": "00N000000000001", "success": true, "errors": []any{}}
}

// reveal shows the fields that the user's permission set names.
func (g *org) reveal() {
	for _, f := range g.customised {
		for _, p := range g.records["FieldPermissions"] {
			if p["Field"] == "Task."+text2(f["name"]) && p["PermissionsEdit"] == true {
				g.fields["Task"][text2(f["name"])] = f
			}
		}
	}
}
