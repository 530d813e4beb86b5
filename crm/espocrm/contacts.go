package espocrm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

const (
	lead    = "Lead"
	contact = "Contact"
)

// nameLimit is how long varchar fields are that say nothing else.
const nameLimit = 100

// contacts are the site's Leads and Contacts.
type contacts struct {
	w *Writer
	p *crm.Progress
}

var _ people.Holder = contacts{}

// selected are the attributes that a Record is made of.
func (d contacts) selected(entity string) []string {
	all := []string{"id", "name", "phoneNumber", "assignedUserId", "createdAt", "modifiedAt", d.w.doNotCall()}
	if entity == lead {
		all = append(all, "createdContactId", "status")
	}
	if f := d.w.statusField(entity); f != "" && !slices.Contains(all, f) {
		all = append(all, f)
	}
	return all
}

// Search looks in Leads and Contacts, by the international form, which newer sites store and an index serves, secondary numbers
// included. If nobody has it so, by the last digits of whatever was typed.
func (d contacts) Search(ctx context.Context, n phone.Number) ([]people.Record, error) {
	var found []people.Record
	for _, entity := range []string{lead, contact} {
		rows, err := d.w.api.list(ctx, entity, where("equals", "phoneNumber", n.String(), d.selected(entity)...))
		if err != nil {
			return nil, err
		}
		for _, o := range rows {
			r := d.record(entity, o)
			r.Phones = append(r.Phones, n.String()) // the list shows the primary number only; this one matched
			found = append(found, r)
		}
	}
	if len(found) > 0 || len(n.Tail(10)) < 6 {
		return found, nil
	}
	for _, entity := range []string{lead, contact} {
		rows, err := d.w.api.list(ctx, entity, where("endsWith", "phoneNumberNumeric", n.Tail(10), d.selected(entity)...))
		if err != nil {
			return nil, err
		}
		for _, o := range rows {
			r := d.record(entity, o)
			if !n.Is(o.Text("phoneNumber")) { // a secondary number is alike: only the whole record has those
				whole, ok, err := d.Read(ctx, r.ID)
				if err != nil {
					return nil, err
				}
				if !ok {
					continue
				}
				r = whole
			}
			found = append(found, r)
		}
	}
	return found, nil
}

// Read reads a Lead or Contact.
func (d contacts) Read(ctx context.Context, id string) (people.Record, bool, error) {
	entity, key, _ := strings.Cut(id, "/")
	o, err := d.w.api.read(ctx, entity, key)
	if errors.Is(err, step.ErrGone) {
		return people.Record{}, false, nil
	}
	return d.record(entity, o), err == nil, err
}

// Holder returns the Lead or Contact at which a Call stands.
func (d contacts) Holder(ctx context.Context, call string) (string, error) {
	o, err := d.w.api.read(ctx, "Call", call, "parentType", "parentId")
	if errors.Is(err, step.ErrGone) {
		return "", nil
	}
	if entity := o.Text("parentType"); err == nil && (entity == lead || entity == contact) && o.Text("parentId") != "" {
		return entity + "/" + o.Text("parentId"), nil
	}
	return "", err
}

// Create makes a Lead. One of the same name is no reason not to: only the same number is the same person, and that was looked for.
func (d contacts) Create(ctx context.Context, n phone.Number, r people.Record) (people.Record, error) {
	if r.Name = nameOf(r.Name); r.Name == "" {
		r.Name = people.Placeholder(n)
	}
	o := d.fields(lead, record.Change{Status: r.Status, Name: r.Name, DoNotCall: r.DoNotCall})
	o["phoneNumber"] = n.String()
	o.Set("assignedUserId", r.Owner)
	made, err := d.w.api.create(ctx, lead, o, nil)
	if httpx.StatusOf(err) == http.StatusConflict {
		if same, ok := d.same(err, n); ok {
			return same, nil
		}
		made, err = d.w.api.create(ctx, lead, o, anyway)
	}
	if httpx.StatusOf(err) == http.StatusBadRequest && step.InText(err, "phoneNumber") {
		return people.Record{}, fmt.Errorf("%w: %w", people.ErrNumber, err)
	}
	if err != nil {
		return r, d.w.explain(ctx, err)
	}
	r.ID = lead + "/" + made.Text("id")
	return r, d.w.kept(lead, o, made, d.p)
}

// Change changes a Lead or Contact. A Contact has no status unless the configuration names a field for it.
func (d contacts) Change(ctx context.Context, r people.Record, c record.Change) error {
	entity, id, _ := strings.Cut(r.ID, "/")
	if c.Name = nameOf(c.Name); c.Name == r.Name {
		c.Name = ""
	}
	o := d.fields(entity, c)
	if len(o) == 0 {
		return nil
	}
	answer, err := d.w.api.update(ctx, entity, id, o)
	if err != nil {
		return d.w.explain(ctx, err)
	}
	return d.w.kept(entity, o, answer, d.p)
}

// fields returns a change as attributes. EspoCRM wants the last part of a name by itself.
func (d contacts) fields(entity string, c record.Change) object {
	o := object{}
	first, last := record.SplitName(c.Name)
	o.Set("firstName", first)
	o.Set("lastName", last)
	o.Set(d.w.statusField(entity), c.Status)
	if c.DoNotCall {
		o[d.w.doNotCall()] = true
	}
	return o
}

// same returns the record with the number among those that a 409 lists as duplicates.
func (d contacts) same(err error, n phone.Number) (people.Record, bool) {
	var rows []object
	if json.Unmarshal(httpx.RefusedBy(err).Body, &rows) != nil {
		return people.Record{}, false
	}
	for _, o := range rows {
		if n.Is(o.Text("phoneNumber")) && o.Text("id") != "" {
			return d.record(lead, o), true
		}
	}
	return people.Record{}, false
}

func (d contacts) record(entity string, o object) people.Record {
	r := people.Record{
		ID: entity + "/" + o.Text("id"), Name: o.Text("name"), Owner: o.Text("assignedUserId"),
		Created: record.When(o.Text("createdAt")), Changed: record.When(o.Text("modifiedAt")),
	}
	r.DoNotCall, _ = o[d.w.doNotCall()].(bool)
	if f := d.w.statusField(entity); f != "" {
		r.Status = o.Text(f)
	}
	// A converted lead lives on as a contact, which is found as well.
	r.Superseded = entity == lead && (o.Text("createdContactId") != "" || o.Text("status") == "Converted")
	if p := o.Text("phoneNumber"); p != "" {
		r.Phones = append(r.Phones, p)
	}
	all, _ := o["phoneNumberData"].([]any)
	for _, v := range all {
		if m, ok := v.(map[string]any); ok {
			r.Phones = append(r.Phones, object(m).Text("phoneNumber"))
		}
	}
	return r
}

// nameOf makes of s what EspoCRM takes as a name: one line without the characters that its pattern forbids.
func nameOf(s string) string {
	return text.Line(strings.Map(func(r rune) rune {
		if strings.ContainsRune("<>=", r) {
			return ' '
		}
		return r
	}, s), nameLimit)
}

// statusField returns the attribute that holds the lead status; empty: records of this type have none.
func (w *Writer) statusField(entity string) string {
	if entity == lead {
		return w.s.Field(fieldStatus, "status")
	}
	return w.s.Field(fieldContactStatus, "")
}

// doNotCall returns the attribute that holds the wish not to be called.
func (w *Writer) doNotCall() string { return w.s.Field(fieldDoNotCall, Fields[fieldDoNotCall]) }
