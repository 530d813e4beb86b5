package leadsquared_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	accessKey = "u$r0123456789abcdef0123456789abcdef"
	secretKey = "fedcba9876543210fedcba9876543210fedcba98"
	apiUser   = "563fc838-797d-11e4-b2b6-22000a940c0c"
	human     = "643f6525-3e7a-11e6-b61b-22000aa8e760"
	typeCode  = 213
)

type object = map[string]any

// account is a LeadSquared account as the vendor's API pages describe it.
type account struct {
	mu         sync.Mutex
	leads      []object
	activities []object
	tasks      []object
	notes      []object
	types      []object
	stages     []string
	clock      time.Time
	last       int

	noHeaders bool            // keys are seen in the query only
	off       map[string]bool // requests that this account does not have
	exact     bool            // numbers are compared digit by digit
	hide      bool            // searches do not show leads made from now on
	hidden    map[string]bool
	refuse    string // a field of activities that is refused whatever it holds
	most      int    // activities in one answer, whatever is asked for; 0: as asked
	byRow     bool   // Offset counts activities, not pages
	rate      int    // requests in a window; 0: any
	window    time.Duration
	noteLimit int  // characters of a note; 0: any
	national  bool // numbers have ten digits
	noStage   bool // leads have no field ProspectStage any more
	times     []time.Time
	overruns  int
	updates   []string // ids of the leads that were changed with postUpdatedLead
}

func newAccount() *account {
	a := &account{
		clock: time.Now().UTC(), window: 5 * time.Second, off: map[string]bool{}, hidden: map[string]bool{},
		stages: []string{"Prospect", "Hot Lead", "Cold", "New status", "Old status", "Old again", "Customer"},
	}
	a.addType(object{"ActivityEventName": "VInfer call", "Fields": []any{
		object{"SchemaName": "mx_Custom_1", "DisplayName": "Vinfer Call Id"},
		object{"SchemaName": "mx_Custom_2", "DisplayName": "Disposition"},
		object{"SchemaName": "mx_Custom_3", "DisplayName": "Sentiment"},
		object{"SchemaName": "mx_Custom_4", "DisplayName": "Duration (s)"},
	}})
	return a
}

func (a *account) addType(o object) {
	meta, _ := json.Marshal(object{"FormMetaData": o["Fields"]})
	a.types = append(a.types, object{
		"ActivityEvent": typeCode + len(a.types), "ActivityEventName": o["ActivityEventName"], "EventType": 2, "ActivityProperties": string(meta),
	})
}

// exception is an answer that is no 200.
type exception struct {
	status        int
	kind, message string
}

func (a *account) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	rw.Header().Set("Content-Type", "application/json; charset=utf-8")
	answer, no := a.route(r)
	if no != nil {
		rw.WriteHeader(no.status)
		answer = object{"Status": "Error", "ExceptionType": no.kind, "ExceptionMessage": no.message}
	}
	_ = json.NewEncoder(rw).Encode(answer)
}

func (a *account) route(r *http.Request) (any, *exception) {
	now := time.Now()
	a.times = slices.DeleteFunc(a.times, func(t time.Time) bool { return now.Sub(t) >= a.window })
	if a.rate > 0 && len(a.times) >= a.rate {
		a.overruns++
		return nil, &exception{429, "MXRateLimitExceededException", fmt.Sprintf("API calls exceeded the limit of %d in %d second(s)", a.rate, a.window/time.Second)}
	}
	a.times = append(a.times, now)
	q := r.URL.Query()
	byHeader := r.Header.Get("X-LSQ-AccessKey") == accessKey && r.Header.Get("X-LSQ-SecretKey") == secretKey && !a.noHeaders
	if !byHeader && (q.Get("accessKey") != accessKey || q.Get("secretKey") != secretKey) {
		return nil, &exception{401, "MXAuthenticationFailedException", "Invalid accessKey or secretKey"}
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/")
	if !ok || a.off[path] {
		return nil, &exception{404, "", "The API could not be found"}
	}
	var body any
	if r.Method == http.MethodPost {
		if r.Header.Get("Content-Type") != "application/json" || json.NewDecoder(r.Body).Decode(&body) != nil {
			return nil, &exception{400, "MXInvalidInputException", "The body is not as specified"}
		}
		if text, _ := json.Marshal(body); strings.Contains(string(text), `\u003cscript`) {
			return nil, &exception{500, "MXXSSException", "A potentially dangerous value was detected"}
		}
	}
	o, _ := body.(object)
	switch r.Method + " " + path {
	case "GET LeadManagement.svc/LeadsMetaData.Get":
		return a.metadata(q.Get("schemaName")), nil
	case "GET LeadManagement.svc/RetrieveLeadByPhoneNumber":
		return a.byPhone(q.Get("phone"))
	case "GET LeadManagement.svc/Leads.GetById":
		for _, l := range a.leads {
			if l["ProspectID"] == q.Get("id") {
				return []object{l}, nil
			}
		}
		return []object{}, nil
	case "POST LeadManagement.svc/Leads.Get":
		return a.like(o), nil
	case "POST LeadManagement.svc/Lead.CreateOrUpdate":
		return a.upsert(body, q, true)
	case "POST LeadManagement.svc/Lead.Create":
		return a.upsert(body, q, false)
	case "POST LeadManagement.svc/Lead.Update":
		l := a.lead(q.Get("leadId"))
		if l == nil {
			return nil, &exception{500, "MXLeadNotFoundException", "Lead does not exist"}
		}
		return object{"Status": "Success", "Message": object{"AffectedRows": 1}}, a.set(l, body, q)
	case "GET ProspectActivity.svc/ActivityTypes.Get":
		return a.types, nil
	case "POST ProspectActivity.svc/CreateType":
		a.addType(o)
		return object{"Status": "Success", "Message": object{"Id": fmt.Sprint(typeCode + len(a.types) - 1)}}, nil
	case "POST ProspectActivity.svc/Create":
		return a.createActivity(o)
	case "POST ProspectActivity.svc/CustomActivity/Update":
		return a.updateActivity(o)
	case "POST ProspectActivity.svc/Retrieve":
		return a.retrieve(q.Get("leadId"), o)
	case "GET LeadManagement.svc/RetrieveTaskByLeadId":
		return a.tasksOf(q.Get("leadId")), nil
	case "POST Task.svc/Retrieve":
		list := []object{}
		for _, task := range a.tasks {
			p := o["Parameter"].(object)
			if p["LookupName"] == "OwnerId" && p["LookupValue"] == task["OwnerID"] || p["LookupName"] == "OwnerEmailAddress" && task["OwnerID"] == human {
				list = append(list, task)
			}
		}
		return object{"RecordCount": len(list), "List": list}, nil
	case "GET Task.svc/RetrieveTaskType":
		return []object{{"Id": "1", "Name": "Follow Up"}, {"Id": "2", "Name": "Call Back"}}, nil
	case "POST Task.svc/Create":
		return a.createTask(o)
	case "POST Task.svc/Update":
		for _, t := range a.tasks {
			if t["TaskID"] == o["UserTaskId"] {
				t["DueDate"] = o["DueDate"]
				return object{"Status": "Success", "Message": object{"AffectedRows": 1}}, nil
			}
		}
		return nil, &exception{500, "MXTaskNotFoundException", "Task does not exist"}
	case "POST LeadManagement.svc/CreateNote":
		note, _ := o["Note"].(string)
		if a.lead(o["RelatedProspectId"]) == nil || note == "" {
			return nil, &exception{500, "MXMandatoryAttributeMissingException", "'RelatedProspectId' and 'Note' are mandatory"}
		}
		if a.noteLimit > 0 && len([]rune(note)) > a.noteLimit {
			return nil, &exception{500, "MXInvalidInputException", "Note exceeds the maximum length"}
		}
		id := a.id()
		a.notes = append(a.notes, object{"ProspectNoteId": id, "RelatedProspectId": o["RelatedProspectId"], "Note": note, "CreatedOn": a.tick()})
		return object{"Status": "Success", "Message": object{"Id": id}}, nil
	case "POST LeadManagement.svc/RetrieveNote":
		list := []object{}
		for _, n := range slices.Backward(a.notes) {
			if n["RelatedProspectId"] == o["Parameter"].(object)["RelatedId"] {
				list = append(list, n)
			}
		}
		return object{"RecordCount": len(list), "List": list}, nil
	case "GET UserManagement.svc/Users.Get":
		return []object{{"ID": human, "EmailAddress": "asha@example.com"}, {"ID": apiUser, "EmailAddress": "api@example.com"}}, nil
	}
	return nil, &exception{404, "", "The API could not be found"}
}

func (a *account) metadata(name string) []object {
	switch name {
	case "ProspectStage":
		if a.noStage {
			return []object{}
		}
		var options []object
		for _, s := range a.stages {
			options = append(options, object{"Value": s})
		}
		return []object{{"SchemaName": name, "DisplayName": "Lead Stage", "DataType": "Select", "Options": options}}
	case "DoNotCall", "FirstName", "LastName", "Phone", "Mobile", "OwnerId":
		return []object{{"SchemaName": name, "DataType": "Text"}}
	}
	return []object{}
}

func (a *account) tick() string {
	a.clock = a.clock.Add(time.Second)
	return a.clock.Format("2006-01-02 15:04:05.000")
}

func (a *account) id() string {
	a.last++
	return fmt.Sprintf("3c8c8d02-8374-11e7-ab78-%012x", a.last)
}

func (a *account) lead(id any) object {
	for _, l := range a.leads {
		if l["ProspectID"] == id {
			return l
		}
	}
	return nil
}

// alike compares numbers as LeadSquared does: with or without the country's code.
func (a *account) alike(stored, asked string) bool {
	stored, asked = digits(stored), digits(asked)
	if a.exact || len(stored) < 10 || len(asked) < 10 {
		return stored == asked && stored != ""
	}
	return stored[len(stored)-10:] == asked[len(asked)-10:]
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

func str(v any) string {
	s, _ := v.(string)
	return s
}

func (a *account) byPhone(number string) (any, *exception) {
	if strings.ContainsAny(number, " -()") || number == "" {
		return nil, &exception{500, "MXInvalidInputException", "phone may hold no spaces and hyphens"}
	}
	found := []object{}
	for _, l := range a.leads {
		if (a.alike(str(l["Phone"]), number) || a.alike(str(l["Mobile"]), number)) && !a.hidden[str(l["ProspectID"])] {
			if len(found) == 0 || str(found[0]["ModifiedOn"]) < str(l["ModifiedOn"]) {
				found = []object{l}
			}
		}
	}
	return found, nil
}

// like serves the one search that is wanted: the pattern's parts stand in the number in this order.
func (a *account) like(o object) any {
	p := o["Parameter"].(object)
	found := []object{}
	for _, l := range a.leads {
		rest, ok := str(l[str(p["LookupName"])]), true
		for part := range strings.SplitSeq(str(p["LookupValue"]), "%") {
			i := strings.Index(rest, part)
			if i < 0 {
				ok = false
				break
			}
			rest = rest[i+len(part):]
		}
		if ok && !a.hidden[str(l["ProspectID"])] {
			found = append(found, l)
		}
	}
	return found
}

// upsert makes a lead, or changes the one of its number if there is one and that is wanted.
func (a *account) upsert(body any, q url.Values, update bool) (any, *exception) {
	number, by := "", ""
	list, _ := body.([]any)
	for _, p := range list {
		switch o := p.(object); o["Attribute"] {
		case "Phone":
			number = str(o["Value"])
		case "SearchBy":
			by = str(o["Value"])
		}
	}
	if update && by != "Phone" || number == "" {
		return nil, &exception{500, "MXMandatoryAttributeMissingException", "'Phone' is mandatory"}
	}
	if n := len(digits(number)); n < 7 || a.national && n != 10 {
		return nil, &exception{500, "MXInvalidAttributeValueException", "Phone is not a valid number"}
	}
	for _, l := range a.leads {
		switch {
		case !update && l["Phone"] == number:
			return nil, &exception{500, "MXDuplicateEntryException", "A Lead with same Phone Number already exists."}
		case update && a.alike(str(l["Phone"]), number):
			return object{"Status": "Success", "Message": object{"Id": l["ProspectID"], "AffectedRows": 1}}, a.set(l, body, q)
		}
	}
	l := a.newLead(number)
	if no := a.set(l, body, url.Values{}); no != nil {
		return nil, no
	}
	a.leads = append(a.leads, l)
	if a.hide {
		a.hidden[str(l["ProspectID"])] = true
	}
	return object{"Status": "Success", "Message": object{"Id": l["ProspectID"], "AffectedRows": 1}}, nil
}

func (a *account) newLead(number string) object {
	at := a.tick()
	l := object{
		"ProspectID": a.id(), "Phone": number, "Mobile": nil, "FirstName": nil, "LastName": nil, "ProspectStage": "Prospect", "DoNotCall": "0",
		"OwnerId": apiUser, "CreatedOn": at, "ModifiedOn": at,
	}
	if a.noStage {
		delete(l, "ProspectStage")
	}
	return l
}

func (a *account) set(l object, body any, q url.Values) *exception {
	next := maps.Clone(l)
	list, ok := body.([]any)
	if !ok || len(list) == 0 {
		return &exception{400, "MXInvalidInputException", "A list of attributes is expected"}
	}
	for _, p := range list {
		name, value := str(p.(object)["Attribute"]), str(p.(object)["Value"])
		_, known := next[name]
		switch {
		case name == "SearchBy":
			continue
		case !known:
			return &exception{500, "MXInvalidAttributeException", "Attribute '" + name + "' does not exist"}
		case name == "ProspectStage" && !slices.Contains(a.stages, value):
			return &exception{500, "MXInvalidAttributeValueException", "'" + value + "' is not a valid value of ProspectStage"}
		}
		next[name] = value
	}
	next["ModifiedOn"] = a.tick()
	maps.Copy(l, next)
	if q.Get("postUpdatedLead") == "true" {
		a.updates = append(a.updates, str(l["ProspectID"]))
	}
	return nil
}

// knows tells whether an activity type has a field.
func (a *account) knows(code int, name string) bool {
	for _, t := range a.types {
		if t["ActivityEvent"] == code && strings.Contains(str(t["ActivityProperties"]), `"`+name+`"`) {
			return true
		}
	}
	return false
}

func (a *account) values(code int, o, into object) *exception {
	fields, _ := o["Fields"].([]any)
	for _, f := range fields {
		name, value := str(f.(object)["SchemaName"]), str(f.(object)["Value"])
		switch {
		case !a.knows(code, name):
			return &exception{500, "MXInvalidAttributeException", "Field " + name + " does not exist"}
		case name == a.refuse || len([]rune(value)) > 200:
			return &exception{500, "MXInvalidAttributeValueException", "The value of " + name + " is not valid"}
		}
		into[name] = value
	}
	return nil
}

func (a *account) createActivity(o object) (any, *exception) {
	code, _ := o["ActivityEvent"].(float64)
	if !slices.ContainsFunc(a.types, func(t object) bool { return t["ActivityEvent"] == int(code) }) {
		return nil, &exception{500, "MXInvalidActivityEventException", "Activity event is not valid"}
	}
	if a.lead(o["RelatedProspectId"]) == nil {
		return nil, &exception{500, "MXLeadNotFoundException", "Lead does not exist"}
	}
	if _, err := time.Parse("2006-01-02 15:04:05", str(o["ActivityDateTime"])); err != nil {
		return nil, &exception{500, "MXInvalidDateFormatException", "ActivityDateTime is not valid"}
	}
	made := object{"Id": a.id(), "lead": o["RelatedProspectId"], "code": int(code), "at": o["ActivityDateTime"], "note": o["ActivityNote"], "fields": object{}}
	if no := a.values(int(code), o, made["fields"].(object)); no != nil {
		return nil, no
	}
	a.activities = append(a.activities, made)
	a.lead(o["RelatedProspectId"])["ModifiedOn"] = a.tick()
	return object{"Status": "Success", "Message": object{"Id": made["Id"]}}, nil
}

func (a *account) updateActivity(o object) (any, *exception) {
	for _, made := range a.activities {
		if made["Id"] != o["ProspectActivityId"] {
			continue
		}
		fields := maps.Clone(made["fields"].(object))
		if no := a.values(made["code"].(int), o, fields); no != nil {
			return nil, no
		}
		made["fields"], made["note"] = fields, o["ActivityNote"] // a note that is not sent is emptied
		return object{"Status": "Success", "Message": object{"AffectedRows": 1}}, nil
	}
	return nil, &exception{500, "MXActivityNotFoundException", "Activity does not exist"}
}

func (a *account) retrieve(lead string, o object) (any, *exception) {
	if a.lead(lead) == nil {
		return nil, &exception{500, "MXLeadNotFoundException", "Lead does not exist"}
	}
	code, _ := o["Parameter"].(object)["ActivityEvent"].(float64)
	offset, _ := strconv.Atoi(str(o["Paging"].(object)["Offset"]))
	size, _ := strconv.Atoi(str(o["Paging"].(object)["RowCount"]))
	all := []object{}
	for _, made := range a.activities {
		if made["lead"] == lead && made["code"] == int(code) {
			fields := maps.Clone(made["fields"].(object))
			all = append(all, object{
				"Id": made["Id"], "EventCode": made["code"], "EventName": "VInfer call", "CreatedOn": made["at"], "ActivityType": 2,
				"Data": []object{{"Key": "NotableEventDescription", "Value": made["note"]}}, "ActivityFields": fields,
			})
		}
	}
	slices.SortStableFunc(all, func(x, y object) int { return strings.Compare(str(y["CreatedOn"]), str(x["CreatedOn"])) })
	if a.most > 0 {
		size = min(size, a.most)
	}
	if !a.byRow {
		offset *= size
	}
	offset = min(offset, len(all))
	return object{"RecordCount": len(all), "ProspectActivities": all[offset:min(offset+size, len(all))]}, nil
}

func (a *account) tasksOf(lead string) any {
	list := []object{}
	for _, t := range a.tasks {
		if t["lead"] == lead {
			list = append(list, t)
		}
	}
	return object{"RecordCount": len(list), "TaskList": list}
}

func (a *account) createTask(o object) (any, *exception) {
	due, err := time.Parse("2006-01-02 15:04:05", str(o["DueDate"]))
	kind, _ := o["TaskType"].(object)
	switch {
	case str(o["Name"]) == "" || err != nil:
		return nil, &exception{500, "MXMandatoryAttributeMissingException", "'Name' and 'DueDate' are mandatory"}
	case o["RelatedEntity"] != 1.0 || a.lead(o["RelatedEntityId"]) == nil:
		return nil, &exception{500, "MXLeadNotFoundException", "Lead does not exist"}
	case kind != nil && kind["Name"] != "Call Back" && kind["Name"] != "Follow Up":
		return nil, &exception{500, "MXInvalidInputException", "Task Type does not exist"}
	}
	owner := str(o["OwnerId"])
	if email := str(o["OwnerEmailAddress"]); email != "" {
		if owner = human; email != "asha@example.com" {
			return nil, &exception{500, "MXInvalidInputException", "Owner does not exist"}
		}
	}
	id := a.id()
	a.tasks = append(a.tasks, object{
		"TaskID": id, "Name": o["Name"], "Description": o["Description"], "DueDate": due.Format("2006-01-02 15:04:05"), "Status": "Pending", "OwnerID": owner,
		"lead": o["RelatedEntityId"],
	})
	return object{"Status": "Success", "Message": object{"Id": id}}, nil
}
