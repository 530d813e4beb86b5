package sync

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"
	"unicode"

	"golang.org/x/text/language"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Mapping says what a disposition does to a contact.
type Mapping struct {
	Dispositions map[string]Rule // by normalised disposition
	Unknown      string          // what becomes of dispositions that are not mapped: pass (default), skip or dead
	Overdue      string          // what becomes of a live call's follow-up that is overdue when it is to be made: now (default) or skip
	titles       map[string]*template.Template
}

// Rule is what one disposition does.
type Rule struct {
	Status string // lead status; empty: left alone
	Task   *TaskRule
}

// TaskRule is the follow-up of one disposition.
type TaskRule struct {
	Title string        // text/template over TitleData
	Due   time.Duration // after the call's end, where the contact named no time
	Owner string
}

// TitleData is what a task title's template sees. Contact.Name is the phone number where no name is known.
type TitleData struct {
	Contact     crm.Contact
	Call        crm.Call
	Disposition string
	Status      string
}

// Filter narrows what a destination gets; empty fields let everything pass.
type Filter struct {
	Dispositions []string
	Campaigns    []string
	Languages    []string // BCP 47; "hi" also takes "hi-IN"
	MinDuration  time.Duration
}

// Choices of Mapping.Overdue.
const (
	OverdueNow  = "now"
	OverdueSkip = "skip"
)

// Choices of Mapping.Unknown.
const (
	UnknownPass = "pass"
	UnknownSkip = "skip"
	UnknownDead = "dead"
)

var synonyms = map[string]string{
	"callback": "callback_requested", "call_back": "callback_requested", "call_back_requested": "callback_requested",
	"dnd": "dnc", "do_not_call": "dnc", "do_not_disturb": "dnc",
}

// Documented are the dispositions that VInfer documents, as Disposition spells them.
var Documented = []string{
	"interested", "not_interested", "callback_requested", "not_reachable", "dnc", "escalated", "dispute", "payment_promised", "already_paid",
}

// Disposition returns the one spelling of a disposition: lower case, underscores, synonyms resolved.
func Disposition(raw string) string {
	d := strings.Join(strings.FieldsFunc(strings.ToLower(raw), func(r rune) bool {
		return r == '-' || r == '_' || unicode.IsSpace(r)
	}), "_")
	if s, ok := synonyms[d]; ok {
		return s
	}
	return d
}

// ParseTitle checks a task title's template, by executing it with a sample.
func ParseTitle(title string) (*template.Template, error) {
	t, err := template.New("title").Option("missingkey=error").Parse(title)
	if err != nil {
		return nil, err
	}
	qa := 87.0
	duration := 142.0
	sample := TitleData{
		Contact: crm.Contact{Phone: "+910000000000", Name: "Priya"}, Disposition: "callback_requested",
		Call: crm.Call{ID: "call_abc123", QAScore: &qa, Duration: &duration},
	}
	return t, t.Execute(&bytes.Buffer{}, sample)
}

func (m *Mapping) compile() error {
	m.titles = map[string]*template.Template{}
	rules := make(map[string]Rule, len(m.Dispositions))
	for name, r := range m.Dispositions {
		d := Disposition(name)
		rules[d] = r
		if r.Task == nil {
			continue
		}
		t, err := ParseTitle(r.Task.Title)
		if err != nil {
			return fmt.Errorf("mapping of %s: task title: %w", name, err)
		}
		m.titles[d] = t
	}
	m.Dispositions = rules
	if m.Unknown == "" {
		m.Unknown = UnknownPass
	}
	if m.Overdue == "" {
		m.Overdue = OverdueNow
	}
	return nil
}

// rule returns the rule for a normalised disposition and whether it is a known one. No disposition is nothing unknown.
func (m *Mapping) rule(disposition, raw string) (Rule, bool) {
	if disposition == "" {
		return Rule{}, true
	}
	if r, ok := m.Dispositions[disposition]; ok {
		return r, true
	}
	return Rule{Status: raw}, false
}

// task makes the follow-up that a rule asks for; nil if it asks for none.
func (m *Mapping) task(r Rule, c crm.Call, owner string) (*crm.Task, error) {
	if r.Task == nil {
		return nil, nil
	}
	data := TitleData{Contact: c.Contact, Call: c, Disposition: c.Disposition, Status: r.Status}
	if data.Contact.Name == "" {
		data.Contact.Name = data.Contact.Phone
	}
	var b strings.Builder
	if err := m.titles[c.Disposition].Execute(&b, data); err != nil {
		return nil, fmt.Errorf("task title for %s: %w", c.Disposition, err)
	}
	t := &crm.Task{Title: strings.TrimSpace(b.String()), Due: c.CallbackAt, Owner: r.Task.Owner}
	if t.Due.IsZero() {
		t.Due = c.EndedAt.Add(r.Task.Due)
	}
	if t.Owner == "" {
		t.Owner = owner
	}
	return t, nil
}

// overdue settles what becomes of a follow-up that is overdue by more than grace: it gets the time again as its due time, or false: it is
// skipped. Nobody needs a follow-up of a call that ended long ago.
func (m *Mapping) overdue(t *crm.Task, ended, again time.Time, grace time.Duration) bool {
	if m.Overdue == OverdueSkip || time.Since(ended) > recentCalls {
		return false
	}
	if t.Due.Before(again.Add(-grace)) {
		t.Due = again
	}
	return true
}

// refuses returns why the filter leaves a call out, or nothing.
func (f Filter) refuses(disposition, campaign, language string, seconds *float64) string {
	has := func(list []string, v string, same func(a, b string) bool) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(x string) bool { return same(x, v) })
	}
	switch {
	case !has(f.Dispositions, disposition, func(a, b string) bool { return Disposition(a) == b }):
		return fmt.Sprintf("filter: disposition %q", disposition)
	case !has(f.Campaigns, campaign, func(a, b string) bool { return a == b }):
		return fmt.Sprintf("filter: campaign %q", campaign)
	case !has(f.Languages, language, isLanguage):
		return fmt.Sprintf("filter: language %q", language)
	case f.MinDuration > 0 && (seconds == nil || *seconds < f.MinDuration.Seconds()):
		return "filter: shorter than " + f.MinDuration.String()
	}
	return ""
}

// isLanguage tells whether a call's language is the one that is wanted, both as BCP 47 has them or with underscores: "hi" takes "hi-IN" and
// "hi-Deva-IN", "hi_IN" does not take "hi".
func isLanguage(want, have string) bool {
	w, err := language.Parse(want)
	if err != nil {
		return strings.EqualFold(want, have)
	}
	h, err := language.Parse(have)
	if err != nil {
		return false
	}
	// What a tag does not say is a word for unknown here, not what is likely.
	wantBase, wantScript, wantRegion := w.Raw()
	base, script, region := h.Raw()
	return wantBase == base && (wantScript == language.Script{} || wantScript == script) && (wantRegion == language.Region{} || wantRegion == region)
}

// KnownLanguage tells whether a language tag is one that a filter can compare.
func KnownLanguage(tag string) bool {
	_, err := language.Parse(tag)
	return err == nil
}
