package salesforce

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// phones are the fields that hold a person's numbers.
var phones = map[string][]string{lead: {"Phone", "MobilePhone"}, contact: {"Phone", "MobilePhone", "HomePhone", "OtherPhone"}}

// contacts is one look into the org on behalf of an entry: what is asked of contacts brings the call's Tasks along, in the same request.
type contacts struct {
	w *Writer
	j *job // nil: only contacts are looked for
}

var _ people.Holder = contacts{}

// columns are the fields that a Record is made of, without those that the org does not show us.
func (w *Writer) columns(entity string) []string {
	all := []string{"Id", "Name", "OwnerId", "CreatedDate", "LastModifiedDate", w.doNotCall()}
	if entity == lead {
		all = append(all, "IsConverted", "ConvertedContactId")
	}
	all = append(all, w.phones(entity)...)
	if f := w.statusField(entity); f != "" {
		all = append(all, f)
	}
	return w.hidden.without(entity, all)
}

// phones are the fields of an entity that hold numbers, the one into which a new contact's goes included.
func (w *Writer) phones(entity string) []string {
	all := phones[entity]
	if f := w.s.Field(fieldPhone, Fields[fieldPhone]); entity == w.newEntity() && !slices.Contains(all, f) {
		all = append(slices.Clone(all), f)
	}
	return w.hidden.without(entity, all)
}

func (w *Writer) selectFrom(entity, where string) request {
	return queryPart(entity, "SELECT "+strings.Join(w.columns(entity), ", ")+" FROM "+entity+" WHERE "+where)
}

// ask sends queries of people by entity, and what the entry needs besides. Fields that the org does not show are left out from then on.
func (v contacts) ask(ctx context.Context, where func(entity string) string) (found []people.Record, err error) {
	for {
		var parts []request
		for _, entity := range []string{lead, contact} {
			if condition := where(entity); condition != "" && !v.w.hidden.has(entity, "*") {
				parts = append(parts, v.w.selectFrom(entity, condition))
			}
		}
		if v.j != nil {
			parts = append(parts, v.j.wanted()...)
		}
		if len(parts) == 0 {
			return nil, nil
		}
		rows, err := v.w.api.ask(ctx, parts)
		if err != nil {
			if v.w.hide(err) {
				continue
			}
			return nil, v.w.again(err)
		}
		if v.j != nil {
			v.j.brought(rows)
		}
		for _, entity := range []string{lead, contact} {
			for _, o := range rows[entity] {
				found = append(found, v.w.record(entity, o))
			}
		}
		return v.follow(ctx, found, rows[lead])
	}
}

// byID asks for records by their ids, which are given by entity.
func byID(ids map[string][]string) func(entity string) string {
	return func(entity string) string {
		switch len(ids[entity]) {
		case 0:
			return ""
		case 1:
			return "Id = " + quote(ids[entity][0])
		}
		return "Id IN " + list(ids[entity]...)
	}
}

// follow puts the contacts that converted leads have become in their places, with the numbers of both.
func (v contacts) follow(ctx context.Context, found []people.Record, leads []object) ([]people.Record, error) {
	became := map[string]string{} // converted leads to contacts
	var lacking []string
	for _, o := range leads {
		id := o.Text("ConvertedContactId")
		if id == "" || o["IsConverted"] != true {
			continue
		}
		became[lead+"/"+o.Text("Id")] = contact + "/" + id
		if !slices.ContainsFunc(found, func(r people.Record) bool { return r.ID == contact+"/"+id }) && !slices.Contains(lacking, id) {
			lacking = append(lacking, id)
		}
	}
	if len(lacking) > 0 {
		more, err := contacts{w: v.w}.ask(ctx, byID(map[string][]string{contact: lacking}))
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	for from, to := range became {
		at := slices.IndexFunc(found, func(r people.Record) bool { return r.ID == to })
		if at < 0 {
			continue // that was deleted: the lead is all there is
		}
		for _, r := range found {
			if r.ID == from {
				found[at].Phones = append(found[at].Phones, r.Phones...)
			}
		}
		found = slices.DeleteFunc(found, func(r people.Record) bool { return r.ID == from })
	}
	return found, nil
}

// Search asks the database for the number in all the spellings that people type. If nobody has it so, it asks the search index, which
// knows numbers however they are written and lags by minutes, and reads again what that names.
func (v contacts) Search(ctx context.Context, n phone.Number) ([]people.Record, error) {
	spellings := list(n.Typed()...)
	found, err := v.ask(ctx, func(entity string) string {
		if v.w.cfg.Search == "index" {
			return ""
		}
		var ways []string
		for _, f := range v.w.phones(entity) {
			ways = append(ways, f+" IN "+spellings)
		}
		return strings.Join(ways, " OR ")
	})
	if err != nil || people.Have(found, n) {
		return found, err
	}
	searches := []string{n.Tail(10)}
	if full := strings.TrimPrefix(n.E164(), "+"); v.w.cfg.Search == "index" && full != "" && full != searches[0] {
		searches = append(searches, full) // the index may know a number as one word, country and all
	}
	for _, digits := range searches {
		if len(digits) < 6 {
			continue // the index would bring half of the org
		}
		named, err := v.w.index(ctx, digits)
		if err != nil {
			return nil, err
		}
		if len(named) == 0 {
			continue
		}
		more, err := contacts{w: v.w}.ask(ctx, byID(named))
		if err != nil {
			return nil, err
		}
		if found = append(found, more...); people.Have(more, n) {
			break
		}
	}
	return found, nil
}

// index asks the search index for records with the digits in a phone field and returns their ids by entity.
func (w *Writer) index(ctx context.Context, digits string) (map[string][]string, error) {
	const most = 100
	objects := []any{}
	for _, entity := range []string{lead, contact} {
		if !w.hidden.has(entity, "*") {
			objects = append(objects, object{"name": entity, "fields": []string{"Id"}, "limit": most})
		}
	}
	body := object{"q": digits, "in": "PHONE", "fields": []string{"Id"}, "sobjects": objects, "overallLimit": most}
	var raw json.RawMessage
	if err := w.api.call(ctx, http.MethodPost, "/parameterizedSearch", nil, body, nil, &raw); err != nil {
		return nil, err
	}
	type row struct {
		ID         string `json:"Id"`
		Attributes struct {
			Type string `json:"type"`
		} `json:"attributes"`
	}
	var answer struct {
		Rows []row `json:"searchRecords"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		if err := json.Unmarshal(raw, &answer.Rows); err != nil { // as older versions answer
			return nil, errors.New(w.api.client.Base().Host + " answers a search without a list of records")
		}
	}
	named := map[string][]string{}
	for _, r := range answer.Rows {
		if t := r.Attributes.Type; r.ID != "" && (t == lead || t == contact) {
			named[t] = append(named[t], r.ID)
		}
	}
	return named, nil
}

// Read reads a lead or contact; a lead that was converted since is the contact that it became.
func (v contacts) Read(ctx context.Context, id string) (people.Record, bool, error) {
	entity, key, _ := strings.Cut(id, "/")
	found, err := v.ask(ctx, byID(map[string][]string{entity: {key}}))
	if err != nil || len(found) == 0 {
		return people.Record{}, false, err
	}
	return found[0], true, nil
}

// Holder returns the lead or contact at which a Task stands.
func (v contacts) Holder(ctx context.Context, task string) (string, error) {
	rows, err := v.w.api.query(ctx, "SELECT WhoId FROM Task WHERE Id = "+quote(task))
	if err != nil || len(rows) == 0 {
		return "", err
	}
	switch id := rows[0].Text("WhoId"); {
	case strings.HasPrefix(id, "00Q"):
		return lead + "/" + id, nil
	case strings.HasPrefix(id, "003"):
		return contact + "/" + id, nil
	}
	return "", nil
}

// Mark sets the wish not to be called.
func (v contacts) Mark(ctx context.Context, r people.Record, _ phone.Number, p *crm.Progress) error {
	entity, id, _ := strings.Cut(r.ID, "/")
	flag := v.w.doNotCall()
	return v.w.optional.Send(p, entity, object{flag: true}, []string{flag}, about, func(fields map[string]any) error {
		if len(fields) == 0 {
			return nil
		}
		return v.w.api.call(ctx, http.MethodPatch, "/sobjects/"+entity+"/"+id, nil, fields, http.Header{duplicates: {"allowSave=true"}}, nil)
	})
}

// Create makes a lead, or a contact if that is configured. Where a duplicate rule names a record with the same number, that one is
// taken; where it names others, which have the same name at most, it is told that this is meant.
func (v contacts) Create(ctx context.Context, e *crm.Entry, n phone.Number) (people.Record, error) {
	w, entity := v.w, v.w.newEntity()
	p := crm.NewProgress(nil, nil)
	if v.j != nil {
		p = v.j.p
	}
	owner, err := w.owners.Or(ctx, w.s.Owner, "", p)
	if err != nil {
		return people.Record{}, err
	}
	o := object{w.s.Field(fieldPhone, Fields[fieldPhone]): n.String()}
	name := text.Line(e.Call.Contact.Name, lastLimit)
	setName(o, cmp.Or(name, people.Placeholder(n)))
	r := people.Record{Name: name, Phones: []string{n.String()}, Owner: owner}
	if entity == lead {
		o["Company"] = cmp.Or(w.cfg.Company, "[not provided]")
	}
	if f := w.statusField(entity); f != "" && e.SetStatus && e.Status != "" {
		o[f], r.Status = e.Status, e.Status
	}
	flag := w.doNotCall()
	if e.DoNotCall {
		o[flag], r.DoNotCall = true, true
	}
	if owner != "" {
		o["OwnerId"] = owner
	}
	var id string
	err = w.optional.Send(p, entity, o, []string{flag, "OwnerId"}, about, func(fields map[string]any) error {
		id, err = w.api.create(ctx, "/sobjects/"+entity, fields, http.Header{duplicates: {"allowSave=false"}})
		if has(err, "DUPLICATES_DETECTED") {
			if same, found, e := v.same(ctx, err, n); e != nil || found {
				r, id = same, strings.TrimPrefix(same.ID, entity+"/")
				return e
			}
			id, err = w.api.create(ctx, "/sobjects/"+entity, fields, http.Header{duplicates: {"allowSave=true"}})
		}
		return err
	})
	if r.ID == "" {
		r.ID = entity + "/" + id
	}
	return r, w.explain(ctx, entity, err)
}

// duplicates is the header by which an alert of a duplicate rule is taken note of.
const duplicates = "Sforce-Duplicate-Rule-Header"

// same returns the record with the number among those that a duplicate rule names.
func (v contacts) same(ctx context.Context, refusal error, n phone.Number) (people.Record, bool, error) {
	type matches struct {
		Results []struct {
			Records []struct {
				Record struct {
					ID         string `json:"Id"`
					Attributes struct {
						Type string `json:"type"`
					} `json:"attributes"`
				} `json:"record"`
			} `json:"matchRecords"`
		} `json:"matchResults"`
	}
	var all []struct {
		Result  matches `json:"duplicateResult"`
		Misspel matches `json:"duplicateResut"` // so it is spelt by many versions
	}
	_ = json.Unmarshal(httpx.RefusedBy(refusal).Body, &all) // of another form: it names nobody
	ids := map[string][]string{}
	for _, a := range all {
		for _, m := range append(a.Result.Results, a.Misspel.Results...) {
			for _, one := range m.Records {
				switch id := one.Record.ID; {
				case strings.HasPrefix(id, "00Q"), one.Record.Attributes.Type == lead:
					ids[lead] = append(ids[lead], id)
				case strings.HasPrefix(id, "003"), one.Record.Attributes.Type == contact:
					ids[contact] = append(ids[contact], id)
				}
			}
		}
	}
	found, err := contacts{w: v.w}.ask(ctx, byID(ids))
	if err != nil {
		return people.Record{}, false, err
	}
	for _, f := range found {
		if f.Has(n) {
			return f, true, nil
		}
	}
	return people.Record{}, false, nil
}

func (w *Writer) record(entity string, o object) people.Record {
	r := people.Record{
		ID: entity + "/" + o.Text("Id"), Name: strings.TrimSpace(o.Text("Name")), Owner: o.Text("OwnerId"),
		Created: record.When(o.Text("CreatedDate")), Changed: record.When(o.Text("LastModifiedDate")), Superseded: o["IsConverted"] == true,
	}
	r.DoNotCall, _ = o[w.doNotCall()].(bool)
	if f := w.statusField(entity); f != "" {
		r.Status = o.Text(f)
	}
	for _, f := range w.phones(entity) {
		if p := o.Text(f); p != "" {
			r.Phones = append(r.Phones, p)
		}
	}
	return r
}

// Limits of names, in characters.
const (
	firstLimit = 40
	lastLimit  = 80
)

// setName writes a name, of which Salesforce wants the last part by itself.
func setName(o object, name string) {
	if first, last := record.SplitName(name); first != "" && utf8.RuneCountInString(first) <= firstLimit {
		o["FirstName"], name = first, last
	}
	o["LastName"] = name
}
