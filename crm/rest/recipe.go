package rest

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// Recipe describes a REST API. It holds no secret and no host, so it can be given to others.
type Recipe struct {
	Format    int               `yaml:"recipe"` // 1
	Name      string            `yaml:"name"`
	Vars      map[string]string `yaml:"vars"` // defaults of what a destination may set
	Headers   map[string]leaf   `yaml:"headers"`
	Auth      auth              `yaml:"auth"`
	Times     times             `yaml:"times"`
	Rate      *rate             `yaml:"rate"`
	Answers   answers           `yaml:"answers"`
	Errors    []rule            `yaml:"errors"`
	Contact   contactRecord     `yaml:"contact"`
	User      *request          `yaml:"user"`       // finds the owner by the name that the configuration gives
	NoContact string            `yaml:"no_contact"` // skip: a call without a contact is not written
	Call      *callRecord       `yaml:"call"`
	Task      *callRecord       `yaml:"task"`
	Note      *callRecord       `yaml:"note"`
	Check     []probe           `yaml:"check"`

	uses map[string]node
	need map[string]node
	file string
}

// auth says how requests prove who sends them, besides by headers.
type auth struct {
	Basic *basic          `yaml:"basic"`
	Query map[string]leaf `yaml:"query"` // goes with every request
	Path  leaf            `yaml:"path"`  // comes before every path
	Token *tokenRequest   `yaml:"token"`
}

type basic struct {
	User     leaf `yaml:"user"`
	Password leaf `yaml:"password"`
}

// tokenRequest fetches a short-lived token. Requests carry it as a bearer, unless a header has {{.Token}}.
type tokenRequest struct {
	Post  leaf            `yaml:"post"`
	Form  map[string]tree `yaml:"form"`
	JSON  *tree           `yaml:"json"`
	Basic *basic          `yaml:"basic"`
	Value path            `yaml:"value"` // where the token is in the answer
	Lasts path            `yaml:"lasts"` // in seconds
}

func (t *tokenRequest) request() *request {
	return &request{Post: t.Post, Form: t.Form, JSON: t.JSON}
}

// times says how times are written: rfc3339, unix, unixms, or a layout of Go ("2006-01-02 15:04:05").
type times struct {
	Format string `yaml:"format"`
	Zone   leaf   `yaml:"zone"`
}

// rate is how many requests are sent at most.
type rate struct {
	Requests int           `yaml:"requests"`
	Per      time.Duration `yaml:"per"`
}

func (r *rate) check(n node) {
	if r.Requests < 1 || r.Per <= 0 {
		n.fault("requests and per belong together", "write {requests: 2, per: 1s}")
	}
}

// answers says where things are in answers. A request may say otherwise.
type answers struct {
	List   path   `yaml:"list"`   // the records that were found
	Record path   `yaml:"record"` // the one that was read
	ID     path   `yaml:"id"`     // of what was created
	Error  path   `yaml:"error"`  // a code
	Text   path   `yaml:"text"`   // words for people
	OK     *match `yaml:"ok"`     // what a success says, where every answer has status 200
}

// rule gives answers a verdict. The first that fits counts, and only of answers that are no success.
type rule struct {
	Status  []int         `yaml:"status"`
	Is      []string      `yaml:"is"`   // codes, or /a regular expression/
	Text    string        `yaml:"text"` // a part of the answer
	Verdict string        `yaml:"verdict"`
	Wait    time.Duration `yaml:"wait"`
	WaitIn  path          `yaml:"wait_in"` // where the answer says for how many seconds

	codes []func(string) bool
}

// request is one request of the API.
type request struct {
	Get   leaf            `yaml:"get"`
	Post  leaf            `yaml:"post"`
	Put   leaf            `yaml:"put"`
	Patch leaf            `yaml:"patch"`
	Query map[string]leaf `yaml:"query"`
	JSON  *tree           `yaml:"json"`
	Form  map[string]tree `yaml:"form"`

	List   path `yaml:"list"`
	Record path `yaml:"record"`
	ID     path `yaml:"id"`    // of what was created; of find and look: the records are thin, each is read by this id
	Where  path `yaml:"where"` // of look: a record counts if the key is there

	method string
	path   leaf
}

// contactRecord describes contacts.
type contactRecord struct {
	Find   *request        `yaml:"find"`
	Read   *request        `yaml:"read"`
	Create *request        `yaml:"create"`
	Update *request        `yaml:"update"`
	Paths  contactPaths    `yaml:"paths"`
	Pick   map[string]path `yaml:"pick"`   // values for {{.Contact.Picked.x}}
	Fields map[string]tree `yaml:"fields"` // what a call changes
	New    map[string]tree `yaml:"new"`    // further fields of a new contact
	Lag    time.Duration   `yaml:"lag"`    // how long find may not show a new one
}

// contactPaths says where things are in the record of a contact.
type contactPaths struct {
	ID         path   `yaml:"id"`
	Numbers    []path `yaml:"numbers"`
	Name       path   `yaml:"name"`
	Status     path   `yaml:"status"`
	Owner      path   `yaml:"owner"`
	DoNotCall  path   `yaml:"do_not_call"`
	Created    path   `yaml:"created"`
	Changed    path   `yaml:"changed"`
	Superseded path   `yaml:"superseded"` // true of a lead that became a contact
}

// callRecord describes a record that is made of a call.
type callRecord struct {
	Once     *once           `yaml:"once"`
	Fields   map[string]tree `yaml:"fields"`   // what is known; an older record is brought up to date
	New      map[string]tree `yaml:"new"`      // further fields of a new record
	Optional []string        `yaml:"optional"` // fields that the record can do without
	Create   *request        `yaml:"create"`
	Read     *request        `yaml:"read"`
	Update   *request        `yaml:"update"`
	Open     *match          `yaml:"open"` // of a task: nobody has begun with it

	body, title, owner string // the fields that hold these
	bodyLimit          int
	html               bool
}

// once says how a repeat is recognised.
type once struct {
	ID     leaf     `yaml:"id"`     // the record has an id of ours
	Look   *request `yaml:"look"`   // it is asked for
	Header string   `yaml:"header"` // the server knows the key that is sent in this header
	None   bool     `yaml:"-"`      // it is not: the record may come twice
}

func (o *once) decode(n node) {
	if n.Value == "none" {
		o.None = true
		return
	}
	var plain struct {
		ID     leaf     `yaml:"id"`
		Look   *request `yaml:"look"`
		Header string   `yaml:"header"`
	}
	n.r.object(n, valueOf(&plain))
	o.ID, o.Look, o.Header = plain.ID, plain.Look, plain.Header
	ways := 0
	for _, given := range []bool{o.ID.source != "", o.Look != nil, o.Header != ""} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		n.fault("once takes one way in which a repeat is recognised", "write {id: \"{{.Key}}\"}, {look: {get: …}}, {header: Idempotency-Key}, or none")
	}
}

// String says how a repeat is recognised.
func (o *once) String() string {
	switch {
	case o.None:
		return "a repeat is NOT recognised: it may come twice"
	case o.Look != nil:
		return "a repeat is looked up"
	case o.Header != "":
		return "a repeat is recognised by the server, by the header " + o.Header
	}
	return "a repeat has the same id"
}

// probe is a request that check sends.
type probe struct {
	request
	Show path
	Hint string
}

func (p *probe) decode(n node) {
	var plain struct {
		Get   leaf            `yaml:"get"`
		Query map[string]leaf `yaml:"query"`
		Show  path            `yaml:"show"`
		Hint  string          `yaml:"hint"`
	}
	n.r.object(n, valueOf(&plain))
	p.request = request{Get: plain.Get, Query: plain.Query}
	p.Show, p.Hint = plain.Show, plain.Hint
	p.check(n)
}

func valueOf(p any) reflect.Value { return reflect.ValueOf(p).Elem() }

// Parse reads a recipe for a destination with these vars. file names it in faults, which come back as Faults.
func Parse(file string, text []byte, vars map[string]string) (*Recipe, error) {
	r := &reader{file: file, given: vars, uses: map[string]node{}, needs: map[string]node{}}
	doc := r.parse(text)
	if doc == nil {
		return nil, r.faults
	}
	root := node{doc, "", r}
	out := &Recipe{file: file, uses: r.uses, need: r.needs}
	root.entries(func(k string, v node) { // what templates may name comes first
		if k == "vars" {
			r.value(v, valueOf(&out.Vars))
		}
	})
	r.vars = out.Vars
	out.Vars, r.faults = nil, nil
	r.object(root, valueOf(out))
	if len(r.faults) == 0 {
		out.validate(root)
	}
	if len(r.faults) == 0 {
		out.try(root)
	}
	if len(r.faults) > 0 {
		return nil, r.faults.sorted()
	}
	return out, nil
}

// validate looks at what single values do not tell.
func (r *Recipe) validate(n node) {
	if r.Format != 1 {
		n.fault("the file does not say that it is a recipe", "begin it with recipe: 1")
	}
	if r.Name == "" {
		n.fault("the recipe has no name", "add name:")
	}
	if r.NoContact != "" && r.NoContact != "skip" {
		n.fault("no_contact: only skip is taken", "write no_contact: skip, or remove the line")
	}
	c := &r.Contact
	if c.Find == nil || c.Read == nil || !c.Paths.ID.set || len(c.Paths.Numbers) == 0 {
		n.fault("contact needs find, read, paths.id and paths.numbers", "docs/recipes.md begins with them")
	}
	if c.Create != nil && !c.Create.ID.or(r.Answers.ID).set {
		n.fault("contact.create does not say where the id is in its answer", "add id:, or answers: {id: …}")
	}
	if (len(c.Fields) > 0) != (c.Update != nil) {
		n.fault("contact.fields and contact.update belong together", "fields are what a call changes, update is the request that changes them")
	}
	c.Find.allow(forContact, &r.Answers)
	c.Read.allow(forContact, &r.Answers)
	c.Create.allow(forContact|isFields, &r.Answers)
	c.Update.allow(forContact|isFields, &r.Answers)
	for _, fields := range []map[string]tree{c.Fields, c.New} {
		for _, t := range fields {
			t.leaves(func(l leaf) { l.allow(forContact) })
		}
	}
	r.User.allow(forUser, &r.Answers)
	for name, kind := range map[string]*callRecord{"call": r.Call, "task": r.Task, "note": r.Note} {
		kind.validate(n, name, r)
	}
	if r.Call == nil {
		n.fault("call is missing", "say how the call is written: once, fields, create")
	}
	for _, l := range r.headerLeaves() {
		l.allow(forHeader)
	}
	for name, l := range r.Headers {
		given := httpx.Config{Headers: map[string]secret.Text{name: secret.New("x")}}
		if err := given.Validate(); err != nil {
			l.at.fault(err.Error(), "remove it")
		}
	}
	if t := r.Auth.Token; t != nil {
		if !t.Value.set {
			n.fault("auth.token does not say where the token is in the answer", "add value: access_token")
		}
		t.request().allow(forHeader, &r.Answers)
	}
	if a := r.Auth.Path; a.source != "" {
		a.checkPath()
	}
	if len(r.Check) == 0 {
		n.fault("check is missing", "name a request that changes nothing and shows that the key is right, as check: [{get: /api/status}]")
	}
}

func (r *Recipe) headerLeaves() []leaf {
	all := slices.Collect(maps.Values(r.Headers))
	all = slices.AppendSeq(all, maps.Values(r.Auth.Query))
	all = append(all, r.Auth.Path)
	for _, b := range []*basic{r.Auth.Basic, r.tokenBasic()} {
		if b != nil {
			all = append(all, b.User, b.Password)
		}
	}
	return all
}

func (r *Recipe) tokenBasic() *basic {
	if r.Auth.Token == nil {
		return nil
	}
	return r.Auth.Token.Basic
}

// validate looks at a record, and finds the fields with a part of their own.
func (k *callRecord) validate(n node, name string, r *Recipe) {
	if k == nil {
		return
	}
	allowed := map[string]class{"call": forCall, "task": forTask, "note": forNote}[name]
	if k.Once == nil {
		n.fault(name+" does not say how a repeat is recognised", "add once:, one of {id: …}, {look: …}, {header: …} or none")
		return
	}
	if k.Create == nil {
		n.fault(name+" has no create", "add the request that makes the record")
		return
	}
	if k.Once.ID.source == "" && !k.Create.ID.or(r.Answers.ID).set {
		n.fault(name+".create does not say where the id is in its answer", "add id:, or answers: {id: …}")
	}
	if (k.Read == nil) != (k.Update == nil) && k.Once.ID.source == "" && k.Once.Look == nil {
		n.fault(name+" has one of read and update", "a record is read before it is changed: give both or none")
	}
	if k.Update != nil && k.Read == nil {
		n.fault(name+".update needs "+name+".read", "a record is read before it is changed, so that what people wrote stays")
	}
	if k.Open != nil && name != "task" {
		n.fault(name+": open is for tasks", "remove it")
	}
	k.Create.allow(allowed|isFields, &r.Answers)
	k.Read.allow(allowed|isID, &r.Answers)
	k.Update.allow(allowed|isID|isFields, &r.Answers)
	if k.Once.Look != nil {
		k.Once.Look.allow(allowed, &r.Answers)
	}
	if k.Once.ID.source != "" {
		k.Once.ID.allow(allowed)
	}
	for field, t := range k.Fields {
		t.leaves(func(l leaf) { l.allow(allowed) })
		switch value, limit := t.value(); value {
		case "Title":
			k.title = field
		case "Text", "HTML":
			k.body, k.bodyLimit, k.html = field, limit, value == "HTML"
		}
	}
	for field, t := range k.New {
		t.leaves(func(l leaf) { l.allow(allowed) })
		if t.isOwner() {
			k.owner = field
		}
	}
	for at, fields := range map[string]map[string]tree{"fields": k.Fields, "new": k.New} {
		for field, t := range fields {
			if value, _ := t.value(); at == "fields" && field == k.body || at == "new" && field == k.owner || name == "note" && (value == "Text" || value == "HTML") {
				continue
			}
			t.leaves(func(l leaf) {
				l.expressions(func(e expression) {
					switch {
					case name == "call" && (e.name == "Text" || e.name == "HTML"):
						l.at.fault("."+e.name+" must be a field of its own below fields, once", "write note: \"{{.Text}}\": by it what people wrote around it is kept")
					case e.name == "Owner":
						l.at.fault(".Owner must be a field of its own below new", "write owner: \"{{.Owner}}\"")
					}
				})
			})
		}
	}
	for _, f := range k.Optional {
		if _, ok := k.Fields[f]; !ok {
			n.fault(name+".optional names "+f+", which fields does not have", "remove it, or correct the name")
		}
	}
}

// verdicts are those that a rule can give.
var verdicts = map[string]crm.Verdict{
	"retry": crm.Retry, "reject": crm.Reject, "halt": crm.Halt, "throttle": crm.Throttle, "skip": crm.Skip,
	nothing: crm.Reject, exists: crm.Reject,
}

// Verdicts besides those of package crm.
const (
	nothing = "none"   // there is no such record
	exists  = "exists" // there is one already
)

func (r *rule) check(n node) {
	if _, ok := verdicts[r.Verdict]; !ok {
		n.fault(fmt.Sprintf("there is no verdict %q", r.Verdict), "write "+strings.Join(slices.Sorted(maps.Keys(verdicts)), ", "))
	}
	if len(r.Status) == 0 && len(r.Is) == 0 && r.Text == "" {
		n.fault("a rule without status, is or text fits every answer", "say which answers it is for")
	}
	if (r.Wait > 0 || r.WaitIn.set) && r.Verdict != "throttle" {
		n.fault("only throttle waits", "write verdict: throttle")
	}
	for _, code := range r.Is {
		fits, err := codeMatcher(code)
		if err != nil {
			n.fault(err.Error(), "a code between slashes is a regular expression")
			continue
		}
		r.codes = append(r.codes, fits)
	}
}

func (t *times) check(n node) {
	switch t.Format {
	case "", "rfc3339", "unix", "unixms":
	default:
		if at := time.Date(2031, 7, 8, 19, 20, 21, 0, time.UTC); at.Format(t.Format) == t.Format {
			n.fault(fmt.Sprintf("%q is not a format of times", t.Format), "write rfc3339, unix, unixms, or a layout as 2006-01-02 15:04:05")
		}
	}
}

func (q *request) check(n node) {
	for method, l := range map[string]leaf{http.MethodGet: q.Get, http.MethodPost: q.Post, http.MethodPut: q.Put, http.MethodPatch: q.Patch} {
		if l.source == "" {
			continue
		}
		if q.method != "" {
			n.fault("a request has one of get, post, put and patch", "remove the others")
		}
		q.method, q.path = method, l
		l.checkPath()
	}
	switch {
	case q.method == "":
		n.fault("a request needs a method and a path", "write get: /path, post: /path, put: /path or patch: /path")
	case q.method == http.MethodGet && (q.JSON != nil || q.Form != nil):
		n.fault("get sends no body", "use query, or post")
	case q.JSON != nil && q.Form != nil:
		n.fault("a body is json or form, not both", "remove one")
	}
	for _, l := range q.Query {
		l.checkQuery()
	}
}

// checkPath looks at a path: it is one of the destination's host, and what calls say is no part of it.
func (l leaf) checkPath() {
	if len(l.parts) == 0 {
		return // it has its fault
	}
	literal, _ := l.parts[0].(string)
	switch {
	case strings.Contains(l.source, "://") || !strings.HasPrefix(literal, "/") || strings.HasPrefix(l.source, "//"):
		l.at.fault("it is not a path", "begin it with /: the host is the destination's url, and no other can be reached")
	case strings.ContainsAny(l.source, "?#"):
		l.at.fault("a path has no ? and no #", "put what follows below query:")
	case strings.Contains(l.source+"/", "/../"):
		l.at.fault("a path does not go up", "write it in full")
	}
	l.expressions(func(e expression) {
		if values[e.name].free {
			l.at.fault("."+e.name+" is free text, which a path cannot hold", "use an id or {{.Key}}")
		}
	})
}

// checkQuery refuses what callers say inside of an expression of the API's: it might end there, and go on as another one.
func (l leaf) checkQuery() {
	if e, single := l.single(); single && !e.free() {
		return
	}
	for _, p := range l.parts {
		if e, ok := p.(expression); ok && !e.quoted() {
			l.at.fault("."+e.first()+" is not ours to choose, and may change the meaning of the text around it", "write {{json ."+e.first()+"}}, or use {{.Key}} or a value of .Phone")
		}
	}
}

// free tells whether people or callers wrote a part of an expression.
func (e expression) free() (free bool) {
	e.each(func(e expression) { free = free || !e.call && values[e.name].free })
	return free
}

// quoted tells whether an expression of a query is harmless between other text.
func (e expression) quoted() bool {
	if e.call {
		return e.name == "json" || e.name == "secret" || !slices.ContainsFunc(e.args, func(a expression) bool { return !a.quoted() })
	}
	return e.literal != nil || strings.HasPrefix(e.name, "Vars.") || values[e.name].safe
}

// first returns the name of the first value in an expression.
func (e expression) first() string {
	for _, a := range e.args {
		if name := a.first(); name != "" {
			return name
		}
	}
	if e.call || e.literal != nil {
		return ""
	}
	return e.name
}

// allow looks at whether the values of a request are known where it is sent.
func (q *request) allow(allowed class, a *answers) {
	if q == nil {
		return
	}
	q.List, q.Record = q.List.or(a.List), q.Record.or(a.Record)
	q.path.allow(allowed)
	for _, l := range q.Query {
		l.allow(allowed)
	}
	for _, t := range q.bodies() {
		t.leaves(func(l leaf) { l.allow(allowed) })
	}
}

func (q *request) bodies() []tree {
	all := slices.Collect(maps.Values(q.Form))
	if q.JSON != nil {
		all = append(all, *q.JSON)
	}
	return all
}

func (l leaf) allow(allowed class) {
	l.expressions(func(e expression) {
		if v := values[e.name]; v.of != nil && !e.call && v.class&allowed == 0 {
			l.at.fault("."+e.name+" is not known here", "docs/recipes.md says where each value may be used")
		}
		if e.call && e.name == "secret" && allowed != forHeader {
			l.at.fault("a secret belongs to headers and auth", "move it there: what is sent elsewhere may be shown")
		}
	})
}

// Missing says what a destination must give besides: secrets and vars of these names. Each fault begins with its key.
func (r *Recipe) Missing(c Config) error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(r.uses)) {
		if c.Secrets[name].Empty() {
			faults = append(faults, fmt.Errorf("secrets: the recipe %s needs %s: write secrets: {%s_file: PATH}", r.Name, name, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.need)) {
		if c.Vars[name] == "" {
			faults = append(faults, fmt.Errorf("vars: the recipe %s needs %s: write vars: {%s: …}", r.Name, name, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Vars)) {
		_, needed := r.need[name]
		if _, has := r.Vars[name]; !has && !needed {
			faults = append(faults, fmt.Errorf("vars: the recipe %s has no %s", r.Name, name))
		}
	}
	return errors.Join(faults...)
}
