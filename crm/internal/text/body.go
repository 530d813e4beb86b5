package text

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Names of what a Body can hold, for NewBody's omit. They are our names of fields, as in the configuration's fields.
const (
	Disposition = "disposition"
	Summary     = "summary"
	Seconds     = "duration"
	Direction   = "direction"
	Language    = "language"
	Campaign    = "campaign"
	Sentiment   = "sentiment"
	QAScore     = "qa_score"
	Transcript  = "transcript_url"
)

// Started is the label of a value that Body holds only if a writer puts it there: the time of a call's beginning, for CRMs whose activities have a
// date alone.
const Started = "Started"

// labels stand before the values, in this order.
var labels = []struct{ name, label string }{
	{"", Started},
	{Seconds, "Duration"},
	{Direction, "Direction"},
	{Language, "Language"},
	{Campaign, "Campaign"},
	{Sentiment, "Sentiment"},
	{QAScore, "QA score"},
	{Transcript, "Transcript"},
}

const (
	outcomeLabel = "Outcome: "
	callLabel    = "VInfer call: "
)

// Body is the description of a call's activity: the outcome, the summary, and a list of labelled values that ends with the call's id.
type Body struct {
	Call    string // VInfer's id
	Outcome string
	Summary string
	Values  map[string]string // by label
	Before  string            // what people wrote above it
	After   string            // and below
}

// NewBody returns what is known of a call, without the fields that the CRM has a place of its own for.
func NewBody(e *crm.Entry, omit ...string) Body {
	c := &e.Call
	b := Body{Call: c.ID, Values: map[string]string{}}
	if !slices.Contains(omit, Disposition) {
		b.Outcome = Line(Outcome(e), 200)
	}
	if !slices.Contains(omit, Summary) {
		b.Summary = Clean(c.Summary)
	}
	values := map[string]string{
		Seconds: Duration(c.Duration), Direction: c.Direction, Language: c.Language, Campaign: c.Campaign, Sentiment: c.Sentiment,
		QAScore: Number(c.QAScore), Transcript: c.TranscriptURL,
	}
	if c.TranscriptURL != "" {
		values[Transcript] += keyed
	}
	for _, l := range labels {
		if v := Line(values[l.name], 2000); v != "" && !slices.Contains(omit, l.name) {
			b.Values[l.label] = v
		}
	}
	return b
}

// ParseBody reads what String wrote for the call; false: s is not such a text.
func ParseBody(s, call string) (Body, bool) {
	if strings.Contains(s, "\r\n"+callLabel+call) {
		s = strings.ReplaceAll(s, "\r\n", "\n") // the CRM has its own line ends
	}
	at := strings.LastIndex("\n"+s+"\n", "\n"+callLabel+call+"\n")
	if at < 0 {
		return Body{}, false
	}
	head, after := s[:at], s[at+len(callLabel)+len(call):]
	b := Body{Call: call, Values: map[string]string{}, After: strings.TrimPrefix(after, "\n")}
	if i := strings.Index("\n"+head, "\n"+outcomeLabel); i >= 0 {
		b.Before = head[:i]
		b.Outcome, head, _ = strings.Cut(head[i+len(outcomeLabel):]+"\n", "\n")
		head = strings.TrimPrefix(head, "\n")
	}
	head = strings.TrimSuffix(head, "\n")
	details := head
	if i := strings.LastIndex("\n"+head, "\n\n"); i >= 0 {
		b.Summary, details = strings.TrimSuffix(head[:i], "\n"), head[i:]
	}
	for line := range strings.SplitSeq(strings.Trim(details, "\n"), "\n") {
		label, value, ok := strings.Cut(line, ": ")
		if ok && slices.ContainsFunc(labels, func(l struct{ name, label string }) bool { return l.label == label }) {
			b.Values[label] = value
		}
	}
	return b, true
}

// SameOutcome tells whether a description, as a CRM holds it, says the outcome that the entry's call has; true where it says none.
func SameOutcome(held string, e *crm.Entry) bool {
	b, ok := ParseBody(held, e.Call.ID)
	return !ok || b.Outcome == "" || b.Outcome == Line(Outcome(e), 200)
}

// Over lays b over what the CRM holds: what b does not know stays, and so does what people have added.
func (b Body) Over(held string) Body {
	old, ok := ParseBody(held, b.Call)
	if !ok {
		b.After = held // people wrote it, all of it
		return b
	}
	b.Before, b.After = old.Before, old.After
	if b.Outcome == "" {
		b.Outcome = old.Outcome
	}
	if b.Summary == "" {
		b.Summary = old.Summary
	}
	for label, v := range old.Values {
		if b.Values[label] == "" {
			b.Values[label] = v
		}
	}
	return b
}

// String returns the whole text.
func (b Body) String() string {
	var s strings.Builder
	s.WriteString(b.Before)
	if b.Outcome != "" {
		s.WriteString(outcomeLabel + b.Outcome + "\n\n")
	}
	if b.Summary != "" {
		s.WriteString(b.Summary + "\n\n")
	}
	for _, l := range labels {
		if v := b.Values[l.label]; v != "" {
			s.WriteString(l.label + ": " + v + "\n")
		}
	}
	s.WriteString(callLabel + b.Call)
	if b.After != "" {
		s.WriteString("\n" + b.After)
	}
	return s.String()
}

// Within returns the text in at most limit characters. The summary is cut first: the values are short, and without the call's id
// the text would not be recognised.
func (b Body) Within(limit int) string {
	s := b.String()
	if over := utf8.RuneCountInString(s) - limit; over > 0 && b.Summary != "" {
		b.Summary = Cut(b.Summary, max(utf8.RuneCountInString(b.Summary)-over, 0))
		s = b.String()
	}
	return Cut(s, limit)
}
