package hubspot

import (
	"context"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// Note returns a note on the contact's timeline. Where there is no contact its text goes below the call's own.
func (s schema) Note(_ context.Context, j *record.Job, n record.Note) (*record.Record, error) {
	if j.Contact.ID == "" && j.Activity == "" {
		return nil, nil // a person deleted it, or it is not wanted: there is no place for more
	}
	if j.Contact.ID == "" {
		return &record.Record{Table: &below{w: s.Writer, note: n}, Name: notes}, nil
	}
	ref, key := "note", j.Entry.Call.ID
	if n.Link {
		ref, key = "link", key+"#link"
	}
	at := j.Entry.Call.EndedAt
	if at.IsZero() {
		at = time.Now()
	}
	return &record.Record{
		Table: table{w: s.Writer, kind: notes, ref: ref, key: key, at: at, ours: func(plain string) bool { return strings.HasPrefix(plain, n.Head) }},
		Name:  notes, New: record.Fields{"hs_timestamp": stamp(at), "hs_note_body": html(n.Text, j.Entry.Call.TranscriptURL)}, Fresh: j.Contact.Made,
		Owner: record.Owner{Field: "hubspot_owner_id", Named: s.s.Owner}, Optional: []string{"hubspot_owner_id"}, Named: names,
	}, nil
}

// below is the place for a text in the body of the call.
type below struct {
	record.Fixed
	w    *Writer
	note record.Note
	held *string // the body, once it was read
}

// Find looks for the text in the call's body.
func (b *below) Find(ctx context.Context, j *record.Job, _ *record.Record) (record.Found, error) {
	o, err := b.w.api.read(ctx, calls, j.Activity, "", []string{bodies[calls]})
	if err != nil || o == nil {
		return record.Found{}, err
	}
	held := text.Plain(o.text(bodies[calls]))
	if strings.Contains(held, b.note.Head) {
		return record.Found{ID: j.Activity}, nil
	}
	b.held = &held
	return record.Found{}, nil
}

// Create adds the text to the call's body.
func (b *below) Create(ctx context.Context, j *record.Job, _ record.Fields) (string, error) {
	if b.held == nil {
		if f, err := b.Find(ctx, j, nil); err != nil || f.ID != "" {
			return f.ID, err
		}
	}
	held := ""
	if b.held != nil {
		held = *b.held
	}
	body := html(func(limit int) string { return text.Cut(held+"\n\n"+b.note.Text(limit), limit) }, j.Entry.Call.TranscriptURL)
	return j.Activity, b.w.api.update(ctx, calls, j.Activity, map[string]any{bodies[calls]: body})
}
