package dynamics_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

const (
	clientID = "c11e0000-0000-4000-8000-000000000001"
	secret   = "s3cr3t~of-the-app"
	me       = "00000000-0000-4000-8000-0000000000aa"
	asha     = "00000000-0000-4000-8000-0000000000a5"
	ravi     = "00000000-0000-4000-8000-0000000000b6"
	path     = "/api/data/v9.2/"
)

type row = map[string]any

// fake is a Dataverse environment as documented: PATCH with If-Match and If-None-Match, choices by number, activities that are locked when they are
// completed, merged records that point to their master.
type fake struct {
	mu      sync.Mutex
	sets    map[string]map[string]row // by set and id
	order   []string                  // "set/id", as created
	columns map[string]map[string]string
	choices map[string][]row // "lead.statuscode"
	tokens  int
	expired bool
	refuse  string // a column of phone calls
	deny    string // why no record may be changed
	custom  string // the column of the lead status, if it is not statuscode
	roles   []string
	clock   time.Time
}

func newFake() *fake {
	f := &fake{sets: map[string]map[string]row{}, columns: map[string]map[string]string{}, clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	f.choices = map[string][]row{
		"lead.statuscode": {
			choice(1, 0, "New"), choice(2, 0, "Contacted"), choice(3, 1, "Qualified"), choice(4, 2, "Lost"), choice(5, 2, "Dead"), choice(6, 2, "Cold"),
		},
		"phonecall.statuscode": {choice(1, 0, "Open"), choice(2, 1, "Made"), choice(4, 1, "Received"), choice(3, 2, "Canceled")},
		"task.statuscode":      {choice(2, 0, "Not Started"), choice(5, 1, "Completed")},
		"contact.statuscode":   {choice(1, 0, "Active"), choice(2, 1, "Inactive")},
	}
	for i, label := range labels {
		f.choices["lead.statuscode"] = append(f.choices["lead.statuscode"], choice(100+i, 0, label))
	}
	person := "fullname:- firstname:String lastname:String mobilephone:String telephone1:String telephone2:String telephone3:String donotphone:Boolean " +
		"statecode:Int statuscode:Int merged:- _masterid_value:-"
	always := " subject:String description:Memo createdon:- modifiedon:- _ownerid_value:- ownerid@odata.bind:Ref"
	activity := " statecode:Int statuscode:Int scheduledend:Time _regardingobjectid_value:-" + always
	for table, list := range map[string]string{
		"lead": "leadid:- " + person + always, "contact": "contactid:- " + person + always,
		"phonecall": "activityid:- directioncode:Boolean phonenumber:String actualstart:Time actualend:Time actualdurationminutes:Int phonecall_activity_parties:Parties " +
			"regardingobjectid_lead_phonecall@odata.bind:Ref regardingobjectid_contact_phonecall@odata.bind:Ref vinfer_callid:String vinfer_language:String vinfer_qascore:Double" + activity,
		"task":       "activityid:- prioritycode:Int regardingobjectid_lead_task@odata.bind:Ref regardingobjectid_contact_task@odata.bind:Ref" + activity,
		"annotation": "annotationid:- notetext:Memo objectid_lead@odata.bind:Ref objectid_contact@odata.bind:Ref" + always,
		"systemuser": "systemuserid:- internalemailaddress:String domainname:String isdisabled:Boolean createdon:- modifiedon:-",
	} {
		f.columns[table] = map[string]string{}
		for _, c := range strings.Fields(list) {
			name, kind, _ := strings.Cut(c, ":")
			f.columns[table][name] = kind
		}
		f.sets[table+"s"] = map[string]row{}
	}
	f.sets["systemusers"][me] = row{"systemuserid": me, "internalemailaddress": "", "domainname": "app@example.com", "isdisabled": false}
	f.sets["systemusers"][asha] = row{"systemuserid": asha, "internalemailaddress": "asha@example.com", "domainname": `EX\asha`, "isdisabled": false}
	for _, may := range []string{"Create", "Read", "Write", "Append", "AppendTo"} {
		for _, what := range []string{"Lead", "Contact", "Activity", "Note"} {
			f.roles = append(f.roles, "prv"+may+what)
		}
	}
	return f
}

// labels are the statuses that somebody has added.
var labels = []string{"Hot Lead", "Callback", "In Process", "New status", "Old status", "Old again", "First", "Second", "Third", "Ahead", "Next"}

func choice(value, state int, label string) row {
	return row{"Value": value, "State": state, "Label": row{"UserLocalizedLabel": row{"Label": label}}}
}

func (f *fake) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.URL.Path == "/adfs/oauth2/token" {
		_ = r.ParseForm()
		if r.Form.Get("grant_type") != "client_credentials" || r.Form.Get("client_id") != clientID || r.Form.Get("client_secret") != secret || r.Form.Get("resource") == "" {
			answer(rw, 401, row{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."})
			return
		}
		f.tokens++
		answer(rw, 200, row{"token_type": "Bearer", "expires_in": 3599, "access_token": f.token()})
		return
	}
	if f.expired || r.Header.Get("Authorization") != "Bearer "+f.token() {
		f.expired = false
		rw.WriteHeader(http.StatusUnauthorized)
		return
	}
	rest, ok := strings.CutPrefix(r.URL.Path, path)
	switch m := one.FindStringSubmatch(rest); {
	case !ok || r.Header.Get("OData-Version") != "4.0":
		fault(rw, 404, "0x8006088a", "Resource not found")
	case rest == "WhoAmI":
		answer(rw, 200, row{"BusinessUnitId": asha, "UserId": me, "OrganizationId": asha})
	case strings.HasSuffix(rest, "RetrieveUserPrivileges()"):
		var all []row
		for _, name := range f.roles {
			all = append(all, row{"PrivilegeName": name, "Depth": "Global"})
		}
		answer(rw, 200, row{"RolePrivileges": all})
	case strings.HasPrefix(rest, "EntityDefinitions("):
		f.metadata(rw, r, rest)
	case m != nil && f.sets[m[1]] != nil && r.Method == http.MethodGet:
		held := f.sets[m[1]][m[2]]
		if held == nil {
			fault(rw, 404, "0x80040217", "Entity '"+m[1]+"' With Id = "+m[2]+" Does Not Exist")
			return
		}
		if shown := f.selected(rw, m[1], r.URL.Query().Get("$select"), held); shown != nil {
			answer(rw, 200, shown)
		}
	case m != nil && f.sets[m[1]] != nil && r.Method == http.MethodPatch:
		f.patch(rw, r, m[1], m[2])
	case f.sets[rest] != nil && r.Method == http.MethodGet:
		f.list(rw, r, rest)
	default:
		fault(rw, 404, "0x80060888", "Resource not found for the segment '"+rest+"'.")
	}
}

var one = regexp.MustCompile(`^(\w+)\(([0-9a-f-]{36})\)$`)

func (f *fake) token() string { return fmt.Sprint("token-number-", f.tokens) }

func answer(rw http.ResponseWriter, status int, v any) {
	rw.Header().Set("Content-Type", "application/json; odata.metadata=minimal")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(v)
}

func fault(rw http.ResponseWriter, status int, code, message string) {
	answer(rw, status, row{"error": row{"code": code, "message": message}})
}

// tableOf returns the logical name of a set.
func tableOf(set string) string { return strings.TrimSuffix(set, "s") }

// selected returns the columns asked for; nil: it has answered that one does not exist.
func (f *fake) selected(rw http.ResponseWriter, set, columns string, held row) row {
	out := row{"@odata.etag": `W/"1"`}
	for name := range strings.SplitSeq(columns, ",") {
		if f.columns[tableOf(set)][name] == "" || name == "" {
			fault(rw, 400, "0x80060888", "Could not find a property named '"+name+"' on type 'Microsoft.Dynamics.CRM."+tableOf(set)+"'.")
			return nil
		}
		out[name] = held[name]
		if table := held[name+"@table"]; table != nil {
			out[name+"@Microsoft.Dynamics.CRM.lookuplogicalname"] = table
		}
	}
	return out
}

var (
	in = regexp.MustCompile(`^Microsoft\.Dynamics\.CRM\.In\(PropertyName='(\w+)',PropertyValues=(\[.*\])\)$`)
	eq = regexp.MustCompile(`^(\w+) eq (?:'((?:[^']|'')*)'|(false|[0-9a-f-]{36}))$`)
)

// list answers a query: conditions joined by or, within brackets that and joins.
func (f *fake) list(rw http.ResponseWriter, r *http.Request, set string) {
	q := r.URL.Query()
	var found []row
	for name := range f.sets[set] {
		held := f.sets[set][name]
		fits := true
		for _, all := range strings.Split(q.Get("$filter"), " and ") {
			either := q.Get("$filter") == ""
			for _, c := range strings.Split(strings.Trim(all, "()"), " or ") {
				if strings.HasPrefix(c, "Microsoft.") && !strings.HasSuffix(c, ")") {
					c += ")" // the last one's, which Trim took
				}
				yes, known := f.condition(tableOf(set), c, held)
				if !known && q.Get("$filter") != "" {
					fault(rw, 400, "0x80060888", "Syntax error in: "+c)
					return
				}
				either = either || yes
			}
			fits = fits && either
		}
		if fits {
			found = append(found, held)
		}
	}
	slices.SortFunc(found, func(a, b row) int { return strings.Compare(fmt.Sprint(b["modifiedon"]), fmt.Sprint(a["modifiedon"])) })
	out := []row{}
	for _, held := range append([]row{{}}, found...) {
		shown := f.selected(rw, set, q.Get("$select"), held)
		if shown == nil {
			return
		}
		if len(held) > 0 {
			out = append(out, shown)
		}
	}
	answer(rw, 200, row{"value": out})
}

func (f *fake) condition(table, c string, held row) (fits, known bool) {
	if m := in.FindStringSubmatch(c); m != nil && f.columns[table][m[1]] != "" {
		var values []string
		if json.Unmarshal([]byte(strings.ReplaceAll(m[2], "''", "'")), &values) != nil {
			return false, false
		}
		return slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, fmt.Sprint(held[m[1]])) }), true
	}
	m := eq.FindStringSubmatch(c)
	if m == nil || f.columns[table][m[1]] == "" {
		return false, false
	}
	return fmt.Sprint(held[m[1]]) == strings.ReplaceAll(m[2], "''", "'")+m[3], true
}

// patch creates or updates a record, as the headers allow.
func (f *fake) patch(rw http.ResponseWriter, r *http.Request, set, id string) {
	table, held := tableOf(set), f.sets[set][id]
	var body row
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		fault(rw, 400, "0x80048d19", "Error identified in Payload provided by the user")
		return
	}
	switch {
	case held == nil && r.Header.Get("If-Match") == "*":
		fault(rw, 404, "0x80040217", table+" With Id = "+id+" Does Not Exist")
		return
	case held != nil && r.Header.Get("If-None-Match") == "*":
		fault(rw, 412, "0x80060882", "A record with matching key values already exists.")
		return
	case held == nil && r.Header.Get("If-None-Match") != "*", held != nil && r.Header.Get("If-Match") != "*":
		fault(rw, 400, "0x0", "the test wants every PATCH to say what it expects")
		return
	}
	if held != nil && f.deny != "" {
		fault(rw, 403, "0x80040220", f.deny)
		return
	}
	if message := f.invalid(table, held, body); message != "" {
		fault(rw, 400, "0x80048d19", message)
		return
	}
	if held == nil {
		held = row{table + "id": id, "createdon": f.now(), "statecode": 0, "statuscode": 1, "donotphone": false, "merged": false, "_ownerid_value": me, "_ownerid_value@table": "systemuser"}
		if table == "task" {
			held["statuscode"] = 2
		}
		f.sets[set][id] = held
		f.order = append(f.order, set+"/"+id)
	}
	f.set(table, held, body)
	rw.WriteHeader(http.StatusNoContent)
}

// invalid returns why Dataverse does not take the columns; empty: it does. held is nil for a new record.
func (f *fake) invalid(table string, held, body row) string {
	for name, v := range body {
		kind := f.columns[table][name]
		switch {
		case kind == "" || name == f.refuse && table == "phonecall":
			return "The property '" + name + "' does not exist on type 'Microsoft.Dynamics.CRM." + table + "'. Make sure to only use property names that are defined by the type."
		case kind == "-":
			return "the property '" + name + "' is read-only"
		case kind == "Parties" && held != nil:
			return "Deep insert of " + name + " is not allowed in an update"
		case kind == "Ref" && !f.exists(fmt.Sprint(v)):
			return fmt.Sprint("the reference ", name, " to ", v, " is to nothing")
		case (kind == "String" || kind == "Memo") && len([]rune(fmt.Sprint(v))) > limit(name):
			return "A validation error occurred. The length of the '" + name + "' attribute exceeded the maximum allowed length"
		}
		if options := f.choices[table+"."+name]; kind == "Picklist" && !slices.ContainsFunc(options, func(o row) bool { return fmt.Sprint(o["Value"]) == fmt.Sprint(v) }) {
			return fmt.Sprint("A validation error occurred. The value ", v, " of '", name, "' is outside the valid range")
		}
	}
	state, both := body["statecode"]
	status, has := body["statuscode"]
	if both != has {
		return "statecode and statuscode must be set together"
	}
	if has && !slices.ContainsFunc(f.choices[table+".statuscode"], func(o row) bool {
		return fmt.Sprint(o["Value"], o["State"]) == fmt.Sprint(status, state)
	}) {
		return fmt.Sprint(status, " is not a valid status code for state code ", state)
	}
	activity := table == "phonecall" || table == "task"
	switch closed := held != nil && fmt.Sprint(held["statecode"]) != "0"; {
	case held == nil && has && fmt.Sprint(state) != "0":
		return fmt.Sprint("a ", table, " cannot be created in state ", state)
	case activity && closed && !has:
		return "This activity is completed and cannot be changed"
	case table == "lead" && closed && fmt.Sprint(held["statecode"]) == "1":
		return "This lead is qualified and cannot be changed"
	}
	return ""
}

func limit(name string) int {
	switch name {
	case "firstname", "lastname", "mobilephone", "telephone1", "telephone2", "telephone3":
		return 50
	case "subject", "phonenumber":
		return 200
	case "notetext":
		return 100_000
	}
	return 2000
}

func (f *fake) exists(ref string) bool {
	m := one.FindStringSubmatch(strings.TrimPrefix(ref, "/"))
	return m != nil && f.sets[m[1]] != nil && f.sets[m[1]][m[2]] != nil
}

func (f *fake) now() string {
	f.clock = f.clock.Add(time.Second)
	return f.clock.Format(time.RFC3339)
}

func (f *fake) set(table string, held, body row) {
	for name, v := range body {
		if ref, ok := strings.CutSuffix(name, "@odata.bind"); ok {
			m := one.FindStringSubmatch(strings.TrimPrefix(fmt.Sprint(v), "/"))
			value := "_" + strings.TrimSuffix(strings.TrimSuffix(ref, "_"+table), "_"+tableOf(m[1])) + "_value"
			held[value], held[value+"@table"] = m[2], tableOf(m[1])
			continue
		}
		if s, ok := v.(string); ok {
			v = strings.ReplaceAll(s, "\x00", "")
		}
		held[name] = v
	}
	held["fullname"] = strings.TrimSpace(fmt.Sprint(asText(held["firstname"]), " ", asText(held["lastname"])))
	held["modifiedon"] = f.now()
}

func asText(v any) string {
	s, _ := v.(string)
	return s
}

// metadata answers what columns and choices there are, and creates columns.
func (f *fake) metadata(rw http.ResponseWriter, r *http.Request, rest string) {
	names := quotedName.FindAllStringSubmatch(rest, -1)
	table := names[0][1]
	switch {
	case r.Method == http.MethodPost:
		var body row
		_ = json.NewDecoder(r.Body).Decode(&body)
		kind := strings.TrimSuffix(strings.TrimPrefix(asText(body["@odata.type"]), "Microsoft.Dynamics.CRM."), "AttributeMetadata")
		name := strings.ToLower(asText(body["SchemaName"]))
		if f.columns[table][name] != "" || kind == "" || !strings.Contains(name, "_") {
			fault(rw, 400, "0x80044363", "An attribute with the specified name "+name+" already exists, or cannot be created")
			return
		}
		f.columns[table][name] = kind
		rw.WriteHeader(http.StatusNoContent)
	case len(names) == 1:
		var all []row
		for name, kind := range f.columns[table] {
			all = append(all, row{"LogicalName": name, "AttributeType": kind})
		}
		answer(rw, 200, row{"value": all})
	case f.columns[table][names[1][1]] == "":
		fault(rw, 404, "0x80060888", "Could not find an attribute with the name "+names[1][1])
	case strings.HasSuffix(rest, "AttributeMetadata"):
		answer(rw, 200, row{"LogicalName": names[1][1], "OptionSet": row{"Options": f.choices[table+"."+names[1][1]]}})
	default:
		answer(rw, 200, row{"LogicalName": names[1][1], "AttributeType": f.columns[table][names[1][1]]})
	}
}

var quotedName = regexp.MustCompile(`LogicalName='(\w+)'`)

// useColumn has a choice of one's own hold the lead status, of leads and contacts.
func (f *fake) useColumn() {
	f.custom = "new_stage"
	for _, table := range []string{"lead", "contact"} {
		f.columns[table][f.custom] = "Picklist"
		for i, label := range append([]string{"Cold", "Dead", "New"}, labels...) {
			f.choices[table+"."+f.custom] = append(f.choices[table+"."+f.custom], choice(500+i, 0, label))
		}
	}
}

// status is the column of the lead status, and label what people read of it.
func (f *fake) status(table string) string {
	if f.custom == "" && table == "contact" {
		return ""
	}
	if f.custom != "" {
		return f.custom
	}
	return "statuscode"
}

func (f *fake) label(table string, held row) string {
	name := f.status(table)
	for _, o := range f.choices[table+"."+name] {
		if held[name] != nil && fmt.Sprint(o["Value"]) == fmt.Sprint(held[name]) {
			return o["Label"].(row)["UserLocalizedLabel"].(row)["Label"].(string)
		}
	}
	return ""
}

// give gives a person a status by its label.
func (f *fake) give(table string, held row, label string) {
	for _, o := range f.choices[table+"."+f.status(table)] {
		if o["Label"].(row)["UserLocalizedLabel"].(row)["Label"] == label {
			held[f.status(table)] = o["Value"]
			if f.status(table) == "statuscode" {
				held["statecode"] = o["State"]
			}
			held["modifiedon"] = f.now()
			return
		}
	}
}

// held returns a record that is named "leads/ID".
func (f *fake) held(t *testing.T, name string) row {
	t.Helper()
	set, id, _ := strings.Cut(name, "/")
	held := f.sets[set][id]
	if held == nil {
		t.Fatalf("there is no %s", name)
	}
	return held
}

// add creates a person as its users do.
func (f *fake) add(set string, c crmtest.Contact) string {
	first, last, ok := strings.Cut(c.Name, " ")
	if !ok {
		first, last = "", first
	}
	id := fmt.Sprintf("%08x-0000-4000-8000-000000000000", len(f.order)+1)
	held := row{tableOf(set) + "id": id, "createdon": f.now(), "statecode": 0, "statuscode": 1, "donotphone": false, "merged": false, "_ownerid_value": asha, "_ownerid_value@table": "systemuser"}
	f.set(tableOf(set), held, row{"firstname": first, "lastname": last, "mobilephone": c.Phone})
	f.give(tableOf(set), held, c.Status)
	f.sets[set][id] = held
	f.order = append(f.order, set+"/"+id)
	return set + "/" + id
}

// qualify makes a contact of a lead, which stays, locked.
func (f *fake) qualify(t *testing.T, lead string) string {
	l := f.held(t, lead)
	contact := f.add("contacts", crmtest.Contact{Phone: asText(l["mobilephone"]), Name: asText(l["fullname"])})
	f.held(t, contact)["donotphone"] = l["donotphone"]
	l["statecode"], l["statuscode"], l["modifiedon"] = 1, 3, f.now()
	return contact
}

// merge moves what hangs on a record to another one and deactivates it.
func (f *fake) merge(t *testing.T, loser, survivor string) {
	_, from, _ := strings.Cut(loser, "/")
	set, to, _ := strings.Cut(survivor, "/")
	for _, records := range f.sets {
		for _, held := range records {
			for _, ref := range []string{"_regardingobjectid_value", "_objectid_value"} {
				if held[ref] == from {
					held[ref], held[ref+"@table"] = to, tableOf(set)
				}
			}
		}
	}
	l := f.held(t, loser)
	l["merged"], l["_masterid_value"], l["statecode"] = true, to, 1
}

func (f *fake) remove(name string) {
	set, id, _ := strings.Cut(name, "/")
	delete(f.sets[set], id)
	f.order = slices.DeleteFunc(f.order, func(n string) bool { return n == name })
}

// state returns what an administrator sees of records in use.
func (f *fake) state() (s crmtest.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range f.order {
		set, id, _ := strings.Cut(name, "/")
		held := f.sets[set][id]
		if held == nil || held["merged"] == true {
			continue
		}
		table := tableOf(set)
		switch table {
		case "lead", "contact":
			s.Contacts = append(s.Contacts, crmtest.Contact{
				ID: name, Phone: asText(held["mobilephone"]), Name: asText(held["fullname"]), Status: f.label(table, held), DoNotCall: held["donotphone"] == true,
			})
		case "phonecall":
			call := crmtest.Call{ID: asText(held["vinfer_callid"])}
			if to := held["_regardingobjectid_value@table"]; to != nil {
				call.Contact = fmt.Sprint(to, "s/", held["_regardingobjectid_value"])
			}
			var rest string
			call.Disposition, call.Summary, rest = crmtest.ReadBody(asText(held["description"]), call.ID)
			fields := maps.Clone(held)
			for _, name := range []string{"description", "modifiedon", "createdon", "activityid", "phonecallid"} {
				delete(fields, name)
			}
			call.Rest = fmt.Sprint(fields, rest)
			s.Calls = append(s.Calls, call)
		case "task":
			_, of, _ := strings.Cut(asText(held["description"]), "VInfer call ")
			s.Tasks = append(s.Tasks, crmtest.Task{Call: of, Title: asText(held["subject"])})
		case "annotation":
			if n, ok := crmtest.ReadNote(asText(held["notetext"])); ok {
				s.Notes = append(s.Notes, n)
			}
		}
	}
	return s
}
