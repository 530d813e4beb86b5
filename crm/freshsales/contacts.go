package freshsales

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

const (
	mobile   = "mobile_number"
	longName = 100              // characters of first_name and of last_name
	lag      = 10 * time.Second // Freshsales does not say how late a search shows a contact
	refresh  = 10 * time.Minute // how long what a selector offers is believed
)

// persons are the account's contacts, during one Write.
type persons struct {
	*Writer
	known []choice // the lead statuses
	p     *crm.Progress
}

var _ record.Contacts = persons{}

// Search asks each of the configured fields for all spellings at once. Where the account does not allow that, each spelling is looked up by itself. What a search
// shows of a contact is thin, so each is read.
func (d persons) Search(ctx context.Context, n phone.Number) (found []people.Record, err error) {
	ids := map[string]bool{}
	for _, field := range d.cfg.Phones {
		rows, err := d.matches(ctx, field, n)
		if err != nil {
			return nil, err
		}
		for _, f := range rows {
			ids[idOf(f)] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		r, there, err := d.Read(ctx, id)
		if err != nil {
			return nil, err
		}
		if there {
			found = append(found, r)
		}
	}
	return found, nil
}

// matches returns the contacts that have one of the number's spellings in a field.
func (d persons) matches(ctx context.Context, field string, n phone.Number) ([]record.Fields, error) {
	if narrow, _ := d.narrow.Held(field); !narrow {
		var out struct {
			Contacts []record.Fields `json:"contacts"`
		}
		rule := map[string]any{"filter_rule": []any{map[string]any{"attribute": field, "operator": "is_in", "value": n.Typed()}}}
		err := d.api.do(ctx, http.MethodPost, root+"filtered_search/contact", nil, rule, &out)
		if status := httpx.StatusOf(err); status != http.StatusBadRequest && status != http.StatusForbidden && status != http.StatusNotFound && status != http.StatusUnprocessableEntity {
			return out.Contacts, err
		}
		if status := httpx.StatusOf(err); status == http.StatusForbidden { // a key that may do nothing at all is told from one that may not search so
			if _, err := d.choose(ctx, owners); err != nil {
				return nil, err
			}
		}
		d.narrow.Put(field, true, time.Hour)
	}
	var all []record.Fields
	for _, spelling := range n.Spellings() {
		var out struct {
			Contacts struct {
				Contacts []record.Fields `json:"contacts"`
			} `json:"contacts"`
		}
		q := url.Values{"q": {spelling}, "f": {field}, "entities": {"contact"}}
		if err := d.api.do(ctx, http.MethodGet, root+"lookup", q, nil, &out); err != nil {
			return nil, err
		}
		all = append(all, out.Contacts.Contacts...)
	}
	return all, nil
}

// Read reads a contact.
func (d persons) Read(ctx context.Context, id string) (people.Record, bool, error) {
	f, err := d.api.read(ctx, "contact", "contacts", id)
	if errors.Is(err, step.ErrGone) {
		return people.Record{}, false, nil
	}
	if err != nil {
		return people.Record{}, false, err
	}
	own, _ := f["custom_field"].(map[string]any)
	r := people.Record{
		ID: id, Name: strings.TrimSpace(f.Text("first_name") + " " + f.Text("last_name")), Owner: digits(f["owner_id"]), Created: record.When(f.Text("created_at")),
		Changed: record.When(f.Text("updated_at")), DoNotCall: own[d.s.Field(fieldDoNotCall, "")] == true, Superseded: f["is_deleted"] == true,
	}
	for i := range d.known {
		if c := &d.known[i]; c.id == digits(f[d.statusField()]) {
			r.Status = c.name
		}
	}
	for _, name := range append([]string{mobile, "work_number", "phone"}, d.cfg.Phones...) {
		if v := f.Text(name); v != "" && !slices.Contains(r.Phones, v) {
			r.Phones = append(r.Phones, v)
		}
	}
	return r, true, nil
}

var duplicate = regexp.MustCompile(`(?i)already exists|not unique|3002`)

// Create creates a contact. mobile_number is unique, so of two requests Freshsales refuses one; its contact is then the number's.
func (d persons) Create(ctx context.Context, n phone.Number, r people.Record) (people.Record, error) {
	if r.Name = strings.TrimSpace(r.Name); r.Name == "" {
		r.Name = people.Placeholder(n)
	}
	f := d.fields(record.Change{Status: r.Status, Name: r.Name, DoNotCall: r.DoNotCall})
	f[mobile] = n.String()
	if r.Owner != "" {
		f["owner_id"] = number(r.Owner)
	}
	id, err := d.api.create(ctx, "contact", "contacts", f)
	if again, rerr := d.without(ctx, f, r.Status, "a new contact", err); again || rerr != nil {
		if rerr != nil {
			return r, rerr
		}
		id, err = d.api.create(ctx, "contact", "contacts", f)
	}
	if crm.VerdictOf(err) == crm.Reject && duplicate.MatchString(err.Error()) {
		found, serr := d.Search(ctx, n)
		if serr != nil {
			return r, serr
		}
		if i := slices.IndexFunc(found, func(r people.Record) bool { return r.Has(n) }); i >= 0 {
			return found[i], nil
		}
		return r, crm.Postponed(fmt.Errorf("the number is in use and its contact is not shown yet: %w", errors.New(err.Error())), lag)
	}
	r.ID, r.Made = id, true
	return r, err
}

// Change updates a contact.
func (d persons) Change(ctx context.Context, r people.Record, c record.Change) error {
	f := d.fields(c)
	if len(f) == 0 {
		return nil
	}
	err := d.api.change(ctx, "contact", "contacts", r.ID, f)
	again, rerr := d.without(ctx, f, c.Status, "contact "+r.ID, err)
	if rerr != nil {
		return rerr
	}
	if again && len(f) > 0 {
		err = d.api.change(ctx, "contact", "contacts", r.ID, f)
	}
	if again && len(f) == 0 {
		err = nil
	}
	return err
}

// without takes the status out of fields that were refused for it, and tells whether to send them again. Freshsales refuses some statuses that it has, for
// reasons that it does not tell: the call is worth more than its status. Where it does not have the status any more, the call is refused.
func (d persons) without(ctx context.Context, f record.Fields, status, whose string, refused error) (again bool, err error) {
	if status == "" || crm.VerdictOf(refused) != crm.Reject || !strings.Contains(refused.Error(), "nvalid contact status") {
		return false, nil
	}
	if _, err := d.takes(ctx, status); err != nil {
		return false, err
	}
	d.p.Warn("Freshsales refuses the status %q for %s, which is written without it: %v", status, whose, refused)
	delete(f, d.statusField())
	delete(f, lifecycleStage)
	return true, nil
}

// fields returns a change as fields. A contact's status belongs to a lifecycle stage, which goes with it.
func (d persons) fields(c record.Change) record.Fields {
	f := record.Fields{}
	first, last := record.SplitName(text.Line(c.Name, len(c.Name)))
	f.Set("first_name", text.Line(first, longName))
	f.Set("last_name", text.Line(last, longName))
	if s := find(d.known, c.Status); c.Status != "" && s != nil {
		f[d.statusField()] = number(s.id)
		if s.stage != "" && d.statusField() == contactStatus {
			f[lifecycleStage] = number(s.stage)
		}
	}
	if name := d.s.Field(fieldDoNotCall, ""); c.DoNotCall && name != "" {
		f["custom_field"] = record.Fields{name: true}
	}
	return f
}

func (w *Writer) statusField() string { return w.s.Field(fieldStatus, contactStatus) }

// choice is an entry of a selector.
type choice struct {
	id, name, internal, email, stage string
	gone                             bool
}

// The selectors.
const (
	owners     = "owners"
	types      = "sales_activity_types"
	statusList = "contact_statuses"
	stageList  = "lifecycle_stages"
)

// choose returns what a selector offers.
func (w *Writer) choose(ctx context.Context, selector string) ([]choice, error) {
	return w.choices.Get(ctx, selector, func(ctx context.Context) ([]choice, time.Duration, error) {
		name := selector
		if selector == owners {
			name = "users"
		}
		rows, err := w.api.rows(ctx, root+"selector/"+selector, name, nil)
		if err != nil {
			return nil, 0, err
		}
		var out []choice
		for _, f := range rows {
			out = append(out, choice{
				id: idOf(f), name: f.Text("name") + f.Text("display_name"), internal: f.Text("internal_name"), email: f.Text("email"),
				stage: digits(f[lifecycleStage]), gone: f["is_active"] == false,
			})
		}
		return out, refresh, nil
	})
}

// find returns the choice of a name, in any case, or of an id; nil: there is none.
func find(all []choice, name string) *choice {
	name = strings.TrimSpace(name)
	for i := range all {
		if c := &all[i]; strings.EqualFold(strings.TrimSpace(c.name), name) || c.id == name {
			return c
		}
	}
	return nil
}

// statusSelector is where the lead statuses are told.
func (w *Writer) statusSelector() string {
	if w.statusField() == lifecycleStage {
		return stageList
	}
	return statusList
}

func (w *Writer) statuses(ctx context.Context) ([]choice, error) {
	return w.choose(ctx, w.statusSelector())
}

// takes asks anew whether Freshsales has a status; the call is refused if not.
func (w *Writer) takes(ctx context.Context, status string) ([]choice, error) {
	w.choices.Forget(w.statusSelector())
	all, err := w.statuses(ctx)
	if err == nil && find(all, status) == nil {
		err = crm.Rejected(fmt.Errorf("%s does not take the lead status %q", w.statusField(), status), "")
	}
	return all, err
}

// user returns the id of an active user by email address, name or id; empty: there is none.
func (w *Writer) user(ctx context.Context, name string) (string, error) {
	all, err := w.choose(ctx, owners)
	for _, c := range all {
		if !c.gone && (strings.EqualFold(c.email, name) || strings.EqualFold(c.name, name) || c.id == name) {
			return c.id, nil
		}
	}
	return "", err
}

// anyone returns a user for records that must have an owner.
func (w *Writer) anyone(ctx context.Context) (string, error) {
	all, err := w.choose(ctx, owners)
	for _, c := range all {
		if !c.gone {
			return c.id, nil
		}
	}
	return "", err
}
