package odoo_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nyaruka/phonenumbers"
)

// fake is an Odoo of the version given: what it takes and what it answers is as recorded from version 19, and for
// JSON-RPC as its documentation has it.
type fake struct {
	major   int
	admin   bool // the key's user may change settings
	noList  bool // and may not add to the blacklist
	tables  map[string][]map[string]any
	fields  map[string]map[string]bool
	next    int64
	clock   time.Time
	refused string // a method that is refused
	mails   int    // to users who were given something to do
}

const (
	key      = "0123456789abcdef0123456789abcdef01234567"
	database = "crm"
	login    = "voicesync"
	uid      = 5
)

func newFake(major int) *fake {
	f := &fake{major: major, next: 100, clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), tables: map[string][]map[string]any{}, fields: map[string]map[string]bool{}}
	has := func(model string, fields ...string) {
		f.fields[model] = map[string]bool{"id": true, "create_date": true, "write_date": true}
		for _, name := range fields {
			f.fields[model][name] = true
		}
	}
	has("crm.lead", "name", "contact_name", "phone", "phone_sanitized", "phone_mobile_search", "phone_blacklisted", "stage_id", "active", "user_id", "lost_reason_id")
	has("res.partner", "name", "phone", "phone_sanitized", "phone_mobile_search", "phone_blacklisted", "active", "user_id")
	has("mail.message", "body", "model", "res_id", "message_type")
	has("crm.stage", "name")
	has("crm.lost.reason", "name")
	has("res.users", "login", "name", "email")
	has("res.users.apikeys", "name", "user_id", "expiration_date")
	has("phone.blacklist", "number")
	has("ir.model", "model")
	has("ir.model.fields", "name", "model_id", "ttype", "field_description", "state", "index", "copied")
	activity := []string{"summary", "note", "date_deadline", "res_model", "res_id", "user_id", "feedback", "activity_type_id"}
	if major >= 18 {
		activity = append(activity, "active", "date_done")
	}
	has("mail.activity", activity...)
	if major < 19 {
		f.fields["crm.lead"]["mobile"] = true
		f.fields["res.partner"]["mobile"] = true
	}
	for _, name := range []string{"New", "Hot Lead", "Cold", "New status", "Old status", "Old again", "Won"} {
		f.insert("crm.stage", map[string]any{"name": name})
	}
	f.insert("crm.lost.reason", map[string]any{"name": "Too expensive"})
	f.tables["res.users"] = []map[string]any{{"id": int64(2), "login": "admin", "name": "Administrator"}, {"id": int64(uid), "login": login, "name": "Voice Sync", "email": "voice@crm.example"}}
	f.insert("ir.model", map[string]any{"model": "mail.activity"})
	return f
}

// problem is an exception of Odoo's.
type problem struct {
	status        int
	name, message string
}

func refuse(status int, name, format string, args ...any) *problem {
	return &problem{status, name, fmt.Sprintf(format, args...)}
}

func (f *fake) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	switch {
	case r.URL.Path == "/web/version" && f.major >= 19:
		answer(rw, 200, map[string]any{"version_info": []any{f.major, 0, 0, "final", 0, ""}, "version": fmt.Sprint(f.major, ".0")})
	case r.URL.Path == "/jsonrpc" && r.Method == http.MethodPost:
		result, bad := f.rpc(body)
		if bad != nil {
			answer(rw, 200, map[string]any{"jsonrpc": "2.0", "id": 1, "error": map[string]any{"code": 0, "message": "Odoo Server Error", "data": describe(bad)}})
			return
		}
		answer(rw, 200, map[string]any{"jsonrpc": "2.0", "id": 1, "result": result})
	case strings.HasPrefix(r.URL.Path, "/json/2/") && f.major >= 19:
		f.json2(rw, r, body)
	default:
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		rw.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(rw, "<!DOCTYPE html>\n<title>404 Not Found</title>\n<h1>Not Found</h1>")
	}
}

func (f *fake) json2(rw http.ResponseWriter, r *http.Request, body map[string]any) {
	if bearer := r.Header.Get("Authorization"); bearer != "bearer "+key {
		answer(rw, 401, describe(refuse(401, "werkzeug.exceptions.Unauthorized", "Invalid apikey")))
		return
	}
	if db := r.Header.Get("X-Odoo-Database"); db != "" && db != database {
		rw.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(rw, "<h1>Not Found</h1><p>No database is selected</p>")
		return
	}
	model, method, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/json/2/"), "/")
	ids := numbers(body["ids"])
	delete(body, "ids")
	result, bad := f.call(model, method, ids, body)
	if bad != nil {
		answer(rw, bad.status, describe(bad))
		return
	}
	answer(rw, 200, result)
}

func describe(p *problem) map[string]any {
	return map[string]any{"name": p.name, "message": p.message, "arguments": []any{p.message}, "context": map[string]any{}, "debug": "Traceback (most recent call last):\n  …"}
}

func answer(rw http.ResponseWriter, status int, v any) {
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(v)
}

func (f *fake) rpc(body map[string]any) (any, *problem) {
	params, _ := body["params"].(map[string]any)
	args, _ := params["args"].([]any)
	switch fmt.Sprint(params["service"], ".", params["method"]) {
	case "common.version":
		return map[string]any{"server_version": fmt.Sprint(f.major, ".0"), "server_version_info": []any{f.major, 0, 0, "final", 0, ""}}, nil
	case "common.authenticate":
		if len(args) != 4 || args[0] != database || args[1] != login || args[2] != key {
			return false, nil
		}
		return uid, nil
	case "object.execute_kw":
		if len(args) != 7 || args[0] != database || args[1] != float64(uid) || args[2] != key {
			return nil, refuse(200, "odoo.exceptions.AccessDenied", "Access Denied")
		}
		positional, _ := args[5].([]any)
		named, _ := args[6].(map[string]any)
		model, method := args[3].(string), args[4].(string)
		if method == "create" {
			if len(positional) != 1 {
				return nil, refuse(200, "builtins.IndexError", "list index out of range")
			}
			return f.call(model, method, nil, map[string]any{"vals_list": positional[0]})
		}
		var ids []int64
		if len(positional) > 0 {
			ids = numbers(positional[0])
		}
		if method == "write" {
			if model == "mail.activity" && named["vals"] != nil { // which calls them values
				return nil, refuse(200, "builtins.TypeError", "MailActivity.write() got an unexpected keyword argument 'vals'")
			}
			if len(positional) == 2 {
				named = map[string]any{"vals": positional[1]}
			}
		}
		return f.call(model, method, ids, named)
	}
	return nil, refuse(200, "builtins.AttributeError", "no such service")
}

func numbers(v any) (ids []int64) {
	list, _ := v.([]any)
	for _, x := range list {
		if n, ok := x.(float64); ok {
			ids = append(ids, int64(n))
		}
	}
	return ids
}

func (f *fake) call(model, method string, ids []int64, args map[string]any) (any, *problem) {
	if f.refused == model+"."+method {
		return nil, refuse(422, "odoo.exceptions.ValidationError", "not today")
	}
	if f.fields[model] == nil {
		return nil, refuse(404, "werkzeug.exceptions.NotFound", "the model '%s' does not exist", model)
	}
	if (strings.HasPrefix(model, "ir.model") && !f.admin) || model == "phone.blacklist" && f.noList {
		return nil, refuse(403, "odoo.exceptions.AccessError", "You are not allowed to access '%s' (%s) records.\n\nThis operation is allowed for the following groups:\n\t- Access Rights", model, model)
	}
	if f.major < 19 && f.tables["res.users"][1]["email"] == nil && (model == "crm.lead" && method == "create" || method == "action_feedback" || method == "message_post") {
		return nil, refuse(200, "odoo.exceptions.UserError", "Unable to send message, please configure the sender's email address.") // mail_thread.py
	}
	switch method {
	case "context_get":
		return map[string]any{"lang": "en_US", "tz": false, "uid": uid}, nil
	case "has_access":
		if f.major >= 18 {
			return true, nil
		}
	case "check_access_rights":
		if f.major < 18 {
			return true, nil
		}
	case "fields_get":
		out := map[string]any{}
		for _, name := range args["allfields"].([]any) {
			if f.fields[model][name.(string)] {
				out[name.(string)] = map[string]any{"type": "char"}
			}
		}
		return out, nil
	case "search_read":
		return f.searchRead(model, args)
	case "create":
		return f.create(model, args["vals_list"])
	case "write":
		vals, ok := args["vals"].(map[string]any)
		if !ok {
			return nil, refuse(422, "werkzeug.exceptions.UnprocessableEntity", "missing a required argument: 'vals'")
		}
		return f.write(model, ids, vals)
	case "action_unarchive":
		return nil, f.each(model, ids, func(r map[string]any) { r["active"], r["lost_reason_id"] = true, nil })
	case "action_set_lost":
		return nil, f.each(model, ids, func(r map[string]any) { r["active"], r["lost_reason_id"] = false, args["lost_reason_id"] })
	case "activity_schedule":
		return f.schedule(model, ids, args)
	case "action_feedback":
		return f.feedback(ids, args)
	case "message_post":
		return f.post(model, ids, args)
	}
	return nil, refuse(404, "werkzeug.exceptions.NotFound", "no method %s", method)
}

func (f *fake) now() string {
	f.clock = f.clock.Add(time.Second)
	return f.clock.Format(time.DateTime)
}

func (f *fake) insert(model string, r map[string]any) int64 {
	f.next++
	r["id"] = f.next
	r["create_date"] = f.now()
	r["write_date"] = r["create_date"]
	if f.fields[model]["active"] && r["active"] == nil {
		r["active"] = true
	}
	f.tables[model] = append(f.tables[model], r)
	return f.next
}

func (f *fake) known(model string, vals map[string]any) *problem {
	for name := range vals {
		if !f.fields[model][name] {
			return refuse(500, "builtins.ValueError", "Invalid field '%s' in '%s'", name, model)
		}
	}
	return nil
}

func (f *fake) create(model string, list any) (any, *problem) {
	var ids []int64
	for _, v := range list.([]any) {
		vals := v.(map[string]any)
		if bad := f.known(model, vals); bad != nil {
			return nil, bad
		}
		if name, _ := vals["name"].(string); model == "crm.lead" && name == "" {
			return nil, refuse(422, "odoo.exceptions.ValidationError", "The operation cannot be completed:\n- Create/update: a mandatory field is not set.\nModel: Lead/Opportunity (crm.lead)\nField: Opportunity (name)")
		}
		if model == "crm.lead" && vals["stage_id"] == nil {
			vals["stage_id"] = float64(f.tables["crm.stage"][0]["id"].(int64))
		}
		if model == "phone.blacklist" {
			if i := slices.IndexFunc(f.tables[model], func(r map[string]any) bool { return r["number"] == vals["number"] }); i >= 0 {
				ids = append(ids, f.tables[model][i]["id"].(int64))
				continue
			}
		}
		if model == "ir.model.fields" {
			f.fields["mail.activity"][vals["name"].(string)] = true
		}
		ids = append(ids, f.insert(model, vals))
	}
	return ids, nil
}

func (f *fake) each(model string, ids []int64, do func(r map[string]any)) *problem {
	for _, id := range ids {
		i := slices.IndexFunc(f.tables[model], func(r map[string]any) bool { return r["id"] == id })
		if i < 0 {
			return refuse(404, "odoo.exceptions.MissingError", "Record does not exist or has been deleted.\n(Record: %s(%d,), User: 5)", model, id)
		}
		do(f.tables[model][i])
		f.tables[model][i]["write_date"] = f.now()
	}
	return nil
}

func (f *fake) write(model string, ids []int64, vals map[string]any) (any, *problem) {
	if bad := f.known(model, vals); bad != nil {
		return nil, bad
	}
	return true, f.each(model, ids, func(r map[string]any) {
		for k, v := range vals {
			r[k] = v
		}
	})
}

func (f *fake) schedule(model string, ids []int64, args map[string]any) (any, *problem) {
	if args["act_type_xmlid"] != "mail.mail_activity_data_call" {
		return nil, refuse(500, "builtins.ValueError", "External ID not found")
	}
	if _, err := time.Parse(time.DateOnly, fmt.Sprint(args["date_deadline"])); err != nil {
		return nil, refuse(500, "builtins.ValueError", "%v", err)
	}
	var made []int64
	for _, id := range ids {
		r := map[string]any{"res_model": model, "res_id": id}
		for k, v := range args {
			if k != "act_type_xmlid" && k != "context" {
				r[k] = v
			}
		}
		if bad := f.known("mail.activity", r); bad != nil {
			return nil, bad
		}
		if bad := f.each(model, []int64{id}, func(map[string]any) {}); bad != nil {
			return nil, bad
		}
		if r["user_id"] != nil && r["user_id"] != float64(uid) && args["context"] == nil {
			f.mails++
		}
		made = append(made, f.insert("mail.activity", r))
	}
	if f.major < 19 { // records go into the answer as Python shows them
		return fmt.Sprintf("mail.activity(%d,)", made[0]), nil
	}
	return made, nil
}

// feedback marks activities as done: archived, or deleted before version 19; in any case a message stays.
func (f *fake) feedback(ids []int64, args map[string]any) (any, *problem) {
	var message int64
	for _, id := range ids {
		var a map[string]any
		if bad := f.each("mail.activity", []int64{id}, func(r map[string]any) { a = r }); bad != nil {
			return nil, bad
		}
		var lines []string
		for line := range strings.SplitSeq(fmt.Sprint(args["feedback"]), "\n") {
			lines = append(lines, html.EscapeString(line))
		}
		body := "<div>\n    <p>\n        <span class=\"fa fa-phone fa-fw\"></span><span>Call</span> done\n        <span>: </span><span>" +
			html.EscapeString(fmt.Sprint(a["summary"])) + "</span>\n    </p>\n    <div>\n        <div class=\"fw-bold\">Feedback:</div>\n" + strings.Join(lines, "<br>") + "\n    </div>\n</div>"
		message = f.insert("mail.message", map[string]any{"model": a["res_model"], "res_id": a["res_id"], "body": body})
		a["active"], a["date_done"], a["feedback"] = false, f.clock.Format(time.DateOnly), args["feedback"]
		a["_message"] = message
		if f.major < 19 {
			f.remove("mail.activity", id)
		}
	}
	return message, nil
}

func (f *fake) remove(model string, id int64) {
	f.tables[model] = slices.DeleteFunc(f.tables[model], func(r map[string]any) bool { return r["id"] == id })
}

func (f *fake) post(model string, ids []int64, args map[string]any) (any, *problem) {
	body := fmt.Sprint(args["body"])
	if f.major >= 17 {
		if args["body_is_html"] != true {
			body = "<p>" + html.EscapeString(body) + "</p>"
		}
	} else if _, there := args["body_is_html"]; there {
		return nil, refuse(500, "builtins.ValueError", "Invalid field 'body_is_html' in 'mail.message'")
	}
	var id int64
	for _, on := range ids {
		id = f.insert("mail.message", map[string]any{"model": model, "res_id": on, "body": body, "message_type": args["message_type"]})
	}
	if f.major < 19 {
		return id, nil
	}
	return []int64{id}, nil
}

// sanitized is phone_sanitized: the number in international form, where Odoo can tell the country.
func sanitized(stored any) string {
	s, _ := stored.(string)
	n, err := phonenumbers.Parse(s, "IN")
	if err != nil || !phonenumbers.IsPossibleNumber(n) {
		return ""
	}
	return phonenumbers.Format(n, phonenumbers.E164)
}

func (f *fake) leadOf(t *testing.T, model string, id int64) map[string]any {
	t.Helper()
	for _, r := range f.tables[model] {
		if r["id"] == id {
			return r
		}
	}
	t.Fatalf("there is no %s %d", model, id)
	return nil
}

func (r *raising) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	req.Body = io.NopCloser(bytes.NewReader(body))
	switch {
	case req.URL.Path == "/json/2/crm.lead/create":
		answer(rw, r.status, describe(&r.problem))
	case bytes.Contains(body, []byte(`"crm.lead","create"`)):
		answer(rw, 200, map[string]any{"jsonrpc": "2.0", "id": 1, "error": map[string]any{"code": 0, "message": "Odoo Server Error", "data": describe(&r.problem)}})
	default:
		r.fake.ServeHTTP(rw, req)
	}
}
