package salesforce

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
)

// refresh is how long what administrators rarely change is taken for true.
const refresh = time.Hour

// entity is what the org says of one of its kinds of records, as far as we are allowed to see it.
type entity struct {
	Createable *bool        `json:"createable"` // nil: not said
	Updateable *bool        `json:"updateable"`
	Fields     []definition `json:"fields"`
}

type definition struct {
	Name       string `json:"name"`
	ExternalID bool   `json:"externalId"`
	Unique     bool   `json:"unique"`
	Updateable *bool  `json:"updateable"` // nil: not said
	Values     []struct {
		Value  string `json:"value"`
		Active bool   `json:"active"`
	} `json:"picklistValues"`
}

// may tells whether something is allowed, or the org does not say that it is not.
func may(allowed *bool) bool { return allowed == nil || *allowed }

func (d *entity) field(name string) *definition {
	for i := range d.Fields {
		if strings.EqualFold(d.Fields[i].Name, name) {
			return &d.Fields[i]
		}
	}
	return nil
}

// values are the active values of a picklist; none: the field has none.
func (d *entity) values(name string) (all []string) {
	f := d.field(name)
	if f == nil {
		return nil
	}
	for _, v := range f.Values {
		if v.Active {
			all = append(all, v.Value)
		}
	}
	return all
}

func (w *Writer) describe(ctx context.Context, name string) (*entity, error) {
	d := &entity{}
	if err := w.api.call(ctx, http.MethodGet, "/sobjects/"+name+"/describe", nil, nil, nil, d); err != nil {
		return nil, err
	}
	return d, nil
}

// describeTasks returns what the org says of Tasks, at most an hour old.
func (w *Writer) describeTasks(ctx context.Context) (*entity, error) {
	return w.tasks.Get(ctx, "", func(ctx context.Context) (*entity, time.Duration, error) {
		d, err := w.describe(ctx, "Task")
		if crm.VerdictOf(err) == crm.Reject { // it does not say: what setup makes is taken to be there until a Task says otherwise
			return &entity{Fields: []definition{{Name: w.callField(), ExternalID: true, Unique: true}}}, 0, nil
		}
		return d, refresh, err
	})
}

// extraFields are the fields of Tasks for which the configuration gives names, and those that have one by default.
func (w *Writer) extraFields() map[string]string {
	out := map[string]string{}
	for _, ours := range slices.Sorted(maps.Keys(Fields)) {
		switch ours {
		case fieldCall, fieldStatus, fieldContactStatus, fieldDoNotCall, fieldPhone:
			continue
		}
		if f := w.s.Field(ours, Fields[ours]); f != "" {
			out[ours] = f
		}
	}
	return out
}

// hidden are fields that the org said it does not have, or does not show us, by entity; the field * is the entity itself.
type hidden struct{ all cache.Cache[struct{}] }

func (h *hidden) has(entity, field string) bool {
	_, is := h.all.Held(entity + "." + field)
	return is
}

func (h *hidden) put(entity, field string) { h.all.Put(entity+"."+field, struct{}{}, refresh) }

func (h *hidden) without(entity string, fields []string) []string {
	return slices.DeleteFunc(slices.Clone(fields), func(f string) bool { return h.has(entity, f) })
}

// hide notes which field a query was refused for, so that the next one goes without; false: it is about something else, or about a
// field that nothing can go without.
func (w *Writer) hide(err error) bool {
	part := partOf(err)
	if part == lead && w.newEntity() == contact && has(err, "INVALID_TYPE") {
		w.hidden.put(lead, "*")
		return true
	}
	if part == partNotes && has(err, "INVALID_TYPE") {
		w.hidden.put(partNotes, "*")
		return true
	}
	if !has(err, "INVALID_FIELD") {
		return false
	}
	var candidates []string
	switch part {
	case lead, contact:
		candidates = slices.DeleteFunc(w.columns(part), func(f string) bool { return f == "Id" || f == "Phone" || f == w.statusField(part) })
	case partTasks, partKnown:
		candidates = slices.DeleteFunc(w.taskColumns(), func(f string) bool { return f == "Id" || f == w.callField() })
	}
	if strings.HasSuffix(part, partTasks) && about(err, w.callField()) {
		w.hidden.put(partTasks, w.callField()) // the next attempt goes without
		return false
	}
	for _, f := range candidates {
		if about(err, f) {
			w.hidden.put(strings.TrimPrefix(part, "Known"), f)
			return true
		}
	}
	return false
}

// again makes of the refusal of a query for a key's field that was just found missing one that asks for a repetition.
func (w *Writer) again(err error) error {
	if strings.HasSuffix(partOf(err), partTasks) && w.hidden.has(partTasks, w.callField()) {
		return plain(err)
	}
	return err
}
