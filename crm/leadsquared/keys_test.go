package leadsquared_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/leadsquared"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

// TestKeys lets the keys travel where they are taken, and nowhere else.
func TestKeys(t *testing.T) {
	for name, noHeaders := range map[string]bool{"headers": false, "query": true} {
		t.Run(name, func(t *testing.T) {
			a := newAccount()
			a.noHeaders = noHeaders
			server, w := start(t, a, nil)
			send(t, w, crmtest.Full(1), nil)
			send(t, w, crmtest.Full(2), nil)
			for i, r := range server.Requests() {
				query, header := strings.Contains(r.Path, "secretKey"), r.Header.Get("X-LSQ-SecretKey") != ""
				if query == header || i > 0 && query != noHeaders {
					t.Errorf("request %d: in the query %t, in a header %t", i, query, header)
				}
			}
		})
	}
	a := newAccount()
	server, w := start(t, a, func(c *leadsquared.Config, _ *crm.Settings) { c.SecretKey = secret.New("another-secret-key") })
	err := w.Write(t.Context(), crmtest.Full(1), crm.NewProgress(nil, nil))
	if crm.VerdictOf(err) != crm.Halt || server.Count() != 2 || strings.Contains(err.Error(), "another-secret-key") {
		t.Errorf("%d requests: %v", server.Count(), err)
	}
}

// TestKeysStayOutOfTheQuery refuses the keys after they had been taken from headers: by whatever answer, a refusal of something else too.
func TestKeysStayOutOfTheQuery(t *testing.T) {
	for name, first := range map[string]func(a *account){
		"a success":           func(*account) {},
		"a refused stage":     func(a *account) { a.stages = nil },
		"another refusal":     func(a *account) { a.types = nil },
		"a search that fails": func(a *account) { a.off["LeadManagement.svc/RetrieveLeadByPhoneNumber"] = true },
	} {
		a := newAccount()
		first(a)
		server, w := start(t, a, nil)
		_ = w.Write(t.Context(), crmtest.Completed(1), crm.NewProgress(nil, nil))
		server.Misbehave(crmtest.Fault{Status: 401, Body: func(*http.Request, []byte) string {
			return `{"Status":"Error","ExceptionType":"MXAuthenticationFailedException","ExceptionMessage":"Invalid accessKey or secretKey"}`
		}})
		var group sync.WaitGroup
		for n := range 4 {
			group.Go(func() {
				if err := w.Write(t.Context(), crmtest.Completed(2+n), crm.NewProgress(nil, nil)); crm.VerdictOf(err) != crm.Halt {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		group.Wait()
		if n := server.Count(); n == 0 || n > 4 { // what all ask for, one may ask for all
			t.Errorf("%s: %d requests of 4 refused writes: the keys were tried in the query", name, n)
		}
		for _, r := range server.Requests() {
			if strings.Contains(r.Path, "secretKey") {
				t.Errorf("%s: %s %s", name, r.Method, strings.Split(r.Path, "?")[0])
			}
		}
	}
}

// TestKeysOfManyWorkers begins with many requests at once at an account that sees keys in the query only.
func TestKeysOfManyWorkers(t *testing.T) {
	a := newAccount()
	a.noHeaders = true
	_, w := start(t, a, nil)
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			if err := w.Write(t.Context(), crmtest.Completed(n), crm.NewProgress(nil, nil)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}
