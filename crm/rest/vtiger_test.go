package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

// vtiger is an account of the cloud. It takes forms, with the record as JSON in one of their fields.
type vtiger struct{ shelf }

const keyField = "cf_events_vinferkey"

var vtModules = map[string]struct {
	prefix          string
	known, required []string
}{
	"Leads":       {"10x", []string{"lastname", "leadstatus", "cf_leads_dnc", "mobile", "phone", "assigned_user_id"}, []string{"lastname", "assigned_user_id"}},
	"Users":       {"19x", nil, nil},
	"Events":      {"18x", []string{"subject", "description", "date_start", "time_start", "due_date", "time_end", "activitytype", "eventstatus", "parent_id", "assigned_user_id", keyField}, []string{"subject", "date_start", "time_start", "due_date", "time_end", "assigned_user_id"}},
	"Calendar":    {"9x", []string{"subject", "description", "date_start", "time_start", "due_date", "taskstatus", "parent_id", "assigned_user_id"}, []string{"subject", "date_start", "due_date", "taskstatus", "assigned_user_id"}},
	"ModComments": {"31x", []string{"commentcontent", "related_to", "assigned_user_id"}, []string{"commentcontent", "related_to", "assigned_user_id"}},
}

func newVtiger() *vtiger {
	f := &vtiger{}
	f.ids = func(table string, n int) any { return vtModules[table].prefix + fmt.Sprint(n) }
	f.insert("Users", object{"email1": "asha@example.com"})
	return f
}

var (
	vtql   = regexp.MustCompile(`^select (\S+) from (\w+)(?: where (.*?))? limit \d+;$`)
	vtTerm = regexp.MustCompile(`^(\w+) ?(=|like) ?'([^']*)'$`)
)

func (f *vtiger) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ok := func(v any) { answer(rw, http.StatusOK, object{"success": true, "result": v}) }
	fail := func(status int, code, text string) {
		answer(rw, status, object{"success": false, "error": object{"code": code, "message": text}})
	}
	if user, key, _ := r.BasicAuth(); user != "vinfer" || key != secretOf("access_key") {
		fail(http.StatusUnauthorized, "INVALID_USER_CREDENTIALS", "Invalid username or password")
		return
	}
	table, held := "", object(nil)
	find := func(id string) {
		for name, m := range vtModules {
			if strings.HasPrefix(id, m.prefix) {
				table, held = name, f.get(name, id)
			}
		}
	}
	var element object
	if r.Method == http.MethodPost {
		if err := json.Unmarshal([]byte(r.FormValue("element")), &element); err != nil {
			fail(http.StatusBadRequest, "MANDATORY_FIELDS_MISSING", "element")
			return
		}
	}
	switch operation := strings.TrimPrefix(r.URL.Path, "/restapi/v1/vtiger/default/"); operation {
	case "me":
		ok(object{"id": "19x1", "email": "vinfer@example.com"})
	case "retrieve":
		if find(r.URL.Query().Get("id")); held == nil {
			fail(http.StatusBadRequest, "RECORD_NOT_FOUND", "Record you are trying to access is not found")
			return
		}
		ok(f.shown(held))
	case "query":
		m := vtql.FindStringSubmatch(r.URL.Query().Get("query"))
		if m == nil || vtModules[m[2]].prefix == "" {
			fail(http.StatusBadRequest, "QUERY_SYNTAX_ERROR", "Syntax error")
			return
		}
		if m[1] != "*" && !slices.Contains(vtModules[m[2]].known, m[1]) {
			fail(http.StatusBadRequest, "ACCESS_DENIED", "Permission to access "+m[1]+" is denied")
			return
		}
		found := []object{}
		for _, o := range f.where(m[2], func(o object) bool {
			for part := range strings.SplitSeq(m[3], " or ") {
				t := vtTerm.FindStringSubmatch(part)
				if t != nil && o[t[1]] != nil && (t[2] == "=" && str(o[t[1]]) == t[3] || t[2] == "like" && like(t[3], str(o[t[1]]))) {
					return true
				}
			}
			return m[3] == ""
		}) {
			found = append(found, f.shown(o))
		}
		ok(found)
	case "create", "revise":
		table = r.FormValue("elementType")
		if operation == "revise" {
			find(str(element["id"]))
			delete(element, "id")
			if held == nil {
				fail(http.StatusBadRequest, "RECORD_NOT_FOUND", "Record you are trying to access is not found")
				return
			}
		}
		m := vtModules[table]
		if bad := unknown(element, m.known...); len(bad) > 0 {
			fail(http.StatusBadRequest, "INVALID_FIELD", fmt.Sprint(bad))
			return
		}
		if operation == "revise" {
			f.change(held, element)
			ok(f.shown(held))
			return
		}
		for _, name := range m.required {
			if element[name] == nil {
				fail(http.StatusBadRequest, "MANDATORY_FIELDS_MISSING", name)
				return
			}
		}
		ok(f.shown(f.insert(table, element)))
	default:
		fail(http.StatusNotFound, "UNKNOWN_OPERATION", operation)
	}
}

func (*vtiger) shown(o object) object {
	out := shown(o)
	made, _ := o["#made"].(time.Time)
	changed, _ := o["#changed"].(time.Time)
	out["createdtime"], out["modifiedtime"] = made.Format(time.DateTime), changed.Format(time.DateTime)
	return out
}

func (f *vtiger) state() (s crmtest.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.tables["Leads"] {
		s.Contacts = append(s.Contacts, crmtest.Contact{ID: str(o["id"]), Phone: str(o["mobile"]), Name: str(o["lastname"]), Status: str(o["leadstatus"]), DoNotCall: o["cf_leads_dnc"] == "1"})
	}
	for _, o := range f.tables["Events"] {
		said := str(o["description"])
		c := crmtest.Call{ID: callOf(said), Contact: str(o["parent_id"])}
		c.Disposition, c.Summary, c.Rest = crmtest.ReadBody(said, c.ID)
		c.Rest += fmt.Sprint(o["subject"], o["date_start"], o["time_start"], o["time_end"])
		s.Calls = append(s.Calls, c)
	}
	for _, o := range f.tables["Calendar"] {
		s.Tasks = append(s.Tasks, crmtest.Task{Call: str(o["description"]), Title: str(o["subject"])})
	}
	for _, o := range f.tables["ModComments"] {
		said := str(o["commentcontent"])
		if n, ok := crmtest.ReadNote(said[:strings.LastIndex(said, "\n")]); ok {
			s.Notes = append(s.Notes, n)
		}
	}
	return s
}

func (f *vtiger) destination(d *crmtest.Destination) {
	f.users(d, "Leads", map[string]string{"contact": "Leads", "activity": "Events", "task": "Calendar"}, func(c crmtest.Contact) object {
		return object{"phone": c.Phone, "lastname": c.Name, "leadstatus": c.Status}
	}, func(o object, status string) { o["leadstatus"] = status })
	d.Meanwhile.Reassign = func(_ *testing.T, id string) { f.get("Leads", id)["assigned_user_id"] = "19x99" }
	d.Meanwhile.Owner = func(_ *testing.T, id string) string { return str(f.get("Leads", id)["assigned_user_id"]) }
}
