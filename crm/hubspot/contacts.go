package hubspot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// nameLimit is how long a name may be to be one.
const nameLimit = 250

// The numbers of a contact, and what HubSpot makes of them for searches: the digits inside the country, with some of the leading
// ones left off.
var (
	phones     = []string{"phone", "mobilephone"}
	searchable = []string{"hs_searchable_calculated_phone_number", "hs_searchable_calculated_mobile_number"}
)

// contacts are the portal's contacts during one Write.
type contacts struct {
	w     *Writer
	p     *crm.Progress
	taken bool // our key of the number belongs to a contact that has another number by now
}

// selected are the properties that a Record is made of.
func (d *contacts) selected() []string {
	return append([]string{
		"firstname", "lastname", "hubspot_owner_id", "createdate", "lastmodifieddate", d.w.field(fieldStatus), d.w.field(fieldDoNotCall),
	}, phones...)
}

// Search asks the index by the digits inside the country, which is how HubSpot searches numbers, and by the international form;
// then it reads the contacts that have the number, as what the index tells of them may be old. If there is none it reads by our key.
func (d *contacts) Search(ctx context.Context, n phone.Number) ([]people.Record, error) {
	digits := n.Tail(10)
	if len(digits) < 4 {
		return nil, nil // whoever has so short a number is not to be told from others
	}
	rows, err := d.w.api.search(ctx, contactKind, []group{
		{[]filter{{searchable[0], "EQ", digits}}},
		{[]filter{{searchable[0], "CONTAINS_TOKEN", "*" + digits}}},
		{[]filter{{searchable[1], "CONTAINS_TOKEN", "*" + digits}}},
		{[]filter{{phones[0], "EQ", n.String()}}},
		{[]filter{{phones[1], "EQ", n.String()}}},
	}, d.selected())
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, o := range rows {
		if d.person(o).Has(n) {
			ids = append(ids, string(o.ID))
		}
	}
	found, err := d.readAll(ctx, ids)
	if err != nil || people.Have(found, n) {
		return found, err
	}
	return d.byKey(ctx, n)
}

func (d *contacts) readAll(ctx context.Context, ids []string) (found []people.Record, err error) {
	if len(ids) == 1 {
		r, ok, err := d.Read(ctx, ids[0])
		if err != nil || !ok {
			return nil, err
		}
		return []people.Record{r}, nil
	}
	for page := range slices.Chunk(ids, 100) {
		rows, err := d.w.api.readAll(ctx, contactKind, page, d.selected())
		if err != nil {
			return nil, err
		}
		for _, o := range rows {
			found = append(found, d.person(o))
		}
	}
	return found, nil
}

// byKey reads the contact that this program has made for the number.
func (d *contacts) byKey(ctx context.Context, n phone.Number) ([]people.Record, error) {
	key, unique, err := d.w.key(ctx, contactKind)
	if err != nil || !unique || n.E164() == "" {
		return nil, err
	}
	o, err := d.w.api.read(ctx, contactKind, keyOf(n), key, d.selected())
	if httpx.StatusOf(err) == http.StatusBadRequest {
		d.w.distrust(contactKind, key)
		return nil, errors.New(err.Error()) // once more, by the search alone
	}
	if err != nil || o == nil {
		return nil, err
	}
	r := d.person(*o)
	if !r.Has(n) {
		d.taken = true // people have given it another number: it is not whom the call was with
		return nil, nil
	}
	return []people.Record{r}, nil
}

// keyOf returns our key of a number: its digits, as a plus in a path means several things.
func keyOf(n phone.Number) string { return strings.TrimPrefix(n.E164(), "+") }

// Read reads a contact. One that was merged into another is that one.
func (d *contacts) Read(ctx context.Context, id string) (people.Record, bool, error) {
	o, err := d.w.api.read(ctx, contactKind, id, "", d.selected())
	if err != nil || o == nil {
		return people.Record{}, false, err
	}
	return d.person(*o), true, nil
}

// Create makes a contact, with our key where the portal has it.
func (d *contacts) Create(ctx context.Context, n phone.Number, r people.Record) (people.Record, error) {
	w := d.w
	r.Name = text.Line(r.Name, nameLimit)
	// HubSpot demands a name or an address.
	o, err := d.properties(ctx, record.Change{Status: r.Status, Name: cmp.Or(r.Name, people.Placeholder(n)), DoNotCall: r.DoNotCall})
	if err != nil {
		return people.Record{}, err
	}
	o[phones[0]] = n.String()
	o.Set("hubspot_owner_id", r.Owner)
	key, unique, err := w.key(ctx, contactKind)
	if err != nil {
		return people.Record{}, err
	}
	if unique && !d.taken {
		o[key] = keyOf(n)
	}
	r.ID, err = d.create(ctx, o, key)
	switch {
	case err == nil:
		r.Made = true
		return r, nil
	case httpx.StatusOf(err) == http.StatusConflict:
		if same, ok, e := d.same(ctx, err, n); e == nil && ok {
			return same, nil
		}
	case httpx.StatusOf(err) == http.StatusBadRequest && names(err, phones[0]) && !names(err, w.field(fieldStatus)):
		return r, fmt.Errorf("%w: %w", people.ErrNumber, err)
	}
	return r, w.explain(ctx, err)
}

// Change changes a contact.
func (d *contacts) Change(ctx context.Context, r people.Record, c record.Change) error {
	o, err := d.properties(ctx, c)
	if err != nil || len(o) == 0 {
		return err
	}
	err = d.w.optional.Send(d.p, "contacts", o, d.w.contactOptionals(), names, func(properties map[string]any) error {
		if len(properties) == 0 {
			return nil
		}
		return d.w.api.update(ctx, contactKind, r.ID, properties)
	})
	return d.w.explain(ctx, err)
}

// properties returns a change as properties, without the wish not to be called where the portal has none for it.
func (d *contacts) properties(ctx context.Context, c record.Change) (record.Fields, error) {
	o := record.Fields{}
	o.Set(d.w.field(fieldStatus), c.Status)
	// HubSpot keeps the last part of a name by itself. A name of one word is a first name.
	if first, last := record.SplitName(text.Line(c.Name, nameLimit)); first == "" {
		o.Set("firstname", last)
	} else {
		o["firstname"], o["lastname"] = first, last
	}
	if !c.DoNotCall {
		return o, nil
	}
	name := d.w.field(fieldDoNotCall)
	def, err := d.w.define(ctx, contactKind, name)
	switch {
	case err != nil:
		return nil, err
	case def == nil || def.forbidden:
		d.p.Warn("the contact asked not to be called again, and HubSpot shows no property %s of contacts to say so: run vinfer-sync setup", name)
	default:
		o[name] = "true"
	}
	return o, nil
}

// contactOptionals are the properties that a contact can do without. Its status is none of them.
func (w *Writer) contactOptionals() []string {
	return []string{w.field(fieldDoNotCall), "firstname", "lastname", "hubspot_owner_id"}
}

// create sends a new contact without those of its properties that are refused and can be missing. Our key is one only where it
// is refused although no contact that could be read has it: HubSpot may keep those of deleted contacts.
func (d *contacts) create(ctx context.Context, o record.Fields, key string) (id string, err error) {
	send := func(o record.Fields) error {
		return d.w.optional.Send(d.p, "contacts", o, d.w.contactOptionals(), names, func(properties map[string]any) error {
			id, err = d.w.api.create(ctx, contactKind, properties)
			return err
		})
	}
	err = send(o)
	if key == "" || o[key] == nil || crm.VerdictOf(err) != crm.Reject || !names(err, key) {
		return id, err
	}
	d.w.definitions.Forget(contactKind + "." + key)
	held, e := d.w.api.read(ctx, contactKind, fmt.Sprint(o[key]), key, nil)
	if e == nil && held != nil {
		return "", err // the Book finds it
	}
	if e != nil && httpx.StatusOf(e) != http.StatusBadRequest {
		return "", e
	}
	delete(o, key)
	return id, send(o)
}

var existing = regexp.MustCompile(`Existing ID: (\d+)`)

// same returns the contact that a 409 names, if it has the number.
func (d *contacts) same(ctx context.Context, err error, n phone.Number) (people.Record, bool, error) {
	id := existing.FindSubmatch(httpx.RefusedBy(err).Body)
	if id == nil {
		return people.Record{}, false, nil
	}
	record, ok, err := d.Read(ctx, string(id[1]))
	return record, ok && record.Has(n), err
}

func (d *contacts) person(o object) people.Record {
	r := people.Record{
		ID: string(o.ID), Name: strings.TrimSpace(o.text("firstname") + " " + o.text("lastname")), Owner: o.text("hubspot_owner_id"),
		Status: o.text(d.w.field(fieldStatus)), DoNotCall: o.text(d.w.field(fieldDoNotCall)) == "true",
		Created: record.When(o.CreatedAt), Changed: record.When(o.UpdatedAt),
	}
	if t := record.When(o.text("createdate")); !t.IsZero() {
		r.Created = t
	}
	if t := record.When(o.text("lastmodifieddate")); !t.IsZero() {
		r.Changed = t
	}
	for _, name := range phones {
		if v := o.text(name); v != "" {
			r.Phones = append(r.Phones, v)
		}
	}
	return r
}
