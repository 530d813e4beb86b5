package zoho

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Limits, in characters.
const (
	longTitle = 250    // of a subject, which holds 255
	longBody  = 32_000 // of a description and of a note
	longText  = 29_000 // of a summary or a transcript within one
	longValue = 255    // of a custom field
)

// Activity returns the call. Zoho never lets its times and its length be changed again.
func (s schema) Activity(ctx context.Context, j *record.Job) (*record.Record, error) {
	m, err := s.api.module(ctx, "Calls")
	if err != nil {
		return nil, err
	}
	c := &j.Entry.Call
	began, _, _ := record.Span(c)
	start := stamp(s.s.In(began))
	r := s.keyed(j, table{s.Writer, "Calls", "Call_Start_Time = " + quote(start)}, m, "Call", "activity")
	r.Values, r.Title, r.Body, r.Owner = s.custom(c, m), "Subject", record.Body{Field: "Description", Limit: longBody}, record.Owner{Field: "Owner"}
	r.Values["Subject"] = text.Title(j.Entry, longTitle)
	r.Values.Set("Call_Result", result(c.Disposition, m))
	r.New["Call_Start_Time"], r.New["Call_Type"] = start, callType(c)
	if r.New["Call_Type"] != missed {
		r.New["Call_Duration"] = minutes(c)
	}
	if f, there := m.fields["Outgoing_Call_Status"]; there && r.New["Call_Type"] == "Outbound" && f.takes("Completed") {
		r.New["Outgoing_Call_Status"] = "Completed"
	}
	r.Optional = append(append(r.Optional, s.optionals()...), "Subject", "Call_Result", "Outgoing_Call_Status")
	return r, nil
}

// custom returns the values of those custom fields that there are.
func (s schema) custom(c *crm.Call, m module) record.Fields {
	values := record.Fields{}
	for ours, v := range record.Extras(c, longValue) {
		theirs := s.s.Field(ours, Fields[ours])
		if ours == text.Summary || ours == text.Seconds || v == "" || !m.has(theirs) || m.silent {
			continue
		}
		values[theirs] = text.Line(v, longValue)
		if kind := m.fields[theirs].Type; ours == text.QAScore && (kind == "double" || kind == "integer" || kind == "currency" || kind == "percent") {
			values[theirs] = *c.QAScore
			if kind == "integer" {
				values[theirs] = math.Round(*c.QAScore)
			}
		}
	}
	return values
}

// optionals are the custom fields that a call can do without: their values stand in the description too.
func (w *Writer) optionals() (names []string) {
	for ours, theirs := range Fields {
		if ours != "call_id" && ours != "status" && ours != "phone" && ours != "do_not_call" {
			names = append(names, w.s.Field(ours, theirs))
		}
	}
	slices.Sort(names)
	return names
}

// results are the values of Call_Result that a new organisation has, for dispositions that are named otherwise.
var results = map[string]string{
	"callback_requested": "Requested call back", "callback": "Requested call back", "not_reachable": "No response/Busy", "invalid_number": "Invalid number",
}

// result returns the value of the pick list Call_Result that says what came of a call; empty: it has none.
func result(disposition string, m module) string {
	if disposition == "" {
		return ""
	}
	for _, v := range m.fields["Call_Result"].values() {
		if letters(v) == letters(disposition) || letters(v) == letters(results[disposition]) {
			return v
		}
	}
	return ""
}

// letters folds what people write differently.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" _-/", r) {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

const missed = "Missed"

func callType(c *crm.Call) string {
	switch {
	case c.Direction != "inbound":
		return "Outbound"
	case c.Status == "failed", c.Duration != nil && *c.Duration == 0:
		return missed
	}
	return "Inbound"
}

// minutes writes the call's length as Zoho wants it of every call that was held: minutes and seconds.
func minutes(c *crm.Call) string {
	d, _ := record.Length(c)
	return fmt.Sprintf("%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// stamp writes a time as ISO 8601 with an offset, without parts of a second.
func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05-07:00") }
