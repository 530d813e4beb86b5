package hubspot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Limits of the texts, in characters. HubSpot's text properties hold 65,536, markup included.
const (
	htmlLimit  = 65_536
	titleLimit = 250
)

// job is one entry on its way, once its contacts are known.
type job struct {
	w        *Writer
	e        *crm.Entry
	p        *crm.Progress
	contacts []people.Record // the first one gets the notes and the task
	number   phone.Number    // of the contact; none where it is one of our own

	looked   bool   // the call was looked for, and is not there
	activity string // id of the call; empty: there is none
	fresh    bool   // the contact or the call was made by this attempt: what comes after it cannot be there yet
}

func (j *job) run(ctx context.Context) error {
	if !j.e.NoActivity {
		if err := j.call(ctx); err != nil {
			return err
		}
	} else if j.e.Call.TranscriptURL != "" {
		if err := j.note(ctx, "link", text.LinkHead(j.e.Call.ID), func(limit int) string { return text.Cut(text.Link(&j.e.Call), limit) }); err != nil {
			return err
		}
	}
	if j.e.Task != nil {
		if err := j.task(ctx); err != nil {
			return err
		}
	}
	if text.HasNote(j.e) {
		return j.note(ctx, "note", text.NoteHead(j.e.Call.ID), func(limit int) string { return text.Note(j.e, j.w.s.In, limit) })
	}
	return nil
}

// call makes the call or brings it up to date.
func (j *job) call(ctx context.Context) error {
	o, err := j.fields(ctx)
	if err != nil {
		return err
	}
	s := step.Step{
		Ref: "activity", Content: o, Fresh: j.fresh || j.looked,
		Look: func(ctx context.Context) (string, error) {
			id, _, _, err := j.held(ctx)
			return id, err
		},
		Create: func(ctx context.Context) (string, error) {
			id, err := j.createCall(ctx, o)
			j.fresh = err == nil
			return id, err
		},
	}
	if j.e.Event != crm.TranscriptReady {
		s.Update = func(ctx context.Context, id string) error { return j.updateCall(ctx, id, o) }
	}
	j.activity, err = step.Do(ctx, j.p, s)
	return err
}

// fields returns what is known of the call, as properties of a call.
func (j *job) fields(ctx context.Context) (map[string]any, error) {
	c := &j.e.Call
	o := map[string]any{}
	set := func(property, v string) {
		if property != "" && v != "" {
			o[property] = v
		}
	}
	if text.Outcome(j.e) != "" {
		set("hs_call_title", text.Title(j.e, titleLimit))
	}
	switch {
	case c.Duration != nil && *c.Duration > 0:
		set("hs_call_status", "COMPLETED")
	case c.Status == "failed":
		set("hs_call_status", "FAILED")
	case c.Duration != nil:
		set("hs_call_status", "NO_ANSWER")
	case c.Status == "completed":
		set("hs_call_status", "COMPLETED")
	}
	switch c.Direction {
	case "outbound":
		set("hs_call_direction", "OUTBOUND")
		set("hs_call_to_number", j.number.String())
	case "inbound":
		set("hs_call_direction", "INBOUND")
		set("hs_call_from_number", j.number.String())
	}
	if ms, ok := milliseconds(c.Duration); ok {
		set("hs_call_duration", strconv.FormatInt(ms, 10))
	}
	set("hs_timestamp", stamp(began(c)))
	outcome, err := j.disposition(ctx)
	if err != nil {
		return nil, err
	}
	set(j.w.field(fieldDisposition), outcome)
	for name, v := range j.extras() {
		set(j.w.field(name), v)
	}
	set("hs_call_body", html(func(limit int) string { return text.NewBody(j.e).Within(limit) }, c.TranscriptURL))
	return o, nil
}

func milliseconds(seconds *float64) (int64, bool) {
	if seconds == nil || !(*seconds >= 0) || *seconds > 1e7 {
		return 0, false
	}
	return int64(*seconds*1000 + 0.5), true
}

// began returns when a call began; zero: not known.
func began(c *crm.Call) time.Time {
	ms, ok := milliseconds(c.Duration)
	switch {
	case !c.StartedAt.IsZero():
		return c.StartedAt
	case !c.EndedAt.IsZero() && ok:
		return c.EndedAt.Add(-time.Duration(ms) * time.Millisecond)
	}
	return time.Time{}
}

// disposition returns what the portal calls the call's outcome: an option of its own with that name, else whether somebody
// answered, where the property is HubSpot's; empty: nothing fits.
func (j *job) disposition(ctx context.Context) (string, error) {
	c := &j.e.Call
	if c.Disposition == "" && c.Duration == nil {
		return "", nil
	}
	name := j.w.field(fieldDisposition)
	def, err := j.w.define(ctx, calls, name)
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

// extras are the values for which the configuration may name properties.
func (j *job) extras() map[string]string {
	c := &j.e.Call
	out := map[string]string{
		"summary": text.Cut(text.Clean(c.Summary), htmlLimit), "language": text.Line(c.Language, nameLimit), "campaign": text.Line(c.Campaign, nameLimit),
		"sentiment": text.Line(c.Sentiment, nameLimit), "transcript_url": c.TranscriptURL, "qa_score": text.Number(c.QAScore),
	}
	if ms, ok := milliseconds(c.Duration); ok {
		out["duration"] = strconv.FormatInt((ms+500)/1000, 10)
	}
	return out
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

func (j *job) createCall(ctx context.Context, known map[string]any) (string, error) {
	o := map[string]any{"hs_call_title": text.Title(j.e, titleLimit)}
	at := j.e.Call.EndedAt
	if at.IsZero() {
		at = time.Now()
	}
	o["hs_timestamp"] = stamp(at) // HubSpot demands one
	for name, v := range known {
		o[name] = v
	}
	return j.create(ctx, "activity", calls, j.e.Call.ID, o, j.w.s.Owner, j.contacts, append(j.optionals(), "hs_call_title"))
}

// create makes a record of the call with our key, for the owner who is named, else the contact's.
func (j *job) create(ctx context.Context, ref, kind, key string, o map[string]any, owner string, to []people.Record, optional []string) (string, error) {
	property, unique, err := j.w.key(ctx, kind)
	if err != nil {
		return "", err
	}
	if property != "" {
		o[property] = key
	}
	if !unique && len(to) == 0 {
		// Nothing but the index can tell later whether it was made.
		if err := j.p.Save(ref+".tried", time.Now().UTC().Format(time.RFC3339)); err != nil {
			return "", err
		}
	}
	id, err := j.ownerOf(ctx, owner)
	if err != nil {
		return "", err
	}
	if id != "" {
		o["hubspot_owner_id"] = id
	}
	var contacts []string
	for _, r := range to {
		contacts = append(contacts, r.ID)
	}
	err = j.w.optional.Send(j.p, kind, o, append(optional, "hubspot_owner_id"), names, func(properties map[string]any) error {
		id, err = j.w.api.create(ctx, kind, properties, contacts...)
		return err
	})
	if property != "" && says(err, "PROPERTY_DOESNT_EXIST") && names(err, property) {
		j.w.forget(kind, property)
		return "", errors.New(err.Error()) // it was there a while ago: once more, without it
	}
	return id, err
}

// optionals are the properties that a call can do without. Their values stand in the body too, or in others.
func (j *job) optionals() []string {
	out := []string{"hs_call_status", "hs_call_direction", "hs_call_to_number", "hs_call_from_number", "hs_call_duration", j.w.field(fieldDisposition)}
	for name := range j.extras() {
		if f := j.w.field(name); f != "" {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}

// updateCall sends what differs from what the call holds.
func (j *job) updateCall(ctx context.Context, id string, known map[string]any) error {
	properties := []string{"hs_call_title", "hs_call_body"}
	for name := range known {
		if !slices.Contains(properties, name) {
			properties = append(properties, name)
		}
	}
	slices.Sort(properties)
	held, err := j.w.api.read(ctx, calls, id, "", properties)
	if err != nil {
		return err
	}
	if held == nil {
		return step.ErrGone
	}
	o := map[string]any{}
	for name, v := range known {
		if old := held.text(name); old != v && (name != "hs_timestamp" || !when(old).Equal(when(fmt.Sprint(v)))) {
			o[name] = v
		}
	}
	if !strings.HasPrefix(held.text("hs_call_title"), "AI call") || j.e.Call.Duration == nil {
		delete(o, "hs_call_title") // people gave it another, or it would say less than before
	}
	delete(o, "hs_call_body")
	old := text.Plain(held.text("hs_call_body"))
	body := text.NewBody(j.e).Over(old)
	if body.String() != old {
		o["hs_call_body"] = html(body.Within, j.e.Call.TranscriptURL)
	}
	if len(o) == 0 {
		return nil
	}
	return j.w.optional.Send(j.p, calls, o, j.optionals(), names, func(properties map[string]any) error {
		return j.w.api.update(ctx, calls, id, properties)
	})
}

// ownerOf returns who is to own what is made: the one named, else the contact's owner; empty: nobody.
func (j *job) ownerOf(ctx context.Context, named string) (string, error) {
	otherwise := ""
	if len(j.contacts) > 0 {
		otherwise = j.contacts[0].Owner
	}
	return j.w.owners.Or(ctx, named, otherwise, j.p)
}
