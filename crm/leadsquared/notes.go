package leadsquared

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// task makes the follow-up. Later only a new call-back time moves it, as long as nobody has finished it.
func (j *job) task(ctx context.Context) error {
	t := j.e.Task
	_, err := step.Do(ctx, j.p, step.Step{
		Ref: "task", Content: stamp(j.e.Call.CallbackAt), Fresh: j.fresh, Linger: j.w.linger,
		Look: func(ctx context.Context) (string, error) {
			r, err := j.findTask(ctx, "")
			return taskID(r), err
		},
		Create: j.createTask,
		Update: func(ctx context.Context, id string) error {
			if j.e.Call.CallbackAt.IsZero() {
				return nil
			}
			held, err := j.findTask(ctx, id)
			switch {
			case err != nil:
				return err
			case held == nil:
				return step.ErrGone
			case finished(held) || when(held.text("DueDate")).Equal(t.Due.UTC().Truncate(time.Second)):
				return nil
			}
			body := map[string]any{"UserTaskId": id, "RelatedEntity": 1, "RelatedEntityId": j.lead.ID, "DueDate": stamp(t.Due)}
			for ours, theirs := range map[string]string{"Name": "Name", "Description": "Description", "OwnerId": "OwnerID"} {
				if v := held.text(theirs, ours); v != "" {
					body[ours] = v
				}
			}
			err = j.w.api.call(ctx, http.MethodPost, "Task.svc/Update", nil, body, nil)
			if unavailable(err) {
				j.w.warn(j.p, "tasks cannot be changed (%v): a new call-back time does not move them", err)
				return nil
			}
			return err
		},
	})
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

// taskOwner returns who gets the task, and the name of the field that says so: the rule's owner, the destination's, or the lead's.
func (j *job) taskOwner() (by, owner string) {
	owner = orDefault(orDefault(j.e.Task.Owner, j.w.s.Owner), j.lead.Owner)
	if strings.Contains(owner, "@") {
		return "OwnerEmailAddress", owner
	}
	return "OwnerId", owner
}

func (j *job) createTask(ctx context.Context) (id string, err error) {
	t := j.e.Task
	o := map[string]any{
		"Name": orDefault(text.Line(t.Title, 200), "Call back"), "Description": text.NewBody(j.e).Within(j.w.cfg.ActivityLimit),
		"RelatedEntity": 1, "RelatedEntityId": j.lead.ID, "DueDate": stamp(t.Due), "TaskType": map[string]any{"Name": j.w.cfg.TaskType},
	}
	if by, owner := j.taskOwner(); owner != "" {
		o[by] = owner
	}
	// The task type's name and who gets it can be wrong in the configuration: the follow-up is worth more.
	err = j.w.optional.Send(j.p, "task", o, []string{"TaskType", "OwnerEmailAddress", "OwnerId"}, aboutTask, func(o map[string]any) error {
		id, err = j.w.api.create(ctx, "Task.svc/Create", nil, o)
		return err
	})
	return id, err
}

// aboutTask tells whether a refusal of a task is about one of its fields.
func aboutTask(err error, name string) bool {
	said := strings.ToLower(strings.ReplaceAll(refusal(err).exception+" "+refusal(err).message, " ", ""))
	if strings.HasPrefix(name, "Owner") {
		return strings.Contains(said, "owner") || strings.Contains(said, "user")
	}
	return strings.Contains(said, strings.ToLower(name))
}

// findTask returns the task of the given id, or, without one, that of the call, among those of the lead; nil: it is not there.
func (j *job) findTask(ctx context.Context, id string) (row, error) {
	var answer any
	err := j.w.api.call(ctx, http.MethodGet, "LeadManagement.svc/RetrieveTaskByLeadId", url.Values{"leadId": {j.lead.ID}}, nil, &answer)
	if by, owner := j.taskOwner(); unavailable(err) && owner != "" {
		err = j.w.api.call(ctx, http.MethodPost, "Task.svc/Retrieve", nil, map[string]any{
			"Parameter": map[string]any{"LookupName": by, "LookupValue": owner, "FromDate": stamp(j.began().Add(-margin)), "ToDate": stamp(j.e.Task.Due.Add(margin))},
			"Sorting":   map[string]any{"ColumnName": "CreatedOn", "Direction": "1"},
			"Paging":    map[string]any{"Offset": 0, "RowCount": 1000},
		}, &answer)
	}
	if unavailable(err) {
		j.w.warn(j.p, "the tasks of a lead cannot be read (%v): after a lost answer one may be there twice", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := rowsOf(answer, "TaskList", "List", "Tasks")
	for _, r := range rows {
		is := id != "" && strings.EqualFold(taskID(r), id)
		if id == "" {
			each(r, "", func(_, v string) { is = is || hasLine(v, j.line()) })
		}
		if is {
			return r, nil
		}
	}
	return nil, err
}

// notePages bounds the search for a note of ours: a lead with more notes of later calls is none.
const notePages = 5

// note puts a note on the lead's timeline. write returns it in at most so many characters.
func (j *job) note(ctx context.Context, ref, head string, write func(limit int) string) error {
	_, err := step.Do(ctx, j.p, step.Step{
		Ref: ref, Fresh: j.fresh, Linger: j.w.linger,
		Look:   func(ctx context.Context) (string, error) { return j.findNote(ctx, head) },
		Create: func(ctx context.Context) (string, error) { return j.createNote(ctx, write) },
	})
	return err
}

// createNote makes a note, a shorter one if the account says that it is too long: how much it takes is not documented.
func (j *job) createNote(ctx context.Context, write func(limit int) string) (string, error) {
	limit := j.w.cfg.NoteLimit
	if refused := int(j.w.longer.Load()); refused > 0 {
		limit = min(limit, shorter(refused))
	}
	for {
		id, err := j.w.api.create(ctx, "LeadManagement.svc/CreateNote", nil, map[string]any{"RelatedProspectId": j.lead.ID, "Note": write(limit)})
		if !overlong(err) || shorter(limit) >= limit {
			return id, err
		}
		j.w.longer.Store(int64(limit))
		limit = shorter(limit)
		j.w.warn(j.p, "a note of more than %d characters was refused; transcripts are cut to that", limit)
	}
}

// shorter returns the next limit to try after one that was refused.
func shorter(limit int) int {
	for _, l := range []int{16_000, 8000, 4000, 2000, 1000} {
		if l < limit {
			return l
		}
	}
	return limit
}

// findNote returns the id of the note that begins with head, among the latest of the lead.
func (j *job) findNote(ctx context.Context, head string) (string, error) {
	const size = 200
	for page := 1; page <= notePages; page++ {
		var answer any
		err := j.w.api.call(ctx, http.MethodPost, "LeadManagement.svc/RetrieveNote", nil, map[string]any{
			"Parameter": map[string]any{"RelatedId": j.lead.ID},
			"Paging":    map[string]any{"PageIndex": page, "PageSize": size},
			"Sorting":   map[string]any{"ColumnName": "CreatedOn", "Direction": 1},
		}, &answer)
		if unavailable(err) {
			j.w.warn(j.p, "the notes of a lead cannot be read (%v): after a lost answer one may be there twice", err)
			return "", nil
		}
		if err != nil {
			return "", err
		}
		rows, err := rowsOf(answer, "List", "Notes")
		if err != nil {
			return "", err
		}
		for _, r := range rows {
			if note := text.Plain(r.text("Note")); strings.HasPrefix(strings.TrimSpace(note), head) || strings.HasPrefix(r.text("Note"), head) {
				return orDefault(r.text("ProspectNoteId", "Id", "ID"), "found"), nil
			}
		}
		if len(rows) < size {
			break
		}
	}
	return "", nil
}
