package zoho_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/zoho"
	secrets "github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// deliver writes an entry and returns the progress.
func deliver(t *testing.T, w crm.Writer, e crm.Entry, refs crm.Refs) *crm.Progress {
	t.Helper()
	p := crm.NewProgress(refs, nil)
	if err := w.Write(t.Context(), e, p); err != nil {
		t.Fatalf("%s: %v", e.Key, err)
	}
	return p
}

func attempt(t *testing.T, w crm.Writer, e crm.Entry, p *crm.Progress) error {
	t.Helper()
	return w.Write(t.Context(), e, p)
}

func fresh() *crm.Progress { return crm.NewProgress(nil, nil) }

func TestRequests(t *testing.T) {
	server := serve(t, newFake())
	w := open(t, server.URL, func(s *crm.Settings) { s.Owner = "asha@example.com"; s.Zone = time.FixedZone("IST", 19_800) })
	refs := deliver(t, w, crmtest.Full(1), nil).Refs
	refs = deliver(t, w, crmtest.Revised(crmtest.Full(1), "not_interested", "Dead"), refs).Refs
	deliver(t, w, crmtest.Transcribed(1), refs)
	var log strings.Builder
	for _, r := range server.Requests() {
		fmt.Fprintf(&log, "%s %s\n%s\n\n", r.Method, r.Path, strings.NewReplacer(secret, "SECRET", refresh, "REFRESH").Replace(string(r.Body)))
	}
	crmtest.Golden(t, "testdata/requests.txt", []byte(log.String()))
}

func TestTokenIsKept(t *testing.T) {
	f := newFake()
	c := config(t, serve(t, f).URL)
	for n := range 12 { // a crash loop
		deliver(t, openWith(t, c, nil), crmtest.Completed(n), nil)
	}
	info, err := os.Stat(c.TokenFile)
	if err != nil || info.Mode().Perm() != 0o600 || f.tokens != 1 {
		t.Errorf("%v, %v, %d tokens", info.Mode(), err, f.tokens)
	}
	f.expired = true
	w := openWith(t, c, nil)
	deliver(t, w, crmtest.Completed(20), nil)
	if f.tokens != 2 {
		t.Errorf("%d tokens after one was refused", f.tokens)
	}
	if err := os.WriteFile(c.TokenFile, []byte("{cut off"), 0o600); err != nil {
		t.Fatal(err)
	}
	deliver(t, openWith(t, c, nil), crmtest.Completed(21), nil)
	c.RefreshToken = secrets.New("1000.another-refresh-token")
	if err := attempt(t, openWith(t, c, nil), crmtest.Completed(22), fresh()); crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), "invalid_code") {
		t.Errorf("the file of another client: %v", err)
	}
}

func TestTokensAreRationed(t *testing.T) {
	f := newFake()
	server := serve(t, f)
	c := config(t, server.URL)
	var err error
	for range 40 { // the API refuses every token, whatever the accounts server says
		f.expired = true
		w := openWith(t, c, nil)
		server.Misbehave(crmtest.Fault{Status: 401, After: 1, Body: func(*http.Request, []byte) string {
			return `{"code":"INVALID_TOKEN","message":"invalid oauth token","status":"error"}`
		}})
		err = attempt(t, w, crmtest.Completed(1), fresh())
		server.Misbehave()
	}
	if crm.VerdictOf(err) != crm.Throttle || f.tokens > 9 {
		t.Errorf("%d tokens, then %v", f.tokens, err)
	}
}

func TestTokenRefusals(t *testing.T) {
	for body, want := range map[string]crm.Verdict{
		`{"error":"invalid_code"}`:          crm.Halt,
		`{"error":"invalid_client_secret"}`: crm.Halt,
		`{"error":"Access Denied","error_description":"You have made too many requests continuously. Please try again after some time."}`: crm.Throttle,
		`{"error":"general_error"}`: crm.Retry,
		`<html>login</html>`:        crm.Retry,
	} {
		server := serve(t, newFake())
		server.Misbehave(crmtest.Fault{Status: 200, Body: func(*http.Request, []byte) string { return body }})
		err := attempt(t, open(t, server.URL, nil), crmtest.Completed(1), fresh())
		if crm.VerdictOf(err) != want {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestDomainOfToken: a token of another data centre than the configured one is told at once; an API that is named in full is taken at its word.
func TestDomainOfToken(t *testing.T) {
	f := newFake()
	f.domain = "https://www.zohoapis.eu"
	server := serve(t, f)
	c := config(t, server.URL)
	deliver(t, openWith(t, c, nil), crmtest.Completed(1), nil)

	c.APIURL, c.DataCenter, c.TokenFile = "", "in", c.TokenFile+"2"
	err := attempt(t, openWith(t, c, nil), crmtest.Completed(2), fresh())
	if crm.VerdictOf(err) != crm.Halt || !strings.Contains(err.Error(), f.domain) || !strings.Contains(err.Error(), "data_center") || strings.Contains(err.Error(), "1000.") {
		t.Errorf("a token for another data centre: %v", err)
	}
}

// TestQuotesInQueries: an id with quotes in it is found again.
func TestQuotesInQueries(t *testing.T) {
	f := newFake()
	for _, d := range f.fields["Calls"] {
		delete(d, "unique")
	}
	server := serve(t, f)
	e := crmtest.Completed(1)
	e.Call.ID = `cal_o'brien''s \ "1"`
	for range 2 {
		deliver(t, open(t, server.URL, nil), e, nil)
	}
	if n := len(f.tables["Calls"]); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestVerdicts(t *testing.T) {
	for code, want := range map[string]crm.Verdict{
		"OAUTH_SCOPE_MISMATCH": crm.Halt, "NO_PERMISSION": crm.Halt, "AUTHENTICATION_FAILURE": crm.Halt, "TOO_MANY_REQUESTS": crm.Throttle,
		"LIMIT_EXCEEDED": crm.Throttle, "INTERNAL_ERROR": crm.Retry, "RECORD_LOCKED": crm.Retry, "MANDATORY_NOT_FOUND": crm.Reject, "INVALID_DATA": crm.Reject,
	} {
		for _, status := range []int{200, 202, 207, 400} {
			server := serve(t, newFake())
			w := open(t, server.URL, nil)
			w.Check(t.Context(), nil)
			server.Misbehave(crmtest.Fault{After: 4, Status: status, Body: func(*http.Request, []byte) string {
				return `{"data":[{"code":"` + code + `","details":{"api_name":"Last_Name"},"message":"said so","status":"error"}]}`
			}})
			if err := attempt(t, w, crmtest.Completed(1), fresh()); crm.VerdictOf(err) != want {
				t.Errorf("%d %s: %v", status, code, err)
			}
		}
	}
}

func TestWindowOfRequests(t *testing.T) {
	f := newFake()
	server := serve(t, f)
	w := open(t, server.URL, nil)
	w.Check(t.Context(), nil)
	reset := time.Now().Add(20 * time.Minute).UnixMilli()
	server.Misbehave(crmtest.Fault{Times: 1, Status: 204, Header: http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {fmt.Sprint(reset)}}})
	err := attempt(t, w, crmtest.Completed(1), fresh())
	if crm.VerdictOf(err) != crm.Throttle || server.Count() != 1 {
		t.Errorf("%d requests, then %v", server.Count(), err)
	}
}

func TestBlueprint(t *testing.T) {
	f := newFake()
	w := open(t, serve(t, f).URL, nil)
	phone := crmtest.Completed(1).Call.Contact.E164
	lead := f.add("Leads", row{"Last_Name": phone, "Phone": phone, "Lead_Status": "New"})
	f.blue = fmt.Sprint(lead["id"])
	p := deliver(t, w, crmtest.Completed(1), nil)
	if s := f.state(); len(s.Calls) != 1 || s.Contacts[0].Status != "New" || s.Contacts[0].Name == phone || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "BLUEPRINT") {
		t.Errorf("%+v %q", s, p.Warnings)
	}
	if again := deliver(t, w, crmtest.Completed(1), p.Refs); len(again.Warnings) != 0 || len(f.state().Calls) != 1 {
		t.Errorf("%q", again.Warnings)
	}
}

func TestConvertedLead(t *testing.T) {
	for name, edit := range map[string]func(f *fake){"queries": func(*fake) {}, "search": func(f *fake) { f.noCOQL = true }, "no field": func(f *fake) {
		f.fields["Leads"] = keep(f.fields["Leads"], func(d row) bool { return d["api_name"] != "Converted__s" })
	}} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			edit(f)
			w := open(t, serve(t, f).URL, nil)
			phone := crmtest.Completed(1).Call.Contact.E164
			lead := f.add("Leads", row{"Last_Name": "As a lead", "Phone": phone, "Lead_Status": "Old status", "$converted": true})
			contact := f.add("Contacts", row{"Last_Name": "As a contact", "Home_Phone": "098765-00001"})
			if refs := deliver(t, w, crmtest.Completed(1), nil).Refs; refs["contact"] != fmt.Sprint("Contacts/", contact["id"]) {
				t.Errorf("got %q", refs)
			}
			if lead["Lead_Status"] != "Old status" || len(f.tables["Leads"]) != 1 || f.state().Calls[0].Contact != fmt.Sprint("Contacts/", contact["id"]) {
				t.Errorf("got %+v", f.state())
			}
		})
	}
}

func TestDuplicateIsAdopted(t *testing.T) {
	f := newFake()
	w := open(t, serve(t, f).URL, nil)
	deliver(t, w, crmtest.Full(1), nil)
	e := crmtest.Revised(crmtest.Full(1), "not_interested", "Dead")
	e.SetStatus = false   // else the call would be looked for first
	deliver(t, w, e, nil) // the refs are lost
	s := f.state()
	if len(s.Calls) != 1 || len(s.Tasks) != 1 || s.Calls[0].Disposition != "not_interested" || strings.Count(strings.Join(f.seen, " "), "DUPLICATE_DATA") != 2 {
		t.Errorf("%+v %q", s, f.seen)
	}
}

// TestNoQueries loses the answers to creates where nothing but a search that lags can be asked.
func TestNoQueries(t *testing.T) {
	f := newFake()
	f.noCOQL, f.lagging = true, true
	delete(f.field("Calls", "VInfer_Call_ID"), "unique")
	server := serve(t, f)
	c := config(t, server.URL)
	w := openWith(t, c, nil)
	w.Check(t.Context(), nil)
	for n := range 40 {
		server.Misbehave(crmtest.Fault{After: n, Times: 1, Lost: true})
		p := fresh()
		e := crmtest.Full(n)
		err := attempt(t, w, e, p)
		server.Misbehave()
		if err != nil {
			err = attempt(t, w, e, p)
		}
		if err != nil && !strings.Contains(err.Error(), "not known yet") {
			t.Fatal(err)
		}
		late := crmtest.Completed(100 + n) // another process, which remembers nothing
		late.Call.Contact = e.Call.Contact
		deliver(t, openWith(t, c, nil), late, nil)
	}
	f.state().AssertOnce(t)
}

// TestNoQueriesNoLists: where a contact's own calls cannot be read either, those that were made last can.
func TestNoQueriesNoLists(t *testing.T) {
	f := newFake()
	f.noCOQL, f.lagging, f.noLists = true, true, true
	for _, module := range []string{"Calls", "Tasks"} {
		f.fields[module] = keep(f.fields[module], func(d row) bool { return d["api_name"] != "VInfer_Call_ID" })
	}
	server := serve(t, f)
	w := openWith(t, config(t, server.URL), nil)
	known := crmtest.Full(0)
	deliver(t, w, known, nil)
	for n := range 12 {
		e := crmtest.Full(n + 1)
		e.Call.Contact = known.Call.Contact
		server.Misbehave(crmtest.Fault{After: n, Times: 1, Lost: true})
		p := fresh()
		if err := attempt(t, w, e, p); err != nil {
			server.Misbehave()
			deliver(t, w, e, p.Refs)
		}
		server.Misbehave()
	}
	f.state().AssertOnce(t)
	if n := len(f.tables["Calls"]); n != 13 {
		t.Errorf("%d calls", n)
	}
}

func TestCompanyAndLimits(t *testing.T) {
	f := newFake()
	f.company = true
	w := open(t, serve(t, f).URL, nil)
	e := crmtest.Completed(1)
	e.Call.Contact.Name = strings.Repeat("नमस्ते ", 40)
	zero := 0.0
	e.Call.Duration, e.Call.Direction = &zero, "inbound"
	deliver(t, w, e, nil)
	deliver(t, w, crmtest.Completed(2), nil)
	call := f.tables["Calls"][0]
	if len(f.tables["Leads"]) != 2 || call["Call_Type"] != "Missed" || call["Call_Result"] != "Interested" || call["VInfer_Call_ID"] != e.Call.ID {
		t.Errorf("%v", call)
	}
}

func TestStatusThatTheListLacks(t *testing.T) {
	f := newFake()
	e := crmtest.Completed(1)
	e.Status = "Intrested"
	err := attempt(t, open(t, serve(t, f).URL, nil), e, fresh())
	if crm.VerdictOf(err) != crm.Reject || !strings.Contains(err.Error(), "Hot Lead") || len(f.tables["Leads"]) != 0 {
		t.Errorf("got %v", err)
	}
}

func TestTaskThatIsTakenUp(t *testing.T) {
	f := newFake()
	w := open(t, serve(t, f).URL, func(s *crm.Settings) { s.Zone = time.FixedZone("IST", 19_800) })
	e := crmtest.Full(1)
	e.Task.Due = time.Date(2026, 3, 1, 19, 30, 0, 0, time.UTC)
	refs := deliver(t, w, e, nil).Refs
	task := f.tables["Tasks"][0]
	if task["Due_Date"] != "2026-03-02" || !strings.Contains(fmt.Sprint(task["Description"]), "2026-03-02 01:00 IST") {
		t.Errorf("got %v", task)
	}
	task["Status"] = "In Progress"
	newer := crmtest.Revised(e, "callback_requested", "Cold")
	newer.Task = &crm.Task{Title: "Another title", Due: e.Task.Due.Add(time.Hour)}
	deliver(t, w, newer, refs)
	if task["Subject"] == "Another title" || task["Status"] != "In Progress" {
		t.Errorf("got %v", task)
	}
}

func TestSetupWhatIsRefused(t *testing.T) {
	f := newFake()
	f.noUnique = true
	for _, module := range []string{"Calls", "Tasks"} {
		f.fields[module] = keep(f.fields[module], func(d row) bool { return d["api_name"] != "VInfer_Call_ID" })
	}
	server := serve(t, f)
	w := open(t, server.URL, nil)
	changes, err := w.Provision(t.Context(), false)
	if err != nil || len(changes) == 0 || !changes[0].Done || !strings.Contains(changes[0].Detail, "not unique") {
		t.Errorf("%+v, %v", changes, err)
	}
	f.fields["Calls"] = keep(f.fields["Calls"], func(d row) bool { return d["api_name"] != "VInfer_Language" })
	server.Misbehave(crmtest.Fault{After: 4, Status: 403, Body: func(*http.Request, []byte) string {
		return `{"code":"NO_PERMISSION","message":"permission denied","status":"error"}`
	}})
	changes, err = w.Provision(t.Context(), false)
	if len(changes) != 1 || changes[0].Done || !strings.Contains(changes[0].Detail, "Modules and Fields > Calls") {
		t.Errorf("%+v, %v", changes, err)
	}
}

func TestValidate(t *testing.T) {
	err := zoho.Config{DataCenter: "us", APIURL: "zohoapis", Concurrency: 99}.Validate()
	for _, want := range []string{"data_center: ", "api_url: ", "client_id: ", "client_secret: ", "refresh_token: ", "concurrency: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing: %v", want, err)
		}
	}
	if _, err := zoho.New(zoho.Config{DataCenter: "in", ClientID: "x", ClientSecret: secrets.New("y"), RefreshToken: secrets.New("z")}, crm.Settings{}); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a token file: %v", err)
	}
	if got := (zoho.Config{DataCenter: "in"}).API(); got != "https://www.zohoapis.in" {
		t.Errorf("got %s", got)
	}
}

// TestRefusedCredentials goes on at once when the credentials are mended: refused requests use nothing of the ration up.
func TestRefusedCredentials(t *testing.T) {
	f := newFake()
	c := config(t, serve(t, f).URL)
	c.ClientSecret = secrets.New("another-secret")
	for range 12 {
		if err := attempt(t, openWith(t, c, nil), crmtest.Completed(1), fresh()); crm.VerdictOf(err) != crm.Halt {
			t.Fatal(err)
		}
	}
	c.ClientSecret = secrets.New(secret)
	deliver(t, openWith(t, c, nil), crmtest.Completed(1), nil)
}
