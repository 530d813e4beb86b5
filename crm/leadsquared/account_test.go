package leadsquared_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/leadsquared"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// start returns a server for the account and a writer to it.
func start(t *testing.T, a *account, edit func(*leadsquared.Config, *crm.Settings)) (*crmtest.Server, *leadsquared.Writer) {
	t.Helper()
	server := crmtest.NewServer(t, a)
	cfg := config(server.URL, "")
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
		path, _ := url.QueryUnescape(strings.TrimPrefix(r.Path, "/v2/"))
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
	a := newAccount()
	server, w := start(t, a, func(c *leadsquared.Config, _ *crm.Settings) { c.PostUpdatedLead = true })
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
	revised := crmtest.Revised(crmtest.Full(1), "not_interested", "Cold")
	revised.Call.CallbackAt = revised.Call.CallbackAt.Add(time.Hour)
	revised.Task = &crm.Task{Title: "Call back", Due: revised.Call.CallbackAt}
	refs = send(t, w, revised, refs).Refs
	note("another disposition and another time")
	send(t, w, crmtest.Transcribed(1), refs)
	note("its transcript")
	e := crmtest.Completed(2)
	e.Call.Contact = crmtest.Full(1).Call.Contact
	send(t, w, e, nil)
	note("another call of the same person")
	send(t, w, e, nil)
	note("that call again, its refs lost")
	e.NoActivity = true
	send(t, w, e, nil)
	note("a call without activity")
	crmtest.Golden(t, "testdata/golden.txt", got.Bytes())
	if len(a.updates) == 0 {
		t.Error("automations do not see the changes")
	}
}

// TestRequests counts what docs/crm/leadsquared.md says.
func TestRequests(t *testing.T) {
	a := newAccount()
	server, w := start(t, a, nil)
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
	refs := count("somebody known", 3, again, nil)
	again.Status = "Cold"
	count("another disposition", 4, crmtest.Revised(again, "not_interested", "Cold"), refs)
	count("a repeat", 1, crmtest.Completed(1), first)
	count("a transcript", 3, crmtest.Transcribed(1), first)
	count("a task", 8, crmtest.Full(5), nil)
}

// TestMobileAsTyped finds a lead whose Mobile holds the number as people type it.
func TestMobileAsTyped(t *testing.T) {
	a := newAccount()
	a.exact = true
	_, w := start(t, a, nil)
	id := a.add("", "Asha Rao")
	a.lead(id)["Mobile"] = "(+91) 98765-00001"
	send(t, w, crmtest.Completed(1), nil)
	if got := a.state(); len(got.Contacts) != 1 || len(got.Calls) != 1 || got.Calls[0].Contact != id {
		t.Errorf("got %+v", got)
	}
}

// TestOnMany looks at several leads of one number, of which the search by number shows one.
func TestOnMany(t *testing.T) {
	for policy, want := range map[string][]int{crm.ManyRecent: {2}, "": {2}, crm.ManyFirst: {0}, crm.ManyAll: {0, 1, 2}, crm.ManySkip: nil} {
		a := newAccount()
		_, w := start(t, a, func(_ *leadsquared.Config, s *crm.Settings) { s.OnMany = policy })
		var ids []string
		for i, number := range []string{"+91-9876500001", "98765 00001", "09876500001"} {
			ids = append(ids, a.add(number, fmt.Sprint("Number ", i)))
		}
		for range 2 {
			p := crm.NewProgress(nil, nil)
			err := w.Write(t.Context(), crmtest.Full(1), p)
			if policy == crm.ManySkip && crm.VerdictOf(err) != crm.Skip || policy != crm.ManySkip && err != nil {
				t.Errorf("on_many %q: %v", policy, err)
			}
			if policy == crm.ManyFirst && len(p.Warnings) != 1 {
				t.Errorf("warnings %q", p.Warnings)
			}
		}
		got := a.state()
		for i, id := range ids {
			calls := 0
			for _, c := range got.Calls {
				if c.Contact == id {
					calls++
				}
			}
			n := 0
			if slices.Contains(want, i) {
				n = 1
			}
			if calls != n || (got.Contacts[i].Status == "Hot Lead") != (n == 1) {
				t.Errorf("on_many %q: lead %d has %d calls, %+v", policy, i, calls, got.Contacts[i])
			}
		}
		if len(got.Contacts) != 3 || len(want) > 0 && len(got.Tasks) != 1 {
			t.Errorf("on_many %q: %d leads, %d tasks", policy, len(got.Contacts), len(got.Tasks))
		}
	}
}

// TestHiddenLead has a lead that the search does not show yet: LeadSquared itself finds it, and nothing of it is overwritten.
func TestHiddenLead(t *testing.T) {
	a := newAccount()
	_, w := start(t, a, func(_ *leadsquared.Config, s *crm.Settings) {
		s.Protect, s.Owner = []string{"Customer"}, "api@example.com"
	})
	id := a.add("+91-9876500001", "As typed")
	a.hidden[id] = true
	a.lead(id)["ProspectStage"] = "Customer"
	send(t, w, crmtest.Completed(1), nil)
	if got := a.state(); len(got.Contacts) != 1 || got.Contacts[0].Name != "As typed" || got.Contacts[0].Status != "Customer" || got.Calls[0].Contact != id {
		t.Errorf("got %+v", got)
	}
	if a.lead(id)["OwnerId"] != human {
		t.Error("it has another owner")
	}
}

// TestExactNumbers is about an account whose search compares digit by digit: what people typed is found by its parts.
func TestExactNumbers(t *testing.T) {
	for _, number := range []string{"98765 00001", "+91 98765 00001", "098765-00001", "9876500001", "919876500001"} {
		a := newAccount()
		a.exact = true
		_, w := start(t, a, nil)
		id := a.add(number, "As typed")
		send(t, w, crmtest.Completed(1), nil)
		if got := a.state(); len(got.Contacts) != 1 || got.Calls[0].Contact != id {
			t.Errorf("%q: got %+v", number, got)
		}
	}
}

// TestManyActivities looks for a call among many of the same lead, however the account counts its pages.
func TestManyActivities(t *testing.T) {
	for _, test := range []struct {
		most  int
		byRow bool
	}{{0, false}, {0, true}, {25, false}, {25, true}, {10, true}, {5, false}} {
		a := newAccount()
		a.most, a.byRow = test.most, test.byRow
		_, w := start(t, a, nil)
		person := crmtest.Completed(1).Call.Contact
		for _, n := range []int{3, 130, 131, 230} {
			for i := len(a.activities); i < n; i++ {
				e := crmtest.Completed(i)
				e.Call.Contact = person
				if i < 2 {
					send(t, w, e, nil)
					continue
				}
				a.activities = append(a.activities, object{
					"Id": a.id(), "lead": a.activities[0]["lead"], "code": typeCode, "note": "", "fields": object{"mx_Custom_1": e.Call.ID},
					"at": e.Call.StartedAt.Format("2006-01-02 15:04:05"),
				})
			}
			e := crmtest.Completed(0)
			e.Call.Contact = person
			send(t, w, e, nil)
			if len(a.activities) != n {
				t.Fatalf("%+v: %d activities, not %d", test, len(a.activities), n)
			}
		}
	}
}

// TestLimit tells the limit that a refusal names, and keeps to it from then on.
func TestLimit(t *testing.T) {
	a := newAccount()
	a.rate, a.window = 5, time.Second
	server, w := start(t, a, nil)
	err := w.Write(t.Context(), crmtest.Full(1), crm.NewProgress(nil, nil))
	if crm.VerdictOf(err) != crm.Throttle || crm.Wait(err) != time.Second || !strings.Contains(err.Error(), "limit of 5 in 1 second") {
		t.Fatalf("%s, wait %s: %v", crm.VerdictOf(err), crm.Wait(err), err)
	}
	before := len(server.Requests())
	if before != 6 || a.overruns != 1 {
		t.Errorf("%d requests, %d too many", before, a.overruns)
	}
	// The next one waits by itself until the five that were let through are a second old.
	send(t, w, crmtest.Full(1), nil)
	if a.overruns != 1 {
		t.Errorf("%d requests too many", a.overruns)
	}
}

// TestExceptions reads the verdict in the type of an exception, as permanent faults come as 500 too.
func TestExceptions(t *testing.T) {
	for body, want := range map[string]crm.Verdict{
		`{"Status":"Error","ExceptionType":"MXMandatoryAttributeMissingException","ExceptionMessage":"'mx_PAN' is mandatory"}`:           crm.Reject,
		`{"Status":"Error","ExceptionType":"MXInvalidInputException","ExceptionMessage":"no"}`:                                           crm.Reject,
		`{"Status":"Error","ExceptionType":"MXAccessDeniedException","ExceptionMessage":"no"}`:                                           crm.Halt,
		`{"Status":"Error","ExceptionType":"MXAPIRateLimitExceededException","ExceptionMessage":"API calls exceeded the limit per day"}`: crm.Throttle,
		`{"Status":"Error","ExceptionType":"MXDatabaseTimeoutException","ExceptionMessage":"again"}`:                                     crm.Retry,
		`{"Status":"Error","ExceptionType":"MXUnknownException","ExceptionMessage":"?"}`:                                                 crm.Retry,
	} {
		for _, status := range []int{200, 500} {
			server, w := start(t, newAccount(), nil)
			server.Misbehave(crmtest.Fault{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: func(*http.Request, []byte) string { return body }})
			err := w.Write(t.Context(), crmtest.Full(1), crm.NewProgress(nil, nil))
			if crm.VerdictOf(err) != want {
				t.Errorf("%d %s: %s: %v", status, body, crm.VerdictOf(err), err)
			}
		}
	}
}

// TestRefusals writes what an account takes in spite of what it does not.
func TestRefusals(t *testing.T) {
	t.Run("an unknown stage", func(t *testing.T) {
		a := newAccount()
		_, w := start(t, a, nil)
		e := crmtest.Completed(1)
		e.Status = "Hottest"
		err := w.Write(t.Context(), e, crm.NewProgress(nil, nil))
		if crm.VerdictOf(err) != crm.Reject || !strings.Contains(err.Error(), "ProspectStage takes Prospect, Hot Lead") || len(a.activities) != 0 {
			t.Errorf("%s: %v", crm.VerdictOf(err), err)
		}
	})
	t.Run("numbers of ten digits", func(t *testing.T) {
		a := newAccount()
		a.national = true
		_, w := start(t, a, nil)
		send(t, w, crmtest.Completed(1), nil)
		send(t, w, crmtest.Completed(1), nil)
		if got := a.state(); len(got.Contacts) != 1 || got.Contacts[0].Phone != "9876500001" || len(got.Calls) != 1 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("another task type and owner", func(t *testing.T) {
		a := newAccount()
		_, w := start(t, a, func(c *leadsquared.Config, s *crm.Settings) { c.TaskType, s.Owner = "Ring", "nobody@example.com" })
		if p := send(t, w, crmtest.Full(1), nil); len(p.Warnings) != 3 || len(a.tasks) != 1 {
			t.Errorf("%d tasks, warnings %q", len(a.tasks), p.Warnings)
		}
	})
	t.Run("nobody is found by an exception", func(t *testing.T) {
		server, w := start(t, newAccount(), func(c *leadsquared.Config, s *crm.Settings) {
			c.ActivityCode, s.Fields = typeCode, map[string]string{"call_id": "mx_Custom_1"}
		})
		server.Misbehave(crmtest.Fault{Times: 1, Status: 500, Body: func(*http.Request, []byte) string {
			return `{"Status":"Error","ExceptionType":"MXLeadNotFoundException","ExceptionMessage":"No lead has this number"}`
		}})
		send(t, w, crmtest.Completed(1), nil)
	})
	t.Run("a long note", func(t *testing.T) {
		a := newAccount()
		a.noteLimit = 4000
		server, w := start(t, a, nil)
		for n := range 2 {
			e := crmtest.Transcribed(n)
			e.Transcript.Text = strings.Repeat("agent: hello\n", 5000)
			before := len(server.Requests())
			send(t, w, e, nil)
			if n == 1 && strings.Count(told(server, before), "CreateNote") != 1 {
				t.Error("the limit was not learned")
			}
		}
		if got := a.state(); len(got.Notes) != 2 {
			t.Errorf("got %d notes", len(got.Notes))
		}
	})
	t.Run("requests that there are not", func(t *testing.T) {
		a := newAccount()
		for _, path := range []string{
			"LeadManagement.svc/Leads.Get", "LeadManagement.svc/Leads.GetById", "LeadManagement.svc/RetrieveTaskByLeadId", "Task.svc/Retrieve", "LeadManagement.svc/RetrieveNote",
			"ProspectActivity.svc/CustomActivity/Update", "Task.svc/Update", "Task.svc/RetrieveTaskType",
		} {
			a.off[path] = true
		}
		_, w := start(t, a, nil)
		refs := send(t, w, crmtest.Full(1), nil).Refs
		refs = send(t, w, crmtest.Revised(crmtest.Full(1), "not_interested", "Cold"), refs).Refs
		send(t, w, crmtest.Transcribed(1), refs)
		if got := a.state(); len(got.Contacts) != 1 || got.Contacts[0].Status != "Cold" || len(got.Calls) != 1 || len(got.Tasks) != 1 || len(got.Notes) != 1 {
			t.Errorf("got %+v", got)
		}
		for _, f := range w.Check(t.Context(), nil) {
			if f.Err != nil {
				t.Errorf("%s: %v", f.Subject, f.Err)
			}
		}
	})
}

// TestTasksByOwner finds a task whose creation was not answered among those of its owner, where an account does not tell those of a
// lead.
func TestTasksByOwner(t *testing.T) {
	for _, owner := range []string{"", "asha@example.com", human} {
		a := newAccount()
		a.off["LeadManagement.svc/RetrieveTaskByLeadId"] = true
		_, w := start(t, a, func(_ *leadsquared.Config, s *crm.Settings) { s.Owner = owner })
		send(t, w, crmtest.Full(1), nil)
		send(t, w, crmtest.Full(2), nil)
		send(t, w, crmtest.Full(1), nil)
		if len(a.tasks) != 2 {
			t.Errorf("owner %q: %d tasks", owner, len(a.tasks))
		}
	}
}

// TestConfigured takes an activity type by its code and fields by their names.
func TestConfigured(t *testing.T) {
	a := newAccount()
	a.addType(object{"ActivityEventName": "Phone Call", "Fields": []any{object{"SchemaName": "mx_Custom_7", "DisplayName": "Ref"}, object{"SchemaName": "mx_Custom_8", "DisplayName": "Mood"}}})
	server, w := start(t, a, func(c *leadsquared.Config, s *crm.Settings) {
		c.ActivityCode, s.Fields = typeCode+1, map[string]string{"call_id": "mx_Custom_7", "sentiment": "mx_Custom_8"}
	})
	send(t, w, crmtest.Completed(1), nil)
	send(t, w, crmtest.Completed(1), nil)
	if got := fmt.Sprint(a.activities[0]["fields"]); len(a.activities) != 1 || got != "map[mx_Custom_7:cal_test00001 mx_Custom_8:positive]" {
		t.Errorf("%d activities, %s", len(a.activities), got)
	}
	if strings.Contains(told(server, 0), "ActivityTypes.Get") {
		t.Error("what is configured was looked up")
	}
	_, w = start(t, a, func(c *leadsquared.Config, _ *crm.Settings) { c.Activity = "phone call" })
	if err := w.Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil)); crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), "call_id: mx_Custom_") {
		t.Errorf("%v", err)
	}
	changes, err := w.Provision(t.Context(), false)
	if err != nil || len(changes) != 1 || changes[0].Done || !strings.Contains(changes[0].Detail, "Custom Activities & Scores") {
		t.Errorf("%+v, %v", changes, err)
	}
}

// TestValidate names each fault by its key.
func TestValidate(t *testing.T) {
	for want, edit := range map[string]func(*leadsquared.Config){
		"region: url names":    func(c *leadsquared.Config) { c.Region = "in21" },
		"region: write it":     func(c *leadsquared.Config) { c.URL, c.Region = "", "in/21" },
		"access_key: missing":  func(c *leadsquared.Config) { c.AccessKey = secret.Text{} },
		"auth: write":          func(c *leadsquared.Config) { c.Auth = "basic" },
		"rate: out of range":   func(c *leadsquared.Config) { c.Rate = -1 },
		"activity_limit: out":  func(c *leadsquared.Config) { c.ActivityLimit = 10 },
		"headers: X-LSQ-Acces": func(c *leadsquared.Config) { c.Headers = map[string]secret.Text{"X-LSQ-AccessKey": secret.New("x")} },
	} {
		c := config("https://api-in21.leadsquared.com/v2/", "")
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		edit(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	for region, want := range map[string]string{"": "https://api.leadsquared.com/v2/", "in21": "https://api-in21.leadsquared.com/v2/", "US11": "https://api-us11.leadsquared.com/v2/"} {
		if got := (leadsquared.Config{Region: region}).Host(); got != want {
			t.Errorf("%q: %s", region, got)
		}
	}
}

// TestWishOfSeveralLeads marks all leads of a number, though the search by number shows one.
func TestWishOfSeveralLeads(t *testing.T) {
	a := newAccount()
	_, w := start(t, a, nil)
	refs := send(t, w, crmtest.Completed(1), nil).Refs
	a.add("098765 00001", "Two")
	a.lead(a.add("", "Three"))["Mobile"] = "+91 98765-00001"
	stranger := a.add("+919876500002", "Somebody else")
	e := crmtest.Revised(crmtest.Completed(1), "dnc", "Cold")
	e.DoNotCall = true
	send(t, w, e, refs)
	for _, c := range a.state().Contacts {
		if c.DoNotCall == (c.ID == stranger) {
			t.Errorf("lead %+v", c)
		}
	}
}
