package sync

import (
	"encoding/json"
	"fmt"

	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// content is the body of a job and of a watch: what the store keeps of a call. It is kept as a JSON object of the fields that the call has,
// as the store wants it (see store.Complete and store.Forgetting).
type content struct {
	vinfer.Call
	Transcript *vinfer.Transcript `json:"transcript,omitempty"`
}

func encode(c content) []byte {
	b, err := json.Marshal(c)
	if err != nil { // its floats come from JSON and its times from a parser: nothing in it can fail
		panic(fmt.Sprintf("encoding a call: %v", err))
	}
	return b
}

func decode(b []byte) (content, error) {
	var c content
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("stored call: %w", err)
	}
	return c, nil
}

// mergeCalls returns the newer of two readings of a call, completed by the fields that only the older one has.
func mergeCalls(older, newer vinfer.Call) vinfer.Call {
	c, err := decode(store.Complete(encode(content{Call: older}), encode(content{Call: newer})))
	if err != nil {
		return newer
	}
	return c.Call
}
