package espocrm

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Limits of the texts, in characters. The columns hold 16 MB; a call fills a hundredth of these.
const (
	bodyLimit = 100_000
	noteLimit = 1_000_000
)

// job is one entry on its way, once its contacts are known.
type job struct {
	w        *Writer
	e        *crm.Entry
	p        *crm.Progress
	contacts []people.Record // the first one gets the notes and the task

	looked   bool   // the Call was looked for, and is not there
	activity string // id of the Call; empty: there is none
	fresh    bool   // it was made by this attempt: what comes after it cannot be there yet
}

func (j *job) run(ctx context.Context) error {
	if !j.e.NoActivity {
		if err := j.call(ctx); err != nil {
			return err
		}
	} else if j.e.Call.TranscriptURL != "" {
		if err := j.post(ctx, "link", text.LinkHead(j.e.Call.ID), text.Link(&j.e.Call)); err != nil {
			return err
		}
	}
	if j.e.Task != nil {
		if err := j.task(ctx); err != nil {
			return err
		}
	}
	if text.HasNote(j.e) {
		return j.post(ctx, "note", text.NoteHead(j.e.Call.ID), text.Note(j.e, j.w.s.In, noteLimit))
	}
	return nil
}

// call makes the Call or brings it up to date.
func (j *job) call(ctx context.Context) error {
	o := j.fields()
	s := step.Step{
		Ref: "activity", Content: o, Fresh: j.looked,
		Look: func(ctx context.Context) (string, error) { return j.look(ctx, "Call") },
		Create: func(ctx context.Context) (string, error) {
			id, err := j.createCall(ctx, o)
			j.fresh = err == nil
			return id, err
		},
	}
	if j.e.Event != crm.TranscriptReady {
		s.Update = func(ctx context.Context, id string) error { return j.updateCall(ctx, id, o) }
	}
	id, err := step.Do(ctx, j.p, s)
	j.activity = id
	return err
}

// fields returns what is known of the call, as attributes of a Call. The description is added by who sends it.
func (j *job) fields() object {
	c := &j.e.Call
	o := object{}
	set := func(attribute string, v any) {
		if attribute != "" && v != "" && v != nil {
			o[attribute] = v
		}
	}
	if text.Outcome(j.e) != "" {
		set("name", nameOf(text.Title(j.e, nameLimit)))
	}
	switch {
	case c.Duration != nil && *c.Duration > 0, c.Duration == nil && c.Status == "completed":
		set("status", "Held")
	case c.Duration != nil || c.Status != "":
		set("status", "Not Held")
	}
	switch c.Direction {
	case "outbound":
		set("direction", "Outbound")
	case "inbound":
		set("direction", "Inbound")
	}
	if start, end, ok := span(c); ok {
		set("dateStart", stamp(start))
		set("dateEnd", stamp(end))
	}
	if len(j.contacts) > 0 {
		entity, id, _ := strings.Cut(j.contacts[0].ID, "/")
		set("parentType", entity)
		set("parentId", id)
	}
	for name, v := range j.extras() {
		set(j.w.s.Field(name, ""), v)
	}
	set("description", text.NewBody(j.e).String())
	return o
}

// extras are the values for which the configuration may name fields.
func (j *job) extras() map[string]any {
	c := &j.e.Call
	out := map[string]any{
		"disposition": text.Line(c.Disposition, 100), "summary": text.Clean(c.Summary), "language": text.Line(c.Language, 100),
		"campaign": text.Line(c.Campaign, 100), "sentiment": text.Line(c.Sentiment, 100), "transcript_url": c.TranscriptURL,
	}
	if d := c.Duration; d != nil && *d >= 0 && *d < 1e7 {
		out["duration"] = int(*d + 0.5)
	}
	if q := c.QAScore; q != nil && *q >= 0 && *q <= 1e6 {
		out["qa_score"] = *q
	}
	return out
}

// span returns when the call began and ended. Where its duration is known that is what the times span: EspoCRM shows their
// difference. VInfer's start is the dial attempt and its duration counts from the answer, so the end may be seconds early.
func span(c *crm.Call) (start, end time.Time, ok bool) {
	var d time.Duration
	if c.Duration != nil && *c.Duration > 0 && *c.Duration < 1e7 {
		d = time.Duration(*c.Duration * float64(time.Second)).Round(time.Second)
	}
	switch start, end = c.StartedAt, c.EndedAt; {
	case start.IsZero() && (end.IsZero() || c.Duration == nil):
		return end, end, false
	case start.IsZero():
		return end.Add(-d), end, true
	case c.Duration != nil:
		return start, start.Add(d), true
	case end.Before(start):
		return start, start, true
	}
	return start, end, true
}

// look returns the id of the record of the given type that holds the call's id.
func (j *job) look(ctx context.Context, entity string) (string, error) {
	o, err := j.find(ctx, entity, "id")
	return o.text("id"), err
}

// held is the Call of an attempt of which the refs know nothing, for the Book.
func (j *job) held(ctx context.Context) (id, says string, there bool, err error) {
	o, err := j.find(ctx, "Call", "id", "description")
	return o.text("id"), o.text("description"), o != nil, err
}

// find returns the record of the given type that holds the call's id; nil: there is none.
func (j *job) find(ctx context.Context, entity string, selected ...string) (object, error) {
	rows, err := j.w.api.list(ctx, entity, where("equals", j.w.callField(), j.e.Call.ID, selected...))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[len(rows)-1], nil // the oldest, should there ever be two
}

func (j *job) createCall(ctx context.Context, known object) (string, error) {
	owner, err := j.ownerOf(ctx, j.w.s.Owner)
	if err != nil {
		return "", err
	}
	o := object{
		"name": nameOf(text.Title(j.e, nameLimit)), "status": "Held", "direction": "Outbound",
		"dateStart": stamp(j.e.Call.EndedAt), "dateEnd": stamp(j.e.Call.EndedAt),
		"assignedUserId": owner, j.w.callField(): j.e.Call.ID,
	}
	for name, v := range known {
		o[name] = v
	}
	o["description"] = text.NewBody(j.e).Within(bodyLimit)
	for _, r := range j.contacts {
		entity, id, _ := strings.Cut(r.ID, "/")
		link := map[string]string{lead: "leadsIds", contact: "contactsIds"}[entity]
		ids, _ := o[link].([]string)
		o[link] = append(ids, id)
	}
	var made, sent object
	err = j.w.optional.Send(j.p, "Call", o, j.optionals(), nil, func(fields map[string]any) error {
		sent = fields
		made, err = j.w.api.create(ctx, "Call", fields, nil)
		return err
	})
	if err == nil {
		j.dropped("Call", sent, made)
	}
	return made.text("id"), err
}

// dropped tells of those attributes of a new record that EspoCRM has dropped without a word. The next call is not written without the field for
// its id: see ready.
func (j *job) dropped(entity string, sent, made object) {
	for _, f := range append(j.optionals(), j.w.callField()) {
		_, given := sent[f]
		if _, held := made[f]; !given || held {
			continue
		}
		if f == j.w.callField() {
			j.w.mu.Lock()
			delete(j.w.there, entity+"."+f)
			j.w.mu.Unlock()
		}
		if j.w.first("dropped " + entity + "." + f) {
			j.p.Warn("EspoCRM drops %s.%s: the field is not there any more, or the API user's role may not see it", entity, f)
		}
	}
}

// optionals are the attributes that a Call can do without: those that the configuration names, and the direction, whose options a
// site may have changed. Their values stand in the description too.
func (j *job) optionals() []string {
	out := []string{"direction"}
	for name := range j.extras() {
		if f := j.w.s.Field(name, ""); f != "" {
			out = append(out, f)
		}
	}
	slices.Sort(out)
	return out
}

// updateCall sends what differs from what the Call holds.
func (j *job) updateCall(ctx context.Context, id string, known object) error {
	held, err := j.w.api.read(ctx, "Call", id)
	if err != nil {
		return err
	}
	if held == nil {
		return step.ErrGone
	}
	o := object{}
	for name, v := range known {
		if fmt.Sprint(held[name]) != fmt.Sprint(v) {
			o[name] = v
		}
	}
	if !strings.HasPrefix(held.text("name"), "AI call") || j.e.Call.Duration == nil {
		delete(o, "name") // people gave it another, or it would say less than before
	}
	if held.text("parentId") != "" {
		delete(o, "parentType")
		delete(o, "parentId")
	}
	delete(o, "description")
	if body := text.NewBody(j.e).Over(held.text("description")).Within(bodyLimit); body != held.text("description") {
		o["description"] = body
	}
	if len(o) == 0 {
		return nil
	}
	return j.w.optional.Send(j.p, "Call", o, j.optionals(), nil, func(fields map[string]any) error {
		_, err := j.w.api.update(ctx, "Call", id, fields)
		return err
	})
}

// ownerOf returns who is to own what is made: the user named, else the contact's owner, else the API user: EspoCRM demands one.
func (j *job) ownerOf(ctx context.Context, named string) (string, error) {
	otherwise := ""
	if len(j.contacts) > 0 {
		otherwise = j.contacts[0].Owner
	}
	id, err := j.w.owners.Or(ctx, named, otherwise, j.p)
	if err != nil {
		return "", err
	}
	if id == "" {
		return j.w.user(ctx)
	}
	return id, nil
}

// task makes the follow-up. Later only a new call-back time moves it, as long as nobody has begun with it.
func (j *job) task(ctx context.Context) error {
	if err := j.w.ready(ctx, "Task"); err != nil {
		return err
	}
	t := j.e.Task
	_, err := step.Do(ctx, j.p, step.Step{
		Ref: "task", Content: stamp(j.e.Call.CallbackAt), Fresh: j.fresh,
		Look: func(ctx context.Context) (string, error) { return j.look(ctx, "Task") },
		Create: func(ctx context.Context) (string, error) {
			owner, err := j.ownerOf(ctx, t.Owner)
			if err != nil {
				return "", err
			}
			o := object{
				"name": nameOf(t.Title), "status": "Not Started", "priority": "Normal", "dateEnd": stamp(t.Due),
				"assignedUserId": owner, j.w.callField(): j.e.Call.ID, "description": text.NewBody(j.e).Within(bodyLimit),
			}
			if o["name"] == "" {
				o["name"] = "Call back"
			}
			if j.e.Call.Disposition == "escalated" {
				o["priority"] = "High"
			}
			if len(j.contacts) > 0 {
				o["parentType"], o["parentId"], _ = strings.Cut(j.contacts[0].ID, "/")
			}
			var made object
			err = j.w.optional.Send(j.p, "Task", o, []string{"priority"}, nil, func(fields map[string]any) error {
				made, err = j.w.api.create(ctx, "Task", fields, nil)
				return err
			})
			if err == nil {
				j.dropped("Task", o, made)
			}
			return made.text("id"), err
		},
		Update: func(ctx context.Context, id string) error {
			held, err := j.w.api.read(ctx, "Task", id, "status", "dateEnd")
			switch {
			case err != nil:
				return err
			case held == nil:
				return step.ErrGone
			case j.e.Call.CallbackAt.IsZero() || held.text("status") != "Not Started" || held.text("dateEnd") == stamp(t.Due):
				return nil
			}
			_, err = j.w.api.update(ctx, "Task", id, object{"dateEnd": stamp(t.Due)})
			return err
		},
	})
	return err
}

// post puts a note into the stream of the contact, or of the call where there is no contact.
func (j *job) post(ctx context.Context, ref, head, note string) error {
	entity, id := "Call", j.activity
	if len(j.contacts) > 0 {
		entity, id, _ = strings.Cut(j.contacts[0].ID, "/")
	}
	if id == "" {
		return nil // a person deleted both, or neither is wanted
	}
	_, err := step.Do(ctx, j.p, step.Step{
		Ref: ref, Fresh: j.fresh,
		Look: func(ctx context.Context) (string, error) { return j.lookPost(ctx, entity+"/"+id+"/posts", head) },
		Create: func(ctx context.Context) (string, error) {
			made, err := j.w.api.create(ctx, "Note", object{"type": "Post", "parentType": entity, "parentId": id, "post": note}, nil)
			return made.text("id"), err
		},
	})
	return err
}

// postPages bounds the search for a note of ours: a contact with more posts of later calls is no contact.
const postPages = 5

// lookPost returns the id of the post that begins with head, among the latest of a stream.
func (j *job) lookPost(ctx context.Context, path, head string) (string, error) {
	const size = 100
	for page := range postPages {
		rows, err := j.w.api.list(ctx, path, url.Values{"maxSize": {fmt.Sprint(size)}, "offset": {fmt.Sprint(page * size)}})
		if err != nil || len(rows) == 0 {
			if s := statusOf(err); s == http.StatusNotFound || s == http.StatusForbidden && strings.HasPrefix(path, "Call/") {
				return "", nil // a Call takes posts, but has no stream to be read unless a site gives it one
			}
			return "", err
		}
		for _, o := range rows {
			if strings.HasPrefix(o.text("post"), head) {
				return o.text("id"), nil
			}
		}
		if len(rows) < size {
			break
		}
	}
	return "", nil
}
