package store

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/internal/number"
)

// Bodies are JSON objects. Of their members the store knows two, which Forgetting looks at: "id" of the call, and "phone" as it was sent.

// Complete returns the newer body completed by the members that only the older one has. What is no JSON object is completed by nothing.
func Complete(older, newer []byte) []byte {
	var o, n map[string]json.RawMessage
	if json.Unmarshal(older, &o) != nil || json.Unmarshal(newer, &n) != nil || n == nil {
		return newer
	}
	for member := range o {
		if _, has := n[member]; has {
			delete(o, member)
		}
	}
	if len(o) == 0 {
		return newer
	}
	maps.Copy(n, o)
	b, err := json.Marshal(n)
	if err != nil {
		return newer
	}
	return b
}

// Forgetting says which calls to forget: those with the ids, and those of one person.
type Forgetting struct {
	IDs    []string
	Lane   Lane      // of the person; zero: nobody's
	Field  Field     // fingerprint of the person's number, as rows have it; Tag 0: none
	Number string    // the key of the person's number (see internal/number); empty: nobody's
	Region string    // the default region of the numbers in bodies and texts
	At     time.Time // calls of the person that ended until then are not taken again, whoever shows them
	Dry    bool      // nothing is erased: it is only told what would be
}

// IsAbout tells whether a body is of one of the calls, or of a call with the person.
func (f *Forgetting) IsAbout(body []byte) bool {
	var c struct{ ID, Phone string }
	if json.Unmarshal(body, &c) != nil || c.ID == "" {
		return f.IsMentionedIn(body)
	}
	return f.Number != "" && number.Parse(c.Phone, f.Region).Key() == f.Number || slices.Contains(f.IDs, c.ID)
}

var numberLike = regexp.MustCompile(`\+?\d[\d\s().-]{4,24}\d`)

// IsMentionedIn tells whether the person's number, in any spelling, or one of the ids stands in a text.
func (f *Forgetting) IsMentionedIn(text []byte) bool {
	if slices.ContainsFunc(f.IDs, func(id string) bool { return hasWord(text, id) }) {
		return true
	}
	tail := number.Digits(f.Number)
	tail = tail[max(0, len(tail)-10):]
	if len(tail) < 6 {
		return false
	}
	for _, n := range numberLike.FindAllString(number.Plain(string(text)), -1) {
		if strings.HasSuffix(number.Digits(n), tail) {
			return true
		}
	}
	return false
}

// hasWord tells whether an id stands in a text, and not as a part of another one.
func hasWord(text []byte, id string) bool {
	for at := 0; id != ""; {
		i := bytes.Index(text[at:], []byte(id))
		if i < 0 {
			return false
		}
		from, to := at+i, at+i+len(id)
		if (from == 0 || !wordByte(text[from-1])) && (to == len(text) || !wordByte(text[to])) {
			return true
		}
		at = from + 1
	}
	return false
}

func wordByte(c byte) bool {
	return c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
