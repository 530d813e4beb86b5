package freshsales_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/freshsales"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWriter runs the suite with the search by many spellings at once, and one by one.
func TestWriter(t *testing.T) {
	for name, narrow := range map[string]bool{"all spellings at once": false, "one by one": true} {
		t.Run(name, func(t *testing.T) {
			target := crmtest.Target{
				DropsNUL: true, NoAnonymous: true, NoMany: true, Name: cutName, Note: func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") },
				New: func(t *testing.T) crmtest.Destination {
					f := newFake()
					f.narrow = narrow
					return destination(t, f)
				},
			}
			if narrow {
				target.Phones = func(n int) []string { return crmtest.Spellings(n)[:3] }
			}
			crmtest.Run(t, target)
		})
	}
}

// cutName is what a name becomes: each of its two parts has 100 characters.
func cutName(s string) string {
	first, last := "", strings.Join(strings.Fields(s), " ")
	if at := strings.LastIndexByte(last, ' '); at > 0 {
		first, last = last[:at], last[at+1:]
	}
	return strings.TrimSpace(cut(first) + " " + cut(last))
}

func cut(s string) string {
	if r := []rune(s); len(r) > 100 {
		return strings.TrimSpace(string(r[:99])) + "…"
	}
	return s
}

// serve routes the one request whose body is another.
func serve(f *fake) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", f)
	mux.HandleFunc("POST /crm/sales/api/filtered_search/contact", func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Token token="+key {
			f.ServeHTTP(rw, r)
			return
		}
		f.filtered(rw, r)
	})
	return mux
}

func open(t *testing.T, url string, edit func(*crm.Settings)) crm.Writer {
	t.Helper()
	s := crm.Settings{Region: "IN", Workers: 4, Fields: map[string]string{"do_not_call": "cf_do_not_call", "language": "cf_language"}}
	if edit != nil {
		edit(&s)
	}
	w, err := freshsales.New(freshsales.Config{URL: url + "/crm/sales/api", APIKey: secret.New(key), PerHour: 100_000}, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	w.Hasty()
	return w
}

func destination(t *testing.T, f *fake) crmtest.Destination {
	server := crmtest.NewServer(t, serve(f))
	locked := func(do func()) { f.mu.Lock(); defer f.mu.Unlock(); do() }
	return crmtest.Destination{
		Open:       func(t *testing.T) crm.Writer { return open(t, server.URL, nil) },
		Configured: func(t *testing.T, edit func(*crm.Settings)) crm.Writer { return open(t, server.URL, edit) },
		State:      func(*testing.T) crmtest.State { return f.state() },
		AddContact: func(_ *testing.T, c crmtest.Contact) (id string) {
			locked(func() {
				first, last, ok := strings.Cut(c.Name, " ")
				if !ok {
					first, last = "", first
				}
				made := f.insert("contacts", row{"first_name": first, "last_name": last, "mobile_number": c.Phone, "owner_id": 9003})
				f.give(made, c.Status)
				id = fmt.Sprint(made["id"])
			})
			return id
		},
		SetStatus: func(t *testing.T, id, status string) { locked(func() { f.give(f.must(t, "contacts", id), status) }) },
		Delete: func(_ *testing.T, ref, id string) {
			locked(func() {
				f.remove(map[string]string{"contact": "contacts", "activity": "sales_activities", "task": "tasks"}[ref], id)
			})
		},
		Meanwhile: crmtest.Meanwhile{
			Reassign: func(t *testing.T, id string) { locked(func() { f.must(t, "contacts", id)["owner_id"] = 9002 }) },
			Owner: func(t *testing.T, id string) (owner string) {
				locked(func() { owner = fmt.Sprint(f.must(t, "contacts", id)["owner_id"]) })
				return owner
			},
			Rename: func(_ *testing.T, status, name string) {
				locked(func() {
					for _, s := range f.statuses {
						if s["name"] == status {
							s["name"] = name
						}
					}
				})
			},
			Hide: func(*testing.T) { locked(func() { f.hidden = true }) },
		},
		Lag:     func(on bool) { locked(func() { f.lag = on; clear(f.late) }) },
		Refuse:  func() { locked(func() { f.refuse = "cf_language" }) },
		Unknown: func() string { locked(func() { delete(f.fields, "cf_language") }); return "cf_language" },
		Server:  server,
		Secrets: []string{key},
	}
}
