package phone_test

import (
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
)

// FuzzIs compares whatever people type: it never panics, and nothing is the number of a contact that has none.
func FuzzIs(f *testing.F) {
	for _, s := range []string{"+91 98765 43210", "(415) 555-2671 x9", "९८७६", "98/76", "+", "00919876543210", "\xff"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, sent, stored string) {
		_ = phone.Of(indian, "IN").Is(stored)
		raw := phone.Of(crm.Contact{Phone: sent}, "")
		_, _, _ = raw.Is(stored), raw.Typed(), raw.Tail(10)
		if phone.Of(crm.Contact{}, "").Is(stored) {
			t.Errorf("%q is nobody's number", stored)
		}
	})
}
