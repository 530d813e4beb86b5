// Package line is the one form of an entry as JSON, for destinations that keep every delivery apart: a line in a file, a
// line to a program.
package line

import (
	"bytes"
	"encoding/json"
	"math"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Line is one delivery. All keys are always there, so that tools that infer columns see the same ones in every line;
// null is a value that the call does not have. The first two keys mark the file as ours.
type Line struct {
	Event    crm.Event `json:"event"`
	Key      string    `json:"key"` // readers drop a line whose key they have seen
	Revision int       `json:"revision"`
	Attempt  int       `json:"attempt"`
	Late     bool      `json:"late"`

	CallID         string     `json:"call_id"`
	Campaign       *string    `json:"campaign_id"`
	Contact        contact    `json:"contact"`
	Direction      *string    `json:"direction"`
	CallStatus     *string    `json:"call_status"`
	Disposition    *string    `json:"disposition"`
	RawDisposition *string    `json:"raw_disposition"`
	Duration       *float64   `json:"duration_seconds"`
	Language       *string    `json:"language"`
	StartedAt      *time.Time `json:"started_at"`
	EndedAt        *time.Time `json:"ended_at"`
	TranscriptURL  *string    `json:"transcript_url"`
	Sentiment      *string    `json:"sentiment"`
	QAScore        *float64   `json:"qa_score"`
	Summary        *string    `json:"summary"`
	CallbackAt     *time.Time `json:"callback_at"`

	Status     *string     `json:"status"` // the lead status that the mapping gives
	SetStatus  bool        `json:"set_status"`
	DoNotCall  bool        `json:"do_not_call"`
	Task       *task       `json:"task"`
	Transcript *transcript `json:"transcript"`
}

type contact struct {
	Phone    *string `json:"phone"`
	E164     *string `json:"e164"`
	National *string `json:"national"`
	Name     *string `json:"name"`
}

type task struct {
	Title string     `json:"title"`
	Due   *time.Time `json:"due"`
	Owner *string    `json:"owner"`
}

type transcript struct {
	Text     string    `json:"text"`
	Segments []segment `json:"segments"`
	Language *string   `json:"language"`
	Summary  *string   `json:"summary"`
}

type segment struct {
	Speaker *string  `json:"speaker"`
	Text    string   `json:"text"`
	Start   *float64 `json:"start"`
	End     *float64 `json:"end"`
}

// Of returns e as a Line.
func Of(e *crm.Entry) Line {
	c := &e.Call
	l := Line{
		Event: e.Event, Key: e.Key, Revision: e.Revision, Attempt: e.Attempt, Late: e.Late,
		CallID: c.ID, Campaign: Text(c.Campaign), Direction: Text(c.Direction), CallStatus: Text(c.Status),
		Contact: contact{
			Phone: Text(c.Contact.Phone), E164: Text(c.Contact.E164), National: Text(c.Contact.National), Name: Text(c.Contact.Name),
		},
		Disposition: Text(c.Disposition), RawDisposition: Text(c.RawDisposition), Duration: number(c.Duration), Language: Text(c.Language),
		StartedAt: at(c.StartedAt), EndedAt: at(c.EndedAt), TranscriptURL: Text(c.TranscriptURL), Sentiment: Text(c.Sentiment),
		QAScore: number(c.QAScore), Summary: Text(c.Summary), CallbackAt: at(c.CallbackAt),
		Status: Text(e.Status), SetStatus: e.SetStatus, DoNotCall: e.DoNotCall,
	}
	if e.Task != nil {
		l.Task = &task{Title: e.Task.Title, Due: at(e.Task.Due), Owner: Text(e.Task.Owner)}
	}
	if t := e.Transcript; t != nil {
		l.Transcript = &transcript{Text: t.Text, Segments: make([]segment, 0, len(t.Segments)), Language: Text(t.Language), Summary: Text(t.Summary)}
		for _, s := range t.Segments {
			seg := segment{Speaker: Text(s.Speaker), Text: s.Text}
			if s.Start != 0 || s.End != 0 {
				seg.Start, seg.End = number(&s.Start), number(&s.End)
			}
			l.Transcript.Segments = append(l.Transcript.Segments, seg)
		}
	}
	return l
}

// Encode returns v, a Line or something around one, as one line of JSON, its end included.
func Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v) // escapes line breaks and ends with one
	return b.Bytes(), err
}

// Text returns s, or nothing for an empty one.
func Text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func number(f *float64) *float64 {
	if f == nil || math.IsNaN(*f) || math.IsInf(*f, 0) {
		return nil
	}
	return f
}

func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
