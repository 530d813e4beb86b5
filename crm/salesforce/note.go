package salesforce

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Limits of a transcript, in characters. A note holds 50 MB; in a Task's Description the call's own words stand above it.
const (
	noteLimit  = 1_000_000
	belowLimit = 20_000
)

// notesOf asks for the files and notes of a record. Salesforce wants them to be asked for by the record.
func notesOf(id string) string {
	return "SELECT ContentDocumentId, ContentDocument.Title FROM ContentDocumentLink WHERE LinkedEntityId = " + quote(id)
}

// titles returns the ids of notes by title.
func titles(rows []object) map[string]string {
	all := map[string]string{}
	for _, o := range rows {
		if document, ok := o["ContentDocument"].(map[string]any); ok {
			all[object(document).Text("Title")] = o.Text("ContentDocumentId")
		}
	}
	return all
}

// writeNotes writes the transcript, and its link where there is no Task that could hold it.
func (j *job) writeNotes(ctx context.Context) error {
	if c := &j.e.Call; c.TranscriptURL != "" && j.e.NoActivity {
		if err := j.note(ctx, "link", title(text.LinkHead(c.ID)), text.Link(c)); err != nil {
			return err
		}
	}
	if !text.HasNote(j.e) {
		return nil
	}
	return j.note(ctx, "note", title(text.NoteHead(j.e.Call.ID)), text.Note(j.e, j.w.s.In, noteLimit))
}

// title makes of the beginning of a note its title, by which it is found again.
func title(head string) string { return text.Line(strings.TrimSuffix(head, ":"), subjectLimit) }

// note puts a note on the contact, or on the Task where there is no contact. Note and link are made as one: there is no note
// that hangs on nothing, and a look at the record finds it.
func (j *job) note(ctx context.Context, ref, title, words string) error {
	id := cmp.Or(j.whoID(), j.activity)
	if id == "" {
		return nil // a person deleted both, or neither is wanted
	}
	if j.w.hidden.has(partNotes, "*") {
		return j.append(ctx, ref, title, words)
	}
	_, err := step.Do(ctx, j.p, step.Step{
		Ref: ref,
		Look: func(ctx context.Context) (string, error) {
			held := j.notes
			j.notes = nil // what was brought along is good for the first look
			if held == nil {
				rows, err := j.w.api.query(ctx, notesOf(id))
				if err != nil {
					if has(err, "INVALID_TYPE", "INVALID_FIELD") {
						return "", nil // there are none
					}
					return "", err
				}
				held = titles(rows)
			}
			return held[title], nil
		},
		Create: func(ctx context.Context) (string, error) {
			ids, err := j.w.api.write(ctx, []request{
				{Method: http.MethodPost, URL: root + "/sobjects/ContentNote", Ref: "note", Body: object{
					"Title": title, "Content": base64.StdEncoding.EncodeToString([]byte("<p>" + text.HTML(words) + "</p>")),
				}},
				{Method: http.MethodPost, URL: root + "/sobjects/ContentDocumentLink", Ref: "link", Body: object{
					"ContentDocumentId": "@{note.id}", "LinkedEntityId": id, "ShareType": "V",
				}},
			})
			return ids["note"], err
		},
	})
	if partOf(err) == "note" && (httpx.StatusOf(err) == http.StatusNotFound || has(err, "INVALID_TYPE", "NOT_FOUND")) {
		j.w.hidden.put(partNotes, "*")
		j.w.daily.Warn(j.p, "notes", "notes are switched off in the org (Setup > Notes Settings): transcripts go into the Task's Description")
		return j.append(ctx, ref, title, words)
	}
	return err
}

// append puts the words of a note into the Description of the call's Task, below what is there.
func (j *job) append(ctx context.Context, ref, title, words string) error {
	if j.activity == "" || j.p.Refs[ref] != "" {
		return nil // there is no place for it, or it stands there
	}
	rows, err := j.w.api.query(ctx, "SELECT Id, Description FROM Task WHERE Id = "+quote(j.activity))
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return j.gone("activity")
	}
	held := rows[0].Text("Description")
	if !strings.Contains(held, title) {
		body := object{"Description": text.Cut(strings.TrimPrefix(held+"\n\n"+text.Cut(unix(words), belowLimit), "\n\n"), bodyLimit)}
		if err := j.w.api.call(ctx, http.MethodPatch, "/sobjects/Task/"+j.activity, nil, body, nil, nil); err != nil {
			if httpx.StatusOf(err) == http.StatusNotFound {
				return fmt.Errorf("%w (it was deleted since it was read)", plain(err))
			}
			return err
		}
	}
	return j.p.Save(ref, "Task/"+j.activity)
}
