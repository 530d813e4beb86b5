// Package mask hides phone numbers and secrets in what people and logs see.
package mask

import (
	"net/netip"
	"regexp"
	"strings"
	"unicode"
)

// least is how many digits the shortest number has that Phones hides.
const least = 7

// Phone returns a phone number with all its digits but the last two replaced, in whatever script they are.
func Phone(s string) string {
	shown := 2
	if len([]rune(s)) <= 4 {
		shown = 0
	}
	return hide(s, shown)
}

// Phones returns s with all but the last two digits of everything that looks like a phone number replaced, in any script's digits and with
// the usual separators. Ids of calls, dates, UUIDs and addresses stay.
func Phones(s string) string {
	return numbers.ReplaceAllStringFunc(s, func(run string) string {
		if isAddress(run) || date.MatchString(run) {
			return run
		}
		number := strings.ReplaceAll(run, "%20", " ") // a blank in a URL
		digits := 0
		for _, r := range number {
			switch {
			case unicode.IsLetter(r):
				return run
			case unicode.IsDigit(r):
				digits++
			}
		}
		if digits < least {
			return run
		}
		return hide(number, 2)
	})
}

// hide replaces the digits of s but for the last ones.
func hide(s string, shown int) string {
	r := []rune(s)
	for i := len(r) - 1; i >= 0; i-- {
		switch {
		case !unicode.IsDigit(r[i]):
		case shown > 0:
			shown--
		default:
			r[i] = 'x'
		}
	}
	return string(r)
}

// What is left alone comes first: a UUID, a date, an address, an id of VInfer's shape. Then runs of digits as people and programs write
// phone numbers.
var (
	date    = regexp.MustCompile(`^(?:(?:19|20)\d\d-[01]\d-[0-3]\d\b|(?:19|20)\d\d[/_][01]?\d[/_][0-3]?\d$|[0-3]?\d[/_][01]?\d[/_](?:19|20)\d\d$)`)
	numbers = regexp.MustCompile(`(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b` +
		`|\b(?:19|20)\d\d[/_][01]?\d[/_][0-3]?\d\b|\b[0-3]?\d[/_][01]?\d[/_](?:19|20)\d\d\b` +
		`|\b(?:19|20)\d\d-[01]\d-[0-3]\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?\b` +
		`|\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}(?::\d{1,5})?\b` +
		`|\b(?:call?|cmp|camp|job)_[a-z0-9]+` +
		`|\p{Nd}(?:(?:[ \x{a0}()./_+-]|%20){0,3}\p{Nd})*`)
)

func isAddress(s string) bool {
	host, _, _ := strings.Cut(s, ":")
	_, err := netip.ParseAddr(host)
	return err == nil
}
