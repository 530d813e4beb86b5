package rest_test

import (
	"net/http"
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
	target  crmtest.Target
}{
	"lms": {
		fresh: func() system { return newLMS() }, secrets: map[string]string{"client_id": "vinfer", "client_secret": secretOf("client_secret")},
		target: crmtest.Target{Renews: true, Note: func(s string) string { return s }},
	},
}

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
	w.SetLinger(0)
	return w
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
