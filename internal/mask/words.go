package mask

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const (
	maxWords  = 300     // characters of a server's own words in an error
	maxSource = 8 << 10 // bytes of the answer that the words are taken from
	redacted  = "[redacted]"
)

var (
	hidden = regexp.MustCompile(`(?is)<(script|style|head)\b.*?(</(script|style|head)\s*>|\z)|<!--.*?(-->|\z)`)
	tags   = regexp.MustCompile(`(?s)</?[a-zA-Z!?][^<>]*(>|\z)`)
	escape = regexp.MustCompile(`\\u[0-9a-fA-F]{4}`)
)

// Text returns s with its phone numbers masked and with the secrets replaced: as they are, and as they look in a URL, in JSON, in HTML
// and in Base64.
func Text(s string, secrets ...string) string {
	return Phones(redact(s, secrets))
}

func redact(s string, secrets []string) string {
	for _, sec := range bySize(secrets) {
		quoted, _ := json.Marshal(sec)
		for _, form := range []string{
			sec, url.QueryEscape(sec), url.PathEscape(sec), html.EscapeString(sec),
			strings.Trim(string(quoted), `"`), strconv.Quote(sec), base64.StdEncoding.EncodeToString([]byte(sec)),
		} {
			s = strings.ReplaceAll(s, form, redacted)
		}
	}
	return s
}

// bySize sorts longest first, so that a secret within another leaves no rest, and drops what is too short to be told
// from ordinary text.
func bySize(secrets []string) []string {
	out := slices.DeleteFunc(slices.Clone(secrets), func(s string) bool { return len(s) < 4 })
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(out)
}

// Words turns a server's answer into one line for an operator: without markup, secrets and phone numbers, at most 300 characters.
func Words(body []byte, secrets ...string) string {
	s := string(body)
	if len(s) > maxSource {
		s = s[:maxSource]
		// A secret that the cut went through could not be recognised.
		longest := 0
		for _, sec := range secrets {
			longest = max(longest, 3*len(sec))
		}
		s = s[:max(len(s)-longest, 0)]
	}
	s = strings.ToValidUTF8(s, "")
	s = redact(s, secrets)
	s = escape.ReplaceAllStringFunc(s, func(e string) string {
		n, _ := strconv.ParseUint(e[2:], 16, 32)
		if r := rune(n); unicode.IsPrint(r) && r != '"' && r != '\\' {
			return string(r)
		}
		return " "
	})
	s = hidden.ReplaceAllString(s, " ")
	s = tags.ReplaceAllString(s, " ")
	s = html.UnescapeString(s)
	s = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		// Marks are no letters, yet Indic scripts cannot be read without them.
		if !unicode.IsPrint(r) && !unicode.Is(unicode.Cf, r) || isBidi(r) {
			return -1
		}
		return r
	}, s)
	s = Text(strings.Join(strings.Fields(s), " "), secrets...)
	if n := []rune(s); len(n) > maxWords {
		s = strings.TrimSpace(string(n[:maxWords])) + "…"
	}
	return s
}

// isBidi reports whether r changes the direction of the text after it, or is invisible without need.
func isBidi(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2060 && r <= 0x206f || r == 0x200b || r == 0xfeff
}
