package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// printable is where commands print. What comes from outside, as a name or what a CRM answers, may hold characters that move the cursor, set
// the terminal's title or turn the direction of the text: they are shown as \u001b, which JSON reads as the same. What the program itself
// does with the terminal goes past it, to rawOf.
type printable struct {
	out  io.Writer
	rest []byte // the beginning of a character whose end is still to come
}

// Write implements io.Writer.
func (p *printable) Write(b []byte) (int, error) {
	text := append(p.rest, b...) //nolint:gocritic // rest is replaced below
	p.rest = nil
	if n := unfinished(text); n > 0 {
		p.rest = bytes.Clone(text[len(text)-n:])
		text = text[:len(text)-n]
	}
	if _, err := p.out.Write([]byte(harmless(string(text)))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// unfinished returns how many bytes at the end of b begin a character.
func unfinished(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if tail := b[len(b)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// harmless returns s with the characters that do something to a terminal written as \u and their number. Line breaks and tabs stay.
func harmless(s string) string {
	if !strings.ContainsFunc(s, acts) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case acts(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		case r == utf8.RuneError && s[i] != "\uFFFD"[0]:
			b.WriteRune('\uFFFD') // a byte that is no character: some terminals take it for a control
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// acts tells whether a terminal does something at a character besides showing it.
func acts(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069', r == '\u2028', r == '\u2029': // direction, line ends
		return true
	}
	return unicode.IsControl(r)
}

// rawOf returns what is behind a printable.
func rawOf(out io.Writer) io.Writer {
	if p, ok := out.(*printable); ok {
		return p.out
	}
	return out
}
