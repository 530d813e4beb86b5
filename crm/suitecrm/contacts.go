package suitecrm

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const (
	enough   = 50  // records of one number that are looked at
	longName = 100 // characters of last_name
)

// phones are the fields of both modules that hold numbers as people typed them.
var phones = []string{"phone_mobile", "phone_work", "phone_home", "phone_other"}

// shown are the fields that a record is made of.
func shown(module string) []string {
	fields := append([]string{"first_name", "last_name", "do_not_call", "assigned_user_id", "date_entered", "date_modified", "deleted"}, phones...)
	if module == "Leads" {
		fields = append(fields, "status", "converted")
	}
	return fields
}

// contacts are SuiteCRM's leads and contacts.
type contacts struct{ *Writer }

var _ people.Holder = contacts{}

// Search asks both modules for the number's digits in this order, whatever stands between them.
func (d contacts) Search(ctx context.Context, n phone.Number) (found []people.Record, err error) {
	digits := n.Tail(10)
	if digits == "" {
		return nil, nil
	}
	pattern := "%" + strings.Join(strings.Split(digits, ""), "%") + "%"
	filters := url.Values{}
	for _, f := range phones {
		filters.Set("filter["+f+"][like]", pattern)
	}
	for _, module := range []string{"Leads", "Contacts"} {
		beans, err := d.suite.find(ctx, module, filters, shown(module), enough)
		if err != nil {
			return nil, err
		}
		for _, b := range beans {
			found = append(found, personOf(module, b))
		}
	}
	return found, nil
}

func personOf(module string, b bean) people.Record {
	r := people.Record{
		ID: module + "/" + b.ID, Name: strings.TrimSpace(b.plain("first_name") + " " + b.plain("last_name")), Status: b.plain("status"), Owner: b.text("assigned_user_id"),
		DoNotCall: b.text("do_not_call") == "1", Created: b.time("date_entered"), Changed: b.time("date_modified"), Superseded: b.text("converted") == "1",
	}
	for _, f := range phones {
		if v := b.text(f); v != "" {
			r.Phones = append(r.Phones, v)
		}
	}
	return r
}

// Read returns a lead or contact as it is now.
func (d contacts) Read(ctx context.Context, name string) (people.Record, bool, error) {
	module, id, _ := strings.Cut(name, "/")
	b, err := d.suite.get(ctx, module, id, shown(module)...)
	if errors.Is(err, step.ErrGone) {
		return people.Record{}, false, nil
	}
	b.ID = id
	return personOf(module, b), err == nil, err
}

// Create makes a lead. Its id is made of the number, so that two who make it at once make one; if a person has deleted that one, the
// next gets an id of SuiteCRM's.
func (d contacts) Create(ctx context.Context, n phone.Number, r people.Record) (people.Record, error) {
	r.Name = text.Line(r.Name, longName)
	b := d.bean("Leads/"+ourID("lead", n.String()), record.Change{Status: r.Status, Name: cmp.Or(r.Name, people.Placeholder(n)), DoNotCall: r.DoNotCall})
	b.Attributes["phone_mobile"] = n.String()
	record.Fields(b.Attributes).Set("assigned_user_id", r.Owner)
	id, err := d.suite.create(ctx, b)
	if errors.Is(err, errExists) {
		held, there, rerr := d.Read(ctx, "Leads/"+b.ID)
		if rerr != nil || there {
			return held, rerr
		}
		b.ID = ""
		id, err = d.suite.create(ctx, b)
	}
	r.ID = "Leads/" + id
	return r, err
}

// Change changes a lead or contact. A contact has no status.
func (d contacts) Change(ctx context.Context, r people.Record, c record.Change) error {
	b := d.bean(r.ID, c)
	if len(b.Attributes) == 0 {
		return nil
	}
	return d.suite.change(ctx, b)
}

// bean returns a change as a record. Of a name the last part stands by itself, and must not be empty.
func (d contacts) bean(name string, c record.Change) bean {
	module, id, _ := strings.Cut(name, "/")
	f := record.Fields{}
	first, last := record.SplitName(text.Line(c.Name, longName))
	f.Set("first_name", first)
	f.Set("last_name", last)
	if module == "Leads" {
		f.Set("status", c.Status)
	}
	if c.DoNotCall {
		f["do_not_call"] = "1"
	}
	return bean{Type: module, ID: id, Attributes: attributes(f)}
}

// Holder returns the lead or contact at which a call stands.
func (d contacts) Holder(ctx context.Context, call string) (string, error) {
	b, err := d.suite.get(ctx, "Calls", call, "parent_type", "parent_id", "deleted")
	if errors.Is(err, step.ErrGone) {
		return "", nil
	}
	if module := b.text("parent_type"); err == nil && (module == "Leads" || module == "Contacts") && b.text("parent_id") != "" {
		return module + "/" + b.text("parent_id"), nil
	}
	return "", err
}

var isID = regexp.MustCompile(`^(?:1|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)

// user asks for the id of a user by user name or id; empty: there is none.
func (w *Writer) user(ctx context.Context, name string) (string, error) {
	if isID.MatchString(name) {
		return name, nil
	}
	var out list
	q := url.Values{"fields[Users]": {"user_name"}, "filter[user_name][eq]": {name}}
	if err := w.suite.do(ctx, http.MethodGet, "module/Users", q, nil, "GET Users", &out); err != nil {
		return "", err
	}
	if len(out.Data) == 0 {
		return "", nil
	}
	return out.Data[0].ID, nil
}
