package webhook

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/line"
)

// payload has the documented keys in the documented order; all of them are always there.
type payload struct {
	Event         string          `json:"event"`
	CallID        string          `json:"call_id"`
	CampaignID    *string         `json:"campaign_id"`
	Contact       contact         `json:"contact"`
	Disposition   *string         `json:"disposition"`
	Duration      json.RawMessage `json:"duration_seconds"`
	Language      *string         `json:"language"`
	Timestamp     *string         `json:"timestamp"`
	TranscriptURL *string         `json:"transcript_url"`
	NeuronLens    neuronLens      `json:"neuronlens"`
	Transcript    *transcript     `json:"transcript,omitempty"`
}

type contact struct {
	Phone *string `json:"phone"`
	Name  *string `json:"name"`
}

type neuronLens struct {
	Sentiment json.RawMessage `json:"sentiment"`
	QAScore   json.RawMessage `json:"qa_score"`
	Summary   *string         `json:"summary"`
}

type transcript struct {
	Text     string    `json:"text"`
	Segments []segment `json:"segments"`
	Summary  *string   `json:"summary"`
	Language *string   `json:"language"`
}

type segment struct {
	Speaker *string         `json:"speaker"`
	Text    string          `json:"text"`
	Start   json.RawMessage `json:"start"`
	End     json.RawMessage `json:"end"`
}

// body encodes e as event. The same entry always gives the same bytes: what differs between attempts is in headers.
func body(event string, e *crm.Entry) ([]byte, error) {
	c := &e.Call
	p := payload{
		Event: event, CallID: c.ID, CampaignID: line.Text(c.Campaign),
		Contact:     contact{Phone: line.Text(c.Contact.Phone), Name: line.Text(c.Contact.Name)},
		Disposition: line.Text(c.RawDisposition), Duration: number(c.Duration), Language: line.Text(c.Language),
		Timestamp: timestamp(c.EndedAt), TranscriptURL: line.Text(c.TranscriptURL),
		NeuronLens: neuronLens{Sentiment: sentiment(c.Sentiment), QAScore: number(c.QAScore), Summary: line.Text(c.Summary)},
	}
	if t := e.Transcript; t != nil && event == string(crm.TranscriptReady) {
		p.Transcript = &transcript{Text: t.Text, Segments: make([]segment, 0, len(t.Segments)), Summary: line.Text(t.Summary), Language: line.Text(t.Language)}
		for _, s := range t.Segments {
			seg := segment{Speaker: line.Text(s.Speaker), Text: s.Text, Start: null, End: null}
			if s.Start != 0 || s.End != 0 {
				seg.Start, seg.End = number(&s.Start), number(&s.End)
			}
			p.Transcript.Segments = append(p.Transcript.Segments, seg)
		}
	}
	b, err := line.Encode(p)
	return bytes.TrimSuffix(b, []byte("\n")), err
}

var null = json.RawMessage("null")

func number(f *float64) json.RawMessage {
	if f == nil || math.IsNaN(*f) || math.IsInf(*f, 0) {
		return null
	}
	return strconv.AppendFloat(nil, *f, 'f', -1, 64)
}

// sentiment is a number where VInfer sent one, else a word.
func sentiment(s string) json.RawMessage {
	if s == "" {
		return null
	}
	if strings.Trim(s, "0123456789.-+eE") == "" {
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return number(&f)
		}
	}
	b, _ := json.Marshal(s) // a string always encodes
	return b
}

func timestamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return line.Text(t.UTC().Format(time.RFC3339Nano))
}
