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
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// nameLimit is how long a name may be to be one.
const nameLimit = 250

// The numbers of a contact, and what HubSpot makes of them for searches: the digits inside the country, with some of the leading
// ones left off.
var (
	phones     = []string{"phone", "mobilephone"}
	searchable = []string{"hs_searchable_calculated_phone_number", "hs_searchable_calculated_mobile_number"}
)

// directory is the portal's contacts during one Write.
type directory struct {
	w     *Writer
	p     *crm.Progress
	made  bool // a contact was made
	taken bool // our key of the number belongs to a contact that has another number by now
}

var _ people.Directory = (*directory)(nil)

// selected are the properties that a Record is made of.
func (d *directory) selected() []string {
	return append([]string{
		"firstname", "lastname", "hubspot_owner_id", "createdate", "lastmodifieddate", d.w.field(fieldStatus), d.w.field(fieldDoNotCall),
	}, phones...)
}

// Search asks the index by the digits inside the country, which is how HubSpot searches numbers, and by the international form;
// then it reads the contacts that have the number, as what the index tells of them may be old. If there is none it reads by our key.
func (d *directory) Search(ctx context.Context, n phone.Number) ([]people.Record, error) {
	digits := n.Tail(10)
	if len(digits) < 4 {
		return nil, nil // whoever has so short a number is not to be told from others
	}
	rows, err := d.w.api.search(ctx, contacts, []group{
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
		if slices.ContainsFunc(d.record(o).Phones, n.Is) {
			ids = append(ids, string(o.ID))
		}
	}
	found, err := d.readAll(ctx, ids)
	if err != nil || slices.ContainsFunc(found, func(r people.Record) bool { return slices.ContainsFunc(r.Phones, n.Is) }) {
		return found, err
	}
	return d.byKey(ctx, n)
}

func (d *directory) readAll(ctx context.Context, ids []string) (found []people.Record, err error) {
	if len(ids) == 1 {
		r, ok, err := d.Read(ctx, ids[0])
		if err != nil || !ok {
			return nil, err
		}
		return []people.Record{r}, nil
	}
	for page := range slices.Chunk(ids, 100) {
		rows, err := d.w.api.readAll(ctx, contacts, page, d.selected())
		if err != nil {
			return nil, err
		}
		for _, o := range rows {
			found = append(found, d.record(o))
		}
	}
	return found, nil
}

// byKey reads the contact that this program has made for the number.
func (d *directory) byKey(ctx context.Context, n phone.Number) ([]people.Record, error) {
	key, unique, err := d.w.key(ctx, contacts)
	if err != nil || !unique || n.E164() == "" {
		return nil, err
	}
	o, err := d.w.api.read(ctx, contacts, keyOf(n), key, d.selected())
	if statusOf(err) == http.StatusBadRequest {
		d.w.distrust(contacts, key)
		return nil, errors.New(err.Error()) // once more, by the search alone
	}
	if err != nil || o == nil {
		return nil, err
	}
	r := d.record(*o)
	if !slices.ContainsFunc(r.Phones, n.Is) {
		d.taken = true // people have given it another number: it is not whom the call was with
		return nil, nil
	}
	return []people.Record{r}, nil
}

// keyOf returns our key of a number: its digits, as a plus in a path means several things.
func keyOf(n phone.Number) string { return strings.TrimPrefix(n.E164(), "+") }

// Read reads a contact. One that was merged into another is that one.
func (d *directory) Read(ctx context.Context, id string) (people.Record, bool, error) {
	o, err := d.w.api.read(ctx, contacts, id, "", d.selected())
	if err != nil || o == nil {
		return people.Record{}, false, err
	}
	return d.record(*o), true, nil
}

// Mark sets the wish not to be called.
func (d *directory) Mark(ctx context.Context, r people.Record, _ phone.Number, p *crm.Progress) error {
	o := map[string]any{}
	if err := d.w.setDoNotCall(ctx, o, p); err != nil || len(o) == 0 {
		return err
	}
	return d.w.api.update(ctx, contacts, r.ID, o)
}

// Create makes a contact, with our key where the portal has it.
func (d *directory) Create(ctx context.Context, e *crm.Entry, n phone.Number) (people.Record, error) {
	w := d.w
	owner, err := w.owners.Or(ctx, w.s.Owner, "", d.p)
	if err != nil {
		return people.Record{}, err
	}
	r := people.Record{Name: text.Line(e.Call.Contact.Name, nameLimit), Phones: []string{n.String()}, Owner: owner}
	o := map[string]any{phones[0]: n.String()}
	setName(o, cmp.Or(r.Name, people.Placeholder(n))) // HubSpot demands a name or an address
	if owner != "" {
		o["hubspot_owner_id"] = owner
	}
	if e.SetStatus && e.Status != "" {
		r.Status = e.Status
		o[w.field(fieldStatus)] = e.Status
	}
	if e.DoNotCall {
		r.DoNotCall = true
		if err := w.setDoNotCall(ctx, o, d.p); err != nil {
			return people.Record{}, err
		}
	}
	key, unique, err := w.key(ctx, contacts)
	if err != nil {
		return people.Record{}, err
	}
	if unique && !d.taken {
		o[key] = keyOf(n)
	}
	r.ID, err = d.create(ctx, o, key)
	switch {
	case err == nil:
		d.made = true
		return r, nil
	case statusOf(err) == http.StatusConflict:
		if same, ok, e := d.same(ctx, err, n); e == nil && ok {
			return same, nil
		}
	case statusOf(err) == http.StatusBadRequest && names(err, phones[0]) && !names(err, w.field(fieldStatus)):
		return r, fmt.Errorf("%w: %w", people.ErrNumber, err)
	}
	return r, w.explain(ctx, err)
}

// create sends a new contact without those of its properties that are refused and can be missing. Our key is one only where it
// is refused although no contact that could be read has it: HubSpot may keep those of deleted contacts.
func (d *directory) create(ctx context.Context, o map[string]any, key string) (id string, err error) {
	send := func(o map[string]any) error {
		return d.w.optional.Send(d.p, "contacts", o, d.w.contactOptionals(), names, func(properties map[string]any) error {
			id, err = d.w.api.create(ctx, contacts, properties)
			return err
		})
	}
	err = send(o)
	if key == "" || o[key] == nil || crm.VerdictOf(err) != crm.Reject || !names(err, key) {
		return id, err
	}
	d.w.forget(contacts, key)
	held, e := d.w.api.read(ctx, contacts, fmt.Sprint(o[key]), key, nil)
	if e == nil && held != nil {
		return "", err // the Book finds it
	}
	if e != nil && statusOf(e) != http.StatusBadRequest {
		return "", e
	}
	delete(o, key)
	return id, send(o)
}

var existing = regexp.MustCompile(`Existing ID: (\d+)`)

// same returns the contact that a 409 names, if it has the number.
func (d *directory) same(ctx context.Context, err error, n phone.Number) (people.Record, bool, error) {
	var r *refused
	if !errors.As(err, &r) {
		return people.Record{}, false, nil
	}
	id := existing.FindSubmatch(r.body)
	if id == nil {
		return people.Record{}, false, nil
	}
	record, ok, err := d.Read(ctx, string(id[1]))
	return record, ok && slices.ContainsFunc(record.Phones, n.Is), err
}

func (d *directory) record(o object) people.Record {
	r := people.Record{
		ID: string(o.ID), Name: strings.TrimSpace(o.text("firstname") + " " + o.text("lastname")), Owner: o.text("hubspot_owner_id"),
		Status: o.text(d.w.field(fieldStatus)), DoNotCall: o.text(d.w.field(fieldDoNotCall)) == "true",
		Created: when(o.CreatedAt), Changed: when(o.UpdatedAt),
	}
	if t := when(o.text("createdate")); !t.IsZero() {
		r.Created = t
	}
	if t := when(o.text("lastmodifieddate")); !t.IsZero() {
		r.Changed = t
	}
	for _, name := range phones {
		if v := o.text(name); v != "" {
			r.Phones = append(r.Phones, v)
		}
	}
	return r
}

// setName writes a name, of which HubSpot keeps the last part by itself.
func setName(o map[string]any, name string) {
	name = text.Line(name, nameLimit)
	if name == "" {
		return
	}
	o["firstname"] = name
	if i := strings.LastIndexByte(name, ' '); i > 0 {
		o["firstname"], o["lastname"] = name[:i], name[i+1:]
	}
}
