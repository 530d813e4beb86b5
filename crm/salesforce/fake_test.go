package salesforce_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	clientID     = "3MVG9-consumer-key"
	clientSecret = "consumer-secret-1"
	root         = "/services/data/v66.0"
	apiUser      = "005Aa000001AAAAIA4"
	human        = "005Aa000002BBBBIA4" // who owns what people make
)

type object = map[string]any

// org is a Salesforce org as its documentation describes it, strict where that is strict.
type org struct {
	mu             sync.Mutex
	host           string
	records        map[string][]object
	fields         map[string]map[string]object // definitions by entity and name
	hiddenEntities map[string]bool
	customised     []object // fields of Activity that were made but that nobody sees yet
	tokens         int
	live           string // the token that is good
	clock          time.Time
	last           int
	hide           bool // the search index does not show what is made from now on
	unseen         map[string]bool
	refuse         string // a field that is refused whatever it holds
	refuseCode     string
	noUnique       bool // no unique fields can be made on Activity
	noSetup        bool // the user may not customise the application
	used, limit    int
	over           int // requests beyond the limit
	duplicates     string
	locked         int // so many composite requests meet a locked row
	jwt            func(assertion string) bool
}

func newOrg() *org {
	g := &org{
		records: map[string][]object{}, fields: map[string]map[string]object{}, hiddenEntities: map[string]bool{}, unseen: map[string]bool{},
		clock: time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC), limit: 100_000,
	}
	define := func(entity, kind string, length int, names ...string) {
		if g.fields[entity] == nil {
			g.fields[entity] = map[string]object{}
		}
		for _, n := range names {
			g.fields[entity][n] = object{"name": n, "type": kind, "length": length, "createable": true, "updateable": true}
		}
	}
	for _, e := range []string{"Lead", "Contact", "Task", "User", "ContentNote", "ContentDocumentLink", "PermissionSet", "FieldPermissions", "PermissionSetAssignment"} {
		define(e, "id", 18, "Id")
		define(e, "datetime", 0, "CreatedDate", "LastModifiedDate")
	}
	for _, e := range []string{"Lead", "Contact"} {
		define(e, "string", 40, "FirstName")
		define(e, "string", 80, "LastName")
		define(e, "string", 121, "Name")
		define(e, "phone", 40, "Phone", "MobilePhone")
		define(e, "boolean", 0, "DoNotCall")
		define(e, "reference", 18, "OwnerId")
	}
	define("Lead", "string", 255, "Company")
	define("Lead", "boolean", 0, "IsConverted")
	define("Lead", "reference", 18, "ConvertedContactId")
	define("Contact", "phone", 40, "HomePhone", "OtherPhone")
	define("Task", "string", 255, "Subject", "CallDisposition", "CallObject")
	define("Task", "textarea", 32000, "Description")
	define("Task", "date", 0, "ActivityDate")
	define("Task", "int", 0, "CallDurationInSeconds")
	define("Task", "reference", 18, "WhoId", "OwnerId")
	define("Task", "boolean", 0, "IsReminderSet")
	define("Task", "datetime", 0, "ReminderDateTime", "VInfer_Started_At__c")
	define("Task", "string", 120, "VInfer_Key__c")
	define("Task", "string", 60, "Mood__c")
	maps.Copy(g.fields["Task"]["VInfer_Key__c"], object{"externalId": true, "unique": true, "caseSensitive": true})
	g.fields["Task"]["Description"]["filterable"] = false
	define("User", "string", 80, "Username", "Name")
	define("User", "boolean", 0, "IsActive")
	define("ContentNote", "string", 255, "Title")
	define("ContentNote", "base64", 0, "Content")
	define("ContentDocumentLink", "reference", 18, "ContentDocumentId", "LinkedEntityId")
	define("ContentDocumentLink", "string", 1, "ShareType")
	define("PermissionSet", "string", 80, "Name", "Label", "Description")
	define("FieldPermissions", "string", 120, "ParentId", "SobjectType", "Field")
	define("FieldPermissions", "boolean", 0, "PermissionsRead", "PermissionsEdit")
	define("PermissionSetAssignment", "reference", 18, "AssigneeId", "PermissionSetId")
	for name, options := range map[string]string{
		"Lead.Status": "Open - Not Contacted,Working - Contacted,Closed - Converted,Closed - Not Converted,Hot Lead,Cold,New status,Old status,Old again",
		"Task.Status": "Not Started,In Progress,Completed,Deferred", "Task.Priority": "High,Normal,Low", "Task.TaskSubtype": "Task,Email,Call",
		"Task.CallType": "Inbound,Internal,Outbound",
	} {
		entity, field, _ := strings.Cut(name, ".")
		define(entity, "picklist", 255, field)
		values := []any{}
		for v := range strings.SplitSeq(options, ",") {
			values = append(values, object{"value": v, "label": v, "active": true})
		}
		maps.Copy(g.fields[entity][field], object{"picklistValues": values, "restrictedPicklist": true})
	}
	g.fields["Task"]["TaskSubtype"]["updateable"] = false
	g.records["User"] = []object{
		{"Id": apiUser, "Username": "vinfer@example.com", "Name": "VInfer", "IsActive": true},
		{"Id": human, "Username": "asha@example.com", "Name": "Asha Rao", "IsActive": true},
	}
	return g
}

// refusal is an answer that is no 2xx.
type refusal struct {
	status        int
	code, message string
	fields        []string
	more          object
}

func (r *refusal) body() any {
	o := object{"errorCode": r.code, "message": r.message, "fields": append([]string{}, r.fields...)}
	maps.Copy(o, r.more)
	return []object{o}
}

func (g *org) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.host = "http://" + r.Host
	if r.URL.Path == "/services/oauth2/token" {
		g.token(rw, r)
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+g.live || g.live == "" {
		answer(rw, 401, (&refusal{401, "INVALID_SESSION_ID", "Session expired or invalid", nil, nil}).body())
		return
	}
	if g.used >= g.limit {
		g.over++
		rw.Header().Set("Sforce-Limit-Info", fmt.Sprintf("api-usage=%d/%d", g.used, g.limit))
		answer(rw, 403, (&refusal{403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", nil, nil}).body())
		return
	}
	g.used++
	rw.Header().Set("Sforce-Limit-Info", fmt.Sprintf("api-usage=%d/%d", g.used, g.limit))
	path, ok := strings.CutPrefix(r.URL.Path, root)
	var body object
	if r.Method != http.MethodGet {
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
			answer(rw, 415, (&refusal{415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type", nil, nil}).body())
			return
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			answer(rw, 400, (&refusal{400, "JSON_PARSER_ERROR", err.Error(), nil, nil}).body())
			return
		}
	}
	if !ok {
		answer(rw, 404, (&refusal{404, "NOT_FOUND", "The requested resource does not exist", nil, nil}).body())
		return
	}
	status, out := g.do(r.Method, path, r.URL.RawQuery, body, r.Header.Get("Sforce-Duplicate-Rule-Header"))
	answer(rw, status, out)
}

func answer(rw http.ResponseWriter, status int, body any) {
	rw.Header().Set("Content-Type", "application/json;charset=UTF-8")
	rw.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(rw).Encode(body)
	}
}

func (g *org) token(rw http.ResponseWriter, r *http.Request) {
	err := r.ParseForm()
	fail := func(code, description string) {
		answer(rw, 400, object{"error": code, "error_description": description})
	}
	switch f := r.PostForm; {
	case err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded":
		fail("invalid_request", "must use HTTP POST")
		return
	case f.Get("grant_type") == "client_credentials":
		if f.Get("client_id") != clientID || f.Get("client_secret") != clientSecret {
			fail("invalid_client", "invalid client credentials")
			return
		}
	case f.Get("grant_type") == "urn:ietf:params:oauth:grant-type:jwt-bearer":
		if g.jwt == nil || !g.jwt(f.Get("assertion")) {
			fail("invalid_grant", "user hasn't approved this consumer")
			return
		}
	default:
		fail("unsupported_grant_type", "grant type not supported")
		return
	}
	g.tokens++
	g.live = fmt.Sprintf("00Dxx!token-number-%d", g.tokens)
	answer(rw, 200, object{"access_token": g.live, "instance_url": g.host, "id": g.host + "/id/00Dxx0000000001AAA/" + apiUser, "token_type": "Bearer", "issued_at": "1700000000000", "signature": "x="})
}

// do does one request, or a part of a composite one.
func (g *org) do(method, path, query string, body object, rule string) (int, any) {
	values, _ := url.ParseQuery(query)
	parts := strings.Split(strings.Trim(path, "/"), "/")
	fail := func(r *refusal) (int, any) { return r.status, r.body() }
	missing := &refusal{404, "NOT_FOUND", "The requested resource does not exist", nil, nil}
	switch {
	case method == "GET" && path == "/limits":
		return 200, object{"DailyApiRequests": object{"Max": g.limit, "Remaining": g.limit - g.used}}
	case method == "GET" && path == "/query":
		rows, fault := g.query(values.Get("q"))
		if fault != nil {
			return fail(fault)
		}
		return 200, object{"totalSize": len(rows), "done": true, "records": rows}
	case method == "GET" && path == "/tooling/query":
		rows := []object{}
		for _, f := range g.customised {
			if strings.Contains(values.Get("q"), "DeveloperName = '"+strings.TrimSuffix(text2(f["name"]), "__c")+"'") {
				rows = append(rows, object{"Id": "00N000000000001"})
			}
		}
		return 200, object{"totalSize": len(rows), "done": true, "records": rows}
	case method == "POST" && path == "/composite":
		return g.composite(body)
	case method == "POST" && path == "/parameterizedSearch":
		return g.search(body)
	case method == "POST" && path == "/tooling/sobjects/CustomField":
		return g.customise(body)
	case len(parts) < 2 || parts[0] != "sobjects" || g.fields[parts[1]] == nil || g.hiddenEntities[parts[1]]:
		return fail(missing)
	case method == "GET" && len(parts) == 3 && parts[2] == "describe":
		fields := []object{}
		for _, name := range slices.Sorted(maps.Keys(g.fields[parts[1]])) {
			fields = append(fields, g.fields[parts[1]][name])
		}
		return 200, object{"name": parts[1], "createable": true, "updateable": true, "fields": fields}
	case method == "POST" && len(parts) == 2:
		o, fault := g.insert(parts[1], body, rule)
		if fault != nil {
			return fail(fault)
		}
		return 201, object{"id": o["Id"], "success": true, "errors": []any{}}
	case method == "PATCH" && len(parts) == 3:
		if fault := g.update(parts[1], g.find(parts[1], parts[2]), body); fault != nil {
			return fail(fault)
		}
		return 204, nil
	case method == "PATCH" && len(parts) == 4:
		def := g.fields[parts[1]][parts[2]]
		if def == nil || def["externalId"] != true {
			return fail(&refusal{404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: " + parts[2], nil, nil})
		}
		if _, there := body[parts[2]]; there {
			return fail(&refusal{400, "INVALID_FIELD", "The " + parts[2] + " field should not be specified in the sobject data.", []string{parts[2]}, nil})
		}
		for _, o := range g.records[parts[1]] {
			if o[parts[2]] == parts[3] {
				if fault := g.update(parts[1], o, body); fault != nil {
					return fail(fault)
				}
				return 200, object{"id": o["Id"], "success": true, "errors": []any{}, "created": false}
			}
		}
		o, fault := g.insert(parts[1], with(body, parts[2], parts[3]), rule)
		if fault != nil {
			return fail(fault)
		}
		return 201, object{"id": o["Id"], "success": true, "errors": []any{}, "created": true}
	}
	return fail(missing)
}

func with(o object, name string, v any) object {
	o = maps.Clone(o)
	if o == nil {
		o = object{}
	}
	o[name] = v
	return o
}

func (g *org) composite(body object) (int, any) {
	parts, _ := body["compositeRequest"].([]any)
	if len(parts) == 0 || len(parts) > 25 {
		return 400, (&refusal{400, "INVALID_INPUT", "wrong number of subrequests", nil, nil}).body()
	}
	all, _ := body["allOrNone"].(bool)
	before := map[string][]object{}
	for e, rows := range g.records {
		before[e] = slices.Clone(rows)
	}
	refs, results, failed, queries := map[string]string{}, []object{}, false, 0
	for _, v := range parts {
		p, _ := v.(map[string]any)
		ref, method := text2(p["referenceId"]), text2(p["method"])
		u, err := url.Parse(text2(p["url"]))
		if err != nil || !strings.HasPrefix(u.Path, root+"/") || ref == "" || refs[ref] != "" {
			return 400, (&refusal{400, "INVALID_INPUT", "bad subrequest", nil, nil}).body()
		}
		if u.Path == root+"/query" {
			queries++
		}
		sub, _ := p["body"].(map[string]any)
		for name, v := range sub {
			for r, id := range refs {
				if v == "@{"+r+".id}" {
					sub[name] = id
				}
			}
		}
		headers, _ := p["httpHeaders"].(map[string]any)
		halted := &refusal{400, "PROCESSING_HALTED", "The transaction was rolled back since another operation in the same transaction failed.", nil, nil}
		status, out := halted.status, halted.body()
		if !failed || !all {
			status, out = g.do(method, strings.TrimPrefix(u.Path, root), u.RawQuery, sub, text2(headers["Sforce-Duplicate-Rule-Header"]))
		}
		if g.locked > 0 && method != "GET" && !failed {
			g.locked--
			status, out = 400, (&refusal{400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", nil, nil}).body()
		}
		refs[ref] = "none"
		if o, ok := out.(object); ok && o["id"] != nil {
			refs[ref] = text2(o["id"])
		}
		failed = failed || status/100 != 2
		results = append(results, object{"body": out, "httpHeaders": object{}, "httpStatusCode": status, "referenceId": ref})
	}
	if queries > 5 {
		return 400, (&refusal{400, "INVALID_INPUT", "more than 5 queries", nil, nil}).body()
	}
	if failed && all {
		g.records = before
		for _, r := range results {
			if r["httpStatusCode"].(int)/100 == 2 {
				r["httpStatusCode"] = 400
				r["body"] = (&refusal{400, "PROCESSING_HALTED", "The transaction was rolled back since another operation in the same transaction failed.", nil, nil}).body()
			}
		}
	}
	return 200, object{"compositeResponse": results}
}

// search asks the index, which lags.
func (g *org) search(body object) (int, any) {
	q := text2(body["q"])
	if body["in"] != "PHONE" || len(digitsOf(q)) < 2 || digitsOf(q) != q {
		return 400, (&refusal{400, "INVALID_SEARCH", "search term must be longer than one character", nil, nil}).body()
	}
	found := []object{}
	for _, s := range body["sobjects"].([]any) {
		entity := text2(s.(map[string]any)["name"])
		for _, o := range g.records[entity] {
			if g.unseen[text2(o["Id"])] {
				continue
			}
			for _, f := range []string{"Phone", "MobilePhone", "HomePhone", "OtherPhone"} {
				if strings.HasSuffix(digitsOf(text2(o[f])), q) {
					found = append(found, object{"attributes": object{"type": entity, "url": root + "/sobjects/" + entity + "/" + text2(o["Id"])}, "Id": o["Id"]})
					break
				}
			}
		}
	}
	return 200, object{"searchRecords": found}
}

func digitsOf(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

func decodeNote(v any) string {
	b, _ := base64.StdEncoding.DecodeString(text2(v))
	return strings.NewReplacer("\r", "", "\n", "").Replace(string(b))
}
