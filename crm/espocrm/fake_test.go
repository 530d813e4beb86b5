package espocrm_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nyaruka/phonenumbers"
)

const (
	apiKey    = "0123456789abcdef0123456789abcdef"
	hmacKey   = "fedcba9876543210fedcba9876543210"
	secretKey = "fedcba98fedcba98fedcba98fedcba98"
	adminPass = "admin-password-1"
	apiUser   = "6b0420c951ce62fc0"
	human     = "6b042034734d17b02" // who owns what people make
)

type object = map[string]any

// site is an EspoCRM as a running 8.4 behaved, strict and lax in the same places.
type site struct {
	mu       sync.Mutex
	records  map[string][]object // by entity type, in the order of their making
	fields   map[string]object   // definitions by "Call.name"
	role     map[string]any
	assign   string
	clock    time.Time
	last     int
	free     bool // upgraded from before 8.1: numbers are free text
	unique   bool // an index makes the call's id unique
	hide     bool // searches do not show leads and contacts made from now on
	hidden   []string
	refuse   string // an attribute that is refused whatever it holds
	rebuilds int
}

func newSite() *site {
	s := &site{
		records: map[string][]object{"User": {{"id": apiUser, "userName": "vinfer", "type": "api"}, {"id": human, "userName": "asha", "type": "regular"}}},
		fields:  map[string]object{}, assign: "all", clock: time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC), role: fullRole(),
	}
	define := func(entity, kind string, names ...string) {
		for _, n := range names {
			s.fields[entity+"."+n] = object{"type": kind}
		}
	}
	for _, person := range []string{"Lead", "Contact"} {
		define(person, "varchar", "firstName", "lastName")
		define(person, "phone", "phoneNumber")
		define(person, "bool", "doNotCall")
		define(person, "text", "description")
		define(person, "link", "assignedUser")
		s.fields[person+".lastName"]["required"] = true
	}
	for _, thing := range []string{"Call", "Task"} {
		define(thing, "varchar", "name")
		define(thing, "text", "description")
		define(thing, "datetime", "dateStart", "dateEnd")
		define(thing, "linkParent", "parent")
		define(thing, "link", "assignedUser")
		s.fields[thing+".name"]["required"] = true
		s.fields[thing+".cVinferCallId"] = object{"type": "varchar", "maxLength": 100, "isCustom": true}
	}
	for _, name := range []string{"dateStart", "dateEnd", "assignedUser"} {
		s.fields["Call."+name]["required"] = true
	}
	define("Call", "linkMultiple", "leads", "contacts")
	define("Note", "text", "post")
	define("Note", "linkParent", "parent")
	s.fields["Call.cMood"] = object{"type": "varchar", "isCustom": true}
	for name, options := range map[string]string{
		"Lead.status": "New,Assigned,In Process,Converted,Recycled,Dead,Hot Lead,Cold,New status,Old status,Old again",
		"Call.status": "Planned,Held,Not Held", "Call.direction": "Outbound,Inbound", "Task.status": "Not Started,Started,Completed,Canceled,Deferred",
		"Task.priority": "Low,Normal,High,Urgent", "Note.type": "Post",
	} {
		all := strings.Split(options, ",")
		s.fields[name] = object{"type": "enum", "options": all, "default": all[0]}
	}
	return s
}

func fullRole() map[string]any {
	all := func() object {
		return object{"create": "yes", "read": "all", "edit": "all", "delete": "no", "stream": "all"}
	}
	return map[string]any{
		"Lead": all(), "Contact": all(), "Call": all(), "Task": all(), "Note": object{"create": "yes", "read": "own"}, "User": object{"read": "all"}, "Activities": true,
	}
}

// refusal is an answer that is no 200.
type refusal struct {
	status int
	reason string
	body   any
}

func invalid(entity, field, kind string) *refusal {
	body := object{"messageTranslation": object{"label": "validationFailure", "scope": nil, "data": object{"field": field, "type": kind}}}
	return &refusal{400, fmt.Sprintf("Field validation failure; entityType: %s, field: %s, type: %s.", entity, field, kind), body}
}

func (s *site) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path, ok := strings.CutPrefix(r.URL.Path, "/crm/api/v1/")
	if !ok {
		http.Error(rw, "<html><body>Not here</body></html>", http.StatusNotFound)
		return
	}
	user := s.user(r, path)
	if user == "" {
		rw.Header().Set("Content-Type", "text/html; charset=UTF-8")
		rw.WriteHeader(http.StatusUnauthorized)
		return
	}
	body := object{}
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			rw.WriteHeader(http.StatusInternalServerError)
			return
		}
	}
	answer, no := s.route(r, user, strings.Split(path, "/"), body)
	rw.Header().Set("Content-Type", "application/json")
	if no != nil {
		if no.reason != "" {
			rw.Header().Set("X-Status-Reason", no.reason)
		}
		rw.WriteHeader(no.status)
		answer = no.body
	}
	if answer != nil { // of null nothing is sent, as by the real one
		_ = json.NewEncoder(rw).Encode(answer)
	}
}

func (s *site) user(r *http.Request, path string) string {
	if r.Header.Get("X-Api-Key") == apiKey {
		return apiUser
	}
	if name, password, ok := r.BasicAuth(); ok && name == "admin" && password == adminPass {
		return human
	}
	mac := hmac.New(sha256.New, []byte(secretKey))
	_, _ = mac.Write([]byte(r.Method + " /" + path))
	if r.Header.Get("X-Hmac-Authorization") == base64.StdEncoding.EncodeToString([]byte(hmacKey+":"+hex.EncodeToString(mac.Sum(nil)))) {
		return apiUser
	}
	return ""
}

func (s *site) route(r *http.Request, user string, path []string, body object) (any, *refusal) {
	switch {
	case path[0] == "Admin":
		if user != human {
			return nil, &refusal{status: http.StatusForbidden}
		}
		return s.administer(path[1:], body)
	case path[0] == "App":
		return object{"user": object{"id": apiUser, "userName": "vinfer", "type": "api"}, "acl": object{"table": s.role, "assignmentPermission": s.assign}}, nil
	case path[0] == "Metadata":
		return s.metadata(r.URL.Query().Get("key")), nil
	case s.role[path[0]] == nil:
		return nil, &refusal{403, "No access to " + path[0] + ".", nil}
	case len(path) == 1 && r.Method == http.MethodGet:
		return s.list(path[0], r)
	case len(path) == 1:
		return s.create(path[0], body, user, r.Header.Get("X-Skip-Duplicate-Check") == "true")
	}
	o := s.find(path[0], path[1])
	if o == nil {
		return nil, &refusal{404, "Record " + path[1] + " does not exist.", nil}
	}
	if len(path) == 3 {
		if path[0] == "Call" {
			return nil, &refusal{403, "No stream access.", nil}
		}
		return s.posts(path[0], path[1]), nil
	}
	if r.Method == http.MethodPut {
		if no := s.assign2(path[0], o, body, false); no != nil {
			return nil, no
		}
		o["modifiedAt"] = s.tick()
	}
	return s.whole(path[0], o), nil
}

func (s *site) administer(path []string, body object) (any, *refusal) {
	if path[0] == "rebuild" {
		s.rebuilds++
		return true, nil
	}
	name, _ := body["name"].(string)
	key := path[1] + ".c" + strings.ToUpper(name[:1]) + name[1:]
	if s.fields[key] != nil {
		return nil, &refusal{409, "Field '" + name + "' already exists in " + path[1] + ".", nil}
	}
	s.fields[key] = object{"type": body["type"], "maxLength": body["maxLength"], "isCustom": true}
	return object{"type": body["type"], "maxLength": body["maxLength"], "isCustom": true, "label": body["label"]}, nil
}

func (s *site) metadata(key string) any {
	parts := strings.Split(key, ".")
	if len(parts) < 4 || parts[0] != "entityDefs" || parts[2] != "fields" {
		return nil
	}
	def := s.fields[parts[1]+"."+parts[3]]
	if s.role[parts[1]] == nil || def == nil {
		return nil
	}
	if len(parts) == 5 {
		return def[parts[4]]
	}
	return def
}

func (s *site) find(entity, id string) object {
	for _, o := range s.records[entity] {
		if o["id"] == id {
			return o
		}
	}
	return nil
}

func (s *site) tick() string {
	s.clock = s.clock.Add(time.Second)
	return s.clock.Format("2006-01-02 15:04:05")
}

func (s *site) id() string {
	s.last++
	return fmt.Sprintf("6b0420ff%09x", s.last)
}

// knows tells whether an entity type has an attribute.
func (s *site) knows(entity, attribute string) bool {
	for _, suffix := range []string{"", "Id", "Type", "Ids", "Data", "Numeric"} {
		base, ok := strings.CutSuffix(attribute, suffix)
		if ok && s.fields[entity+"."+base] != nil {
			return true
		}
	}
	return slices.Contains([]string{"id", "name", "createdAt", "modifiedAt", "parentId", "parentType", "userName", "createdContactId"}, attribute)
}

func (s *site) list(entity string, r *http.Request) (any, *refusal) {
	q := r.URL.Query()
	if n, _ := strconv.Atoi(q.Get("maxSize")); n > 200 {
		return nil, &refusal{403, "Max size should not exceed 200. Use offset and limit.", nil}
	}
	kind, attribute, value := q.Get("where[0][type]"), q.Get("where[0][attribute]"), q.Get("where[0][value]")
	if attribute != "" && !s.knows(entity, attribute) {
		return nil, &refusal{400, "Not existing attribute '" + attribute + "' in where.", nil}
	}
	rows := []object{}
	for _, o := range slices.Backward(s.records[entity]) {
		if slices.Contains(s.hidden, o["id"].(string)) || entity == "User" && s.role["User"].(object)["read"] == nil {
			continue
		}
		held := []string{fmt.Sprint(o[attribute])}
		if base, numeric := strings.CutSuffix(attribute, "Numeric"); base == "phoneNumber" {
			held = numbers(o)
			for i := range held {
				if numeric {
					held[i] = phonenumbers.NormalizeDigitsOnly(held[i])
				}
			}
		}
		if attribute == "" || slices.ContainsFunc(held, func(h string) bool {
			return kind == "equals" && h == value || kind == "endsWith" && strings.HasSuffix(h, value)
		}) {
			row := object{"id": o["id"]}
			for _, name := range strings.Split(q.Get("select"), ",") {
				if name != "phoneNumberData" && name != "" {
					row[name] = s.whole(entity, o)[name]
				}
			}
			rows = append(rows, row)
		}
	}
	return object{"total": len(rows), "list": rows}, nil
}

func numbers(o object) (out []string) {
	data, _ := o["phoneNumberData"].([]any)
	for _, n := range data {
		out = append(out, n.(object)["phoneNumber"].(string))
	}
	return out
}

func (s *site) posts(entity, id string) any {
	rows := []object{}
	for _, o := range slices.Backward(s.records["Note"]) {
		if o["parentType"] == entity && o["parentId"] == id {
			rows = append(rows, o)
		}
	}
	return object{"total": len(rows), "list": rows}
}

func (s *site) create(entity string, body object, user string, skip bool) (any, *refusal) {
	o := object{"id": s.id(), "createdAt": s.tick(), "createdById": user}
	o["modifiedAt"] = o["createdAt"]
	if no := s.assign2(entity, o, body, true); no != nil {
		return nil, no
	}
	if entity == "Lead" && !skip {
		var same []object
		for _, other := range s.records[entity] {
			if other["firstName"] == o["firstName"] && other["lastName"] == o["lastName"] {
				same = append(same, s.whole(entity, other))
			}
		}
		if len(same) > 0 {
			return nil, &refusal{409, "duplicate", same}
		}
	}
	if s.unique && o["cVinferCallId"] != nil {
		for _, other := range s.records[entity] {
			if other["cVinferCallId"] == o["cVinferCallId"] {
				return nil, &refusal{status: http.StatusInternalServerError}
			}
		}
	}
	s.records[entity] = append(s.records[entity], o)
	if s.hide && (entity == "Lead" || entity == "Contact") {
		s.hidden = append(s.hidden, o["id"].(string))
	}
	answer := s.whole(entity, o)
	if entity == "Call" {
		answer["duration"] = 300
	}
	return answer, nil
}

var international = regexp.MustCompile(`^\+[1-9]\d{6,14}$`)

// assign2 gives o what a write holds. What the site does not know is dropped without a word.
func (s *site) assign2(entity string, o, body object, isNew bool) *refusal {
	next := maps.Clone(o)
	for name, v := range body {
		if name != "id" && s.knows(entity, name) {
			next[name] = v
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.fields)) {
		name, mine := strings.CutPrefix(key, entity+".")
		if !mine {
			continue
		}
		def := s.fields[key]
		v, given := next[name]
		switch def["type"] {
		case "link":
			v, given = next[name+"Id"]
		case "enum":
			if !given && isNew {
				next[name] = def["default"]
			} else if text, _ := v.(string); given && !slices.Contains(def["options"].([]string), text) {
				return invalid(entity, name, "valid")
			}
		case "varchar":
			limit := 100
			if n, ok := def["maxLength"].(int); ok {
				limit = n
			}
			text, _ := v.(string)
			if len([]rune(text)) > limit {
				return invalid(entity, name, "maxLength")
			}
			if strings.ContainsAny(text, "<>=") && !strings.HasPrefix(name, "c") {
				return invalid(entity, name, "pattern")
			}
			if given {
				next[name] = strings.TrimSpace(text)
			}
		case "bool":
			if _, is := v.(bool); given && !is {
				return invalid(entity, name, "type")
			}
			if !given {
				next[name] = false
			}
		case "datetime":
			if text, _ := v.(string); given && text != "" {
				if _, err := time.Parse("2006-01-02 15:04:05", text); err != nil {
					return invalid(entity, name, "valid")
				}
			}
		}
		if _, sent := body[name]; sent && s.refuse == name {
			return invalid(entity, name, "valid")
		}
		if def["required"] == true && (!given || v == "") {
			return invalid(entity, name, "required")
		}
	}
	if n, ok := body["phoneNumber"].(string); ok {
		if !s.free && !international.MatchString(n) {
			return invalid(entity, "phoneNumber", "valid")
		}
		next["phoneNumberData"] = []any{object{"phoneNumber": n, "primary": true}}
	}
	if parent, _ := next["parentType"].(string); parent != "" && isNew && s.find(parent, fmt.Sprint(next["parentId"])) == nil {
		return invalid(entity, "parent", "pattern")
	}
	if owner, _ := body["assignedUserId"].(string); owner != "" && s.role["User"].(object)["read"] == nil {
		body := object{"messageTranslation": object{"label": "cannotRelateForbidden", "scope": nil, "data": object{"foreignEntityType": "User", "action": "read"}}}
		return &refusal{403, "No foreign record access for link operation (" + entity + ":assignedUser).", body}
	}
	maps.Copy(o, next)
	return nil
}

// whole returns a record as it is read.
func (s *site) whole(entity string, o object) object {
	out := maps.Clone(o)
	maps.DeleteFunc(out, func(name string, _ any) bool { return !s.knows(entity, name) }) // a field that is gone is not shown
	if entity == "Lead" || entity == "Contact" {
		out["name"] = strings.TrimSpace(fmt.Sprint(text(o["firstName"]), " ", text(o["lastName"])))
	}
	return out
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
