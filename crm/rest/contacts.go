package rest

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// contacts are those of the system, during one Write.
type contacts struct {
	*Writer
	job *record.Job
}

var _ record.Contacts = contacts{}

// mostThin is how many thin records of a search are read one by one: nobody has a number that often.
const mostThin = 50

// scope returns what the requests about a contact are made of.
func (c contacts) scope(n phone.Number, r people.Record) *scope {
	if n.IsZero() {
		n = c.job.Number
	}
	return &scope{w: c.Writer, entry: c.job.Entry, number: n, contact: r}
}

// Search finds the records that may have the number. The frame compares whole numbers.
func (c contacts) Search(ctx context.Context, n phone.Number) (all []people.Record, err error) {
	q := c.recipe.Contact.Find
	found, err := c.api.look(ctx, q, c.scope(n, people.Record{}))
	if errors.Is(err, errAbsent) {
		return nil, nil // it can be asked for possible numbers only
	}
	for i, r := range found {
		_, whole := r.(map[string]any)
		if whole && !q.ID.set {
			all = append(all, c.person(r, ""))
			continue
		}
		if i == mostThin {
			break
		}
		person, there, err := c.Read(ctx, q.ID.text(r))
		if err != nil {
			return nil, err
		}
		if there {
			all = append(all, person)
		}
	}
	return all, err
}

// Read reads a record.
func (c contacts) Read(ctx context.Context, id string) (people.Record, bool, error) {
	q := c.recipe.Contact.Read
	said, err := c.api.send(ctx, q, c.scope(phone.Number{}, people.Record{ID: id}), nil)
	if gone(err) {
		return people.Record{}, false, nil
	}
	held, there := q.Record.in(said).(map[string]any)
	return c.person(held, id), there, err
}

// gone tells whether an error about a known record says that it is not there any more.
func gone(err error) bool {
	return errors.Is(err, errNothing) || httpx.StatusOf(err) == http.StatusNotFound
}

// Create makes a contact.
func (c contacts) Create(ctx context.Context, n phone.Number, r people.Record) (people.Record, error) {
	s := c.scope(n, people.Record{})
	s.owner = r.Owner
	s.change = record.Change{Status: r.Status, Name: r.Name, DoNotCall: r.DoNotCall}
	s.fields = s.render(c.recipe.Contact.New, c.recipe.Contact.Fields)
	q := c.recipe.Contact.Create
	said, err := c.api.send(ctx, q, s, nil)
	if err != nil {
		return r, err
	}
	if r.ID = q.ID.or(c.recipe.Answers.ID).text(said); r.ID == "" {
		return r, errors.New("the contact was made, and the answer has no id of it where the recipe says")
	}
	if len(c.recipe.Contact.Pick) == 0 {
		return r, nil
	}
	made, there, err := c.Read(ctx, r.ID) // the records of the call need what is picked of it
	if there {
		r.Picked = made.Picked
	}
	return r, err
}

// Change changes a contact.
func (c contacts) Change(ctx context.Context, r people.Record, change record.Change) error {
	q := c.recipe.Contact.Update
	if q == nil || change == (record.Change{}) {
		return nil
	}
	s := c.scope(phone.Number{}, r)
	s.change = change
	if s.fields = s.render(c.recipe.Contact.Fields); len(s.fields) == 0 {
		return nil
	}
	_, err := c.api.send(ctx, q, s, nil)
	return err
}

// render renders fields; those of later maps win.
func (s *scope) render(from ...map[string]tree) record.Fields {
	out := record.Fields{}
	for _, fields := range from {
		for name, t := range fields {
			if v := t.render(s); v != nil {
				out[name] = v
			}
		}
	}
	return out
}

// person reads a contact. id is that by which it was asked for.
func (c contacts) person(held any, id string) people.Record {
	p := &c.recipe.Contact.Paths
	r := people.Record{
		ID: p.ID.text(held), Name: p.Name.text(held), Status: p.Status.text(held), Owner: p.Owner.text(held),
		DoNotCall: p.DoNotCall.set && truth(p.DoNotCall.text(held)), Superseded: p.Superseded.set && truth(p.Superseded.text(held)),
		Created: c.time(p.Created.text(held)), Changed: c.time(p.Changed.text(held)), Picked: map[string]any{},
	}
	if id != "" {
		r.ID = id
	}
	for _, number := range p.Numbers {
		r.Phones = append(r.Phones, number.texts(held)...)
	}
	for name, at := range c.recipe.Contact.Pick {
		if v := at.in(held); v != nil && textOf(v) != "" {
			r.Picked[name] = v
		}
	}
	return r
}

// truth tells whether a value means yes.
func truth(v string) bool {
	switch strings.ToLower(v) {
	case "", "0", "false", "no", "n", "off":
		return false
	}
	return true
}

// time reads a time as systems write it; zero: it is not known.
func (w *Writer) time(v string) time.Time {
	if v == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", w.recipe.Times.Format} {
		if t, err := time.ParseInLocation(layout, v, w.zone); err == nil {
			return t.UTC()
		}
	}
	n, err := strconv.ParseInt(v, 10, 64)
	switch {
	case err != nil:
		return time.Time{}
	case n > 1e11: // in seconds that would be the year 5138
		return time.UnixMilli(n).UTC()
	}
	return time.Unix(n, 0).UTC()
}
