// Package mask hides phone numbers in what people and logs see.
package mask

import "regexp"

var phones = regexp.MustCompile(`\+\d[\d\s()-]{6,18}\d|\b\d{10,15}\b`)

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
