package odoo

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
)

// note puts the transcript into the contact's chatter.
func (j *job) note(ctx context.Context) error {
	if !text.HasNote(j.e) {
		return nil
	}
	note := text.Note(j.e, j.w.s.In, longText)
	head := text.NoteHead(j.e.Call.ID)
	_, err := step.Do(ctx, j.p, step.Step{
		Ref: "note" + j.suffix, Content: note,
		Look: func(ctx context.Context) (string, error) {
			rows, err := j.w.odoo.find(ctx, "mail.message", []any{
				[]any{"model", "=", j.model}, []any{"res_id", "=", j.id}, []any{"body", "ilike", within(head)},
			}, []string{"body"}, enough)
			for _, r := range rows {
				if strings.HasPrefix(strings.TrimSpace(text.Plain(r.text("body"))), head) {
					return strconv.FormatInt(r.id(), 10), nil
				}
			}
			return "", err
		},
		Create: func(ctx context.Context) (string, error) {
			args := named{"body": "<p>" + text.HTML(note) + "</p>", "message_type": "comment", "subtype_xmlid": "mail.mt_note"}
			if j.w.odoo.majorVersion() >= 17 { // before, every body was HTML
				args["body_is_html"] = true
			}
			var result json.RawMessage
			if err := j.w.odoo.call(ctx, j.model, "message_post", []int64{j.id}, args, &result); err != nil {
				return "", err
			}
			return firstID(result), nil
		},
	})
	return err
}
