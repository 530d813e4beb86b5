package odoo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

const (
	leads    = "crm.lead"
	partners = "res.partner"
	// enough is how many records of one number are looked at.
	enough = 50
	// longName is what a name may have in characters; Odoo has no limit, its screens have.
	longName = 200
)

// contacts are Odoo's leads, opportunities and, where nobody has made one of those, its partners.
type contacts struct {
	*Writer
	p *crm.Progress
}

// Search returns the leads that have the number; where there is none the partners, who have no status.
func (d contacts) Search(ctx context.Context, n phone.Number) ([]people.Record, error) {
	for _, model := range []string{leads, partners} {
		found, err := d.search(ctx, model, n)
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(found, func(r people.Record) bool { return !r.Has(n) })
		if slices.ContainsFunc(found, func(r people.Record) bool { return r.Status != lost }) {
			// Somebody who was lost once and has come back has a lead that is not.
			found = slices.DeleteFunc(found, func(r people.Record) bool { return r.Status == lost })
		}
		if len(found) > 0 {
			return found, nil
		}
	}
	return nil, nil
}

func (d contacts) search(ctx context.Context, model string, n phone.Number) ([]people.Record, error) {
	has, err := d.odoo.fields(ctx, model, optional...)
	if err != nil {
		return nil, err
	}
	// phone_sanitized is the number in international form, where Odoo could tell the country; phone_mobile_search looks at the digits.
	leaves := []any{[]any{"phone", "in", n.Typed()}}
	if n.E164() != "" && has["phone_sanitized"] {
		leaves = append(leaves, []any{"phone_sanitized", "=", n.E164()})
	}
	if tail := n.Tail(10); len(tail) >= 3 && has["phone_mobile_search"] { // it takes no shorter ones, and compares from the first digit on
		for _, s := range []string{tail, "0" + tail, strings.TrimPrefix(n.String(), "+"), n.String()} {
			leaves = append(leaves, []any{"phone_mobile_search", "ilike", s})
		}
	}
	if has["mobile"] {
		leaves = append(leaves, []any{"mobile", "in", n.Typed()})
	}
	domain := []any{}
	for range len(leaves) - 1 {
		domain = append(domain, "|")
	}
	rows, err := d.odoo.find(ctx, model, append(domain, leaves...), shown(model, has), enough)
	if err != nil {
		return nil, err
	}
	records := make([]people.Record, 0, len(rows))
	for _, r := range rows {
		if model == partners && !r.yes("active") {
			continue // Odoo's way to throw a contact away; nobody would see a call there
		}
		records = append(records, personOf(model, r))
	}
	return records, nil
}

// optional are fields that some versions have.
var optional = []string{"phone_sanitized", "phone_mobile_search", "mobile", "phone_blacklisted"}

// shown are the fields that a record is made of.
func shown(model string, has map[string]bool) []string {
	fields := []string{"name", "phone", "active", "user_id", "create_date", "write_date"}
	if model == leads {
		fields = append(fields, "contact_name", "stage_id")
	}
	for _, f := range []string{"phone_sanitized", "mobile", "phone_blacklisted"} {
		if has[f] {
			fields = append(fields, f)
		}
	}
	return fields
}

func personOf(model string, r row) people.Record {
	out := people.Record{
		ID: nameOf(model, r.id()), Name: cmp.Or(r.text("contact_name"), r.text("name")), DoNotCall: r.yes("phone_blacklisted"),
		Created: record.When(r.text("create_date")), Changed: record.When(r.text("write_date")),
	}
	for _, f := range []string{"phone", "mobile", "phone_sanitized"} {
		if v := r.text(f); v != "" {
			out.Phones = append(out.Phones, v)
		}
	}
	if id, _ := r.ref("user_id"); id != 0 {
		out.Owner = strconv.FormatInt(id, 10)
	}
	if model == leads {
		_, out.Status = r.ref("stage_id")
		if !r.yes("active") {
			out.Status = lost
		}
	}
	return out
}

// nameOf names a record among all of Odoo's, and target takes that apart.
func nameOf(model string, id int64) string { return model + "/" + strconv.FormatInt(id, 10) }

func target(name string) (model string, id int64) {
	model, number, _ := strings.Cut(name, "/")
	id, _ = strconv.ParseInt(number, 10, 64)
	return model, id
}

// Read returns a lead or partner as it is now. One that was merged into another is that one: the call's message has moved there.
func (d contacts) Read(ctx context.Context, name string) (people.Record, bool, error) {
	r, there, err := d.read(ctx, name)
	if err != nil || there || d.p.Refs[people.Ref] != name {
		return r, there, err
	}
	id, err := strconv.ParseInt(d.p.Refs["message"], 10, 64)
	if err != nil {
		return r, false, nil //nolint:nilerr // the call has no message
	}
	rows, err := d.odoo.find(ctx, "mail.message", []any{[]any{"id", "=", id}}, []string{"model", "res_id"}, 1)
	if err != nil || len(rows) == 0 {
		return r, false, err
	}
	return d.read(ctx, rows[0].on("model", "res_id"))
}

func (d contacts) read(ctx context.Context, name string) (people.Record, bool, error) {
	model, id := target(name)
	if model != leads && model != partners {
		return people.Record{}, false, nil
	}
	has, err := d.odoo.fields(ctx, model, optional...)
	if err != nil {
		return people.Record{}, false, err
	}
	rows, err := d.odoo.find(ctx, model, []any{[]any{"id", "=", id}}, shown(model, has), 1)
	if err != nil || len(rows) == 0 {
		return people.Record{}, false, err
	}
	return personOf(model, rows[0]), true, nil
}

// Create makes a lead. Whether it is shown as a lead or as an opportunity is Odoo's own setting.
func (d contacts) Create(ctx context.Context, e *crm.Entry, n phone.Number) (people.Record, error) {
	name := text.Line(e.Call.Contact.Name, longName)
	values := named{"name": cmp.Or(name, people.Placeholder(n)), "phone": n.String()}
	if name != "" {
		values["contact_name"] = name
	}
	owner, err := d.owner(ctx, d.s.Owner, "", d.p)
	if err != nil {
		return people.Record{}, err
	}
	if owner != 0 {
		values["user_id"] = owner
	}
	var change statusChange
	if e.SetStatus {
		var err error
		if change, err = d.stage(ctx, e.Status); err != nil {
			return people.Record{}, err
		}
	}
	if change.stage != 0 {
		values["stage_id"] = change.stage
	}
	var ids []int64
	if err := d.odoo.call(ctx, leads, "create", nil, named{"vals_list": []any{values}}, &ids); err != nil {
		return people.Record{}, err
	}
	if len(ids) != 1 {
		return people.Record{}, errors.New("odoo made a lead and told no id")
	}
	made := people.Record{ID: nameOf(leads, ids[0]), Name: name, Phones: []string{n.String()}, Created: time.Now(), Changed: time.Now()}
	if change.stage != 0 {
		made.Status = change.name
	}
	return made, nil
}

// touch brings a contact up to date: its status, its name where it has none, and the wish not to be called.
func (w *Writer) touch(ctx context.Context, e *crm.Entry, r people.Record, p *crm.Progress) error {
	model, id := target(r.ID)
	values := named{}
	if name := text.Line(w.book.NewName(r, e), longName); name != "" {
		values["name"] = name
		if model == leads {
			values["contact_name"] = name
		}
	}
	var change statusChange
	if status := w.book.Status(r, e, p); status != "" && model == leads {
		var err error
		if change, err = w.stage(ctx, status); err != nil {
			return err
		}
		if change.stage != 0 && change.name != r.Status {
			values["stage_id"] = change.stage
			if r.Status == lost { // this clears the lost reason and lets Odoo work out the probability again
				if err := w.odoo.call(ctx, model, "action_unarchive", []int64{id}, named{}, nil); err != nil {
					return err
				}
			}
		}
	}
	if len(values) > 0 {
		if err := w.odoo.call(ctx, model, "write", []int64{id}, named{"vals": values}, nil); err != nil {
			return err
		}
	}
	if change.lost && r.Status != lost {
		if err := w.lose(ctx, id, change.reason); err != nil {
			return err
		}
	}
	if e.DoNotCall && !r.DoNotCall {
		return w.blacklist(ctx, w.book.Number(e.Call.Contact), p)
	}
	return nil
}

// Mark keeps the number from being called: Odoo shows that on every record that has it.
func (d contacts) Mark(ctx context.Context, _ people.Record, n phone.Number, p *crm.Progress) error {
	return d.blacklist(ctx, n, p)
}

// blacklist keeps a number from being called. A number that is there already stays as it is. Not every user may do it.
func (w *Writer) blacklist(ctx context.Context, n phone.Number, p *crm.Progress) error {
	if n.E164() == "" {
		return nil
	}
	err := w.odoo.call(ctx, "phone.blacklist", "create", nil, named{"vals_list": []any{named{"number": n.E164()}}}, nil)
	switch {
	case httpx.RefusedBy(err).Code == accessError:
		w.daily.Warn(p, "phone.blacklist", "the API key's user may not add to Odoo's phone blacklist; contacts who do not want to be called are not marked: %v", err)
		return nil
	case crm.VerdictOf(err) == crm.Reject: // a number that is none in its country, or a server without the list: the call is written all the same
		p.Warn("the number was not put on Odoo's phone blacklist: %v", err)
		return nil
	}
	return err
}

// lost is the status of leads that were marked lost, which Odoo archives. A status "Lost: Too expensive" names the reason too.
const lost = "Lost"

// statusChange is what a lead status means to Odoo.
type statusChange struct {
	name   string
	stage  int64
	lost   bool
	reason int64 // 0: none
}

// stage returns what a status of the mapping means: the stage of that name, or lost.
func (w *Writer) stage(ctx context.Context, status string) (statusChange, error) {
	if status == "" {
		return statusChange{}, nil
	}
	if head, reason, named := strings.Cut(status, ":"); strings.EqualFold(strings.TrimSpace(head), lost) {
		c := statusChange{name: lost, lost: true}
		if !named {
			return c, nil
		}
		id, all, err := w.names.find(ctx, "crm.lost.reason", strings.TrimSpace(reason))
		if err == nil && id == 0 {
			err = crm.Rejected(fmt.Errorf("odoo has no lost reason %q; it has: %s", strings.TrimSpace(reason), strings.Join(all, ", ")), "crm.lost.reason")
		}
		c.reason = id
		return c, err
	}
	id, all, err := w.names.find(ctx, "crm.stage", status)
	if err == nil && id == 0 {
		err = crm.Rejected(fmt.Errorf("odoo has no stage %q; it has: %s. Map the disposition to one of them, or to Lost", status, strings.Join(all, ", ")), "crm.stage")
	}
	return statusChange{name: status, stage: id}, err
}

// lose marks a lead as lost.
func (w *Writer) lose(ctx context.Context, id, reason int64) error {
	args := named{}
	if reason != 0 {
		has, err := w.odoo.fields(ctx, leads, "lost_reason_id", "lost_reason")
		if err != nil {
			return err
		}
		for _, f := range []string{"lost_reason_id", "lost_reason"} { // the second until version 15
			if has[f] {
				args[f] = reason
				break
			}
		}
	}
	return w.odoo.call(ctx, leads, "action_set_lost", []int64{id}, args, nil)
}

// owner returns the id of the user who is named, by login or number, and otherwise where there is none; 0: nobody.
func (w *Writer) owner(ctx context.Context, name, otherwise string, p *crm.Progress) (int64, error) {
	id, err := w.owners.Or(ctx, name, otherwise, p)
	if err != nil || id == "" {
		return 0, err
	}
	return strconv.ParseInt(id, 10, 64)
}
