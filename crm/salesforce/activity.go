package salesforce

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// date writes a day.
func date(t time.Time) string { return t.Format(time.DateOnly) }

// stamp writes a time.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// spoken writes a time for people, in the zone that is configured.
func (j *job) spoken(t time.Time) string { return j.w.s.In(t).Format("2006-01-02 15:04:05 -07:00") }

// unix writes line ends in one way, so that what comes back can be compared.
func unix(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// body is the description of the call, with its time of day: a Task's own date has none.
func (j *job) body() text.Body {
	b := text.NewBody(j.e)
	b.Summary = text.Cut(unix(b.Summary), summaryLimit)
	if at := j.e.Call.StartedAt; !at.IsZero() {
		b.Values[text.Started] = j.spoken(at)
	}
	return b
}

// fields returns what is known of the call, as fields of its Task.
func (j *job) fields() object {
	c := &j.e.Call
	o := object{}
	if text.Outcome(j.e) != "" {
		o.Set("Subject", text.Title(j.e, subjectLimit))
	}
	switch c.Direction {
	case "outbound":
		o.Set("CallType", "Outbound")
	case "inbound":
		o.Set("CallType", "Inbound")
	}
	if !c.StartedAt.IsZero() {
		o.Set("ActivityDate", j.day())
	}
	o.Set("WhoId", j.whoID())
	values := j.extras()
	for ours, f := range j.w.extraFields() {
		if f == Fields[ours] && !j.w.hasTaskField(f) {
			continue // nobody has asked for it
		}
		o.Set(f, values[ours])
	}
	o.Set("Description", j.body().String())
	return o
}

// extras are the values for which Tasks have a field, or may be given one.
func (j *job) extras() map[string]any {
	out := map[string]any{}
	for ours, v := range record.Extras(&j.e.Call, subjectLimit) {
		out[ours] = record.Numbered(ours, v)
	}
	out[text.Disposition], out[text.Summary] = text.Line(text.Outcome(j.e), subjectLimit), text.Cut(text.Clean(j.e.Call.Summary), bodyLimit)
	if at := j.e.Call.StartedAt; !at.IsZero() {
		out[fieldStarted] = stamp(at)
	}
	return out
}

// call makes the call's Task or brings it up to date; nil: there is nothing to do.
func (j *job) call(ctx context.Context) (*part, error) {
	if j.e.NoActivity || strings.HasPrefix(j.p.Refs["activity"], "deleted:") {
		return nil, nil
	}
	o := j.fields()
	sum := step.Sum(o)
	held := j.one("activity", j.key)
	switch {
	case held == nil && j.p.Refs["activity"] != "":
		return nil, j.gone("activity")
	case held == nil:
		return j.newCall(ctx, o, sum)
	}
	id := held.Text("Id")
	j.activity = id
	if j.e.Event == crm.TranscriptReady || j.p.Refs["activity.sum"] == sum {
		return nil, j.p.Save("activity", id)
	}
	if o = j.changes(held, o); len(o) == 0 {
		j.p.Refs["activity.sum"] = sum
		return nil, j.p.Save("activity", id)
	}
	return &part{method: http.MethodPatch, path: "/sobjects/Task/" + id, ref: "activity", fields: o, optional: optionalOf(o), sum: sum, id: id}, nil
}

func (j *job) newCall(ctx context.Context, known object, sum string) (*part, error) {
	owner, err := j.ownerOf(ctx, j.w.s.Owner)
	if err != nil {
		return nil, err
	}
	o := object{
		"Subject": text.Title(j.e, subjectLimit), "Status": cmp.Or(j.w.cfg.CallStatus, "Completed"), "Priority": "Normal", "TaskSubtype": "Call",
		"CallObject": j.key, "ActivityDate": j.day(),
	}
	if owner != "" {
		o["OwnerId"] = owner
	}
	for name, v := range known {
		o[name] = v
	}
	o["Description"] = j.body().Within(bodyLimit)
	return j.newTask("activity", j.key, o, sum), nil
}

// newTask is a Task that the org does not have, as far as is known: made by its key where that is an external id, so that a
// repeat meets what an earlier attempt made.
func (j *job) newTask(ref, key string, o object, sum string) *part {
	p := &part{method: http.MethodPost, path: "/sobjects/Task", ref: ref, fields: o, optional: optionalOf(o), sum: sum}
	switch j.store {
	case byExternalID:
		p.method, p.path = http.MethodPatch, "/sobjects/Task/"+j.w.callField()+"/"+key
	case byField:
		o[j.w.callField()] = key
	default:
		p.optional = slices.DeleteFunc(p.optional, func(f string) bool { return f == "CallObject" })
	}
	return p
}

// optionalOf are the fields that a Task can do without. Their values stand in the Description too, or say nothing of the call.
func optionalOf(o object) []string {
	var out []string
	for name := range o {
		switch name {
		case "Subject", "Description", "Status", "WhoId":
		default:
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// changes returns what differs from what the org holds, without what would take people's words back.
func (j *job) changes(held, known object) object {
	o := object{}
	for name, v := range known {
		if !equal(held[name], v) {
			o[name] = v
		}
	}
	if !text.Retitles(j.e, held.Text("Subject")) {
		delete(o, "Subject")
	}
	if held.Text("WhoId") != "" {
		delete(o, "WhoId")
	}
	delete(o, "Description")
	if body := j.body().Over(held.Text("Description")).Within(bodyLimit); body != held.Text("Description") {
		o["Description"] = body
	}
	return o
}

// equal compares a value that Salesforce returned with one of ours. Times come back in another form.
func equal(held, ours any) bool {
	if fmt.Sprint(held) == fmt.Sprint(ours) {
		return true
	}
	a, okA := held.(string)
	b, okB := ours.(string)
	return okA && okB && !record.When(a).IsZero() && record.When(a).Equal(record.When(b))
}

// ownerOf returns who is to own what is made: the user named, else the contact's owner; empty: who writes. Queues own no Tasks.
func (j *job) ownerOf(ctx context.Context, named string) (string, error) {
	otherwise := ""
	if len(j.contacts) > 0 {
		otherwise = j.contacts[0].Owner
	}
	id, err := j.w.owners.Or(ctx, named, otherwise, j.p)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(id, "00G") {
		return "", nil
	}
	return id, nil
}
