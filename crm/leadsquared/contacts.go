package leadsquared

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const (
	nameLimit = 100
	// newLead is for how long a lead without a name is one that this program has just made.
	newLead = 5 * time.Minute
)

// directory is the account's leads, for one entry.
type directory struct {
	w      *Writer
	number phone.Number // of the entry's contact
	all    bool         // every lead of the number is wanted, not only the latest
	other  bool         // the last search brought leads of other numbers only
	made   string       // id of a lead that has just been made, and has nothing but its number
}

var _ people.Directory = (*directory)(nil)

// Search asks by the number as LeadSquared compares it, which shows the lead with the latest activity only. Where nobody has it
// so, or where several matter, it asks for what people have typed.
func (d *directory) Search(ctx context.Context, n phone.Number) ([]people.Record, error) {
	found, err := d.byNumber(ctx, n.String())
	if err != nil {
		return nil, err
	}
	matches := func() bool {
		return slices.ContainsFunc(found, func(r people.Record) bool { return slices.ContainsFunc(r.Phones, n.Is) })
	}
	if matches() && !d.all && (d.w.s.OnMany == "" || d.w.s.OnMany == crm.ManyRecent) {
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

func (d *directory) byNumber(ctx context.Context, number string) ([]people.Record, error) {
	found, err := d.records(ctx, "GET", "LeadManagement.svc/RetrieveLeadByPhoneNumber", url.Values{"phone": {number}}, nil)
	if strings.Contains(refusal(err).exception, "notfound") && gone(err) {
		return nil, nil // an empty list is documented
	}
	return found, err
}

// typed asks for leads whose Phone or Mobile has the digits of n with something in the middle, or nothing. An account that does not allow
// that is not asked again.
func (d *directory) typed(ctx context.Context, n phone.Number) (found []people.Record, err error) {
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

func (d *directory) columns() []string {
	return []string{
		"ProspectID", "FirstName", "LastName", "Phone", "Mobile", "OwnerId", "CreatedOn", "ModifiedOn",
		d.w.s.Field(fieldStatus, Fields[fieldStatus]), d.w.doNotCall(),
	}
}

// records asks for leads. LeadSquared answers with a list, or with one in an object.
func (d *directory) records(ctx context.Context, method, path string, query url.Values, body any) ([]people.Record, error) {
	var answer any
	if err := d.w.api.call(ctx, method, path, query, body, &answer); err != nil {
		return nil, err
	}
	rows, err := rowsOf(answer, "Leads", "List")
	var out []people.Record
	for _, r := range rows {
		if r.text("ProspectID") != "" {
			out = append(out, d.record(r))
		}
	}
	return out, err
}

// rowsOf returns the records of an answer: it is a list, or an object with one under one of the names.
func rowsOf(answer any, names ...string) ([]row, error) {
	var list []any
	switch v := answer.(type) {
	case nil:
		return nil, nil
	case []any:
		list = v
	case map[string]any:
		for _, name := range names {
			if l, ok := v[name].([]any); ok {
				list = l
			}
		}
	default:
		return nil, errors.New("LeadSquared answers 200 with what is no list of records")
	}
	var out []row
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			continue
		}
		if pairs, ok := m["LeadPropertyList"]; ok { // a record as a list of pairs
			r := row{}
			each(pairs, "", func(name, value string) { r[name] = value })
			m = r
		}
		out = append(out, row(m))
	}
	return out, nil
}

// Read reads a lead.
func (d *directory) Read(ctx context.Context, id string) (people.Record, bool, error) {
	found, err := d.records(ctx, "GET", "LeadManagement.svc/Leads.GetById", url.Values{"id": {id}}, nil)
	trusted := unavailable(err) && refusal(err).exception == ""
	if trusted {
		// There is no such request: the search has the lead, or else it is taken to be there.
		found, err = nil, nil
		if !d.number.IsZero() {
			found, err = d.byNumber(ctx, d.number.String())
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
	return people.Record{ID: id, Phones: []string{d.number.String()}}, trusted, nil
}

// Create has LeadSquared make the lead of the number, or find it should its search have kept it back. It sends the number alone,
// so that nothing of such a lead is overwritten, and reads what there is: the rest goes the way of every lead.
func (d *directory) Create(ctx context.Context, e *crm.Entry, n phone.Number) (people.Record, error) {
	id, err := d.upsert(ctx, n.String())
	switch {
	case crm.VerdictOf(err) != crm.Reject || isDuplicate(err):
	case strings.Contains(refusal(err).exception, "mandatory"):
		// This account wants more of a new lead.
		more := namePairs(orDefault(nameOf(e.Call.Contact.Name), people.Placeholder(n)))
		if len(more) == 1 {
			more = append(more, pair{"LastName", more[0].Value})
		}
		if e.SetStatus && e.Status != "" {
			more = append(more, pair{d.w.s.Field(fieldStatus, Fields[fieldStatus]), e.Status})
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
		r = people.Record{ID: id, Phones: []string{n.String()}, Created: time.Now()}
	}
	if r.Name == "" && time.Since(r.Created).Abs() < newLead {
		d.made = id
	}
	return r, nil
}

// Mark sets the wish not to be called.
func (d *directory) Mark(ctx context.Context, r people.Record, _ phone.Number, p *crm.Progress) error {
	return d.w.changeLead(ctx, r.ID, []pair{{d.w.doNotCall(), "1"}}, p)
}

func (d *directory) upsert(ctx context.Context, number string, more ...pair) (string, error) {
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

func (d *directory) record(r row) people.Record {
	out := people.Record{
		ID: r.text("ProspectID"), Owner: r.text("OwnerId"), Created: when(r.text("CreatedOn")), Changed: when(r.text("ModifiedOn", "LeadLastModifiedOn")),
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

const timeLayout = "2006-01-02 15:04:05"

// stamp writes a time as LeadSquared takes it, which is UTC; empty for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeLayout)
}

var ticks = regexp.MustCompile(`^/Date\((-?\d{1,15})`)

// when reads LeadSquared's times; zero: it is none.
func when(s string) time.Time {
	if m := ticks.FindStringSubmatch(s); m != nil {
		ms, _ := strconv.ParseInt(m[1], 10, 64)
		return time.UnixMilli(ms).UTC()
	}
	t, err := time.ParseInLocation(timeLayout, s, time.UTC) // a fraction after the seconds is read too
	if err != nil {
		return time.Time{}
	}
	return t
}

// nameOf makes of s what a lead has as a name.
func nameOf(s string) string { return text.Line(s, nameLimit) }

// namePairs writes a name, of which LeadSquared keeps the last part by itself.
func namePairs(name string) []pair {
	name = nameOf(name)
	if i := strings.LastIndexByte(name, ' '); i > 0 {
		return []pair{{"FirstName", name[:i]}, {"LastName", name[i+1:]}}
	}
	return []pair{{"FirstName", name}}
}
