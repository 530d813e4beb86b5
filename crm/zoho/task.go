package zoho

import (
	"cmp"
	"context"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Task returns the follow-up. It is changed as long as nobody has begun with it. A task of Zoho's is due on a day: the hour stands in its text.
func (s schema) Task(ctx context.Context, j *record.Job) (*record.Record, error) {
	m, err := s.api.module(ctx, "Tasks")
	if err != nil {
		return nil, err
	}
	t := j.Entry.Task
	due := s.s.In(t.Due)
	day := due.Format(time.DateOnly)
	r := s.keyed(j, table{s.Writer, "Tasks", "Due_Date = " + quote(day)}, m, "Task", "task")
	r.Values = record.Fields{
		"Subject": cmp.Or(text.Line(t.Title, longTitle), "Call back"), "Due_Date": day,
		"Description": "Due at " + due.Format("2006-01-02 15:04 MST") + "\nFollow-up of a VInfer call\nVInfer call: " + j.Entry.Call.ID,
	}
	r.New["Status"], r.New["Priority"] = "Not Started", "High"
	r.Optional = append(r.Optional, "Status", "Priority")
	r.Owner = record.Owner{Field: "Owner", Named: cmp.Or(t.Owner, s.s.Owner)}
	r.Untouched = func(held record.Fields) bool { return held.Text("Status") == "Not Started" }
	return r, nil
}
