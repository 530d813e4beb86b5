package freshsales_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const key = "fr3shsales-key-0123456789"

type row = map[string]any

// fake is a Freshsales account as documented and as integrations have seen it: contacts twice nested in a lookup, thin in a search, mobile numbers unique,
// statuses by id that belong to a lifecycle stage, notes as HTML.
type fake struct {
	mu       sync.Mutex
	records  map[string][]row // by path, as created
	statuses []row
	fields   map[string]bool // custom fields of sales activities
	last     int
	clock    time.Time
	hidden   bool // the status field is gone
	lag      bool
	late     map[string]bool // contacts that a search does not show
	refuse   string          // a custom field whose value it refuses
	narrow   bool            // filtered_search is not allowed
	fickle   bool            // it refuses each status for no reason
	required string          // a field that a new contact needs
}

func newFake() *fake {
	f := &fake{
		records: map[string][]row{}, fields: map[string]bool{"cf_vinfer_call_id": true, "cf_language": true}, late: map[string]bool{}, last: 17_000_000_000,
		clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	for i, name := range []string{"Hot Lead", "Cold", "Callback", "In Process", "New", "Dead", "New status", "Old status", "Old again", "First", "Second", "Third", "Ahead", "Next"} {
		f.statuses = append(f.statuses, row{"id": 500 + i, "name": name, "lifecycle_stage_id": 70 + i%2})
	}
	return f
}

var one = map[string]string{"contacts": "contact", "sales_activities": "sales_activity", "tasks": "task", "notes": "note"}

func (f *fake) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Header.Get("Authorization") != "Token token="+key {
		answer(rw, 401, row{"login": "failed", "message": "Invalid credentials"})
		return
	}
	var body map[string]row
	if r.Method != http.MethodGet {
		_ = json.NewDecoder(r.Body).Decode(&body)
	}
	path, isAPI := strings.CutPrefix(r.URL.Path, "/crm/sales/api/")
	if !isAPI {
		path = strings.TrimPrefix(r.URL.Path, "/crm/sales/")
	}
	parts := strings.Split(path, "/")
	q := r.URL.Query()
	switch {
	case path == "filtered_search/contact" && r.Method == http.MethodPost:
		http.Error(rw, "unreachable", http.StatusInternalServerError)
	case parts[0] == "selector" && len(parts) == 2:
		f.selector(rw, parts[1])
	case path == "settings/contacts/fields":
		answer(rw, 200, row{"fields": []row{{"name": "last_name", "required": true}, {"name": "lead_source_id", "required": f.required != ""}}})
	case path == "settings/sales_activities/fields":
		list := []row{{"name": "title", "required": true}}
		for name := range f.fields {
			list = append(list, row{"name": name, "required": false})
		}
		answer(rw, 200, row{"fields": list})
	case path == "lookup":
		var found []row
		for _, c := range f.records["contacts"] {
			if c[q.Get("f")] == q.Get("q") && !f.late[fmt.Sprint(c["id"])] {
				found = append(found, f.thin(c))
			}
		}
		answer(rw, 200, row{"contacts": row{"contacts": found}})
	case len(parts) == 1 && one[path] != "" && r.Method == http.MethodPost:
		f.create(rw, path, body[one[path]])
	case path == "sales_activities":
		all := slices.Clone(f.records[path])
		slices.Reverse(all)
		page, _ := strconv.Atoi(q.Get("page"))
		from := min((page-1)*100, len(all))
		answer(rw, 200, row{path: all[from:min(from+100, len(all))]})
	case len(parts) == 2 && one[parts[0]] != "":
		f.whole(rw, r.Method, parts[0], parts[1], body[one[parts[0]]])
	case len(parts) == 3 && parts[0] == "contacts" && f.find("contacts", parts[1]) != nil && isAPI == (parts[2] != "tasks"):
		f.below(rw, parts[1], parts[2])
	default:
		answer(rw, 404, row{"errors": row{"code": 404, "message": []string{"Not found: " + r.URL.Path}}})
	}
}

// filtered answers a filtered_search, whose body is no map of objects.
func (f *fake) filtered(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var body struct {
		Rules []struct {
			Attribute, Operator string
			Value               []string
		} `json:"filter_rule"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Rules) != 1 || body.Rules[0].Operator != "is_in" {
		answer(rw, 400, row{"errors": row{"code": 400, "message": []string{"Invalid filter"}}})
		return
	}
	if f.narrow {
		answer(rw, 403, row{"errors": row{"code": 403, "message": "You are not authorized to perform this action."}})
		return
	}
	found := []row{}
	for _, c := range f.records["contacts"] {
		if s, _ := c[body.Rules[0].Attribute].(string); slices.Contains(body.Rules[0].Value, s) && !f.late[fmt.Sprint(c["id"])] {
			found = append(found, f.thin(c))
		}
	}
	answer(rw, 200, row{"contacts": found, "meta": row{"total": len(found)}})
}

// thin is what a search shows of a contact.
func (f *fake) thin(c row) row {
	return row{"id": c["id"], "first_name": c["first_name"], "last_name": c["last_name"], "mobile_number": c["mobile_number"]}
}

func (f *fake) selector(rw http.ResponseWriter, name string) {
	switch name {
	case "owners":
		answer(rw, 200, row{"users": []row{
			{"id": 9001, "display_name": "Left", "email": "left@example.com", "is_active": false},
			{"id": 9002, "display_name": "Asha", "email": "asha@example.com", "is_active": true},
			{"id": 9003, "display_name": "Ravi", "email": "ravi@example.com", "is_active": true},
		}})
	case "contact_statuses":
		all := f.statuses
		if f.hidden {
			all = []row{}
		}
		answer(rw, 200, row{name: all})
	case "sales_activity_types":
		answer(rw, 200, row{name: []row{{"id": 301, "name": "Meeting", "internal_name": "appointment"}, {"id": 302, "name": "Phone", "internal_name": "phone"}}})
	default:
		answer(rw, 404, row{})
	}
}

func answer(rw http.ResponseWriter, status int, v any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(v)
}

func refuse(rw http.ResponseWriter, message string) {
	answer(rw, 400, row{"errors": row{"code": 400, "message": []string{message}}})
}

func (f *fake) find(path, id string) row {
	for _, o := range f.records[path] {
		if fmt.Sprint(o["id"]) == id {
			return o
		}
	}
	return nil
}

// invalid returns why fields are refused; empty: they are not.
func (f *fake) invalid(path string, o row) string {
	if path == "contacts" {
		if v := o["contact_status_id"]; v != nil && (f.fickle || f.hidden || !slices.ContainsFunc(f.statuses, func(s row) bool { return fmt.Sprint(s["id"]) == fmt.Sprint(v) })) {
			return "Invalid contact status provided."
		}
		return ""
	}
	own, _ := o["custom_field"].(map[string]any)
	for name := range own {
		if !f.fields[name] {
			return "the field " + name + " does not exist"
		}
		if name == f.refuse {
			return "the value of " + name + " is not valid"
		}
	}
	if id := o["targetable_id"]; id != nil && f.find("contacts", asID(id)) == nil {
		return "Targetable is invalid"
	}
	return ""
}

func asID(v any) string {
	if n, ok := v.(float64); ok {
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
	return fmt.Sprint(v)
}

func (f *fake) create(rw http.ResponseWriter, path string, o row) {
	message := f.invalid(path, o)
	switch {
	case path == "contacts" && o["mobile_number"] != nil && slices.ContainsFunc(f.records[path], func(c row) bool { return c["mobile_number"] == o["mobile_number"] }):
		message = "Mobile number is not unique"
	case path == "contacts" && f.required != "" && o[f.required] == nil:
		message = "Source can't be empty"
	case path == "sales_activities" && (o["owner_id"] == nil || o["title"] == nil || o["start_date"] == nil || o["end_date"] == nil):
		message = "Owner can't be empty"
	}
	if message != "" {
		refuse(rw, message)
		return
	}
	made := f.insert(path, o)
	if path == "contacts" && f.lag {
		f.late[fmt.Sprint(made["id"])] = true
	}
	answer(rw, 201, row{one[path]: made})
}

func (f *fake) insert(path string, o row) row {
	f.last++
	made := row{"id": f.last, "created_at": f.now(), "updated_at": f.clock.Format(time.RFC3339), "custom_field": row{}}
	if path == "tasks" {
		made["status"] = 0
	}
	f.records[path] = append(f.records[path], made)
	f.set(made, o)
	return made
}

func (f *fake) now() string {
	f.clock = f.clock.Add(time.Second)
	return f.clock.Format(time.RFC3339)
}

func (f *fake) set(held, o row) {
	for name, v := range o {
		if own, ok := v.(map[string]any); ok && name == "custom_field" {
			maps.Copy(held["custom_field"].(row), own)
			continue
		}
		if s, ok := v.(string); ok {
			v = strings.ReplaceAll(s, "\x00", "")
		}
		if strings.HasSuffix(name, "_id") {
			v = asID(v)
			if n, err := strconv.Atoi(v.(string)); err == nil {
				v = n
			}
		}
		held[name] = v
	}
	held["updated_at"] = f.now()
}

// whole reads or updates one record.
func (f *fake) whole(rw http.ResponseWriter, method, path, id string, o row) {
	held := f.find(path, id)
	switch {
	case held == nil:
		answer(rw, 404, row{"errors": row{"code": 404, "message": []string{"Record not found"}}})
		return
	case method == http.MethodPut:
		if message := f.invalid(path, o); message != "" {
			refuse(rw, message)
			return
		}
		f.set(held, o)
	}
	answer(rw, 200, row{one[path]: held})
}

// below lists what hangs on a contact.
func (f *fake) below(rw http.ResponseWriter, contact, what string) {
	path := map[string]string{"activities": "sales_activities", "notes": "notes", "tasks": "tasks"}[what]
	found := []row{}
	for _, o := range f.records[path] {
		if fmt.Sprint(o["targetable_id"]) == contact {
			found = append(found, o)
		}
	}
	answer(rw, 200, row{what: found})
}

// status returns the name of a contact's status.
func (f *fake) status(c row) string {
	for _, s := range f.statuses {
		if fmt.Sprint(s["id"]) == fmt.Sprint(c["contact_status_id"]) {
			return s["name"].(string)
		}
	}
	return ""
}

func (f *fake) give(c row, status string) {
	for _, s := range f.statuses {
		if s["name"] == status {
			c["contact_status_id"] = s["id"]
		}
	}
}

func (f *fake) must(t *testing.T, path, id string) row {
	t.Helper()
	o := f.find(path, id)
	if o == nil {
		t.Fatalf("there is no %s %s", path, id)
	}
	return o
}

func (f *fake) remove(path, id string) {
	f.records[path] = slices.DeleteFunc(f.records[path], func(o row) bool { return fmt.Sprint(o["id"]) == id })
}

// state returns what an administrator sees.
func (f *fake) state() (s crmtest.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.records["contacts"] {
		s.Contacts = append(s.Contacts, crmtest.Contact{
			ID: fmt.Sprint(c["id"]), Phone: asText(c["mobile_number"]), Name: strings.TrimSpace(asText(c["first_name"]) + " " + asText(c["last_name"])), Status: f.status(c),
			DoNotCall: c["custom_field"].(row)["cf_do_not_call"] == true,
		})
	}
	for _, o := range f.records["sales_activities"] {
		c := crmtest.Call{ID: asText(o["custom_field"].(row)["cf_vinfer_call_id"]), Contact: fmt.Sprint(o["targetable_id"])}
		var rest string
		c.Disposition, c.Summary, rest = crmtest.ReadBody(asText(o["notes"]), c.ID)
		c.Rest = fmt.Sprint(o["title"], o["start_date"], o["end_date"], o["owner_id"], o["custom_field"], rest)
		s.Calls = append(s.Calls, c)
	}
	for _, o := range f.records["notes"] {
		if n, ok := crmtest.ReadNote(text.Plain(asText(o["description"]))); ok {
			s.Notes = append(s.Notes, n)
		}
	}
	for _, o := range f.records["tasks"] {
		s.Tasks = append(s.Tasks, crmtest.Task{Call: strings.TrimPrefix(asText(o["description"]), "VInfer call: "), Title: asText(o["title"])})
	}
	return s
}

func asText(v any) string {
	s, _ := v.(string)
	return s
}

// add adds a contact with a status.
func (f *fake) add(t *testing.T, status, phone string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.give(f.insert("contacts", row{"last_name": "Known", "mobile_number": phone}), status)
}
