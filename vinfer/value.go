package vinfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// kind returns the first byte of a JSON value, 'n' for null or none.
func kind(raw json.RawMessage) byte {
	if i := skipBlank(raw, 0); i < len(raw) {
		return raw[i]
	}
	return 'n'
}

// text reads a string, or a number by its own digits. Anything else, and a string of blanks, is empty.
func text(raw json.RawMessage) string {
	switch k := kind(raw); {
	case k == '"':
		return strings.TrimSpace(unquote(bytes.TrimSpace(raw)))
	case k == '-' || k >= '0' && k <= '9':
		return string(bytes.TrimSpace(raw))
	default:
		return ""
	}
}

// text returns the first of the named values that is text.
func (o object) text(names ...string) string {
	for _, n := range names {
		if s := text(o.get(n)); s != "" {
			return s
		}
	}
	return ""
}

// label is text for what some servers wrap in an object: {"name": …}.
func (o object) label(names ...string) string {
	for _, n := range names {
		if s := text(o.get(n)); s != "" {
			return s
		}
		if w, ok := asObject(o.get(n)); ok {
			if s := w.text("value", "label", "name", "id", "overall", "score"); s != "" {
				return s
			}
		}
	}
	return ""
}

// number reads a finite number from the first of the named values that is one, be it as text; else nil.
func (o object) number(names ...string) *float64 {
	for _, n := range names {
		if f, ok := number(text(o.get(n))); ok {
			return &f
		}
	}
	return nil
}

// number reads a finite decimal number. What is none is told without the error that strconv would make, with a copy of the text, for each.
func number(s string) (f float64, ok bool) {
	if s == "" || strings.Trim(s, "0123456789.eE+-") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// id reads an identifier as it stands, number or text. It is empty when there is none, or one that could not be told from
// another's (characters were lost) or would be no name (control characters, endless).
func (o object) id(names ...string) string {
	for _, n := range names {
		s := text(o.get(n))
		if s == "" {
			continue
		}
		if len(s) > 256 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool {
			return r < ' ' || r == 0x7f || r == utf8.RuneError
		}) {
			return ""
		}
		return s
	}
	return ""
}

// phone reads a phone number. One that came as a JSON number may be written with an exponent.
func (o object) phone(names ...string) string {
	s := o.text(names...)
	if strings.ContainsAny(s, "eE") {
		if f, ok := number(s); ok && f > 0 && f < 1e16 {
			return strconv.FormatFloat(f, 'f', 0, 64)
		}
	}
	return s
}

var errTime = errors.New("no time")

// time reads the first of the named values that is there; a zero time without an error: none is. Empty values and the
// usual stand-ins for "not set" count as absent.
func (o object) time(names ...string) (t time.Time, err error) {
	for _, n := range names {
		raw := o.get(n)
		if kind(raw) == 'n' {
			continue
		}
		s := text(raw)
		if kind(raw) == '"' && s == "" || strings.Trim(s, "0.") == "" && s != "" || strings.HasPrefix(s, "0000-") || strings.HasPrefix(s, "0001-01-01") {
			continue
		}
		return ParseTime(s, time.UTC)
	}
	return time.Time{}, nil
}

// isoLayouts are tried with the date and the clock parted by a T.
var isoLayouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04:05",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04", "20060102T150405Z0700", "20060102T150405",
}

// mailLayouts are those of mails, HTTP headers and browsers.
var mailLayouts = []string{
	"Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 MST", "2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05 MST", "Mon Jan 2 2006 15:04:05 GMT-0700",
}

// ParseTime reads a time in the ways that APIs write it: ISO 8601 with fractions, offsets, a space for the T or no zone,
// Unix time in seconds, milli-, micro- or nanoseconds, the date of a mail. A time without a zone is in the given one (nil: UTC). Of named
// zones only UTC and GMT are known: IST, CST and others each stand for several. The result is UTC, between 1980 and 2100: what falls
// outside was meant otherwise than it was read. The error does not repeat the text.
func ParseTime(s string, zone *time.Location) (time.Time, error) {
	s = strings.TrimSpace(s)
	if zone == nil {
		zone = time.UTC
	}
	if f, ok := number(s); ok {
		return unixTime(s, f)
	}
	if len(s) > 64 {
		return time.Time{}, errTime
	}
	if up := strings.ToUpper(s); len(up) > 10 && (up[4] == '-' || up[8] == 'T') {
		return isoTime(up, zone)
	}
	if i := strings.LastIndex(s, " ("); i > 0 && strings.HasSuffix(s, ")") {
		s = s[:i] // a comment: "+0530 (India Standard Time)"
	}
	if i := strings.LastIndexByte(s, ' '); i > 0 {
		s = s[:i] + strings.ToUpper(s[i:])
	}
	for _, l := range mailLayouts {
		t, err := time.Parse(l, s)
		if err != nil {
			continue
		}
		// Go takes an abbreviation that it does not know for UTC, and one that it knows for what this machine's zone means by it.
		if name, _ := t.Zone(); strings.HasSuffix(l, "MST") && name != "UTC" && !strings.HasPrefix(name, "GMT") {
			return time.Time{}, errTime
		}
		return inRange(t)
	}
	return time.Time{}, errTime
}

// isoTime reads an ISO 8601 time in capitals, of more than ten bytes.
func isoTime(s string, zone *time.Location) (time.Time, error) {
	if s[4] == '-' {
		clock := strings.ReplaceAll(strings.TrimLeft(s[10:], "T _"), " ", "")
		for _, name := range []string{"UTC", "GMT"} {
			if bare, ok := strings.CutSuffix(clock, name); ok {
				if clock = bare; !strings.ContainsAny(clock, "+-Z") {
					clock += "Z"
				}
			}
		}
		s = s[:10] + "T" + strings.Replace(clock, ":60", ":59", leapSecond(clock))
	}
	for _, l := range isoLayouts {
		if t, err := time.ParseInLocation(l, s, zone); err == nil {
			return inRange(t)
		}
	}
	return time.Time{}, errTime
}

// leapSecond tells how many ":60" of a clock are to be read as ":59": the seconds, which Go knows no 60th of.
func leapSecond(clock string) int {
	if len(clock) >= 8 && clock[5:8] == ":60" && clock[2:5] != ":60" {
		return 1
	}
	return 0
}

func unixTime(s string, f float64) (time.Time, error) {
	switch {
	case f >= 1e8 && f < 1e11:
		sec, frac := math.Modf(f)
		return inRange(time.Unix(int64(sec), int64(frac*1e6)*1000))
	case f >= 1e11 && f < 1e14:
		return inRange(time.UnixMilli(int64(f)))
	case f >= 1e14 && f < 1e17:
		return inRange(time.UnixMicro(int64(f)))
	case f >= 1e17 && f < 9e18:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			n = int64(f)
		}
		return inRange(time.Unix(0, n))
	default:
		return time.Time{}, errTime
	}
}

func inRange(t time.Time) (time.Time, error) {
	t = t.UTC()
	if y := t.Year(); y < 1980 || y > 2100 {
		return time.Time{}, errTime
	}
	return t, nil
}

// truthy tells whether a value says yes: not null, false, 0, "", {} or [].
func truthy(raw json.RawMessage) bool {
	switch string(bytes.Join(bytes.Fields(raw), nil)) {
	case "", "null", "false", "0", `""`, "{}", "[]":
		return false
	}
	return true
}
