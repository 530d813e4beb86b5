package espocrm

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// noteLimit is how many characters of a post are sent. The column holds 16 MB.
const noteLimit = 1_000_000

// Note returns a post in the stream of the contact, or of the call where there is no contact.
func (s schema) Note(_ context.Context, j *record.Job, n record.Note) (*record.Record, error) {
	entity, id := j.Target()
	if id == "" {
		entity, id = "Call", j.Activity
	}
	if id == "" {
		return nil, nil // a person deleted both, or neither is wanted
	}
	return &record.Record{
		Table: posts{record.Fixed{}, s.api, entity + "/" + id + "/posts", n.Head}, Name: "Note",
		New: record.Fields{"type": "Post", "parentType": entity, "parentId": id, "post": n.Text(noteLimit)},
	}, nil
}

// posts are those of one stream.
type posts struct {
	record.Fixed
	*api
	path, head string
}

// postPages bounds the search for a note of ours: a contact with more posts of later calls is no contact.
const postPages = 5

// Find looks for the post that begins as ours does, among the latest of the stream.
func (s posts) Find(ctx context.Context, _ *record.Job, _ *record.Record) (record.Found, error) {
	const size = 100
	for page := range postPages {
		rows, err := s.list(ctx, s.path, url.Values{"maxSize": {fmt.Sprint(size)}, "offset": {fmt.Sprint(page * size)}})
		if status := httpx.StatusOf(err); status == http.StatusNotFound || status == http.StatusForbidden && strings.HasPrefix(s.path, "Call/") {
			break // a Call takes posts, but has no stream to be read unless a site gives it one
		}
		if err != nil {
			return record.Found{}, err
		}
		for _, o := range rows {
			if strings.HasPrefix(o.Text("post"), s.head) {
				return record.Found{ID: o.Text("id")}, nil
			}
		}
		if len(rows) < size {
			break
		}
	}
	return record.Found{}, nil
}

// Create makes a post.
func (s posts) Create(ctx context.Context, _ *record.Job, f record.Fields) (string, error) {
	made, err := s.create(ctx, "Note", f, nil)
	return made.Text("id"), err
}
