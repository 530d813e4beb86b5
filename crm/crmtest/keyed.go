package crmtest

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

func (s *suite) runKeyed(t *testing.T) {
	t.Run("written twice is one", s.writtenTwice)
	t.Run("a missing field empties nothing", s.missingEmptiesNothing)
	t.Run("a newer revision updates", s.newerUpdates)
	t.Run("the transcript is one note", s.oneNote)
	t.Run("the transcript's older call overwrites nothing", s.transcriptIsOlder)
	t.Run("a call without a number", s.noNumber)
	if !s.NoContacts {
		t.Run("no match makes a contact", s.noMatch)
		t.Run("calls of one contact share it", s.oneContact)
		t.Run("one match takes it", s.oneMatch)
		t.Run("many matches take one", s.manyMatches)
		t.Run("an older call leaves the status", s.olderLeavesStatus)
		t.Run("no status is written without leave", s.noStatusWithoutLeave)
		if !s.NoDoNotCall {
			t.Run("do not call stays", s.doNotCallStays)
		}
	}
}

func (s *suite) writtenTwice(t *testing.T) {
	d, w := s.open(t)
	refs := write(t, w, Full(1), nil)
	want := describe(d.State(t))
	again := Full(1)
	again.Attempt = 2
	write(t, w, again, refs)
	write(t, d.Open(t), again, nil) // the refs were lost with the answer
	if got := describe(d.State(t)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := d.State(t); len(got.Calls) != 1 || len(got.Tasks) != 1 {
		t.Errorf("want one call and one task, got %+v", got)
	}
}

func (s *suite) missingEmptiesNothing(t *testing.T) {
	d, w := s.open(t)
	refs := write(t, w, Full(1), nil)
	want := describe(d.State(t))
	bare := crm.Entry{Event: crm.CallUpdated, Key: "cal-test00001-updated-2", Revision: 2, Attempt: 1}
	bare.Call = crm.Call{ID: Full(1).Call.ID, EndedAt: Full(1).Call.EndedAt, Contact: Full(1).Call.Contact}
	bare.Call.Contact.Name = ""
	refs = write(t, w, bare, refs)
	if got := describe(d.State(t)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	bare.Call = crm.Call{ID: bare.Call.ID}
	write(t, w, bare, refs)
	if got := describe(d.State(t)); got != want {
		t.Errorf("without a contact: got\n%s\nwant\n%s", got, want)
	}
}

func (s *suite) newerUpdates(t *testing.T) {
	d, w := s.open(t)
	refs := write(t, w, Completed(1), nil)
	newer := Revised(Completed(1), "not_interested", "Cold")
	newer.Call.Summary = "On second thoughts, no."
	write(t, w, newer, refs)
	got := d.State(t)
	if len(got.Calls) != 1 || got.Calls[0].Disposition != "not_interested" || got.Calls[0].Summary != newer.Call.Summary {
		t.Errorf("calls %+v", got.Calls)
	}
	if !s.NoContacts && (len(got.Contacts) != 1 || got.Contacts[0].Status != "Cold") {
		t.Errorf("contacts %+v", got.Contacts)
	}
}

func (s *suite) oneNote(t *testing.T) {
	d, w := s.open(t)
	refs := write(t, w, Full(1), nil)
	refs = write(t, w, Transcribed(1), refs)
	write(t, w, Transcribed(1), refs)
	write(t, d.Open(t), Transcribed(1), refs)
	got := d.State(t)
	if len(got.Notes) != 1 || got.Notes[0].Call != Full(1).Call.ID || got.Notes[0].Text != Transcribed(1).Transcript.Text {
		t.Errorf("notes %+v", got.Notes)
	}
	if len(got.Calls) != 1 || len(got.Tasks) != 1 {
		t.Errorf("want one call and one task, got %+v", got)
	}
}

func (s *suite) transcriptIsOlder(t *testing.T) {
	d, w := s.open(t)
	refs := write(t, w, Completed(1), nil)
	refs = write(t, w, Revised(Completed(1), "not_interested", "Cold"), refs)
	tr := Transcribed(1)
	tr.Call = Completed(1).Call
	write(t, w, tr, refs)
	got := d.State(t)
	if len(got.Calls) != 1 || got.Calls[0].Disposition != "not_interested" {
		t.Errorf("calls %+v", got.Calls)
	}
	if !s.NoContacts && got.Contacts[0].Status != "Cold" {
		t.Errorf("contacts %+v", got.Contacts)
	}
}

func (s *suite) noNumber(t *testing.T) {
	d, w := s.open(t)
	if s.NoAnonymous {
		e := Completed(1)
		e.Call.Contact = crm.Contact{}
		err := w.Write(context.Background(), e, crm.NewProgress(nil, nil))
		if got := d.State(t); crm.VerdictOf(err) != crm.Skip || len(got.Calls)+len(got.Contacts) != 0 {
			t.Errorf("got %v, %+v", err, got)
		}
		return
	}
	for n := range 2 {
		e := Completed(n)
		e.Call.Contact = crm.Contact{}
		write(t, w, e, nil)
		write(t, w, e, nil)
	}
	if got := d.State(t); len(got.Calls) != 2 || !s.NoContacts && got.Calls[0].Contact == got.Calls[1].Contact && got.Calls[0].Contact != "" {
		t.Errorf("want two calls of nobody in particular, got %+v", got)
	}
}

func (s *suite) noMatch(t *testing.T) {
	d, w := s.open(t)
	if f, ok := w.(crm.Finder); ok {
		if m, err := f.Find(context.Background(), contact(1)); err != nil || m.ID != "" {
			t.Errorf("find: %+v, %v", m, err)
		}
	}
	write(t, w, Completed(1), nil)
	got := d.State(t)
	if len(got.Contacts) != 1 || got.Contacts[0].Phone != contact(1).E164 || got.Contacts[0].Name != contact(1).Name || got.Contacts[0].Status != "Hot Lead" {
		t.Errorf("contacts %+v", got.Contacts)
	}
	if len(got.Calls) != 1 || got.Calls[0].Contact != got.Contacts[0].ID {
		t.Errorf("calls %+v", got.Calls)
	}
}

func (s *suite) oneContact(t *testing.T) {
	d, w := s.open(t)
	for n := range 3 {
		e := Completed(n)
		e.Call.Contact = contact(7)
		write(t, w, e, nil)
	}
	if got := d.State(t); len(got.Contacts) != 1 || len(got.Calls) != 3 {
		t.Errorf("want one contact and three calls, got %+v", got)
	}
}

func (s *suite) oneMatch(t *testing.T) {
	d, w := s.open(t)
	if d.AddContact == nil {
		return
	}
	id := d.AddContact(t, Contact{Phone: contact(1).E164, Name: "As typed by hand"})
	d.AddContact(t, Contact{Phone: contact(2).E164, Name: "Somebody else"})
	if f, ok := w.(crm.Finder); ok {
		m, err := f.Find(context.Background(), contact(1))
		if err != nil || m.ID != id || m.Count != 1 {
			t.Errorf("find: %+v, %v; want %s", m, err, id)
		}
		if strings.Contains(m.Label, contact(1).National) {
			t.Errorf("the label shows the number: %q", m.Label)
		}
	}
	write(t, w, Completed(1), nil)
	got := d.State(t)
	if len(got.Contacts) != 2 || len(got.Calls) != 1 || got.Calls[0].Contact != id {
		t.Errorf("got %+v", got)
	}
	if c := contactOf(got, got.Calls[0]); c.Name != "As typed by hand" || c.Status != "Hot Lead" {
		t.Errorf("contact %+v", c)
	}
}

func (s *suite) manyMatches(t *testing.T) {
	d, w := s.open(t)
	if s.NoMany || d.AddContact == nil {
		return
	}
	for _, name := range []string{"One", "Two"} {
		d.AddContact(t, Contact{Phone: contact(1).E164, Name: name})
	}
	refs := write(t, w, Completed(1), nil)
	write(t, w, Revised(Completed(1), "not_interested", "Cold"), refs)
	if got := d.State(t); len(got.Contacts) != 2 || len(got.Calls) != 1 {
		t.Errorf("want two contacts and one call, got %+v", got)
	}
}

func (s *suite) olderLeavesStatus(t *testing.T) {
	d, w := s.open(t)
	newer, older := Completed(2), Completed(1)
	newer.Call.Contact, older.Call.Contact = contact(1), contact(1)
	newer.Status, older.Status = "New status", "Old status"
	older.SetStatus, older.Late = false, true
	write(t, w, newer, nil)
	refs := write(t, w, older, nil)
	older = Revised(older, "not_interested", "Old again")
	write(t, w, older, refs)
	got := d.State(t)
	if len(got.Calls) != 2 || len(got.Contacts) != 1 || got.Contacts[0].Status != "New status" {
		t.Errorf("got %+v", got)
	}
}

func (s *suite) noStatusWithoutLeave(t *testing.T) {
	d, w := s.open(t)
	e := Completed(1)
	e.SetStatus = false
	refs := write(t, w, e, nil)
	e = Revised(e, "unmapped", "")
	e.SetStatus = true
	write(t, w, e, refs)
	if got := d.State(t); len(got.Contacts) != 1 || got.Contacts[0].Status == "Hot Lead" {
		t.Errorf("contacts %+v", got.Contacts)
	}
}

func (s *suite) doNotCallStays(t *testing.T) {
	d, w := s.open(t)
	write(t, w, Full(1), nil)
	later := Completed(2)
	later.Call.Contact = contact(1)
	write(t, w, later, nil)
	if got := d.State(t); len(got.Contacts) != 1 || !got.Contacts[0].DoNotCall {
		t.Errorf("contacts %+v", got.Contacts)
	}
}

func contactOf(s State, c Call) Contact {
	for _, p := range s.Contacts {
		if p.ID == c.Contact {
			return p
		}
	}
	return Contact{}
}

// describe writes a state without the ids that the destination gave, sorted, for comparison.
func describe(s State) string {
	var lines []string
	for _, c := range s.Contacts {
		lines = append(lines, fmt.Sprintf("contact %q %q %q %t", c.Phone, c.Name, c.Status, c.DoNotCall))
	}
	for _, c := range s.Calls {
		lines = append(lines, fmt.Sprintf("call %q of %q: %q %q %q", c.ID, contactOf(s, c).Phone, c.Disposition, c.Summary, c.Rest))
	}
	for _, n := range s.Notes {
		lines = append(lines, fmt.Sprintf("note of %q: %q", n.Call, n.Text))
	}
	for _, k := range s.Tasks {
		lines = append(lines, fmt.Sprintf("task of %q: %q", k.Call, k.Title))
	}
	for _, d := range s.Deliveries {
		lines = append(lines, fmt.Sprintf("delivery %q %q %q", d.Key, d.Event, d.Body))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
