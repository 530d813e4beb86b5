package dynamics

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
)

const (
	enough   = 50 // records of one number that are looked at
	longName = 50 // characters of firstname and of lastname
)

// phones are the columns that hold a person's numbers, of leads and of contacts.
var phones = []string{"mobilephone", "telephone1", "telephone2", "telephone3"}

// persons are the leads and contacts, during one Write.
type persons struct {
	*Writer
	status map[string]*column // by set
	p      *crm.Progress
}

var _ people.Holder = persons{}

// numbers are the columns that hold numbers, the one into which a new contact's goes included.
func (w *Writer) numbers() []string {
	if f := w.field(fieldPhone); !slices.Contains(phones, f) {
		return append(slices.Clone(phones), f)
	}
	return phones
}

// shown are the columns that a record is made of.
func (d persons) shown(set string) []string {
	all := append([]string{"fullname", "_ownerid_value", "createdon", "modifiedon", "statecode", "merged", "_masterid_value", d.field(fieldDoNotCall)}, d.numbers()...)
	if !d.status[set].missing {
		all = append(all, d.field(fieldStatus))
	}
	return all
}

// Search asks for the number in every form that people type. Columns are compared whole, without regard to case: an index serves that, a search
// inside of numbers would read the table.
func (d persons) Search(ctx context.Context, n phone.Number) (found []people.Record, err error) {
	spellings, err := json.Marshal(n.Typed())
	if err != nil {
		return nil, err
	}
	list := strings.ReplaceAll(string(spellings), "'", "''")
	var filters []string
	for _, name := range d.numbers() {
		filters = append(filters, "Microsoft.Dynamics.CRM.In(PropertyName='"+name+"',PropertyValues="+list+")")
	}
	for _, set := range d.tables {
		rows, err := d.api.find(ctx, set, strings.Join(filters, " or "), append(d.shown(set), tableOf[set]+"id"), enough)
		if err != nil {
			return nil, err
		}
		for _, f := range rows {
			found = append(found, d.person(set, f.Text(tableOf[set]+"id"), f))
		}
	}
	return found, nil
}

// person reads a record. A qualified lead has become a contact, a merged record another one, and an inactive contact is not in use.
func (d persons) person(set, id string, f record.Fields) people.Record {
	r := people.Record{
		ID: set + "/" + id, Name: f.Text("fullname"), DoNotCall: f[d.field(fieldDoNotCall)] == true, Created: record.When(f.Text("createdon")), Changed: record.When(f.Text("modifiedon")),
		Owner: ownerOf(f), Status: d.status[set].label(f[d.field(fieldStatus)]), Superseded: f["merged"] == true || f["statecode"] == 1.0,
	}
	for _, name := range d.numbers() {
		if v := f.Text(name); v != "" {
			r.Phones = append(r.Phones, v)
		}
	}
	return r
}

// ownerOf returns the owner of a record, a user or a team, as it is referred to.
func ownerOf(f record.Fields) string {
	id := f.Text("_ownerid_value")
	switch {
	case id == "":
		return ""
	case f.Text("_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname") == "team":
		return "teams(" + id + ")"
	}
	return "systemusers(" + id + ")"
}

// Read reads a lead or contact; the one that it was merged into, if it was.
func (d persons) Read(ctx context.Context, name string) (people.Record, bool, error) {
	set, id, _ := strings.Cut(name, "/")
	if d.status[set] == nil { // the configuration does not name the table any more
		return people.Record{}, false, nil
	}
	for range 5 { // a master may have been merged too
		f, err := d.api.get(ctx, set, id, d.shown(set))
		if errors.Is(err, step.ErrGone) {
			return people.Record{}, false, nil
		}
		master := f.Text("_masterid_value")
		if err != nil || f["merged"] != true || master == "" {
			return d.person(set, id, f), err == nil, err
		}
		id = master
	}
	return people.Record{}, false, nil
}

// Create creates a person in the first table. The id is made of the number, so that two processes that create it at once create one; where a person has
// merged or deleted that one, the next gets another id.
func (d persons) Create(ctx context.Context, n phone.Number, r people.Record) (people.Record, error) {
	set := d.tables[0]
	f := d.fields(set, record.Change{Status: r.Status, Name: cmp.Or(strings.TrimSpace(r.Name), people.Placeholder(n)), DoNotCall: r.DoNotCall})
	if state, ok := f["statecode"]; ok && state != stateOpen { // no record is created in another: the status is set afterwards
		delete(f, "statecode")
		delete(f, Fields[fieldStatus])
		r.Status = ""
	}
	f[d.field(fieldPhone)] = n.String()
	f.Set(owner, r.Owner)
	if set == leads {
		f["subject"] = "VInfer call"
	}
	bound(f)
	id := ourID("person", n.String())
	err := d.api.create(ctx, set, id, f)
	if errors.Is(err, errExists) {
		held, there, rerr := d.Read(ctx, set+"/"+id)
		if rerr != nil || there && held.Has(n) {
			return held, rerr
		}
		id = ourID("person", n.String(), time.Now().UTC().Format(time.RFC3339Nano))
		err = d.api.create(ctx, set, id, f)
	}
	r.ID = set + "/" + id
	return r, err
}

// Change changes a lead or contact. One that is not in use may be locked: then it stays as it is.
func (d persons) Change(ctx context.Context, r people.Record, c record.Change) error {
	set, id, _ := strings.Cut(r.ID, "/")
	f := d.fields(set, c)
	if len(f) == 0 {
		return nil
	}
	err := d.api.change(ctx, set, id, f)
	if r.Superseded && crm.VerdictOf(err) == crm.Reject {
		d.p.Warn("%s is not in use and could not be changed: %v", r.ID, err)
		return nil
	}
	return err
}

// fields returns a change as columns. Of a name the last part stands by itself. A status goes with its state.
func (d persons) fields(set string, c record.Change) record.Fields {
	f := record.Fields{}
	first, last := record.SplitName(text.Line(c.Name, len(c.Name)))
	f.Set("firstname", text.Line(first, longName))
	f.Set("lastname", text.Line(last, longName))
	if status := d.status[set]; c.Status != "" && !status.missing {
		name := d.field(fieldStatus)
		switch o := status.named(c.Status); {
		case o == nil && len(status.options) == 0:
			f[name] = c.Status
		case o != nil:
			f[name] = o.Value
			if name == Fields[fieldStatus] {
				f["statecode"] = o.State
			}
		}
	}
	if c.DoNotCall {
		f[d.field(fieldDoNotCall)] = true
	}
	return f
}

// Holder returns the lead or contact at which a phone call is.
func (d persons) Holder(ctx context.Context, call string) (string, error) {
	f, err := d.api.get(ctx, phonecalls, call, []string{"_regardingobjectid_value"})
	if errors.Is(err, step.ErrGone) {
		return "", nil
	}
	id, table := f.Text("_regardingobjectid_value"), f.Text("_regardingobjectid_value@Microsoft.Dynamics.CRM.lookuplogicalname")
	for _, set := range []string{leads, contacts} {
		if err == nil && id != "" && table == tableOf[set] {
			return set + "/" + id, nil
		}
	}
	return "", err
}

var isID = regexp.MustCompile(`(?i)^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// user asks for a user by email address, user name or id; empty: there is none.
func (w *Writer) user(ctx context.Context, name string) (string, error) {
	filter := "(internalemailaddress eq " + quoted(name) + " or domainname eq " + quoted(name) + ") and isdisabled eq false"
	if isID.MatchString(name) {
		filter = fmt.Sprintf("systemuserid eq %s and isdisabled eq false", name)
	}
	rows, err := w.api.find(ctx, "systemusers", filter, []string{"systemuserid"}, 1)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return "systemusers(" + rows[0].Text("systemuserid") + ")", nil
}
