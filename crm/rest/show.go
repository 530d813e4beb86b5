package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/phone"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Samples are the names of the made-up calls that recipes are tried with.
var Samples = []string{"full", "empty", "hostile"}

// hostileText has what ends a text in the languages that APIs are spoken to in, and what would begin something else.
const hostileText = `x","admin":true,'y' OR '1'='1') -- {{.Secret}} ${HOME} <script>alert(1)</script> ../../%2e%2e/?a=b&c=d#e` + "\r\nX-Header: 1\x00"

// Sample returns a made-up call: one with everything, one with nothing but an id, or one whose texts attack.
func Sample(name string) crm.Entry {
	ended := time.Date(2026, 1, 15, 10, 35, 22, 0, time.UTC)
	e := crm.Entry{Event: crm.CallCompleted, Key: "cal-sample-completed-1", Revision: 1, Attempt: 1, Call: crm.Call{ID: "cal_Sample1", EndedAt: ended}}
	if name == "empty" {
		e.Task, e.Transcript = &crm.Task{}, &crm.Transcript{}
		return e
	}
	said := func(s string) string {
		if name == "hostile" {
			return hostileText
		}
		return s
	}
	seconds, score := 93.0, 87.0
	e.Call = crm.Call{
		ID: said("cal_Sample1"), Campaign: said("cmp_Sample"), Direction: "outbound", Status: "completed", Disposition: said("callback_requested"), RawDisposition: said("Callback requested"),
		Contact:  crm.Contact{Phone: "+919876500001", E164: "+919876500001", National: "9876500001", Name: said("Priya Sharma")},
		Duration: &seconds, Language: said("hi-IN"), StartedAt: ended.Add(-93 * time.Second), EndedAt: ended, TranscriptURL: said("https://api.vinfer.ai/v1/transcription/job_1/transcript"),
		Sentiment: said("positive"), QAScore: &score, Summary: said("Asks for a call tomorrow at ten."), CallbackAt: ended.Add(24 * time.Hour),
	}
	e.Status, e.SetStatus, e.DoNotCall = said("Callback"), true, true
	e.Task = &crm.Task{Title: said("Call back Priya Sharma"), Due: ended.Add(24 * time.Hour)}
	e.Transcript = &crm.Transcript{Text: said("agent: namaste\ncustomer: tomorrow, please"), Language: "hi-IN", Summary: said("Tomorrow.")}
	return e
}

// sending is a request that a call may cause.
type sending struct {
	name   string
	q      *request
	s      *scope
	header string
}

// preview returns a Writer that sends nothing, and shows no secret.
func (r *Recipe) preview() *Writer {
	w := &Writer{recipe: r, secrets: map[string]string{}, s: crm.Settings{}}
	vars := map[string]string{}
	for name := range r.need {
		vars[name] = name
	}
	if err := w.prepare(vars); err != nil {
		w.zone = time.UTC // the zone is one of the destination's vars
	}
	for name := range r.uses {
		w.secrets[name] = "•••"
	}
	return w
}

// steps lists the requests that a call may cause, in the order in which they are sent.
func (w *Writer) steps(e *crm.Entry) []sending {
	number := phone.Of(e.Call.Contact, "IN")
	contact := people.Record{ID: "contact-1", Owner: "user-1", Picked: map[string]any{}}
	if e.Call.Contact.Name != "" {
		for name := range w.recipe.Contact.Pick {
			contact.Picked[name] = name + "-1"
		}
	}
	c, job := w.recipe.Contact, &record.Job{Entry: e, Progress: crm.NewProgress(nil, nil), Number: number, Contact: contact}
	about := contacts{w, job}
	change := record.Change{Status: e.Status, Name: e.Call.Contact.Name, DoNotCall: e.DoNotCall}
	scoped := func(r people.Record, fields ...map[string]tree) *scope {
		s := about.scope(number, r)
		s.change, s.owner = change, "user-1"
		s.fields = s.render(fields...)
		return s
	}
	var all []sending
	if t := w.recipe.Auth.Token; t != nil {
		q := t.request()
		q.method, q.path = http.MethodPost, t.Post
		all = append(all, sending{name: "auth.token", q: q, s: &scope{w: w}})
	}
	all = append(all,
		sending{name: "contact.find", q: c.Find, s: scoped(people.Record{})},
		sending{name: "contact.create", q: c.Create, s: scoped(people.Record{}, c.New, c.Fields)},
		sending{name: "contact.read", q: c.Read, s: scoped(contact)},
		sending{name: "contact.update", q: c.Update, s: scoped(contact, c.Fields)},
		sending{name: "user", q: w.recipe.User, s: &scope{w: w, owner: "asha@example.com"}})
	for _, k := range w.recipe.kinds() {
		if k.callRecord == nil || k.name == "task" && e.Task == nil || k.name == "note" && !text.HasNote(e) && e.Transcript == nil {
			continue
		}
		t := table{w: w, kind: k.callRecord, step: k.name}
		if k.name == "note" {
			t.note = &record.Note{Head: text.NoteHead(e.Call.ID), Text: func(limit int) string { return text.Note(e, w.s.In, limit) }}
		}
		r := t.record(job)
		s := t.scope(job)
		s.id, s.fields = "record-1", record.Fields{}
		maps.Copy(s.fields, r.New)
		maps.Copy(s.fields, r.Values)
		if f := r.Body.Field; f != "" {
			s.fields[f] = k.Fields[f].render(s)
		}
		s.fields.Set(k.owner, "user-1")
		if k.Once.ID.source != "" {
			s.id = s.text(k.Once.ID.render(s))
		}
		changed := *s
		changed.fields = record.Fields{}
		maps.Copy(changed.fields, r.Values)
		if f := r.Body.Field; f != "" {
			changed.fields[f] = s.fields[f]
		}
		all = append(all,
			sending{name: k.name + ".once.look", q: k.Once.Look, s: s},
			sending{name: k.name + ".create", q: k.Create, s: s, header: k.Once.Header},
			sending{name: k.name + ".read", q: k.Read, s: s},
			sending{name: k.name + ".update", q: k.Update, s: &changed})
	}
	for i := range w.recipe.Check {
		all = append(all, sending{name: fmt.Sprintf("check[%d]", i), q: &w.recipe.Check[i].request, s: &scope{w: w}})
	}
	return slices.DeleteFunc(all, func(s sending) bool { return s.q == nil })
}

// Show returns the requests that a call may cause, as people read them. Nothing is sent, and secrets are masked.
func (r *Recipe) Show(e crm.Entry) string {
	var out strings.Builder
	w := r.preview()
	for _, x := range w.steps(&e) {
		fmt.Fprintf(&out, "# %s\n", x.name)
		x.s.token = "•••"
		sent, err := w.render(x.q, x.s)
		if err != nil {
			fmt.Fprintf(&out, "not sent: %v\n\n", err)
			continue
		}
		if w.recipe.Auth.Token != nil && x.name != "auth.token" && !w.namesToken {
			sent.Header.Set("Authorization", "Bearer •••")
		}
		if b := w.recipe.tokenBasic(); sent.Header.Get("Authorization") != "" && strings.HasPrefix(sent.Header.Get("Authorization"), "Basic ") || b != nil && x.name == "auth.token" {
			sent.Header.Set("Authorization", "Basic •••")
		}
		if x.header != "" {
			sent.Header.Set(x.header, x.s.text(values["Key"].of(x.s)))
		}
		sent.write(&out)
	}
	return out.String()
}

// write writes a request.
func (r rendered) write(out *strings.Builder) {
	at, err := url.PathUnescape(r.Path)
	if err != nil {
		at = r.Path
	}
	fmt.Fprintf(out, "%s %s\n", r.Method, at)
	for _, name := range slices.Sorted(maps.Keys(r.Query)) {
		fmt.Fprintf(out, "  ? %s=%s\n", name, r.Query.Get(name))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(out, "%s: %s\n", name, r.Header.Get(name))
	}
	switch body := r.Body.(type) {
	case nil:
	case url.Values:
		out.WriteByte('\n')
		for _, name := range slices.Sorted(maps.Keys(body)) {
			fmt.Fprintf(out, "%s=%s\n", name, body.Get(name))
		}
	default:
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		out.WriteByte('\n')
		_ = enc.Encode(body) // try has encoded it
	}
	out.WriteByte('\n')
}

// try renders every template of a recipe with each of the samples, and notes what cannot be sent.
func (r *Recipe) try(n node) {
	w := r.preview()
	segments := map[string]int{}
	for _, name := range Samples {
		e := Sample(name)
		for _, x := range w.steps(&e) {
			sent, err := w.render(x.q, x.s)
			if errors.Is(err, errAbsent) {
				continue // then it is not sent
			}
			if err == nil {
				_, err = json.Marshal(sent.Body)
			}
			if count := strings.Count(sent.Path, "/"); err == nil && segments[x.name] != 0 && segments[x.name] != count {
				err = errors.New("a call changes the path")
			} else {
				segments[x.name] = count
			}
			if err != nil {
				n.fault(fmt.Sprintf("%s cannot be sent for the %s sample: %v", x.name, name, err), "see: vinfer-sync recipe show --sample "+name)
			}
		}
	}
}
