package phone_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/internal/number/numbertest"
)

var (
	indian   = crm.Contact{Phone: "+919876543210", E164: "+919876543210", National: "9876543210"}
	american = crm.Contact{Phone: "+14155552671", E164: "+14155552671", National: "4155552671"}
	british  = crm.Contact{Phone: "+442079460958", E164: "+442079460958", National: "2079460958"}
	singapor = crm.Contact{Phone: "+6561234567", E164: "+6561234567", National: "61234567"}
	odd      = crm.Contact{Phone: "1800-X"}
)

func TestIs(t *testing.T) {
	for _, test := range []struct {
		contact crm.Contact
		region  string
		stored  string
		want    bool
	}{
		{indian, "", "+919876543210", true},
		{indian, "IN", "919876543210", true},
		{indian, "IN", "9876543210", true},
		{indian, "IN", "09876543210", true},
		{indian, "IN", "00919876543210", true},
		{indian, "IN", "+91 98765 43210", true},
		{indian, "IN", "+91-98765-43210", true},
		{indian, "IN", "(+91) 98765.43210", true},
		{indian, "IN", "98765 43210", true},
		{indian, "IN", "+91 (0) 98765 43210", true},
		{indian, "IN", "tel: 98765-43210", true},
		{indian, "IN", "९८७६५४३२१०", true},
		{indian, "IN", "+91 98765 43210 ext. 12", true},
		{indian, "IN", "022 2345 6789 / 98765 43210", true},
		{indian, "IN", "9876543210, 9876543211", true},
		{indian, "US", "9876543210", false}, // a number of another country by default
		{indian, "US", "919876543210", true},
		{indian, "IN", "+19876543210", false}, // the same last ten digits
		{indian, "IN", "+449876543210", false},
		{indian, "IN", "9876543211", false},
		{indian, "IN", "98765432101", false},
		{indian, "IN", "43210", false},
		{indian, "IN", "", false},
		{indian, "IN", "unknown", false},
		{american, "US", "(415) 555-2671", true},
		{american, "US", "1-415-555-2671", true},
		{american, "US", "415.555.2671", true},
		{american, "IN", "14155552671", true},
		{american, "IN", "4155552671", false},
		{british, "GB", "020 7946 0958", true},
		{british, "GB", "+44 (0)20 7946 0958", true},
		{british, "IN", "02079460958", false},
		{singapor, "SG", "6123 4567", true},
		{odd, "IN", "1800", true},
		{odd, "IN", "18001", false},
		{crm.Contact{}, "IN", "9876543210", false},
		{crm.Contact{}, "IN", "", false},
	} {
		if got := phone.Of(test.contact, test.region).Is(test.stored); got != test.want {
			t.Errorf("%s with region %q: %q is it: %t", test.contact.Phone, test.region, test.stored, got)
		}
	}
}

// Whatever is searched for must be recognised when it is found, where the default region is the number's own.
func TestSpellingsAreTheNumber(t *testing.T) {
	for region, c := range map[string]crm.Contact{"IN": indian, "US": american, "GB": british, "SG": singapor} {
		n := phone.Of(c, region)
		for _, s := range n.Typed() {
			if !n.Is(s) {
				t.Errorf("%s: %q is searched for, and not recognised", region, s)
			}
		}
		if all := n.Spellings(); all[0] != c.E164 || !slices.Contains(all, c.National) || !slices.Contains(all, "0"+c.National) {
			t.Errorf("%s: %q", region, all)
		}
	}
	typed := phone.Of(indian, "IN").Typed()
	for _, s := range []string{"+91 98765 43210", "98765 43210", "98765-43210", "+91-98765-43210", "098765 43210", "987-654-3210"} {
		if !slices.Contains(typed, s) {
			t.Errorf("%q is not searched for: %q", s, typed)
		}
	}
	if typed := phone.Of(american, "US").Typed(); !slices.Contains(typed, "(415) 555-2671") || !slices.Contains(typed, "415-555-2671") {
		t.Errorf("%q", typed)
	}
}

func TestTail(t *testing.T) {
	if got := phone.Of(indian, "").Tail(10); got != "9876543210" {
		t.Error(got)
	}
	if got := phone.Of(singapor, "").Tail(10); got != "61234567" {
		t.Error(got)
	}
	if got := phone.Of(odd, "").Tail(10); got != "1800" {
		t.Error(got)
	}
}

func TestOneOf(t *testing.T) {
	n := phone.Of(indian, "IN")
	if !n.OneOf([]string{"+911140000000", "098765 43210"}) || n.OneOf([]string{"+911140000000"}) || n.OneOf(nil) {
		t.Error("own numbers are not told")
	}
	if z := phone.Of(crm.Contact{}, ""); !z.IsZero() || z.OneOf([]string{""}) || z.E164() != "" || z.String() != "" {
		t.Error("no number is one")
	}
	if s := phone.Of(odd, "").Spellings(); len(s) != 2 || phone.Of(odd, "").String() != "1800-X" {
		t.Errorf("%q", s)
	}
}

// Whatever spelling of a number a CRM holds, it is found to be the number, and never another one.
func TestEverySpellingIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := numbertest.Draw(t, "a"), numbertest.Draw(t, "b")
		n := phone.Of(crm.Contact{Phone: a.E164, E164: a.E164, National: a.National}, a.Region)
		for _, s := range append(a.International(), a.Local()...) {
			if !n.Is(s) {
				t.Errorf("%q is not recognised as %s", s, a.E164)
			}
		}
		if a.E164 == b.E164 {
			return
		}
		for _, s := range b.International() {
			if n.Is(s) {
				t.Errorf("%q is taken for %s", s, a.E164)
			}
		}
	})
}

func TestWordsAreNobody(t *testing.T) {
	for _, s := range numbertest.Words {
		n := phone.Of(crm.Contact{Phone: s}, "IN")
		if !n.IsZero() || n.Is(s) || phone.Of(indian, "IN").Is(s) {
			t.Errorf("%q is a number", s)
		}
	}
}
