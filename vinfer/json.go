package vinfer

import (
	"bytes"
	"encoding/json"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxMembers is how many members an object may have. A longer object counts as not readable.
const maxMembers = 10_000

// object is the members of a JSON object in their order, still encoded. Names are matched exactly, which encoding/json's
// structs do not do ("ID" is not "id"), and numbers keep all their digits. It points into the body that it was read from.
type object []member

type member struct {
	name  []byte
	value json.RawMessage
}

// get returns the value of a name, nil if there is none. Of a name that comes twice the last value counts, as nearly
// every JSON reader has it.
func (o object) get(name string) json.RawMessage {
	for i := len(o) - 1; i >= 0; i-- {
		if string(o[i].name) == name {
			return o[i].value
		}
	}
	return nil
}

// asObject reads an object out of a document that is known to be JSON; ok is false when raw is something else.
func asObject(raw json.RawMessage) (o object, ok bool) { return object(nil).read(raw) }

// read is asObject with the members appended to o, which may have room for them on the caller's stack.
//
// The document is taken apart in place: no level of it is decoded anew, which is what makes a page cheap to read.
func (o object) read(raw json.RawMessage) (_ object, ok bool) {
	if kind(raw) != '{' {
		return nil, false
	}
	i := bytes.IndexByte(raw, '{') + 1
	for {
		i = skipBlank(raw, i)
		if i < len(raw) && raw[i] == '}' {
			return o, true
		}
		end := skipValue(raw, i)
		if end < 0 || end-i < 2 || raw[i] != '"' {
			return nil, false
		}
		name := raw[i+1 : end-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			name = []byte(unquote(raw[i:end]))
		}
		i = skipBlank(raw, end)
		if i >= len(raw) || raw[i] != ':' {
			return nil, false
		}
		i = skipBlank(raw, i+1)
		if end = skipValue(raw, i); end < 0 {
			return nil, false
		}
		if len(o) == maxMembers {
			return nil, false
		}
		o = append(o, member{name, raw[i:end]})
		i = skipBlank(raw, end)
		if i < len(raw) && raw[i] == ',' {
			i++
		}
	}
}

// elements yields the elements of an array in a document that is known to be JSON, and nothing of what is no array.
func elements(raw json.RawMessage) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		if kind(raw) != '[' {
			return
		}
		i := bytes.IndexByte(raw, '[') + 1
		for {
			i = skipBlank(raw, i)
			end := skipValue(raw, i) // below 0 at the closing bracket
			if end < 0 || !yield(raw[i:end]) {
				return
			}
			i = skipBlank(raw, end)
			if i < len(raw) && raw[i] == ',' {
				i++
			}
		}
	}
}

func skipBlank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// skipValue returns where the value that begins at i ends, below 0 if it does not.
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		for depth := 0; i < len(b); i++ {
			switch b[i] {
			case '"':
				if i = skipString(b, i) - 1; i < 0 {
					return -1
				}
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
		return -1
	case '}', ']', ',', ':':
		return -1
	default:
		for i < len(b) && !delimits(b[i]) {
			i++
		}
		return i
	}
}

func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return -1
}

// unquote decodes a JSON string. What is not UTF-8 in it is replaced.
func unquote(raw []byte) string {
	if len(raw) >= 2 && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// kind returns the first byte of a JSON value, 'n' for null or none.
func kind(raw json.RawMessage) byte {
	if i := skipBlank(raw, 0); i < len(raw) {
		return raw[i]
	}
	return 'n'
}

// text reads a string, or a number by its own digits. Anything else, and a string of blanks, is empty.
func text(raw json.RawMessage) string {
	switch k := kind(raw); {
	case k == '"':
		return strings.TrimSpace(unquote(bytes.TrimSpace(raw)))
	case k == '-' || k >= '0' && k <= '9':
		return string(bytes.TrimSpace(raw))
	default:
		return ""
	}
}

// text returns the first of the named values that is text.
func (o object) text(names ...string) string {
	for _, n := range names {
		if s := text(o.get(n)); s != "" {
			return s
		}
	}
	return ""
}

// label is text for what some servers wrap in an object: {"name": …}.
func (o object) label(names ...string) string {
	for _, n := range names {
		if s := text(o.get(n)); s != "" {
			return s
		}
		if w, ok := asObject(o.get(n)); ok {
			if s := w.text("value", "label", "name", "id", "overall", "score"); s != "" {
				return s
			}
		}
	}
	return ""
}

// number reads a finite number from the first of the named values that is one, be it as text; else nil.
func (o object) number(names ...string) *float64 {
	for _, n := range names {
		if f, ok := number(text(o.get(n))); ok {
			return &f
		}
	}
	return nil
}

// number reads a finite decimal number. Text that is not a number is recognised first, because the errors of strconv cost a copy of it.
func number(s string) (f float64, ok bool) {
	if s == "" || strings.Trim(s, "0123456789.eE+-") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// id reads an identifier as it stands, number or text. The result is empty if there is none, if characters of it were lost, so that it
// may equal another one, or if it has control characters or more than 256 bytes.
func (o object) id(names ...string) string {
	for _, n := range names {
		s := text(o.get(n))
		if s == "" {
			continue
		}
		if len(s) > 256 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
			return r < ' ' || r == 0x7f || r == utf8.RuneError
		}) {
			return ""
		}
		return s
	}
	return ""
}

// phone reads a phone number. One that came as a JSON number may be written with an exponent.
func (o object) phone(names ...string) string {
	s := o.text(names...)
	if strings.ContainsAny(s, "eE") {
		if f, ok := number(s); ok && f > 0 && f < 1e16 {
			return strconv.FormatFloat(f, 'f', 0, 64)
		}
	}
	return s
}

// truthy reports whether a value is something else than null, false, 0, "", {} or [].
func truthy(raw json.RawMessage) bool {
	switch string(bytes.Join(bytes.Fields(raw), nil)) {
	case "", "null", "false", "0", `""`, "{}", "[]":
		return false
	}
	return true
}
