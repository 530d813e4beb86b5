package suitecrm

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
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
type contacts struct {
	*Writer
	p *crm.Progress
}

var (
	_ people.Directory = contacts{}
	_ people.Holder    = contacts{}
)

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
			found = append(found, record(module, b))
		}
	}
	return found, nil
}

func record(module string, b bean) people.Record {
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
	return record(module, b), err == nil, err
}

// Create makes a lead. Its id is made of the number, so that two who make it at once make one; if a person has deleted that one, the
// next gets an id of SuiteCRM's.
func (d contacts) Create(ctx context.Context, e *crm.Entry, n phone.Number) (people.Record, error) {
	b := bean{Type: "Leads", ID: ourID("lead", n.String()), Attributes: map[string]any{"phone_mobile": n.String()}}
	name := text.Line(e.Call.Contact.Name, longName)
	setName(b.Attributes, cmp.Or(name, people.Placeholder(n)))
	r := people.Record{Name: name, Phones: []string{n.String()}, Created: time.Now(), Changed: time.Now()}
	if e.SetStatus && e.Status != "" {
		b.Attributes["status"], r.Status = e.Status, e.Status
	}
	if e.DoNotCall {
		b.Attributes["do_not_call"], r.DoNotCall = "1", true
	}
	owner, err := d.owners.Or(ctx, d.s.Owner, "", d.p)
	if err != nil {
		return r, err
	}
	if owner != "" {
		b.Attributes["assigned_user_id"], r.Owner = owner, owner
	}
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

// Mark sets the wish not to be called.
func (d contacts) Mark(ctx context.Context, r people.Record, _ phone.Number, _ *crm.Progress) error {
	module, id, _ := strings.Cut(r.ID, "/")
	return d.suite.change(ctx, bean{Type: module, ID: id, Attributes: map[string]any{"do_not_call": "1"}})
}

// setName puts a name into two fields, of which the last must not be empty.
func setName(attributes map[string]any, name string) {
	at := strings.LastIndexByte(name, ' ')
	if at > 0 {
		attributes["first_name"] = name[:at]
	}
	attributes["last_name"] = name[at+1:]
}

// touch brings a contact up to date: its status, its name where it has none, and the wish not to be called.
func (w *Writer) touch(ctx context.Context, e *crm.Entry, r people.Record, p *crm.Progress) error {
	module, id, _ := strings.Cut(r.ID, "/")
	b := bean{Type: module, ID: id, Attributes: map[string]any{}}
	if name := text.Line(w.book.NewName(r, e), longName); name != "" {
		setName(b.Attributes, name)
	}
	if status := w.book.Status(r, e, p); status != "" && module == "Leads" {
		b.Attributes["status"] = status
	}
	if e.DoNotCall && !r.DoNotCall {
		b.Attributes["do_not_call"] = "1"
	}
	if len(b.Attributes) == 0 {
		return nil
	}
	return w.suite.change(ctx, b)
}

var isID = regexp.MustCompile(`^(?:1|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)

// user asks for the id of a user by user name or id; empty: there is none.
func (w *Writer) user(ctx context.Context, name string) (string, error) {
	if isID.MatchString(name) {
		return name, nil
	}
	var out list
	q := url.Values{"fields[Users]": {"user_name"}, "filter[user_name][eq]": {name}}
	if err := w.suite.do(ctx, http.MethodGet, "/Api/V8/module/Users", q, nil, "GET Users", &out); err != nil {
		return "", err
	}
	if len(out.Data) == 0 {
		return "", nil
	}
	return out.Data[0].ID, nil
}
