package step

import (
	"context"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// Steps are what a call leaves at one contact. A step that finds nothing to do does nothing.
type Steps struct {
	Touch    func(ctx context.Context) error // the contact itself: status, time of the last call; nil: it stays as it is
	Activity func(ctx context.Context) error
	Task     func(ctx context.Context) error
	Note     func(ctx context.Context) error // the transcript
}

// Take takes the steps that the entry asks for, in this order, up to the first that fails. A transcript that came later does not touch the
// contact.
func (s Steps) Take(ctx context.Context, e *crm.Entry) error {
	for _, x := range []struct {
		wanted bool
		take   func(ctx context.Context) error
	}{
		{e.Event != crm.TranscriptReady && s.Touch != nil, s.Touch},
		{!e.NoActivity, s.Activity},
		{e.Task != nil, s.Task},
		{true, s.Note},
	} {
		if !x.wanted {
			continue
		}
		if err := x.take(ctx); err != nil {
			return err
		}
	}
	return nil
}
