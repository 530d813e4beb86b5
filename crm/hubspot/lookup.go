package hubspot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// bodies are the properties that hold our words, by type.
var bodies = map[string]string{calls: "hs_call_body", notes: "hs_note_body", tasks: "hs_task_body"}

// table is where the calls, the tasks or the notes are: those of one record of a call.
type table struct {
	w     *Writer
	kind  string
	ref   string                  // of the record
	key   string                  // the value of the property that holds our key
	at    time.Time               // its hs_timestamp, where that is known
	ours  func(plain string) bool // whether a text is the record's
	shown []string                // the properties that are read
}

// Find asks for the record by our key, or else looks for it among the contact's.
func (t table) Find(ctx context.Context, j *record.Job, _ *record.Record) (record.Found, error) {
	o, err := t.find(ctx, j)
	if err != nil || o == nil {
		return record.Found{}, err
	}
	return record.Found{ID: string(o.ID), Body: o.text(bodies[t.kind])}, nil
}

// Read reads a record.
func (t table) Read(ctx context.Context, _ *record.Job, id string) (record.Fields, error) {
	o, err := t.w.api.read(ctx, t.kind, id, "", t.shown)
	if err == nil && o == nil {
		err = step.ErrGone
	}
	if err != nil {
		return nil, err
	}
	held := record.Fields{}
	for name := range o.Properties {
		held[name] = o.text(name)
	}
	return held, nil
}

// Create makes a record with our key. A call is linked to all contacts, what else there is to the first.
func (t table) Create(ctx context.Context, j *record.Job, f record.Fields) (string, error) {
	property, unique, err := t.w.key(ctx, t.kind)
	if err != nil {
		return "", err
	}
	if property != "" {
		f[property] = t.key
	}
	to := j.Contacts
	if t.kind != calls {
		to = to[:min(1, len(to))]
	}
	if !unique && len(to) == 0 {
		// Nothing but the index can tell later whether it was made.
		if err := j.Progress.Save(t.ref+".tried", time.Now().UTC().Format(time.RFC3339)); err != nil {
			return "", err
		}
	}
	id, err := t.w.api.create(ctx, t.kind, f, idsOf(to)...)
	if property != "" && says(err, "PROPERTY_DOESNT_EXIST") && names(err, property) {
		t.w.definitions.Forget(t.kind + "." + property)
		return "", errors.New(err.Error()) // it was there a while ago: once more, without it
	}
	return id, err
}

func idsOf(all []people.Record) (ids []string) {
	for _, r := range all {
		ids = append(ids, r.ID)
	}
	return ids
}

// Update changes a record.
func (t table) Update(ctx context.Context, _ *record.Job, id string, _, f record.Fields) error {
	return t.w.api.update(ctx, t.kind, id, f)
}

// holds tells whether a record has a value already. HubSpot shows times in another form than it takes them.
func holds(held record.Fields, name string, v any) bool {
	old := held.Text(name)
	return old == v || name == "hs_timestamp" && record.When(old).Equal(record.When(fmt.Sprint(v)))
}

// find returns the record that an earlier attempt made, with its body: by our key where its values are unique, else among the contact's
// records of this type, by the key or by our words. nil: there is none.
func (t table) find(ctx context.Context, j *record.Job) (*object, error) {
	property, unique, err := t.w.key(ctx, t.kind)
	if err != nil {
		return nil, err
	}
	if unique {
		o, err := t.w.api.read(ctx, t.kind, t.key, property, []string{property, bodies[t.kind]})
		if httpx.StatusOf(err) != http.StatusBadRequest {
			return o, err
		}
		t.w.distrust(t.kind, property)
	}
	properties := []string{bodies[t.kind]}
	if property != "" {
		properties = append(properties, property)
	}
	mine := func(o object) bool {
		return property != "" && o.text(property) == t.key || t.ours(text.Plain(o.text(bodies[t.kind])))
	}
	if j.Contact.ID == "" {
		return t.searchFor(ctx, j, filter{property, "EQ", t.key}, properties, mine)
	}
	ids, err := t.w.api.associated(ctx, j.Contact.ID, t.kind)
	if err != nil {
		return nil, err
	}
	// The newest first: ids grow.
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(b, a)) })
	for page := range slices.Chunk(ids, 100) {
		rows, err := t.w.api.readAll(ctx, t.kind, page, properties)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(rows, mine); i >= 0 {
			return &rows[i], nil
		}
	}
	return nil, nil
}

// searchFor asks the index, the last resort for a call that has no contact and no unique key. What it finds is right; that it finds
// nothing proves nothing until it has had time to catch up with an earlier attempt.
func (t table) searchFor(ctx context.Context, j *record.Job, by filter, properties []string, mine func(object) bool) (*object, error) {
	if by.Property == "" {
		if t.at.IsZero() {
			return nil, nil
		}
		by = filter{"hs_timestamp", "EQ", fmt.Sprint(t.at.UnixMilli())}
	}
	rows, err := t.w.api.search(ctx, t.kind, []group{{[]filter{by}}}, properties)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(rows, mine); i >= 0 {
		return &rows[i], nil
	}
	if at := j.Tried(t.ref); time.Since(at) < lag {
		return nil, crm.Postponed(fmt.Errorf("whether the %s was made is not known yet: HubSpot's search shows new records within %s; asking again", t.ref, lag), lag-time.Since(at))
	}
	return nil, nil
}
