package leadsquared

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const (
	nameLimit = 100
	// newLead is for how long a lead without a name is one that this program has just made.
	newLead = 5 * time.Minute
)

// leads are the account's leads, for one entry.
type leads struct {
	w     *Writer
	j     *record.Job
	other bool // the last search brought leads of other numbers only
}

// Search asks by the number as LeadSquared compares it, which shows the lead with the latest activity only. Where nobody has it
// so, or where several matter, it asks for what people have typed.
func (d *leads) Search(ctx context.Context, n phone.Number) ([]people.Record, error) {
	found, err := d.byNumber(ctx, n.String())
	if err != nil {
		return nil, err
	}
	matches := func() bool { return people.Have(found, n) }
	if matches() && !d.j.Entry.DoNotCall && (d.w.s.OnMany == "" || d.w.s.OnMany == crm.ManyRecent) {
		return found, nil
	}
	if len(n.Tail(10)) >= 6 && !d.w.narrow.Load() {
		typed, err := d.typed(ctx, n)
		if err != nil {
			return nil, err
		}
		found = append(found, typed...)
	}
	if d.w.narrow.Load() && !matches() && n.Tail(10) != n.String() {
		national, err := d.byNumber(ctx, n.Tail(10))
		if err != nil {
			return nil, err
		}
		found = append(found, national...)
	}
	d.other = len(found) > 0 && !matches()
	return found, nil
}

func (d *leads) byNumber(ctx context.Context, number string) ([]people.Record, error) {
	found, err := d.records(ctx, "GET", "LeadManagement.svc/RetrieveLeadByPhoneNumber", url.Values{"phone": {number}}, nil)
	if strings.Contains(exceptionOf(err), "notfound") && gone(err) {
		return nil, nil // an empty list is documented
	}
	return found, err
}

// typed asks for leads whose Phone or Mobile has the digits of n with something in the middle, or nothing. An account that does not allow
// that is not asked again.
func (d *leads) typed(ctx context.Context, n phone.Number) (found []people.Record, err error) {
	tail := n.Tail(10)
	for _, field := range []string{"Phone", "Mobile"} { // one request asks for one field
		some, err := d.records(ctx, "POST", "LeadManagement.svc/Leads.Get", nil, map[string]any{
			"Parameter": map[string]any{"LookupName": field, "LookupValue": "%" + tail[:len(tail)/2] + "%" + tail[len(tail)/2:] + "%", "SqlOperator": "LIKE"},
			"Columns":   map[string]any{"Include_CSV": strings.Join(d.columns(), ", ")},
			"Sorting":   map[string]any{"ColumnName": "CreatedOn", "Direction": "1"},
			"Paging":    map[string]any{"PageIndex": 1, "PageSize": 100},
		})
		if crm.VerdictOf(err) == crm.Reject {
			if field == "Phone" {
				d.w.narrow.Store(true)
			}
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	return found, nil
}

func (d *leads) columns() []string {
	return []string{
		"ProspectID", "FirstName", "LastName", "Phone", "Mobile", "OwnerId", "CreatedOn", "ModifiedOn",
		d.w.s.Field(fieldStatus, Fields[fieldStatus]), d.w.doNotCall(),
	}
}

// records asks for leads. LeadSquared answers with a list, or with one in an object.
func (d *leads) records(ctx context.Context, method, path string, query url.Values, body any) ([]people.Record, error) {
	rows, err := d.w.api.rows(ctx, method, path, query, body)
	var out []people.Record
	for _, r := range rows {
		if r.text("ProspectID") != "" {
			out = append(out, d.person(r))
		}
	}
	return out, err
}

// Read reads a lead.
func (d *leads) Read(ctx context.Context, id string) (people.Record, bool, error) {
	found, err := d.records(ctx, "GET", "LeadManagement.svc/Leads.GetById", url.Values{"id": {id}}, nil)
	trusted := unavailable(err) && exceptionOf(err) == ""
	if trusted {
		// There is no such request: the search has the lead, or else it is taken to be there.
		found, err = nil, nil
		if !d.j.Number.IsZero() {
			found, err = d.byNumber(ctx, d.j.Number.String())
		}
	}
	if gone(err) {
		return people.Record{}, false, nil
	}
	if err != nil {
		return people.Record{}, false, err
	}
	for _, r := range found {
		if strings.EqualFold(r.ID, id) {
			return r, true, nil
		}
	}
	return people.Record{ID: id, Phones: []string{d.j.Number.String()}}, trusted, nil
}

// Create has LeadSquared make the lead of the number, or find it should its search have kept it back. It sends the number alone,
// so that nothing of such a lead is overwritten, and reads what there is: the rest goes the way of every lead.
func (d *leads) Create(ctx context.Context, n phone.Number, wanted people.Record) (people.Record, error) {
	id, err := d.upsert(ctx, n.String())
	switch {
	case crm.VerdictOf(err) != crm.Reject || isDuplicate(err):
	case strings.Contains(exceptionOf(err), "mandatory"):
		// This account wants more of a new lead.
		more := namePairs(cmp.Or(nameOf(wanted.Name), people.Placeholder(n)))
		if len(more) == 1 {
			more = append(more, pair{"LastName", more[0].Value})
		}
		if wanted.Status != "" {
			more = append(more, pair{d.w.s.Field(fieldStatus, Fields[fieldStatus]), wanted.Status})
		}
		id, err = d.upsert(ctx, n.String(), more...)
	case step.InText(err, "Phone") || step.InText(err, "phone"):
		// Some accounts hold numbers without the country's code.
		id, err = d.upsert(ctx, n.Tail(10))
		if crm.VerdictOf(err) == crm.Reject && !isDuplicate(err) {
			return people.Record{}, fmt.Errorf("%w: %w", people.ErrNumber, err)
		}
	}
	if err != nil {
		return people.Record{}, d.w.explain(ctx, err)
	}
	r, ok, err := d.Read(ctx, id)
	if err != nil {
		return people.Record{}, err
	}
	if !ok {
		r = people.Record{ID: id, Phones: wanted.Phones, Created: wanted.Created}
	}
	r.Made = r.Name == "" && time.Since(r.Created).Abs() < newLead
	return r, nil
}

// Change sends what an entry changes of a lead, and the owner of one that was made just now. The wish not to be called is left out where the account has no
// such field.
func (d *leads) Change(ctx context.Context, r people.Record, c record.Change) error {
	var fields []pair
	if c.Status != "" {
		fields = append(fields, pair{d.w.s.Field(fieldStatus, Fields[fieldStatus]), c.Status})
	}
	if c.DoNotCall {
		fields = append(fields, pair{d.w.doNotCall(), "1"})
	}
	if name := nameOf(c.Name); name != "" && name != r.Name {
		fields = append(fields, namePairs(name)...)
	}
	if r.Made {
		id, err := d.w.owners.Or(ctx, d.w.s.Owner, "", d.j.Progress)
		if err != nil {
			return err
		}
		if id != "" && id != r.Owner {
			fields = append(fields, pair{"OwnerId", id})
		}
	}
	given := record.Fields{}
	for _, f := range fields {
		given[f.Attribute] = f.Value
	}
	err := d.w.optional.Send(d.j.Progress, "Lead", given, []string{d.w.doNotCall()}, nil, func(left map[string]any) error {
		some := slices.DeleteFunc(slices.Clone(fields), func(f pair) bool { _, ok := left[f.Attribute]; return !ok })
		if len(some) == 0 {
			return nil
		}
		return d.w.api.call(ctx, "POST", "LeadManagement.svc/Lead.Update", d.w.leadQuery(r.ID), some, nil)
	})
	return d.w.explain(ctx, err)
}

// doNotCall returns the field of leads that holds the wish not to be called.
func (w *Writer) doNotCall() string { return w.s.Field(fieldDoNotCall, Fields[fieldDoNotCall]) }

func (d *leads) upsert(ctx context.Context, number string, more ...pair) (string, error) {
	fields := append([]pair{{"Phone", number}}, more...)
	if d.other {
		// LeadSquared takes another number for this one, one of another country perhaps: it must not give that lead this number.
		return d.w.api.create(ctx, "LeadManagement.svc/Lead.Create", d.w.leadQuery(""), fields)
	}
	return d.w.api.create(ctx, "LeadManagement.svc/Lead.CreateOrUpdate", d.w.leadQuery(""), append(fields, pair{"SearchBy", "Phone"}))
}

// leadQuery returns the parameters of a write to a lead.
func (w *Writer) leadQuery(id string) url.Values {
	q := url.Values{}
	if id != "" {
		q.Set("leadId", id)
	}
	if w.cfg.PostUpdatedLead {
		q.Set("postUpdatedLead", "true")
	}
	return q
}

func (d *leads) person(r row) people.Record {
	out := people.Record{
		ID: r.text("ProspectID"), Owner: r.text("OwnerId"), Created: record.When(r.text("CreatedOn")), Changed: record.When(r.text("ModifiedOn", "LeadLastModifiedOn")),
		Name:   strings.TrimSpace(r.text("FirstName") + " " + r.text("LastName")),
		Status: r.text(d.w.s.Field(fieldStatus, Fields[fieldStatus])),
	}
	switch strings.ToLower(r.text(d.w.doNotCall())) {
	case "1", "true", "yes":
		out.DoNotCall = true
	}
	for name := range r {
		if lower := strings.ToLower(name); strings.Contains(lower, "phone") || strings.Contains(lower, "mobile") {
			if v := r.text(name); v != "" {
				out.Phones = append(out.Phones, v)
			}
		}
	}
	return out
}

// stamp writes a time as LeadSquared takes it, which is UTC; empty for none.
func stamp(t time.Time) string { return record.Stamp(t, time.DateTime) }

// nameOf makes of s what a lead has as a name.
func nameOf(s string) string { return text.Line(s, nameLimit) }

// namePairs writes a name, of which LeadSquared keeps the last part by itself. A name of one word is a first name.
func namePairs(name string) []pair {
	first, last := record.SplitName(nameOf(name))
	if first == "" {
		return []pair{{"FirstName", last}}
	}
	return []pair{{"FirstName", first}, {"LastName", last}}
}
