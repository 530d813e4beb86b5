package espocrm_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/espocrm"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// start returns a site and a writer to it.
func start(t *testing.T, s *site, edit func(*espocrm.Config, *crm.Settings)) (*crmtest.Server, *espocrm.Writer) {
	t.Helper()
	server := crmtest.NewServer(t, s)
	cfg := espocrm.Config{URL: server.URL + "/crm", APIKey: secret.New(apiKey)}
	settings := crm.Settings{Region: "IN"}
	if edit != nil {
		edit(&cfg, &settings)
	}
	return server, open(t, cfg, settings)
}

func send(t *testing.T, w crm.Writer, e crm.Entry, refs crm.Refs) *crm.Progress {
	t.Helper()
	p := crm.NewProgress(refs, nil)
	if err := w.Write(t.Context(), e, p); err != nil {
		t.Fatal(err)
	}
	return p
}

// told writes the requests that a server has had since n, without its address.
func told(server *crmtest.Server, n int) string {
	var b strings.Builder
	for _, r := range server.Requests()[n:] {
		path, _ := url.QueryUnescape(strings.TrimPrefix(r.Path, "/crm/api/v1/"))
		fmt.Fprintf(&b, "%s %s", r.Method, path)
		if len(r.Body) > 0 {
			fmt.Fprintf(&b, "\n%s", r.Body)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestGolden keeps every request of a call's life.
func TestGolden(t *testing.T) {
	s := newSite()
	server, w := start(t, s, func(_ *espocrm.Config, c *crm.Settings) { c.Fields = map[string]string{"qa_score": "cMood"} })
	var got bytes.Buffer
	seen := 0
	note := func(what string) {
		fmt.Fprintf(&got, "# %s\n%s\n", what, told(server, seen))
		seen = len(server.Requests())
	}
	refs := send(t, w, crmtest.Full(1), nil).Refs
	note("a call of somebody new, with everything")
	refs = send(t, w, crmtest.Full(1), refs).Refs
	note("the same again")
	refs = send(t, w, crmtest.Revised(crmtest.Full(1), "not_interested", "Cold"), refs).Refs
	note("another disposition")
	send(t, w, crmtest.Transcribed(1), refs)
	note("its transcript")
	e := crmtest.Completed(2)
	e.Call.Contact = crmtest.Full(1).Call.Contact
	send(t, w, e, nil)
	note("another call of the same person")
	send(t, w, e, nil)
	note("that call again, its refs lost")
	failed, seconds := crmtest.Completed(3), 0.0
	failed.Call.Duration, failed.Call.Status, failed.Call.Direction, failed.Call.Contact = &seconds, "failed", "inbound", crm.Contact{}
	failed.Call.TranscriptURL, failed.Call.Summary, failed.Call.Sentiment = "", "", ""
	send(t, w, failed, nil)
	note("a call without a number that was not answered")
	crmtest.Golden(t, "testdata/golden.txt", got.Bytes())
}

// TestRequests counts what docs/crm/espocrm.md says.
func TestRequests(t *testing.T) {
	s := newSite()
	server, w := start(t, s, nil)
	send(t, w, crmtest.Completed(9), nil)
	count := func(what string, want int, e crm.Entry, refs crm.Refs) crm.Refs {
		t.Helper()
		before := len(server.Requests())
		refs = send(t, w, e, refs).Refs
		if got := len(server.Requests()) - before; got != want {
			t.Errorf("%s: %d requests, not %d:\n%s", what, got, want, told(server, before))
		}
		return refs
	}
	first := count("somebody new", 7, crmtest.Completed(1), nil)
	again := crmtest.Completed(2)
	again.Call.Contact = crmtest.Completed(1).Call.Contact
	refs := count("somebody known", 4, again, nil)
	again.Status = "Cold"
	count("another disposition", 4, revised(again), refs)
	count("a repeat", 1, crmtest.Completed(1), first)
	count("a transcript", 3, crmtest.Transcribed(1), first)
}

func revised(e crm.Entry) crm.Entry { return crmtest.Revised(e, "not_interested", "Cold") }

func TestHMAC(t *testing.T) {
	s := newSite()
	server, w := start(t, s, func(c *espocrm.Config, _ *crm.Settings) {
		c.APIKey, c.SecretKey = secret.New(hmacKey), secret.New(secretKey)
	})
	send(t, w, crmtest.Full(1), nil)
	for _, r := range server.Requests() {
		if r.Header.Get("X-Api-Key") != "" || strings.Contains(fmt.Sprint(r.Header), secretKey) {
			t.Errorf("%s %s: %v", r.Method, r.Path, r.Header)
		}
	}
	_, w = start(t, s, func(c *espocrm.Config, _ *crm.Settings) {
		c.APIKey, c.SecretKey = secret.New(hmacKey), secret.New("another")
	})
	err := w.Write(t.Context(), crmtest.Full(1), crm.NewProgress(nil, nil))
	if crm.VerdictOf(err) != crm.Halt {
		t.Errorf("a wrong secret: %v", err)
	}
}

// A number that is a contact's second one is found, in Contacts too, and a namesake is another person.
func TestWhoIsFound(t *testing.T) {
	one := crmtest.Completed(1).Call.Contact
	for name, test := range map[string]struct {
		free    bool
		entity  string
		record  object
		found   bool
		warning string
	}{
		"second number":            {false, "Contact", object{"lastName": "B", "phoneNumber": "+442079460958", "phoneNumberData": phones("+442079460958", one.E164)}, true, ""},
		"second number as typed":   {true, "Contact", object{"lastName": "B", "phoneNumber": "020 1", "phoneNumberData": phones("020 1", "0"+one.National)}, true, ""},
		"another's second number":  {true, "Contact", object{"lastName": "B", "phoneNumber": "020 1", "phoneNumberData": phones("020 1", "+1"+one.National)}, false, ""},
		"converted, contact gone":  {false, "Lead", object{"lastName": "B", "status": "Converted", "phoneNumber": one.E164, "phoneNumberData": phones(one.E164)}, true, ""},
		"dead":                     {false, "Lead", object{"lastName": "B", "status": "Dead", "phoneNumber": one.E164, "phoneNumberData": phones(one.E164)}, true, ""},
		"namesake, another number": {false, "Lead", object{"firstName": "Priya Sharma", "lastName": "1", "phoneNumber": "+911", "phoneNumberData": phones("+911")}, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite()
			s.free = test.free
			test.record["id"] = s.id()
			s.records[test.entity] = []object{test.record}
			_, w := start(t, s, nil)
			p := send(t, w, crmtest.Completed(1), nil)
			got := s.state()
			id := test.entity + "/" + text(test.record["id"])
			if n := len(got.Contacts); (n == 1) != test.found || (p.Refs["contact"] == id) != test.found || got.Calls[0].Contact != p.Refs["contact"] {
				t.Errorf("%q: %+v", p.Refs, got)
			}
			if status := text(test.record["status"]); status == "Converted" && got.Contacts[0].Status != status {
				t.Errorf("the converted lead is now %q", got.Contacts[0].Status)
			}
		})
	}
}

func phones(all ...string) (out []any) {
	for _, p := range all {
		out = append(out, object{"phoneNumber": p})
	}
	return out
}

// A converted lead and the contact that it became are one person.
func TestConvertedLeadGivesWay(t *testing.T) {
	s := newSite()
	one := crmtest.Completed(1).Call.Contact
	s.records["Contact"] = []object{{"id": "c1", "lastName": "B", "phoneNumber": one.E164, "phoneNumberData": phones(one.E164)}}
	s.records["Lead"] = []object{{"id": "l1", "lastName": "B", "status": "Converted", "createdContactId": "c1", "phoneNumber": one.E164, "phoneNumberData": phones(one.E164)}}
	_, w := start(t, s, func(_ *espocrm.Config, c *crm.Settings) { c.OnMany = crm.ManySkip })
	if p := send(t, w, crmtest.Full(1), nil); p.Refs["contact"] != "Contact/c1" || len(p.Warnings) != 0 {
		t.Errorf("%q %q", p.Refs, p.Warnings)
	}
	if c := s.records["Contact"][0]; c["doNotCall"] != true {
		t.Errorf("%v", c)
	}
	call := s.records["Call"][0]
	if fmt.Sprint(call["contactsIds"]) != "[c1]" || call["leadsIds"] != nil {
		t.Errorf("%v", call)
	}
}

// With on_many: all each has the status, and the one Call is linked to all.
func TestAllOfMany(t *testing.T) {
	s := newSite()
	one := crmtest.Completed(1).Call.Contact
	for _, id := range []string{"l1", "l2"} {
		s.records["Lead"] = append(s.records["Lead"], object{"id": id, "lastName": id, "status": "New", "phoneNumber": one.E164, "phoneNumberData": phones(one.E164)})
	}
	_, w := start(t, s, func(_ *espocrm.Config, c *crm.Settings) { c.OnMany = crm.ManyAll })
	send(t, w, crmtest.Completed(1), nil)
	if got := s.records["Call"]; len(got) != 1 || fmt.Sprint(got[0]["leadsIds"]) != "[l2 l1]" {
		t.Errorf("%v", got)
	}
}

// Of several creates at once only one passes a unique index; EspoCRM answers the others 500 and nothing more.
func TestUniqueIndexLost(t *testing.T) {
	s := newSite()
	s.unique = true
	_, w := start(t, s, nil)
	refs := send(t, w, crmtest.Full(1), nil).Refs
	_, another := start(t, s, nil)
	delete(refs, "activity")
	delete(refs, "task")
	if p := send(t, another, crmtest.Full(1), refs); p.Refs["activity"] == "" || len(s.records["Call"]) != 1 || len(s.records["Task"]) != 1 {
		t.Errorf("%q", p.Refs)
	}
}

func TestStatusThatTheSiteLacks(t *testing.T) {
	s := newSite()
	_, w := start(t, s, nil)
	refs := send(t, w, crmtest.Completed(1), nil).Refs
	for _, e := range []crm.Entry{crmtest.Completed(2), crmtest.Revised(crmtest.Completed(1), "paid", "Paid")} {
		e.Status = "Paid"
		err := w.Write(t.Context(), e, crm.NewProgress(nil, nil))
		if crm.VerdictOf(err) != crm.Reject || !strings.Contains(err.Error(), "Lead.status takes New, Assigned") || !strings.Contains(crm.Request(err), "status") {
			t.Errorf("%v: %s", err, crm.Request(err))
		}
	}
	if got := s.state(); len(got.Contacts) != 1 || len(got.Calls) != 1 || refs["activity"] == "" {
		t.Errorf("%+v", got)
	}
}

func TestOwners(t *testing.T) {
	for name, test := range map[string]struct {
		settings, task string
		owner          string
		call, follow   string
		warnings       int
	}{
		"nobody":             {"", "", "", apiUser, apiUser, 0},
		"the contact's":      {"", "", human, human, human, 0},
		"configured by name": {"asha", "asha", apiUser, human, human, 0},
		"configured by id":   {human, apiUser, "", human, apiUser, 0},
		"no such user":       {"nobody", "", human, human, human, 1},
	} {
		s := newSite()
		one := crmtest.Completed(1).Call.Contact
		s.records["Lead"] = []object{{"id": "l1", "lastName": "B", "status": "New", "assignedUserId": test.owner, "phoneNumber": one.E164, "phoneNumberData": phones(one.E164)}}
		_, w := start(t, s, func(_ *espocrm.Config, c *crm.Settings) { c.Owner = test.settings })
		e := crmtest.Full(1)
		e.Task.Owner = test.task
		p := send(t, w, e, nil)
		if c, k := s.records["Call"][0]["assignedUserId"], s.records["Task"][0]["assignedUserId"]; c != test.call || k != test.follow || len(p.Warnings) != test.warnings {
			t.Errorf("%s: the call is %s's, the task %s's, warnings %q", name, c, k, p.Warnings)
		}
	}
}

// What a site has changed and a call can do without is left out; a number that it takes for none makes no contact.
func TestWhatTheSiteRefuses(t *testing.T) {
	s := newSite()
	s.fields["Call.direction"]["options"], s.fields["Task.priority"]["options"] = []string{"Out"}, []string{"Medium"}
	_, w := start(t, s, nil)
	if p := send(t, w, crmtest.Full(1), nil); len(p.Warnings) != 2 || len(s.records["Task"]) != 1 {
		t.Errorf("%q %v", p.Warnings, s.records["Task"])
	}
	s.refuse = "phoneNumber"
	if p := send(t, w, crmtest.Full(2), nil); len(p.Warnings) != 1 || len(s.records["Call"]) != 2 || len(s.records["Lead"]) != 1 {
		t.Errorf("%q %+v", p.Warnings, s.state())
	}
}

// People's words in a call's description, and the name that they gave it, stay.
func TestPeoplesWords(t *testing.T) {
	s := newSite()
	_, w := start(t, s, nil)
	refs := send(t, w, crmtest.Completed(1), nil).Refs
	call := s.records["Call"][0]
	call["description"] = text(call["description"]) + "\nShe rang back herself."
	call["name"] = "The loan"
	send(t, w, revised(crmtest.Completed(1)), refs)
	if d := text(call["description"]); !strings.HasSuffix(d, "\nShe rang back herself.") || !strings.Contains(d, "Outcome: Not interested") || call["name"] != "The loan" {
		t.Errorf("%s: %s", call["name"], d)
	}
}

// A new call-back time moves the task until somebody has begun with it.
func TestTaskMoves(t *testing.T) {
	s := newSite()
	_, w := start(t, s, nil)
	e := crmtest.Full(1)
	refs := send(t, w, e, nil).Refs
	for hours, begun := range []bool{false, false, true} {
		if begun {
			s.records["Task"][0]["status"] = "Started"
		}
		e.Revision++
		e.Call.CallbackAt = e.Call.CallbackAt.Add(3600e9)
		task := *e.Task
		task.Due = e.Call.CallbackAt
		e.Task = &task
		refs = send(t, w, e, refs).Refs
		want := fmt.Sprintf("2024-01-15 %d:36:22", 13+hours)
		if begun {
			want = "2024-01-15 14:36:22"
		}
		if got := s.records["Task"][0]["dateEnd"]; got != want || len(s.records["Task"]) != 1 {
			t.Errorf("due %v, want %s", got, want)
		}
	}
}

// Steps that are switched off ask nothing of the site.
func TestWithoutActivity(t *testing.T) {
	s := newSite()
	delete(s.fields, "Call.cVinferCallId")
	delete(s.role, "Call")
	server, w := start(t, s, nil)
	e := crmtest.Completed(1)
	e.NoActivity = true
	refs := send(t, w, e, nil).Refs
	send(t, w, e, nil)
	if got := s.state(); len(got.Calls) != 0 || len(s.records["Note"]) != 1 || refs["link"] == "" || len(got.Contacts) != 1 {
		t.Errorf("%q %+v\n%s", refs, got, told(server, 0))
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
		spoil   func(s *site)
		edit    func(c *espocrm.Config, s *crm.Settings)
		subject string
		says    string // in the error
		verdict crm.Verdict
	}{
		"a wrong key":          {nil, func(c *espocrm.Config, _ *crm.Settings) { c.APIKey = secret.New("wrong-key") }, "key", "401", crm.Halt},
		"another site":         {nil, func(c *espocrm.Config, _ *crm.Settings) { c.URL = strings.TrimSuffix(c.URL, "/crm") }, "key", "404", crm.Reject},
		"a poor role":          {func(s *site) { s.role["Task"] = false; s.role["Lead"].(object)["create"] = "no" }, nil, "role", "Lead create, Task create, Task read, Task edit", crm.Retry},
		"a role without users": {func(s *site) { delete(s.role, "User") }, nil, "role", "User read", crm.Retry},
		"no assignment":        {func(s *site) { s.assign = "no" }, nil, "assignment", "nobody but itself", crm.Retry},
		"an unknown status":    {nil, nil, "lead statuses", `["Paid"]`, crm.Retry},
		"a lacking field":      {func(s *site) { delete(s.fields, "Task.cVinferCallId") }, nil, "field Task.cVinferCallId", "not there", crm.Retry},
		"a mistyped field":     {nil, func(_ *espocrm.Config, s *crm.Settings) { s.Fields = map[string]string{"summary": "cSumary"} }, "field Call.cSumary", "not there", crm.Retry},
		"a lost option":        {func(s *site) { s.fields["Call.status"]["options"] = []string{"Done"} }, nil, "status of Call", `["Held" "Not Held"]`, crm.Retry},
		"an unknown owner":     {nil, func(_ *espocrm.Config, s *crm.Settings) { s.Owner = "nobody" }, "owner", "no such user", crm.Retry},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite()
			if test.spoil != nil {
				test.spoil(s)
			}
			server, w := start(t, s, test.edit)
			f := find(t, w.Check(t.Context(), []string{"Hot Lead", "Paid"}), test.subject)
			if f.Err == nil || !strings.Contains(f.Err.Error(), test.says) || crm.VerdictOf(f.Err) != test.verdict || f.Detail == "" {
				t.Errorf("%+v", f)
			}
			for _, r := range server.Requests() {
				if r.Method != http.MethodGet {
					t.Errorf("check sends %s %s", r.Method, r.Path)
				}
			}
		})
	}
	server, w := start(t, newSite(), nil)
	for _, f := range w.Check(t.Context(), []string{"Hot Lead"}) {
		if f.Err != nil {
			t.Errorf("%+v", f)
		}
	}
	server.Close()
	if f := find(t, w.Check(t.Context(), nil), "connection"); f.Err == nil {
		t.Errorf("%+v", f)
	}
}

func TestProvision(t *testing.T) {
	admin := func(c *espocrm.Config, _ *crm.Settings) {
		c.AdminUser, c.AdminPassword = "admin", secret.New(adminPass)
	}
	lacking := func() *site {
		s := newSite()
		delete(s.fields, "Call.cVinferCallId")
		delete(s.fields, "Task.cVinferCallId")
		return s
	}
	s := lacking()
	_, w := start(t, s, admin)
	for _, dry := range []bool{true, false} {
		changes, err := w.Provision(t.Context(), dry)
		if err != nil || len(changes) < 2 || changes[0].Done == dry || changes[1].Done == dry || (s.fields["Call.cVinferCallId"] == nil) != dry {
			t.Errorf("dry %t: %+v %v", dry, changes, err)
		}
	}
	if changes, err := w.Provision(t.Context(), false); err != nil || len(changes) != 0 {
		t.Errorf("again: %+v %v", changes, err)
	}
	send(t, w, crmtest.Full(1), nil)
	// The answer of the first field's making is lost.
	s = lacking()
	server, w := start(t, s, admin)
	server.Misbehave(crmtest.Fault{After: 1, Times: 1, Lost: true})
	if changes, err := w.Provision(t.Context(), false); err != nil || len(changes) != 3 {
		t.Errorf("%+v %v", changes, err)
	}
	// Without an administrator, and with a name that cannot be made.
	_, w = start(t, lacking(), nil)
	if changes, err := w.Provision(t.Context(), false); err != nil || len(changes) != 2 || changes[0].Done || !strings.Contains(changes[0].Detail, "name vinferCallId") {
		t.Errorf("%+v %v", changes, err)
	}
	_, w = start(t, lacking(), func(_ *espocrm.Config, s *crm.Settings) { s.Fields = map[string]string{"call_id": "callid"} })
	if changes, err := w.Provision(t.Context(), false); err != nil || changes[0].Done || !strings.Contains(changes[0].Detail, "by hand") {
		t.Errorf("%+v %v", changes, err)
	}
	_, w = start(t, lacking(), func(c *espocrm.Config, _ *crm.Settings) {
		c.AdminUser, c.AdminPassword = "admin", secret.New("mistyped")
	})
	if _, err := w.Provision(t.Context(), false); crm.VerdictOf(err) != crm.Halt {
		t.Errorf("%v", err)
	}
}

// The site must keep the call's id, or nothing is written.
func TestNoFieldNoWrite(t *testing.T) {
	for _, entity := range []string{"Call", "Task"} {
		s := newSite()
		delete(s.fields, entity+".cVinferCallId")
		_, w := start(t, s, nil)
		err := w.Write(t.Context(), crmtest.Full(1), crm.NewProgress(nil, nil))
		if crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), "vinfer-sync setup") || len(s.records["Task"]) != 0 {
			t.Errorf("%s: %v", entity, err)
		}
	}
}

func TestURL(t *testing.T) {
	s := newSite()
	server := crmtest.NewServer(t, s)
	for _, path := range []string{"/crm", "/crm/", "/crm/api/v1", "/crm/api/v1/", "/crm/index.php"} {
		w := open(t, espocrm.Config{URL: server.URL + path, APIKey: secret.New(apiKey)}, crm.Settings{})
		if found := w.Check(t.Context(), nil); found[0].Err != nil {
			t.Errorf("%s: %+v", path, found[0])
		}
	}
	if err := w1(espocrm.Config{URL: "https://espo.example", APIKey: secret.New("k")}); err != nil {
		t.Error(err)
	}
	for _, cfg := range []espocrm.Config{{}, {URL: "espo.example", APIKey: secret.New("k")}, {URL: "https://e.example?x=1", APIKey: secret.New("k")}, {URL: "https://e.example"}} {
		if err := w1(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

func w1(cfg espocrm.Config) error {
	w, err := espocrm.New(cfg, crm.Settings{})
	if err == nil {
		err = errors.Join(cfg.Validate(), w.Close())
	}
	return err
}

// A call of nobody keeps its transcript, though EspoCRM does not show the stream of a Call.
func TestTranscriptOfNobody(t *testing.T) {
	s := newSite()
	e := crmtest.Full(1)
	_, w := start(t, s, func(_ *espocrm.Config, c *crm.Settings) { c.OwnNumbers = []string{e.Call.Contact.E164} })
	refs := send(t, w, e, nil).Refs
	ready := crmtest.Transcribed(1)
	ready.Call.Contact = e.Call.Contact
	send(t, w, ready, refs)
	if n := len(s.records["Note"]); n != 1 || len(s.records["Call"]) != 1 || len(s.records["Lead"]) != 0 {
		t.Errorf("%d posts", n)
	}
}
