package vinfer

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

var errTime = errors.New("no time")

// time reads the first of the named values that is present. A zero time without an error means that none is. Empty values and the
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

// mailLayouts are the layouts of mails, HTTP headers and browsers.
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

// leapSecond returns how many ":60" of a clock mean ":59": 1 if the seconds are 60, which Go does not know.
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
