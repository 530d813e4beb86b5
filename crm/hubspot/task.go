package hubspot

import (
	"cmp"
	"context"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Task returns the follow-up. Later only a new call-back time moves it, as long as nobody has begun with it.
func (s schema) Task(_ context.Context, j *record.Job) (*record.Record, error) {
	t := j.Entry.Task
	fresh := record.Fields{
		"hs_timestamp": stamp(t.Due), "hs_task_subject": cmp.Or(text.Line(t.Title, titleLimit), "Call back"), "hs_task_status": "NOT_STARTED",
		"hs_task_type": "CALL", "hs_task_priority": "MEDIUM",
		"hs_task_body": html(text.NewBody(j.Entry).Within, j.Entry.Call.TranscriptURL),
	}
	if j.Entry.Call.Disposition == "escalated" {
		fresh["hs_task_priority"] = "HIGH"
	}
	moved := record.Fields{}
	if !j.Entry.Call.CallbackAt.IsZero() {
		moved["hs_timestamp"] = stamp(t.Due)
	}
	return &record.Record{
		Table: table{w: s.Writer, kind: tasks, ref: "task", key: j.Entry.Call.ID, at: t.Due, ours: isCall(j), shown: []string{"hs_task_status", "hs_timestamp"}},
		Name:  tasks, New: fresh, Values: moved, Content: stamp(j.Entry.Call.CallbackAt), Fresh: j.Contact.Made, Same: holds,
		Owner: record.Owner{Field: "hubspot_owner_id", Named: cmp.Or(t.Owner, s.s.Owner)}, Optional: []string{"hs_task_priority", "hs_task_type", "hubspot_owner_id"}, Named: names,
		Untouched: func(held record.Fields) bool { return held.Text("hs_task_status") == "NOT_STARTED" },
	}, nil
}
