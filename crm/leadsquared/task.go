package leadsquared

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Task returns the follow-up. Later only a new call-back time moves it, as long as nobody has finished it.
func (s schema) Task(_ context.Context, j *record.Job) (*record.Record, error) {
	t := j.Entry.Task
	table := tasks{s.Writer}
	fresh := record.Fields{
		"Name": cmp.Or(text.Line(t.Title, 200), "Call back"), "Description": text.NewBody(j.Entry).Within(s.cfg.ActivityLimit),
		"RelatedEntity": 1, "RelatedEntityId": j.Contact.ID, "DueDate": stamp(t.Due), "TaskType": map[string]any{"Name": s.cfg.TaskType},
	}
	by, owner := table.owner(j)
	fresh.Set(by, owner)
	moved := record.Fields{}
	if !j.Entry.Call.CallbackAt.IsZero() {
		moved["DueDate"] = stamp(t.Due)
	}
	return &record.Record{
		Table: table, Name: "task", New: fresh, Values: moved, Content: stamp(j.Entry.Call.CallbackAt), Linger: s.linger,
		// The task type's name and who gets it can be wrong in the configuration: the follow-up is worth more.
		Optional: []string{"TaskType", "OwnerEmailAddress", "OwnerId"}, Named: aboutTask,
		Untouched: func(held record.Fields) bool { return !finished(row(held)) },
		Same: func(held record.Fields, name string, _ any) bool {
			return record.When(row(held).text(name)).Equal(t.Due.UTC().Truncate(time.Second))
		},
	}, nil
}

// tasks are those of a lead.
type tasks struct{ w *Writer }

// Find looks for the task of the call.
func (t tasks) Find(ctx context.Context, j *record.Job, _ *record.Record) (record.Found, error) {
	r, err := t.find(ctx, j, "")
	return record.Found{ID: taskID(r), Held: record.Fields(r)}, err
}

// Read looks for the task of an id.
func (t tasks) Read(ctx context.Context, j *record.Job, id string) (record.Fields, error) {
	r, err := t.find(ctx, j, id)
	if err == nil && r == nil {
		err = step.ErrGone
	}
	return record.Fields(r), err
}

// Create makes a task.
func (t tasks) Create(ctx context.Context, _ *record.Job, f record.Fields) (string, error) {
	return t.w.api.create(ctx, "Task.svc/Create", nil, map[string]any(f))
}

// Update moves a task. What it says goes with that: what is not sent might be emptied.
func (t tasks) Update(ctx context.Context, j *record.Job, id string, held, f record.Fields) error {
	body := map[string]any{"UserTaskId": id, "RelatedEntity": 1, "RelatedEntityId": j.Contact.ID, "DueDate": f["DueDate"]}
	for ours, theirs := range map[string]string{"Name": "Name", "Description": "Description", "OwnerId": "OwnerID"} {
		if v := row(held).text(theirs, ours); v != "" {
			body[ours] = v
		}
	}
	err := t.w.api.call(ctx, http.MethodPost, "Task.svc/Update", nil, body, nil)
	if unavailable(err) {
		t.w.daily.Warn(j.Progress, "task update", "tasks cannot be changed (%v): a new call-back time does not move them", err)
		return nil
	}
	return err
}

func finished(task row) bool {
	switch strings.ToLower(task.text("Status", "StatusCode")) {
	case "", "0", "pending", "open", "overdue", "incomplete":
		return false
	}
	return true
}

func taskID(r row) string { return r.text("TaskID", "UserTaskId", "TaskId", "Id", "ID") }

// owner returns who gets the task, and the name of the field that says so: the rule's owner, the destination's, or the lead's.
func (t tasks) owner(j *record.Job) (by, owner string) {
	owner = cmp.Or(j.Entry.Task.Owner, t.w.s.Owner, j.Contact.Owner)
	if strings.Contains(owner, "@") {
		return "OwnerEmailAddress", owner
	}
	return "OwnerId", owner
}

// aboutTask tells whether a refusal of a task is about one of its fields.
func aboutTask(err error, name string) bool {
	said := strings.ToLower(strings.ReplaceAll(exceptionOf(err)+" "+httpx.RefusedBy(err).Message, " ", ""))
	if strings.HasPrefix(name, "Owner") {
		return strings.Contains(said, "owner") || strings.Contains(said, "user")
	}
	return strings.Contains(said, strings.ToLower(name))
}

// find returns the task of the given id, or, without one, that of the call, among those of the lead; nil: it is not there.
func (t tasks) find(ctx context.Context, j *record.Job, id string) (row, error) {
	rows, err := t.w.api.rows(ctx, http.MethodGet, "LeadManagement.svc/RetrieveTaskByLeadId", url.Values{"leadId": {j.Contact.ID}}, nil)
	began, _, _ := record.Span(&j.Entry.Call)
	if by, owner := t.owner(j); unavailable(err) && owner != "" {
		rows, err = t.w.api.rows(ctx, http.MethodPost, "Task.svc/Retrieve", nil, map[string]any{
			"Parameter": map[string]any{"LookupName": by, "LookupValue": owner, "FromDate": stamp(began.Add(-margin)), "ToDate": stamp(j.Entry.Task.Due.Add(margin))},
			"Sorting":   map[string]any{"ColumnName": "CreatedOn", "Direction": "1"},
			"Paging":    map[string]any{"Offset": 0, "RowCount": 1000},
		})
	}
	if unavailable(err) {
		t.w.daily.Warn(j.Progress, "tasks", "the tasks of a lead cannot be read (%v): after a lost answer one may be there twice", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		is := id != "" && strings.EqualFold(taskID(r), id)
		if id == "" {
			each(r, "", func(_, v string) { is = is || hasLine(v, lineOf(j)) })
		}
		if is {
			return r, nil
		}
	}
	return nil, err
}
