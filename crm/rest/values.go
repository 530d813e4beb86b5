package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/mask"
)

// class says where in a recipe a value is known.
type class int

const (
	forContact class = 1 << iota
	forUser
	forHeader
	forCall
	forTask
	forNote
	isFields // a request that sends the fields of a record
	isID     // a request about a record that is known

	forRecord = forCall | forTask | forNote
	forAny    = forContact | forRecord
)

// scope is what the values of a template are taken from.
type scope struct {
	w       *Writer
	entry   *crm.Entry
	number  phone.Number
	contact people.Record
	change  record.Change
	note    *record.Note
	step    string // of the call: "call", "task", "note"
	key     string // of the call at this contact
	owner   string
	id      string
	fields  record.Fields
	token   string
}

// value is what a template can name.
type value struct {
	of    func(s *scope) any // nil: it is absent
	class class
	free  bool // people or callers wrote it
	safe  bool // it has no character with a meaning in any language of filters
}

// values are those of templates, by name. .Vars.x and .Contact.Picked.x are besides.
var values map[string]value

func init() { // values refers to functions that refer to it
	str := func(s string) any {
		if s = text.Clean(s); s == "" {
			return nil
		}
		return s
	}
	at := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t
	}
	yes := func(b bool) any {
		if !b {
			return nil
		}
		return true
	}
	call := func(f func(c *crm.Call) any) func(s *scope) any {
		return func(s *scope) any {
			if s.entry == nil {
				return nil
			}
			return f(&s.entry.Call)
		}
	}
	values = map[string]value{
		"Call.ID":             {of: call(func(c *crm.Call) any { return str(c.ID) }), class: forAny, free: true},
		"Call.Campaign":       {of: call(func(c *crm.Call) any { return str(c.Campaign) }), class: forAny, free: true},
		"Call.Name":           {of: call(func(c *crm.Call) any { return str(c.Contact.Name) }), class: forAny, free: true},
		"Call.Direction":      {of: call(func(c *crm.Call) any { return str(c.Direction) }), class: forAny, free: true},
		"Call.Disposition":    {of: call(func(c *crm.Call) any { return str(c.Disposition) }), class: forAny, free: true},
		"Call.RawDisposition": {of: call(func(c *crm.Call) any { return str(c.RawDisposition) }), class: forAny, free: true},
		"Call.Language":       {of: call(func(c *crm.Call) any { return str(c.Language) }), class: forAny, free: true},
		"Call.Sentiment":      {of: call(func(c *crm.Call) any { return str(c.Sentiment) }), class: forAny, free: true},
		"Call.Summary":        {of: call(func(c *crm.Call) any { return str(c.Summary) }), class: forAny, free: true},
		"Call.TranscriptURL":  {of: call(func(c *crm.Call) any { return str(c.TranscriptURL) }), class: forAny, free: true},
		"Call.CallbackAt":     {of: call(func(c *crm.Call) any { return at(c.CallbackAt) }), class: forAny, safe: true},
		"Call.At":             {of: call(func(c *crm.Call) any { start, _, _ := record.Span(c); return at(start) }), class: forAny, safe: true},
		"Call.StartedAt":      {of: call(func(c *crm.Call) any { start, _ := span(c); return at(start) }), class: forAny, safe: true},
		"Call.EndedAt":        {of: call(func(c *crm.Call) any { _, end := span(c); return at(end) }), class: forAny, safe: true},
		"Call.Duration": {of: call(func(c *crm.Call) any {
			if length, known := record.Length(c); known {
				return int64(length / time.Second)
			}
			return nil
		}), class: forAny, safe: true},
		"Call.QAScore": {of: call(func(c *crm.Call) any {
			if text.Number(c.QAScore) == "" {
				return nil
			}
			return *c.QAScore
		}), class: forAny, safe: true},
		"Call.Connected": {of: call(func(c *crm.Call) any {
			if answered, known := record.Connected(c); known {
				return answered
			}
			return nil
		}), class: forAny, safe: true},

		"Phone.E164":     {of: func(s *scope) any { return str(s.number.E164()) }, class: forAny, safe: true},
		"Phone.Digits":   {of: func(s *scope) any { return str(strings.TrimPrefix(s.number.E164(), "+")) }, class: forAny, safe: true},
		"Phone.National": {of: func(s *scope) any { return str(s.number.National()) }, class: forAny, safe: true},
		"Phone.Last10":   {of: func(s *scope) any { return str(s.number.Tail(10)) }, class: forAny, safe: true},
		"Phone.Pattern":  {of: func(s *scope) any { return str(strings.Join(strings.Split(s.number.Tail(10), ""), "%")) }, class: forAny, safe: true},
		"Phone.Spellings": {of: func(s *scope) any {
			if s.number.IsZero() {
				return nil
			}
			return s.number.Spellings()
		}, class: forAny, free: true},
		"Phone.Masked": {of: func(s *scope) any { return str(mask.Phone(s.number.String())) }, class: forAny, free: true},

		"Contact.ID":    {of: func(s *scope) any { return str(s.contact.ID) }, class: forAny},
		"Contact.Owner": {of: func(s *scope) any { return str(s.contact.Owner) }, class: forRecord},
		"Name":          {of: func(s *scope) any { return str(s.change.Name) }, class: forContact, free: true},
		"Status":        {of: func(s *scope) any { return str(s.change.Status) }, class: forContact, free: true},
		"DoNotCall":     {of: func(s *scope) any { return yes(s.change.DoNotCall) }, class: forContact, safe: true},
		"Owner":         {of: func(s *scope) any { return str(s.owner) }, class: forAny | forUser},

		"Title":               {of: func(s *scope) any { return str(s.title(255)) }, class: forCall | forNote, free: true},
		"Text":                {of: func(s *scope) any { return str(s.words()) }, class: forCall | forNote, free: true},
		"HTML":                {of: func(s *scope) any { return str(text.HTML(s.words())) }, class: forCall | forNote, free: true},
		"Task.Title":          {of: func(s *scope) any { return str(s.entry.Task.Title) }, class: forTask, free: true},
		"Task.Due":            {of: func(s *scope) any { return at(s.entry.Task.Due) }, class: forTask, safe: true},
		"Transcript.Text":     {of: func(s *scope) any { return str(s.transcript().Text) }, class: forNote, free: true},
		"Transcript.Language": {of: func(s *scope) any { return str(s.transcript().Language) }, class: forNote, free: true},
		"Transcript.Summary":  {of: func(s *scope) any { return str(s.transcript().Summary) }, class: forNote, free: true},

		"Key": {of: func(s *scope) any {
			if s.key == "" {
				return nil
			}
			return keyOf(s.key) + "-" + s.step
		}, class: forRecord | forHeader, safe: true},
		"CallKey": {of: func(s *scope) any {
			if s.key == "" {
				return nil
			}
			return keyOf(s.key)
		}, class: forRecord | forHeader, safe: true},
		"Attempt": {of: func(s *scope) any {
			if s.entry == nil {
				return nil
			}
			return int64(s.entry.Attempt)
		}, class: forAny | forHeader, safe: true},
		"ID": {of: func(s *scope) any { return str(s.id) }, class: isID},
		"Fields": {of: func(s *scope) any {
			if len(s.fields) == 0 {
				return nil
			}
			return map[string]any(s.fields)
		}, class: isFields, free: true},
		"Token": {of: func(s *scope) any { return str(s.token) }, class: forHeader, free: true},
	}
}

// span returns when a call began and ended; zero: not both are known.
func span(c *crm.Call) (start, end time.Time) {
	if start, end, known := record.Span(c); known {
		return start, end
	}
	return time.Time{}, time.Time{}
}

// title returns the line that says what came of a call, or which note it is.
func (s *scope) title(limit int) string {
	switch {
	case s.note == nil:
		return text.Title(s.entry, limit)
	case s.note.Link:
		return text.Line("Transcript link of "+text.Spoken(s.entry, s.w.s.In), limit)
	}
	return text.Line("Transcript of "+text.Spoken(s.entry, s.w.s.In), limit)
}

// longest is how many characters a text has at most where the recipe does not cut it.
const longest = 1 << 20

func (s *scope) words() string {
	if s.note == nil {
		return text.NewBody(s.entry).Within(longest)
	}
	return s.note.Text(longest)
}

func (s *scope) transcript() crm.Transcript {
	if s.entry.Transcript == nil {
		return crm.Transcript{}
	}
	return *s.entry.Transcript
}

var (
	plainKey    = regexp.MustCompile(`^[a-z0-9-]{1,50}$`)
	wholeNumber = regexp.MustCompile(`^(0|[1-9][0-9]{0,17})$`)
	noKey       = regexp.MustCompile(`[^a-z0-9-]+`)
)

// keyOf returns the key of a call: letters a to z, digits and dashes, so that it can stand in paths and filters. A call whose id has others, or capitals,
// which many databases do not tell from small letters, gets a part of a hash.
func keyOf(call string) string {
	if plainKey.MatchString(call) {
		return "vinfer-" + call
	}
	sum := sha256.Sum256([]byte(call))
	plain := noKey.ReplaceAllString(strings.ToLower(call), "-")
	return "vinfer-" + strings.Trim(plain[:min(len(plain), 40)], "-") + "-" + hex.EncodeToString(sum[:4])
}

// value returns the value of the expression; nil: it is absent.
func (e expression) value(s *scope) any {
	switch {
	case e.literal != nil:
		return e.literal
	case e.call:
		return e.apply(s)
	case strings.HasPrefix(e.name, "Vars."):
		if v := s.w.vars[e.name[len("Vars."):]]; v != "" {
			return v
		}
		return nil
	case strings.HasPrefix(e.name, "Contact.Picked."):
		return s.contact.Picked[e.name[len("Contact.Picked."):]]
	}
	return values[e.name].of(s)
}

func (e expression) apply(s *scope) any {
	switch e.name {
	case "or":
		for _, a := range e.args {
			if v := a.value(s); v != nil {
				return v
			}
		}
		return nil
	case "secret":
		return s.w.secret(e.args[0].literal.(string))
	}
	v := e.args[len(e.args)-1].value(s)
	if v == nil {
		return nil
	}
	switch e.name {
	case "line":
		if e.args[1].name == "Title" {
			return s.title(max(limitOf(e), 1))
		}
		return text.Line(s.text(v), max(limitOf(e), 1))
	case "cut":
		if e.args[1].name == "HTML" {
			return htmlWithin(s.words(), limitOf(e))
		}
		return text.Cut(s.text(v), limitOf(e))
	case "json":
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s.plain(v)); err != nil {
			return nil
		}
		return strings.TrimSpace(b.String())
	case "at":
		if t, ok := v.(time.Time); ok {
			return t.In(s.w.zone).Format(e.args[0].literal.(string))
		}
	case "number":
		if n := json.Number(s.text(v)); wholeNumber.MatchString(n.String()) {
			return n
		}
		return v
	case "clock":
		if seconds, ok := v.(int64); ok {
			minutes := (seconds + 59) / 60
			return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60)
		}
	}
	return nil
}

// limitOf returns the limit of a cut or a line.
func limitOf(e expression) int { return int(e.args[0].literal.(int64)) }

func htmlWithin(plain string, limit int) string {
	return text.HTML(text.CutBy(plain, limit, func(s string) int { return len([]rune(text.HTML(s))) }))
}

// plain returns a value as it is put into JSON.
func (s *scope) plain(v any) any {
	t, ok := v.(time.Time)
	if !ok {
		return v
	}
	switch t = t.In(s.w.zone); s.w.recipe.Times.Format {
	case "unix":
		return t.Unix()
	case "unixms":
		return t.UnixMilli()
	case "", "rfc3339":
		return t.Format(time.RFC3339)
	}
	return t.Format(s.w.recipe.Times.Format)
}

// text returns a value as a text.
func (s *scope) text(v any) string {
	switch v := s.plain(v).(type) {
	case float64:
		return text.Number(&v)
	case []string:
		return strings.Join(v, ",")
	case int64:
		return fmt.Sprint(v)
	default:
		return textOf(v)
	}
}
