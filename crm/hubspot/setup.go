package hubspot

import (
	"context"
	"net/http"

	"github.com/vinfer-sync/vinfer-sync/crm"
)

// propertyGroup is where the properties stand in HubSpot's settings.
const propertyGroup = "vinfer"

// Provision makes the properties that the portal lacks, and the group that they stand in.
func (w *Writer) Provision(ctx context.Context, dryRun bool) ([]crm.Change, error) {
	var changes []crm.Change
	grouped := map[string]bool{}
	for _, p := range w.wanted() {
		def, err := w.ask(ctx, p.kind, p.name)
		if err != nil {
			return changes, err
		}
		if def != nil {
			continue // whether its values are unique is fixed; check tells
		}
		if !grouped[p.kind] {
			grouped[p.kind] = true
			made, err := w.makeGroup(ctx, p.kind, dryRun)
			changes = append(changes, made...)
			if err != nil {
				return changes, err
			}
		}
		change := crm.Change{Subject: "property " + p.kind + "." + p.name, Detail: p.detail()}
		if !dryRun {
			unique, err := w.makeProperty(ctx, p)
			if err != nil {
				return append(changes, change), err
			}
			change.Done = true
			if p.unique && !unique {
				change.Detail = "the portal refuses unique values here: " + p.why
			}
			w.forget(p.kind, p.name)
		}
		changes = append(changes, change)
	}
	return changes, nil
}

func (p property) detail() string {
	said := p.typ + ", label \"" + p.label + "\""
	if p.unique {
		said += ", unique values"
	}
	return said
}

// makeGroup makes the group of an object type, if it has none.
func (w *Writer) makeGroup(ctx context.Context, kind string, dryRun bool) ([]crm.Change, error) {
	err := w.api.call(ctx, http.MethodGet, propertiesPath+kind+"/groups/"+propertyGroup, nil, nil, nil)
	if err == nil || statusOf(err) != http.StatusNotFound {
		return nil, err
	}
	change := crm.Change{Subject: "property group " + kind + "." + propertyGroup, Detail: `label "VInfer"`}
	if dryRun {
		return []crm.Change{change}, nil
	}
	body := map[string]any{"name": propertyGroup, "label": "VInfer", "displayOrder": -1}
	err = w.api.call(ctx, http.MethodPost, propertiesPath+kind+"/groups", nil, body, nil)
	if statusOf(err) == http.StatusConflict {
		err = nil // somebody else was faster
	}
	change.Done = err == nil
	return []crm.Change{change}, err
}

// makeProperty makes a property, with unique values if they are wanted and the portal takes them.
func (w *Writer) makeProperty(ctx context.Context, p property) (unique bool, err error) {
	fields := map[string]string{"string": "text", "number": "number", "bool": "booleancheckbox"}
	body := map[string]any{
		"name": p.name, "label": p.label, "groupName": propertyGroup, "type": p.typ, "fieldType": fields[p.typ], "formField": false,
		"description": "Written by vinfer-sync.",
	}
	if p.typ == "bool" {
		body["options"] = []map[string]any{
			{"label": "Yes", "value": "true", "displayOrder": 0, "hidden": false}, {"label": "No", "value": "false", "displayOrder": 1, "hidden": false},
		}
	}
	if p.unique {
		body["hasUniqueValue"] = true
	}
	var made definition
	err = w.api.call(ctx, http.MethodPost, propertiesPath+p.kind, nil, body, &made)
	if p.unique && statusOf(err) == http.StatusBadRequest {
		body["hasUniqueValue"] = false
		err = w.api.call(ctx, http.MethodPost, propertiesPath+p.kind, nil, body, &made)
	}
	// No answer tells surely what is there now: one may be lost, somebody else faster, a wish not granted.
	def, e := w.ask(ctx, p.kind, p.name)
	switch {
	case e == nil && def != nil && !def.forbidden:
		return def.Unique, nil
	case err != nil:
		return false, err
	}
	return made.Unique, e
}
