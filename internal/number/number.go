// Package number tells which telephone number a text is, however people, switches and programs write it. The key of a person, by which
// calls are put in order, contacts are found and people are forgotten, comes from here alone.
package number

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

// Number is a telephone number. The zero Number is none.
type Number struct {
	E164     string // +<country><number>; empty: it is no possible number
	National string // digits as dialled inside the country, without a leading 0; empty when E164 is
	other    string // all that was given, for what is no possible number
}

// Key returns the one spelling of the number; empty: there is none. Two texts with the same key name the same number.
func (n Number) Key() string {
	if n.E164 != "" {
		return n.E164
	}
	return n.other
}

// Parse reads a number as people and switches write it: international or national, with separators, with a bracketed 0, with
// an extension (which is left out), in any script's digits, with format characters, as a tel: or sip: address. region is the
// default one, of numbers without a country code; empty: IN. A text that names no number, as "anonymous" does, is the zero Number.
func Parse(text, region string) Number {
	if region == "" {
		region = "IN"
	}
	text = bare(Plain(text))
	digits, plus := Digits(text), strings.HasPrefix(text, "+")
	if isNone(digits) {
		return Number{}
	}
	// VInfer sends E.164. Numbers of India, the bulk, and of North America are told by their shape: the library's tables cost megabytes.
	if plus && len(digits) == 12 && strings.HasPrefix(digits, "91") && digits[2] >= '6' {
		return Number{E164: "+" + digits, National: digits[2:]}
	}
	if plus && len(digits) == 11 && digits[0] == '1' && digits[1] >= '2' {
		return Number{E164: "+" + digits, National: digits[1:]}
	}
	if len(digits) >= 6 && len(text) <= longest {
		if p := settled(best(readings(text, digits, plus, region), region), region); p != nil {
			return Number{E164: phonenumbers.Format(p, phonenumbers.E164), National: phonenumbers.GetNationalSignificantNumber(p)}
		}
	}
	if strings.ContainsFunc(text, unicode.IsLetter) {
		return Number{other: strings.ToLower(text)} // the name of an extension, perhaps
	}
	return Number{other: digits}
}

// longest is how many bytes a text has at most that is read as a number.
const longest = 250

// readings returns what a text may mean, the likeliest first.
func readings(text, digits string, plus bool, region string) []string {
	all := []string{text}
	if without := trunk.ReplaceAllString(text, " "); without != text {
		all = append(all, without)
	}
	country := strconv.Itoa(phonenumbers.GetCountryCodeForRegion(region))
	if rest := strings.TrimLeft(digits, "0"); !plus && strings.HasPrefix(rest, country) {
		all = append(all, "+"+rest) // the country's code without a plus
	}
	return all
}

// best returns the first reading that is a number in use, else the first that is a possible one; nil: none is.
func best(readings []string, region string) (found *phonenumbers.PhoneNumber) {
	for _, r := range readings {
		p, err := phonenumbers.Parse(r, region)
		switch {
		case err != nil || !phonenumbers.IsPossibleNumber(p):
		case phonenumbers.IsValidNumber(p):
			return p
		case found == nil:
			found = p
		}
	}
	return found
}

// settled reads a number that is not in use again until it stays the same: of zeros in front each reading may drop one.
func settled(p *phonenumbers.PhoneNumber, region string) *phonenumbers.PhoneNumber {
	for p != nil && !phonenumbers.IsValidNumber(p) {
		again := best([]string{phonenumbers.Format(p, phonenumbers.E164)}, region)
		if again == nil || phonenumbers.Format(again, phonenumbers.E164) == phonenumbers.Format(p, phonenumbers.E164) {
			return again
		}
		p = again
	}
	return p
}

// trunk is the 0 that is dialled inside a country only.
var trunk = regexp.MustCompile(`\(\s*0\s*\)`)

// extension is what is dialled after the call was answered, and parameters of an address. It counts only behind a number.
var extension = regexp.MustCompile(`(?i)^(.*?\d.*?\d.*?\d[\s)]*)(?:[;,#~].*|(?:\s*(?:x|ext|extn|extension|p|w)[\s.:]*\d.*))$`)

// scheme begins an address.
var scheme = regexp.MustCompile(`(?i)^\s*(tel|sips?|callto|whatsapp|phone|pstn):`)

// bare takes a number out of an address and cuts its extension off.
func bare(text string) string {
	if strings.Trim(text, "+0123456789 ") == "" {
		return strings.TrimSpace(text) // as nearly all are written
	}
	if open := strings.LastIndexByte(text, '<'); open >= 0 { // "Priya" <sip:+919876543210@example.com>
		text, _, _ = strings.Cut(text[open+1:], ">")
	}
	if m := scheme.FindString(text); m != "" {
		text = strings.TrimPrefix(text[len(m):], "//")
		if plain, err := url.PathUnescape(text); err == nil {
			text = Plain(plain)
		}
	}
	user, _, address := strings.Cut(text, "@")
	text, context := withoutContext(user)
	if address && strings.ContainsFunc(text, unicode.IsLetter) {
		return "" // somebody's name at a switch
	}
	if m := extension.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	text = strings.TrimSpace(text)
	if context != "" && !strings.HasPrefix(text, "+") {
		text = context + text
	}
	return text
}

// withoutContext cuts the country of a local tel: address off: 98765-43210;phone-context=+91.
func withoutContext(text string) (number, country string) {
	number, parameters, is := strings.Cut(text, ";")
	if !is {
		return text, ""
	}
	for p := range strings.SplitSeq(parameters, ";") {
		if v, ok := strings.CutPrefix(strings.ToLower(p), "phone-context="); ok && strings.HasPrefix(v, "+") {
			return number, v
		}
	}
	return number, ""
}

// Plain returns a text with the digits, signs and spaces of all scripts as ASCII has them, and without characters that are not seen.
func Plain(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r < 0x80:
			if r < ' ' && !unicode.IsSpace(r) || r == 0x7f {
				return -1
			}
			return r
		case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Cc, r), unicode.Is(unicode.Mn, r):
			return -1
		case unicode.Is(unicode.Nd, r):
			return digit(r)
		case unicode.IsSpace(r):
			return ' '
		case unicode.Is(unicode.Pd, r), r == '\u2212', r == '\u30fc':
			return '-'
		case r >= '\uff01' && r <= '\uff5e': // full width
			return r - '\uff01' + '!'
		case r == '\ufe62' || r == '\u207a': // other plus signs
			return '+'
		}
		return r
	}, text)
	return strings.TrimSpace(text)
}

// Digits returns the digits of s, in whatever script they are written, as 0 to 9.
func Digits(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9':
			return r
		case r < 0x80 || !unicode.Is(unicode.Nd, r):
			return -1
		}
		return digit(r)
	}, s)
}

// digit returns a decimal digit of any script as 0 to 9. Each range of the tables holds the ten digits of one or more scripts, zero first.
func digit(r rune) rune {
	for _, t := range unicode.Nd.R16 {
		if r >= rune(t.Lo) && r <= rune(t.Hi) {
			return '0' + (r-rune(t.Lo))%10
		}
	}
	for _, t := range unicode.Nd.R32 {
		if r >= rune(t.Lo) && r <= rune(t.Hi) {
			return '0' + (r-rune(t.Lo))%10
		}
	}
	return -1
}

// words that switches send for a number that is withheld, spelled on a telephone's keys.
var words = keys("anonymous", "unknown", "restricted", "unavailable", "private", "withheld", "blocked", "nobody", "noname")

// keys spells words as the keys of a telephone do.
func keys(words ...string) []string {
	const key = "22233344455566677778889999"
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.Map(func(r rune) rune { return rune(key[r-'a']) }, w)
	}
	return out
}

// isNone tells whether digits are no number at all: none, only zeros, or a word that switches send for a number that is withheld.
func isNone(digits string) bool {
	return strings.Trim(digits, "0") == "" || slices.Contains(words, digits)
}
