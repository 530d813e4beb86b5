package rest_test

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

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
)

// object is a record of a fake.
type object = map[string]any

// shelf holds the records of a fake in tables, each with an id and with times that tell their order.
type shelf struct {
	mu     sync.Mutex
	last   int
	tables map[string][]object
	ids    func(table string, n int) any // nil: numbers
}

// insert adds a record, whose id is made unless the key "id" has one.
func (s *shelf) insert(table string, o object) object {
	s.last++
	if o["id"] == nil {
		o["id"] = any(s.last)
		if s.ids != nil {
			o["id"] = s.ids(table, s.last)
		}
	}
	o["#made"] = time.Date(2026, 1, 1, 0, 0, s.last, 0, time.UTC)
	o["#changed"] = o["#made"]
	if s.tables == nil {
		s.tables = map[string][]object{}
	}
	s.tables[table] = append(s.tables[table], o)
	return o
}

// get returns the record of an id; nil: there is none.
func (s *shelf) get(table string, id any) object {
	i := slices.IndexFunc(s.tables[table], func(o object) bool { return fmt.Sprint(o["id"]) == fmt.Sprint(id) })
	if i < 0 {
		return nil
	}
	return s.tables[table][i]
}

// change lays values over a record.
func (s *shelf) change(o, with object) {
	s.last++
	maps.Copy(o, with)
	o["#changed"] = time.Date(2026, 1, 1, 0, 0, s.last, 0, time.UTC)
}

// where returns the records for which keep holds.
func (s *shelf) where(table string, keep func(o object) bool) (found []object) {
	for _, o := range s.tables[table] {
		if keep(o) {
			found = append(found, o)
		}
	}
	return found
}

func (s *shelf) remove(table string, id any) {
	s.tables[table] = slices.DeleteFunc(s.tables[table], func(o object) bool { return fmt.Sprint(o["id"]) == fmt.Sprint(id) })
}

// shown returns a record without what the fake keeps for itself.
func shown(o object) object {
	out := object{}
	for k, v := range o {
		if !strings.HasPrefix(k, "#") {
			out[k] = v
		}
	}
	return out
}

// answer writes a JSON answer.
func answer(rw http.ResponseWriter, status int, v any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(status)
	_ = json.NewEncoder(rw).Encode(v)
}

// unknown lists the keys of a body that are not among those known: a strict fake refuses them.
func unknown(body object, known ...string) (names []string) {
	for k := range body {
		if !slices.Contains(known, k) {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	return names
}

// users fills in what people do in a fake whose contacts are in one table. tables are those of the refs.
func (s *shelf) users(d *crmtest.Destination, contacts string, tables map[string]string, made func(c crmtest.Contact) object, setStatus func(o object, status string)) {
	locked := func(do func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		do()
	}
	d.AddContact = func(_ *testing.T, c crmtest.Contact) (id string) {
		locked(func() { id = str(s.insert(contacts, made(c))["id"]) })
		return id
	}
	d.SetStatus = func(_ *testing.T, id, status string) { locked(func() { setStatus(s.get(contacts, id), status) }) }
	d.Delete = func(_ *testing.T, ref, id string) { locked(func() { s.remove(tables[ref], id) }) }
}

// str returns a text of a record; empty: it has none.
func str(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

func onlyDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// callOf returns the id of the call that a text of ours ends with.
func callOf(text string) string {
	_, id, _ := strings.Cut("\n"+text, "\nVInfer call: ")
	id, _, _ = strings.Cut(id, "\n")
	return id
}
