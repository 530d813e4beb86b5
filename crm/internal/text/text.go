// Package text puts into words what a CRM has no field for: the title and the description of a call's activity, the transcript
// link and the transcript as notes.
//
// The words have a fixed form, so that a writer recognises its own in what a CRM returns: a newer state of the call is laid over
// an older one (Over) without losing what only the older one knew or what people have added.
package text

import (
	"html"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Titled is how every Title begins: by it one that people changed is told from ours.
const Titled = "AI call"

// Title returns one line that says what came of a call, at most limit characters long.
func Title(e *crm.Entry, limit int) string {
	t := Titled
	if e.Call.Direction == "inbound" {
		t = "AI call received"
	}
	if o := Outcome(e); o != "" {
		t += ": " + o
	}
	if d := Duration(e.Call.Duration); d != "" {
		t += " (" + d + ")"
	}
	return Line(t, limit)
}

// Retitles tells whether the Title of a call takes the place of the one that is held: not of one that people gave it, nor where it would say less.
func Retitles(e *crm.Entry, held string) bool {
	return (held == "" || strings.HasPrefix(held, Titled)) && e.Call.Duration != nil && Outcome(e) != ""
}

// Outcome returns the call's disposition as people write it, or that it failed; empty: not known.
func Outcome(e *crm.Entry) string {
	d := e.Call.RawDisposition
	if d == "" {
		d = e.Call.Disposition
	}
	if d == "" && e.Call.Status == "failed" {
		d = "failed"
	}
	if e.Call.Disposition == "dnc" {
		d = "do not call" // "dnd" is an abbreviation that not everybody knows
	}
	d = strings.Join(strings.FieldsFunc(d, func(r rune) bool { return r == '_' || unicode.IsSpace(r) }), " ")
	first, size := utf8.DecodeRuneInString(d)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + d[size:]
}

// Duration returns seconds as people say them: "2 min 25 s"; "not connected" for 0, and nothing for what is not known.
func Duration(seconds *float64) string {
	if seconds == nil || !(*seconds >= 0) || *seconds > 1e7 {
		return ""
	}
	d := time.Duration(*seconds * float64(time.Second)).Round(time.Second)
	switch h, m, s := int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60; {
	case *seconds == 0:
		return "not connected"
	case h > 0:
		return strconv.Itoa(h) + " h " + strconv.Itoa(m) + " min"
	case m > 0:
		return strconv.Itoa(m) + " min " + strconv.Itoa(s) + " s"
	default:
		return strconv.Itoa(s) + " s"
	}
}

// Number returns a number without needless digits; empty: nil, or none.
func Number(f *float64) string {
	if f == nil || *f != *f || *f > 1e15 || *f < -1e15 {
		return ""
	}
	return strconv.FormatFloat(*f, 'f', -1, 64)
}

// keyed stands beside the link to a transcript, which a browser cannot open.
const keyed = " (opens with VInfer's API key only)"

// Link returns the note that leads to a call's transcript. It begins with LinkHead.
func Link(c *crm.Call) string { return LinkHead(c.ID) + " " + c.TranscriptURL + keyed }

// LinkHead is how the note with the link of a call's transcript begins: by it an earlier attempt's is found.
func LinkHead(call string) string { return "Transcript link of VInfer call " + call + ":" }

// NoteHead is how the note with a call's transcript begins: by it an earlier attempt's is found.
func NoteHead(call string) string { return "Transcript of VInfer call " + call + ":" }

// Spoken names a call as people know it: by when it was, in the zone of local, and what came of it: "the AI call of 28 Nov 2026, 22:04 (Interested)".
func Spoken(e *crm.Entry, local func(time.Time) time.Time) string {
	said, at := "the AI call", e.Call.StartedAt
	if at.IsZero() {
		at = e.Call.EndedAt
	}
	if !at.IsZero() {
		said += " of " + local(at).Format("2 Jan 2006, 15:04")
	}
	if o := Outcome(e); o != "" {
		said += " (" + Line(o, 100) + ")"
	}
	return said
}

// Note returns the transcript as a note of at most limit characters: NoteHead, which call it was and what is known of it in the first lines, an empty
// line, then what was said.
func Note(e *crm.Entry, local func(time.Time) time.Time, limit int) string {
	t, head := e.Transcript, NoteHead(e.Call.ID)
	if t.Language != "" {
		head += " " + Line(t.Language, 50)
	}
	head += "\nOf " + Spoken(e, local)
	if t.Summary != "" {
		head += "\n" + Line(t.Summary, 2000)
	}
	return Cut(head+"\n\n"+Clean(t.Text), limit)
}

// HasNote tells whether an entry brings a transcript with something in it.
func HasNote(e *crm.Entry) bool {
	return e.Transcript != nil && (e.Transcript.Text != "" || e.Transcript.Summary != "")
}

// Clean returns s without the character NUL, which no CRM can hold, and without broken UTF-8.
func Clean(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "") }

// Line returns s as one line of at most limit characters: white space is folded, and what was cut off is marked by an ellipsis.
func Line(s string, limit int) string {
	s = strings.Join(strings.Fields(Clean(s)), " ")
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:limit-1])) + "…"
}

// Cut returns s if it has at most limit characters, else its beginning and a word that it was cut.
func Cut(s string, limit int) string { return CutBy(s, limit, utf8.RuneCountInString) }

// CutBy is Cut for a limit that the CRM counts in its own way. size tells what a text counts, and must add up over its characters.
func CutBy(s string, limit int, size func(string) int) string {
	return cut(s, limit, "characters", utf8.RuneCountInString(s), size)
}

// CutBytes is Cut for a limit in bytes of UTF-8, as MySQL's TEXT has one of 65,535.
func CutBytes(s string, limit int) string {
	return cut(s, limit, "bytes", len(s), func(s string) int { return len(s) })
}

func cut(s string, limit int, unit string, whole int, size func(string) int) string {
	if size(s) <= limit {
		return s
	}
	note := "\n[… cut here: " + strconv.Itoa(whole) + " " + unit + " in all]"
	room := limit - size(note)
	if room < 0 {
		note, room = "", limit
	}
	n := 0
	for i, r := range s {
		if n += size(string(r)); n > room {
			return s[:i] + note
		}
	}
	return s
}

// HTML returns s for a field whose content is HTML: everything escaped, line ends as <br>.
func HTML(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(html.EscapeString(s), "\r\n", "\n"), "\n", "<br>")
}

var (
	breaks  = regexp.MustCompile(`(?i)<br\s*/?>\n?|</(?:p|div|li)>\n?`)
	markup  = regexp.MustCompile(`</?[a-zA-Z][^<>]*>`)
	opening = regexp.MustCompile(`(?i)^<(?:p|div|li)[\s>]`)
)

// Plain is the way back from HTML, for what a CRM returns. A paragraph begins a line, also where what is before it is none.
func Plain(s string) string {
	s = breaks.ReplaceAllString(s, "\n")
	var out strings.Builder
	last := 0
	for _, at := range markup.FindAllStringIndex(s, -1) {
		out.WriteString(s[last:at[0]])
		if text := out.String(); opening.MatchString(s[at[0]:at[1]]) && text != "" && !strings.HasSuffix(text, "\n") {
			out.WriteByte('\n')
		}
		last = at[1]
	}
	return html.UnescapeString(out.String() + s[last:])
}
