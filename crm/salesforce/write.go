package salesforce

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/people"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/text"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// part is a record that is written, and what is kept of it when it was.
type part struct {
	method, path string
	ref          string // reference, and name in the refs
	fields       object
	optional     []string
	headers      map[string]string
	sum          string
	id           string // of the record that is changed
}

// run writes all that the entry changes as one, and then the note.
func (j *job) run(ctx context.Context) error {
	if err := j.look(ctx); err != nil {
		return err
	}
	if _, err := j.w.people.Recall(ctx, j.contacts, j.e, j.p, func(context.Context) (id, says string, there bool, err error) {
		o := j.one("activity", j.key)
		return o.Text("Id"), o.Text("Description"), o != nil, nil
	}); err != nil {
		return err
	}
	parts := j.people()
	for _, next := range []func(context.Context) (*part, error){j.call, j.followUp} {
		p, err := next(ctx)
		if err != nil {
			return err
		}
		if p != nil {
			parts = append(parts, *p)
		}
	}
	for some := range slices.Chunk(parts, maxParts) {
		if err := j.send(ctx, some); err != nil {
			return err
		}
	}
	people.Wrote(j.e, j.p)
	if j.activity == "" && recordID.MatchString(j.p.Refs["activity"]) {
		j.activity = j.p.Refs["activity"]
	}
	return j.writeNotes(ctx)
}

// people are the changes of the contacts: the status, the wish not to be called, a name that they lack.
func (j *job) people() (parts []part) {
	if j.e.Event == crm.TranscriptReady {
		return nil
	}
	for i, r := range j.contacts {
		entity, id, _ := strings.Cut(r.ID, "/")
		flag := j.w.doNotCall()
		o := object{}
		if r.Superseded {
			continue // nothing of a converted lead can be changed
		}
		if f := j.w.statusField(entity); f != "" {
			if status := j.w.people.Status(r, j.e, j.p); status != "" {
				o[f] = status
			}
		}
		if j.e.DoNotCall && !r.DoNotCall {
			o[flag] = true
		}
		if name := text.Line(j.w.people.NewName(r, j.e), lastLimit); name != "" && name != r.Name {
			setName(o, name)
		}
		if len(o) > 0 {
			parts = append(parts, part{
				method: http.MethodPatch, path: "/sobjects/" + entity + "/" + id, ref: fmt.Sprintf("contact%d", i), fields: o, id: id,
				optional: []string{flag, "FirstName", "LastName"}, headers: map[string]string{duplicates: "allowSave=true"},
			})
		}
	}
	return parts
}

// send does the parts as one request. What is optional and refused is left out, and all is sent again: nothing of it was done.
func (j *job) send(ctx context.Context, parts []part) error {
	fields, optional := object{}, []string{}
	for _, p := range parts {
		for name, v := range p.fields {
			fields[p.ref+"."+name] = v
		}
		for _, name := range p.optional {
			optional = append(optional, p.ref+"."+name)
		}
	}
	var ids map[string]string
	err := j.w.optional.Send(j.p, "salesforce", fields, optional, aboutPart, func(left map[string]any) error {
		requests := make([]request, len(parts))
		for i, p := range parts {
			requests[i] = request{Method: p.method, URL: root + p.path, Ref: p.ref, Body: object{}, Headers: p.headers}
			for name := range p.fields {
				if v, ok := left[p.ref+"."+name]; ok {
					requests[i].Body[name] = v
				}
			}
		}
		var err error
		ids, err = j.w.api.write(ctx, requests)
		return err
	})
	if err != nil {
		return j.understand(ctx, parts, err)
	}
	for _, p := range parts {
		id := cmp.Or(ids[p.ref], p.id)
		if p.sum == "" {
			continue
		}
		if id == "" { // an upsert that was answered 204
			if id, err = j.lookUp(ctx, p.ref); err != nil {
				return err
			}
		}
		j.p.Refs[p.ref+".sum"] = p.sum
		if err := j.p.Save(p.ref, id); err != nil {
			return err
		}
		if p.ref == "activity" {
			j.activity = id
		}
	}
	return nil
}

// lookUp asks for the id of a Task that was written just now.
func (j *job) lookUp(ctx context.Context, ref string) (string, error) {
	j.looked = false
	if err := j.look(ctx); err != nil {
		return "", err
	}
	key := j.key
	if ref == "task" {
		key += callback
	}
	if o := j.one(ref, key); o != nil {
		return o.Text("Id"), nil
	}
	return "", fmt.Errorf("%s accepted the %s and does not have it", j.w.api.client.Base().Host, ref)
}

// understand makes of a failure what Write returns. Where the org's field turns out not to be as described, it is described anew.
func (j *job) understand(ctx context.Context, parts []part, err error) error {
	if strings.HasPrefix(partOf(err), "contact") {
		for _, p := range parts {
			if p.ref == partOf(err) {
				entity, _, _ := strings.Cut(strings.TrimPrefix(p.path, "/sobjects/"), "/")
				err = j.w.explain(ctx, entity, err)
			}
		}
		if httpx.StatusOf(err) == http.StatusNotFound || has(err, "INVALID_CROSS_REFERENCE_KEY") {
			return fmt.Errorf("%w (it was deleted since it was read)", plain(err))
		}
		return err
	}
	for _, p := range parts {
		if p.ref != partOf(err) || p.id != "" || j.store == byObject {
			continue
		}
		if missing := httpx.StatusOf(err) == http.StatusNotFound || has(err, "INVALID_FIELD") && about(err, j.keyField()); j.store == byField {
			if missing {
				j.w.hidden.put(partTasks, j.w.callField())
				return fmt.Errorf("%w (from now on without the field)", plain(err))
			}
			return err
		} else if missing || has(err, "INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS_OR_READONLY") && !j.uniqueKey() {
			// It is no external id, or it is no unique one, and upserting by it takes the permission View All Data.
			j.w.hidden.put(partTasks, upsert)
			return fmt.Errorf("%w (from now on without upsert)", plain(err))
		}
		if httpx.StatusOf(err) == http.StatusMultipleChoices || has(err, "DUPLICATE_VALUE") {
			return plain(err) // somebody else made one meanwhile: the next attempt finds it
		}
	}
	return err
}

func (j *job) uniqueKey() bool {
	f := j.task.field(j.w.callField())
	return f != nil && f.Unique
}

// gone notes that a person deleted a record, which is left so.
func (j *job) gone(ref string) error {
	id := j.p.Refs[ref]
	j.p.Warn("%s %s was deleted in the CRM; it is not made again", ref, id)
	return j.p.Save(ref, "deleted:"+id)
}
