package sync

import (
	"crypto/hmac"
	"crypto/sha256"
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
	key := "call:" + callID
	if rawPhone != "" {
		if digits, plus := digitsOf(rawPhone); plus && len(digits) >= 8 {
			key = "phone:+" + digits
		} else if e164, _ := phone(rawPhone, e.o.Region); e164 != "" {
			key = "phone:" + e164
		} else {
			key = "phone:" + strings.ToLower(strings.TrimSpace(rawPhone))
		}
	}
	m := hmac.New(sha256.New, e.o.Store.Salt())
	m.Write([]byte(key))
	var l store.Lane
	copy(l[:], m.Sum(nil))
	return l
}
