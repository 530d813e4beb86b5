package odoo

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// task schedules the follow-up, once.
func (j *job) task(ctx context.Context) error {
	call, t := j.e.Call.ID, j.e.Task
	due := j.w.s.In(t.Due)
	note := text.HTML("Due at " + due.Format("15:04 MST on 2006-01-02") + "\n" + taskMark(call))
	values := named{"date_deadline": due.Format(time.DateOnly), "summary": text.Line(t.Title, longLine), "note": note}
	owner := cmp.Or(t.Owner, j.contact.Owner, j.w.s.Owner)
	s := step.Step{
		Ref: "task" + j.suffix, Content: []any{values, owner},
		Look: func(ctx context.Context) (string, error) {
			found, err := j.activities(ctx, "task-"+call, taskMark(call))
			return first(found), err
		},
		Create: func(ctx context.Context) (string, error) { return j.schedule(ctx, values, "task-"+call, owner) },
	}
	if j.e.Event != crm.TranscriptReady {
		s.Update = func(ctx context.Context, id string) error {
			n, _ := strconv.ParseInt(id, 10, 64)
			fields, err := j.w.shownOfActivity(ctx)
			if err != nil {
				return err
			}
			rows, err := j.w.odoo.find(ctx, "mail.activity", []any{[]any{"id", "=", n}}, fields, 1)
			switch {
			case err != nil:
				return err
			case len(rows) == 0:
				return step.ErrGone // done (before version 18) or deleted
			case !isOpen(rows[0]):
				return nil
			}
			return j.w.odoo.call(ctx, "mail.activity", "write", []int64{n}, named{"vals": values}, nil)
		}
	}
	_, err := step.Do(ctx, j.p, s)
	return err
}
