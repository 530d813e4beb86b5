package salesforce

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// followUp makes the call-back's Task. Later only a new call-back time moves it, as long as nobody has begun with it.
func (j *job) followUp(ctx context.Context) (*part, error) {
	t := j.e.Task
	if t == nil || strings.HasPrefix(j.p.Refs["task"], "deleted:") {
		return nil, nil
	}
	asked := ""
	if !j.e.Call.CallbackAt.IsZero() {
		asked = stamp(j.e.Call.CallbackAt)
	}
	sum := step.Sum(asked)
	due := object{"ActivityDate": date(j.w.s.In(t.Due)), "IsReminderSet": true, "ReminderDateTime": stamp(t.Due)}
	open := cmp.Or(j.w.cfg.TaskStatus, "Not Started")
	held := j.one("task", j.key+callback)
	switch {
	case held == nil && j.p.Refs["task"] != "":
		return nil, j.gone("task")
	case held != nil:
		id := held.Text("Id")
		if j.e.Event == crm.TranscriptReady || j.p.Refs["task.sum"] == sum || asked == "" || held.Text("Status") != open {
			j.p.Refs["task.sum"] = sum
			return nil, j.p.Save("task", id)
		}
		return &part{
			method: http.MethodPatch, path: "/sobjects/Task/" + id, ref: "task", fields: due, optional: []string{"IsReminderSet", "ReminderDateTime"}, sum: sum, id: id,
		}, nil
	}
	owner, err := j.ownerOf(ctx, cmp.Or(t.Owner, j.w.s.Owner))
	if err != nil {
		return nil, err
	}
	o := object{
		"Subject": cmp.Or(text.Line(t.Title, subjectLimit), "Call back"), "Status": open, "Priority": "Normal", "CallObject": j.key + callback,
		"Description": text.Cut("Due: "+j.spoken(t.Due)+"\n\n"+j.body().Within(bodyLimit-100), bodyLimit),
	}
	for name, v := range due {
		o[name] = v
	}
	if j.e.Call.Disposition == "escalated" {
		o["Priority"] = "High"
	}
	if who := j.whoID(); who != "" {
		o["WhoId"] = who
	}
	if owner != "" {
		o["OwnerId"] = owner
	}
	return j.newTask("task", j.key+callback, o, sum), nil
}
