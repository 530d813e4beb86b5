package crmtest

import (
	"context"
	"fmt"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// noNumbers are what switches and people put where there is no number.
var noNumbers = []string{"anonymous", "Restricted", "null", "N/A", "-", "+266696687", "sip:anonymous@anonymous.invalid"}

// wordForNumber has calls of strangers who withheld their numbers: they share no contact, and none is made.
func (s *suite) wordForNumber(t *testing.T) {
	d, w := s.with(t, defaults)
	d.AddContact(t, Contact{Phone: contact(2).E164, Name: "Somebody else"})
	want := d.State(t).Contacts
	for i, word := range noNumbers {
		e := Completed(i + 1)
		e.Call.Contact = crm.Contact{Phone: word, Name: e.Call.Contact.Name}
		e.DoNotCall = i == 0
		err := w.Write(context.Background(), e, crm.NewProgress(nil, nil))
		if v := crm.VerdictOf(err); v != crm.Delivered && v != crm.Skip { // some kinds keep no call without its contact
			t.Errorf("%q: %v", word, err)
		}
	}
	got := d.State(t)
	if fmt.Sprint(got.Contacts) != fmt.Sprint(want) {
		t.Errorf("got %+v", got.Contacts)
	}
	for _, c := range got.Calls {
		if c.Contact != "" {
			t.Errorf("the call of a stranger is %+v", c)
		}
	}
}

func wordsForNumbers(_ *testing.T, r *rules) {
	for i, word := range noNumbers {
		e := of(Completed(i+1), crm.Contact{Phone: word, Name: fmt.Sprint("Stranger ", i)})
		e.DoNotCall = i == 0
		r.put(e)
	}
	r.expect("SELECT count(*), count(DISTINCT name) FROM contacts", len(noNumbers), len(noNumbers))
	r.expect("SELECT count(*) FROM contacts WHERE do_not_call", 1)
}
