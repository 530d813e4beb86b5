package sync

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/number"
	"github.com/vinfer-sync/vinfer-sync/store"
	"github.com/vinfer-sync/vinfer-sync/vinfer"
)

// A title's template that the configuration accepted makes a title for any call, or an error: the call may say what it likes.
func FuzzTitle(f *testing.F) {
	for _, s := range []string{
		"Call back {{.Contact.Name}}", "{{.Disposition}} {{.Status}} {{with .Call.QAScore}}{{.}}{{end}}", "{{.Nothing}}", "{{", "{{/*", "{{.Contact.Phone | printf \"%s\"}}",
		"{{range .Call.ID}}{{.}}{{end}}", "{{template \"title\" .}}", "{{index .Contact.Name 0}}", "{{slice .Contact.Name 1 3}}", "{{.Call.EndedAt.Format \"15:04\"}}",
	} {
		f.Add(s, "Priya {{.}}\n<b>", "gold")
	}
	f.Fuzz(func(t *testing.T, title, name, disposition string) {
		if strings.Contains(title, "%") {
			return // a width of a thousand million is the operator's own doing
		}
		m := Mapping{Dispositions: map[string]Rule{disposition: {Status: "x", Task: &TaskRule{Title: title, Due: time.Hour}}}}
		if m.compile() != nil {
			return
		}
		c := crm.Call{ID: "c", Disposition: Disposition(disposition), Contact: crm.Contact{Name: name}, EndedAt: time.Unix(1e9, 0)}
		rule, known := m.rule(c.Disposition, disposition)
		if c.Disposition != "" && !known {
			t.Fatalf("%q is not found again", disposition)
		}
		if task, err := m.task(rule, c, ""); err == nil && rule.Task != nil && (task == nil || task.Due.IsZero()) {
			t.Errorf("task %+v", task)
		}
	})
}

// A disposition has one spelling, which is its own.
func FuzzDisposition(f *testing.F) {
	for _, s := range []string{"Callback Requested", "dnd", "DO-NOT  CALL", "", "  ", "é-É", "İ", "\xff", "-\rA", "do\u00a0not\u2028call"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := Disposition(s)
		if again := Disposition(d); again != d {
			t.Errorf("%q is %q, which is %q", s, d, again)
		}
	})
}

// What the store keeps of a call is read as it was written; what is damaged is an error.
func FuzzContent(f *testing.F) {
	f.Add([]byte(`{"id":"c","phone":"+919876543210","ended":"2024-01-15T10:35:22Z","duration":1e3,"transcript":{"text":"नमस्ते"}}`))
	f.Add([]byte(`{"ended":"9999-12-31T23:59:59-12:00"}`))
	f.Add([]byte(`{`))
	qa := 87.5
	f.Add(encode(content{
		Call:       vinfer.Call{ID: "c", Phone: "+919876543210", Name: "प्रिया", EndedAt: time.Unix(1e9, 5), QAScore: &qa, DurationSeconds: &qa},
		Transcript: &vinfer.Transcript{Segments: []vinfer.Segment{{Speaker: "agent", Text: "नमस्ते", End: 1.5}}},
	}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decode(b)
		if err != nil || c.Call.EndedAt.UTC().Year() > 9999 || c.Call.StartedAt.UTC().Year() > 9999 {
			return // vinfer believes no such time
		}
		kept := encode(c)
		again, err := decode(kept)
		if err != nil || !bytes.Equal(encode(again), kept) {
			t.Errorf("%s became %s: %v", kept, encode(again), err)
		}
		if m := store.Complete(kept, kept); !bytes.Equal(m, kept) {
			t.Errorf("merged with itself %s became %s", kept, m)
		}
		e := &Engine{}
		if a, b := e.fields(c.Call), e.fields(again.Call); !slices.Equal(a, b) {
			t.Errorf("fields %x became %x", a, b)
		}
	})
}

// Numbers come in any spelling; a number in international form is one that is read as itself.
func FuzzPhone(f *testing.F) {
	for _, s := range []string{"+919876543210", "098765 43210", "00919876543210", "+1 (650) 253-0000", "tel:+91-98765-43210;ext=5", "", "+", "١٢٣٤٥٦٧٨٩٠", "999999999999999999999"} {
		f.Add(s, "IN")
	}
	f.Fuzz(func(t *testing.T, raw, region string) {
		n := number.Parse(raw, region)
		if (n.E164 == "") != (n.National == "") {
			t.Errorf("%q: %q, %q", raw, n.E164, n.National)
		}
		if n.E164 != "" && phoneKey(n.E164, region) != n.E164 {
			t.Errorf("%q: the key of %q is %q", raw, n.E164, phoneKey(n.E164, region))
		}
	})
}
