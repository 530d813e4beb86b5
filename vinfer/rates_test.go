package vinfer

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

func TestReadRates(t *testing.T) {
	server := utc("2024-01-15T10:35:00Z")
	const skew = 90 * time.Second // the server's clock is ahead
	now := server.Add(-skew)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	unix := func(d time.Duration) string { return fmt.Sprint(server.Add(d).Unix()) }
	for _, tt := range []struct {
		limit, remaining, reset string
		want                    rates
	}{
		{"1000", "999", unix(30 * time.Second), rates{1000, 999, in(30 * time.Second)}},
		{"", "", "", rates{-1, -1, time.Time{}}},
		{"many", "some", "soon", rates{-1, -1, time.Time{}}},
		{"1e18", "1000000000000000000", "1000000000000000000", rates{maxLimit, maxLimit, time.Time{}}},
		{"99999999999999999999999", "1e999", "1e999", rates{maxLimit, maxLimit, time.Time{}}},
		{"-5", "-5", "-5", rates{0, 0, in(time.Second)}},
		{"NaN", "NaN", "NaN", rates{-1, -1, time.Time{}}},
		{"1000, 1000;w=60", " 7 ", "30", rates{1000, 7, in(30 * time.Second)}},
		{"1000", "7", "0", rates{1000, 7, in(time.Second)}},
		{"1000", "0", unix(-time.Hour), rates{1000, 0, in(time.Second)}},
		{"1000", "0", unix(30*time.Second) + "000", rates{1000, 0, in(30 * time.Second)}},
		{"1000", "0", unix(2 * time.Hour), rates{1000, 0, time.Time{}}},
		{"1000", "0", "86400", rates{1000, 0, time.Time{}}},
		{"1000", "0", server.Add(30 * time.Second).Format(time.RFC3339), rates{1000, 0, in(30 * time.Second)}},
		{"1000", "0", server.Add(30 * time.Second).Format(http.TimeFormat), rates{1000, 0, in(30 * time.Second)}},
	} {
		h := http.Header{}
		h.Set("X-RateLimit-Limit", tt.limit)
		h.Set("X-RateLimit-Remaining", tt.remaining)
		h.Set("X-RateLimit-Reset", tt.reset)
		got := readRates(h, now, skew)
		if got.limit != tt.want.limit || got.remaining != tt.want.remaining || !got.reset.Equal(tt.want.reset) {
			t.Errorf("%q, %q, %q: %+v, not %+v", tt.limit, tt.remaining, tt.reset, got, tt.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := utc("2024-01-15T10:35:00Z")
	for in, want := range map[string]time.Duration{
		"5": 5 * time.Second, "0": 0, "1.5": 1500 * time.Millisecond, "3600": maxRetryAfter, "1e999": maxRetryAfter,
		now.Add(time.Minute).Format(http.TimeFormat):    time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat):   0,
		now.Add(24 * time.Hour).Format(http.TimeFormat): maxRetryAfter,
		"":     -1,
		"-1":   -1,
		"NaN":  -1,
		"soon": -1,
	} {
		got, ok := retryAfter(in, now)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %v, %v", in, got, ok)
		}
	}
}
