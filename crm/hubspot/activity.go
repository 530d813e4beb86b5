package hubspot

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Limits of the texts, in characters. HubSpot's text properties hold 65,536, markup included.
const (
	htmlLimit  = 65_536
	titleLimit = 250
)

// Activity returns the call, which is linked to all contacts.
func (s schema) Activity(ctx context.Context, j *record.Job) (*record.Record, error) {
	c := &j.Entry.Call
	values := record.Fields{"hs_call_title": text.Title(j.Entry, titleLimit)}
	values.Set("hs_call_status", statusOf(c))
	switch c.Direction {
	case "outbound":
		values["hs_call_direction"] = "OUTBOUND"
		values.Set("hs_call_to_number", j.Number.String())
	case "inbound":
		values["hs_call_direction"] = "INBOUND"
		values.Set("hs_call_from_number", j.Number.String())
	}
	if ms, ok := milliseconds(c.Duration); ok {
		values["hs_call_duration"] = strconv.FormatInt(ms, 10)
	}
	began, _, known := record.Span(c)
	if known {
		values["hs_timestamp"] = stamp(began)
	}
	outcome, err := s.disposition(ctx, c)
	if err != nil {
		return nil, err
	}
	values.Set(s.field(fieldDisposition), outcome)
	// What a call can do without: the values stand in the body too, or in others.
	optional := []string{
		"hs_call_title", "hs_call_status", "hs_call_direction", "hs_call_to_number", "hs_call_from_number", "hs_call_duration", s.field(fieldDisposition), "hubspot_owner_id",
	}
	for ours, v := range record.Extras(c, nameLimit) {
		if f := s.field(ours); f != "" && ours != fieldDisposition {
			optional = append(optional, f)
			values.Set(f, text.Cut(v, htmlLimit))
		}
	}
	slices.Sort(optional)
	at := began
	if at.IsZero() {
		at = time.Now() // HubSpot demands one
	}
	shown := []string{"hs_call_title", "hs_call_body"}
	for name := range values {
		if !slices.Contains(shown, name) {
			shown = append(shown, name)
		}
	}
	slices.Sort(shown)
	return &record.Record{
		Table: table{w: s.Writer, kind: calls, ref: "activity", key: c.ID, at: began, ours: isCall(j), shown: shown}, Name: calls,
		Values: values, New: record.Fields{"hs_timestamp": stamp(at)}, Title: "hs_call_title", Fresh: j.Contact.Made, Same: holds,
		Body: record.Body{
			Field: "hs_call_body", Plain: text.Plain,
			Write: func(words func(limit int) string) string { return html(words, c.TranscriptURL) },
		},
		Owner: record.Owner{Field: "hubspot_owner_id", Named: s.s.Owner}, Optional: optional, Named: names,
	}, nil
}

// isCall returns what tells whether a text is the one of the call.
func isCall(j *record.Job) func(plain string) bool {
	return func(plain string) bool {
		_, ours := text.ParseBody(plain, j.Entry.Call.ID)
		return ours
	}
}

// statusOf returns HubSpot's word for what became of a call; empty: not known.
func statusOf(c *crm.Call) string {
	switch answered, known := record.Connected(c); {
	case answered:
		return "COMPLETED"
	case c.Status == "failed":
		return "FAILED"
	case known && c.Duration != nil:
		return "NO_ANSWER"
	}
	return ""
}

func milliseconds(seconds *float64) (int64, bool) {
	if seconds == nil || !(*seconds >= 0) || *seconds > 1e7 {
		return 0, false
	}
	return int64(*seconds*1000 + 0.5), true
}

// disposition returns what the portal calls the call's outcome: an option of its own with that name, else whether somebody
// answered, where the property is HubSpot's; empty: nothing fits.
func (s schema) disposition(ctx context.Context, c *crm.Call) (string, error) {
	if c.Disposition == "" && c.Duration == nil {
		return "", nil
	}
	name := s.field(fieldDisposition)
	def, err := s.define(ctx, calls, name)
	switch {
	case err != nil:
		return "", err
	case def == nil || def.forbidden:
		return "", nil
	case len(def.Options) == 0 && name != Fields[fieldDisposition]:
		return text.Line(c.Disposition, nameLimit), nil // a text of their own
	}
	words := []string{c.Disposition, c.RawDisposition}
	if name == Fields[fieldDisposition] && c.Duration != nil {
		if *c.Duration > 0 {
			words = append(words, "Connected")
		} else {
			words = append(words, "No answer")
		}
	}
	return def.find(words...), nil
}

// html returns the longest text within HubSpot's limit as HTML, with the address in it, if any, as a link.
func html(words func(limit int) string, address string) string {
	made := func(limit int) string {
		s, a := text.HTML(words(limit)), text.HTML(address)
		if strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://") {
			s = strings.Replace(s, a, `<a href="`+a+`">`+a+`</a>`, 1)
		}
		return s
	}
	limit := htmlLimit
	for s := made(limit); ; s = made(limit) {
		over := utf8.RuneCountInString(s) - htmlLimit
		if over <= 0 || limit < 1000 {
			return s
		}
		limit -= max(over/6, 100) // the longest escape is six characters
	}
}
