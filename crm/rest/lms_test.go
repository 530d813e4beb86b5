package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

// lms is the made-up loan management system. It answers 200 to everything, and refuses what it does not know.
type lms struct {
	shelf
	tokens  int
	keys    map[string]object // by Idempotency-Key
	refuses string            // a field of interactions
}

func newLMS() *lms { return &lms{keys: map[string]object{}} }

func (f *lms) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.URL.Path == "/oauth2/token" {
		id, password, _ := r.BasicAuth()
		if id != "vinfer" || password != secretOf("client_secret") || r.FormValue("grant_type") != "client_credentials" {
			answer(rw, http.StatusUnauthorized, object{"error": "invalid_client"})
			return
		}
		f.tokens++
		answer(rw, http.StatusOK, object{"access_token": fmt.Sprint("token-number-", f.tokens), "expires_in": 300})
		return
	}
	if r.Header.Get("Authorization") != fmt.Sprint("Bearer token-number-", f.tokens) {
		answer(rw, http.StatusUnauthorized, object{"errorCode": "TOKEN_EXPIRED"})
		return
	}
	var body object
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			f.fail(rw, "VAL_JSON", err.Error())
			return
		}
	}
	if r.Header.Get("X-Channel") != "VOICEBOT" {
		f.fail(rw, "VAL_CHANNEL", "which channel?")
		return
	}
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch route := r.Method + " " + strings.Join(part[:min(2, len(part))], "/"); {
	case route == "GET v2/ping":
		f.ok(rw, object{"environment": "test"})
	case route == "GET v2/officers":
		f.ok(rw, object{"officers": f.where("officers", func(o object) bool { return o["mail"] == r.URL.Query().Get("mail") })})
	case route == "POST v2/borrowers" && len(part) == 3:
		f.search(rw, body)
	case route == "POST v2/borrowers":
		f.borrower(rw, nil, body)
	case len(part) == 3 && part[1] == "borrowers":
		held := f.get("borrowers", part[2])
		if held == nil {
			f.fail(rw, "BORROWER_NOT_FOUND", "no such borrower")
			return
		}
		f.borrower(rw, held, body)
	case route == "POST v2/tasks":
		f.task(rw, r.Header.Get("Idempotency-Key"), body)
	case len(part) >= 3 && part[1] == "interactions":
		f.interaction(rw, r.Method, part[2:], body)
	default:
		answer(rw, http.StatusNotFound, object{"status": "FAILURE", "errorCode": "NO_ROUTE"})
	}
}

func (*lms) ok(rw http.ResponseWriter, data any) {
	answer(rw, http.StatusOK, object{"status": "SUCCESS", "data": data})
}

func (*lms) fail(rw http.ResponseWriter, code, message string) {
	answer(rw, http.StatusOK, object{"status": "FAILURE", "errorCode": code, "message": message})
}

// search compares ten digits, however the number was typed.
func (f *lms) search(rw http.ResponseWriter, body object) {
	wanted, _ := body["mobileNumbers"].([]any)
	if len(wanted) != 1 || len(unknown(body, "mobileNumbers", "pageSize")) > 0 || body["pageSize"] != 20.0 {
		f.fail(rw, "VAL_SEARCH", fmt.Sprint(body))
		return
	}
	ends := func(v any) bool { return v != nil && strings.HasSuffix(onlyDigits(str(v)), str(wanted[0])) }
	found := []object{}
	for _, o := range f.where("borrowers", func(o object) bool { return ends(o["primaryMobile"]) || ends(o["alternateMobile"]) }) {
		found = append(found, f.shownBorrower(o))
	}
	if len(found) == 0 {
		f.fail(rw, "BORROWER_NOT_FOUND", "nobody has this number")
		return
	}
	f.ok(rw, object{"borrowers": found})
}

func (*lms) shownBorrower(o object) object {
	out := shown(o)
	out["borrowerId"], out["createdAt"], out["lastUpdated"] = o["id"], o["#made"], o["#changed"]
	out["activeLoan"] = object{"loanNo": fmt.Sprint("L-", o["id"])}
	return out
}

func (f *lms) borrower(rw http.ResponseWriter, held, body object) {
	if bad := unknown(body, "fullName", "followUp", "doNotCall", "primaryMobile", "officer"); len(bad) > 0 {
		f.fail(rw, "VAL_FIELD", fmt.Sprint("unknown: ", bad))
		return
	}
	if body["doNotCall"] != nil && body["doNotCall"] != true {
		f.fail(rw, "VAL_TYPE", "doNotCall")
		return
	}
	switch {
	case held == nil && (body["fullName"] == nil || len(str(body["primaryMobile"])) != 10):
		f.fail(rw, "VAL_REQUIRED", "fullName and primaryMobile")
		return
	case held == nil:
		held = f.insert("borrowers", body)
	case body != nil:
		f.change(held, body)
	}
	f.ok(rw, f.shownBorrower(held))
}

func (f *lms) task(rw http.ResponseWriter, key string, body object) {
	switch {
	case key == "":
		f.fail(rw, "VAL_KEY", "Idempotency-Key is required")
	case len(unknown(body, "title", "dueAt", "borrowerId", "type", "interactionId", "officer")) > 0 || body["title"] == nil || body["type"] != "CALLBACK":
		f.fail(rw, "VAL_TASK", fmt.Sprint(body))
	case f.keys[key] != nil:
		f.ok(rw, object{"taskId": f.keys[key]["id"]})
	default:
		f.keys[key] = f.insert("tasks", body)
		f.ok(rw, object{"taskId": f.keys[key]["id"]})
	}
}

func (f *lms) interaction(rw http.ResponseWriter, method string, part []string, body object) {
	table, id := "interactions", part[0]
	if len(part) == 3 && part[1] == "notes" {
		table, id = "notes", part[2]
		if bad := unknown(body, "text"); len(bad) > 0 || body["text"] == nil {
			f.fail(rw, "VAL_NOTE", fmt.Sprint(body))
			return
		}
		body["interactionId"] = part[0]
	} else if bad := unknown(body, "title", "startedAt", "durationSec", "outcome", "remarks", "language", "qaScore", "borrowerId", "loanNo", "channel", "officer"); len(bad) > 0 {
		f.fail(rw, "VAL_FIELD", fmt.Sprint("unknown: ", bad))
		return
	}
	if _, sent := body[f.refuses]; sent {
		f.fail(rw, "VAL_FIELD", "the value of "+f.refuses+" is refused")
		return
	}
	if seconds, ok := body["durationSec"]; ok && seconds != float64(int(seconds.(float64))) {
		f.fail(rw, "VAL_TYPE", "durationSec")
		return
	}
	held := f.get(table, id)
	switch {
	case held == nil && method != http.MethodPut:
		f.fail(rw, "INTERACTION_NOT_FOUND", "no such interaction")
		return
	case held == nil:
		body["id"] = id
		held = f.insert(table, body)
	case method != http.MethodGet:
		f.change(held, body)
	}
	out := shown(held)
	out["interactionId"] = held["id"]
	f.ok(rw, out)
}

func (f *lms) state() (s crmtest.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.tables["borrowers"] {
		status := ""
		if m, ok := o["followUp"].(object); ok {
			status = str(m["status"])
		}
		s.Contacts = append(s.Contacts, crmtest.Contact{ID: str(o["id"]), Phone: "+91" + str(o["primaryMobile"]), Name: str(o["fullName"]), Status: status, DoNotCall: o["doNotCall"] == true})
	}
	for _, o := range f.tables["interactions"] {
		c := crmtest.Call{ID: callOf(str(o["remarks"])), Contact: str(o["borrowerId"])}
		c.Disposition, c.Summary, c.Rest = crmtest.ReadBody(str(o["remarks"]), c.ID)
		c.Rest += fmt.Sprint(o["title"], o["startedAt"], o["durationSec"], o["outcome"], o["language"], o["qaScore"], o["channel"])
		s.Calls = append(s.Calls, c)
	}
	for _, o := range f.tables["tasks"] {
		s.Tasks = append(s.Tasks, crmtest.Task{Call: str(o["interactionId"]), Title: str(o["title"])})
	}
	for _, o := range f.tables["notes"] {
		if n, ok := crmtest.ReadNote(str(o["text"])); ok {
			s.Notes = append(s.Notes, n)
		}
	}
	return s
}

func (f *lms) destination(d *crmtest.Destination) {
	f.users(d, "borrowers", map[string]string{"contact": "borrowers", "activity": "interactions", "task": "tasks"}, func(c crmtest.Contact) object {
		return object{"primaryMobile": c.Phone, "fullName": c.Name, "followUp": object{"status": c.Status}}
	}, func(o object, status string) { o["followUp"] = object{"status": status} })
	d.Meanwhile.Reassign = func(_ *testing.T, id string) { f.get("borrowers", id)["officer"] = "another" }
	d.Meanwhile.Owner = func(_ *testing.T, id string) string { return str(f.get("borrowers", id)["officer"]) }
	d.Refuse = func() { f.refuses = "language" }
}
