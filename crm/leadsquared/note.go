package leadsquared

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Note returns a note on the lead's timeline.
func (s schema) Note(_ context.Context, _ *record.Job, n record.Note) (*record.Record, error) {
	return &record.Record{Table: notes{record.Fixed{}, s.Writer, n}, Name: "note", Linger: s.linger}, nil
}

// notes are those of a lead.
type notes struct {
	record.Fixed
	w    *Writer
	note record.Note
}

// notePages bounds the search for a note of ours: a lead with more notes of later calls is none.
const notePages = 5

// Create makes a note, a shorter one if the account says that it is too long: how much it takes is not documented.
func (t notes) Create(ctx context.Context, j *record.Job, _ record.Fields) (string, error) {
	limit := t.w.cfg.NoteLimit
	if refused := int(t.w.longer.Load()); refused > 0 {
		limit = min(limit, shorter(refused))
	}
	for {
		id, err := t.w.api.create(ctx, "LeadManagement.svc/CreateNote", nil, map[string]any{"RelatedProspectId": j.Contact.ID, "Note": t.note.Text(limit)})
		if !overlong(err) || shorter(limit) >= limit {
			return id, err
		}
		t.w.longer.Store(int64(limit))
		limit = shorter(limit)
		t.w.daily.Warn(j.Progress, "long notes", "a note of more than %d characters was refused; transcripts are cut to that", limit)
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

// Find looks for the note that begins as ours does, among the latest of the lead.
func (t notes) Find(ctx context.Context, j *record.Job, _ *record.Record) (record.Found, error) {
	const size = 200
	for page := 1; page <= notePages; page++ {
		rows, err := t.w.api.rows(ctx, http.MethodPost, "LeadManagement.svc/RetrieveNote", nil, map[string]any{
			"Parameter": map[string]any{"RelatedId": j.Contact.ID},
			"Paging":    map[string]any{"PageIndex": page, "PageSize": size},
			"Sorting":   map[string]any{"ColumnName": "CreatedOn", "Direction": 1},
		})
		if unavailable(err) {
			t.w.daily.Warn(j.Progress, "notes", "the notes of a lead cannot be read (%v): after a lost answer one may be there twice", err)
			return record.Found{}, nil
		}
		if err != nil {
			return record.Found{}, err
		}
		for _, r := range rows {
			if note := text.Plain(r.text("Note")); strings.HasPrefix(strings.TrimSpace(note), t.note.Head) || strings.HasPrefix(r.text("Note"), t.note.Head) {
				return record.Found{ID: cmp.Or(r.text("ProspectNoteId", "Id", "ID"), "found")}, nil
			}
		}
		if len(rows) < size {
			break
		}
	}
	return record.Found{}, nil
}
