package record_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/secret"
)

const key = "0123456789abcdef"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWriter holds the frame, by the kind of docs/ADDING-A-CRM.md, to the contract of crm.Writer.
func TestWriter(t *testing.T) {
	crmtest.Run(t, crmtest.Target{
		DropsNUL: true,
		New: func(t *testing.T) crmtest.Destination {
			f := newFake()
			server := crmtest.NewServer(t, f)
			configured := func(t *testing.T, edit func(*crm.Settings)) crm.Writer {
				t.Helper()
				s := crm.Settings{Workers: 8, Region: "IN", Fields: map[string]string{"language": "language", "qa_score": "score"}}
				edit(&s)
				w, err := New(Config{URL: server.URL, APIKey: secret.New(key)}, s)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = w.Close() })
				return w
			}
			return crmtest.Destination{
				Open:       func(t *testing.T) crm.Writer { return configured(t, func(*crm.Settings) {}) },
				Configured: configured,
				State:      func(*testing.T) crmtest.State { return f.state() },
				AddContact: func(_ *testing.T, c crmtest.Contact) string {
					return f.add("contacts", record.Fields{"phone": c.Phone, "name": c.Name, "status": c.Status})
				},
				SetStatus: func(_ *testing.T, id, status string) { f.change("contacts", id, record.Fields{"status": status}) },
				Delete: func(_ *testing.T, ref, id string) {
					f.remove(map[string]string{"contact": "contacts", "activity": "calls", "task": "tasks"}[ref], id)
				},
				Meanwhile: crmtest.Meanwhile{
					Reassign: func(_ *testing.T, id string) { f.change("contacts", id, record.Fields{"owner": "u2"}) },
					Owner:    func(_ *testing.T, id string) string { return f.find("contacts", id).Text("owner") },
				},
				Refuse:  func() { f.mu.Lock(); f.refuses = "language"; f.mu.Unlock() },
				Server:  server,
				Secrets: []string{key},
			}
		},
	})
}

// fake is a CRM with modules of records, which may hold any field.
type fake struct {
	mu      sync.Mutex
	last    int
	modules map[string][]record.Fields
	refuses string // a field
}

func newFake() *fake {
	return &fake{modules: map[string][]record.Fields{"users": {{"id": "u1", "email": "asha@example.com"}}}}
}

func (f *fake) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := func(status int, v any) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(status)
		_ = json.NewEncoder(rw).Encode(v)
	}
	if r.Header.Get("X-Api-Key") != key {
		answer(http.StatusUnauthorized, record.Fields{"message": "unknown key"})
		return
	}
	module, id, one := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	var body record.Fields
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			answer(http.StatusBadRequest, record.Fields{"message": err.Error()})
			return
		}
	}
	if _, ok := body[f.refuses]; ok && module == "calls" {
		answer(http.StatusBadRequest, record.Fields{"message": "the value of " + f.refuses + " is refused"})
		return
	}
	switch held := f.get(module, id); {
	case one && held == nil:
		answer(http.StatusNotFound, record.Fields{"message": "there is none"})
	case one:
		maps.Copy(held, body)
		answer(http.StatusOK, held)
	case r.Method == http.MethodPost:
		answer(http.StatusCreated, f.insert(module, body))
	default:
		found := slices.DeleteFunc(slices.Clone(f.modules[module]), func(o record.Fields) bool {
			for name, values := range r.URL.Query() {
				if name == "phone_ends" && strings.HasSuffix(digits(o.Text("phone")), values[0]) {
					continue
				}
				if !strings.HasPrefix(o.Text(name), values[0]) || o.Text(name) == "" {
					return true
				}
			}
			return false
		})
		answer(http.StatusOK, map[string]any{"records": found})
	}
}

func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

func (f *fake) insert(module string, o record.Fields) record.Fields {
	f.last++
	o["id"], o["created"] = fmt.Sprint(module[:1], f.last), time.Date(2026, 1, 1, 0, 0, f.last, 0, time.UTC).Format(time.RFC3339)
	f.modules[module] = append(f.modules[module], o)
	return o
}

func (f *fake) get(module, id string) record.Fields {
	i := slices.IndexFunc(f.modules[module], func(o record.Fields) bool { return o.Text("id") == id })
	if i < 0 {
		return nil
	}
	return f.modules[module][i]
}

func (f *fake) find(module, id string) record.Fields {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.get(module, id)
}

func (f *fake) add(module string, o record.Fields) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.insert(module, o).Text("id")
}

func (f *fake) change(module, id string, o record.Fields) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.Copy(f.get(module, id), o)
}

func (f *fake) remove(module, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.modules[module] = slices.DeleteFunc(f.modules[module], func(o record.Fields) bool { return o.Text("id") == id })
}

func (f *fake) state() (s crmtest.State) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.modules["contacts"] {
		s.Contacts = append(s.Contacts, crmtest.Contact{ID: o.Text("id"), Phone: o.Text("phone"), Name: o.Text("name"), Status: o.Text("status"), DoNotCall: o["do_not_call"] == true})
	}
	for _, o := range f.modules["calls"] {
		call := o.Text("external_id")
		body, _ := text.ParseBody(o.Text("description"), call)
		s.Calls = append(s.Calls, crmtest.Call{
			ID: call, Contact: o.Text("contact"), Disposition: strings.ReplaceAll(strings.ToLower(body.Outcome), " ", "_"), Summary: body.Summary,
			Rest: fmt.Sprint(o["title"], o["direction"], o["started"], o["ended"], o["language"], o["score"], body.Values),
		})
	}
	for _, o := range f.modules["tasks"] {
		s.Tasks = append(s.Tasks, crmtest.Task{Call: o.Text("external_id"), Title: o.Text("title")})
	}
	for _, o := range f.modules["notes"] {
		head, said, _ := strings.Cut(o.Text("text"), "\n\n")
		if strings.HasPrefix(head, "Transcript of") {
			s.Notes = append(s.Notes, crmtest.Note{Call: o.Text("external_id"), Text: said})
		}
	}
	return s
}
