package sync

import (
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/vinfer-sync/vinfer-sync/store"
)

// phone returns a number as +<country><number> and as dialled inside its country; both empty if it is no possible number.
func phone(raw, region string) (e164, national string) {
	digits, plus := digitsOf(raw)
	// VInfer sends E.164. Indian numbers, the bulk, are told by their shape: the library's tables cost megabytes.
	if plus && len(digits) == 12 && strings.HasPrefix(digits, "91") && digits[2] >= '6' {
		return "+" + digits, digits[2:]
	}
	if len(digits) < 6 {
		return "", ""
	}
	n, err := phonenumbers.Parse(raw, region)
	if err != nil || !phonenumbers.IsPossibleNumber(n) {
		return "", ""
	}
	return phonenumbers.Format(n, phonenumbers.E164), phonenumbers.GetNationalSignificantNumber(n)
}

func digitsOf(raw string) (digits string, plus bool) {
	raw = strings.TrimSpace(raw)
	plus = strings.HasPrefix(raw, "+")
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, raw), plus
}

// lane returns the lane of a contact: calls to one number share it however the number is spelled. A call without a
// number has one of its own.
func (e *Engine) lane(rawPhone, callID string) store.Lane {
	if rawPhone == "" {
		return laneOf(e.o.Store.Salt(), "call:"+callID)
	}
	return laneOf(e.o.Store.Salt(), phoneLane+phoneKey(rawPhone, e.o.Region))
}

// phoneLane begins the names of lanes of phone numbers.
const phoneLane = "phone:"

// phoneKey is the one spelling of a number: in international form where that can be told.
func phoneKey(raw, region string) string {
	if digits, plus := digitsOf(raw); plus && len(digits) >= 8 {
		return "+" + digits
	}
	if e164, _ := phone(raw, region); e164 != "" {
		return e164
	}
	return strings.ToLower(strings.TrimSpace(raw))
}
