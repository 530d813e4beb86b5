package table

import (
	"math"
	"strconv"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
)

// Values says how a database takes what a call holds.
type Values struct {
	// Moment returns what stands for a time other than the zero one; it must compare as the times do.
	Moment func(time.Time) any
	// Clean takes from a text what the database cannot hold; nil: it holds everything.
	Clean func(string) string
}

// Time returns what stands for t, NULL for the zero time.
func (v Values) Time(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return v.Moment(t)
}

// Text returns what stands for s, NULL for an empty text.
func (v Values) Text(s string) any {
	if s = v.clean(s); s == "" {
		return nil
	}
	return s
}

func (v Values) clean(s string) string {
	if v.Clean == nil {
		return s
	}
	return v.Clean(s)
}

// when is the time by which calls of a contact are ordered: of one that is dated ahead, now, or no call could ever follow it.
func (v Values) when(c *crm.Call, now time.Time) any {
	at := c.EndedAt
	if at.IsZero() {
		at = c.StartedAt
	}
	if at.After(now) {
		at = now
	}
	return v.Time(at)
}

type segment struct {
	Speaker string   `json:"speaker"`
	Text    string   `json:"text"`
	Start   *float64 `json:"start"`
	End     *float64 `json:"end"`
}

func (v Values) segments(in []crm.Segment) []segment {
	out := make([]segment, len(in))
	for i, s := range in {
		out[i] = segment{Speaker: v.clean(s.Speaker), Text: v.clean(s.Text)}
		if s.Start != 0 || s.End != 0 {
			out[i].Start, out[i].End = &s.Start, &s.End
		}
	}
	return out
}

func number(f *float64) any {
	if f == nil || math.IsNaN(*f) || math.IsInf(*f, 0) {
		return nil
	}
	return *f
}

// Disown takes out a number of our own, which reaches nobody else, and a word instead of a number ("anonymous"), which strangers share.
// What is left is a contact without a number, of this call alone.
func Disown(c *crm.Contact, s crm.Settings) {
	if n := phone.Of(*c, s.Region); n.IsZero() || n.OneOf(s.OwnNumbers) {
		c.Phone, c.E164, c.National = "", "", ""
	}
}

// HasNote tells whether e brings something to keep as a note.
func HasNote(e *crm.Entry) bool {
	t := e.Transcript
	return t != nil && (t.Text != "" || len(t.Segments) > 0 || t.Summary != "")
}

// Refer notes where e stands. One transaction is one step, so the refs only tell people where to look.
func Refer(refs crm.Refs, e *crm.Entry, contact int64) {
	refs[people.Ref] = strconv.FormatInt(contact, 10)
	if e.DoNotCall || e.Before[crm.Wish] != "" {
		refs[crm.Wish] = e.Key // for the number's next call, should somebody delete the contact
	}
	refs["activity"] = e.Call.ID
	if HasNote(e) {
		refs["note"] = e.Call.ID
	}
	if e.Task != nil {
		refs["task"] = e.Call.ID
	}
}
