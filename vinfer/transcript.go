package vinfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// TranscriptURL returns where the transcript of a transcription job is.
func (c *Client) TranscriptURL(job string) string {
	return c.base.String() + "/transcription/" + segment(job) + "/transcript"
}

// Transcript returns what was said in a call, by the link that its row has, else by the id of its transcription job.
// A link to another origin is not followed, for the key must not go there: the job id in its path is asked for on our
// own. The error is ErrNotReady while there is nothing to be had (202, 404, 409, 425, or an answer without words or with
// the status of an unfinished job), and ErrNotFound when there never will be: the job failed, the transcript is gone
// (410), or neither link nor job id leads to it.
func (c *Client) Transcript(ctx context.Context, link, job string, p Priority) (Transcript, error) {
	if u := c.own(link); u != "" {
		t, _, err := c.transcript(ctx, u, p)
		return t, err
	}
	if job == "" {
		job = jobOf(link)
	}
	if job == "" {
		if link == "" {
			return Transcript{}, fmt.Errorf("%w: the call has neither a transcript link nor a transcription job", ErrNotFound)
		}
		return Transcript{}, fmt.Errorf("%w: the transcript link leads away from %s, where the key must not go, and names no job", ErrNotFound, c.base.Host)
	}
	t, done, err := c.transcript(ctx, c.base.String()+"/transcription/"+segment(job), p)
	if done && errors.Is(err, ErrNotReady) {
		// The job is done but its answer holds no words: they are at the transcript itself.
		t, _, err = c.transcript(ctx, c.TranscriptURL(job), p)
	}
	return t, err
}

// own returns a link as a whole URL if it leads to our origin, else nothing.
func (c *Client) own(link string) string {
	if link == "" {
		return ""
	}
	ref, err := url.Parse(link)
	if err != nil || ref.Opaque != "" || ref.Host == "" && !strings.HasPrefix(ref.Path, "/") {
		return ""
	}
	u := c.base.ResolveReference(ref)
	if u.User != nil || !sameOrigin(c.base, u) {
		return ""
	}
	u.Fragment = ""
	return u.String()
}

// jobOf reads the job id from a link of the form …/transcription/{job}/transcript.
func jobOf(link string) string {
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
		t, done, err = decodeTranscript(a.header.Get("Content-Type"), a.body)
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

// spoken collects what the wrappers of a transcript say.
type spoken struct {
	Transcript
	status string
}

// decodeTranscript reads a transcript: JSON with segments or text under one of several names, wrapped or not, or plain
// text. done tells that the server called the job finished.
func decodeTranscript(contentType string, body []byte) (t Transcript, done bool, err error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if len(body) == 0 {
		return Transcript{}, false, ErrNotReady
	}
	media, _, _ := mime.ParseMediaType(contentType)
	if plain := strings.HasPrefix(media, "text/") && media != "text/html" && media != "text/xml"; plain && !looksMarked(body) && !json.Valid(body) {
		return Transcript{Text: strings.ToValidUTF8(string(body), "\uFFFD")}, true, nil
	}
	raw, err := document(body)
	if err != nil {
		return Transcript{}, false, err
	}
	var s spoken
	s.read(raw, 0)
	switch job(s.status) {
	case jobPending:
		return Transcript{}, false, fmt.Errorf("%w: its status is %q", ErrNotReady, excerpt([]byte(s.status)))
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
	return s.Transcript, done, nil
}

// looksMarked tells whether a body begins as JSON, HTML or XML do.
func looksMarked(b []byte) bool { return b[0] == '<' || b[0] == '{' || b[0] == '[' && !isClock(b) }

// isClock tells whether a line begins with a time in brackets, as plain transcripts have it: "[00:12] Agent: …".
func isClock(b []byte) bool {
	end := bytes.IndexByte(b, ']')
	return end > 0 && end < 16 && bytes.IndexByte(b[:end], ':') > 0 && bytes.Trim(b[1:end], "0123456789:.,") == nil
}

const (
	jobUnknown = iota
	jobPending
	jobDone
	jobFailed
)

// job classes the status of a transcription; those that nobody has documented are jobUnknown.
func job(status string) int {
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
	// These may as well hold a mere "success": words have a space.
	vagueNames   = []string{"result", "data"}
	wrapperNames = []string{"data", "result", "results", "transcript", "transcription", "output", "job"}
)

// read takes up a value and what it wraps; what stands farther out wins.
func (s *spoken) read(raw json.RawMessage, depth int) {
	switch kind(raw) {
	case '"':
		if s.Text == "" {
			s.Text = text(raw)
		}
		return
	case '[':
		if len(s.Segments) == 0 {
			s.Segments = segments(raw)
		}
		return
	}
	o, ok := asObject(raw)
	if !ok || depth > 4 {
		return
	}
	if st := word(o.label("status", "state")); s.status == "" || job(st) == jobPending {
		s.status = st
	}
	for _, n := range segmentNames {
		if len(s.Segments) == 0 && kind(o.get(n)) == '[' {
			s.Segments = segments(o.get(n))
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

// segments reads utterances, leaving out those without words.
func segments(raw json.RawMessage) []Segment {
	list, _ := asList(raw)
	out := make([]Segment, 0, len(list))
	for _, r := range list {
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
		if w := word(g.Speaker); w == "agent" || w == "customer" {
			g.Speaker = w
		}
		if g.Start == 0 && g.End == 0 {
			g.Start, g.End = o.seconds("start_ms")/1000, o.seconds("end_ms")/1000
		}
		if g.Text != "" {
			out = append(out, g)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
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
