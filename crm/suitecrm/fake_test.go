package suitecrm_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// fake is a SuiteCRM 7.13 as far as recorded from a running one: lax where that is lax (drop-downs, dates that it drops), strict where it
// is strict (unknown names, ids that were there before).
type fake struct {
	tables   map[string][]map[string]any
	fields   map[string][]string
	used     map[string]bool // ids that are taken, of deleted records too
	tokens   int
	expired  bool // the next request's token is refused
	refuse   string
	old      bool   // it has no route for links by name
	raced    bool   // the database is the first to see that a record is there
	hidden   bool   // the menu does not show the modules
	userGone bool   // the client's user was deleted
	narrow   bool   // its tables are utf8mb3
	strict   bool   // and its database is in strict mode
	deny     string // a method whose requests the role does not allow
	next     int
	clock    time.Time
}

const (
	clientID = "e1f2a3b4-0000-4000-8000-00000000c11e"
	secret   = "s3cr3t-of-the-client"
)

func newFake() *fake {
	f := &fake{tables: map[string][]map[string]any{}, used: map[string]bool{}, clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	all := func(names ...string) []string {
		return append([]string{"id", "name", "date_entered", "date_modified", "deleted", "description", "assigned_user_id"}, names...)
	}
	person := []string{"first_name", "last_name", "phone_mobile", "phone_work", "phone_home", "phone_other", "do_not_call", "status", "converted"}
	parent := []string{"status", "parent_type", "parent_id"}
	f.fields = map[string][]string{
		"Leads": all(person...), "Contacts": all(person[:7]...), "Users": all("user_name"),
		"Calls": all(append(parent, "direction", "date_start", "date_end", "duration_hours", "duration_minutes", "vinfer_call_id_c", "vinfer_language_c")...),
		"Tasks": all(append(parent, "priority", "date_due")...), "Notes": all(append(parent, "contact_id")...),
	}
	f.tables["Users"] = []map[string]any{{"id": "1", "user_name": "admin"}, {"id": "0a1b2c3d-0000-4000-8000-000000000007", "user_name": "asha"}}
	return f
}

func (f *fake) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	var body struct {
		Data struct {
			Type       string         `json:"type"`
			ID         string         `json:"id"`
			Attributes map[string]any `json:"attributes"`
		} `json:"data"`
		Grant  string `json:"grant_type"`
		Client string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	_ = json.NewDecoder(r.Body).Decode(&body)
	rw.Header().Set("Content-Type", "application/vnd.api+json")
	if r.URL.Path == "/Api/access_token" {
		if body.Grant != "client_credentials" || body.Client != clientID || body.Secret != secret {
			answer(rw, 401, map[string]any{"error": "invalid_client", "message": "Client authentication failed"})
			return
		}
		f.tokens++
		answer(rw, 200, map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": f.token()})
		return
	}
	if f.expired || r.Header.Get("Authorization") != "Bearer "+f.token() {
		f.expired = false
		answer(rw, 401, map[string]any{"error": "access_denied", "message": "The resource owner or authorization server denied the request."})
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/Api/V8/"), "/")
	switch d := body.Data; {
	case f.userGone:
		fault(rw, "Users module with id 0a1b2c3d-0000-4000-8000-000000000007 is not found")
	case len(parts) == 3 && parts[0] == "meta":
		if f.hidden {
			fault(rw, "[SuiteCRM] [NotAllowedException] The API user does not have access to this module.")
			return
		}
		attributes := map[string]any{}
		for _, name := range f.fields[parts[2]] {
			attributes[name] = map[string]any{"type": "varchar"}
		}
		answer(rw, 200, map[string]any{"data": map[string]any{"type": "fields", "attributes": attributes}})
	case f.deny != "" && r.Method == f.deny:
		fault(rw, "[SuiteCRM] [AccessDeniedException] ")
	case r.Method == http.MethodPost && len(parts) == 1:
		f.create(rw, d.Type, d.ID, d.Attributes)
	case r.Method == http.MethodPatch && len(parts) == 1:
		f.change(rw, d.Type, d.ID, d.Attributes)
	case r.Method == http.MethodPost && len(parts) >= 4 && parts[3] == "relationships":
		switch {
		case len(parts) == 5 && f.old:
			rw.WriteHeader(http.StatusNotFound)
			return
		case len(parts) == 5 && parts[4] != strings.ToLower(d.Type):
			fault(rw, "Cannot load relationship %s for %s module", parts[4], parts[1])
			return
		case len(parts) == 4 && d.Type == "Contacts": // the first relationship of the two modules has no link field at calls
			fault(rw, "Link field has not found in Call to determine relationship for Contact")
			return
		}
		if f.row(parts[1], parts[2]) == nil || f.row(d.Type, d.ID) == nil {
			fault(rw, "Bean %s with id %s is not found", d.Type, d.ID)
			return
		}
		answer(rw, 201, map[string]any{"meta": map[string]any{"message": "added"}, "data": []any{}})
	case r.Method == http.MethodGet && len(parts) == 3:
		if !isUUID.MatchString(parts[2]) {
			fault(rw, "The option \"id\" with value \"%s\" is invalid.", parts[2])
			return
		}
		row := f.row(parts[1], parts[2])
		if row == nil {
			fault(rw, "%s module with id %s is not found", parts[1], parts[2])
			return
		}
		answer(rw, 200, map[string]any{"data": f.shown(parts[1], row)})
	case r.Method == http.MethodGet && len(parts) == 2:
		f.list(rw, r, parts[1])
	default:
		rw.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (f *fake) token() string { return "token-number-" + strconv.Itoa(f.tokens) }

var isUUID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func answer(rw http.ResponseWriter, status int, v any) {
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(v)
}

// fault is how it says that something is wrong, whatever it is.
func fault(rw http.ResponseWriter, format string, args ...any) {
	answer(rw, 400, map[string]any{"errors": map[string]any{"status": 400, "title": nil, "detail": fmt.Sprintf(format, args...)}})
}

var wideRunes = regexp.MustCompile(`[\x{10000}-\x{10ffff}]`)

func (f *fake) known(rw http.ResponseWriter, module string, values map[string]any) bool {
	if f.narrow && f.strict && wideRunes.MatchString(fmt.Sprint(values)) {
		fault(rw, "Database error: Incorrect string value: '\\xF0\\x9F\\x91\\x8D' for column 'description' at row 1")
		return false
	}
	for name := range values {
		if !slices.Contains(f.fields[module], name) || name == f.refuse {
			fault(rw, "Property %s in %s module is invalid", name, strings.TrimSuffix(module, "s"))
			return false
		}
	}
	return true
}

func (f *fake) create(rw http.ResponseWriter, module, id string, values map[string]any) {
	switch {
	case id != "" && !isUUID.MatchString(id):
		fault(rw, "The option \"id\" with value \"%s\" is invalid.", id)
		return
	case f.used[id] && f.raced:
		fault(rw, "Duplicate entry '%s' for key 'PRIMARY'", id)
		return
	case f.used[id]:
		fault(rw, "Bean %s with id %s is already exist", module, id)
		return
	case !f.known(rw, module, values):
		return
	}
	answer(rw, 201, map[string]any{"data": f.shown(module, f.insert(module, id, values))})
}

func (f *fake) insert(module, id string, values map[string]any) map[string]any {
	if f.next++; id == "" {
		id = fmt.Sprintf("%08x-0000-4000-8000-000000000000", f.next)
	}
	f.used[id] = true
	row := map[string]any{"id": id, "date_entered": f.now()}
	f.tables[module] = append(f.tables[module], row)
	f.set(row, values)
	return row
}

func (f *fake) now() string {
	f.clock = f.clock.Add(time.Second)
	return f.clock.Format(time.RFC3339)
}

var sql = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`)

var tags = regexp.MustCompile(`</?[a-zA-Z][^>]*>`)

// purify does to a text what SuiteCRM 7.14 does when it saves one: purify_html of include/utils.php.
func purify(s string) string {
	clean := func(s string) string { // HTMLPurifier, roughly
		return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(tags.ReplaceAllString(html.UnescapeString(s), ""))
	}
	decoded := html.UnescapeString(html.UnescapeString(html.EscapeString(clean(s))))
	if strings.Contains(strings.ToLower(s+decoded), "<script>") {
		return ""
	}
	return html.EscapeString(clean(decoded))
}

// set takes values as the database does: all is text, and a date in another form becomes none.
func (f *fake) set(row, values map[string]any) {
	for name, v := range values {
		s := fmt.Sprint(v)
		if strings.HasPrefix(name, "date_") && !sql.MatchString(s) {
			s = ""
		}
		s = purify(s)
		if f.narrow {
			s = wideRunes.ReplaceAllString(s, "????")
		}
		if len(s) > 65_535 {
			s = s[:65_535]
		}
		if name == "name" && len([]rune(s)) > 50 && row["parent_type"] != nil && values["priority"] != nil {
			s = string([]rune(s)[:50])
		}
		row[name] = s
	}
	if row["date_start"] != nil {
		length(row)
	}
	row["date_modified"] = f.now()
}

// length does to a call what modules/Calls/Call.php of 7.13 does whenever one is saved: its empty() knows "0" and "", not "00".
func length(row map[string]any) {
	hours, minutes := fmt.Sprint(row["duration_hours"]), fmt.Sprint(row["duration_minutes"])
	row["date_end"] = row["date_start"]
	h, errH := strconv.Atoi(hours)
	m, errM := strconv.Atoi(minutes)
	row["duration_hours"], row["duration_minutes"] = strconv.Itoa(h), strconv.Itoa(m)
	start, err := time.Parse(time.DateTime, fmt.Sprint(row["date_start"]))
	if hours != "0" && minutes != "0" && errors.Join(errH, errM, err) == nil {
		row["date_end"] = start.Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute).Format(time.DateTime)
	}
}

func (f *fake) change(rw http.ResponseWriter, module, id string, values map[string]any) {
	row := f.row(module, id)
	if row == nil {
		fault(rw, "%s module with id %s is not found", module, id)
		return
	}
	if f.known(rw, module, values) {
		f.set(row, values)
		answer(rw, 201, map[string]any{"data": f.shown(module, row)})
	}
}

func (f *fake) row(module, id string) map[string]any {
	for _, r := range f.tables[module] {
		if r["id"] == id {
			return r
		}
	}
	return nil
}

func (f *fake) remove(module, id string) {
	f.tables[module] = slices.DeleteFunc(f.tables[module], func(r map[string]any) bool { return r["id"] == id })
}

func (f *fake) shown(module string, row map[string]any) map[string]any {
	attributes := map[string]any{}
	if module == "Users" { // the key's user is no administrator: PHP writes what it may see, nothing, as a list
		return map[string]any{"type": "User", "id": row["id"], "attributes": []any{}}
	}
	for _, name := range f.fields[module] {
		if v, ok := row[name]; ok && name != "id" {
			attributes[name] = v
		} else {
			attributes[name] = ""
		}
	}
	return map[string]any{"type": strings.TrimSuffix(module, "s"), "id": row["id"], "attributes": attributes}
}

var filter = regexp.MustCompile(`^filter\[(\w+)\]\[(eq|like)\]$`)

func (f *fake) list(rw http.ResponseWriter, r *http.Request, module string) {
	var match []func(row map[string]any) bool
	for key, values := range r.URL.Query() {
		m := filter.FindStringSubmatch(key)
		if m == nil {
			continue
		}
		if !slices.Contains(f.fields[module], m[1]) {
			fault(rw, "Filter field %s in %s module is not found", m[1], strings.TrimSuffix(module, "s"))
			return
		}
		if strings.HasSuffix(m[1], "_c") {
			fault(rw, "Unknown column '%s_cstm.%s' in 'WHERE'", strings.ToLower(module), m[1])
			return
		}
		want := values[len(values)-1]
		pattern := regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(want), "%", ".*") + "$")
		match = append(match, func(row map[string]any) bool {
			have := fmt.Sprint(row[m[1]])
			return m[2] == "eq" && have == want || m[2] == "like" && row[m[1]] != nil && pattern.MatchString(have)
		})
	}
	data := []any{}
	for _, row := range f.tables[module] {
		if len(match) == 0 || slices.ContainsFunc(match, func(fits func(map[string]any) bool) bool { return fits(row) }) {
			data = append(data, f.shown(module, row))
		}
	}
	answer(rw, 200, map[string]any{"data": data})
}

func (f *fake) must(t *testing.T, module, id string) map[string]any {
	t.Helper()
	r := f.row(module, id)
	if r == nil {
		t.Fatalf("there is no %s %s", module, id)
	}
	return r
}
