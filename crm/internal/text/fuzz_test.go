package text_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/vinfer-sync/vinfer-sync/crm/crmtest"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// FuzzBody writes a summary over what a CRM holds: the summary is there as it is, and a second time changes nothing.
func FuzzBody(f *testing.F) {
	f.Add("Wants a call.", "people's words", 100)
	f.Add("a\n\nb", whole, 1000)
	f.Add("Outcome: x", "Outcome: \n\nVInfer call: cal_test00001\n", 10)
	f.Add("", "VIP\r\nDuration: 1\r\nVInfer call: cal_test00001\r\n", 50)
	f.Fuzz(func(t *testing.T, summary, held string, limit int) {
		e := crmtest.Full(1)
		e.Call.Summary = summary
		got := text.NewBody(&e).Over(held)
		s := got.String()
		if !strings.Contains(s, text.Clean(summary)) {
			t.Fatalf("%q has lost %q", s, summary)
		}
		if !strings.Contains(summary, "VInfer call: ") && !strings.Contains(summary, "Outcome: ") && !strings.Contains(held, "\r") {
			if again := text.NewBody(&e).Over(s).String(); again != s {
				t.Errorf("twice over\n%q\ngives\n%q\nafter\n%q", held, again, s)
			}
		}
		limit = min(max(limit, 0), 10_000)
		if cut := got.Within(limit); utf8.RuneCountInString(cut) > limit {
			t.Errorf("%d characters, not %d", utf8.RuneCountInString(cut), limit)
		}
		if h := text.HTML(summary); strings.ContainsAny(strings.ReplaceAll(h, "<br>", ""), "<>") {
			t.Errorf("not escaped: %q", h)
		}
		_ = text.Plain(held)
		for _, s := range []string{text.Line(held, 10), text.Cut(held, 10)} {
			if utf8.RuneCountInString(s) > 10 {
				t.Errorf("%q is not cut", s)
			}
		}
	})
}
