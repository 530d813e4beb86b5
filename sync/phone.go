package sync

import (
	"github.com/vinfer-sync/vinfer-sync/internal/number"
	"github.com/vinfer-sync/vinfer-sync/store"
)

// lane returns the lane of a contact: calls to one number share it however the number is spelled. A call without a
// number, or with a word instead of one ("anonymous"), has one of its own.
func (e *Engine) lane(rawPhone, callID string) store.Lane {
	key := phoneKey(rawPhone, e.o.Region)
	if key == "" {
		return laneOf(e.salt, "call:"+callID)
	}
	return laneOf(e.salt, phoneLane+key)
}

// phoneLane begins the names of lanes of phone numbers.
const phoneLane = "phone:"

// phoneKey is the one spelling of a number: in international form where that can be told; empty: there is none.
func phoneKey(raw, region string) string { return number.Parse(raw, region).Key() }
