package vinfer

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	defaultLimit  = 1000             // requests a minute, as documented
	defaultWindow = time.Minute      // where the reset makes no sense
	maxWindow     = time.Hour        // a reset farther off makes no sense
	maxRetryAfter = 10 * time.Minute // a longer Retry-After is asked again after this
	pastReset     = time.Second      // how long a reset in the past holds up
	maxLimit      = 1_000_000
)

// rates is what one answer said about the limit. Fields that are missing, or make no sense, are -1 or zero.
type rates struct {
	limit, remaining int
	reset            time.Time // by the local clock
}

// readRates reads the X-RateLimit headers of an answer that came at now; skew is the server's clock minus the local one.
func readRates(h http.Header, now time.Time, skew time.Duration) rates {
	r := rates{limit: parseCount(h.Get("X-RateLimit-Limit")), remaining: parseCount(h.Get("X-RateLimit-Remaining"))}
	if t := readReset(h.Get("X-RateLimit-Reset"), now.Add(skew)); !t.IsZero() {
		r.reset = now.Add(t.Sub(now.Add(skew))) // from now, so that it outlives a step of the local clock
	}
	return r
}

// parseCount reads a number of requests, from 0 to a million; -1 if there is none. A policy behind the number ("1000;w=60",
// "1000, 1000;window=60") is ignored.
func parseCount(s string) int {
	if i := strings.IndexAny(s, ",;"); i >= 0 {
		s = s[:i]
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	switch {
	case math.IsNaN(f), err != nil && !math.IsInf(f, 0):
		return -1
	default:
		return int(min(max(f, 0), maxLimit))
	}
}

// readReset reads when the window ends, by the server's clock, of which now is the time: Unix seconds as documented,
// milliseconds, seconds from now, or a date. A time in the past becomes one second from now; one that is absent,
// senseless or more than an hour away is zero: unknown.
func readReset(s string, now time.Time) time.Time {
	s = strings.TrimSpace(s)
	var t time.Time
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		switch {
		case math.IsNaN(f):
			return time.Time{}
		case f <= maxWindow.Seconds():
			t = now.Add(time.Duration(f * float64(time.Second)))
		case f >= 3e8 && f < 1e11: // from 1979 on
			t = time.UnixMilli(int64(f * 1000))
		case f >= 3e11 && f < 1e14:
			t = time.UnixMilli(int64(f))
		default:
			return time.Time{}
		}
	} else if d, err := http.ParseTime(s); err == nil {
		t = d
	} else if d, err := ParseTime(s, time.UTC); err == nil {
		t = d
	} else {
		return time.Time{}
	}
	switch {
	case t.After(now.Add(maxWindow)):
		return time.Time{}
	case t.Before(now.Add(pastReset)):
		return now.Add(pastReset)
	default:
		return t
	}
}

// retryAfter reads a Retry-After header, seconds or a date by the server's clock, of which now is the time.
func retryAfter(s string, now time.Time) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if f, err := strconv.ParseFloat(s, 64); err == nil || math.IsInf(f, 1) {
		if math.IsNaN(f) || f < 0 {
			return 0, false
		}
		return time.Duration(min(f, maxRetryAfter.Seconds()) * float64(time.Second)), true
	}
	if t, err := http.ParseTime(s); err == nil {
		return min(max(t.Sub(now), 0), maxRetryAfter), true
	}
	return 0, false
}
