package espocrm

import (
	"cmp"
	"context"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Task returns the follow-up. Later only a new call-back time moves it, as long as nobody has begun with it.
func (s schema) Task(ctx context.Context, j *record.Job) (*record.Record, error) {
	if err := s.ready(ctx, "Task"); err != nil {
		return nil, err
	}
	t := j.Entry.Task
	fresh := record.Fields{
		"name": cmp.Or(nameOf(t.Title), "Call back"), "status": "Not Started", "priority": "Normal", "dateEnd": stamp(t.Due),
		"description": text.NewBody(j.Entry).Within(bodyLimit),
	}
	if j.Entry.Call.Disposition == "escalated" {
		fresh["priority"] = "High"
	}
	entity, id := j.Target()
	fresh.Set("parentType", entity)
	fresh.Set("parentId", id)
	moved := record.Fields{}
	if !j.Entry.Call.CallbackAt.IsZero() {
		moved["dateEnd"] = stamp(t.Due)
	}
	return &record.Record{
		Table: s.table("Task", []string{"priority"}), Name: "Task", New: fresh, Values: moved, Content: stamp(j.Entry.Call.CallbackAt),
		Owner: s.owned(cmp.Or(t.Owner, s.s.Owner)), Optional: []string{"priority"},
		Untouched: func(held record.Fields) bool { return held.Text("status") == "Not Started" },
	}, nil
}
