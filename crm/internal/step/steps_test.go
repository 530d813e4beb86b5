package step_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
)

func TestStepsTakeWhatTheEntryAsksFor(t *testing.T) {
	task := &crm.Task{}
	for _, x := range []struct {
		name  string
		entry crm.Entry
		fails string
		want  []string
	}{
		{"a call", crm.Entry{Event: crm.CallCompleted}, "", []string{"touch", "activity", "note"}},
		{"a call-back", crm.Entry{Event: crm.CallCompleted, Task: task}, "", []string{"touch", "activity", "task", "note"}},
		{"a transcript", crm.Entry{Event: crm.TranscriptReady}, "", []string{"activity", "note"}},
		{"no activity wanted", crm.Entry{Event: crm.CallCompleted, NoActivity: true, Task: task}, "", []string{"touch", "task", "note"}},
		{"a step that fails", crm.Entry{Event: crm.CallCompleted, Task: task}, "activity", []string{"touch", "activity"}},
	} {
		var took []string
		take := func(name string) func(context.Context) error {
			return func(context.Context) error {
				took = append(took, name)
				if name == x.fails {
					return errors.New(name)
				}
				return nil
			}
		}
		s := step.Steps{Touch: take("touch"), Activity: take("activity"), Task: take("task"), Note: take("note")}
		if err := s.Take(t.Context(), &x.entry); (err != nil) != (x.fails != "") || !slices.Equal(took, x.want) {
			t.Errorf("%s: %q, %v", x.name, took, err)
		}
		took, s.Touch = nil, nil
		if _ = s.Take(t.Context(), &x.entry); slices.Contains(took, "touch") {
			t.Errorf("%s: without a contact: %q", x.name, took)
		}
	}
}
