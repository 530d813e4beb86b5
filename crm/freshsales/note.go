package freshsales

import (
	"context"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Note returns the note with the transcript, or with the link to it. A note is HTML.
func (s schema) Note(_ context.Context, j *record.Job, n record.Note) (*record.Record, error) {
	fresh := targeted(record.Fields{"description": text.HTML(n.Text(longText))}, j)
	return &record.Record{Table: notes{s.Writer, n.Head, record.Fixed{}}, Name: "note", New: fresh, Linger: s.linger}, nil
}

// notes are the notes of contacts.
type notes struct {
	w    *Writer
	head string // of the note that is looked for
	record.Fixed
}

var _ record.Table = notes{}

// Find looks among the contact's notes.
func (t notes) Find(ctx context.Context, j *record.Job, _ *record.Record) (record.Found, error) {
	rows, err := t.w.api.rows(ctx, root+"contacts/"+j.Contact.ID+"/notes", "notes", nil)
	if crm.VerdictOf(err) == crm.Reject {
		t.w.daily.Warn(j.Progress, "notes", "the notes of a contact cannot be read (%v): after a lost answer one may be there twice", err)
		return record.Found{}, nil
	}
	for _, f := range rows {
		if strings.HasPrefix(strings.TrimSpace(text.Plain(f.Text("description"))), t.head) {
			return record.Found{ID: idOf(f)}, nil
		}
	}
	return record.Found{}, err
}

// Create creates a note.
func (t notes) Create(ctx context.Context, _ *record.Job, f record.Fields) (string, error) {
	return t.w.api.create(ctx, "note", "notes", f)
}
