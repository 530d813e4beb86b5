package rest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/rest"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// small is a recipe with nothing but what one needs. Tests put something else in the place of one of its lines.
const small = `recipe: 1
name: small
headers: {X-Key: '{{secret "key"}}'}
answers: {list: data, record: data, id: data.id}
contact:
  find: {get: /people, query: {phone: "{{.Phone.Last10}}"}}
  read: {get: "/people/{{.Contact.ID}}"}
  create: {post: /people}
  paths: {id: id, numbers: [phone]}
  new: {phone: "{{.Phone.E164}}"}
call:
  once: none
  create: {post: /calls}
  fields: {text: "{{.Text}}", seconds: "{{.Call.Duration}}"}
check: [{get: /me}]
`

func TestFaultsOfARecipe(t *testing.T) {
	for name, x := range map[string]struct{ line, with, want string }{
		"no YAML":              {"recipe: 1", "recipe: [", ":2:1: did not find"},
		"another file":         {"recipe: 1", "recipe: 2", "begin it with recipe: 1"},
		"unknown key":          {"name: small", "title: small", ":2:8: title: unknown key (known here: recipe, name"},
		"unknown key below":    {"create: {post: /calls}", "create: {post: /calls, methd: x}", ":13:33: call.create.methd: unknown key (known here: get, post"},
		"a key twice":          {"name: small", "name: small\nname: other", ":3:7: name: the key is there twice"},
		"a merge":              {"name: small", "<<: {name: small}", "<< is not taken"},
		"misspelt value":       {"{{.Call.Duration}}", "{{.Call.Durtion}}", ":14:40: call.fields.seconds: there is no value .Call.Durtion; known: Call.At, "},
		"no template":          {"{{.Text}}", "{{.Text", "no template: "},
		"a condition":          {"{{.Text}}", "{{if .Text}}x{{end}}", "values and functions only, no if"},
		"a loop":               {"{{.Text}}", "{{range .Phone.Spellings}}x{{end}}", "values and functions only, no range"},
		"a definition":         {"{{.Text}}", "{{template \\\"x\\\"}}", "values and functions only, no template"},
		"a variable":           {"{{.Text}}", "{{$x := .Text}}", "no variables"},
		"unknown function":     {"{{.Text}}", "{{env \\\"HOME\\\"}}", "function \"env\" not defined"},
		"a method":             {"{{.Text}}", "{{.Text.Len}}", "there is no value .Text.Len"},
		"the root":             {"{{.Text}}", "{{.}}", "is not taken"},
		"arguments":            {"{{.Text}}", "{{cut .Text 5}}", "cut takes a number first"},
		"secret in a body":     {"{{.Call.Duration}}", "{{secret \\\"key\\\"}}", "a secret belongs to headers and auth"},
		"text inside":          {"{{.Text}}", "Said: {{.Text}}", ".Text must be a field of its own"},
		"a value elsewhere":    {"{{.Call.Duration}}", "{{.Task.Title}}", ".Task.Title is not known here"},
		"an absolute URL":      {"get: /people,", "get: https://evil.example/people,", "it is not a path (begin it with /"},
		"another host":         {"get: /people,", "get: //evil.example/people,", "it is not a path"},
		"a path that goes up":  {"get: /people,", "get: /people/../admin,", "does not go up"},
		"a query in the path":  {"get: /people,", "get: \"/people?a=b\",", "put what follows below query"},
		"free text in a path":  {"/people/{{.Contact.ID}}", "/people/{{.Call.Name}}", ".Call.Name is free text, which a path cannot hold"},
		"free text in a query": {"{{.Phone.Last10}}", "{{.Call.Name}}", ".Call.Name is not ours to choose"},
		"an id in a filter":    {"{{.Phone.Last10}}", "id='{{.Contact.ID}}'", "write {{json .Contact.ID}}"},
		"hidden free text":     {"{{.Phone.Last10}}", "{{cut 5 .Call.Name}}", ".Call.Name is not ours to choose"},
		"two methods":          {"create: {post: /calls}", "create: {post: /calls, put: /calls}", "one of get, post, put and patch"},
		"a body of get":        {"get: /people,", "get: /people, json: {a: b},", "get sends no body"},
		"no once":              {"  once: none\n", "", "call does not say how a repeat is recognised"},
		"two ways":             {"once: none", "once: {header: X, id: \"{{.Key}}\"}", "once takes one way"},
		"no id":                {"id: data.id}", "text: words}", "does not say where the id is in its answer"},
		"no path":              {"numbers: [phone]", "numbers: [a..b]", "no path into an answer"},
		"a verdict":            {"name: small", "name: small\nerrors: [{status: [400], verdict: maybe}]", ":3:10: errors[0]: there is no verdict \"maybe\" (write exists, halt, none"},
		"a rule for all":       {"name: small", "name: small\nerrors: [{verdict: skip}]", "fits every answer"},
		"a pattern":            {"name: small", "name: small\nerrors: [{is: [\"/(/\"], verdict: skip}]", "missing closing )"},
		"a time":               {"name: small", "name: small\ntimes: {format: yyyy-mm-dd}", "is not a format of times"},
		"another host's name":  {"{X-Key:", "{Host: elsewhere.example, X-Key:", "Host cannot be set"},
		"no check":             {"check: [{get: /me}]\n", "", "check is missing"},
		"null":                 {"{{.Call.Duration}}\"", "x\", other: ", "there is no value"},
		"itself":               {"name: small", "name: small\ntask: {once: none, create: {post: /x}, fields: &a {b: *a}}", "more than 10000 values"},
	} {
		text := strings.Replace(small, x.line, x.with, 1)
		if text == small {
			t.Fatalf("%s: %q is not in the recipe", name, x.line)
		}
		_, err := rest.Parse("own.yaml", []byte(text), nil)
		if err == nil || !strings.Contains(err.Error(), x.want) || !strings.HasPrefix(err.Error(), "own.yaml:") {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
	}
	if _, err := rest.Parse("own.yaml", []byte(small), nil); err != nil {
		t.Errorf("the recipe itself: %v", err)
	}
}

// shown returns the requests of a recipe in which one line is another, for a sample.
func shownBy(t *testing.T, line, with string, e crm.Entry) string {
	t.Helper()
	r, err := rest.Parse("own.yaml", []byte(strings.Replace(small, line, with, 1)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.Show(e)
}

// body returns the JSON body of a request that Show names.
func body(t *testing.T, shown, name string) (out map[string]any) {
	t.Helper()
	_, part, _ := strings.Cut(shown, "# "+name+"\n")
	_, part, _ = strings.Cut(part, "\n\n")
	dec := json.NewDecoder(strings.NewReader(part))
	if err := dec.Decode(&out); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, shown)
	}
	return out
}

// Values keep their types, and texts are never read again.
func TestTypes(t *testing.T) {
	fields := `fields: {number: "{{.Call.Duration}}", text: "{{.Text}}", mixed: "{{.Call.Duration}} s", phone: "{{.Phone.National}}", static: "478", fixed: 478, yes: "true", real: true, ` +
		`list: ["{{.Phone.E164}}", "{{.Call.Campaign}}"], choice: {of: "{{.Call.Direction}}", map: {outbound: 2}}, nested: {gone: "{{.Contact.Picked.x}}"}, connected: "{{.Call.Connected}}"}`
	e := rest.Sample("full")
	e.Call.Campaign = "null"
	got := body(t, shownBy(t, `fields: {text: "{{.Text}}", seconds: "{{.Call.Duration}}"}`, fields, e), "call.create")
	delete(got, "text")
	want := `{"choice":2,"connected":true,"fixed":478,"list":["+919876500001","null"],"mixed":"93 s","number":93,"phone":"9876500001","real":true,"static":"478","yes":"true"}`
	if b, _ := json.Marshal(got); string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
	bare := body(t, shownBy(t, `fields: {text: "{{.Text}}", seconds: "{{.Call.Duration}}"}`, fields, rest.Sample("empty")), "call.create")
	for _, gone := range []string{"number", "phone", "list", "choice", "nested", "connected"} {
		if v, there := bare[gone]; there {
			t.Errorf("%s is absent, and sent as %v", gone, v)
		}
	}
}

// What callers say stays where it is put.
func TestNothingIsInjected(t *testing.T) {
	e := rest.Sample("hostile")
	shown := shownBy(t, `seconds: "{{.Call.Duration}}"`, `name: "{{.Call.Name}} said"`, e)
	if got := body(t, shown, "call.create")["name"]; got != strings.ReplaceAll(e.Call.Contact.Name, "\x00", "")+" said" {
		t.Errorf("%q", got)
	}
	shown = shownBy(t, `{phone: "{{.Phone.Last10}}"}`, `{filter: '[["name","=",{{json .Call.Name}}]]'}`, e)
	_, query, _ := strings.Cut(shown, "? filter=")
	query, _, _ = strings.Cut(query, "\n")
	var filter [][]string
	if err := json.Unmarshal([]byte(query), &filter); err != nil || len(filter) != 1 || len(filter[0]) != 3 || !strings.HasPrefix(filter[0][2], `x","admin"`) {
		t.Errorf("%q: %v", query, err)
	}
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	own := filepath.Join(dir, "own.yaml")
	if err := os.WriteFile(own, []byte(strings.Replace(small, "/people,", "\"/people/{{.Vars.team}}\",", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	key := map[string]secret.Text{"key": secret.New("x")}
	for want, c := range map[string]rest.Config{
		"use: name a recipe by use, one of":  {URL: "https://x.example", Secrets: key},
		"use: there is no recipe \"nosuch\"": {Use: "nosuch", URL: "https://x.example"},
		"url: missing":                       {Use: "lms"},
		"secrets: the recipe small needs key: write secrets: {key_file: PATH}": {File: own, URL: "https://x.example", Vars: map[string]string{"team": "a"}},
		"vars: the recipe small needs team":                                    {File: own, URL: "https://x.example", Secrets: key},
		"vars: the recipe small has no tame":                                   {File: own, URL: "https://x.example", Secrets: key, Vars: map[string]string{"team": "a", "tame": "b"}},
		"no such file or directory (check the path; embedded ones are ":        {File: own + "x", URL: "https://x.example", Secrets: key},
	} {
		if _, err := rest.New(c, crm.Settings{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	without := strings.Replace(small, "  create: {post: /people}\n", "", 1)
	if err := os.WriteFile(own, []byte(without), 0o600); err != nil {
		t.Fatal(err)
	}
	c := rest.Config{File: own, URL: "https://x.example", Secrets: key}
	if _, err := rest.New(c, crm.Settings{}); err == nil || !strings.Contains(err.Error(), "on_missing: the recipe small makes no contacts") {
		t.Errorf("%v", err)
	}
	if w, err := rest.New(c, crm.Settings{OnMissing: crm.MissingSkip}); err != nil || w.Close() != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(small)
	for _, name := range rest.Embedded() {
		_, text, err := rest.Source(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := rest.Parse("x.yaml", []byte(text), nil)
		if (r == nil) == (err == nil) {
			t.Errorf("%v, %v", r, err)
		}
		if r != nil {
			for _, name := range rest.Samples {
				_ = r.Show(rest.Sample(name))
			}
		}
	})
}
