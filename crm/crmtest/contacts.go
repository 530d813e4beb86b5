package crmtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Spellings are the ways in which people type the number of contact n into a CRM whose default region is India.
func Spellings(n int) []string {
	c := contact(n)
	a, b := c.National[:5], c.National[5:]
	return []string{
		c.E164, c.E164[1:], c.National, "0" + c.National, "+91 " + a + " " + b, "+91-" + a + "-" + b, "+91 " + c.National, "+91-" + c.National,
		a + " " + b, a + "-" + b, "0" + a + " " + b, "0" + a + "-" + b,
	}
}

// runContacts holds the writers to CRMs with contacts of their own to what users expect there.
func (s *suite) runContacts(t *testing.T) {
	t.Run("a contact is found in every spelling", s.everySpelling)
	t.Run("the same digits of another country are another number", s.otherCountry)
	t.Run("an own number is never matched", s.ownNumber)
	t.Run("a word instead of a number is nobody's", s.wordForNumber)
	t.Run("many matches by each policy", s.manyPolicies)
	t.Run("no match by each policy", s.missingPolicies)
	t.Run("a protected status is kept", s.protectedStatus)
	t.Run("a search that lags makes no second contact", s.laggingSearch)
	t.Run("an optional field that is refused is left out", s.optionalField)
	t.Run("what people change meanwhile", s.peopleChange)
	t.Run("what people delete meanwhile", s.peopleDelete)
	t.Run("the transcript's note is found again", s.noteFoundAgain)
}

// with returns a fresh destination and a writer to it with the given settings.
func (s *suite) with(t *testing.T, edit func(*crm.Settings)) (Destination, crm.Writer) {
	t.Helper()
	d := s.New(t)
	return d, d.Configured(t, edit)
}

func defaults(*crm.Settings) {}

func (s *suite) everySpelling(t *testing.T) {
	spellings := Spellings
	if s.Phones != nil {
		spellings = s.Phones
	}
	for _, phone := range spellings(1) {
		d, w := s.with(t, defaults)
		d.AddContact(t, Contact{Phone: contact(2).E164, Name: "Somebody else"})
		id := d.AddContact(t, Contact{Phone: phone, Name: "As typed by hand"})
		write(t, w, Completed(1), nil)
		got := d.State(t)
		if len(got.Contacts) != 2 || len(got.Calls) != 1 || got.Calls[0].Contact != id {
			t.Errorf("stored as %q it is not found: %+v", phone, got)
		}
	}
}

func (s *suite) otherCountry(t *testing.T) {
	d, w := s.with(t, defaults)
	other := d.AddContact(t, Contact{Phone: "+44" + contact(1).National, Name: "Somebody in Britain"})
	write(t, w, Completed(1), nil)
	got := d.State(t)
	if len(got.Contacts) != 2 || len(got.Calls) != 1 || got.Calls[0].Contact == other {
		t.Errorf("got %+v", got)
	}
}

func (s *suite) ownNumber(t *testing.T) {
	d, w := s.with(t, func(c *crm.Settings) { c.OwnNumbers = []string{contact(1).E164} })
	d.AddContact(t, Contact{Phone: contact(1).E164, Name: "Our switchboard"})
	want := d.State(t).Contacts
	err := w.Write(context.Background(), Completed(1), crm.NewProgress(nil, nil))
	if crm.VerdictOf(err) != crm.Delivered && crm.VerdictOf(err) != crm.Skip {
		t.Errorf("got %v", err)
	}
	got := d.State(t)
	if fmt.Sprint(got.Contacts) != fmt.Sprint(want) || len(got.Calls) > 0 && got.Calls[0].Contact != "" {
		t.Errorf("got %+v", got)
	}
}

func (s *suite) manyPolicies(t *testing.T) {
	if s.NoMany {
		return
	}
	for policy, want := range map[string][]int{crm.ManyRecent: {2}, "": {2}, crm.ManyFirst: {0}, crm.ManyAll: {0, 1, 2}, crm.ManySkip: nil} {
		d, w := s.with(t, func(c *crm.Settings) { c.OnMany = policy })
		var ids []string
		for i := range 3 {
			ids = append(ids, d.AddContact(t, Contact{Phone: contact(1).E164, Name: fmt.Sprint("Number ", i)}))
		}
		p := crm.NewProgress(nil, nil)
		err := w.Write(context.Background(), Completed(1), p)
		got := d.State(t)
		for i, id := range ids {
			chosen := false
			for _, n := range want {
				chosen = chosen || n == i
			}
			if (contactOf(got, Call{Contact: id}).Status == "Hot Lead") != chosen {
				t.Errorf("on_many %q: contact %d is %+v", policy, i, contactOf(got, Call{Contact: id}))
			}
		}
		if want == nil {
			if crm.VerdictOf(err) != crm.Skip || len(got.Calls) != 0 {
				t.Errorf("on_many %q: %v, %+v", policy, err, got.Calls)
			}
			continue
		}
		if err != nil || len(got.Contacts) != 3 || len(got.Calls) == 0 || policy != crm.ManyAll && len(got.Calls) != 1 {
			t.Errorf("on_many %q: %v, %+v", policy, err, got)
		}
		if policy != crm.ManyAll && (len(p.Warnings) != 1 || got.Calls[0].Contact != ids[want[0]]) {
			t.Errorf("on_many %q: warnings %q, calls %+v", policy, p.Warnings, got.Calls)
		}
	}
}

func (s *suite) missingPolicies(t *testing.T) {
	for policy, want := range map[string]crm.Verdict{"": crm.Delivered, crm.MissingCreate: crm.Delivered, crm.MissingSkip: crm.Skip, crm.MissingDead: crm.Refuse} {
		d, w := s.with(t, func(c *crm.Settings) { c.OnMissing = policy })
		err := w.Write(context.Background(), Completed(1), crm.NewProgress(nil, nil))
		n := 0
		if want == crm.Delivered {
			n = 1
		}
		if got := d.State(t); crm.VerdictOf(err) != want || len(got.Contacts) != n || len(got.Calls) != n {
			t.Errorf("on_missing %q: %v, %+v", policy, err, got)
		}
	}
}

func (s *suite) protectedStatus(t *testing.T) {
	d, w := s.with(t, func(c *crm.Settings) { c.Protect = []string{"hot lead"} })
	refs := write(t, w, Completed(1), nil)
	write(t, w, Revised(Completed(1), "not_interested", "Cold"), refs)
	got := d.State(t)
	if len(got.Contacts) != 1 || got.Contacts[0].Status != "Hot Lead" || got.Calls[0].Disposition != "not_interested" {
		t.Errorf("got %+v", got)
	}
}

func (s *suite) laggingSearch(t *testing.T) {
	d, w := s.with(t, defaults)
	if d.Lag == nil {
		return
	}
	d.Lag(true)
	for n := range 3 {
		e := Completed(n)
		e.Call.Contact = contact(7)
		write(t, w, e, nil)
	}
	d.Lag(false)
	if got := d.State(t); len(got.Contacts) != 1 || len(got.Calls) != 3 {
		t.Errorf("want one contact and three calls, got %+v", got)
	}
}

func (s *suite) optionalField(t *testing.T) {
	d, w := s.with(t, defaults)
	if d.Refuse == nil {
		return
	}
	d.Refuse()
	for n, warnings := range []int{1, 0} {
		p := crm.NewProgress(nil, nil)
		if err := w.Write(context.Background(), Completed(n), p); err != nil || len(p.Warnings) != warnings {
			t.Errorf("call %d: %v, warnings %q", n, err, p.Warnings)
		}
	}
	if got := d.State(t); len(got.Calls) != 2 || len(got.Contacts) != 2 {
		t.Errorf("got %+v", got)
	}
}

func (s *suite) peopleChange(t *testing.T) {
	d, w := s.with(t, func(c *crm.Settings) { c.Protect = []string{"New status"} })
	refs := write(t, w, Full(1), nil)
	id := d.State(t).Contacts[0].ID
	d.SetStatus(t, id, "Old status")
	refs = write(t, w, Full(1), refs) // a repeat of what was written takes nothing back
	newer := Full(1)
	newer.Event, newer.Revision, newer.Key, newer.Call.Summary = crm.CallUpdated, 2, "cal-test00001-updated-2", "Another summary."
	refs = write(t, w, newer, refs) // nor does something else that is new
	write(t, w, Transcribed(1), refs)
	if got := contactOf(d.State(t), Call{Contact: id}).Status; got != "Old status" {
		t.Errorf("a status that people set became %q again, though the call's is as it was", got)
	}
	d.SetStatus(t, id, "New status")
	write(t, w, Revised(Full(1), "not_interested", "Cold"), refs)
	if got := contactOf(d.State(t), Call{Contact: id}).Status; got != "New status" {
		t.Errorf("a status that people set and that is protected became %q", got)
	}
}

func (s *suite) peopleDelete(t *testing.T) {
	for _, ref := range []string{"activity", "task", "contact"} {
		d, w := s.with(t, defaults)
		refs := write(t, w, Full(1), nil)
		before := d.State(t)
		if refs[ref] == "" || d.Delete == nil {
			continue
		}
		d.Delete(t, ref, refs[ref])
		newer := Revised(Full(1), "not_interested", "Cold")
		newer.Call.Summary = "On second thoughts, no."
		refs = write(t, w, newer, refs)
		write(t, w, Transcribed(1), refs)
		after := d.State(t)
		for what, n := range map[string][2]int{
			"contact":  {len(before.Contacts), len(after.Contacts)},
			"activity": {len(before.Calls), len(after.Calls)},
			"task":     {len(before.Tasks), len(after.Tasks)},
		} {
			want := n[0]
			if what == ref {
				want--
			}
			if ref == "contact" && what != ref {
				continue // some CRMs delete with a contact what hangs on it
			}
			if n[1] != want {
				t.Errorf("after a person deleted the %s there are %d of %s, not %d", ref, n[1], what, want)
			}
		}
	}
}

func (s *suite) noteFoundAgain(t *testing.T) {
	d, w := s.with(t, defaults)
	refs := write(t, w, Full(1), nil)
	write(t, w, Transcribed(1), refs)
	write(t, w, Transcribed(1), refs) // the refs of the transcript were lost with the answer
	write(t, d.Open(t), Transcribed(1), nil)
	if got := d.State(t); len(got.Notes) != 1 || len(got.Calls) != 1 || len(got.Contacts) != 1 {
		t.Errorf("want one of each, got %+v", got)
	}
}
