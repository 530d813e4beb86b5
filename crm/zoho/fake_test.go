package zoho_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// fake is a Zoho organisation as far as it is documented: lax where Zoho is (unknown fields, values of pick lists), strict where it is
// (mandatory values, forms of times, what may not be changed later).
type fake struct {
	url    string // of itself: accounts server and API are one
	tables map[string][]row
	fields map[string][]row
	next   int
	clock  time.Time

	tokens   int
	expired  bool     // the next request's token is refused
	domain   string   // of the tokens, if it is not the fake's own URL
	lagging  bool     // the search does not show what is made from now on
	noCOQL   bool     // the client lacks the scope
	noLists  bool     // contacts have no lists of their calls and tasks
	noUnique bool     // the organisation takes no unique field on Calls and Tasks
	company  bool     // leads must have a company
	refuse   string   // a field that is refused
	blue     string   // a lead that a Blueprint holds
	seen     []string // codes that were answered
}

type row = map[string]any

const (
	clientID = "1000.CLIENT0000000000000000000000"
	secret   = "s3cr3t-of-the-self-client"
	refresh  = "1000.refresh-token-of-the-self-client"
)

func newFake() *fake {
	f := &fake{tables: map[string][]row{}, next: 4876876000000000000, clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	f.tables["users"] = []row{{"id": "4876876000000000007", "email": "asha@example.com", "full_name": "Asha Rao"}}
	text := func(names ...string) (out []row) {
		for _, n := range names {
			out = append(out, row{"api_name": n, "data_type": "text", "unique": row{}, "external": nil})
		}
		return out
	}
	list := func(name string, values ...string) row {
		var all []row
		for _, v := range values {
			all = append(all, row{"display_value": v, "actual_value": v, "type": "used"})
		}
		return row{"api_name": name, "data_type": "picklist", "pick_list_values": all}
	}
	phone := func(name string) row { return row{"api_name": name, "data_type": "phone"} }
	person := append(text("First_Name", "Last_Name", "Company"), phone("Phone"), phone("Mobile"), phone("Fax"), row{"api_name": "VInfer_Do_Not_Call", "data_type": "boolean"})
	f.fields = map[string][]row{
		"Leads":    append(slices.Clone(person), row{"api_name": "Converted__s", "data_type": "boolean"}, list("Lead_Status", "-None-", "New", "Hot Lead", "Cold", "Callback", "Dead", "New status", "Old status", "Old again", "Contacted")),
		"Contacts": append(slices.Clone(person), phone("Home_Phone")),
		"Calls": append(text("Subject", "Description", "Call_Duration", "VInfer_Language"), list("Call_Type", "Inbound", "Outbound", "Missed"),
			list("Call_Result", "-None-", "Interested", "Not interested", "Requested call back"), list("Outgoing_Call_Status", "Completed", "Scheduled"),
			row{"api_name": "VInfer_Call_ID", "data_type": "text", "unique": row{"casesensitive": true}}),
		"Tasks": append(text("Subject", "Description", "Status", "Priority"), row{"api_name": "VInfer_Call_ID", "data_type": "text", "unique": row{"casesensitive": true}}),
	}
	return f
}

func (f *fake) field(module, name string) row {
	for _, d := range f.fields[module] {
		if d["api_name"] == name {
			return d
		}
	}
	return nil
}

func (f *fake) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "application/json;charset=UTF-8")
	if r.URL.Path == "/oauth/v2/token" {
		f.token(rw, r)
		return
	}
	if f.expired || r.Header.Get("Authorization") != "Zoho-oauthtoken "+f.access() {
		f.expired = false
		f.say(rw, 401, "INVALID_TOKEN", "invalid oauth token", nil)
		return
	}
	var body struct {
		Data    []row     `json:"data"`
		Fields  []row     `json:"fields"`
		Query   string    `json:"select_query"`
		Trigger *[]string `json:"trigger"`
	}
	if r.Method != http.MethodGet && json.NewDecoder(r.Body).Decode(&body) != nil {
		f.say(rw, 400, "INVALID_REQUEST", "unable to process your request", nil)
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/crm/v8/"), "/")
	q := r.URL.Query()
	switch n := len(parts); {
	case parts[0] == "settings" && r.Method == http.MethodGet:
		answer(rw, 200, row{"fields": f.fields[q.Get("module")]})
	case parts[0] == "settings":
		f.addField(rw, q.Get("module"), body.Fields[0])
	case parts[0] == "users":
		answer(rw, 200, row{"users": f.tables["users"]})
	case parts[0] == "coql":
		f.coql(rw, body.Query)
	case n == 2 && parts[1] == "search":
		f.search(rw, parts[0], q)
	case n == 3 && r.Method == http.MethodGet:
		f.related(rw, parts[0], parts[1], parts[2], q)
	case n == 3 && parts[2] == "Notes" && len(body.Data) == 1:
		if f.row(parts[0], parts[1]) == nil {
			f.deny(rw, 400, "INVALID_DATA", "the related id given seems to be invalid", row{"api_name": "Parent_Id"})
			return
		}
		f.insert(rw, "Notes", body.Data[0])
	case n == 2 && r.Method == http.MethodGet:
		if external := r.Header.Get("X-External"); external != "" {
			f.byExternal(rw, parts[0], strings.TrimPrefix(external, parts[0]+"."), parts[1])
			return
		}
		f.list(rw, f.shown(parts[0], keep(f.tables[parts[0]], func(r row) bool { return r["id"] == parts[1] })))
	case n == 1 && r.Method == http.MethodGet && q.Get("fields") != "" && q.Get("sort_order") == "desc":
		rows := slices.Clone(f.tables[parts[0]])
		slices.Reverse(rows)
		f.list(rw, f.shown(parts[0], rows[:min(len(rows), 200)]))
	case n == 1 && r.Method == http.MethodPost && len(body.Data) == 1 && body.Trigger != nil:
		f.insert(rw, parts[0], body.Data[0])
	case n == 2 && r.Method == http.MethodPut && len(body.Data) == 1 && body.Trigger != nil:
		f.change(rw, parts[0], parts[1], body.Data[0])
	default:
		f.say(rw, 404, "INVALID_URL_PATTERN", "Please check if the URL trying to access is a correct one", nil)
	}
}

func (f *fake) access() string { return "1000.access-token-number-" + strconv.Itoa(f.tokens) }

func (f *fake) token(rw http.ResponseWriter, r *http.Request) {
	if r.PostFormValue("grant_type") != "refresh_token" || r.PostFormValue("client_id") != clientID || r.PostFormValue("client_secret") != secret {
		answer(rw, 200, row{"error": "invalid_client"})
		return
	}
	if r.PostFormValue("refresh_token") != refresh {
		answer(rw, 200, row{"error": "invalid_code"})
		return
	}
	if f.tokens >= 10 {
		answer(rw, 400, row{"error": "Access Denied", "error_description": "You have made too many requests continuously. Please try again after some time.", "status": "failure"})
		return
	}
	f.tokens++
	answer(rw, 200, row{"access_token": f.access(), "api_domain": cmp.Or(f.domain, f.url), "token_type": "Bearer", "expires_in": 3600})
}

func answer(rw http.ResponseWriter, status int, v any) {
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(v)
}

// say answers an error of the whole request.
func (f *fake) say(rw http.ResponseWriter, status int, code, message string, d row) {
	f.seen = append(f.seen, code)
	if d == nil {
		d = row{}
	}
	answer(rw, status, row{"code": code, "details": d, "message": message, "status": "error"})
}

// deny answers an error of the one row.
func (f *fake) deny(rw http.ResponseWriter, status int, code, message string, d row) {
	f.seen = append(f.seen, code)
	answer(rw, status, row{"data": []row{{"code": code, "details": d, "message": message, "status": "error"}}})
}

func (f *fake) done(rw http.ResponseWriter, status int, r row) {
	answer(rw, status, row{"data": []row{{"code": "SUCCESS", "details": row{"id": r["id"], "Modified_Time": r["Modified_Time"]}, "message": "record added", "status": "success"}}})
}

// list answers records; none: no content.
func (f *fake) list(rw http.ResponseWriter, rows []row) {
	if len(rows) == 0 {
		rw.WriteHeader(http.StatusNoContent)
		return
	}
	answer(rw, 200, row{"data": rows, "info": row{"count": len(rows), "more_records": false}})
}

// shown returns records with all of the module's fields that the client's user may see, empty ones too.
func (f *fake) shown(module string, rows []row) (out []row) {
	for _, r := range rows {
		seen := maps.Clone(r)
		for _, d := range f.fields[module] {
			if name := fmt.Sprint(d["api_name"]); r[name] == nil {
				seen[name] = nil
			}
		}
		if f.field(module, "Lead_Status") == nil {
			delete(seen, "Lead_Status")
		}
		out = append(out, seen)
	}
	return out
}

func keep(rows []row, fits func(row) bool) (out []row) {
	for _, r := range rows {
		if fits(r) {
			out = append(out, r)
		}
	}
	return out
}

func (f *fake) addField(rw http.ResponseWriter, module string, spec row) {
	label := fmt.Sprint(spec["field_label"])
	name := strings.ReplaceAll(label, " ", "_")
	fail := func(code, message string) {
		answer(rw, 400, row{"fields": []row{{"code": code, "details": row{}, "message": message, "status": "error"}}})
	}
	switch {
	case f.field(module, name) != nil:
		fail("DUPLICATE_DATA", "field label already exists")
	case spec["unique"] != nil && f.noUnique:
		fail("NOT_SUPPORTED", "unique is not supported for this module")
	case utf8.RuneCountInString(label) > 25:
		fail("INVALID_DATA", "field_label is too long")
	default:
		f.fields[module] = append(f.fields[module], row{"api_name": name, "data_type": spec["data_type"], "unique": spec["unique"]})
		answer(rw, 201, row{"fields": []row{{"code": "SUCCESS", "details": row{"id": "1"}, "message": "field created", "status": "success"}}})
	}
}

var (
	statement = regexp.MustCompile(`^select ([\w, ]+) from (\w+) where (.+) limit \d+$`)
	condition = regexp.MustCompile(`(\w+) (in|=|is) (\([^()]*(?:\([^()]*\)[^()]*)*\)|'(?:[^'\\]|''|\\\\)*'|not null)`)
	literal   = regexp.MustCompile(`'((?:[^'\\]|''|\\\\)*)'`)
)

func (f *fake) coql(rw http.ResponseWriter, query string) {
	m := statement.FindStringSubmatch(query)
	if f.noCOQL {
		f.say(rw, 401, "OAUTH_SCOPE_MISMATCH", "invalid oauth scope to access this URL", nil)
		return
	}
	if m == nil || len(f.fields[m[2]]) == 0 {
		f.say(rw, 400, "SYNTAX_ERROR", "syntax error", nil)
		return
	}
	for name := range strings.SplitSeq(m[1], ", ") {
		if !slices.Contains([]string{"id", "Owner", "Created_Time", "Modified_Time"}, name) && f.field(m[2], name) == nil {
			f.say(rw, 400, "INVALID_QUERY", "column given seems to be invalid", row{"column_name": name})
			return
		}
	}
	wanted, unescape := map[string][]string{}, strings.NewReplacer(`''`, `'`, `\\`, `\`)
	for _, c := range condition.FindAllStringSubmatch(m[3], -1) {
		for _, l := range literal.FindAllStringSubmatch(c[3], -1) {
			wanted[c[1]] = append(wanted[c[1]], unescape.Replace(l[1]))
		}
	}
	found := keep(f.tables[m[2]], func(r row) bool {
		for name, values := range wanted {
			if v, ok := r[name].(string); ok && slices.Contains(values, v) {
				return true
			}
		}
		return len(wanted) == 0 // "is not null"
	})
	for i, r := range found { // nothing but what was asked for
		found[i] = row{}
		for name := range strings.SplitSeq(m[1], ", ") {
			found[i][name] = r[name]
			if name == "Converted__s" {
				found[i][name] = r["$converted"] == true
			}
		}
	}
	f.list(rw, found)
}

func digits(v any) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, fmt.Sprint(v))
}

var criterion = regexp.MustCompile(`\((\w+):equals:((?:[^()\\]|\\.)*)\)`)

func (f *fake) search(rw http.ResponseWriter, module string, q url.Values) {
	phone := digits(q.Get("phone"))
	criteria := criterion.FindAllStringSubmatch(q.Get("criteria"), -1)
	if phone == "" && (len(criteria) == 0 || len(criteria) > 10) {
		f.say(rw, 400, "INVALID_QUERY", "Invalid query formed", nil)
		return
	}
	f.list(rw, f.shown(module, keep(f.tables[module], func(r row) bool {
		if r["hidden"] == true {
			return false
		}
		for _, name := range []string{"Phone", "Mobile", "Home_Phone"} {
			if r[name] != nil && phone != "" && strings.HasSuffix(digits(r[name]), phone) {
				return true
			}
		}
		return slices.ContainsFunc(criteria, func(c []string) bool { return r[c[1]] == strings.ReplaceAll(c[2], `\`, "") })
	})))
}

func (f *fake) related(rw http.ResponseWriter, module, id, list string, q url.Values) {
	table := strings.TrimSuffix(list, "_History")
	if q.Get("fields") == "" || f.tables[table] == nil && table != "Calls" && table != "Tasks" && table != "Notes" {
		f.say(rw, 400, "REQUIRED_PARAM_MISSING", "One of the expected parameter is missing", row{"param_name": "fields"})
		return
	}
	if f.noLists && table != "Notes" {
		f.say(rw, 400, "INVALID_DATA", "the relation name given seems to be invalid", row{"resource_path_index": 2})
		return
	}
	f.list(rw, keep(f.tables[table], func(r row) bool {
		return parent(r) == module+"/"+id && (table == "Notes" || strings.HasSuffix(list, "_History") == (table == "Calls"))
	}))
}

// parent names what a call, task or note belongs to.
func parent(r row) string {
	id := func(v any) string {
		m, _ := v.(row)
		return fmt.Sprint(m["id"])
	}
	switch {
	case r["Who_Id"] != nil:
		return "Contacts/" + id(r["Who_Id"])
	case r["What_Id"] != nil:
		return fmt.Sprint(r["$se_module"], "/", id(r["What_Id"]))
	case r["Parent_Id"] != nil:
		return fmt.Sprint(r["$se_module"], "/", id(r["Parent_Id"]))
	}
	return ""
}

func (f *fake) byExternal(rw http.ResponseWriter, module, field, value string) {
	if d := f.field(module, field); d == nil || d["external"] == nil {
		f.say(rw, 400, "NOT_SUPPORTED", "not an external field", nil)
		return
	}
	found := keep(f.tables[module], func(r row) bool { return r[field] == value })
	if len(found) == 0 {
		f.say(rw, 404, "INVALID_DATA", "the id given seems to be invalid", nil)
		return
	}
	f.list(rw, found)
}

var (
	isoTime  = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$`)
	isoDate  = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)
	duration = regexp.MustCompile(`^\d{2,}:\d\d$`)
)

// fault returns what is wrong with the values of a new record.
func (f *fake) fault(module string, v row) (code, name string) {
	text := func(name string) string { s, _ := v[name].(string); return s }
	switch {
	case (module == "Leads" || module == "Contacts") && text("Last_Name") == "":
		return "MANDATORY_NOT_FOUND", "Last_Name"
	case module == "Leads" && f.company && text("Company") == "":
		return "MANDATORY_NOT_FOUND", "Company"
	case (module == "Calls" || module == "Tasks") && text("Subject") == "":
		return "MANDATORY_NOT_FOUND", "Subject"
	case module == "Calls" && !isoTime.MatchString(text("Call_Start_Time")):
		return "INVALID_DATA", "Call_Start_Time"
	case module == "Calls" && text("Call_Type") != "Missed" && !duration.MatchString(text("Call_Duration")):
		return "INVALID_DATA", "Call_Duration"
	case module == "Calls" && !slices.Contains([]string{"Inbound", "Outbound", "Missed"}, text("Call_Type")):
		return "INVALID_DATA", "Call_Type"
	case module == "Tasks" && !isoDate.MatchString(text("Due_Date")):
		return "INVALID_DATA", "Due_Date"
	}
	if v["What_Id"] != nil || v["Who_Id"] != nil {
		if p := parent(v); f.row(strings.Split(p, "/")[0], p[strings.Index(p, "/")+1:]) == nil {
			return "INVALID_DATA", "What_Id"
		}
	}
	return f.wrong(v)
}

// wrong returns what is wrong with values, new or not.
func (f *fake) wrong(v row) (code, name string) {
	if f.refuse != "" && v[f.refuse] != nil {
		return "INVALID_DATA", f.refuse
	}
	limits := map[string]int{"Last_Name": 80, "First_Name": 40, "Subject": 255, "Description": 32_000, "Note_Content": 32_000, "Note_Title": 120, "Phone": 30}
	for _, name := range []string{"Last_Name", "First_Name", "Subject", "Description", "Note_Content", "Note_Title", "Phone"} {
		if s, ok := v[name].(string); ok && (utf8.RuneCountInString(s) > limits[name] || strings.Contains(s, "\x00")) {
			return "INVALID_DATA", name
		}
	}
	return "", ""
}

func (f *fake) insert(rw http.ResponseWriter, module string, values row) {
	if code, name := f.fault(module, values); code != "" {
		f.deny(rw, 400, code, "invalid data", row{"api_name": name, "json_path": "$.data[0]." + name})
		return
	}
	for _, d := range f.fields[module] {
		u, _ := d["unique"].(row)
		name := fmt.Sprint(d["api_name"])
		if len(u) == 0 || values[name] == nil {
			continue
		}
		for _, r := range f.tables[module] {
			if r[name] == values[name] {
				f.deny(rw, 202, "DUPLICATE_DATA", "duplicate data", row{"api_name": name, "json_path": "$.data[0]." + name, "duplicate_record": row{"id": r["id"]}})
				return
			}
		}
	}
	f.done(rw, 201, f.add(module, values))
}

// add makes a record, as people do too.
func (f *fake) add(module string, values row) row {
	f.next++
	r := row{"id": strconv.Itoa(f.next), "hidden": f.lagging}
	f.tables[module] = append(f.tables[module], r)
	f.set(module, r, values)
	r["Created_Time"] = r["Modified_Time"]
	return r
}

func (f *fake) set(module string, r, values row) {
	for name, v := range values {
		if f.field(module, name) != nil || f.fields[module] == nil || slices.Contains([]string{"Owner", "Who_Id", "What_Id", "$se_module", "Call_Start_Time", "Due_Date", "$converted"}, name) {
			r[name] = v
		}
	}
	f.clock = f.clock.Add(time.Second)
	r["Modified_Time"] = f.clock.Format("2006-01-02T15:04:05-07:00")
}

func (f *fake) change(rw http.ResponseWriter, module, id string, values row) {
	r := f.row(module, id)
	code, name := f.wrong(values)
	for _, fixed := range []string{"Call_Type", "Call_Start_Time", "Call_Duration", "Owner"} {
		if module == "Calls" && values[fixed] != nil {
			code, name = "INVALID_DATA", fixed
		}
	}
	switch {
	case r == nil:
		f.deny(rw, 202, "INVALID_DATA", "the id given seems to be invalid", row{"id": id})
	case id == f.blue && values["Lead_Status"] != nil:
		f.deny(rw, 400, "RECORD_IN_BLUEPRINT", "record is in Blueprint", row{"api_name": "Lead_Status"})
	case r["$converted"] == true:
		f.deny(rw, 400, "CONVERTED_RECORD", "the record is converted", row{})
	case code != "":
		f.deny(rw, 400, code, "invalid data", row{"api_name": name, "json_path": "$.data[0]." + name})
	default:
		f.set(module, r, values)
		f.done(rw, 200, r)
	}
}

func (f *fake) row(module, id string) row {
	for _, r := range f.tables[module] {
		if r["id"] == id {
			return r
		}
	}
	return nil
}

func (f *fake) remove(module, id string) {
	f.tables[module] = slices.DeleteFunc(f.tables[module], func(r row) bool { return r["id"] == id })
}
