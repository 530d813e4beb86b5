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
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const (
	lead    = "Lead"
	contact = "Contact"
)

// nameLimit is how long varchar fields are that say nothing else.
const nameLimit = 100

// directory is the site's Leads and Contacts.
type directory struct {
	w *Writer
	p *crm.Progress
}

var (
	_ people.Directory = directory{}
	_ people.Holder    = directory{}
)

// selected are the attributes that a Record is made of.
func (d directory) selected(entity string) []string {
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
func (d directory) Search(ctx context.Context, n phone.Number) ([]people.Record, error) {
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
			if !n.Is(o.text("phoneNumber")) { // a secondary number is alike: only the whole record has those
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
func (d directory) Read(ctx context.Context, id string) (people.Record, bool, error) {
	entity, key, _ := strings.Cut(id, "/")
	o, err := d.w.api.read(ctx, entity, key)
	if err != nil || o == nil {
		return people.Record{}, false, err
	}
	return d.record(entity, o), true, nil
}

// Holder returns the Lead or Contact at which a Call stands.
func (d directory) Holder(ctx context.Context, call string) (string, error) {
	o, err := d.w.api.read(ctx, "Call", call, "parentType", "parentId")
	if entity := o.text("parentType"); err == nil && (entity == lead || entity == contact) && o.text("parentId") != "" {
		return entity + "/" + o.text("parentId"), nil
	}
	return "", err
}

// Mark sets the wish not to be called.
func (d directory) Mark(ctx context.Context, r people.Record, _ phone.Number, p *crm.Progress) error {
	entity, id, _ := strings.Cut(r.ID, "/")
	o := object{d.w.doNotCall(): true}
	answer, err := d.w.api.update(ctx, entity, id, o)
	if err != nil {
		return err
	}
	return d.w.kept(entity, o, answer, p)
}

// Create makes a Lead. One of the same name is no reason not to: only the same number is the same person, and that was looked for.
func (d directory) Create(ctx context.Context, e *crm.Entry, n phone.Number) (people.Record, error) {
	owner, err := d.w.owners.Or(ctx, d.w.s.Owner, "", d.p)
	if err != nil {
		return people.Record{}, err
	}
	name := d.name(e, n)
	o := object{"phoneNumber": n.String()}
	setName(o, name)
	r := people.Record{Name: name, Phones: []string{n.String()}, Owner: owner}
	if e.SetStatus && e.Status != "" {
		o[d.w.statusField(lead)] = e.Status
		r.Status = e.Status
	}
	if e.DoNotCall {
		o[d.w.doNotCall()] = true
		r.DoNotCall = true
	}
	if r.Owner != "" {
		o["assignedUserId"] = r.Owner
	}
	made, err := d.w.api.create(ctx, lead, o, nil)
	if statusOf(err) == http.StatusConflict {
		if same, ok := d.same(err, n); ok {
			return same, nil
		}
		made, err = d.w.api.create(ctx, lead, o, anyway)
	}
	if statusOf(err) == http.StatusBadRequest && step.InText(err, "phoneNumber") {
		return people.Record{}, fmt.Errorf("%w: %w", people.ErrNumber, err)
	}
	if err != nil {
		return r, d.w.explain(ctx, err)
	}
	r.ID = lead + "/" + made.text("id")
	return r, d.w.kept(lead, o, made, d.p)
}

// same returns the record with the number among those that a 409 lists as duplicates.
func (d directory) same(err error, n phone.Number) (people.Record, bool) {
	var r *refused
	var rows []object
	if !errors.As(err, &r) || json.Unmarshal(r.body, &rows) != nil {
		return people.Record{}, false
	}
	for _, o := range rows {
		if n.Is(o.text("phoneNumber")) && o.text("id") != "" {
			return d.record(lead, o), true
		}
	}
	return people.Record{}, false
}

func (d directory) record(entity string, o object) people.Record {
	r := people.Record{
		ID: entity + "/" + o.text("id"), Name: o.text("name"), Owner: o.text("assignedUserId"),
		Created: o.when("createdAt"), Changed: o.when("modifiedAt"),
	}
	r.DoNotCall, _ = o[d.w.doNotCall()].(bool)
	if f := d.w.statusField(entity); f != "" {
		r.Status = o.text(f)
	}
	// A converted lead lives on as a contact, which is found as well.
	r.Superseded = entity == lead && (o.text("createdContactId") != "" || o.text("status") == "Converted")
	if p := o.text("phoneNumber"); p != "" {
		r.Phones = append(r.Phones, p)
	}
	all, _ := o["phoneNumberData"].([]any)
	for _, v := range all {
		if m, ok := v.(map[string]any); ok {
			r.Phones = append(r.Phones, object(m).text("phoneNumber"))
		}
	}
	return r
}

// name returns the name of a new lead.
func (d directory) name(e *crm.Entry, n phone.Number) string {
	if name := nameOf(e.Call.Contact.Name); name != "" {
		return name
	}
	return people.Placeholder(n)
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

// setName writes a name, of which EspoCRM wants the last part by itself.
func setName(o object, name string) {
	o["lastName"] = name
	if i := strings.LastIndexByte(name, ' '); i > 0 {
		o["firstName"], o["lastName"] = name[:i], name[i+1:]
	}
}
