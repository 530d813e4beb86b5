// Package mask hides phone numbers in what people and logs see.
package mask

import (
	"regexp"
	"slices"
)

var phones = regexp.MustCompile(`\+\d[\d\s()-]{6,18}\d|\b\d{10,15}\b`)

// Phone returns a phone number with all its digits but the last two replaced.
func Phone(s string) string {
	b := []byte(s)
	shown := 2
	for i, c := range slices.Backward(b) {
		switch {
		case c < '0' || c > '9':
		case shown > 0 && len(b) > 4:
			shown--
		default:
			b[i] = 'x'
		}
	}
	return string(b)
}

// Phones returns s with all but the last two digits of everything that looks like a phone number replaced.
func Phones(s string) string {
	return phones.ReplaceAllStringFunc(s, func(p string) string {
		b := []byte(p)
		for i := range b[:len(b)-2] {
			if b[i] >= '0' && b[i] <= '9' {
				b[i] = 'x'
			}
		}
		return string(b)
	})
}
