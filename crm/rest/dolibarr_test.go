package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

// dolibarr answers as its source does: a 404 for an empty list, bare ids, and no ref_ext in an answer.
type dolibarr struct{ shelf }

func newDolibarr() *dolibarr {
	f := &dolibarr{}
	f.insert("users", object{"login": "asha"})
	return f
}

var (
	condition = regexp.MustCompile(`\(t\.(\w+):(=|like):'([^'():]*)'\)`)
	columns   = map[string]string{"phone": "phone_pro"} // of the database, to their names in answers
)

// like tells whether a text fits a pattern of SQL.
func like(pattern, text string) bool {
	re := strings.ReplaceAll(regexp.QuoteMeta(strings.ToLower(pattern)), "%", ".*")
	return regexp.MustCompile("(?s)^" + strings.ReplaceAll(re, "_", ".") + "$").MatchString(strings.ToLower(text))
}

// filter returns what a sqlfilters lets pass; an error where its syntax is wrong.
func filter(sqlfilters string) (func(o object) bool, bool) {
	if strings.Trim(condition.ReplaceAllString(sqlfilters, ""), " or") != "" {
		return nil, false
	}
	return func(o object) bool {
		for _, m := range condition.FindAllStringSubmatch(sqlfilters, -1) {
			column := m[1]
			if name := columns[column]; name != "" {
				column = name
			}
			v := str(o[column])
			if m[2] == "=" && strings.EqualFold(v, m[3]) || m[2] == "like" && v != "" && like(m[3], v) {
				return true
			}
		}
		return false
	}, true
}

func (f *dolibarr) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fail := func(status int, text string) {
		answer(rw, status, object{"error": object{"code": status, "message": http.StatusText(status) + ": " + text}})
	}
	if r.Header.Get("Dolapikey") != secretOf("key") {
		fail(http.StatusUnauthorized, "Access denied")
		return
	}
	part := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/index.php/"), "/")
	table := part[0]
	var body object
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			fail(http.StatusBadRequest, err.Error())
			return
		}
	}
	switch {
	case table == "status":
		answer(rw, http.StatusOK, object{"success": object{"code": 200, "dolibarr_version": "20.0.1"}})
	case table == "setup":
		answer(rw, http.StatusOK, []object{{"code": "AC_TEL"}})
	case table == "users" && len(part) == 3 && part[1] == "login":
		found := f.where("users", func(o object) bool { return o["login"] == part[2] })
		if len(found) == 0 {
			fail(http.StatusNotFound, "User not found")
			return
		}
		answer(rw, http.StatusOK, shown(found[0]))
	case table != "contacts" && table != "agendaevents":
		fail(http.StatusNotFound, "no route")
	case r.Method == http.MethodPost:
		if bad := f.refused(table, body, true); bad != "" {
			fail(http.StatusInternalServerError, "Error creating "+bad)
			return
		}
		answer(rw, http.StatusOK, f.insert(table, body)["id"])
	case len(part) == 2:
		held := f.get(table, part[1])
		if held == nil {
			fail(http.StatusNotFound, "Object not found")
			return
		}
		if bad := f.refused(table, body, false); bad != "" {
			fail(http.StatusInternalServerError, bad)
			return
		}
		if options, ok := body["array_options"].(object); ok { // those that are not sent stay
			old, _ := held["array_options"].(object)
			for k, v := range old {
				if _, sent := options[k]; !sent {
					options[k] = v
				}
			}
		}
		if body != nil {
			f.change(held, body)
		}
		answer(rw, http.StatusOK, f.shown(held))
	default:
		keep, ok := filter(r.URL.Query().Get("sqlfilters"))
		if !ok {
			fail(http.StatusBadRequest, "Error when validating parameter sqlfilters -> Bad syntax of the search string")
			return
		}
		found := []object{}
		for _, o := range f.where(table, keep) {
			found = append(found, f.shown(o))
		}
		if len(found) == 0 {
			fail(http.StatusNotFound, "Contacts not found")
			return
		}
		answer(rw, http.StatusOK, found)
	}
}

// shown returns a record as answers have it: numbers as texts, and without what is hidden.
func (*dolibarr) shown(o object) object {
	out := shown(o)
	delete(out, "ref_ext")
	delete(out, "contact_id")
	out["id"] = str(o["id"])
	made, _ := o["#made"].(time.Time)
	changed, _ := o["#changed"].(time.Time)
	out["date_creation"], out["date_modification"] = made.Unix(), changed.Unix()
	return out
}

// refused says what is wrong with a body.
func (*dolibarr) refused(table string, body object, fresh bool) string {
	known := []string{"lastname", "phone_mobile", "array_options"}
	if table == "agendaevents" {
		known = []string{"label", "note_private", "datep", "datef", "type_code", "percentage", "userownerid", "socid", "contact_id", "ref_ext"}
	}
	switch {
	case len(unknown(body, known...)) > 0:
		return fmt.Sprint(unknown(body, known...))
	case fresh && table == "contacts" && body["lastname"] == nil:
		return "lastname field missing"
	case fresh && table == "agendaevents" && (body["userownerid"] == nil || body["type_code"] == nil || body["datep"] == nil):
		return "userownerid, type_code and datep are required"
	}
	if n, sent := body["datep"]; sent && n != float64(int64(n.(float64))) {
		return "datep"
	}
	return ""
}

func (f *dolibarr) state() (s crmtest.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.tables["contacts"] {
		options, _ := o["array_options"].(object)
		s.Contacts = append(s.Contacts, crmtest.Contact{
			ID: str(o["id"]), Phone: str(o["phone_mobile"]), Name: str(o["lastname"]), Status: str(options["options_vinfer_status"]), DoNotCall: str(options["options_vinfer_dnc"]) == "1",
		})
	}
	for _, o := range f.tables["agendaevents"] {
		switch ref := str(o["ref_ext"]); {
		case strings.HasSuffix(ref, "-call"):
			text := str(o["note_private"])
			c := crmtest.Call{ID: callOf(text), Contact: str(o["contact_id"])}
			c.Disposition, c.Summary, c.Rest = crmtest.ReadBody(text, c.ID)
			c.Rest += fmt.Sprint(o["label"], o["datep"], o["datef"], o["percentage"])
			s.Calls = append(s.Calls, c)
		case strings.HasSuffix(ref, "-task"):
			s.Tasks = append(s.Tasks, crmtest.Task{Call: ref, Title: str(o["label"])})
		default:
			if n, ok := crmtest.ReadNote(str(o["note_private"])); ok {
				s.Notes = append(s.Notes, n)
			}
		}
	}
	return s
}

func (f *dolibarr) destination(d *crmtest.Destination) {
	f.users(d, "contacts", map[string]string{"contact": "contacts", "activity": "agendaevents", "task": "agendaevents"}, func(c crmtest.Contact) object {
		return object{"phone_pro": c.Phone, "lastname": c.Name, "array_options": object{"options_vinfer_status": c.Status}}
	}, func(o object, status string) { o["array_options"].(object)["options_vinfer_status"] = status })
}

func TestDolibarrKeepsOtherAttributes(t *testing.T) {
	f := newDolibarr()
	server := crmtest.NewServer(t, f)
	f.insert("contacts", object{"lastname": "Priya", "phone_mobile": "98765 00001", "array_options": object{"options_color": "blue"}, "socid": "7"})
	w := open(t, "dolibarr", server.URL, nil)
	deliver(t, w, crmtest.Full(1), nil)
	if got := fmt.Sprint(f.tables["contacts"][0]["array_options"]); got != "map[options_color:blue options_vinfer_dnc:1 options_vinfer_status:Hot Lead]" {
		t.Errorf("%s", got)
	}
	if got := f.tables["agendaevents"][0]["socid"]; got != "7" {
		t.Errorf("the event is not at the contact's company: %v", got)
	}
}
