package record

import (
	"context"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
)

// Contacts are the contacts of a CRM, during one Write. They may implement people.Holder.
type Contacts interface {
	// Search and Read are those of people.Directory.
	Search(ctx context.Context, n phone.Number) ([]people.Record, error)
	Read(ctx context.Context, id string) (people.Record, bool, error)
	// Create creates the contact of a number as r describes it, and returns it with its id. r has the number and, if they are known, a name, a
	// status, an owner and DoNotCall. Where the CRM answers that the contact exists, Create returns the existing one. See people.ErrNumber.
	Create(ctx context.Context, n phone.Number, r people.Record) (people.Record, error)
	// Change updates a contact.
	Change(ctx context.Context, r people.Record, c Change) error
}

// Change is what a call changes in a contact. An empty field changes nothing.
type Change struct {
	Status, Name string
	DoNotCall    bool
}

// touch updates the contacts.
func (t *target) touch(ctx context.Context, contacts Contacts, book *people.Book) error {
	for _, r := range t.Contacts {
		c := Change{Status: book.Status(r, t.Entry, t.Progress), Name: book.NewName(r, t.Entry), DoNotCall: t.Entry.DoNotCall && !r.DoNotCall}
		if c == (Change{}) && !r.Made {
			continue
		}
		if err := contacts.Change(ctx, r, c); err != nil {
			return err
		}
	}
	return nil
}

// directory adapts Contacts to people.Book.
type directory struct {
	Contacts
	j *Job
}

var (
	_ people.Directory = directory{}
	_ people.Holder    = directory{}
)

// Create creates the contact of a call.
func (d directory) Create(ctx context.Context, e *crm.Entry, n phone.Number) (people.Record, error) {
	o := d.j.w.options
	owner, err := o.Owners.Or(ctx, o.Settings.Owner, "", d.j.Progress)
	if err != nil {
		return people.Record{}, err
	}
	now := time.Now()
	r := people.Record{Phones: []string{n.String()}, Name: e.Call.Contact.Name, Owner: owner, DoNotCall: e.DoNotCall, Created: now, Changed: now}
	if e.SetStatus {
		r.Status = e.Status
	}
	return d.Contacts.Create(ctx, n, r)
}

// Mark notes the wish not to be called.
func (d directory) Mark(ctx context.Context, r people.Record, _ phone.Number, _ *crm.Progress) error {
	return d.Change(ctx, r, Change{DoNotCall: true})
}

// Holder returns the contact of an activity; none where the CRM does not tell.
func (d directory) Holder(ctx context.Context, activity string) (string, error) {
	if h, ok := d.Contacts.(people.Holder); ok {
		return h.Holder(ctx, activity)
	}
	return "", nil
}

// SplitName returns a name's last word, and what is before it. A name of one word is a last name.
func SplitName(name string) (first, last string) {
	at := strings.LastIndexByte(name, ' ')
	if at <= 0 {
		return "", name
	}
	return name[:at], name[at+1:]
}
