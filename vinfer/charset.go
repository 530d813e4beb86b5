package vinfer

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

const utf8BOM = "\xef\xbb\xbf"

// charset returns the encoding that a content type declares; nil: UTF-8, none, or one that is not known.
func charset(contentType string) encoding.Encoding {
	_, params, _ := mime.ParseMediaType(contentType)
	e, err := htmlindex.Get(params["charset"])
	if err != nil || e == unicode.UTF8 {
		return nil
	}
	return e
}

// utf16Of returns the encoding of a text in UTF-16 by its first bytes; nil if the text is not in UTF-16. The byte order mark decides, or,
// where UTF-16 is declared, the place of the zero in the first character. sure is false where nothing but the declaration says UTF-16.
func utf16Of(begin []byte, declared encoding.Encoding) (e encoding.Encoding, sure bool) {
	if len(begin) < 2 {
		return nil, true
	}
	if mark := string(begin[:2]); mark == "\xff\xfe" || mark == "\xfe\xff" {
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM), true
	}
	name := ""
	if declared != nil {
		name, _ = htmlindex.Name(declared)
	}
	switch {
	case !strings.HasPrefix(name, "utf-16"):
		return nil, true
	case begin[0] == 0:
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), true
	case begin[1] == 0:
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), true
	default:
		return declared, false
	}
}

// jsonReader converts a JSON document in UTF-16 to UTF-8, and skips a byte order mark. The returned encoding is for strings that are not
// UTF-8: see recode.
func jsonReader(r io.Reader, contentType string) (io.Reader, encoding.Encoding) {
	declared := charset(contentType)
	b := bufio.NewReaderSize(r, 4<<10)
	begin, _ := b.Peek(3)
	// JSON begins with an ASCII character: without a zero beside it, it is not UTF-16, whatever is declared.
	if e, sure := utf16Of(begin, declared); e != nil && sure {
		return transform.NewReader(b, e.NewDecoder()), nil
	}
	if string(begin) == utf8BOM {
		_, _ = b.Discard(len(utf8BOM))
	}
	return b, declared
}

// recode reads the strings of a JSON value that are not UTF-8 by the declared encoding. Strings in UTF-8 stay: many servers declare an
// encoding that they do not use.
func recode(raw []byte, e encoding.Encoding) []byte {
	if e == nil || utf8.Valid(raw) {
		return raw
	}
	var out []byte
	for i := 0; i < len(raw); {
		end := i + 1
		if raw[i] == '"' {
			if end = skipString(raw, i); end < 0 {
				end = len(raw)
			}
		}
		piece := raw[i:end]
		if !utf8.Valid(piece) {
			if b, err := e.NewDecoder().Bytes(piece); err == nil {
				piece = b
			}
		}
		out = append(out, piece...)
		i = end
	}
	return out
}

// countControls counts control characters, of which no text in UTF-8 has many.
func countControls(b []byte) (n int) {
	for _, c := range b {
		if c < ' ' {
			n++
		}
	}
	return n
}

// plainText converts a text to UTF-8. Bytes that cannot be read are replaced.
func plainText(b []byte, contentType string) string {
	declared := charset(contentType)
	e, sure := utf16Of(b, declared)
	valid := utf8.Valid(b)
	switch {
	case e != nil && (sure || !valid || countControls(b) > len(b)/4): // every second byte of an Indic letter is one
	case valid:
		return string(bytes.TrimPrefix(b, []byte(utf8BOM)))
	default:
		e = declared
	}
	if e != nil {
		if out, err := e.NewDecoder().Bytes(b); err == nil {
			return string(out)
		}
	}
	return strings.ToValidUTF8(string(bytes.TrimPrefix(b, []byte(utf8BOM))), "\uFFFD")
}
