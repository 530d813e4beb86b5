package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/config"
)

// parseTime reads a time as flags take it: RFC 3339, a date (midnight in zone), or -48h (also -7d) before now.
func parseTime(s string, now time.Time, zone *time.Location) (time.Time, error) {
	s = strings.TrimSpace(s)
	if s == "now" {
		return now.UTC(), nil
	}
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		if d, err := config.ParseDuration(rest); err == nil {
			return now.Add(-d).UTC(), nil
		}
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, zone); err == nil {
		return t.UTC(), nil
	}
	return time.Time{}, usageError("%q is not a time: write 2026-01-31T09:00:00Z, 2026-01-31, or -48h", s)
}

// timesAreNoFlags lets cursor set take -48h as it is: it looks like a flag, so it goes behind a --.
func timesAreNoFlags(args []string) []string {
	if !slices.Contains(args, "cursor") || !slices.Contains(args, "set") || slices.Contains(args, "--") {
		return args
	}
	var front, times []string
	for _, a := range args {
		if len(a) > 1 && a[0] == '-' && a[1] >= '0' && a[1] <= '9' {
			times = append(times, a)
		} else {
			front = append(front, a)
		}
	}
	if len(times) == 0 {
		return args
	}
	return append(append(front, "--"), times...)
}

// ago shows how long ago something was.
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return span(time.Since(t)) + " ago"
}

// span shows a duration as people say it.
func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
