package suitecrm

import (
	"context"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const longNote = 255 // characters of a note's name

// Note returns the note with the transcript.
func (s schema) Note(_ context.Context, j *record.Job, n record.Note) (*record.Record, error) {
	fresh := record.Fields{"name": text.Line("Transcript of "+text.Spoken(j.Entry, s.s.In), longNote), "description": n.Text(longBody)}
	s.relate(fresh, j)
	if module, id := j.Target(); module == "Contacts" {
		fresh["contact_id"] = id
	}
	return &record.Record{Table: module{s.suite, "Notes", "note", []string{"name"}}, Name: "Notes", Keyed: true, New: fresh}, nil
}
