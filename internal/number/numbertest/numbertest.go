// Package numbertest draws telephone numbers and writes them in the ways in which people and switches do, for the tests of all that
// must recognise a number: lanes, contacts, and who is forgotten.
package numbertest

import (
	"fmt"
	"strings"

	"github.com/nyaruka/phonenumbers"
	"pgregory.net/rapid"
)

// Number is a number in use, and the region that it belongs to.
type Number struct {
	E164, National, Region string
	parsed                 *phonenumbers.PhoneNumber
}

// regions have numbering plans that differ: with and without a trunk prefix, of fixed and of varying length, with leading zeros that count.
var regions = []string{"IN", "IN", "IN", "US", "GB", "DE", "IT", "FR", "AE", "SG", "AU", "BR", "RU", "JP", "CN", "NG", "ZA", "ID", "LK", "NP", "BD"}

// Draw draws a number.
func Draw(t *rapid.T, name string) Number {
	for {
		region := rapid.SampledFrom(regions).Draw(t, name+"'s region")
		kind := rapid.SampledFrom([]phonenumbers.PhoneNumberType{phonenumbers.MOBILE, phonenumbers.FIXED_LINE}).Draw(t, name+"'s type")
		example := phonenumbers.GetExampleNumberForType(region, kind)
		if example == nil {
			continue
		}
		digits := []byte(phonenumbers.GetNationalSignificantNumber(example))
		for i := 3; i < len(digits); i++ {
			digits[i] = byte('0' + rapid.IntRange(0, 9).Draw(t, name+"'s digit"))
		}
		p, err := phonenumbers.Parse(fmt.Sprintf("+%d%s", example.GetCountryCode(), digits), region)
		if err != nil || !phonenumbers.IsValidNumberForRegion(p, region) {
			continue
		}
		return Number{E164: phonenumbers.Format(p, phonenumbers.E164), National: phonenumbers.GetNationalSignificantNumber(p), Region: region, parsed: p}
	}
}

// International returns spellings that name the number whatever the default region is.
func (n Number) International() []string {
	country := fmt.Sprintf("+%d", n.parsed.GetCountryCode())
	spaced := phonenumbers.Format(n.parsed, phonenumbers.INTERNATIONAL)
	all := []string{
		n.E164, spaced, strings.ReplaceAll(spaced, " ", "-"), strings.ReplaceAll(spaced, " ", "."), country + " " + n.National, country + "-" + n.National,
		"(" + country + ") " + n.National, " " + n.E164 + " ",
		phonenumbers.Format(n.parsed, phonenumbers.RFC3966), "TEL:" + n.E164, "tel:" + n.National + ";phone-context=" + country,
		"sip:" + n.E164 + "@example.com", "sips:" + n.E164 + "@example.com:5061;transport=tls", "sip:%2B" + n.E164[1:] + "@10.0.0.1",
		`"Priya 2" <sip:` + n.E164 + `@example.com;user=phone>;tag=1c22`, "callto:" + n.E164,
	}
	if n.trunk() == "0" && n.National[0] != '0' {
		all = append(all, country+" (0) "+n.National, country+"(0)"+n.National, country+" (0)"+strings.TrimSpace(strings.TrimPrefix(spaced, country)))
	}
	return disguised(all)
}

// Local returns spellings that name the number where its own region is the default one.
func (n Number) Local() []string {
	national := phonenumbers.Format(n.parsed, phonenumbers.NATIONAL)
	all := []string{national, strings.ReplaceAll(national, " ", "-"), n.National, "tel:" + n.National, "sip:" + n.National + "@example.com"}
	if n.trunk() == "0" && n.National[0] != '0' {
		all = append(all, "0"+n.National, "(0) "+n.National, "00"+n.E164[1:])
	}
	if n.Region == "IN" { // elsewhere it may be another number of the region
		all = append(all, n.E164[1:], "0"+n.E164[1:])
	}
	return disguised(all)
}

func (n Number) trunk() string {
	if n.Region == "IT" {
		return "" // a leading 0 belongs to the number
	}
	return phonenumbers.GetNddPrefixForRegion(n.Region, true)
}

// disguised adds extensions, other scripts' digits and characters that are not seen.
func disguised(all []string) []string {
	out := all
	for i, s := range all {
		if !strings.ContainsAny(s, "@;:") {
			out = append(out, s+[]string{";ext=5", " x12", " ext. 12", ",,5", "#5", ", 104", " EXT 7", ";ext=12;isub=1"}[i%8])
		}
		script := []string{"०१२३४५६७८९", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "০১২৩৪৫৬৭৮৯", "０１２３４５６７８９", "𝟬𝟭𝟮𝟯𝟰𝟱𝟲𝟳𝟴𝟵"}[i%6]
		if !strings.Contains(s, "%") {
			digits := []rune(script)
			out = append(out, strings.Map(func(r rune) rune {
				if r >= '0' && r <= '9' {
					return digits[r-'0']
				}
				return r
			}, s))
		}
		out = append(out, "\u202a"+s+"\u202c", "\u200e"+s, "\ufeff"+s, strings.ReplaceAll(s, " ", "\u00a0"), strings.ReplaceAll(s, "-", "\u2011"),
			strings.Replace(s, "+", "\u200b+\u200b", 1))
	}
	return out
}

// Words are what switches and people put where there is no number.
var Words = []string{
	"anonymous", "Anonymous", "unknown", "Restricted", "Private", "null", "None", "N/A", "-", "unavailable", "+266696687", "266696687", "+7378742833",
	"sip:anonymous@anonymous.invalid", "\u202aUnknown\u202c", "0000000000", "?", "withheld", "undefined",
}
