package freshsales

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Task returns the follow-up. It is updated as long as it is open.
func (s schema) Task(_ context.Context, j *record.Job) (*record.Record, error) {
	t := j.Entry.Task
	return &record.Record{
		Table: tasks{s.Writer}, Name: "task", New: targeted(record.Fields{}, j), Linger: s.linger,
		Values: record.Fields{
			"title": text.Line(t.Title, longTitle), "description": marker(j), "due_date": t.Due.UTC().Format(time.RFC3339),
		},
		Owner: record.Owner{Field: "owner_id", Named: cmp.Or(t.Owner, s.s.Owner), Else: s.anyone},
		Same: func(held record.Fields, name string, v any) bool {
			return held.Text(name) == v || name == "due_date" && sameTime(held.Text(name), t.Due)
		},
		Untouched: func(held record.Fields) bool { return digits(held["status"]) != "1" },
	}, nil
}

func sameTime(held string, t time.Time) bool {
	return record.When(held).Equal(t.UTC().Truncate(time.Second))
}

// tasks are the tasks.
type tasks struct{ w *Writer }

var _ record.Table = tasks{}

// Find looks among the contact's tasks.
func (t tasks) Find(ctx context.Context, j *record.Job, _ *record.Record) (record.Found, error) {
	rows, err := t.w.api.rows(ctx, pages+"contacts/"+j.Contact.ID+"/tasks", "tasks", nil)
	if crm.VerdictOf(err) == crm.Reject {
		t.w.daily.Warn(j.Progress, "tasks", "the tasks of a contact cannot be read (%v): after a lost answer one may be there twice", err)
		return record.Found{}, nil
	}
	for _, f := range rows {
		if strings.TrimSpace(text.Plain(f.Text("description"))) == marker(j) {
			return record.Found{ID: idOf(f), Held: f}, nil
		}
	}
	return record.Found{}, err
}

// Read reads a task.
func (t tasks) Read(ctx context.Context, _ *record.Job, id string) (record.Fields, error) {
	return t.w.api.read(ctx, "task", "tasks", id)
}

// Create creates a task.
func (t tasks) Create(ctx context.Context, _ *record.Job, f record.Fields) (string, error) {
	return t.w.api.create(ctx, "task", "tasks", wrapped(f))
}

// Update updates a task.
func (t tasks) Update(ctx context.Context, _ *record.Job, id string, _, f record.Fields) error {
	return t.w.api.change(ctx, "task", "tasks", id, wrapped(f))
}
