package vinfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

const maxRaw = 64 << 10 // of a broken row

// unreadable returns an ErrUnreadable with the reason.
func unreadable(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrUnreadable}, args...)...)
}

// isHTML says what to look at when a page comes in place of an answer.
const isHTML = "it is HTML or XML, not JSON: see vinfer.base_url, or a proxy or login page answers in place of VInfer"

// document checks that a body is one JSON value and returns it.
func document(body []byte) (json.RawMessage, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte(utf8BOM)))
	switch {
	case len(body) == 0:
		return nil, unreadable("it is empty")
	case body[0] == '<':
		return nil, unreadable("%s", isHTML)
	}
	if err := checkJSON(body); err != nil {
		return nil, unreadable("%w", err)
	}
	return body, nil
}

// checkJSON returns nil if raw is JSON, else an error with the place of the fault.
func checkJSON(raw []byte) error {
	if json.Valid(raw) {
		return nil
	}
	var v any
	err := json.Unmarshal(raw, &v)
	var where *json.SyntaxError
	switch {
	case errors.As(err, &where) && where.Error() == "unexpected end of JSON input":
		return fmt.Errorf("it is cut off after %d bytes", len(raw))
	case errors.As(err, &where):
		return fmt.Errorf("it is not JSON at byte %d of %d", where.Offset, len(raw))
	default:
		return errors.New("it is not JSON")
	}
}

// rawRow returns a row for Broken.Raw: valid JSON of at most maxRaw bytes. A row that is longer, or is not JSON, becomes a JSON string
// of its beginning.
func rawRow(raw json.RawMessage) json.RawMessage {
	if len(raw) <= maxRaw && json.Valid(raw) {
		if utf8.Valid(raw) {
			return bytes.Clone(raw)
		}
		if s := strings.ToValidUTF8(string(raw), "\uFFFD"); len(s) <= maxRaw {
			return json.RawMessage(s)
		}
	}
	s := strings.ToValidUTF8(string(raw[:min(len(raw), maxRaw)]), "\uFFFD")
	for n := maxRaw - 2; ; n /= 2 {
		if b, err := json.Marshal(strings.ToValidUTF8(s[:min(n, len(s))], "")); err == nil && len(b) <= maxRaw {
			return b
		}
	}
}

// decodeCall reads the details of the call with this id, bare or wrapped.
func decodeCall(body []byte, contentType, id string) (Call, error) {
	text, enc := jsonReader(bytes.NewReader(body), contentType)
	body, err := io.ReadAll(text)
	if err != nil {
		return Call{}, unreadable("%w", err)
	}
	raw, err := document(recode(body, enc))
	if err != nil {
		return Call{}, err
	}
	o, ok := asObject(raw)
	if !ok {
		return Call{}, unreadable("it is not an object")
	}
	if o.id("call_id", "id") == "" {
		for _, n := range []string{"data", "call", "result"} {
			if _, ok := asObject(o.get(n)); ok {
				raw = o.get(n)
				o, _ = asObject(raw)
				break
			}
		}
	}
	if o.id("call_id") != id && o.id("id") != id {
		return Call{}, unreadable("it is not the call that was asked for")
	}
	c, err := decodeRow(raw)
	if err != nil {
		return Call{}, unreadable("%w", err)
	}
	c.ID = id
	return c, nil
}

// decodeRow reads one call. A fault in an optional field makes that field unknown. Without an id, or with a completion time that makes
// no sense, the row is an error, because nobody can tell which call it is or to which range it belongs. The error comes with
// the id if the id is known.
func decodeRow(raw json.RawMessage) (Call, error) {
	var members [20]member // more than a row of either dialect has
	o, ok := object(members[:0]).read(raw)
	if !ok {
		return Call{}, fmt.Errorf("the row is not an object")
	}
	c := Call{ID: o.id("call_id", "id")}
	if c.ID == "" {
		return Call{}, fmt.Errorf("the row has no usable id")
	}
	c.Status = normalize(o.label("status"))
	c.DurationSeconds = duration(o.number("duration_seconds", "duration"))
	if err := c.times(o); err != nil {
		return Call{ID: c.ID}, err
	}
	c.contact(o)
	c.CampaignID = o.label("campaign_id", "campaign")
	c.Direction = normalize(o.label("direction", "call_direction"))
	c.Disposition = o.label("disposition")
	c.Language = o.label("language")
	c.CallbackAt = o.text("callback_at", "callback_time", "scheduled_at", "requested_callback_time")
	c.transcript(o)
	var insights [4]member
	lens, _ := object(insights[:0]).read(o.get("neuronlens"))
	c.Sentiment, c.QAScore, c.Summary = insight(lens, o)
	if k := kind(o.get("contact")); (k == '[' || k == 't' || k == 'f') && c == (Call{ID: c.ID}) {
		return Call{ID: c.ID}, fmt.Errorf("the row has no usable field but its id")
	}
	return c, nil
}

// normalize writes a status or direction in lower case with underscores, as the documentation does.
func normalize(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return '_'
		}
		return r
	}, strings.ToLower(s))
}

// duration returns nil for what cannot be the length of a call: below 0, or above eleven days.
func duration(f *float64) *float64 {
	if f == nil || *f < 0 || *f > 1e6 {
		return nil
	}
	return f
}

func (c *Call) times(o object) error {
	started, startErr := o.time("started_at", "start_time")
	ended, endErr := o.time("ended_at", "completed_at", "end_time")
	stamped, stampErr := o.time("timestamp")
	if endErr == nil && ended.IsZero() {
		if c.Status == "in_progress" {
			// It has no end yet, whatever its timestamp is.
			if startErr == nil && started.IsZero() && stampErr == nil {
				started = stamped
			}
		} else {
			ended, endErr = stamped, stampErr
		}
	}
	if endErr != nil {
		return fmt.Errorf("its completion time is not a time: %s", describeTime(o.text("ended_at", "completed_at", "end_time", "timestamp")))
	}
	if startErr != nil && ended.IsZero() && c.Status != "in_progress" {
		return fmt.Errorf("its start is not a time: %s", describeTime(o.text("started_at", "start_time")))
	}
	c.StartedAt, c.EndedAt = started, ended // a senseless start is the zero time
	return nil
}

// describeTime quotes text that may be meant as a time. Of other text it gives only the length, because that may be what people said.
func describeTime(s string) string {
	if len(s) <= 40 && strings.ContainsAny(s, "0123456789") {
		return strconv.Quote(mask.Words([]byte(s)))
	}
	return fmt.Sprintf("%d characters of text", utf8.RuneCountInString(s))
}

func (c *Call) contact(o object) {
	var members [4]member
	if who, ok := object(members[:0]).read(o.get("contact")); ok {
		c.Phone = who.phone("phone", "phone_number", "number", "mobile")
		c.Name = who.text("name", "full_name")
	} else if who := o.phone("contact"); strings.ContainsAny(who, "0123456789") {
		c.Phone = who
	} else {
		c.Name = who
	}
	if c.Phone == "" {
		c.Phone = o.phone("phone", "contact_phone", "phone_number", "customer_phone")
	}
	if c.Name == "" {
		c.Name = o.text("name", "contact_name", "customer_name")
	}
}

func (c *Call) transcript(o object) {
	c.TranscriptURL = o.text("transcript_url", "transcription_url")
	c.TranscriptJob = o.id("transcript_job_id", "transcription_job_id", "transcription_id", "transcript_id", "job_id")
	for _, n := range []string{"transcription", "transcript"} {
		if t, ok := asObject(o.get(n)); ok {
			if c.TranscriptURL == "" {
				c.TranscriptURL = t.text("url", "transcript_url")
			}
			if c.TranscriptJob == "" {
				c.TranscriptJob = t.id("job_id", "id")
			}
		}
	}
}

// insight reads sentiment, QA score and summary from the first of the objects that has each.
func insight(places ...object) (sentiment string, score *float64, summary string) {
	for _, o := range places {
		if sentiment == "" {
			sentiment = o.label("sentiment")
		}
		if score == nil {
			score = o.number("qa_score")
		}
		if summary == "" {
			summary = o.text("summary")
		}
	}
	return sentiment, score, summary
}
