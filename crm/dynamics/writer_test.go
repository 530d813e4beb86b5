package dynamics_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/dynamics"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	secrets "github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWriter runs the suite with the lead status in statuscode, which leads alone have, and in a column of one's own.
func TestWriter(t *testing.T) {
	for name, custom := range map[string]bool{"statuscode": false, "a column of its own": true} {
		t.Run(name, func(t *testing.T) {
			crmtest.Run(t, crmtest.Target{
				DropsNUL: true, Name: cutName, Renews: true, Text: func(s string) string { return text.Cut(s, 1000) }, Note: func(s string) string { return s },
				New: func(t *testing.T) crmtest.Destination {
					f := newFake()
					if custom {
						f.useColumn()
					}
					return destination(t, f)
				},
			})
		})
	}
}

// cutName is what a name becomes: of its two parts each has 50 characters.
func cutName(s string) string {
	first, last := "", strings.Join(strings.Fields(s), " ")
	if at := strings.LastIndexByte(last, ' '); at > 0 {
		first, last = last[:at], last[at+1:]
	}
	return strings.TrimSpace(cut(first) + " " + cut(last))
}

func cut(s string) string {
	if r := []rune(s); len(r) > 50 {
		return strings.TrimSpace(string(r[:49])) + "…"
	}
	return s
}

func config(url string) dynamics.Config {
	return dynamics.Config{URL: url, TokenURL: url + "/adfs/oauth2/token", ClientID: clientID, ClientSecret: secrets.New(secret)}
}

func open(t *testing.T, f *fake, url string, edit func(*crm.Settings)) crm.Writer {
	t.Helper()
	s := crm.Settings{Region: "IN", Workers: 4}
	if f.custom != "" {
		s.Fields = map[string]string{"status": f.custom}
	}
	if edit != nil {
		edit(&s)
	}
	w, err := dynamics.New(config(url), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func destination(t *testing.T, f *fake) crmtest.Destination {
	server := crmtest.NewServer(t, f)
	locked := func(do func()) { f.mu.Lock(); defer f.mu.Unlock(); do() }
	d := crmtest.Destination{
		Open: func(t *testing.T) crm.Writer {
			w := open(t, f, server.URL, nil)
			// The suite's faults are those of requests with a token; TestToken has the others.
			w.(crm.Checker).Check(t.Context(), nil)
			return w
		},
		Configured: func(t *testing.T, edit func(*crm.Settings)) crm.Writer { return open(t, f, server.URL, edit) },
		State:      func(*testing.T) crmtest.State { return f.state() },
		AddContact: func(_ *testing.T, c crmtest.Contact) (id string) {
			locked(func() { id = f.add("leads", c) })
			return id
		},
		SetStatus: func(t *testing.T, id, status string) { locked(func() { f.give("lead", f.held(t, id), status) }) },
		Delete: func(_ *testing.T, ref, id string) {
			locked(func() { f.remove(map[string]string{"activity": "phonecalls/", "task": "tasks/"}[ref] + id) })
		},
		Meanwhile: crmtest.Meanwhile{
			Follows:  true,
			Convert:  func(t *testing.T, lead string) (id string) { locked(func() { id = f.qualify(t, lead) }); return id },
			Merge:    func(t *testing.T, loser, survivor string) { locked(func() { f.merge(t, loser, survivor) }) },
			Reassign: func(t *testing.T, id string) { locked(func() { f.held(t, id)["_ownerid_value"] = asha }) },
			Owner: func(t *testing.T, id string) (owner string) {
				locked(func() { owner = asText(f.held(t, id)["_ownerid_value"]) })
				return owner
			},
			Rename: func(_ *testing.T, status, name string) {
				locked(func() {
					for _, table := range []string{"lead", "contact"} {
						for _, o := range f.choices[table+"."+f.status(table)] {
							if label := o["Label"].(row)["UserLocalizedLabel"].(row); label["Label"] == status {
								label["Label"] = name
							}
						}
					}
				})
			},
		},
		Refuse: func() { locked(func() { f.refuse = "vinfer_language" }) },
		Unknown: func() string {
			locked(func() { delete(f.columns["phonecall"], "vinfer_language") })
			return "vinfer_language"
		},
		Server:  server,
		Secrets: []string{secret},
	}
	if f.custom != "" {
		d.Meanwhile.Hide = func(*testing.T) {
			locked(func() { delete(f.columns["lead"], f.custom); delete(f.columns["contact"], f.custom) })
		}
	}
	return d
}
