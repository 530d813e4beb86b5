package vinfer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

const maxRaw = 64 << 10 // of a broken row

// unreadable makes an ErrUnreadable that says why.
func unreadable(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrUnreadable}, args...)...)
}

// document checks that a body is one JSON value and returns it.
func document(body []byte) (json.RawMessage, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	switch {
	case len(body) == 0:
		return nil, unreadable("it is empty")
	case body[0] == '<':
		return nil, unreadable("it is HTML or XML, not JSON")
	}
	if !json.Valid(body) {
		return nil, unreadable("it is no JSON, or cut off (%d bytes)", len(body))
	}
	return body, nil
}

// decodePage reads a listing: an array of rows, bare or under one of several names.
func decodePage(body []byte) (Page, error) {
	raw, err := document(body)
	if err != nil {
		return Page{}, err
	}
	p := Page{Total: -1}
	rows, ok := asList(raw)
	if !ok {
		top, isObject := asObject(raw)
		if !isObject {
			return Page{}, unreadable("it is neither a list nor an object")
		}
		var holder object
		if rows, holder, ok = findList(top); !ok {
			return Page{}, unreadable("it has no list of calls")
		}
		if len(rows) == 0 && (truthy(top.get("error")) || truthy(top.get("errors")) || denied(top)) {
			return Page{}, unreadable("it is an error")
		}
		p.Total, p.Limit = counts(top, holder)
		p.partial = partial(top, holder, p.Total, len(rows))
	}
	p.Rows = len(rows)
	p.Calls = make([]Call, 0, len(rows))
	for _, r := range rows {
		c, err := decodeRow(r)
		if err != nil {
			p.Broken = append(p.Broken, Broken{ID: c.ID, Raw: keep(r), Err: err.Error()})
			continue
		}
		p.Calls = append(p.Calls, c)
	}
	return p, nil
}

// denied tells whether an answer says of itself that it failed.
func denied(top object) bool {
	for _, n := range []string{"success", "ok"} {
		if v := top.get(n); v != nil && !truthy(v) && kind(v) == 'f' {
			return true
		}
	}
	switch word(top.label("status")) {
	case "error", "failed", "failure", "fail":
		return true
	}
	return false
}

var listNames = []string{"data", "calls", "results", "items"}

// findList looks for the rows in an object, and in an object wrapped in it. The holder is the object that has them.
func findList(top object) (rows []json.RawMessage, holder object, ok bool) {
	for _, n := range listNames {
		if rows, ok := asList(top.get(n)); ok {
			return rows, top, true
		}
	}
	for _, n := range listNames {
		inner, ok := asObject(top.get(n))
		if !ok {
			continue
		}
		for _, n := range listNames {
			if rows, ok := asList(inner.get(n)); ok {
				return rows, inner, true
			}
		}
	}
	return nil, nil, false
}

// pagingPlaces are the objects of an answer that may speak of its pages.
func pagingPlaces(top, holder object) []object {
	places := []object{top, holder}
	for _, n := range []string{"meta", "pagination", "paging", "links"} {
		if o, ok := asObject(top.get(n)); ok {
			places = append(places, o)
		}
	}
	return places
}

// partial tells whether an answer of so many rows to a request without a limit says that it is, or may be, one page of
// several. A total that is its own length says that it is not, unless the page is full by the size it names.
func partial(top, holder object, total, rows int) bool {
	for _, o := range pagingPlaces(top, holder) {
		for _, n := range []string{"next", "next_page", "next_offset", "next_cursor", "next_url", "cursor", "has_more", "hasMore", "has_next", "more"} {
			if truthy(o.get(n)) {
				return true
			}
		}
		if n := o.number("total_pages", "pages"); n != nil && *n > 1 {
			return true
		}
		size := o.number("limit", "page_size", "per_page")
		named := size != nil || o.get("offset") != nil || o.get("page") != nil
		if named && (total != rows || size != nil && float64(rows) >= *size) {
			return true
		}
	}
	return false
}

// counts reads the total (-1: not said) and the page size (0: not said) from where they may stand.
func counts(top, holder object) (total, limit int) {
	total = -1
	for _, o := range pagingPlaces(top, holder) {
		if f := o.number("total", "total_count"); f != nil && total < 0 && *f >= 0 && *f <= 1e15 {
			total = int(*f)
		}
		if f := o.number("limit", "page_size", "per_page"); f != nil && limit == 0 && *f >= 1 && *f <= 1e9 {
			limit = int(*f)
		}
	}
	return total, limit
}

// keep returns a row for the record: valid JSON of at most maxRaw bytes. One that is longer becomes a JSON string of its
// beginning.
func keep(raw json.RawMessage) json.RawMessage {
	if len(raw) <= maxRaw && utf8.Valid(raw) {
		return bytes.Clone(raw)
	}
	s := strings.ToValidUTF8(string(raw[:min(len(raw), maxRaw)]), "\uFFFD")
	if len(raw) <= maxRaw && len(s) <= maxRaw {
		return json.RawMessage(s)
	}
	for n := maxRaw / 2; ; n /= 2 {
		if b, err := json.Marshal(strings.ToValidUTF8(s[:min(n, len(s))], "")); err == nil && len(b) <= maxRaw {
			return b
		}
	}
}

// decodeCall reads the details of the call with this id, bare or wrapped.
func decodeCall(body []byte, id string) (Call, error) {
	raw, err := document(body)
	if err != nil {
		return Call{}, err
	}
	o, ok := asObject(raw)
	if !ok {
		return Call{}, unreadable("it is no object")
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

// decodeRow reads one call. What is wrong with a field that a call can do without makes the field unknown; without an
// id, or with a completion time that makes no sense, there is no telling which call it is or where it belongs, and the
// row is an error. The id is returned all the same where it is known.
func decodeRow(raw json.RawMessage) (Call, error) {
	o, ok := asObject(raw)
	if !ok {
		return Call{}, fmt.Errorf("the row is no object")
	}
	c := Call{ID: o.id("call_id", "id")}
	if c.ID == "" {
		return Call{}, fmt.Errorf("the row has no usable id")
	}
	c.Status = word(o.label("status"))
	c.DurationSeconds = duration(o.number("duration_seconds", "duration"))
	if err := c.times(o); err != nil {
		return Call{ID: c.ID}, err
	}
	c.contact(o)
	c.CampaignID = o.label("campaign_id", "campaign")
	c.Direction = word(o.label("direction", "call_direction"))
	c.Disposition = o.label("disposition")
	c.Language = o.label("language")
	c.CallbackAt = o.text("callback_at", "callback_time", "scheduled_at", "requested_callback_time")
	c.transcript(o)
	lens, _ := asObject(o.get("neuronlens"))
	c.Sentiment, c.QAScore, c.Summary = insight(lens, o)
	if k := kind(o.get("contact")); (k == '[' || k == 't' || k == 'f') && c == (Call{ID: c.ID}) {
		return Call{ID: c.ID}, fmt.Errorf("the row has no usable field but its id")
	}
	return c, nil
}

// word puts a status or direction in lower case with underscores, as the documentation writes them.
func word(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return '_'
		}
		return r
	}, strings.ToLower(s))
}

// duration drops what cannot be a call's length: below 0, or above eleven days.
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
		return fmt.Errorf("its completion time is no time: %q", excerpt([]byte(o.text("ended_at", "completed_at", "end_time", "timestamp"))))
	}
	if startErr != nil && ended.IsZero() && c.Status != "in_progress" {
		return fmt.Errorf("its start is no time: %q", excerpt([]byte(o.text("started_at", "start_time"))))
	}
	c.StartedAt, c.EndedAt = started, ended // a senseless start is the zero time
	return nil
}

func (c *Call) contact(o object) {
	if who, ok := asObject(o.get("contact")); ok {
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
