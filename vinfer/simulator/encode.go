package simulator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// appendRow appends a call as the listing has it, or as it had it before the disposition was set.
func (s *Server) appendRow(b []byte, i int32, base string, now time.Time, before bool) []byte {
	c := s.call(i)
	if before {
		c.Disposition = ""
	}
	if c.Raw != "" {
		return append(b, c.Raw...)
	}
	if s.o.Dialect == Guide {
		b = s.appendGuide(append(b, '{'), &c, base, now)
	} else {
		b = appendReference(append(b, '{'), &c, now)
	}
	return append(b, '}')
}

func (s *Server) appendGuide(b []byte, c *Call, base string, now time.Time) []byte {
	b = field(b, "call_id", c.ID)
	b = appendCommon(b, c, now)
	b = appendMoment(append(b, `,"timestamp":`...), c.End)
	b = append(b, `,"transcript_url":`...)
	if c.NoTranscript || c.Duration == 0 && c.Segments == nil {
		b = append(b, `null`...)
	} else {
		b = appendString(b, base+"/transcription/"+url.PathEscape(jobID(c.ID))+"/transcript")
	}
	b = append(b, `,"neuronlens":`...)
	if c.Sentiment == "" && c.QAScore == 0 && c.Summary == "" {
		b = append(b, `null`...)
	} else {
		b = appendLens(append(b, '{'), c)
		b = append(b, '}')
	}
	return b
}

func appendReference(b []byte, c *Call, now time.Time) []byte {
	b = field(b, "id", c.ID)
	b = appendCommon(b, c, now)
	st := c.status(now)
	b = field(append(b, ','), "status", st)
	b = appendMoment(append(b, `,"started_at":`...), c.Start)
	b = append(b, `,"ended_at":`...)
	if st == "in_progress" {
		return append(b, `null`...)
	}
	return appendMoment(b, c.End)
}

func appendCommon(b []byte, c *Call, now time.Time) []byte {
	b = field(append(b, ','), "campaign_id", c.Campaign)
	b = field(append(b, `,"contact":{`...), "phone", c.Phone)
	b = field(append(b, ','), "name", c.Name)
	b = append(b, '}')
	going := c.status(now) == "in_progress"
	shown := c.Disposition
	if going || c.DispositionAt.After(now) {
		shown = ""
	}
	b = field(append(b, ','), "disposition", shown)
	length := c.Duration
	if going && c.End.After(now) {
		length = max(min(length, now.Sub(c.Start).Truncate(time.Second)), 0)
	}
	b = strconv.AppendFloat(append(b, `,"duration_seconds":`...), length.Seconds(), 'f', -1, 64)
	b = field(append(b, ','), "language", c.Language)
	if c.Direction != "" {
		b = field(append(b, ','), "direction", c.Direction)
	}
	if c.CallbackAt != "" && !going {
		b = field(append(b, ','), "callback_at", c.CallbackAt)
	}
	return b
}

func appendLens(b []byte, c *Call) []byte {
	b = field(b, "sentiment", c.Sentiment)
	b = append(b, `,"qa_score":`...)
	if c.QAScore == 0 {
		b = append(b, `null`...)
	} else {
		b = strconv.AppendFloat(b, c.QAScore, 'f', -1, 64)
	}
	return field(append(b, ','), "summary", c.Summary)
}

// field appends a name and a text; an empty text is null.
func field(b []byte, name, value string) []byte {
	b = append(append(append(b, '"'), name...), `":`...)
	if value == "" {
		return append(b, `null`...)
	}
	return appendString(b, value)
}

func appendString(b []byte, s string) []byte {
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == 0xFFFD }) >= 0 {
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(s) // a string and a buffer: it cannot fail
		return append(b, bytes.TrimSpace(buf.Bytes())...)
	}
	return append(append(append(b, '"'), s...), '"')
}

func appendMoment(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, `null`...)
	}
	return append(t.UTC().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

func jobID(call string) string { return "job_" + strings.TrimPrefix(call, "call_") }

// details answers for one call: the listing's fields, the recording and the transcription job.
func (s *Server) details(id, base string, now time.Time) reply {
	s.advance(now)
	i, ok := s.find(id)
	if !ok {
		return failure(http.StatusNotFound, "not_found", "no such call")
	}
	c := s.call(i)
	if c.gone(now) || c.VisibleFrom.After(now) || c.Start.After(now) && c.VisibleFrom.IsZero() {
		return failure(http.StatusNotFound, "not_found", "no such call")
	}
	if c.Raw != "" {
		return reply{http.StatusOK, []byte(c.Raw)}
	}
	b := []byte{'{'}
	if s.o.Dialect == Guide {
		b = s.appendGuide(b, &c, base, now)
		b = field(append(b, ','), "status", c.status(now))
		b = appendMoment(append(b, `,"started_at":`...), c.Start)
		if c.status(now) == "in_progress" {
			b = bytes.Replace(b, appendMoment([]byte(`"timestamp":`), c.End), []byte(`"timestamp":null`), 1)
		}
	} else {
		b = appendReference(b, &c, now)
	}
	job, recording := "", ""
	if c.status(now) != "in_progress" && !c.NoTranscript && c.Duration > 0 {
		if !s.transcriptAt(&c).After(now) {
			job = jobID(c.ID)
		}
		if !s.o.RecordingsExpired {
			recording = base + "/recordings/" + c.ID + ".mp3?expires=" + strconv.FormatInt(now.Add(time.Hour).Unix(), 10) + "&signature=made-up"
		}
	}
	b = field(append(b, ','), "transcript_job_id", job)
	b = field(append(b, ','), "recording_url", recording)
	return reply{http.StatusOK, append(b, '}')}
}

func (s *Server) transcriptAt(c *Call) time.Time {
	if !c.TranscriptAt.IsZero() || c.End.IsZero() {
		return c.TranscriptAt
	}
	return c.End.Add(s.o.TranscriptDelay)
}

// transcription answers for a job, or for its transcript.
func (s *Server) transcription(job string, whole bool, now time.Time) reply {
	s.advance(now)
	rest, isJob := strings.CutPrefix(job, "job_")
	i, ok := s.find("call_" + rest)
	if !ok {
		i, ok = s.find(rest) // of an added call whose id has no prefix
	}
	if !ok || !isJob {
		return failure(http.StatusNotFound, "not_found", "no such transcription")
	}
	c := s.call(i)
	if c.gone(now) || c.NoTranscript || c.status(now) == "in_progress" {
		return failure(http.StatusNotFound, "not_found", "no such transcription")
	}
	if s.transcriptAt(&c).After(now) {
		if s.o.Pending >= 400 {
			return failure(s.o.Pending, "not_ready", "the transcription is not ready")
		}
		return reply{s.o.Pending, []byte(`{"id":` + strconv.Quote(job) + `,"status":"processing"}`)}
	}
	b := field([]byte{'{'}, "id", job)
	b = field(append(b, ','), "call_id", c.ID)
	b = append(field(append(b, ','), "status", "completed"), ',')
	if !whole {
		b = append(b, `"result":{`...)
	}
	b = field(b, "language", c.Language)
	b = append(b, `,"segments":`...)
	segments, _ := json.Marshal(c.segments())
	b = append(append(b, segments...), ',')
	b = append(appendLens(b, &c), '}')
	if !whole {
		b = append(b, '}')
	}
	return reply{http.StatusOK, b}
}
