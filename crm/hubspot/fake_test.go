package hubspot_test

import (
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
	token = "pat-eu1-01234567-89ab-cdef-0123-456789abcdef"
	human = "117" // the owner of what people make
)

type object = map[string]any

// property is one of the portal's definitions.
type property struct {
	typ     string
	unique  bool
	options []string
}

// row is a record. What the index knows of it is older than what the database holds.
type row struct {
	id       int
	held     map[string]string
	links    map[string][]string
	indexed  map[string]string // nil: the index has not seen it
	changed  time.Time
	archived bool
	merged   []int // ids of records that were merged into this one
}

// portal is a HubSpot account as its documentation describes it: strict about properties, options and limits, its search an index.
type portal struct {
	mu         sync.Mutex
	properties map[string]map[string]*property
	groups     map[string]bool
	rows       map[string][]*row
	last       int
	clock      time.Time

	hide     bool          // the index sees nothing from now on
	lag      time.Duration // or late
	noUnique bool          // activities take no unique properties
	noSchema bool          // the token may not read or write definitions
	refuse   string        // a property that is refused whatever it holds
	scopes   []string      // nil: HubSpot does not tell

	most     int // requests in the window; 0: any number
	window   time.Duration
	searches int // in a second
	seen     []time.Time
	searched []time.Time
	overrun  int
}

func newPortal() *portal {
	p := &portal{
		properties: map[string]map[string]*property{}, groups: map[string]bool{}, rows: map[string][]*row{}, clock: time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC),
		last: 50_000, window: 10 * time.Second,
	}
	define := func(kind, typ string, names ...string) {
		if p.properties[kind] == nil {
			p.properties[kind] = map[string]*property{}
		}
		for _, n := range names {
			p.properties[kind][n] = &property{typ: typ}
		}
	}
	define("contacts", "string", "firstname", "lastname", "email", "phone", "mobilephone", "hs_searchable_calculated_phone_number", "hs_searchable_calculated_mobile_number", "hubspot_owner_id")
	define("contacts", "datetime", "createdate", "lastmodifieddate")
	define("calls", "string", "hs_call_title", "hs_call_body", "hs_call_from_number", "hs_call_to_number", "hubspot_owner_id", "vinfer_mood")
	define("calls", "number", "hs_call_duration")
	define("notes", "string", "hs_note_body", "hubspot_owner_id")
	define("tasks", "string", "hs_task_subject", "hs_task_body", "hubspot_owner_id")
	for _, kind := range []string{"calls", "notes", "tasks"} {
		define(kind, "datetime", "hs_timestamp")
	}
	choose := func(kind, name string, options ...string) {
		p.properties[kind][name] = &property{typ: "enumeration", options: options}
	}
	choose("contacts", "hs_lead_status", "NEW|New", "OPEN|Open", "CONNECTED|Connected", "BAD_TIMING|Bad timing", "UNQUALIFIED|Unqualified", "Hot Lead|Hot lead", "Cold|Cold",
		"New status|New status", "Old status|Old status", "Old again|Old again")
	choose("calls", "hs_call_direction", "INBOUND|Inbound", "OUTBOUND|Outbound")
	choose("calls", "hs_call_status", "BUSY|Busy", "COMPLETED|Completed", "FAILED|Failed", "NO_ANSWER|No answer", "RINGING|Ringing")
	choose("calls", "hs_call_disposition", "f240bbac-87c9-4f6e-bf70-924b57d47db7|Connected", "73a0d17f-1163-4015-bdd5-ec830791da20|No answer", "11111111-2222-3333-4444-555555555555|Not interested")
	choose("tasks", "hs_task_status", "NOT_STARTED|Not started", "COMPLETED|Completed")
	choose("tasks", "hs_task_priority", "LOW|Low", "MEDIUM|Medium", "HIGH|High")
	choose("tasks", "hs_task_type", "CALL|Call", "TODO|To-do", "EMAIL|Email")
	return p
}

// setUp gives the portal what setup makes.
func (p *portal) setUp() *portal {
	for _, kind := range []string{"calls", "notes", "tasks"} {
		p.properties[kind]["vinfer_call_id"] = &property{typ: "string", unique: !p.noUnique}
	}
	p.properties["contacts"]["vinfer_phone"] = &property{typ: "string", unique: true}
	p.properties["contacts"]["vinfer_do_not_call"] = &property{typ: "bool", options: []string{"true|Yes", "false|No"}}
	return p
}

func (p *portal) tick() time.Time {
	p.clock = p.clock.Add(time.Second)
	return p.clock
}

func problem(status int, category, message string) (int, object) {
	return status, object{"status": "error", "message": message, "correlationId": "b5b6e5a2-0000-4000-8000-000000000000", "category": category}
}

func (p *portal) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	status, answer := p.answer(rw, r)
	rw.Header().Set("Content-Type", "application/json;charset=utf-8")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(answer)
}

func (p *portal) answer(rw http.ResponseWriter, r *http.Request) (int, object) {
	search := strings.HasSuffix(r.URL.Path, "/search")
	if policy := p.limited(rw, search); policy != "" {
		p.overrun++
		message := "You have reached your " + strings.ToLower(policy) + " limit."
		return http.StatusTooManyRequests, object{"status": "error", "message": message, "errorType": "RATE_LIMIT", "correlationId": "c", "policyName": policy}
	}
	if r.Header.Get("Authorization") != "Bearer "+token {
		return problem(401, "INVALID_AUTHENTICATION", "Authentication credentials not found. This API supports OAuth 2.0 authentication.")
	}
	var body object
	if r.Method != http.MethodGet {
		if ct := r.Header.Get("Content-Type"); !strings.HasPrefix(ct, "application/json") {
			return problem(415, "VALIDATION_ERROR", "Unsupported media type "+ct)
		}
		d := json.NewDecoder(r.Body)
		d.UseNumber()
		if err := d.Decode(&body); err != nil {
			return problem(400, "VALIDATION_ERROR", "Invalid input JSON: "+err.Error())
		}
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch head := strings.Join(parts[:min(3, len(parts))], "/"); {
	case head == "crm/v3/objects" && len(parts) >= 4 && p.properties[parts[3]] != nil:
		return p.objects(r, parts[3], parts[4:], body)
	case head == "crm/v3/properties" && len(parts) >= 4 && p.properties[parts[3]] != nil:
		return p.definitions(r, parts[3], parts[4:], body)
	case head == "crm/v4/objects" && len(parts) == 7 && r.Method == http.MethodGet && parts[5] == "associations":
		return p.associations(r, parts[3], parts[4], parts[6])
	case head == "crm/v3/owners" && r.Method == http.MethodGet:
		found := []object{}
		if r.URL.Query().Get("email") == "asha@example.com" {
			found = append(found, object{"id": human, "email": "asha@example.com"})
		}
		return 200, object{"results": found}
	case r.URL.Path == "/account-info/v3/details":
		return 200, object{"portalId": json.Number("62515"), "accountType": "STANDARD", "timeZone": "Asia/Kolkata"}
	case r.URL.Path == "/oauth/v2/private-apps/get/access-token-info" && p.scopes != nil:
		return 200, object{"hubId": json.Number("62515"), "scopes": p.scopes}
	}
	return problem(404, "OBJECT_NOT_FOUND", "resource not found")
}

// limited counts a request and tells which limit it overruns.
func (p *portal) limited(rw http.ResponseWriter, search bool) string {
	now := time.Now()
	within := func(all []time.Time, window time.Duration) []time.Time {
		return slices.DeleteFunc(all, func(t time.Time) bool { return now.Sub(t) > window })
	}
	most := p.most
	if most > 0 {
		p.seen = append(within(p.seen, p.window), now)
	} else {
		most = 1_000_000
	}
	if search {
		p.searched = append(within(p.searched, time.Second), now)
	} else {
		rw.Header().Set("X-HubSpot-RateLimit-Max", strconv.Itoa(most))
		rw.Header().Set("X-HubSpot-RateLimit-Remaining", strconv.Itoa(max(most-len(p.seen), 0)))
		rw.Header().Set("X-HubSpot-RateLimit-Interval-Milliseconds", strconv.FormatInt(p.window.Milliseconds(), 10))
	}
	switch {
	case search && p.searches > 0 && len(p.searched) > p.searches:
		return "SECONDLY"
	case len(p.seen) > most:
		return "TEN_SECONDLY_ROLLING"
	}
	return ""
}

func (p *portal) objects(r *http.Request, kind string, rest []string, body object) (int, object) {
	switch path := r.Method + " " + strings.Join(rest, "/"); {
	case path == "POST search":
		return p.search(kind, body)
	case path == "POST batch/read":
		found := []object{}
		for _, in := range items(body["inputs"]) {
			if o := p.find(kind, fmt.Sprint(in["id"]), ""); o != nil {
				found = append(found, p.show(kind, o, o.held, texts(body["properties"])))
			}
		}
		if len(found) < len(items(body["inputs"])) {
			return 207, object{"status": "COMPLETE", "results": found, "numErrors": 1, "errors": []object{{"status": "error", "category": "OBJECT_NOT_FOUND", "message": "Could not get some objects"}}}
		}
		return 200, object{"status": "COMPLETE", "results": found}
	case path == "POST ":
		return p.create(kind, body)
	case len(rest) == 1 && (r.Method == http.MethodGet || r.Method == http.MethodPatch):
		by := r.URL.Query().Get("idProperty")
		if d := p.properties[kind][by]; by != "" && (d == nil || !d.unique) {
			return problem(400, "VALIDATION_ERROR", "Unable to look up "+kind+" by non-unique property "+by)
		}
		o := p.find(kind, rest[0], by)
		if o == nil {
			return problem(404, "OBJECT_NOT_FOUND", "Object not found.  objectId are usually numeric.")
		}
		if r.Method == http.MethodPatch {
			given := values(body["properties"])
			if status, bad := p.invalid(kind, given, o); bad != nil {
				return status, bad
			}
			p.write(kind, o, given)
		}
		return 200, p.show(kind, o, o.held, strings.Split(r.URL.Query().Get("properties"), ","))
	}
	return problem(405, "VALIDATION_ERROR", "method not allowed")
}

func (p *portal) create(kind string, body object) (int, object) {
	given := values(body["properties"])
	if kind == "contacts" && given["email"] == "" && given["firstname"] == "" && given["lastname"] == "" {
		return problem(400, "VALIDATION_ERROR", "Error creating CONTACT. At least one of email, firstname and lastname is required.")
	}
	if kind != "contacts" && given["hs_timestamp"] == "" {
		return problem(400, "VALIDATION_ERROR", "hs_timestamp is required")
	}
	if status, bad := p.invalid(kind, given, nil); bad != nil {
		return status, bad
	}
	links := map[string][]string{}
	for _, l := range items(body["associations"]) {
		to := fmt.Sprint(l["to"].(object)["id"])
		want := map[string]string{"calls": "194", "notes": "202", "tasks": "204"}[kind]
		types := items(l["types"])
		if len(types) != 1 || types[0]["associationCategory"] != "HUBSPOT_DEFINED" || fmt.Sprint(types[0]["associationTypeId"]) != want {
			return problem(400, "VALIDATION_ERROR", fmt.Sprint("invalid association type ", types))
		}
		if p.find("contacts", to, "") == nil {
			return problem(400, "VALIDATION_ERROR", "One or more associations are not valid: contact does not exist")
		}
		links["contacts"] = append(links["contacts"], to)
	}
	o := p.add(kind, given)
	o.links = links
	return 201, p.show(kind, o, o.held, slices.Collect(maps.Keys(given)))
}

// add puts a record into the database.
func (p *portal) add(kind string, given map[string]string) *row {
	p.last++
	o := &row{id: p.last, held: map[string]string{}}
	if kind == "contacts" {
		o.held["createdate"] = stamp(p.clock.Add(time.Second))
	}
	p.rows[kind] = append(p.rows[kind], o)
	p.write(kind, o, given)
	return o
}

func (p *portal) write(kind string, o *row, given map[string]string) {
	maps.Copy(o.held, given)
	o.changed = time.Now()
	at := p.tick()
	if kind == "contacts" {
		o.held["lastmodifieddate"] = stamp(at)
		o.held["hs_searchable_calculated_phone_number"] = searchable(o.held["phone"])
		o.held["hs_searchable_calculated_mobile_number"] = searchable(o.held["mobilephone"])
	}
	if t, ok := given["hs_timestamp"]; ok {
		if ms, err := strconv.ParseInt(t, 10, 64); err == nil {
			t = stamp(time.UnixMilli(ms))
		}
		o.held["hs_timestamp"] = t
	}
	if !p.hide && p.lag == 0 {
		o.indexed = maps.Clone(o.held)
	}
}

// searchable makes of a number the digits that HubSpot searches: those inside the country.
func searchable(number string) string {
	if n, err := phonenumbers.Parse(number, ""); err == nil {
		return strconv.FormatUint(n.GetNationalNumber(), 10)
	}
	return strings.TrimLeft(digits.ReplaceAllString(number, ""), "0")
}

var digits = regexp.MustCompile(`\D`)

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// invalid tells what is wrong with the properties of a write, in HubSpot's words.
func (p *portal) invalid(kind string, given map[string]string, self *row) (int, object) {
	var faults []string
	fault := func(name, code, message string) {
		faults = append(faults, fmt.Sprintf(`{"isValid":false,"message":%q,"error":%q,"name":%q,"localizedErrorMessage":%q}`, message, code, name, message))
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		v, d := given[name], p.properties[kind][name]
		switch {
		case d == nil || name == p.refuse:
			fault(name, "PROPERTY_DOESNT_EXIST", fmt.Sprintf("Property %q does not exist", name))
		case len(d.options) > 0 && !slices.ContainsFunc(d.options, func(o string) bool { return strings.HasPrefix(o, v+"|") }):
			fault(name, "INVALID_OPTION", fmt.Sprintf("%s was not one of the allowed options: %q", v, d.options))
		case d.typ == "number" && !regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`).MatchString(v):
			fault(name, "INVALID_LONG", v+" was not a valid number.")
		case d.typ == "datetime" && !regexp.MustCompile(`^([0-9]{13}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z)$`).MatchString(v):
			fault(name, "INVALID_DATE", v+" was not a valid date.")
		case len([]rune(v)) > 65536:
			fault(name, "TOO_LONG", "Property values must be at most 65536 characters")
		}
	}
	if len(faults) > 0 {
		return problem(400, "VALIDATION_ERROR", "Property values were not valid: ["+strings.Join(faults, ",")+"]")
	}
	for name, v := range given {
		if d := p.properties[kind][name]; d.unique {
			if other := p.find(kind, v, name); other != nil && other != self {
				return problem(400, "VALIDATION_ERROR", fmt.Sprintf(`Property values were not valid: [{"isValid":false,"message":"%d already has that value.","error":"CONFLICTING_UNIQUE_VALUE","name":%q}]`, other.id, name))
			}
		}
	}
	return 0, nil
}

func (p *portal) find(kind, key, property string) *row {
	for _, o := range p.rows[kind] {
		if !o.archived && (property == "" && (strconv.Itoa(o.id) == key || slices.ContainsFunc(o.merged, func(id int) bool { return strconv.Itoa(id) == key })) || property != "" && o.held[property] == key) {
			return o
		}
	}
	return nil
}

// show writes a record as HubSpot does: what was asked for and is no property is left out, what has no value is null.
func (p *portal) show(kind string, o *row, from map[string]string, names []string) object {
	shown := object{"hs_object_id": strconv.Itoa(o.id)}
	for _, n := range names {
		if p.properties[kind][n] == nil {
			continue
		}
		shown[n] = nil
		if v, ok := from[n]; ok && v != "" {
			shown[n] = v
		}
	}
	return object{"id": strconv.Itoa(o.id), "properties": shown, "createdAt": stamp(p.clock), "updatedAt": stamp(p.clock), "archived": false}
}

func (p *portal) search(kind string, body object) (int, object) {
	for _, name := range []string{"filterGroups", "properties", "sorts", "limit", "after"} {
		if body[name] == nil {
			return problem(400, "VALIDATION_ERROR", "missing "+name)
		}
	}
	groups := items(body["filterGroups"])
	if len(groups) > 5 {
		return problem(400, "VALIDATION_ERROR", "too many filterGroups")
	}
	found := []object{}
	for _, o := range p.rows[kind] {
		if p.lag > 0 && time.Since(o.changed) > p.lag {
			o.indexed = maps.Clone(o.held)
		}
		if o.archived || o.indexed == nil {
			continue
		}
		for _, g := range groups {
			all := true
			for _, f := range items(g["filters"]) {
				name, v := fmt.Sprint(f["propertyName"]), fmt.Sprint(f["value"])
				if p.properties[kind][name] == nil {
					return problem(400, "VALIDATION_ERROR", "There was a problem with the request: unknown property "+name)
				}
				held := o.indexed[name]
				switch f["operator"] {
				case "EQ":
					if t, err := time.Parse(time.RFC3339, held); err == nil {
						held = strconv.FormatInt(t.UnixMilli(), 10)
					}
					all = all && held == v
				case "CONTAINS_TOKEN":
					all = all && held != "" && strings.HasSuffix(held, strings.TrimPrefix(v, "*"))
				default:
					return problem(400, "VALIDATION_ERROR", fmt.Sprint("Invalid operator ", f["operator"]))
				}
			}
			if all {
				found = append(found, p.show(kind, o, o.indexed, texts(body["properties"])))
				break
			}
		}
	}
	return 200, object{"total": len(found), "results": found}
}

func items(v any) (out []object) {
	list, _ := v.([]any)
	for _, i := range list {
		if o, ok := i.(object); ok {
			out = append(out, o)
		}
	}
	return out
}

func texts(v any) (out []string) {
	list, _ := v.([]any)
	for _, i := range list {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func values(v any) map[string]string {
	out := map[string]string{}
	o, _ := v.(object)
	for name, value := range o {
		out[name] = fmt.Sprint(value)
	}
	return out
}
