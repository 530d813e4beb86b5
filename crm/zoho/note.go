package zoho

import (
	"context"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Note returns the transcript's note on the contact, or on the call where there is no contact.
func (s schema) Note(_ context.Context, j *record.Job, n record.Note) (*record.Record, error) {
	module, id := j.Target()
	if id == "" {
		module, id = "Calls", j.Activity
	}
	if id == "" {
		return nil, nil // a person deleted both, or neither is wanted
	}
	return &record.Record{
		Table: notes{record.Fixed{}, s.Writer, module, id, n.Head}, Name: "Note", Linger: s.linger,
		New: record.Fields{
			"Note_Title": text.Line("Transcript of "+text.Spoken(j.Entry, s.s.In), 120), "Note_Content": n.Text(longBody),
			"Parent_Id": row{"id": id, "module": row{"api_name": module}}, "$se_module": module,
		},
	}, nil
}

// notes are those of one record.
type notes struct {
	record.Fixed
	w                *Writer
	module, id, head string
}

// Find looks for the note that begins as ours does.
func (t notes) Find(ctx context.Context, _ *record.Job, _ *record.Record) (record.Found, error) {
	r, _, err := t.w.related(ctx, t.module, t.id, "Notes", []string{"id", "Note_Title", "Note_Content"}, func(r row) bool {
		return strings.HasPrefix(r.text("Note_Content"), t.head) || r.text("Note_Title") == strings.TrimSuffix(t.head, ":")
	})
	return record.Found{ID: r.text("id")}, err
}

// Create makes a note.
func (t notes) Create(ctx context.Context, _ *record.Job, f record.Fields) (string, error) {
	return t.w.api.create(ctx, "/"+t.module+"/"+t.id+"/Notes", row(f))
}
