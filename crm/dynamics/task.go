package dynamics

import (
	"cmp"
	"context"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const (
	tasks = "tasks"
	high  = 2 // prioritycode
)

// Task returns the follow-up. It is changed as long as it is open.
func (s schema) Task(_ context.Context, j *record.Job) (*record.Record, error) {
	t := j.Entry.Task
	fresh := record.Fields{"prioritycode": high}
	refer(fresh, j, "regardingobjectid_*_task")
	return &record.Record{
		Table: set{s.api, tasks, "task", []string{"subject", "description", "scheduledend", "statecode"}}, Name: "task", Keyed: true, New: fresh,
		Values: record.Fields{
			"subject": text.Line(t.Title, longTitle), "scheduledend": t.Due.UTC().Format(time.RFC3339),
			"description": "Follow-up of the VInfer call " + j.Entry.Call.ID,
		},
		Owner:     record.Owner{Field: owner, Named: cmp.Or(t.Owner, s.s.Owner)},
		Untouched: func(held record.Fields) bool { return held["statecode"] == float64(stateOpen) },
	}, nil
}
