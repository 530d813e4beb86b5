package record

import (
	"regexp"
	"strconv"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Span returns when a call began and ended. Where the duration is known that is what the times span, as CRMs show their difference: VInfer's start is the
// dial attempt and its duration counts from the answer, so the end may be seconds early. False: both are known by the call's end at best.
func Span(c *crm.Call) (start, end time.Time, known bool) {
	length, timed := Length(c)
	switch {
	case !c.StartedAt.IsZero():
		return c.StartedAt, c.StartedAt.Add(length), true
	case timed && !c.EndedAt.IsZero():
		return c.EndedAt.Add(-length), c.EndedAt, true
	}
	return c.EndedAt, c.EndedAt, false
}

// Length returns how long a call took: its duration, or else the time between its start and its end. False: neither is known.
func Length(c *crm.Call) (time.Duration, bool) {
	switch {
	case c.Duration != nil && *c.Duration >= 0 && *c.Duration < 1e7:
		return time.Duration(*c.Duration * float64(time.Second)).Round(time.Second), true
	case c.Duration == nil && !c.StartedAt.IsZero() && c.EndedAt.After(c.StartedAt):
		return c.EndedAt.Sub(c.StartedAt).Round(time.Second), true
	}
	return 0, false
}

// Connected tells whether somebody answered the call; known is false where nothing tells.
func Connected(c *crm.Call) (answered, known bool) {
	switch {
	case c.Duration != nil:
		return *c.Duration > 0, true
	case c.Status != "":
		return c.Status == "completed", true
	}
	return false, false
}

// Extras are the values of a call for which CRMs have no field of their own, by our names: those for which the configuration may name fields. An
// empty one is not known. limit bounds each but the summary and the address, in characters.
func Extras(c *crm.Call, limit int) map[string]string {
	out := map[string]string{
		text.Disposition: text.Line(c.Disposition, limit), text.Summary: text.Clean(c.Summary), text.Language: text.Line(c.Language, limit),
		text.Campaign: text.Line(c.Campaign, limit), text.Sentiment: text.Line(c.Sentiment, limit), text.QAScore: text.Number(c.QAScore),
		text.Transcript: c.TranscriptURL,
	}
	if c.Duration != nil && *c.Duration >= 0 && *c.Duration < 1e7 {
		out[text.Seconds] = strconv.Itoa(int(*c.Duration + 0.5))
	}
	return out
}

var ticks = regexp.MustCompile(`^/Date\((-?\d{1,15})`)

// When reads a time as CRMs write it: by ISO 8601, with or without a zone, which then is UTC, or in milliseconds; zero: it is none.
func When(s string) time.Time {
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02T15:04:05.999-0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	if m := ticks.FindStringSubmatch(s); m != nil {
		s = m[1]
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// Stamp writes a time in UTC; empty for none.
func Stamp(t time.Time, layout string) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(layout)
}

// Numbered returns a value of Extras as a number, if it is one by its nature.
func Numbered(ours, v string) any {
	if ours == text.Seconds || ours == text.QAScore {
		if n, err := strconv.ParseFloat(v, 64); err == nil {
			return n
		}
	}
	return v
}
