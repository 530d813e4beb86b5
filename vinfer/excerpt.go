package vinfer

import (
	"regexp"
	"strings"
	"unicode"
)

const excerptLen = 80 // bytes

// digits is what may be a phone number, whole, cut off or with separators. Words and ids with a few digits stay.
var digits = regexp.MustCompile(`\+?\d(?:[\s().-]{0,2}\d){4,}`)

// excerpt returns the first printable bytes of what a server sent, for an error: in one line, without the secrets, should
// the server repeat them, and without anything that could be a phone number.
func excerpt(b []byte, secrets ...string) string {
	if len(b) > 4096 {
		b = b[:4096]
	}
	s := string(b)
	for _, key := range secrets {
		if key == "" {
			continue
		}
		s = strings.ReplaceAll(s, key, "[redacted]")
		// The head of the key may stand at the cut.
		for n := min(len(key)-1, len(s)); n >= 8; n-- {
			if strings.HasSuffix(s, key[:n]) {
				s = s[:len(s)-n]
				break
			}
		}
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	s = digits.ReplaceAllStringFunc(s, func(d string) string {
		if year.MatchString(d) {
			return d
		}
		return "[…]"
	})
	if len(s) <= excerptLen {
		return s
	}
	cut := 0
	for i, r := range s {
		if i+len(string(r)) > excerptLen {
			break
		}
		cut = i + len(string(r))
	}
	return s[:cut] + "…"
}

// year matches dates, which help to understand an answer and identify nobody.
var year = regexp.MustCompile(`^20\d\d-[01]\d-[0-3]\d$`)
