package salesforce_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

func yaml(url, more string) string {
	return fmt.Sprintf("  - name: sales\n    protect: [Closed - Converted]\n    owner: asha@example.com\n    salesforce: {url: %q, client_id: %s, client_secret: %s%s}", url, clientID, clientSecret, more)
}

const mapping = "mapping: {unknown: skip, dispositions: {not_interested: {status: Closed - Not Converted}, not_reachable: {status: Open - Not Contacted}, " +
	"interested: {status: Working - Contacted}, callback_requested: {status: Working - Contacted, task: {title: \"Call back {{.Contact.Name}}\", due: 48h}}}}"

// doubled lists what is there more than once, and counts.
func (g *org) doubled() (twice []string, calls, contacts, tasks, notes int) {
	got := g.state()
	twice = got.Doubled()
	if n := len(g.records["ContentNote"]); n != len(got.Notes) {
		twice = append(twice, fmt.Sprintf("%d notes, %d of them on one contact", n, len(got.Notes)))
	}
	return twice, len(got.Calls), len(got.Contacts), len(got.Tasks), len(got.Notes)
}

// TestProgram goes the way of an operator with the real program: check, setup, and a sync of many calls while the index shows nothing
// new and answers get lost.
func TestProgram(t *testing.T) {
	t.Parallel()
	g := newOrg()
	delete(g.fields["Task"], "VInfer_Key__c")
	delete(g.fields["Task"], "VInfer_Started_At__c")
	server := crmtest.NewServer(t, g)
	p := crmtest.NewProgram(t, 1000)

	p.Configure(t, strings.Replace(yaml(server.URL, ""), clientSecret, "a-wrong-one", 1), mapping)
	p.MustRun(t, 77, []string{"invalid_client", "client_secret"}, "check")
	p.Configure(t, yaml("http://127.0.0.1:1", ""), mapping)
	p.MustRun(t, 69, []string{"connection", "see host and port in url, login_url,"}, "check")
	p.Configure(t, yaml(server.URL, ""), "mapping: {dispositions: {interested: {status: Intrested}}}")
	p.MustRun(t, 1, []string{`["Intrested"], which Lead.Status does not take`, "Working - Contacted", "field Task.VInfer_Key__c", "run vinfer-sync setup"}, "check")
	p.Configure(t, yaml(server.URL, ""), mapping)
	p.MustRun(t, 0, []string{"to do", "field Activity.VInfer_Key__c", "permission set VInfer_Sync"}, "setup", "--dry-run")
	if len(g.customised)+len(g.records["PermissionSet"]) > 0 {
		t.Fatal("the dry run made something")
	}
	p.MustRun(t, 0, []string{"done", "field Activity.VInfer_Key__c", "permission set VInfer_Sync"}, "setup")
	p.MustRun(t, 0, []string{"nothing to do"}, "setup")
	p.MustRun(t, 0, nil, "plan")
	if len(g.customised) != 2 || len(g.records["PermissionSet"]) != 1 || len(g.records["FieldPermissions"]) != 2 || len(g.records["PermissionSetAssignment"]) != 1 {
		t.Errorf("%v %v", g.customised, g.records["FieldPermissions"])
	}
	p.MustRun(t, 0, []string{"is an external id", "asha@example.com", "transcripts become notes"}, "check")

	g.mu.Lock()
	g.hide, g.used = true, 0
	g.mu.Unlock()
	var lost []crmtest.Fault
	for n := 20; n < 3000; n += 397 {
		lost = append(lost, crmtest.Fault{After: n, Times: 1, Lost: true})
	}
	server.Misbehave(lost...)
	for range 20 {
		if _, code := p.Run(t, "once"); code == 0 {
			break
		}
	}
	server.Misbehave()
	p.MustRun(t, 0, nil, "once")
	twice, calls, contacts, tasks, notes := g.doubled()
	if len(twice) > 0 || calls < 500 || contacts < 100 || tasks == 0 || notes == 0 {
		t.Errorf("%d calls, %d contacts, %d tasks, %d notes; %q", calls, contacts, tasks, notes, twice)
	}
	p.MustRun(t, 0, nil, "backfill", "--since", "-48h")
	if again, c, k, s, n := g.doubled(); len(again) > 0 || c != calls || k != contacts || s != tasks || n != notes {
		t.Errorf("after the same range again: %d calls, %d contacts; %q", c, k, again)
	}
	out, _ := p.Run(t, "status")
	if strings.Contains(out, clientSecret) || strings.Contains(out, "token-number") {
		t.Errorf("a secret is shown:\n%s", out)
	}
	t.Logf("%d calls, %d contacts, %d tasks, %d notes by %d API requests", calls, contacts, tasks, notes, g.used)
}

// TestProgramKilled kills the real program after every number of requests, one of them done and its answer lost.
func TestProgramKilled(t *testing.T) {
	t.Parallel()
	g := newOrg()
	server := crmtest.NewServer(t, g)
	p := crmtest.NewProgram(t, 12)
	p.Configure(t, yaml(server.URL, ""), strings.Replace(mapping, "status: Closed - Not Converted", "status: Closed - Not Converted, task: {title: Sorry, due: 96h}", 1))
	kills := p.RunKilled(t, server)
	twice, calls, contacts, tasks, notes := g.doubled()
	if kills < 10 || len(twice) > 0 || calls < 8 || contacts == 0 || tasks == 0 || notes == 0 {
		t.Errorf("%d kills; %d calls, %d contacts, %d tasks, %d notes; %q", kills, calls, contacts, tasks, notes, twice)
	}
	t.Logf("%d kills; %d calls of %d contacts, %d tasks, %d notes", kills, calls, contacts, tasks, notes)
}
