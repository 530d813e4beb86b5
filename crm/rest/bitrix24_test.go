package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

// bitrix24 is a portal behind an inbound webhook. Where nobody is found, PHP writes an empty list for an empty object.
type bitrix24 struct{ shelf }

func newBitrix24() *bitrix24 {
	f := &bitrix24{}
	f.insert("user", object{"EMAIL": "asha@example.com"})
	return f
}

func (f *bitrix24) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fail := func(status int, code, text string) {
		answer(rw, status, object{"error": code, "error_description": text})
	}
	ok := func(v any) { answer(rw, http.StatusOK, object{"result": v, "time": object{"operating": 0.1}}) }
	method, rest := strings.CutPrefix(r.URL.Path, "/rest/1/"+secretOf("webhook")+"/")
	if !rest {
		fail(http.StatusUnauthorized, "INVALID_CREDENTIALS", "Invalid request credentials")
		return
	}
	method = strings.TrimSuffix(method, ".json")
	var body struct {
		ID     any `json:"id"`
		Fields object
		Filter object
		Type   string
		Entity string `json:"entity_type"`
		Values []string
	}
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			fail(http.StatusBadRequest, "", err.Error())
			return
		}
	}
	table := method[:max(strings.LastIndexByte(method, '.'), 0)]
	switch {
	case method == "profile":
		ok(object{"NAME": "VInfer"})
	case method == "crm.status.list":
		ok([]object{{"STATUS_ID": "NEW"}})
	case method == "user.get":
		found := []object{}
		for _, o := range f.where("user", func(o object) bool { return o["EMAIL"] == body.Filter["EMAIL"] }) {
			found = append(found, object{"ID": str(o["id"])})
		}
		ok(found)
	case method == "crm.duplicate.findbycomm":
		if body.Type != "PHONE" || body.Entity != "LEAD" || len(body.Values) == 0 || len(body.Values) > 20 {
			fail(http.StatusBadRequest, "", "Communication type is not defined.")
			return
		}
		var ids []any
		for _, o := range f.tables["crm.lead"] {
			number := onlyDigits(str(o["PHONE"].([]any)[0].(object)["VALUE"]))
			if slices.ContainsFunc(body.Values, func(v string) bool { return onlyDigits(v) == number }) {
				ids = append(ids, o["id"])
			}
		}
		if len(ids) == 0 {
			ok([]any{})
			return
		}
		ok(object{"LEAD": ids})
	case strings.HasSuffix(method, ".add"):
		if bad := f.refused(table, body.Fields, true); bad != "" {
			fail(http.StatusBadRequest, "", bad)
			return
		}
		ok(f.insert(table, body.Fields)["id"])
	case strings.HasSuffix(method, ".get"), strings.HasSuffix(method, ".update"):
		held := f.get(table, body.ID)
		if held == nil {
			fail(http.StatusBadRequest, "", "Not found")
			return
		}
		if bad := f.refused(table, body.Fields, false); bad != "" {
			fail(http.StatusBadRequest, "", bad)
			return
		}
		if strings.HasSuffix(method, ".update") {
			f.change(held, body.Fields)
			ok(true)
			return
		}
		ok(f.shown(held))
	case strings.HasSuffix(method, ".list"):
		found := []object{}
		for _, o := range f.where(table, func(o object) bool {
			for name, v := range body.Filter {
				if str(o[name]) != str(v) {
					return false
				}
			}
			return true
		}) {
			found = append(found, f.shown(o))
		}
		ok(found)
	default:
		fail(http.StatusNotFound, "ERROR_METHOD_NOT_FOUND", "Method not found!")
	}
}

func (*bitrix24) shown(o object) object {
	out := shown(o)
	made, _ := o["#made"].(time.Time)
	changed, _ := o["#changed"].(time.Time)
	out["ID"], out["DATE_CREATE"], out["DATE_MODIFY"] = str(o["id"]), made.Format(time.RFC3339), changed.Format(time.RFC3339)
	return out
}

func (*bitrix24) refused(table string, fields object, fresh bool) string {
	known := map[string][]string{
		"crm.lead": {"NAME", "STATUS_ID", "UF_CRM_VINFER_DNC", "TITLE", "PHONE", "ASSIGNED_BY_ID", "ORIGINATOR_ID"},
		"crm.activity": {
			"SUBJECT", "DESCRIPTION", "START_TIME", "END_TIME", "OWNER_TYPE_ID", "OWNER_ID", "TYPE_ID", "DIRECTION", "COMPLETED", "COMMUNICATIONS", "RESPONSIBLE_ID", "ORIGINATOR_ID",
			"ORIGIN_ID",
		},
		"crm.timeline.comment": {"ENTITY_ID", "ENTITY_TYPE", "COMMENT"},
	}[table]
	if bad := unknown(fields, known...); len(bad) > 0 {
		return fmt.Sprint("unknown: ", bad)
	}
	for _, name := range map[string][]string{"crm.activity": {"SUBJECT", "RESPONSIBLE_ID", "TYPE_ID", "COMMUNICATIONS"}}[table] {
		if fresh && fields[name] == nil {
			return "The field " + name + " is required."
		}
	}
	return ""
}

func (f *bitrix24) state() (s crmtest.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.tables["crm.lead"] {
		phone := o["PHONE"].([]any)[0].(object)["VALUE"]
		s.Contacts = append(s.Contacts, crmtest.Contact{ID: str(o["id"]), Phone: str(phone), Name: str(o["NAME"]), Status: str(o["STATUS_ID"]), DoNotCall: o["UF_CRM_VINFER_DNC"] == "1"})
	}
	for _, o := range f.tables["crm.activity"] {
		if o["COMPLETED"] != "Y" {
			s.Tasks = append(s.Tasks, crmtest.Task{Call: str(o["ORIGIN_ID"]), Title: str(o["SUBJECT"])})
			continue
		}
		said := str(o["DESCRIPTION"])
		c := crmtest.Call{ID: callOf(said), Contact: str(o["OWNER_ID"])}
		c.Disposition, c.Summary, c.Rest = crmtest.ReadBody(said, c.ID)
		c.Rest += fmt.Sprint(o["SUBJECT"], o["START_TIME"], o["END_TIME"], o["DIRECTION"])
		s.Calls = append(s.Calls, c)
	}
	for _, o := range f.tables["crm.timeline.comment"] {
		said := str(o["COMMENT"])
		if n, ok := crmtest.ReadNote(said[:strings.LastIndex(said, "\n")]); ok {
			s.Notes = append(s.Notes, n)
		}
	}
	return s
}

func (f *bitrix24) destination(d *crmtest.Destination) {
	f.users(d, "crm.lead", map[string]string{"contact": "crm.lead", "activity": "crm.activity", "task": "crm.activity"}, func(c crmtest.Contact) object {
		return object{"PHONE": []any{object{"VALUE": c.Phone}}, "NAME": c.Name, "STATUS_ID": c.Status}
	}, func(o object, status string) { o["STATUS_ID"] = status })
	d.Meanwhile.Reassign = func(_ *testing.T, id string) { f.get("crm.lead", id)["ASSIGNED_BY_ID"] = "99" }
	d.Meanwhile.Owner = func(_ *testing.T, id string) string { return str(f.get("crm.lead", id)["ASSIGNED_BY_ID"]) }
}

// Bitrix24 says 503 where others say 429.
func TestBitrix24Throttles(t *testing.T) {
	for body, want := range map[string]crm.Verdict{
		`{"error":"QUERY_LIMIT_EXCEEDED","error_description":"Too many requests"}`: crm.Throttle,
		`{"error":"INTERNAL_SERVER_ERROR","error_description":"down"}`:             crm.Retry,
	} {
		server := crmtest.NewServer(t, newBitrix24())
		server.Misbehave(crmtest.Fault{Status: http.StatusServiceUnavailable, Body: func(*http.Request, []byte) string { return body }})
		w := open(t, "bitrix24", server.URL, nil)
		if err := w.Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil)); crm.VerdictOf(err) != want || want == crm.Throttle && crm.Wait(err) != 3*time.Second {
			t.Errorf("%s: %s %s %v", body, crm.VerdictOf(err), crm.Wait(err), err)
		}
	}
}
