package text_test

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

func TestTitle(t *testing.T) {
	full := crmtest.Full(1)
	for _, test := range []struct {
		change func(c *crm.Call)
		limit  int
		want   string
	}{
		{func(*crm.Call) {}, 100, "AI call: Escalated (2 min 25 s)"},
		{func(c *crm.Call) { c.Direction, c.Duration = "inbound", nil }, 100, "AI call received: Escalated"},
		{func(c *crm.Call) { c.RawDisposition, c.Disposition = "DND", "dnc" }, 100, "AI call: Do not call (2 min 25 s)"},
		{func(c *crm.Call) { c.RawDisposition, c.Disposition, *c.Duration = "", "not_reachable", 0 }, 100, "AI call: Not reachable (not connected)"},
		{func(c *crm.Call) { c.RawDisposition, c.Disposition, c.Status, *c.Duration = "", "", "failed", 7322 }, 100, "AI call: Failed (2 h 2 min)"},
		{func(c *crm.Call) { c.RawDisposition, *c.Duration = "épargne\nà la _ carte", math.NaN() }, 100, "AI call: Épargne à la carte"},
		{func(*crm.Call) {}, 12, "AI call: Es…"},
	} {
		e := full
		d := *full.Call.Duration
		e.Call.Duration = &d
		test.change(&e.Call)
		if got := text.Title(&e, test.limit); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

const whole = `Outcome: Escalated

Customer confirmed interest in the top-up loan product.

Duration: 2 min 25 s
Direction: outbound
Language: hi-IN
Campaign: cmp_4Rv8sT1wX
Sentiment: positive
QA score: 87
Transcript: https://api.vinfer.ai/v1/transcription/job_def789/transcript (opens with VInfer's API key only)
VInfer call: cal_test00001`

func TestBody(t *testing.T) {
	e := crmtest.Full(1)
	if got := text.NewBody(&e).String(); got != whole {
		t.Errorf("got\n%s\nwant\n%s", got, whole)
	}
	got := text.NewBody(&e, text.Disposition, text.Summary, text.Seconds, text.Direction, text.Language, text.Campaign, text.Sentiment, text.QAScore, text.Transcript).String()
	if got != "VInfer call: cal_test00001" {
		t.Errorf("got %q", got)
	}
}

func TestBodyOverAnother(t *testing.T) {
	bare := crm.Entry{Call: crm.Call{ID: "cal_test00001"}}
	newer := crmtest.Revised(crmtest.Completed(1), "not_interested", "")
	newer.Call.Summary = "Second\n\nthoughts."
	for name, test := range map[string]struct {
		e          crm.Entry
		held, want string
	}{
		"nothing new":          {bare, whole, whole},
		"nothing held":         {crmtest.Full(1), "", whole},
		"people's text":        {crmtest.Full(1), "call her mother", whole + "\ncall her mother"},
		"added below":          {bare, whole + "\n\nshe rang back", whole + "\n\nshe rang back"},
		"added above":          {bare, "VIP!\n" + whole, "VIP!\n" + whole},
		"newer":                {newer, whole, strings.NewReplacer("Escalated", "Not interested", "Customer confirmed interest in the top-up loan product.", newer.Call.Summary).Replace(whole)},
		"other line ends":      {bare, strings.ReplaceAll(whole, "\n", "\r\n"), whole},
		"another call's":       {bare, "VInfer call: cal_test000012", "VInfer call: cal_test00001\nVInfer call: cal_test000012"},
		"no outcome held":      {bare, "Some words\n\nDuration: 3 s\nVInfer call: cal_test00001", "Some words\n\nDuration: 3 s\nVInfer call: cal_test00001"},
		"only values held":     {bare, "Duration: 3 s\nVInfer call: cal_test00001", "Duration: 3 s\nVInfer call: cal_test00001"},
		"only an outcome held": {bare, "Outcome: Dispute\n\nVInfer call: cal_test00001", "Outcome: Dispute\n\nVInfer call: cal_test00001"},
	} {
		got := text.NewBody(&test.e).Over(test.held).String()
		if got != test.want {
			t.Errorf("%s: got\n%q\nwant\n%q", name, got, test.want)
		}
		if again := text.NewBody(&test.e).Over(got).String(); again != got {
			t.Errorf("%s: again it gives\n%q\nafter\n%q", name, again, got)
		}
	}
}

// What was written is read back as it was, whatever people said.
func TestBodySurvives(t *testing.T) {
	for name, s := range crmtest.Texts {
		e := crmtest.Full(1)
		e.Call.Summary = s
		b := text.NewBody(&e)
		got, ok := text.ParseBody(b.String(), e.Call.ID)
		if !ok || got.Summary != strings.ReplaceAll(s, "\x00", "") || got.Outcome != "Escalated" || len(got.Values) != 7 {
			t.Errorf("%s: %t %+v", name, ok, got)
		}
		if back := text.Plain(text.HTML(b.String())); name != "lines" && back != b.String() {
			t.Errorf("%s: from HTML %q", name, back)
		}
		if h := text.HTML(s); strings.Contains(strings.ReplaceAll(h, "<br>", ""), "<") {
			t.Errorf("%s: not escaped: %s", name, h)
		}
	}
}

func TestWithin(t *testing.T) {
	e := crmtest.Full(1)
	e.Call.Summary = strings.Repeat("क्षमा ", 5000)
	got := text.NewBody(&e).Within(1000)
	if n := utf8.RuneCountInString(got); n > 1000 || n < 900 || !utf8.ValidString(got) || !strings.Contains(got, "cut here") || !strings.HasSuffix(got, "VInfer call: "+e.Call.ID) {
		t.Errorf("%d characters: %s", n, got)
	}
	e.Call.Summary = ""
	if got := text.NewBody(&e).Within(20); utf8.RuneCountInString(got) != 20 {
		t.Errorf("%q", got)
	}
}

func TestCut(t *testing.T) {
	for _, limit := range []int{0, 1, 10, 59, 60, 61, 99, 100, 101, 299, 300, 301} {
		long := strings.Repeat("नमस्ते ", 100)
		chars, octets := text.Cut(long, limit), text.CutBytes(long, limit)
		if utf8.RuneCountInString(chars) > limit || len(octets) > limit || !utf8.ValidString(chars) || !utf8.ValidString(octets) {
			t.Errorf("%d: %q %q", limit, chars, octets)
		}
	}
	if got := text.Cut("नमस्ते", 6); got != "नमस्ते" {
		t.Errorf("%q", got)
	}
}

func TestNotes(t *testing.T) {
	e := crmtest.Transcribed(1)
	want := "Transcript of VInfer call cal_test00001: hi-IN\nOf the AI call of 15 Jan 2024, 10:33 (Escalated)\nAsks for a call tomorrow.\n\nagent: नमस्ते\ncustomer: Yes, tomorrow."
	if got := text.Note(&e, time.Time.UTC, 1000); got != want || !strings.HasPrefix(got, text.NoteHead(e.Call.ID)) || !text.HasNote(&e) {
		t.Errorf("%q", got)
	}
	if got := text.Note(&e, time.Time.UTC, 90); utf8.RuneCountInString(got) > 90 || !strings.HasPrefix(got, text.NoteHead(e.Call.ID)) {
		t.Errorf("%q", got)
	}
	if got := text.Link(&e.Call); !strings.HasPrefix(got, text.LinkHead(e.Call.ID)) || !strings.HasSuffix(got, "/transcript (opens with VInfer's API key only)") || strings.HasPrefix(got, text.NoteHead(e.Call.ID)) {
		t.Errorf("%q", got)
	}
	e.Transcript = &crm.Transcript{}
	if text.HasNote(&e) {
		t.Error("an empty transcript is a note")
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"<p>one</p><p>a &lt; b</p>":   "one\na < b\n",
		"one<br />two<br>\nthree":     "one\ntwo\nthree",
		"<div>1 &amp; 2</div>plain 3": "1 & 2\nplain 3",

		"VInfer call: 1<p class=x>And <b>below</b></p>": "VInfer call: 1\nAnd below\n",
		"<div><p>one</p>\n<ul><li>two</li></ul></div>":  "one\ntwo\n\n",
	} {
		if got := text.Plain(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
