package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/crm/rest"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secretOf returns the value of a secret in the tests.
func secretOf(name string) string { return "5ecret-" + name + "-0123456789" }

// system is a fake of what an embedded recipe is for.
type system interface {
	http.Handler
	state() crmtest.State
	destination(d *crmtest.Destination) // fills in what its users do
}

// systems are the embedded recipes with what crmtest needs to know of them.
var systems = map[string]struct {
	fresh   func() system
	secrets map[string]string // besides secretOf
	vars    map[string]string
	create  string // part of the path of the request that creates a call's record
	target  crmtest.Target
}{
	"lms": {
		fresh: func() system { return newLMS() }, create: "/interactions", secrets: map[string]string{"client_id": "vinfer", "client_secret": secretOf("client_secret")},
		target: crmtest.Target{Renews: true, Note: func(s string) string { return s }},
	},
	"frappe": {
		fresh: func() system { return newFrappe() }, create: "/CRM Call Log", secrets: map[string]string{"key": "vinfer", "secret": secretOf("secret")},
		target: crmtest.Target{NoAnonymous: true, Name: func(s string) string { return text.Line(s, 140) }, Note: noteOfHTML},
	},
	"erpnext": {
		fresh: func() system { return newERPNext() }, create: "/Call Log", secrets: map[string]string{"key": "vinfer", "secret": secretOf("secret")},
		target: crmtest.Target{NoAnonymous: true, Name: func(s string) string { return text.Line(s, 140) }, Note: noteOfHTML},
	},
	"pipedrive": {
		fresh: func() system { return newPipedrive() }, secrets: map[string]string{"token": secretOf("token")}, create: "/activities",
		vars:   map[string]string{"status_field": statusField, "do_not_call_field": wishField},
		target: crmtest.Target{NoAnonymous: true, Name: func(s string) string { return text.Line(s, 200) }, Text: textOfHTML, Note: noteOfHTML, Phones: unbroken},
	},
	"bitrix24": {
		fresh: func() system { return newBitrix24() }, secrets: map[string]string{"webhook": secretOf("webhook")}, vars: map[string]string{"user": "1", "rate": "1000"}, create: "/crm.activity.add",
		target: crmtest.Target{NoAnonymous: true, Name: func(s string) string { return text.Line(s, 50) }},
	},
	"vtiger": {
		fresh: func() system { return newVtiger() }, secrets: map[string]string{"access_key": secretOf("access_key")}, create: "/create",
		vars:   map[string]string{"user": "vinfer", "user_id": "19x1", "key_field": keyField, "do_not_call_field": "cf_leads_dnc"},
		target: crmtest.Target{NoAnonymous: true, Name: func(s string) string { return text.Line(s, 80) }},
	},
	"dolibarr": {
		fresh: func() system { return newDolibarr() }, create: "/agendaevents", secrets: map[string]string{"key": secretOf("key")}, vars: map[string]string{"user_id": "1"},
		target: crmtest.Target{Name: func(s string) string { return text.Line(s, 50) }},
	},
}

// noteOfHTML is what a field for HTML makes of a text: its line ends are all alike.
func noteOfHTML(s string) string { return strings.ReplaceAll(text.Clean(s), "\r\n", "\n") }

func textOfHTML(s string) string { return noteOfHTML(s) }

func config(name, url string) rest.Config {
	x := systems[name]
	c := rest.Config{Use: name, URL: url, Vars: x.vars, Secrets: map[string]secret.Text{}}
	for k, v := range x.secrets {
		c.Secrets[k] = secret.New(v)
	}
	return c
}

func open(t *testing.T, name, url string, edit func(*crm.Settings)) *rest.Writer {
	t.Helper()
	s := crm.Settings{Workers: 8, Region: "IN"}
	if edit != nil {
		edit(&s)
	}
	w, err := rest.New(config(name, url), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return rest.Impatient(w)
}

// deliver writes an entry and returns the progress.
func deliver(t *testing.T, w crm.Writer, e crm.Entry, refs crm.Refs) *crm.Progress {
	t.Helper()
	p := crm.NewProgress(refs, nil)
	if err := w.Write(t.Context(), e, p); err != nil {
		t.Fatalf("%s: %v", e.Key, err)
	}
	return p
}

// TestWriter holds every embedded recipe to the contract of crm.Writer.
func TestWriter(t *testing.T) {
	for name, x := range systems {
		t.Run(name, func(t *testing.T) {
			target := x.target
			target.DropsNUL = true
			if target.Text == nil {
				target.Text = text.Clean
			}
			target.New = func(t *testing.T) crmtest.Destination {
				f := x.fresh()
				server := crmtest.NewServer(t, f)
				d := crmtest.Destination{
					Open: func(t *testing.T) crm.Writer {
						w := open(t, name, server.URL, nil)
						if target.Renews { // the suite's faults are those of requests with a token
							w.Check(t.Context(), nil)
						}
						return w
					},
					Configured: func(t *testing.T, edit func(*crm.Settings)) crm.Writer { return open(t, name, server.URL, edit) },
					State:      func(*testing.T) crmtest.State { return f.state() },
					Server:     server,
				}
				for _, v := range x.secrets {
					d.Secrets = append(d.Secrets, v)
				}
				f.destination(&d)
				return d
			}
			crmtest.Run(t, target)
		})
	}
}
