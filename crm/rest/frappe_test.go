package rest_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

// doctype is a kind of record of a Frappe site. Fields that it does not have are dropped without a word.
type doctype struct {
	fields, required []string
	named            bool // by the field id
	choices          map[string][]string
}

// frappe is a site with the doctypes of Frappe CRM and of ERPNext.
type frappe struct {
	shelf
	types                   map[string]doctype
	leads, calls, tasks     string
	notes, said, task, note string // names of their fields
}

var lostStatuses = []string{"Junk", "Unqualified"}

func newFrappe() *frappe {
	f := &frappe{leads: "CRM Lead", calls: "CRM Call Log", tasks: "CRM Task", notes: "FCRM Note", said: "vinfer_text", task: "title", note: "title"}
	f.types = map[string]doctype{
		"CRM Lead": {fields: []string{"first_name", "status", "lost_reason", "lost_notes", "vinfer_do_not_call", "mobile_no", "phone", "lead_owner"}, required: []string{"first_name"}},
		"CRM Call Log": {
			fields:   []string{"id", "status", "start_time", "end_time", "duration", "vinfer_text", "telephony_medium", "medium", "type", "from", "to", "reference_doctype", "reference_docname"},
			required: []string{"id", "type", "status", "from", "to"}, named: true,
			choices: map[string][]string{"type": {"Incoming", "Outgoing"}, "status": {"Completed", "No Answer"}, "telephony_medium": {"", "Manual", "Twilio", "Exotel"}},
		},
		"CRM Task":  {fields: []string{"title", "due_date", "status", "assigned_to", "reference_doctype", "reference_docname"}, required: []string{"title"}},
		"FCRM Note": {fields: []string{"title", "content", "reference_doctype", "reference_docname"}, required: []string{"title"}},
	}
	return f.fill()
}

func newERPNext() *frappe {
	f := &frappe{leads: "Lead", calls: "Call Log", tasks: "ToDo", notes: "Communication", said: "summary", task: "description", note: "subject"}
	f.types = map[string]doctype{
		"Lead": {fields: []string{"first_name", "status", "vinfer_do_not_call", "mobile_no", "phone", "lead_owner"}, required: []string{"first_name"}},
		"Call Log": {
			fields: []string{"id", "status", "start_time", "end_time", "duration", "summary", "medium", "type", "from", "to", "links"}, named: true,
			choices: map[string][]string{"type": {"Outgoing"}, "status": {"Completed", "No Answer"}},
		},
		"ToDo": {fields: []string{"description", "date", "status", "allocated_to", "reference_type", "reference_name"}, required: []string{"description"}},
		"Communication": {
			fields: []string{"subject", "content", "communication_type", "communication_medium", "sent_or_received", "reference_doctype", "reference_name"}, required: []string{"subject"},
		},
	}
	return f.fill()
}

func (f *frappe) fill() *frappe {
	f.types["User"] = doctype{}
	f.ids = func(table string, n int) any { return fmt.Sprintf("%s-2026-%05d", strings.ToUpper(table), n) }
	f.insert("User", object{"id": "asha@example.com"})
	return f
}

func (f *frappe) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fail := func(status int, kind, text string) {
		answer(rw, status, object{"exc_type": kind, "exception": "frappe.exceptions." + kind + ": " + text})
	}
	if r.Header.Get("Authorization") != "token vinfer:"+secretOf("secret") {
		fail(http.StatusUnauthorized, "AuthenticationError", "wrong key")
		return
	}
	if r.URL.Path == "/api/method/frappe.auth.get_logged_user" {
		answer(rw, http.StatusOK, object{"message": "vinfer@example.com"})
		return
	}
	part := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/api/resource/"), "/")
	for i := range part {
		part[i], _ = url.PathUnescape(part[i])
	}
	kind, ok := f.types[part[0]]
	if !ok {
		fail(http.StatusNotFound, "DoesNotExistError", "DocType "+part[0])
		return
	}
	if r.Method == http.MethodGet && len(part) == 1 {
		f.list(rw, r, part[0], kind, fail)
		return
	}
	var body object
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			fail(http.StatusInternalServerError, "JSONDecodeError", err.Error())
			return
		}
		for name := range body {
			if !slices.Contains(kind.fields, name) {
				delete(body, name)
			}
		}
		for name, choices := range kind.choices {
			if v, sent := body[name]; sent && !slices.Contains(choices, str(v)) {
				fail(http.StatusExpectationFailed, "ValidationError", fmt.Sprintf("%s cannot be %v", name, v))
				return
			}
		}
		for _, name := range []string{"start_time", "end_time", "due_date"} {
			if v, sent := body[name]; sent {
				if _, err := time.Parse("2006-01-02 15:04:05", str(v)); err != nil {
					fail(http.StatusExpectationFailed, "ValidationError", err.Error())
					return
				}
			}
		}
		if part[0] == "CRM Lead" && slices.Contains(lostStatuses, str(body["status"])) && body["lost_reason"] == nil {
			fail(http.StatusExpectationFailed, "MandatoryError", "lost_reason")
			return
		}
	}
	if len(part) == 1 {
		for _, name := range kind.required {
			if str(body[name]) == "" {
				fail(http.StatusExpectationFailed, "MandatoryError", name)
				return
			}
		}
		if kind.named {
			if f.get(part[0], body["id"]) != nil {
				fail(http.StatusConflict, "DuplicateEntryError", str(body["id"]))
				return
			}
		} else {
			delete(body, "id")
		}
		answer(rw, http.StatusOK, object{"data": f.doc(f.insert(part[0], body))})
		return
	}
	held := f.get(part[0], part[1])
	if held == nil {
		fail(http.StatusNotFound, "DoesNotExistError", part[1])
		return
	}
	if body != nil {
		f.change(held, body)
	}
	answer(rw, http.StatusOK, object{"data": f.doc(held)})
}

// doc returns a record as the site shows it.
func (f *frappe) doc(o object) object {
	out := shown(o)
	made, _ := o["#made"].(time.Time)
	changed, _ := o["#changed"].(time.Time)
	out["name"], out["creation"], out["modified"] = o["id"], made.Format("2006-01-02 15:04:05.000000"), changed.Format("2006-01-02 15:04:05.000000")
	if o["first_name"] != nil {
		out["lead_name"] = o["first_name"]
	}
	return out
}

func (f *frappe) list(rw http.ResponseWriter, r *http.Request, table string, kind doctype, fail func(int, string, string)) {
	fits := func(o object, name string, some bool) bool {
		text := r.URL.Query().Get(name)
		if text == "" {
			return true
		}
		var filters [][]string
		if err := json.Unmarshal([]byte(text), &filters); err != nil {
			return false
		}
		n := 0
		for _, x := range filters {
			if x[1] == "like" && like(x[2], str(o[x[0]])) && o[x[0]] != nil || x[1] == "=" && str(o[x[0]]) == x[2] {
				n++
			}
		}
		return n == len(filters) || some && n > 0
	}
	fields := []string{"name"}
	_ = json.Unmarshal([]byte(r.URL.Query().Get("fields")), &fields)
	for _, name := range fields {
		if name != "name" && !slices.Contains(kind.fields, name) {
			fail(http.StatusExpectationFailed, "DataError", "Field not permitted in query: "+name)
			return
		}
	}
	found := []object{}
	for _, o := range f.where(table, func(o object) bool { return fits(o, "filters", false) && fits(o, "or_filters", true) }) {
		doc, row := f.doc(o), object{}
		for _, name := range fields {
			row[name] = doc[name]
		}
		found = append(found, row)
	}
	answer(rw, http.StatusOK, object{"data": found})
}

func (f *frappe) state() (s crmtest.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.tables[f.leads] {
		s.Contacts = append(s.Contacts, crmtest.Contact{ID: str(o["id"]), Phone: str(o["mobile_no"]), Name: str(o["first_name"]), Status: str(o["status"]), DoNotCall: str(o["vinfer_do_not_call"]) == "1"})
	}
	for _, o := range f.tables[f.calls] {
		c := crmtest.Call{ID: callOf(str(o[f.said])), Contact: str(o["reference_docname"])}
		if links, ok := o["links"].([]any); ok {
			c.Contact = str(links[0].(object)["link_name"])
		}
		c.Disposition, c.Summary, c.Rest = crmtest.ReadBody(str(o[f.said]), c.ID)
		c.Rest += fmt.Sprint(o["status"], o["start_time"], o["end_time"], o["duration"], o["type"])
		s.Calls = append(s.Calls, c)
	}
	for _, o := range f.tables[f.tasks] {
		title, key, _ := strings.Cut(str(o[f.task]), " [")
		s.Tasks = append(s.Tasks, crmtest.Task{Call: key, Title: title})
	}
	for _, o := range f.tables[f.notes] {
		if n, ok := crmtest.ReadNote(html.UnescapeString(strings.ReplaceAll(str(o["content"]), "<br>", "\n"))); ok {
			s.Notes = append(s.Notes, n)
		}
	}
	return s
}

func (f *frappe) destination(d *crmtest.Destination) {
	f.users(d, f.leads, map[string]string{"contact": f.leads, "activity": f.calls, "task": f.tasks}, func(c crmtest.Contact) object {
		return object{"phone": c.Phone, "first_name": c.Name, "status": c.Status}
	}, func(o object, status string) { o["status"] = status })
	d.Meanwhile.Reassign = func(_ *testing.T, id string) { f.get(f.leads, id)["lead_owner"] = "another@example.com" }
	d.Meanwhile.Owner = func(_ *testing.T, id string) string { return str(f.get(f.leads, id)["lead_owner"]) }
}

func TestFrappeLostNeedsAReason(t *testing.T) {
	f := newFrappe()
	w := open(t, "frappe", crmtest.NewServer(t, f).URL, nil)
	refs := deliver(t, w, crmtest.Completed(1), nil).Refs
	deliver(t, w, crmtest.Revised(crmtest.Completed(1), "not_interested", "Junk"), refs)
	if lead := f.tables["CRM Lead"][0]; lead["status"] != "Junk" || lead["lost_reason"] != "Other" || lead["lost_notes"] != "said by phone" {
		t.Errorf("%v", lead)
	}
}

// A lead that became a deal is not made again.
func TestFrappeConvertedLead(t *testing.T) {
	f := newFrappe()
	w := open(t, "frappe", crmtest.NewServer(t, f).URL, nil)
	deliver(t, w, crmtest.Completed(1), nil)
	f.tables["CRM Lead"][0]["converted"] = 1
	f.tables["CRM Lead"][0]["status"] = "Converted"
	again := crmtest.Completed(2)
	again.Call.Contact = crmtest.Completed(1).Call.Contact
	deliver(t, w, again, nil)
	if got := f.state(); len(got.Contacts) != 1 || len(got.Calls) != 2 || got.Contacts[0].Status != "Converted" {
		t.Errorf("%+v", got)
	}
}

func TestFrappeWithoutItsField(t *testing.T) {
	f := newFrappe()
	logs := f.types["CRM Call Log"]
	logs.fields = slices.DeleteFunc(slices.Clone(logs.fields), func(s string) bool { return s == "vinfer_text" })
	f.types["CRM Call Log"] = logs
	w := open(t, "frappe", crmtest.NewServer(t, f).URL, nil)
	found := w.Check(t.Context(), nil)
	if last := found[len(found)-1]; last.Err == nil || !strings.Contains(last.Detail, "vinfer_text") {
		t.Errorf("%+v", found)
	}
	var _ crm.Checker = w
}
