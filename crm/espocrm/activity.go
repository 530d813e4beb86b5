package espocrm

import (
	"context"
	"slices"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// bodyLimit is how many characters of a description are sent. The columns hold 16 MB; a call fills a hundredth of this.
const bodyLimit = 100_000

// Activity returns the Call. It is linked to all contacts, and its parent is the first of them.
func (s schema) Activity(_ context.Context, j *record.Job) (*record.Record, error) {
	c := &j.Entry.Call
	title := nameOf(text.Title(j.Entry, nameLimit))
	values := record.Fields{"name": title}
	if answered, known := record.Connected(c); known {
		values["status"] = map[bool]string{true: "Held", false: "Not Held"}[answered]
	}
	values.Set("direction", map[string]string{"outbound": "Outbound", "inbound": "Inbound"}[c.Direction])
	if start, end, known := record.Span(c); known {
		values["dateStart"], values["dateEnd"] = stamp(start), stamp(end)
	}
	entity, id := j.Target()
	values.Set("parentType", entity)
	values.Set("parentId", id)
	optional := []string{"direction"} // whose options a site may have changed; the description says it too
	for ours, v := range record.Extras(c, 100) {
		f := s.s.Field(ours, "")
		if f == "" {
			continue
		}
		optional = append(optional, f)
		values.Set(f, record.Numbered(ours, v))
	}
	slices.Sort(optional)
	fresh := record.Fields{"status": "Held", "direction": "Outbound", "dateStart": stamp(c.EndedAt), "dateEnd": stamp(c.EndedAt)}
	for _, r := range j.Contacts {
		of := record.Job{Contact: r}
		entity, id := of.Target()
		link := map[string]string{lead: "leadsIds", contact: "contactsIds"}[entity]
		ids, _ := fresh[link].([]string)
		fresh[link] = append(ids, id)
	}
	return &record.Record{
		Table: s.table("Call", optional), Name: "Call", Values: values, New: fresh, Title: "name", Body: record.Body{Field: "description", Limit: bodyLimit},
		Keep: []string{"parentType", "parentId"}, Owner: s.owned(s.s.Owner), Optional: optional,
	}, nil
}

func (w *Writer) table(name string, optionals []string) entity { return entity{w, name, optionals} }
