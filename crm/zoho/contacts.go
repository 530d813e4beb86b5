package zoho

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const (
	leads         = "Leads"
	contactModule = "Contacts"

	longName  = 80 // characters of Last_Name
	longFirst = 40 // and of First_Name

	// lag is how long the index of Zoho's search may hide a new lead, as far as anybody has told; COQL shows it at once.
	lag = 2 * time.Minute
)

// contacts are Zoho's leads and contacts.
type contacts struct {
	*Writer
	p *crm.Progress
}

var _ people.Holder = contacts{}

// shown are the fields that a people.Record is made of.
func (w *Writer) shown(name string, m module) []string {
	fields := append([]string{"id", "First_Name", "Last_Name", "Owner", "Created_Time", "Modified_Time"}, m.phones()...)
	if name == leads {
		if m.has(w.status()) {
			fields = append(fields, w.status())
		}
		if !m.silent && m.has("Converted__s") {
			fields = append(fields, "Converted__s")
		}
	}
	if f := w.doNotCall(); !m.silent && m.has(f) {
		fields = append(fields, f)
	}
	return fields
}

func (w *Writer) status() string    { return w.s.Field("status", Fields["status"]) }
func (w *Writer) doNotCall() string { return w.s.Field("do_not_call", Fields["do_not_call"]) }

// Search asks both modules. The database comes first, for every spelling that people type; what it does not have is looked for in the
// index too, which knows numbers in other spellings and hides what is new.
func (d contacts) Search(ctx context.Context, n phone.Number) ([]people.Record, error) {
	found, queried, err := d.queried(ctx, n)
	if err != nil || len(found) > 1 || len(found) == 1 && !found[0].Superseded {
		return found, err
	}
	for _, name := range []string{leads, contactModule} {
		more, err := d.indexed(ctx, name, n, queried)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	if len(found) == 0 && !queried {
		return d.newest(ctx, n)
	}
	return found, nil
}

// newest looks among the leads that were made last, which the index may not show yet: this list comes from the database.
func (d contacts) newest(ctx context.Context, n phone.Number) (found []people.Record, err error) {
	m, err := d.api.module(ctx, leads)
	if err != nil {
		return nil, err
	}
	rows, _, err := d.api.latest(ctx, leads, d.shown(leads, m), 1)
	if err != nil && crm.VerdictOf(err) != crm.Reject {
		return nil, err
	}
	if len(rows) > 0 {
		d.api.compare(leads, m, rows[0], d.status(), d.doNotCall())
	}
	return d.having(leads, m, rows, n), nil
}

// queried asks the database for the number; false: not both modules can be asked so.
func (d contacts) queried(ctx context.Context, n phone.Number) (found []people.Record, all bool, err error) {
	spellings := n.Typed()
	values := make([]string, min(len(spellings), 50)) // as many as COQL's "in" takes
	for i := range values {
		values[i] = quote(spellings[i])
	}
	if len(values) == 0 {
		return nil, true, nil
	}
	all = true
	unsure := false
	for _, name := range []string{leads, contactModule} {
		m, err := d.api.module(ctx, name)
		if err != nil {
			return nil, false, err
		}
		rows, err := d.api.query(ctx, name, d.byNumber(name, m, values))
		if errors.Is(err, errNoQuery) {
			all = false
			continue
		}
		if err != nil {
			return nil, false, err
		}
		unsure = unsure || name == leads && len(rows) > 0 && (m.silent || !m.has("Converted__s"))
		found = append(found, d.having(name, m, rows, n)...)
	}
	if unsure { // whether it is converted is for the record itself to tell
		found, err = d.reread(ctx, found, n)
	}
	return found, all, err
}

// reread returns the leads and contacts as they are now, those that still have the number.
func (d contacts) reread(ctx context.Context, found []people.Record, n phone.Number) (out []people.Record, err error) {
	for _, r := range found {
		now, there, err := d.Read(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		if there && now.Has(n) {
			out = append(out, now)
		}
	}
	return out, nil
}

// byNumber returns the query for those whose number is one of the values.
func (w *Writer) byNumber(name string, m module, values []string) string {
	var conditions []string
	for _, f := range m.phones() {
		conditions = append(conditions, f+" in ("+strings.Join(values, ", ")+")")
	}
	return "select " + strings.Join(w.shown(name, m), ", ") + " from " + name + " where " + either(conditions) + " limit 200"
}

// having returns those of a module's rows that have the number.
func (w *Writer) having(name string, m module, rows []row, n phone.Number) (found []people.Record) {
	for _, r := range rows {
		if p := w.person(name, m, r); p.Has(n) {
			found = append(found, p)
		}
	}
	return found
}

// indexed asks the search, which compares numbers by its own rules: by the number inside the country, and where the database could
// not be asked also in international form and by the likeliest spellings.
func (d contacts) indexed(ctx context.Context, name string, n phone.Number, queried bool) (found []people.Record, err error) {
	m, err := d.api.module(ctx, name)
	if err != nil {
		return nil, err
	}
	asks := []url.Values{{"phone": {n.Tail(10)}}}
	if !queried {
		asks = append(asks, url.Values{"phone": {n.String()}})
		const each = 5 // of the ten criteria that one search takes, for two fields
		spellings := n.Typed()
		for i := 0; i < min(len(spellings), 4*each); i += each {
			var criteria []string
			for _, s := range spellings[i:min(i+each, len(spellings))] {
				for _, f := range [2]string{"Phone", "Mobile"} {
					criteria = append(criteria, "("+f+":equals:"+escape(s)+")")
				}
			}
			asks = append(asks, url.Values{"criteria": {"(" + strings.Join(criteria, "or") + ")"}})
		}
	}
	for _, q := range asks {
		if q.Get("phone") == "" && q.Get("criteria") == "" {
			continue
		}
		q.Set("per_page", "200") // of all fields: among those that are named Zoho does not show $converted
		if name == leads {
			q.Set("converted", "both")
		}
		rows, _, err := d.api.list(ctx, "/"+name+"/search", q, name+" search")
		if err != nil {
			return nil, err
		}
		if found = d.having(name, m, rows, n); len(found) > 0 {
			return d.reread(ctx, found, n) // the index may be behind in its status too
		}
	}
	return nil, nil
}

func (w *Writer) person(name string, m module, r row) people.Record {
	out := people.Record{
		ID: name + "/" + r.text("id"), Name: strings.TrimSpace(r.text("First_Name") + " " + r.text("Last_Name")), Owner: r.ref("Owner"),
		DoNotCall: r.is(w.doNotCall()), Created: r.time("Created_Time"), Changed: r.time("Modified_Time"),
	}
	if name == leads {
		out.Status = r.text(w.status())
		out.Superseded = r.is("$converted") || r.is("Converted__s")
	}
	for _, f := range m.phones() {
		if v := r.text(f); v != "" {
			out.Phones = append(out.Phones, v)
		}
	}
	return out
}

// Read returns a lead or contact as it is now.
func (d contacts) Read(ctx context.Context, ref string) (people.Record, bool, error) {
	name, id, _ := strings.Cut(ref, "/")
	m, err := d.api.module(ctx, name)
	if err != nil {
		return people.Record{}, false, err
	}
	r, err := d.api.get(ctx, name, id)
	if errors.Is(err, step.ErrGone) {
		return people.Record{}, false, nil
	}
	if err != nil {
		return people.Record{}, false, err
	}
	if d.api.compare(name, m, r, d.doNotCall()); name == leads {
		d.api.compare(name, m, r, d.status())
	}
	r["id"] = id
	return d.person(name, m, r), true, nil
}

// Create makes a lead.
func (d contacts) Create(ctx context.Context, n phone.Number, r people.Record) (people.Record, error) {
	r.Name = text.Line(r.Name, longName)
	values, err := d.fields(ctx, leads, record.Change{Status: r.Status, Name: cmp.Or(r.Name, people.Placeholder(n)), DoNotCall: r.DoNotCall})
	if err != nil {
		return r, err
	}
	values[d.s.Field("phone", Fields["phone"])] = n.String()
	if r.Owner != "" {
		values["Owner"] = row{"id": r.Owner}
	}
	id, err := d.create(ctx, values)
	if codeOf(err) == duplicate {
		if held, there, rerr := d.held(ctx, err); rerr != nil || there {
			return held, rerr
		}
	}
	r.ID = leads + "/" + id
	return r, err
}

// create makes the lead, with a company where the organisation demands one.
func (d contacts) create(ctx context.Context, values row) (string, error) {
	if d.company.Load() {
		values["Company"] = values["Last_Name"]
	}
	id, err := d.api.create(ctx, "/"+leads, values)
	if codeOf(err) == "MANDATORY_NOT_FOUND" && about(err, "Company") && values["Company"] == nil {
		d.company.Store(true)
		return d.create(ctx, values)
	}
	return id, err
}

// held returns the lead that has a unique value already.
func (d contacts) held(ctx context.Context, failure error) (people.Record, bool, error) {
	id := twin(failure)
	if id == "" {
		return people.Record{}, false, nil
	}
	return d.Read(ctx, leads+"/"+id)
}

// setName puts a name into two fields, of which the last must not be empty.
func setName(values row, name string) {
	if first, last := record.SplitName(name); first != "" && utf8.RuneCountInString(first) <= longFirst {
		values["First_Name"], name = first, last
	}
	values["Last_Name"] = name
}

// allowed refuses a status that the organisation's pick list does not have: Zoho itself would take it, and keep it.
func (w *Writer) allowed(m module, status string) error {
	if !m.has(w.status()) {
		return crm.Rejected(fmt.Errorf("there is no field Leads.%s for the lead status %q any more, or the client's user may not see it: Zoho would drop it without a word; "+
			"bring it back, or name another by fields: {status: …}", w.status(), status), "PUT Leads {"+w.status()+"}")
	}
	f := m.fields[w.status()]
	if f.takes(status) {
		return nil
	}
	return crm.Rejected(fmt.Errorf("the lead status %q is none of %s's: %s", status, w.status(), strings.Join(f.values(), ", ")), "PUT Leads {"+w.status()+"}")
}

// Change changes a lead or contact, without what Zoho holds fast. A contact has no status.
func (d contacts) Change(ctx context.Context, r people.Record, c record.Change) error {
	name, id, _ := strings.Cut(r.ID, "/")
	values, err := d.fields(ctx, name, c)
	if err != nil {
		return err
	}
	for len(values) > 0 {
		err := d.api.change(ctx, name, id, values)
		locked := lockCodes[codeOf(err)]
		switch {
		case errors.Is(err, step.ErrGone):
			return nil // deleted a moment ago: the next read tells
		case !locked:
			return err
		case values[d.status()] == nil || len(values) == 1:
			d.p.Warn("%s %s was left as it is, as Zoho holds it fast: %v", name, id, err)
			return nil
		}
		delete(values, d.status()) // a Blueprint holds the status; the rest may be free
		d.p.Warn("%s of %s %s was left as it is, as Zoho holds it fast: %v", d.status(), name, id, err)
	}
	return nil
}

// fields returns a change as fields of a module.
func (d contacts) fields(ctx context.Context, name string, c record.Change) (row, error) {
	values := row{}
	if c.Name = text.Line(c.Name, longName); c.Name != "" {
		setName(values, c.Name)
	}
	if name != leads {
		c.Status = ""
	}
	if c.Status == "" && !c.DoNotCall {
		return values, nil
	}
	m, err := d.api.module(ctx, name)
	if err != nil {
		return nil, err
	}
	if c.Status != "" {
		if err := d.allowed(m, c.Status); err != nil {
			return nil, err
		}
		values[d.status()] = c.Status
	}
	if f := d.doNotCall(); c.DoNotCall && m.has(f) {
		values[f] = true
	} else if c.DoNotCall {
		d.p.Warn("the contact asked not to be called again, and %s has no field %s to say so: run vinfer-sync setup", name, f)
	}
	return values, nil
}

// Holder returns the lead or contact at which a call stands.
func (d contacts) Holder(ctx context.Context, call string) (string, error) {
	r, err := d.api.get(ctx, "Calls", call)
	if errors.Is(err, step.ErrGone) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if id := r.ref("Who_Id"); id != "" {
		return contactModule + "/" + id, nil
	}
	if id := r.ref("What_Id"); id != "" && r.text("$se_module") == leads {
		return leads + "/" + id, nil
	}
	return "", nil
}
