package odoo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const (
	// longText bounds a message, in characters: Odoo has no limit, a browser has.
	longText = 100_000
	longLine = 200
	callType = "mail.mail_activity_data_call"
)

// title says in one line what came of the call, and when it was: Odoo dates what was done today.
func (j *job) title() string {
	t := text.Title(j.e, longLine)
	when := j.e.Call.StartedAt
	if when.IsZero() {
		when = j.e.Call.EndedAt
	}
	if when.IsZero() {
		return t
	}
	return t + ", " + j.w.s.In(when).Format("2006-01-02 15:04")
}

// callMark and taskMark are lines by which what was made for a call is recognised in its text.
func callMark(call string) string { return "VInfer call: " + call }
func taskMark(call string) string { return "Follow-up of the VInfer call " + call }

// activity logs the call: an activity of the type call is scheduled and then marked as done, with what is to be said. That
// leaves a message in the chatter, which is what people read. Before version 19 the activity itself is deleted then, unless (18)
// its type says that it is kept.
func (j *job) activity(ctx context.Context) error {
	call, mark := j.e.Call.ID, callMark(j.e.Call.ID)
	fresh := false
	id, err := step.Do(ctx, j.p, step.Step{
		Ref: "activity" + j.suffix,
		Look: func(ctx context.Context) (string, error) {
			found, err := j.activities(ctx, call, mark)
			if err != nil || len(found) > 0 {
				return first(found), err
			}
			if j.w.odoo.majorVersion() >= 19 {
				return "", nil
			}
			message, _, err := j.message(ctx, mark)
			if err != nil || message == 0 {
				return "", err
			}
			return doneBefore, nil
		},
		Create: func(ctx context.Context) (string, error) {
			day := j.w.s.In(cmp.Or(j.e.Call.EndedAt, time.Now())).Format(time.DateOnly)
			values := named{
				"date_deadline": day, "summary": j.title(),
				"context": named{"mail_activity_quick_update": true}, // it is done at once: nobody is to be told by mail of something to do
			}
			fields, err := j.w.shownOfActivity(ctx)
			if err != nil {
				return "", err
			}
			if fields[len(fields)-1] == "note" { // without our field the call's id must stand there, as well as in what is said of the call
				values["note"] = text.HTML(mark)
			}
			id, err := j.schedule(ctx, values, call, j.w.s.Owner)
			fresh = err == nil
			return id, err
		},
	})
	if err != nil || id == "" {
		return err
	}
	body := text.NewBody(j.e)
	s := step.Step{
		Ref: "message" + j.suffix, Content: []string{j.title(), body.String()},
		Look: func(ctx context.Context) (string, error) {
			if fresh { // nobody can have marked it as done yet
				fresh = false
				return "", nil
			}
			message, _, err := j.message(ctx, mark)
			if err != nil || message == 0 {
				return "", err
			}
			return strconv.FormatInt(message, 10), nil
		},
		Create: func(ctx context.Context) (string, error) { return j.done(ctx, id, body) },
	}
	if j.e.Event != crm.TranscriptReady {
		s.Update = func(ctx context.Context, message string) error { return j.rewrite(ctx, message, body) }
	}
	_, err = step.Do(ctx, j.p, s)
	return err
}

// recall takes the contact at whom the call was logged before its refs were lost, as after the state file of an earlier day was
// restored: of several with its number, another one might be taken today. isNew: Odoo, which keeps what was done, has not logged the call.
func (w *Writer) recall(ctx context.Context, e *crm.Entry, p *crm.Progress) (isNew bool, err error) {
	if len(p.Refs) > 0 || e.NoActivity || w.s.OnMany == crm.ManyAll {
		return false, nil
	}
	fields, err := w.shownOfActivity(ctx)
	if err != nil {
		return false, err
	}
	own := fields[len(fields)-1]
	if own == "note" {
		return false, nil
	}
	rows, err := w.odoo.find(ctx, "mail.activity", []any{[]any{own, "=", e.Call.ID}}, []string{"res_model", "res_id"}, enough)
	for _, r := range rows {
		if model, id := target(r.on("res_model", "res_id")); id > 0 && (model == leads || model == partners) {
			return false, p.Save(people.Ref, nameOf(model, id))
		}
	}
	return err == nil && w.odoo.majorVersion() >= 19, err
}

// held is the call's message of an attempt of which the refs know nothing, for the Book. The refs get no activity by it: the steps look for both.
func (j *job) held(ctx context.Context) (id, says string, there bool, err error) {
	if j.isNew {
		return "", "", false, nil
	}
	message, says, err := j.message(ctx, callMark(j.e.Call.ID))
	return "", says, message != 0, err
}

// doneBefore is the ref of an activity that was marked as done, and thereby deleted, by an attempt whose refs were lost.
const doneBefore = "done"

func first(found []string) string {
	if len(found) == 0 {
		return ""
	}
	return found[0]
}

// done marks an activity as done, with the call's text as its feedback, and returns the id of the message that this leaves.
func (j *job) done(ctx context.Context, id string, body text.Body) (string, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return "deleted:" + id, nil //nolint:nilerr // it was done before, and somebody has deleted its message
	}
	var result json.RawMessage
	args := named{"feedback": strings.ReplaceAll(body.Within(longText), "\r\n", "\n")}
	err = j.w.odoo.call(ctx, "mail.activity", "action_feedback", []int64{n}, args, &result)
	if errors.Is(err, step.ErrGone) {
		j.p.Warn("activity %s was deleted in Odoo before it was marked as done; it is not made again", id)
		return "deleted:" + id, nil
	}
	if err != nil {
		return "", err
	}
	if message := firstID(result); message != "" {
		return message, nil
	}
	message, _, err := j.message(ctx, callMark(j.e.Call.ID)) // some versions do not tell
	if err != nil {
		return "", err
	}
	return strconv.FormatInt(message, 10), nil
}

// rewrite lays the call's text over that of its message.
func (j *job) rewrite(ctx context.Context, message string, body text.Body) error {
	id, err := strconv.ParseInt(message, 10, 64)
	if err != nil {
		return step.ErrGone
	}
	rows, err := j.w.odoo.find(ctx, "mail.message", []any{[]any{"id", "=", id}}, []string{"body"}, 1)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return step.ErrGone
	}
	held := text.Plain(rows[0].text("body"))
	merged := body.Over(held)
	// What stands before is Odoo's or our own heading, which is written anew with the outcome.
	merged.Before = ""
	title := j.title()
	if j.e.Call.Disposition == "" && j.e.Call.RawDisposition == "" || j.e.Call.Duration == nil {
		if old := heading(held); old != "" {
			title = old // a bare revision knows less than what stands there
		}
	}
	html := "<p><b>" + text.HTML(title) + "</b></p><p>" + text.HTML(merged.Within(longText)) + "</p>"
	return j.w.odoo.call(ctx, "mail.message", "write", []int64{id}, named{"vals": named{"body": html}}, nil)
}

// heading returns our title in the text of a message.
func heading(held string) string {
	for line := range strings.Lines(held) {
		if at := strings.Index(line, text.Titled); at >= 0 {
			return strings.TrimSpace(line[at:])
		}
	}
	return ""
}

// message returns the first message at the contact with that line in it, and what it says.
func (j *job) message(ctx context.Context, line string) (id int64, says string, err error) {
	rows, err := j.w.odoo.find(ctx, "mail.message", []any{
		[]any{"model", "=", j.model}, []any{"res_id", "=", j.id}, []any{"body", "ilike", within(line)},
	}, []string{"body"}, enough)
	for _, r := range rows {
		if says = text.Plain(r.text("body")); hasLine(says, line) {
			return r.id(), says, nil
		}
	}
	return 0, "", err
}

// activities returns the activities at the contact that were made for a call: those with the key in our field or the mark in their note.
func (j *job) activities(ctx context.Context, key, mark string) (found []string, err error) {
	fields, err := j.w.shownOfActivity(ctx)
	if err != nil {
		return nil, err
	}
	own := fields[len(fields)-1]
	domain := []any{[]any{"res_model", "=", j.model}, []any{"res_id", "=", j.id}}
	if own != "note" {
		domain = append(domain, "|", []any{own, "=", key})
	}
	rows, err := j.w.odoo.find(ctx, "mail.activity", append(domain, []any{"note", "ilike", within(mark)}), fields, enough)
	for _, r := range rows {
		if r.text(own) == key || hasLine(text.Plain(r.text("note")), mark) {
			found = append(found, strconv.FormatInt(r.id(), 10))
		}
	}
	return found, err
}

// shownOfActivity are the fields to read of an activity; the last is ours, or note where setup has not made it.
func (w *Writer) shownOfActivity(ctx context.Context) ([]string, error) {
	own := w.s.Field("call_id", Fields["call_id"])
	has, err := w.odoo.fields(ctx, "mail.activity", own, "active", "date_done")
	if err != nil {
		return nil, err
	}
	fields := []string{"summary"}
	for _, f := range []string{"active", "date_done", "note", own} {
		if has[f] || f == "note" {
			fields = append(fields, f)
		}
	}
	return fields, nil
}

// isOpen tells whether an activity is still to be done. Where there is no such field, one that is done is deleted.
func isOpen(r row) bool {
	active, known := r["active"].(bool)
	return (!known || active) && r.text("date_done") == ""
}

// schedule makes an activity and returns its id.
func (j *job) schedule(ctx context.Context, values named, key, owner string) (string, error) {
	args := named{"act_type_xmlid": callType}
	for k, v := range values {
		args[k] = v
	}
	otherwise := ""
	if owner != "" {
		otherwise = j.contact.Owner
	}
	id, err := j.w.owner(ctx, owner, otherwise, j.p)
	if err != nil {
		return "", err
	}
	if id != 0 {
		args["user_id"] = id
	}
	fields, err := j.w.shownOfActivity(ctx)
	if err != nil {
		return "", err
	}
	if own := fields[len(fields)-1]; own != "note" {
		args[own] = key
	}
	var result json.RawMessage
	if err := j.w.odoo.call(ctx, j.model, "activity_schedule", []int64{j.id}, args, &result); err != nil {
		return "", err
	}
	return firstID(result), nil
}

// within is the pattern by which text is searched in a field of HTML. Odoo's own sanitizer decides which characters stand there as
// entities, so each of those may be anything; what is found is compared afterwards.
func within(s string) string {
	return strings.NewReplacer("&", "%", "<", "%", ">", "%", `"`, "%", "'", "%", `\`, "%").Replace(s)
}

// recordset is how Odoo before version 19 writes records that a method returns into its answer: mail.activity(5,).
var recordset = regexp.MustCompile(`^[a-z][\w.]*\((\d+),`)

// firstID reads an id, alone, in a list or in a recordset; empty: there is none.
func firstID(raw json.RawMessage) string {
	var one int64
	var many []int64
	var said string
	switch {
	case json.Unmarshal(raw, &one) == nil && one != 0:
		return strconv.FormatInt(one, 10)
	case json.Unmarshal(raw, &many) == nil && len(many) > 0:
		return strconv.FormatInt(many[0], 10)
	case json.Unmarshal(raw, &said) == nil:
		if m := recordset.FindStringSubmatch(said); m != nil {
			return m[1]
		}
	}
	return ""
}
