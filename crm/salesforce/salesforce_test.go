package salesforce_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/salesforce"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// start serves an org and returns a writer to it that has asked what it says of Tasks.
func start(t *testing.T, g *org, edit func(*crm.Settings)) (*crmtest.Server, *salesforce.Writer) {
	t.Helper()
	server := crmtest.NewServer(t, g)
	return server, open(t, config(server.URL), edit)
}

func send(t *testing.T, w crm.Writer, e crm.Entry, refs crm.Refs) *crm.Progress {
	t.Helper()
	p := crm.NewProgress(refs, nil)
	if err := w.Write(t.Context(), e, p); err != nil {
		t.Fatalf("%s: %v", e.Key, err)
	}
	return p
}

// add puts a record into the org as its users would.
func (g *org) add(t *testing.T, entity string, o object) object {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	made, fault := g.insert(entity, o, "allowSave=true")
	if fault != nil {
		t.Fatal(fault)
	}
	return made
}

// TestRequests compares what is sent for a call's whole life with what was recorded.
func TestRequests(t *testing.T) {
	g := newOrg()
	server, w := start(t, g, nil)
	refs := send(t, w, crmtest.Full(1), nil).Refs
	refs = send(t, w, crmtest.Revised(crmtest.Full(1), "not_interested", "Cold"), refs).Refs
	send(t, w, crmtest.Transcribed(1), refs)
	known := crmtest.Completed(2)
	known.Call.Contact = crmtest.Full(1).Call.Contact
	send(t, w, known, nil)
	var b bytes.Buffer
	for _, r := range server.Requests() {
		path, query, _ := strings.Cut(r.Path, "?")
		fmt.Fprintf(&b, "%s %s", r.Method, path)
		if q, err := url.QueryUnescape(query); err == nil && q != "" {
			fmt.Fprintf(&b, "?%s", q)
		}
		b.WriteByte('\n')
		if path == "/services/oauth2/token" {
			fmt.Fprintf(&b, "  %s\n", r.Body)
			continue
		}
		if len(r.Body) > 0 {
			var v any
			if err := json.Unmarshal(r.Body, &v); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			e := json.NewEncoder(&out)
			e.SetEscapeHTML(false)
			e.SetIndent("  ", " ")
			_ = e.Encode(v)
			s := regexp.MustCompile(`IN \('[^)]{300,}\)`).ReplaceAllStringFunc(readable(out.String()), func(s string) string { return s[:60] + " …)" })
			fmt.Fprintf(&b, "  %s", s)
		}
	}
	crmtest.Golden(t, "testdata/requests.txt", b.Bytes())
}

// readable unescapes the queries in composite requests.
func readable(s string) string {
	return regexp.MustCompile(`query\?q=[^"]+`).ReplaceAllStringFunc(s, func(s string) string {
		u, err := url.QueryUnescape(s)
		if err != nil {
			return s
		}
		return strings.ReplaceAll(u, `"`, `'`)
	})
}

// A call costs as many requests as the documentation says.
func TestRequestsACall(t *testing.T) {
	g := newOrg()
	_, w := start(t, g, nil)
	w.Check(t.Context(), nil)
	send(t, w, crmtest.Completed(9), nil) // Tasks are described
	count := func(what string, want int, do func()) {
		t.Helper()
		before := g.used
		do()
		if g.used-before != want {
			t.Errorf("%s takes %d requests, not %d", what, g.used-before, want)
		}
	}
	var refs crm.Refs
	count("a new contact's call", 4, func() { refs = send(t, w, crmtest.Full(1), nil).Refs })
	count("its repeat", 1, func() { refs = send(t, w, crmtest.Full(1), refs).Refs })
	count("its transcript", 2, func() { send(t, w, crmtest.Transcribed(1), refs) })
	known := crmtest.Completed(2)
	known.Call.Contact = crmtest.Full(1).Call.Contact
	count("a known contact's call", 2, func() { refs = send(t, w, known, nil).Refs })
	count("its new disposition", 2, func() { send(t, w, crmtest.Revised(known, "not_interested", "Cold"), refs) })
}

func TestToken(t *testing.T) {
	g := newOrg()
	server, w := start(t, g, nil)
	send(t, w, crmtest.Completed(1), nil)
	g.live = "00Dxx!another" // the session ended
	send(t, w, crmtest.Completed(2), nil)
	if g.tokens != 2 {
		t.Errorf("%d tokens", g.tokens)
	}
	for status, want := range map[int]crm.Verdict{400: crm.Halt, 401: crm.Halt, 404: crm.Halt, 429: crm.Throttle, 503: crm.Retry} {
		server.Misbehave(crmtest.Fault{Status: status, Body: func(_ *http.Request, b []byte) string { return `{"error":"x","error_description":"` + string(b) + `"}` }})
		err := open(t, config(server.URL), nil).Write(t.Context(), crmtest.Completed(3), crm.NewProgress(nil, nil))
		if crm.VerdictOf(err) != want || strings.Contains(err.Error(), clientSecret) {
			t.Errorf("%d: %s: %v", status, crm.VerdictOf(err), err)
		}
	}
}

// The JWT bearer flow signs who asks for whom; tokens may come from another host, and go to the configured one only.
func TestJWT(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := newOrg()
	server := crmtest.NewServer(t, g)
	login := crmtest.NewServer(t, g)
	var said string
	g.jwt = func(assertion string) bool {
		said = assertion
		parts := strings.Split(assertion, ".")
		if len(parts) != 3 {
			return false
		}
		sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
		raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
		var claims struct {
			ISS, Sub, Aud string
			Exp           int64
		}
		if json.Unmarshal(raw, &claims) != nil || rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], signature) != nil {
			return false
		}
		left := time.Until(time.Unix(claims.Exp, 0))
		return claims.ISS == clientID && claims.Sub == "vinfer@example.com" && claims.Aud == login.URL && left > 0 && left <= 5*time.Minute
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range []pem.Block{{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}, {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		cfg := salesforce.Config{URL: server.URL, LoginURL: login.URL + "/", ClientID: clientID, Username: "vinfer@example.com", PrivateKey: secret.New(string(pem.EncodeToMemory(&block)))}
		w := open(t, cfg, nil)
		send(t, w, crmtest.Full(1), nil)
		found := ""
		for _, f := range w.Check(t.Context(), nil) {
			found += f.Subject + " " + f.Detail + "\n"
		}
		if !strings.Contains(found, "My Domain the token is for "+login.URL) {
			t.Error(found)
		}
		cfg.Username = "somebody@example.com"
		err := open(t, cfg, nil).Write(t.Context(), crmtest.Full(1), crm.NewProgress(nil, nil))
		if crm.VerdictOf(err) != crm.Halt || strings.Contains(err.Error(), said) || !strings.Contains(err.Error(), "invalid_grant") {
			t.Errorf("%v", err)
		}
	}
	for _, r := range login.Requests() {
		if r.Path != "/services/oauth2/token" {
			t.Errorf("%s %s went to the login host", r.Method, r.Path)
		}
	}
	if got := g.state(); len(got.Calls) != 1 || len(got.Contacts) != 1 {
		t.Errorf("%+v", got)
	}
}

// When the day's requests are used up the destination waits, and no request is sent beyond the limit but one now and then.
func TestDailyLimit(t *testing.T) {
	g := newOrg()
	server, w := start(t, g, nil)
	send(t, w, crmtest.Completed(1), nil)
	g.limit = g.used + 1
	var err error
	for n := 2; n < 30; n++ {
		err = w.Write(t.Context(), crmtest.Completed(n), crm.NewProgress(nil, nil))
		if crm.VerdictOf(err) != crm.Throttle || crm.Wait(err) <= 0 || crm.Wait(err) > 10*time.Second {
			t.Fatalf("%s %s: %v", crm.VerdictOf(err), crm.Wait(err), err)
		}
	}
	if want := fmt.Sprintf("%d of the org's %d API requests of the last 24 hours are used; paused", g.limit, g.limit); g.over != 0 || !strings.Contains(err.Error(), want) {
		t.Errorf("%d requests over the limit; %v", g.over, err)
	}
	// Another process does not know yet, and is told.
	w = open(t, config(server.URL), nil)
	for range 5 {
		err = w.Write(t.Context(), crmtest.Completed(2), crm.NewProgress(nil, nil))
	}
	if crm.VerdictOf(err) != crm.Throttle || g.over != 1 || crm.Wait(err) <= 0 {
		t.Errorf("%d requests over the limit; %v", g.over, err)
	}
	g.limit = 100_000
	w = open(t, config(server.URL), nil)
	send(t, w, crmtest.Completed(2), nil)
	// Some are kept free for others, and workers side by side do not take more than there are.
	cfg := config(server.URL)
	cfg.KeepFree = 50
	w = open(t, cfg, nil)
	send(t, w, crmtest.Completed(3), nil)
	g.limit = g.used + 60
	done := make(chan struct{})
	for n := range 8 {
		go func() {
			for i := range 10 {
				_ = w.Write(t.Context(), crmtest.Completed(100+n*10+i), crm.NewProgress(nil, nil))
			}
			done <- struct{}{}
		}()
	}
	for range 8 {
		<-done
	}
	if left := g.limit - g.used; left < 49 {
		t.Errorf("%d are left", left)
	}
}

// A converted lead is the contact that it became, found or read, whatever number that has.
func TestConvertedLead(t *testing.T) {
	g := newOrg()
	_, w := start(t, g, nil)
	refs := send(t, w, crmtest.Completed(1), nil).Refs
	c := g.add(t, "Contact", object{"LastName": "Sharma", "Phone": "+912222222222"})
	l := g.records["Lead"][0]
	l["IsConverted"], l["ConvertedContactId"], l["Status"] = true, c["Id"], "Closed - Converted"
	e := crmtest.Completed(2)
	e.Call.Contact = crmtest.Completed(1).Call.Contact
	e.DoNotCall = true
	p := send(t, w, e, nil)
	task := g.records["Task"][1]
	c = g.find("Contact", text2(c["Id"]))
	if p.Refs["contact"] != "Contact/"+text2(c["Id"]) || task["WhoId"] != c["Id"] || c["DoNotCall"] != true || l["Status"] != "Closed - Converted" {
		t.Errorf("%v: %v %v", p.Refs, task["WhoId"], c)
	}
	send(t, w, crmtest.Revised(crmtest.Completed(1), "not_interested", "Cold"), refs)
	if l["Status"] != "Closed - Converted" || len(g.records["Task"]) != 2 || len(g.records["Lead"])+len(g.records["Contact"]) != 2 {
		t.Errorf("%v", g.state())
	}
	// The contact was deleted: the call is written without one.
	g.remove("Contact", text2(c["Id"]))
	e = crmtest.Completed(3)
	e.Call.Contact = crmtest.Completed(1).Call.Contact
	send(t, w, e, nil)
	if n := len(g.records["Task"]); n != 3 || g.records["Task"][2]["WhoId"] != nil || len(g.records["Lead"]) != 1 {
		t.Errorf("%v", g.state())
	}
	// Converted between the look and the change.
	g = newOrg()
	_, w = start(t, g, nil)
	g.add(t, "Lead", object{"LastName": "A", "Company": "B", "Phone": crmtest.Completed(1).Call.Contact.E164})
	g.refuse, g.refuseCode = "Status", "CANNOT_UPDATE_CONVERTED_LEAD"
	if err := w.Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil)); crm.VerdictOf(err) != crm.Retry || len(g.records["Task"]) != 0 {
		t.Errorf("%v", err)
	}
}

// Numbers that people write in no known way are found by the index, and nobody else.
func TestIndex(t *testing.T) {
	for _, typed := range []string{"tel. 98765 (00) 001", "+91.987.650.00.01", "98-76-50-00-01"} {
		g := newOrg()
		_, w := start(t, g, nil)
		c := g.add(t, "Contact", object{"LastName": "B", "OtherPhone": typed})
		g.add(t, "Lead", object{"LastName": "C", "Company": "D", "Phone": "+4498 7650 0001"})
		p := send(t, w, crmtest.Completed(1), nil)
		if p.Refs["contact"] != "Contact/"+text2(c["Id"]) || len(g.records["Lead"]) != 1 {
			t.Errorf("%q: %v, %v", typed, p.Refs, g.state())
		}
	}
}

// By the index alone, which lags: what was made is remembered, and what may have been made is waited for.
func TestIndexAlone(t *testing.T) {
	g := newOrg()
	server := crmtest.NewServer(t, g)
	cfg := config(server.URL)
	cfg.Search = "index"
	w := open(t, cfg, nil)
	g.hide = true
	for n := range 3 {
		e := crmtest.Completed(n)
		e.Call.Contact = crmtest.Completed(7).Call.Contact
		send(t, w, e, nil)
	}
	if got := g.state(); len(got.Contacts) != 1 || len(got.Calls) != 3 {
		t.Errorf("%+v", got)
	}
	c := g.add(t, "Contact", object{"LastName": "B", "OtherPhone": "+91 (98765) 00-008"})
	delete(g.unseen, text2(c["Id"]))
	if p := send(t, w, crmtest.Completed(8), nil); p.Refs["contact"] != "Contact/"+text2(c["Id"]) {
		t.Errorf("%v", p.Refs)
	}
	// The answer to the making of a lead is lost.
	server.Misbehave(crmtest.Fault{After: 3, Times: 1, Lost: true})
	p := crm.NewProgress(nil, nil)
	if err := w.Write(t.Context(), crmtest.Completed(9), p); crm.VerdictOf(err) != crm.Retry || err == nil {
		t.Fatalf("%v", err)
	}
	w = open(t, cfg, nil)
	if err := w.Write(t.Context(), crmtest.Completed(9), p); crm.VerdictOf(err) != crm.Postpone || !strings.Contains(err.Error(), "not known yet") {
		t.Errorf("%v", err)
	}
	clear(g.unseen)
	send(t, w, crmtest.Completed(9), p.Refs)
	if got := g.state(); len(got.Contacts) != 3 || len(got.Calls) != 5 {
		t.Errorf("%+v", got)
	}
}

// A duplicate rule's match is taken if it has the number; if not, the rule is told that this is meant.
func TestDuplicateRules(t *testing.T) {
	for name, number := range map[string]string{"same": "00 91 98765 (00001)", "another": "+919999999999"} {
		g := newOrg()
		_, w := start(t, g, nil)
		o := g.add(t, "Contact", object{"LastName": "B", "OtherPhone": number})
		g.unseen[text2(o["Id"])] = true
		g.duplicates = text2(o["Id"])
		send(t, w, crmtest.Completed(1), nil)
		if made := len(g.records["Lead"]) == 1; made != (name == "another") || len(g.records["Task"]) != 1 {
			t.Errorf("%s: %v", name, g.state())
		}
	}
}

func TestLockedRow(t *testing.T) {
	g := newOrg()
	_, w := start(t, g, nil)
	send(t, w, crmtest.Completed(2), nil)
	g.locked = 1
	p := crm.NewProgress(nil, nil)
	if err := w.Write(t.Context(), crmtest.Full(1), p); crm.VerdictOf(err) != crm.Retry || !strings.Contains(err.Error(), "UNABLE_TO_LOCK_ROW") {
		t.Errorf("%v", err)
	}
	send(t, w, crmtest.Full(1), p.Refs)
	if got := g.state(); len(got.Calls) != 2 || len(got.Tasks) != 1 || len(got.Contacts) != 2 {
		t.Errorf("%+v", got)
	}
}

// A status that the org lacks rejects the call, and nothing of it is there.
func TestStatusThatTheOrgLacks(t *testing.T) {
	g := newOrg()
	_, w := start(t, g, nil)
	refs := send(t, w, crmtest.Completed(1), nil).Refs
	for _, test := range []struct {
		e    crm.Entry
		refs crm.Refs
	}{{crmtest.Completed(2), nil}, {crmtest.Revised(crmtest.Completed(1), "paid", "Paid"), refs}} {
		test.e.Status = "Paid"
		before := fmt.Sprint(g.records["Task"])
		err := w.Write(t.Context(), test.e, crm.NewProgress(test.refs, nil))
		if crm.VerdictOf(err) != crm.Reject || !strings.Contains(err.Error(), "Lead.Status takes Open - Not Contacted, Working") || !strings.Contains(crm.Request(err), "Status") {
			t.Errorf("%v: %s", err, crm.Request(err))
		}
		if fmt.Sprint(g.records["Task"]) != before || len(g.records["Lead"]) != 1 {
			t.Errorf("%v", g.state())
		}
	}
}

// What the org does not show or take, and a call can do without, is left out.
func TestWhatTheOrgLacks(t *testing.T) {
	g := newOrg()
	for _, f := range []string{"Lead.DoNotCall", "Lead.MobilePhone", "Contact.HomePhone", "Task.CallObject", "Task.ReminderDateTime", "Task.IsReminderSet", "Task.VInfer_Started_At__c", "Task.CallType", "Task.Mood__c"} {
		entity, field, _ := strings.Cut(f, ".")
		delete(g.fields[entity], field)
	}
	_, w := start(t, g, nil)
	p := send(t, w, crmtest.Full(1), nil)
	send(t, w, crmtest.Transcribed(1), p.Refs)
	got := g.state()
	if len(got.Calls) != 1 || len(got.Tasks) != 1 || len(got.Notes) != 1 || len(p.Warnings) == 0 {
		t.Errorf("%+v %q", got, p.Warnings)
	}
	if d := text2(g.records["Task"][1]["Description"]); !strings.HasPrefix(d, "Due: 2024-01-15 12:36:22 +00:00\n\n") {
		t.Errorf("%q", d)
	}
	// Nobody tells what there is.
	g = newOrg()
	delete(g.fields["Task"], "VInfer_Key__c")
	server, w := start(t, g, nil)
	server.Misbehave(crmtest.Fault{After: 1, Times: 1, Status: 404})
	for try := range 3 {
		if err := w.Write(t.Context(), crmtest.Full(1), crm.NewProgress(nil, nil)); err == nil {
			break
		} else if try == 2 || crm.VerdictOf(err) != crm.Retry {
			t.Fatal(err)
		}
	}
	if got := g.state(); len(got.Calls) != 1 || len(got.Tasks) != 1 || len(got.Contacts) != 1 {
		t.Errorf("%+v", got)
	}
}

// An external id that is not unique takes the right to view all data; without it a look does.
func TestExternalIDThatIsNotUnique(t *testing.T) {
	for _, code := range []string{"INSUFFICIENT_ACCESS", "NOT_FOUND"} {
		g := newOrg()
		g.fields["Task"]["VInfer_Key__c"]["unique"] = false
		server, w := start(t, g, nil)
		send(t, w, crmtest.Completed(9), nil)
		body := `{"compositeResponse":[` + fmt.Sprintf(`{"body":[{"errorCode":%q,"message":"no"}],"httpStatusCode":%d,"referenceId":"activity"},`, code, map[string]int{"NOT_FOUND": 404}[code]+map[string]int{"INSUFFICIENT_ACCESS": 403}[code]) +
			`{"body":[{"errorCode":"PROCESSING_HALTED","message":"x"}],"httpStatusCode":400,"referenceId":"task"},{"body":[{"errorCode":"PROCESSING_HALTED","message":"x"}],"httpStatusCode":400,"referenceId":"contact0"}]}`
		server.Misbehave(crmtest.Fault{After: 3, Times: 1, Status: 200, Body: func(*http.Request, []byte) string { return body }})
		p := crm.NewProgress(nil, nil)
		if err := w.Write(t.Context(), crmtest.Full(1), p); crm.VerdictOf(err) != crm.Retry || err == nil {
			t.Fatalf("%s: %v", code, err)
		}
		send(t, w, crmtest.Full(1), p.Refs)
		send(t, w, crmtest.Full(1), nil)
		if got := g.state(); len(got.Calls) != 2 || len(got.Tasks) != 1 || g.records["Task"][1]["VInfer_Key__c"] != crmtest.Full(1).Call.ID {
			t.Errorf("%s: %+v", code, got)
		}
	}
}

func TestOwners(t *testing.T) {
	for name, test := range map[string]struct {
		settings, task     string
		owner, call, other string
		warnings           int
	}{
		"nobody":             {"", "", apiUser, apiUser, apiUser, 0},
		"the contact's":      {"", "", human, human, human, 0},
		"configured by name": {"asha@example.com", "", apiUser, human, human, 0},
		"configured by id":   {human, apiUser, apiUser, human, apiUser, 0},
		"no such user":       {"nobody", "", human, human, human, 1},
	} {
		g := newOrg()
		g.add(t, "Lead", object{"LastName": "A", "Company": "B", "Phone": crmtest.Full(1).Call.Contact.E164, "OwnerId": test.owner})
		_, w := start(t, g, func(s *crm.Settings) { s.Owner = test.settings })
		e := crmtest.Full(1)
		e.Task.Owner = test.task
		p := send(t, w, e, nil)
		if c, k := g.records["Task"][0]["OwnerId"], g.records["Task"][1]["OwnerId"]; c != test.call || k != test.other || len(p.Warnings) != test.warnings {
			t.Errorf("%s: the call is %s's, the task %s's, warnings %q", name, c, k, p.Warnings)
		}
	}
	g := newOrg()
	g.refuse, g.refuseCode = "OwnerId", "INACTIVE_OWNER_OR_USER"
	_, w := start(t, g, func(s *crm.Settings) { s.Owner = human })
	if p := send(t, w, crmtest.Full(1), nil); len(g.records["Task"]) != 2 || len(p.Warnings) == 0 {
		t.Errorf("%q", p.Warnings)
	}
}

// TestCheckAtTheLimit tells of the day's limit, not of the key or the user's rights.
func TestCheckAtTheLimit(t *testing.T) {
	g := newOrg()
	w := open(t, config(crmtest.NewServer(t, g).URL), nil)
	g.used = g.limit
	found := w.Check(t.Context(), nil)
	if len(found) != 1 || found[0].Subject != "requests" || crm.VerdictOf(found[0].Err) != crm.Throttle || strings.Contains(found[0].Detail, "permission") {
		t.Errorf("got %+v", found)
	}
}
