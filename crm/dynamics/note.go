package dynamics

import (
	"context"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

const (
	annotations = "annotations"
	longNote    = 100_000 // characters of notetext
)

// Note returns the note with the transcript, or with the link to it.
func (s schema) Note(_ context.Context, j *record.Job, n record.Note) (*record.Record, error) {
	what, subject := "note", "Transcript of "+text.Spoken(j.Entry, s.s.In)
	if n.Link {
		what, subject = "link", "Transcript's link of "+text.Spoken(j.Entry, s.s.In)
	}
	fresh := record.Fields{"subject": text.Line(subject, longTitle), "notetext": n.Text(longNote)}
	refer(fresh, j, "objectid_*")
	return &record.Record{Table: set{s.api, annotations, what, []string{"subject"}}, Name: "note", Keyed: true, New: fresh}, nil
}
