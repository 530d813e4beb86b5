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

// utf16Of returns the encoding of a text that begins with these bytes if it is UTF-16: by its byte order mark, or where
// that is declared by where the zero of its first character is; sure: that tells. Nil: it is not.
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

// jsonReader makes UTF-8 of a JSON document in UTF-16, and passes over a byte order mark. The encoding that is returned is
// for strings that are not UTF-8, see repair.
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

// repair reads the strings of a JSON value that are not UTF-8 by the declared encoding. What is UTF-8 stays: many servers
// declare an encoding that they do not use.
func repair(raw []byte, e encoding.Encoding) []byte {
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

// controls counts the bytes that no text in UTF-8 has many of.
func controls(b []byte) (n int) {
	for _, c := range b {
		if c < ' ' {
			n++
		}
	}
	return n
}

// plainText makes UTF-8 of a text. Bytes that cannot be read are replaced.
func plainText(b []byte, contentType string) string {
	declared := charset(contentType)
	e, sure := utf16Of(b, declared)
	valid := utf8.Valid(b)
	switch {
	case e != nil && (sure || !valid || controls(b) > len(b)/4): // every second byte of an Indic letter is one
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
