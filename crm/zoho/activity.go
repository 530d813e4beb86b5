package zoho

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Limits, in characters.
const (
	longTitle = 250    // of a subject, which holds 255
	longBody  = 32_000 // of a description and of a note
	longText  = 29_000 // of a summary or a transcript within one
	longValue = 255    // of a custom field
)

// activity makes the record of the call.
func (at *place) activity(ctx context.Context) error {
	m, err := at.w.api.module(ctx, "Calls")
	if err != nil {
		return err
	}
	c := &at.e.Call
	body := text.NewBody(at.e)
	values := at.custom(m)
	values["Subject"] = text.Title(at.e, longTitle)
	if result := at.result(m); result != "" {
		values["Call_Result"] = result
	}
	var change func(ctx context.Context, id string) error
	if at.e.Event != crm.TranscriptReady { // its call may be older than what stands there
		change = func(ctx context.Context, id string) error { return at.updateCall(ctx, id, values, body) }
	}
	start := stamp(at.w.s.In(span(c)))
	at.call, err = at.once(ctx, "Calls", "activity", []any{values, body.String()}, at.begun(), func(ctx context.Context) (string, error) {
		fresh := maps.Clone(values) // with what Zoho never lets be changed again
		fresh["Description"] = body.Within(longBody)
		fresh["Call_Start_Time"] = start
		fresh["Call_Type"] = callType(c)
		if fresh["Call_Type"] != missed {
			fresh["Call_Duration"] = minutes(c)
		}
		optional := append(at.optionals(), "Call_Result")
		if f, there := m.fields["Outgoing_Call_Status"]; there && fresh["Call_Type"] == "Outbound" && f.takes("Completed") {
			fresh["Outgoing_Call_Status"] = "Completed"
			optional = append(optional, "Outgoing_Call_Status")
		}
		if m.has(at.w.callField()) {
			fresh[at.w.callField()] = at.key
			optional = append(optional, at.w.callField())
		}
		if at.contact.Owner != "" {
			fresh["Owner"] = record{"id": at.contact.Owner}
			optional = append(optional, "Owner") // of somebody who has left
		}
		optional = append(optional, at.relate(fresh)...)
		var id string
		err := at.send("Call", fresh, optional, func(values record) (err error) {
			id, err = at.w.api.create(ctx, "/Calls", values)
			return err
		})
		at.fresh = err == nil
		return id, err
	}, change)
	return err
}

// send sends a record without the optional fields that Zoho refuses. A value that another record has is no such refusal.
func (at *place) send(name string, values record, optional []string, send func(values record) error) error {
	named := func(err error, field string) bool { return codeOf(err) != duplicate && about(err, field) }
	return at.w.optional.Send(at.p, name, values, optional, named, func(fields map[string]any) error { return send(fields) })
}

// updateCall lays a newer state of the call over what stands there.
func (at *place) updateCall(ctx context.Context, id string, known record, body text.Body) error {
	held, err := at.w.api.get(ctx, "Calls", id)
	if err != nil {
		return err
	}
	newer := record{}
	for name, v := range known {
		if fmt.Sprint(held[name]) != fmt.Sprint(v) {
			newer[name] = v
		}
	}
	if subject := held.text("Subject"); at.e.Call.Duration == nil || subject != "" && !strings.HasPrefix(subject, "AI call") {
		delete(newer, "Subject") // people gave it another, or it would say less than before
	}
	if d := body.Over(held.text("Description")).Within(longBody); d != held.text("Description") {
		newer["Description"] = d
	}
	if len(newer) == 0 {
		return nil
	}
	return at.send("Call", newer, append(at.optionals(), "Call_Result", "Subject"), func(values record) error { return at.w.api.change(ctx, "Calls", id, values) })
}

// custom returns the values of those custom fields that there are.
func (at *place) custom(m module) record {
	c := &at.e.Call
	known := map[string]string{
		"disposition": c.Disposition, "language": c.Language, "campaign": c.Campaign, "sentiment": c.Sentiment, "qa_score": text.Number(c.QAScore),
		"transcript_url": c.TranscriptURL,
	}
	values := record{}
	for ours, v := range known {
		theirs := at.w.s.Field(ours, Fields[ours])
		if v = text.Line(v, longValue); v == "" || !m.has(theirs) || m.silent {
			continue
		}
		values[theirs] = v
		if kind := m.fields[theirs].Type; ours == "qa_score" && (kind == "double" || kind == "integer" || kind == "currency" || kind == "percent") {
			values[theirs] = *c.QAScore
			if kind == "integer" {
				values[theirs] = math.Round(*c.QAScore)
			}
		}
	}
	return values
}

// optionals are the custom fields that a call can do without: their values stand in the description too.
func (at *place) optionals() (names []string) {
	for ours, theirs := range Fields {
		if ours != "call_id" && ours != "status" && ours != "phone" && ours != "do_not_call" {
			names = append(names, at.w.s.Field(ours, theirs))
		}
	}
	slices.Sort(names)
	return names
}

// results are the values of Call_Result that a new organisation has, for dispositions that are named otherwise.
var results = map[string]string{
	"callback_requested": "Requested call back", "callback": "Requested call back", "not_reachable": "No response/Busy", "invalid_number": "Invalid number",
}

// result returns the value of the pick list Call_Result that says what came of the call; empty: it has none.
func (at *place) result(m module) string {
	said := at.e.Call.Disposition
	if said == "" {
		return ""
	}
	for _, v := range m.fields["Call_Result"].values() {
		if letters(v) == letters(said) || letters(v) == letters(results[said]) {
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

// span returns when the call began; it may be known by its end only.
func span(c *crm.Call) time.Time {
	if !c.StartedAt.IsZero() || c.EndedAt.IsZero() {
		return c.StartedAt
	}
	return c.EndedAt.Add(-length(c))
}

// length returns how long the call took; 0: not known.
func length(c *crm.Call) time.Duration {
	switch {
	case c.Duration != nil && *c.Duration > 0 && *c.Duration < 1e7:
		return time.Duration(*c.Duration * float64(time.Second)).Round(time.Second)
	case c.Duration == nil && !c.StartedAt.IsZero() && c.EndedAt.After(c.StartedAt):
		return c.EndedAt.Sub(c.StartedAt).Round(time.Second)
	}
	return 0
}

// minutes writes the call's length as Zoho wants it of every call that was held: minutes and seconds.
func minutes(c *crm.Call) string {
	d := length(c)
	return fmt.Sprintf("%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// stamp writes a time as ISO 8601 with an offset, without parts of a second.
func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05-07:00") }

// task makes the follow-up, once. Later it is changed only as long as nobody has begun with it.
func (at *place) task(ctx context.Context) error {
	m, err := at.w.api.module(ctx, "Tasks")
	if err != nil {
		return err
	}
	t := at.e.Task
	due := at.w.s.In(t.Due)
	values := record{
		"Subject": cmp.Or(text.Line(t.Title, longTitle), "Call back"), "Due_Date": due.Format(time.DateOnly),
		// A task of Zoho's is due on a day: the hour stands in its text.
		"Description": "Due at " + due.Format("2006-01-02 15:04 MST") + "\nFollow-up of a VInfer call\nVInfer call: " + at.e.Call.ID,
	}
	_, err = at.once(ctx, "Tasks", "task", values, "Due_Date = "+quote(due.Format(time.DateOnly)), func(ctx context.Context) (string, error) {
		fresh := maps.Clone(values)
		fresh["Status"], fresh["Priority"] = "Not Started", "High"
		optional := []string{"Status", "Priority"}
		if m.has(at.w.callField()) {
			fresh[at.w.callField()] = at.key
			optional = append(optional, at.w.callField())
		}
		owner, err := at.w.owners.Or(ctx, cmp.Or(t.Owner, at.w.s.Owner), at.contact.Owner, at.p)
		if err != nil {
			return "", err
		}
		if owner != "" {
			fresh["Owner"] = record{"id": owner}
			optional = append(optional, "Owner")
		}
		optional = append(optional, at.relate(fresh)...)
		var id string
		err = at.send("Task", fresh, optional, func(values record) (err error) {
			id, err = at.w.api.create(ctx, "/Tasks", values)
			return err
		})
		return id, err
	}, at.taskChange(values))
	return err
}

func (at *place) taskChange(values record) func(ctx context.Context, id string) error {
	if at.e.Event == crm.TranscriptReady {
		return nil
	}
	return func(ctx context.Context, id string) error {
		held, err := at.w.api.get(ctx, "Tasks", id)
		if err != nil || held.text("Status") != "Not Started" {
			return err // gone, or somebody has taken it up
		}
		newer := record{}
		for name, v := range values {
			if held[name] != v {
				newer[name] = v
			}
		}
		if len(newer) == 0 {
			return nil
		}
		return at.w.api.change(ctx, "Tasks", id, newer)
	}
}

// note puts the transcript on the contact, or on the call where there is no contact.
func (at *place) note(ctx context.Context) error {
	if !text.HasNote(at.e) {
		return nil
	}
	module, id := at.module, at.id
	if id == "" {
		module, id = "Calls", at.call
	}
	if id == "" {
		return nil // a person deleted both, or neither is wanted
	}
	e := *at.e
	transcript := *e.Transcript
	transcript.Text = text.Cut(text.Clean(transcript.Text), longText)
	e.Transcript = &transcript
	head := text.NoteHead(e.Call.ID)
	_, err := step.Do(ctx, at.p, step.Step{
		Ref: "note" + at.suffix, Fresh: at.fresh, Linger: at.w.linger,
		Look: func(ctx context.Context) (string, error) {
			r, _, err := at.related(ctx, "Notes", []string{"id", "Note_Title", "Note_Content"}, func(r record) bool {
				return strings.HasPrefix(r.text("Note_Content"), head) || r.text("Note_Title") == strings.TrimSuffix(head, ":")
			})
			return r.text("id"), err
		},
		Create: func(ctx context.Context) (string, error) {
			return at.w.api.create(ctx, "/"+module+"/"+id+"/Notes", record{
				"Note_Title": text.Line("Transcript of "+text.Spoken(&e, at.w.s.In), 120), "Note_Content": text.Note(&e, at.w.s.In, longBody),
				"Parent_Id": record{"id": id, "module": record{"api_name": module}}, "$se_module": module,
			})
		},
	})
	return err
}
