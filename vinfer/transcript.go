package vinfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// TranscriptURL returns the URL of the transcript of a transcription job.
func (c *Client) TranscriptURL(job string) string {
	return c.base.String() + "/transcription/" + pathSegment(job) + "/transcript"
}

// Transcript returns what was said in a call, by the link in the row of the call, else by the id of the transcription job. A link
// to another origin is not followed, because the key must not go there: the job id in its path is asked for at the base URL
// instead. The error is ErrNotReady while there is no transcript yet (202, 404, 409, 425, or an answer without words or with the
// status of an unfinished job). The error is ErrNotFound if there never will be one: the job failed, the transcript is gone
// (410), or the call has neither a usable link nor a job id.
func (c *Client) Transcript(ctx context.Context, link, job string, p Priority) (Transcript, error) {
	if u := c.ownURL(link); u != "" {
		t, _, err := c.transcript(ctx, u, p)
		return t, err
	}
	if job == "" {
		job = jobInLink(link)
	}
	if job == "" {
		if link == "" {
			return Transcript{}, fmt.Errorf("%w: the call has neither a transcript link nor a transcription job", ErrNotFound)
		}
		return Transcript{}, fmt.Errorf("%w: the transcript link leads away from %s, where the key must not go, and names no job", ErrNotFound, c.base.Host)
	}
	t, done, err := c.transcript(ctx, c.base.String()+"/transcription/"+pathSegment(job), p)
	if done && errors.Is(err, ErrNotReady) {
		// The job is done but its answer holds no words: they are at the transcript itself.
		t, _, err = c.transcript(ctx, c.TranscriptURL(job), p)
	}
	return t, err
}

// ownURL returns a link as a whole URL if the link leads to the client's origin, else nothing.
func (c *Client) ownURL(link string) string {
	if link == "" {
		return ""
	}
	ref, err := url.Parse(link)
	if err != nil || ref.Opaque != "" || ref.Host == "" && !strings.HasPrefix(ref.Path, "/") {
		return ""
	}
	u := c.base.ResolveReference(ref)
	if u.User != nil || c.transport.Allow(u) != nil {
		return ""
	}
	u.Fragment = ""
	return u.String()
}

// jobInLink returns the job id in a link of the form …/transcription/{job}/transcript.
func jobInLink(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return ""
	}
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for i := len(parts) - 2; i >= 0; i-- {
		if parts[i] == "transcription" || parts[i] == "transcriptions" {
			if job, err := url.PathUnescape(parts[i+1]); err == nil {
				return job
			}
		}
	}
	return ""
}

func (c *Client) transcript(ctx context.Context, target string, p Priority) (t Transcript, done bool, err error) {
	a, err := c.get(ctx, target, p, func(a *answer) (err error) {
		if a.status == http.StatusAccepted || a.status == http.StatusNoContent {
			return ErrNotReady
		}
		b, err := io.ReadAll(io.LimitReader(a.body, maxTranscript+1))
		if err != nil {
			return err
		}
		t, done, err = decodeTranscript(a.header.Get("Content-Type"), b)
		return err
	})
	switch {
	case err == nil:
		return t, done, nil
	case a.status == http.StatusNotFound || a.status == http.StatusConflict || a.status == http.StatusTooEarly:
		return Transcript{}, false, fmt.Errorf("GET %s: %w: %d", safeLink(target), ErrNotReady, a.status)
	default:
		return Transcript{}, done, err
	}
}

func safeLink(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "[not a URL]"
	}
	return safeURL(u)
}

// transcriptParser collects a transcript from the objects that wrap one another in an answer.
type transcriptParser struct {
	Transcript
	status string
	cut    bool // there were more segments than are kept
}

// Limits of a transcript. An hour of talk is 60 KB of words.
const (
	maxTranscript = 8 << 20 // bytes of the answer
	maxWords      = 4 << 20 // bytes of what was said
	maxSegments   = 50_000
)

// cutNote ends a transcript that is longer.
const cutNote = "[The transcript goes on: VInfer sent more than is kept of one, and it is cut here.]"

// decodeTranscript reads a transcript: JSON with segments or text under one of several names, wrapped or not, or plain
// text. A transcript that is too long is cut. done says that the server called the job finished.
func decodeTranscript(contentType string, body []byte) (t Transcript, done bool, err error) {
	cut := len(body) > maxTranscript
	if cut {
		body = body[:maxTranscript]
	}
	media, _, _ := mime.ParseMediaType(contentType)
	isText := strings.HasPrefix(media, "text/") && media != "text/html" && media != "text/xml"
	if wide, sure := utf16Of(body, charset(contentType)); wide != nil && sure || isText {
		body = []byte(plainText(body, contentType))
	} else {
		body = recode(bytes.TrimPrefix(body, []byte(utf8BOM)), charset(contentType))
	}
	if body = bytes.TrimSpace(body); len(body) == 0 {
		return Transcript{}, false, ErrNotReady
	}
	if isText && !isStructured(body) {
		t.Text = string(body)
		return t.shorten(cut), true, nil
	}
	if cut {
		body = closeJSON(body)
	}
	raw, err := document(body)
	if err != nil {
		return Transcript{}, false, err
	}
	var s transcriptParser
	s.read(raw, 0)
	switch stateOf(s.status) {
	case jobPending:
		return Transcript{}, false, fmt.Errorf("%w: its status is %q", ErrNotReady, s.status)
	case jobFailed:
		if len(s.Segments) == 0 && s.Text == "" {
			return Transcript{}, false, fmt.Errorf("%w: the transcription %s", ErrNotFound, s.status)
		}
	case jobDone:
		done = true
	}
	if len(s.Segments) > 0 {
		s.Text = ""
	} else if s.Text == "" {
		return Transcript{}, done, fmt.Errorf("%w: the answer holds no words", ErrNotReady)
	}
	return s.shorten(cut || s.cut), done, nil
}

// shorten keeps at most maxWords and adds a note at the end of what was cut. cut says that words are missing already.
func (t Transcript) shorten(cut bool) Transcript {
	if len(t.Text) > maxWords {
		t.Text, cut = strings.ToValidUTF8(t.Text[:maxWords], ""), true
	}
	left := maxWords
	for i, s := range t.Segments {
		if left -= len(s.Text) + len(s.Speaker); left < 0 {
			t.Segments, cut = t.Segments[:i], true
			break
		}
	}
	switch {
	case !cut:
	case t.Text != "":
		t.Text += "\n" + cutNote
	default:
		t.Segments = append(t.Segments, Segment{Text: cutNote})
	}
	return t
}

// closeJSON closes a JSON document that was cut. A text ends where it was cut; every other value that was cut is removed.
func closeJSON(b []byte) []byte {
	var open []byte // the brackets that are to be closed
	safe := 0       // up to here whole values stand
	inString, name := false, false
	escape, escapeEnd := -1, 0 // the last escape in a text
	for i := 0; i < len(b); i++ {
		c := b[i]
		if inString {
			switch {
			case i < escapeEnd:
			case c == '\\':
				escape, escapeEnd = i, i+2
				if i+1 < len(b) && b[i+1] == 'u' {
					escapeEnd = i + 6
				}
			case c == '"':
				if inString = false; !name {
					safe = i + 1
				}
			}
			continue
		}
		switch c {
		case '"':
			inString, escape, escapeEnd = true, -1, 0
		case '{', '[':
			open = append(open, c)
			name, safe = c == '{', i+1
		case '}', ']':
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
			safe = i + 1
		case ':':
			name = false
		case ',':
			name, safe = len(open) > 0 && open[len(open)-1] == '{', i
		}
	}
	if inString && !name {
		if escape >= 0 && escapeEnd > len(b) {
			b = b[:escape]
		}
		for n := 0; n < utf8.UTFMax && len(b) > 0; n++ {
			if r, size := utf8.DecodeLastRune(b); r != utf8.RuneError || size != 1 {
				break
			}
			b = b[:len(b)-1]
		}
		safe = len(b)
	}
	out := append(make([]byte, 0, safe+len(open)+1), b[:safe]...)
	if inString && !name {
		out = append(out, '"')
	}
	for _, c := range slices.Backward(open) {
		out = append(out, c+2) // in ASCII each closing bracket is two behind its opening one
	}
	return out
}

// markup is how HTML and XML documents begin.
var markup = regexp.MustCompile(`(?i)^<(?:!doctype|!--|html|head|body|\?xml|title|script|div|p|h1|center)\b|^<!--|^<\?xml`)

// isStructured reports whether a text begins as JSON or HTML do, and not with a speaker or a time in brackets, as plain
// transcripts have it: "[Agent] …", "<Agent> …", "[00:00:01.000 --> 00:00:02.000] …".
func isStructured(b []byte) bool {
	switch b[0] {
	case '<':
		return markup.Match(b)
	case '{', '[':
		next := skipBlank(b, 1)
		if next == len(b) || bytes.IndexByte([]byte(`"{[]}`), b[next]) >= 0 {
			return true
		}
		return b[0] == '[' && json.Valid(b)
	case '"':
		return json.Valid(b)
	default:
		return bytes.Equal(b, []byte("null"))
	}
}

const (
	jobUnknown = iota
	jobPending
	jobDone
	jobFailed
)

// stateOf returns the state of a transcription by its status. Statuses that nobody has documented are jobUnknown.
func stateOf(status string) int {
	switch status {
	case "pending", "processing", "queued", "in_progress", "inprogress", "running", "submitted", "created", "started", "waiting",
		"scheduled", "not_started", "transcribing", "accepted", "new", "retrying", "not_ready", "in_queue", "enqueued":
		return jobPending
	case "completed", "complete", "done", "finished", "succeeded", "success", "ready", "ok":
		return jobDone
	case "failed", "error", "cancelled", "canceled", "aborted":
		return jobFailed
	}
	return jobUnknown
}

var (
	segmentNames = []string{"segments", "utterances", "turns", "transcript", "transcription", "entries", "messages", "conversation", "dialogue", "lines", "items", "data", "results", "result"}
	wordNames    = []string{"text", "transcript", "transcription", "full_text", "transcript_text", "content", "plain_text"}
	// vagueNames may hold a mere "success": only text with a space counts as words.
	vagueNames   = []string{"result", "data"}
	wrapperNames = []string{"data", "result", "results", "transcript", "transcription", "output", "job"}
)

// read collects a value and what the value wraps. The outer value wins.
func (s *transcriptParser) read(raw json.RawMessage, depth int) {
	switch kind(raw) {
	case '"':
		if s.Text == "" {
			s.Text = text(raw)
		}
		return
	case '[':
		if len(s.Segments) == 0 {
			s.Segments, s.cut = segments(raw)
		}
		return
	}
	o, ok := asObject(raw)
	if !ok || depth > 4 {
		return
	}
	if st := normalize(o.label("status", "state")); s.status == "" || stateOf(st) == jobPending {
		s.status = st
	}
	for _, n := range segmentNames {
		if len(s.Segments) == 0 && kind(o.get(n)) == '[' {
			s.Segments, s.cut = segments(o.get(n))
		}
	}
	for _, n := range wordNames {
		if s.Text == "" && kind(o.get(n)) == '"' {
			s.Text = text(o.get(n))
		}
	}
	for _, n := range vagueNames {
		if w := text(o.get(n)); s.Text == "" && kind(o.get(n)) == '"' && strings.ContainsAny(w, " \n") {
			s.Text = w
		}
	}
	if s.Language == "" {
		s.Language = o.label("language", "language_code")
	}
	lens, _ := asObject(o.get("neuronlens"))
	mood, score, summary := insight(o, lens)
	if s.Sentiment == "" {
		s.Sentiment = mood
	}
	if s.QAScore == nil {
		s.QAScore = score
	}
	if s.Summary == "" {
		s.Summary = summary
	}
	for _, n := range wrapperNames {
		if kind(o.get(n)) == '{' {
			s.read(o.get(n), depth+1)
		}
	}
}

// segments returns the utterances that have words. cut says that there are more than maxSegments.
func segments(raw json.RawMessage) (out []Segment, cut bool) {
	n := 0
	for r := range elements(raw) {
		if n++; n > maxSegments {
			return out, true
		}
		if w := text(r); kind(r) == '"' && w != "" {
			out = append(out, Segment{Text: w})
			continue
		}
		o, ok := asObject(r)
		if !ok {
			continue
		}
		g := Segment{
			Speaker: o.label("speaker", "role", "speaker_label", "label", "participant", "channel"),
			Text:    o.text("text", "content", "utterance", "transcript", "message", "sentence"),
			Start:   o.seconds("start", "start_time", "start_seconds", "offset"),
			End:     o.seconds("end", "end_time", "end_seconds"),
		}
		if w := normalize(g.Speaker); w == "agent" || w == "customer" {
			g.Speaker = w
		}
		if g.Start == 0 && g.End == 0 {
			g.Start, g.End = o.seconds("start_ms")/1000, o.seconds("end_ms")/1000
		}
		if g.Text != "" {
			out = append(out, g)
		}
	}
	return out, false
}

// seconds reads a position in a call: a number, or a clock such as 01:02.5; 0 when there is none.
func (o object) seconds(names ...string) float64 {
	for _, n := range names {
		s := text(o.get(n))
		if s == "" {
			continue
		}
		total := 0.0
		for part := range strings.SplitSeq(s, ":") {
			f, err := strconv.ParseFloat(part, 64)
			if err != nil || f < 0 || f > 1e9 {
				return 0
			}
			total = total*60 + f
		}
		if total > 1e9 {
			return 0
		}
		return total
	}
	return 0
}
