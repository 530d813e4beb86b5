package suitecrm

import (
	"cmp"
	"context"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Task returns the follow-up. It is changed as long as nobody has taken it up.
func (s schema) Task(_ context.Context, j *record.Job) (*record.Record, error) {
	t := j.Entry.Task
	fresh := record.Fields{"status": "Not Started", "priority": "High"}
	s.relate(fresh, j)
	named := t.Owner
	if j.Contact.Owner == "" {
		named = cmp.Or(t.Owner, s.s.Owner)
	}
	return &record.Record{
		Table: module{s.suite, "Tasks", "task", []string{"status", "name", "date_due", "description"}}, Name: "Tasks", Keyed: true, New: fresh,
		Values: record.Fields{
			"name": text.Line(t.Title, longTitle), "date_due": stamp(t.Due),
			"description": text.Line(t.Title, longNote) + "\nFollow-up of the VInfer call " + j.Entry.Call.ID,
		},
		Owner: record.Owner{Field: "assigned_user_id", Named: named}, Same: sameText,
		Untouched: func(held record.Fields) bool { return held.Text("status") == "Not Started" },
	}, nil
}
