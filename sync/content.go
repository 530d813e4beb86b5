package sync

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// content is the body of a job and of a watch: what the store keeps of a call.
//
// Its form is short and quick to read, since every call is written and read at least once: a byte that says that it is this form, then fields,
// each a tag and a value, of those that the call has. Layouts before 3 kept JSON, which begins with a brace and is still read.
type content struct {
	Call       vinfer.Call        `json:"call"`
	Transcript *vinfer.Transcript `json:"transcript,omitempty"`
}

const packed = 1 // the first byte

// Tags of a body's fields. They are stored: never renumber.
const (
	bodyID byte = iota + 1
	bodyCampaign
	bodyPhone
	bodyName
	bodyDirection
	bodyStatus
	bodyDisposition
	bodyDuration
	bodyLanguage
	bodyStarted
	bodyEnded
	bodyTranscriptURL
	bodyTranscriptJob
	bodySentiment
	bodyQA
	bodySummary
	bodyCallback
	bodyTranscript // JSON: one call in many has it here, and only until it is delivered
)

// texts lists the fields that are text, with their tags.
func (c *content) texts() [13]struct {
	tag byte
	at  *string
} {
	v := &c.Call
	return [13]struct {
		tag byte
		at  *string
	}{
		{bodyID, &v.ID},
		{bodyCampaign, &v.CampaignID},
		{bodyPhone, &v.Phone},
		{bodyName, &v.Name},
		{bodyDirection, &v.Direction},
		{bodyStatus, &v.Status},
		{bodyDisposition, &v.Disposition},
		{bodyLanguage, &v.Language},
		{bodyTranscriptURL, &v.TranscriptURL},
		{bodyTranscriptJob, &v.TranscriptJob},
		{bodySentiment, &v.Sentiment},
		{bodySummary, &v.Summary},
		{bodyCallback, &v.CallbackAt},
	}
}

func encode(c content) []byte {
	b := make([]byte, 1, 384)
	b[0] = packed
	for _, t := range c.texts() {
		if *t.at != "" {
			b = binary.AppendUvarint(append(b, t.tag), uint64(len(*t.at)))
			b = append(b, *t.at...)
		}
	}
	b = appendNumber(b, bodyDuration, c.Call.DurationSeconds)
	b = appendNumber(b, bodyQA, c.Call.QAScore)
	b = appendTime(b, bodyStarted, c.Call.StartedAt)
	b = appendTime(b, bodyEnded, c.Call.EndedAt)
	if c.Transcript != nil {
		t, err := json.Marshal(c.Transcript)
		if err != nil { // floats from JSON are finite: nothing in it can fail
			panic(fmt.Sprintf("encoding a transcript: %v", err))
		}
		b = binary.AppendUvarint(append(b, bodyTranscript), uint64(len(t)))
		b = append(b, t...)
	}
	return b
}

func appendNumber(b []byte, tag byte, n *float64) []byte {
	if n == nil {
		return b
	}
	return binary.BigEndian.AppendUint64(append(b, tag), math.Float64bits(*n))
}

func appendTime(b []byte, tag byte, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = binary.AppendVarint(append(b, tag), t.Unix())
	return binary.AppendUvarint(b, uint64(t.Nanosecond())) //nolint:gosec // it is never negative
}

var errNoContent = errors.New("stored call: it cannot be decoded")

func decode(b []byte) (content, error) {
	var c content
	if len(b) == 0 || b[0] != packed {
		if err := json.Unmarshal(b, &c); err != nil {
			return c, fmt.Errorf("stored call: %w", err)
		}
		return c, nil
	}
	texts := c.texts()
	u := unpacker{b: b[1:]}
	for len(u.b) > 0 && !u.bad {
		switch tag := u.take(1)[0]; tag {
		case bodyDuration:
			c.Call.DurationSeconds = u.number()
		case bodyQA:
			c.Call.QAScore = u.number()
		case bodyStarted:
			c.Call.StartedAt = u.time()
		case bodyEnded:
			c.Call.EndedAt = u.time()
		case bodyTranscript:
			if err := json.Unmarshal(u.text(), &c.Transcript); err != nil {
				return c, fmt.Errorf("stored call: transcript: %w", err)
			}
		default:
			known := false
			for _, t := range texts {
				if t.tag == tag {
					known, *t.at = true, string(u.text())
					break
				}
			}
			u.bad = u.bad || !known
		}
	}
	if u.bad {
		return c, errNoContent
	}
	return c, nil
}

// unpacker takes a body apart. After a fault it returns zero values.
type unpacker struct {
	b   []byte
	bad bool
}

func (u *unpacker) take(n int) []byte {
	if u.bad || n < 0 || n > len(u.b) {
		u.bad = true
		return nil
	}
	v := u.b[:n]
	u.b = u.b[n:]
	return v
}

func (u *unpacker) uint() uint64 {
	v, n := binary.Uvarint(u.b)
	u.take(max(n, 0))
	u.bad = u.bad || n <= 0
	return v
}

func (u *unpacker) text() []byte {
	n := u.uint()
	if n > uint64(len(u.b)) {
		u.bad = true
		return nil
	}
	return u.take(int(n)) //nolint:gosec // it is no more than what there is
}

func (u *unpacker) number() *float64 {
	if v := u.take(8); v != nil {
		n := math.Float64frombits(binary.BigEndian.Uint64(v))
		return &n
	}
	return nil
}

func (u *unpacker) time() time.Time {
	s, n := binary.Varint(u.b)
	u.take(max(n, 0))
	u.bad = u.bad || n <= 0
	ns := u.uint()
	if u.bad || ns > 999_999_999 {
		u.bad = true
		return time.Time{}
	}
	return time.Unix(s, int64(ns)).UTC() //nolint:gosec // it was looked at
}

// Readable returns what the store keeps of a call as JSON, for people. What is no such thing is returned as it is.
func Readable(body []byte) string {
	c, err := decode(body)
	if err != nil || len(body) == 0 || body[0] != packed {
		return string(body)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return string(body)
	}
	return string(b)
}
