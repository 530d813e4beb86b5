// Package phone finds one telephone number among the many ways in which people type it into a CRM.
//
// A CRM is searched for more than is wanted (Spellings, Typed, Tail), and what it finds is compared exactly (Is): two
// numbers of different countries may share their last ten digits.
package phone

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/number"
)

// Number is the number of a call's contact. The zero Number is none.
type Number struct {
	raw      string // as VInfer sent it
	e164     string // +<country><national>; empty: it is no possible number
	national string // digits inside the country, without a leading 0
	region   string // of numbers without a country code
}

// Of returns the contact's number. region is the default one, of what the CRM holds without a country code; empty: IN.
func Of(c crm.Contact, region string) Number {
	if region == "" {
		region = "IN"
	}
	if c.E164 == "" && number.Parse(c.Phone, region).Key() == "" {
		return Number{}
	}
	n := Number{raw: number.Plain(c.Phone), e164: c.E164, national: c.National, region: region}
	if n.raw == "" {
		n.raw = n.e164
	}
	return n
}

// IsZero tells whether the contact has no number at all, or a word instead of one ("anonymous").
func (n Number) IsZero() bool { return n.raw == "" }

// E164 returns the number in international form; empty when it is no possible one.
func (n Number) E164() string { return n.e164 }

// National returns the digits that are dialled inside the country, without a leading 0; empty when it is no possible number.
func (n Number) National() string { return n.national }

// String returns the number as a CRM is to store it: in international form, or as VInfer sent it.
func (n Number) String() string {
	if n.e164 != "" {
		return n.e164
	}
	return n.raw
}

// Spellings returns the number without separators in every form that a CRM may hold it in, the likeliest first: +<country><number>,
// <country><number>, the number inside the country, with a leading 0, 00<country><number>, the last ten digits, as VInfer sent it.
func (n Number) Spellings() []string {
	if n.e164 == "" {
		return unique(n.raw, number.Digits(n.raw))
	}
	full := n.e164[1:]
	return unique(n.e164, full, n.national, "0"+n.national, "00"+full, n.Tail(10), n.raw)
}

// Typed returns, besides Spellings, the number with spaces, dashes, dots and brackets as people type it. It is for CRMs that keep
// free text and cannot search in digits alone.
func (n Number) Typed() []string {
	all := n.Spellings()
	if n.e164 == "" {
		return all
	}
	parsed, err := phonenumbers.Parse(n.e164, n.region)
	if err != nil {
		return all
	}
	international := phonenumbers.Format(parsed, phonenumbers.INTERNATIONAL) // +91 98765 43210
	national := phonenumbers.Format(parsed, phonenumbers.NATIONAL)           // 098765 43210 or (415) 555-2671
	country := n.country()
	inside := strings.TrimSpace(strings.TrimPrefix(international, country)) // 98765 43210
	for _, group := range []string{inside, halves(n.national), thirds(n.national)} {
		for _, separator := range []string{" ", "-", "."} {
			g := strings.NewReplacer(" ", separator, "-", separator).Replace(group)
			all = append(all, g, "0"+g, country+" "+g, country+"-"+g, country+separator+g)
		}
	}
	for _, g := range []string{n.national, inside, halves(n.national)} {
		all = append(all, "("+country+") "+g, "("+country+") "+strings.ReplaceAll(g, " ", "-"))
	}
	if len(n.national) == 10 {
		area, rest := n.national[:3], n.national[3:6]+"-"+n.national[6:]
		all = append(all, "("+area+") "+rest, "("+area+")"+rest, country+" ("+area+") "+rest)
	}
	return unique(append(all, international, national, country+" "+n.national, country+"-"+n.national)...)
}

// halves writes ten digits as people in India do: 98765 43210.
func halves(s string) string {
	if len(s) != 10 {
		return s
	}
	return s[:5] + " " + s[5:]
}

// thirds writes ten digits as people in North America do: 415 555 2671.
func thirds(s string) string {
	if len(s) != 10 {
		return s
	}
	return s[:3] + " " + s[3:6] + " " + s[6:]
}

// Tail returns the last k digits of the number, or all if it has fewer: what a CRM that searches inside of numbers is asked for.
func (n Number) Tail(k int) string {
	d := number.Digits(n.String())
	if n.e164 != "" && len(n.national) < k {
		d = n.national
	}
	return d[max(len(d)-k, 0):]
}

// Is tells whether what a CRM holds in one of its fields is this number. Several numbers in one field are looked at one by one.
func (n Number) Is(stored string) bool {
	if n.IsZero() {
		return false
	}
	if n.is(strings.TrimSpace(stored)) {
		return true
	}
	for part := range strings.FieldsFuncSeq(stored, func(r rune) bool { return strings.ContainsRune("/,;|\n", r) }) {
		if n.is(strings.TrimSpace(part)) {
			return true
		}
	}
	return false
}

func (n Number) is(stored string) bool {
	stored = number.Plain(stored)
	d := number.Digits(stored)
	if d == "" {
		return false
	}
	if n.e164 == "" {
		return d == number.Digits(n.raw)
	}
	plus := strings.HasPrefix(stored, "+")
	switch full := n.e164[1:]; {
	case d == full, !plus && d == "00"+full:
		return true // no number inside a country looks the same
	case plus && len(d) == len(full), len(d) < len(n.national):
		return false
	case !plus && d == "0"+n.national: // so written even where numbers have no leading 0
		return "+"+strconv.Itoa(phonenumbers.GetCountryCodeForRegion(n.region)) == n.country()
	}
	return number.Parse(stored, n.region).E164 == n.e164
}

// country returns the number's country code with its plus.
func (n Number) country() string { return n.e164[:len(n.e164)-len(n.national)] }

// OneOf tells whether the number is one of list, each in any spelling.
func (n Number) OneOf(list []string) bool { return slices.ContainsFunc(list, n.Is) }

func unique(all ...string) []string {
	var out []string
	for _, s := range all {
		if s != "" && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
