package salesforce_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/salesforce"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// People's words in a Task's description, and the subject that they gave it, stay.
func TestPeoplesWords(t *testing.T) {
	g := newOrg()
	_, w := start(t, g, nil)
	refs := send(t, w, crmtest.Completed(1), nil).Refs
	task := g.records["Task"][0]
	task["Description"], task["Subject"] = text2(task["Description"])+"\r\nShe rang back herself.", "The loan"
	send(t, w, crmtest.Revised(crmtest.Completed(1), "not_interested", "Cold"), refs)
	task = g.records["Task"][0]
	if d := text2(task["Description"]); !strings.HasSuffix(d, "\nShe rang back herself.") || !strings.Contains(d, "Outcome: Not interested") || task["Subject"] != "The loan" {
		t.Errorf("%s: %s", task["Subject"], d)
	}
}

// A new call-back time moves the follow-up until somebody has begun with it.
func TestFollowUpMoves(t *testing.T) {
	g := newOrg()
	_, w := start(t, g, nil)
	e := crmtest.Full(1)
	refs := send(t, w, e, nil).Refs
	for hours, begun := range []bool{false, false, true} {
		if begun {
			g.records["Task"][1]["Status"] = "In Progress"
		}
		e.Revision++
		e.Call.CallbackAt = e.Call.CallbackAt.Add(3600e9)
		task := *e.Task
		task.Due = e.Call.CallbackAt
		e.Task = &task
		refs = send(t, w, e, refs).Refs
		want := "2024-01-15T" + []string{"13", "14", "14"}[hours] + ":36:22.000Z"
		if got := g.records["Task"][1]["ReminderDateTime"]; got != want || len(g.records["Task"]) != 2 {
			t.Errorf("due %v, want %s", got, want)
		}
	}
}

// Without activities the link is a note, and nothing is asked of Tasks.
func TestWithoutActivity(t *testing.T) {
	g := newOrg()
	_, w := start(t, g, nil)
	e := crmtest.Completed(1)
	e.NoActivity = true
	refs := send(t, w, e, nil).Refs
	send(t, w, e, nil)
	if len(g.records["Task"]) != 0 || len(g.records["ContentNote"]) != 1 || refs["link"] == "" || g.records["ContentNote"][0]["Title"] != "Transcript link of VInfer call cal_test00001" {
		t.Errorf("%q %+v", refs, g.records)
	}
}

// Ids of calls that do not go into a path have a key that does.
func TestKeys(t *testing.T) {
	g := newOrg()
	_, w := start(t, g, nil)
	for _, id := range []string{"a/b.inc", "it's", `x\y`, "héllo wörld"} {
		for range 2 {
			e := crmtest.Full(1)
			e.Call.ID = id
			send(t, w, e, nil)
		}
	}
	if n := len(g.records["Task"]); n != 8 {
		t.Errorf("%d tasks", n)
	}
}

func TestCreateContact(t *testing.T) {
	g := newOrg()
	g.hiddenEntities["Lead"] = true
	server := crmtest.NewServer(t, g)
	cfg := config(server.URL)
	cfg.Create = "contact"
	w := open(t, cfg, func(s *crm.Settings) {
		s.Fields = map[string]string{"phone": "MobilePhone", "contact_status": "Stage__c"}
	})
	g.fields["Contact"]["Stage__c"] = object{"name": "Stage__c", "type": "string", "length": 40}
	refs := send(t, w, crmtest.Full(1), nil).Refs
	send(t, w, crmtest.Transcribed(1), refs)
	e := crmtest.Completed(2)
	e.Call.Contact = crmtest.Full(1).Call.Contact
	send(t, w, e, nil)
	if c := g.records["Contact"]; len(c) != 1 || c[0]["MobilePhone"] != e.Call.Contact.E164 || c[0]["Stage__c"] != "Hot Lead" || c[0]["DoNotCall"] != true || len(g.records["Task"]) != 3 {
		t.Errorf("%v", g.records)
	}
}

func TestCheck(t *testing.T) {
	find := func(t *testing.T, found []crm.Finding, subject string) crm.Finding {
		t.Helper()
		for _, f := range found {
			if f.Subject == subject {
				return f
			}
		}
		t.Fatalf("nothing is said of %s: %+v", subject, found)
		return crm.Finding{}
	}
	for name, test := range map[string]struct {
		spoil         func(*org)
		edit          func(*crm.Settings)
		subject, says string
	}{
		"an unknown status":    {nil, nil, "lead statuses", `["Paid"]`},
		"an unknown protected": {nil, func(s *crm.Settings) { s.Protect = []string{"Converted"} }, "lead statuses", `protect names ["Converted"]`},
		"a lacking key":        {func(g *org) { delete(g.fields["Task"], "VInfer_Key__c") }, nil, "field Task.VInfer_Key__c", "not there"},
		"a read-only key":      {func(g *org) { g.fields["Task"]["VInfer_Key__c"]["updateable"] = false }, nil, "field Task.VInfer_Key__c", "may not edit"},
		"a mistyped field":     {nil, func(s *crm.Settings) { s.Fields = map[string]string{"summary": "Sum__c"} }, "field Task.Sum__c", "not there"},
		"a hidden do-not-call": {func(g *org) { delete(g.fields["Lead"], "DoNotCall") }, nil, "Lead", "DoNotCall"},
		"no contacts":          {func(g *org) { g.hiddenEntities["Contact"] = true }, nil, "Contact", "404"},
		"no such owner":        {nil, func(s *crm.Settings) { s.Owner = "nobody" }, "owner", "no active user"},
		"another status of tasks": {func(g *org) {
			g.fields["Task"]["Status"]["picklistValues"] = []any{object{"value": "Done", "active": true}}
		}, nil, "status of Task", `"Completed"`},
		"no requests left": {func(g *org) { g.limit = 1 }, nil, "requests", "no API requests"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newOrg()
			if test.spoil != nil {
				test.spoil(g)
			}
			_, w := start(t, g, test.edit)
			f := find(t, w.Check(t.Context(), []string{"Hot Lead", "Paid"}), test.subject)
			if f.Err == nil || !strings.Contains(f.Err.Error(), test.says) || f.Detail == "" {
				t.Errorf("%+v", f)
			}
		})
	}
	g := newOrg()
	g.hiddenEntities["ContentNote"] = true
	server, w := start(t, g, nil)
	found := w.Check(t.Context(), []string{"Hot Lead"})
	for _, f := range found {
		if f.Err != nil {
			t.Errorf("%+v", f)
		}
	}
	if f := find(t, found, "notes"); !strings.Contains(f.Detail, "switched off") {
		t.Errorf("%+v", f)
	}
	server.Close()
	if f := find(t, open(t, config(server.URL), nil).Check(t.Context(), nil), "connection"); f.Err == nil {
		t.Errorf("%+v", f)
	}
}

func TestProvision(t *testing.T) {
	lacking := func() *org {
		g := newOrg()
		delete(g.fields["Task"], "VInfer_Key__c")
		delete(g.fields["Task"], "VInfer_Started_At__c")
		return g
	}
	for name, test := range map[string]struct {
		spoil          func(*org)
		done, external bool
	}{
		"all":            {func(*org) {}, true, true},
		"no unique ones": {func(g *org) { g.noUnique = true }, true, true},
		"not allowed":    {func(g *org) { g.noSetup = true }, false, false},
	} {
		g := lacking()
		test.spoil(g)
		_, w := start(t, g, nil)
		if changes, err := w.Provision(t.Context(), true); err != nil || len(changes) != 3 || changes[0].Done || len(g.customised) != 0 {
			t.Errorf("%s, dry: %+v %v", name, changes, err)
		}
		changes, err := w.Provision(t.Context(), false)
		if err != nil || len(changes) == 0 || changes[0].Done != test.done || !test.done && !strings.Contains(changes[0].Detail, "contrib/salesforce") {
			t.Errorf("%s: %+v %v", name, changes, err)
		}
		if f := g.fields["Task"]["VInfer_Key__c"]; (f != nil && f["externalId"] == true) != test.external {
			t.Errorf("%s: %v", name, f)
		}
		if again, err := w.Provision(t.Context(), false); err != nil || test.done && len(again) != 0 {
			t.Errorf("%s, again: %+v %v", name, again, err)
		}
		send(t, w, crmtest.Full(1), nil)
		if got := g.state(); len(got.Calls) != 1 || len(got.Tasks) != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// Each answer is lost once; what was made is not made again.
	for n := 1; n < 16; n++ {
		g := lacking()
		server, w := start(t, g, nil)
		server.Misbehave(crmtest.Fault{After: n, Times: 1, Lost: true})
		_, err := w.Provision(t.Context(), false)
		if err != nil {
			if _, err = w.Provision(t.Context(), false); err != nil {
				t.Errorf("%d: %v", n, err)
			}
		}
		if len(g.customised) != 2 || len(g.records["PermissionSet"]) != 1 || len(g.records["FieldPermissions"]) != 2 || len(g.records["PermissionSetAssignment"]) != 1 {
			t.Errorf("%d: %v", n, g.records)
		}
	}
}

// What an administrator deploys is what setup makes.
func TestMetadata(t *testing.T) {
	for file, texts := range map[string][]string{
		"package.xml":                              {"Activity.VInfer_Key__c", "Activity.VInfer_Started_At__c", "<members>VInfer_Sync</members>", "<version>66.0</version>"},
		"objects/Activity.object":                  {"<fullName>VInfer_Key__c</fullName>", "<externalId>true</externalId>", "<unique>true</unique>", "<length>120</length>", "<type>DateTime</type>"},
		"permissionsets/VInfer_Sync.permissionset": {"<field>Task.VInfer_Key__c</field>", "<field>Task.VInfer_Started_At__c</field>", "<editable>true</editable>"},
	} {
		b, err := os.ReadFile("../../contrib/salesforce/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if !strings.Contains(string(b), text) {
				t.Errorf("%s lacks %s", file, text)
			}
		}
	}
}

func TestValidate(t *testing.T) {
	good := config("https://acme.my.salesforce.com/")
	for key, edit := range map[string]func(*salesforce.Config){
		"":              func(*salesforce.Config) {},
		"url":           func(c *salesforce.Config) { c.URL = "https://login.salesforce.com" },
		"url:":          func(c *salesforce.Config) { c.URL = "https://acme.my.salesforce.com/services/data" },
		"url: ":         func(c *salesforce.Config) { c.URL = "acme.my.salesforce.com" },
		"login_url":     func(c *salesforce.Config) { c.LoginURL = "login" },
		"client_id":     func(c *salesforce.Config) { c.ClientID = "" },
		"client_secret": func(c *salesforce.Config) { c.ClientSecret = secret.Text{} },
		"private_key":   func(c *salesforce.Config) { c.PrivateKey = secret.New("x") },
		"private_key:": func(c *salesforce.Config) {
			c.ClientSecret, c.Username, c.PrivateKey = secret.Text{}, "u", secret.New("x")
		},
		"username":  func(c *salesforce.Config) { c.Username = "u" },
		"username:": func(c *salesforce.Config) { c.ClientSecret, c.PrivateKey = secret.Text{}, secret.New("x") },
		"create":    func(c *salesforce.Config) { c.Create = "account" },
		"search":    func(c *salesforce.Config) { c.Search = "all" },
		"keep_free": func(c *salesforce.Config) { c.KeepFree = -1 },
		"headers":   func(c *salesforce.Config) { c.Headers = map[string]secret.Text{"authorization": secret.New("x")} },
	} {
		c := good
		edit(&c)
		err := c.Validate()
		if key == "" && err != nil || key != "" && (err == nil || !strings.HasPrefix(err.Error(), strings.TrimRight(key, ": ")+":")) {
			t.Errorf("%q: %v", key, err)
		}
		if w, e := salesforce.New(c, crm.Settings{}); (e == nil) != (err == nil) {
			t.Errorf("%q: New says %v", key, e)
		} else if e == nil && errors.Join(w.Close()) != nil {
			t.Error("close")
		}
	}
}
