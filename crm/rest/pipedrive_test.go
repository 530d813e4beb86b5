package rest_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/rest"
)

const statusField, wishField = "0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef"

// pipedrive is strict about types, as the second version of the API is.
type pipedrive struct {
	shelf
	lag    bool
	hidden int // persons made since the lag began
}

func newPipedrive() *pipedrive {
	f := &pipedrive{}
	f.insert("users", object{"email": "asha@example.com"})
	return f
}

func (f *pipedrive) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ok := func(data any) { answer(rw, http.StatusOK, object{"success": true, "data": data}) }
	fail := func(status int, text string) {
		answer(rw, status, object{"success": false, "error": text, "code": "ERR_BAD_REQUEST"})
	}
	if r.Header.Get("X-Api-Token") != secretOf("token") {
		fail(http.StatusUnauthorized, "unauthorized access")
		return
	}
	q, route := r.URL.Query(), strings.Split(strings.TrimPrefix(r.URL.Path, "/api/"), "/")
	var body object
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			fail(http.StatusBadRequest, err.Error())
			return
		}
	}
	table := route[1]
	switch {
	case table == "users" && route[2] == "me":
		ok(object{"company_name": "Example Loans"})
	case table == "users":
		ok(f.where("users", func(o object) bool { return o["email"] == q.Get("term") }))
	case table == "persons" && len(route) == 3 && route[2] == "search":
		found := []object{}
		for i, o := range f.tables["persons"] {
			for _, p := range o["phones"].([]any) {
				if strings.Contains(str(p.(object)["value"]), q.Get("term")) && i < len(f.tables["persons"])-f.hidden {
					found = append(found, object{"result_score": 0.5, "item": object{"id": o["id"], "type": "person", "name": o["name"], "phones": []string{str(p.(object)["value"])}}})
				}
			}
		}
		ok(object{"items": found})
	case r.Method == http.MethodPost:
		if bad := f.refused(table, body, true); bad != "" {
			fail(http.StatusBadRequest, bad)
			return
		}
		if f.lag && table == "persons" {
			f.hidden++
		}
		ok(f.shown(f.insert(table, body)))
	case len(route) == 3:
		held := f.get(table, route[2])
		if held == nil {
			fail(http.StatusNotFound, table+" not found")
			return
		}
		if bad := f.refused(table, body, false); bad != "" {
			fail(http.StatusBadRequest, bad)
			return
		}
		if custom, sent := body["custom_fields"].(object); sent {
			for k, v := range held["custom_fields"].(object) {
				if _, sent := custom[k]; !sent {
					custom[k] = v
				}
			}
		}
		if body != nil {
			f.change(held, body)
		}
		ok(f.shown(held))
	default:
		found := []object{}
		for _, o := range f.where(table, func(o object) bool { return personOf(o) == q.Get("person_id") }) {
			found = append([]object{f.shown(o)}, found...)
		}
		ok(found)
	}
}

// personOf returns whose an activity or a note is.
func personOf(o object) string {
	if all, ok := o["participants"].([]any); ok {
		return str(all[0].(object)["person_id"])
	}
	return str(o["person_id"])
}

func (*pipedrive) shown(o object) object {
	out := shown(o)
	made, _ := o["#made"].(time.Time)
	changed, _ := o["#changed"].(time.Time)
	out["add_time"], out["update_time"] = made.Format(time.RFC3339), changed.Format(time.RFC3339)
	return out
}

func (*pipedrive) refused(table string, body object, fresh bool) string {
	known := map[string][]string{
		"persons":    {"name", "phones", "owner_id", "custom_fields"},
		"activities": {"subject", "note", "due_date", "due_time", "duration", "public_description", "type", "done", "participants"},
		"notes":      {"content", "person_id"},
	}[table]
	if bad := unknown(body, known...); len(bad) > 0 {
		return fmt.Sprintf("%v is a read-only field", bad)
	}
	if custom, ok := body["custom_fields"].(object); ok && len(unknown(custom, statusField, wishField)) > 0 {
		return "custom_fields"
	}
	number := func(v any) bool { _, is := v.(float64); return v == nil || is }
	if all, ok := body["participants"].([]any); ok && (all[0].(object)["primary"] != true || !number(all[0].(object)["person_id"])) {
		return "participants"
	}
	if !number(body["owner_id"]) || !number(body["person_id"]) || fresh && table == "persons" && body["name"] == nil {
		return "owner_id, person_id or name"
	}
	for name, layout := range map[string]string{"due_date": "2006-01-02", "due_time": "15:04", "duration": "15:04"} {
		if v, sent := body[name]; sent {
			if _, err := time.Parse(layout, str(v)); err != nil {
				return name
			}
		}
	}
	if done, sent := body["done"]; sent && done != true && done != false {
		return "done"
	}
	return ""
}

func (f *pipedrive) state() (s crmtest.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	plain := func(v any) string { return html.UnescapeString(strings.ReplaceAll(str(v), "<br>", "\n")) }
	for _, o := range f.tables["persons"] {
		custom, _ := o["custom_fields"].(object)
		phone := o["phones"].([]any)[0].(object)["value"]
		s.Contacts = append(s.Contacts, crmtest.Contact{ID: str(o["id"]), Phone: str(phone), Name: str(o["name"]), Status: str(custom[statusField]), DoNotCall: custom[wishField] == "yes"})
	}
	for _, o := range f.tables["activities"] {
		if o["done"] != true {
			s.Tasks = append(s.Tasks, crmtest.Task{Call: str(o["public_description"]), Title: str(o["subject"])})
			continue
		}
		said := plain(o["note"])
		c := crmtest.Call{ID: callOf(said), Contact: personOf(o)}
		c.Disposition, c.Summary, c.Rest = crmtest.ReadBody(said, c.ID)
		c.Rest += fmt.Sprint(o["subject"], o["due_date"], o["due_time"], o["duration"])
		s.Calls = append(s.Calls, c)
	}
	for _, o := range f.tables["notes"] {
		said := plain(o["content"])
		if n, ok := crmtest.ReadNote(said[:strings.LastIndex(said, "\n")]); ok {
			s.Notes = append(s.Notes, n)
		}
	}
	return s
}

func (f *pipedrive) destination(d *crmtest.Destination) {
	f.users(d, "persons", map[string]string{"contact": "persons", "activity": "activities", "task": "activities"}, func(c crmtest.Contact) object {
		return object{"phones": []any{object{"value": c.Phone, "primary": true}}, "name": c.Name, "custom_fields": object{statusField: c.Status}}
	}, func(o object, status string) { o["custom_fields"].(object)[statusField] = status })
	d.Meanwhile.Reassign = func(_ *testing.T, id string) { f.get("persons", id)["owner_id"] = 99.0 }
	d.Meanwhile.Owner = func(_ *testing.T, id string) string { return str(f.get("persons", id)["owner_id"]) }
	d.Lag = func(on bool) { f.lag, f.hidden = on, 0 }
}

// Without a field of one's own for the status none is sent: Pipedrive would refuse it.
func TestPipedriveWithoutFields(t *testing.T) {
	f := newPipedrive()
	c := config("pipedrive", crmtest.NewServer(t, f).URL)
	c.Vars = nil
	w, err := rest.New(c, crm.Settings{Region: "IN"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	deliver(t, rest.Impatient(w), crmtest.Full(1), nil)
	if got := f.state(); len(got.Calls) != 1 || f.tables["persons"][0]["custom_fields"] != nil {
		t.Errorf("%+v %v", got, f.tables["persons"])
	}
}

// unbroken are the spellings of a number whose last ten digits are next to each other.
func unbroken(n int) []string {
	return slices.DeleteFunc(crmtest.Spellings(n), func(s string) bool { return !strings.Contains(s, fmt.Sprintf("98765%05d", n)) })
}
