package crmtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Meanwhile is what people do in a CRM between two calls. What a CRM does not have is nil.
type Meanwhile struct {
	Convert  func(t *testing.T, contact string) string  // makes of a lead a contact that has its number, and returns the contact's id
	Merge    func(t *testing.T, loser, survivor string) // moves what hangs on the loser to the survivor, and deletes the loser
	Follows  bool                                       // a call tells to whom it has moved, whatever the survivor's number is
	Reassign func(t *testing.T, contact string)         // gives a contact to another user
	Owner    func(t *testing.T, contact string) string  // tells whose contact it is
	Rename   func(t *testing.T, status, name string)    // gives a lead status another name; nil: any name is taken
	Hide     func(t *testing.T)                         // takes the field of the lead status away: renamed, or hidden from the user who writes
}

// runMeanwhile holds the writers to what is right after people have worked in the CRM between two calls.
func (s *suite) runMeanwhile(t *testing.T) {
	if !s.NoDoNotCall {
		t.Run("do not call follows a converted lead", s.wishAfterConversion)
		t.Run("do not call reaches every contact of the number", s.wishOfMany)
		t.Run("do not call outlives a deleted contact", s.wishAfterDeletion)
		t.Run("do not call of an older call outlives a deleted contact", s.wishOfAnOlderCall)
		t.Run("do not call of an older call reaches a newer contact", s.wishReachesANewerContact)
	}
	t.Run("a lost state sets no status again", s.lostState)
	t.Run("a lead status that was renamed", s.renamedStatus)
	t.Run("a lead status whose field is gone", s.hiddenStatus)
	t.Run("a merged contact", func(t *testing.T) { s.mergedContact(t, contact(1).E164) })
	t.Run("a contact merged into another number", func(t *testing.T) { s.mergedContact(t, contact(8).E164) })
	t.Run("a contact of another user", s.reassigned)
	t.Run("an owner who has left", s.unknownOwner)
}

// refused returns the entry of a contact who does not want to be called again.
func refused(e crm.Entry) crm.Entry {
	e = Revised(e, "dnc", "Cold")
	e.DoNotCall = true
	return e
}

func (s *suite) wishAfterConversion(t *testing.T) {
	d, w := s.with(t, defaults)
	if d.Meanwhile.Convert == nil {
		return
	}
	refs := write(t, w, Completed(1), nil)
	lead := d.State(t).Contacts[0].ID
	became := d.Meanwhile.Convert(t, lead)
	write(t, w, refused(Completed(1)), refs)
	got := d.State(t)
	if c := contactOf(got, Call{Contact: became}); !c.DoNotCall {
		t.Errorf("the contact that the lead became can be called: %+v", got.Contacts)
	}
	if len(got.Calls) != 1 || got.Calls[0].Disposition != "do_not_call" {
		t.Errorf("calls %+v", got.Calls)
	}
	// A call that comes after it finds the contact.
	next := Completed(2)
	next.Call.Contact, next.Before = contact(1), refs
	write(t, w, next, nil)
	if after := d.State(t); len(after.Contacts) != len(got.Contacts) || !contactOf(after, Call{Contact: became}).DoNotCall {
		t.Errorf("after the next call: %+v", after.Contacts)
	}
}

func (s *suite) wishOfMany(t *testing.T) {
	if s.NoMany {
		return
	}
	d, w := s.with(t, defaults)
	refs := write(t, w, Completed(1), nil)
	for _, name := range []string{"The same", "The same again"} {
		d.AddContact(t, Contact{Phone: contact(1).E164, Name: name})
	}
	stranger := d.AddContact(t, Contact{Phone: contact(2).E164, Name: "Somebody else"})
	write(t, w, refused(Completed(1)), refs)
	for _, c := range d.State(t).Contacts {
		if c.DoNotCall == (c.ID == stranger) {
			t.Errorf("contact %+v", c)
		}
	}
}

func (s *suite) wishAfterDeletion(t *testing.T) {
	d, w := s.with(t, defaults)
	refs := write(t, w, Completed(1), nil)
	d.Delete(t, "contact", refs["contact"])
	refs = write(t, w, refused(Completed(1)), refs)
	if n := len(d.State(t).Contacts); n != 0 {
		t.Errorf("a deleted contact came back: %d", n)
	}
	for n := range 2 { // the first makes the contact anew, and it is deleted again
		next := Completed(2 + n)
		next.Call.Contact, next.Before = contact(1), refs
		refs = write(t, d.Open(t), next, nil)
		if got := d.State(t).Contacts; len(got) != 1 || !got[0].DoNotCall {
			t.Fatalf("the number's next contact can be called: %+v", got)
		}
		d.Delete(t, "contact", refs["contact"])
	}
}

// handOn does what the engine does with the refs of an older call that was written after a newer one of its number.
func handOn(t *testing.T, older, newer crm.Refs) {
	t.Helper()
	for name, v := range older.OfNumber() {
		if newer[name] == "" {
			newer[name] = v
		}
	}
	if newer[crm.Wish] == "" {
		t.Errorf("the wish is not among the refs: %q", older)
	}
}

func (s *suite) wishOfAnOlderCall(t *testing.T) {
	d, w := s.with(t, defaults)
	older := write(t, w, Completed(1), nil)
	newer := Completed(2)
	newer.Call.Contact, newer.Before = contact(1), older
	before := write(t, w, newer, nil)
	d.Delete(t, "contact", before["contact"])
	entry := refused(Completed(1))
	entry.Before = before
	older = write(t, w, entry, older)
	if n := len(d.State(t).Contacts); n != 0 {
		t.Errorf("a deleted contact came back: %d", n)
	}
	handOn(t, older, before)
	next := Completed(3)
	next.Call.Contact, next.Before = contact(1), before
	write(t, d.Open(t), next, nil)
	if got := d.State(t).Contacts; len(got) != 1 || !got[0].DoNotCall {
		t.Errorf("the number's next contact can be called: %+v", got)
	}
}

// wishReachesANewerContact deletes a call's contact; a newer call of the number makes another, which searches may not show yet, and then the older call's
// disposition changes.
func (s *suite) wishReachesANewerContact(t *testing.T) {
	for _, lagging := range []bool{false, true} {
		d, w := s.with(t, defaults)
		if lagging && d.Lag == nil {
			return
		}
		older := write(t, w, Completed(1), nil)
		d.Delete(t, "contact", older["contact"])
		if lagging {
			d.Lag(true)
		}
		newer := Completed(2)
		newer.Call.Contact, newer.Before = contact(1), older
		before := write(t, d.Open(t), newer, nil)
		entry := refused(Completed(1))
		entry.Before = before
		older = write(t, d.Open(t), entry, older)
		if got := d.State(t).Contacts; len(got) != 1 || !got[0].DoNotCall {
			t.Errorf("lagging %t: the contact can be called: %+v", lagging, got)
		}
		handOn(t, older, before)
	}
}

// lostState writes calls to a CRM that has them already, as after the state was lost or an older one was restored.
func (s *suite) lostState(t *testing.T) {
	d, w := s.with(t, defaults)
	write(t, w, Completed(1), nil)
	id := d.State(t).Contacts[0].ID
	d.SetStatus(t, id, "Old status")
	for range 2 {
		again := Completed(1)
		again.Call.Summary = "It is told in other words by now." // what else has changed is none of the status
		write(t, d.Configured(t, defaults), again, nil)
	}
	if got := d.State(t); len(got.Calls) != 1 || got.Contacts[0].Status != "Old status" {
		t.Errorf("the status that people set since is gone: %+v", got)
	}
	changed := Revised(Completed(1), "not_interested", "Cold")
	refs := write(t, d.Configured(t, defaults), changed, nil)
	if got := d.State(t); len(got.Calls) != 1 || got.Contacts[0].Status != "Cold" || got.Calls[0].Disposition != "not_interested" {
		t.Errorf("another disposition than the one that the CRM has: %+v", got)
	}
	d.SetStatus(t, id, "Old status")
	write(t, w, changed, refs)
	other := Completed(2) // a call that the CRM does not have sets its own
	other.Call.Contact, other.Status = contact(1), "New status"
	write(t, w, other, nil)
	if got := d.State(t); len(got.Calls) != 2 || got.Contacts[0].Status != "New status" {
		t.Errorf("a new call: %+v", got)
	}
}

func (s *suite) renamedStatus(t *testing.T) {
	d, w := s.with(t, defaults)
	if d.Meanwhile.Rename == nil {
		return
	}
	d.Meanwhile.Rename(t, "Hot Lead", "Very hot")
	s.notWritten(t, d, w, Completed(1))
	e := Completed(2)
	e.Status = "Cold"
	write(t, w, e, nil)
}

func (s *suite) hiddenStatus(t *testing.T) {
	d := s.New(t)
	if d.Meanwhile.Hide == nil {
		return
	}
	w := d.Configured(t, defaults)
	known := d.AddContact(t, Contact{Phone: contact(2).E164, Name: "Known already"})
	write(t, w, Completed(3), nil)
	d.Meanwhile.Hide(t)
	for _, fresh := range []bool{false, true} { // the process that knew the field, and one that begins without it
		if fresh {
			w = d.Configured(t, defaults)
		}
		s.notWritten(t, d, w, Completed(1))
		s.notWritten(t, d, w, Completed(2))
	}
	if got := d.State(t); slices.ContainsFunc(got.Calls, func(c Call) bool { return c.Contact == known }) {
		t.Errorf("a call without its status: %+v", got.Calls)
	}
	if c, ok := w.(crm.Checker); ok && len(failed(c)) == 0 {
		t.Error("check finds nothing")
	}
}

// failed returns the failed findings of a check.
func failed(c crm.Checker) []crm.Finding {
	return slices.DeleteFunc(c.Check(context.Background(), []string{"Hot Lead"}), func(f crm.Finding) bool { return f.Err == nil })
}

// notWritten fails the test if an entry is delivered although its status cannot be.
func (s *suite) notWritten(t *testing.T, d Destination, w crm.Writer, e crm.Entry) {
	t.Helper()
	err := w.Write(context.Background(), e, crm.NewProgress(nil, nil))
	if crm.VerdictOf(err) == crm.Retry && err != nil { // what it knew is old: it asks anew
		err = w.Write(context.Background(), e, crm.NewProgress(nil, nil))
	}
	if v := crm.VerdictOf(err); v != crm.Reject && v != crm.Halt {
		t.Errorf("got %s: %v; %+v", v, err, d.State(t))
	}
	AssertNoLeak(t, "a refused status", d.Secrets, fmt.Sprint(err))
}

func (s *suite) mergedContact(t *testing.T, number string) {
	d, w := s.with(t, defaults)
	if d.Meanwhile.Merge == nil || number != contact(1).E164 && !d.Meanwhile.Follows {
		return
	}
	refs := write(t, w, Full(1), nil)
	survivor := d.AddContact(t, Contact{Phone: number, Name: "The survivor"})
	d.Meanwhile.Merge(t, refs["contact"], survivor)
	newer := Revised(Full(1), "not_interested", "Cold")
	refs = write(t, w, newer, refs)
	write(t, w, Transcribed(1), refs)
	got := d.State(t)
	if len(got.Contacts) != 1 || len(got.Calls) != 1 || len(got.Tasks) != 1 || len(got.Notes) != 1 {
		t.Fatalf("want one of each, got %+v", got)
	}
	if c := got.Contacts[0]; c.ID != survivor || c.Status != "Cold" || number == contact(1).E164 && !c.DoNotCall && !s.NoDoNotCall {
		t.Errorf("contact %+v", c)
	}
	if got.Calls[0].Disposition != "not_interested" {
		t.Errorf("the survivor's call keeps its old outcome: %+v", got.Calls)
	}
}

func (s *suite) reassigned(t *testing.T) {
	d, w := s.with(t, defaults)
	if d.Meanwhile.Reassign == nil {
		return
	}
	refs := write(t, w, Completed(1), nil)
	id := d.State(t).Contacts[0].ID
	before := d.Meanwhile.Owner(t, id)
	d.Meanwhile.Reassign(t, id)
	owner := d.Meanwhile.Owner(t, id)
	if owner == before {
		t.Fatalf("the fake did not reassign: %q", owner)
	}
	write(t, w, Revised(Completed(1), "not_interested", "Cold"), refs)
	next := Completed(2)
	next.Call.Contact = contact(1)
	write(t, w, next, nil)
	if got := d.Meanwhile.Owner(t, id); got != owner {
		t.Errorf("the contact went from %q to %q", owner, got)
	}
}

func (s *suite) unknownOwner(t *testing.T) {
	d, w := s.with(t, func(c *crm.Settings) { c.Owner = "nobody@example.com" })
	d.AddContact(t, Contact{Phone: contact(2).E164, Name: "Known already"})
	warnings := 0
	for n := range 3 {
		e := Full(n)
		e.Task.Owner = "somebody.else@example.com"
		p := crm.NewProgress(nil, nil)
		if err := w.Write(context.Background(), e, p); err != nil {
			t.Fatalf("call %d: %v", n, err)
		}
		for _, said := range p.Warnings {
			if strings.Contains(said, "nobody@example.com") {
				warnings++
			}
		}
	}
	if got := d.State(t); len(got.Calls) != 3 || len(got.Tasks) != 3 || warnings != 1 {
		t.Errorf("want three calls and tasks and one warning, got %d warnings, %+v", warnings, got)
	}
	if c, ok := w.(crm.Checker); ok && !slices.ContainsFunc(failed(c), func(f crm.Finding) bool { return f.Subject == "owner" }) {
		t.Error("check does not tell of the owner")
	}
}
