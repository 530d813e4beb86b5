package hubspot

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// Check asks whether the token is good and what it may do, and whether the lead statuses, the properties and the owner are there.
func (w *Writer) Check(ctx context.Context, statuses []string) []crm.Finding {
	host, name := w.api.host(), w.field(fieldStatus)
	def, err := w.ask(ctx, contactKind, name)
	access := record.Access{
		Subject: "token", Unreached: "see base_url, ca_file, proxy and the firewall", Other: "is base_url the address of HubSpot's API?",
		Refused: "copy the service key under Settings > Integrations > Service Keys, or the token of the private app",
	}
	if found := access.Check(err); found != nil {
		return found
	}
	found := []crm.Finding{{Subject: "token", Detail: host + " accepts it" + w.portal(ctx)}}
	found = append(found, record.CheckTLS(w.api.client.Base(), "token")...)
	found = append(found, w.checkScopes(ctx)...)
	found = append(found, w.checkStatuses(name, def, statuses))
	for _, p := range w.wanted() {
		found = append(found, w.checkProperty(ctx, p))
	}
	return append(found, w.checkOwner(ctx)...)
}

// portal says which portal the token belongs to, if it may tell.
func (w *Writer) portal(ctx context.Context) string {
	var d struct {
		PortalID number `json:"portalId"`
		Type     string `json:"accountType"`
		Zone     string `json:"timeZone"`
	}
	if err := w.api.call(ctx, http.MethodGet, detailsPath, nil, nil, &d); err != nil || d.PortalID == "" {
		return ""
	}
	said := fmt.Sprintf(": portal %s", d.PortalID)
	if d.Type != "" {
		said += ", " + strings.ToLower(d.Type)
	}
	if d.Zone != "" {
		said += "; its day of requests begins at midnight in " + d.Zone
	}
	return said
}

// needed are the scopes without which nothing works.
var needed = []string{"crm.objects.contacts.read", "crm.objects.contacts.write"}

// checkScopes looks what the token was granted. HubSpot tells that of private apps' tokens only; of others it says nothing.
func (w *Writer) checkScopes(ctx context.Context) []crm.Finding {
	var granted struct{ Scopes []string }
	if err := w.api.call(ctx, http.MethodPost, tokenPath, nil, map[string]string{"tokenKey": w.api.token}, &granted); err != nil || len(granted.Scopes) == 0 {
		return nil
	}
	f := crm.Finding{Subject: "scopes", Detail: "all that is needed"}
	lacking := slices.DeleteFunc(slices.Clone(needed), func(s string) bool { return slices.Contains(granted.Scopes, s) })
	if len(lacking) > 0 {
		f.Err, f.Detail = errors.New("the token lacks "+strings.Join(lacking, ", ")), "grant it in the app or the service key"
	}
	return []crm.Finding{f}
}

func (w *Writer) checkStatuses(name string, def *definition, wanted []string) crm.Finding {
	f := crm.Finding{Subject: "lead statuses"}
	switch {
	case def == nil:
		f.Err, f.Detail = fmt.Errorf("contacts have no property %s", name), "see fields: {status: …}"
		return f
	case def.forbidden:
		f.Err, f.Detail = fmt.Errorf("the token may not read the definition of %s", name), "grant crm.schemas.contacts.read"
		return f
	case len(def.Options) == 0:
		f.Detail = name + " takes any"
		return f
	}
	var valid []string
	for _, o := range def.Options {
		valid = append(valid, o.Value)
	}
	f = record.CheckStatuses("lead statuses", name, valid, wanted, w.s.Protect, func(s string) bool { return slices.Contains(valid, s) })
	if f.Detail = "valid: " + def.choices(); f.Err != nil {
		f.Err = fmt.Errorf("%w: write its internal names", f.Err)
	}
	return f
}

// property is one that the portal should have.
type property struct {
	kind, name, label, typ string
	unique                 bool
	why                    string // what is lost without it
}

// wanted returns the properties that are not HubSpot's own.
func (w *Writer) wanted() []property {
	all := []property{{contactKind, w.field(fieldPhone), "VInfer phone", "string", true, "a contact whose creation was not answered is looked for in the index, for a minute"}}
	for _, kind := range []string{calls, notes, tasks} {
		all = append(all, property{kind, w.field(fieldCall), "VInfer call ID", "string", true, "repeats are found by the contact's activities and their texts, which takes more requests"})
	}
	all = append(all, property{contactKind, w.field(fieldDoNotCall), "Do not call (VInfer)", "bool", false, "the wish not to be called is only in the call"})
	types := map[string]string{"duration": "number", "qa_score": "number"}
	for _, ours := range slices.Sorted(maps.Keys(w.s.Fields)) {
		if Fields[ours] != "" && ours != fieldDisposition {
			continue
		}
		typ := "string"
		if types[ours] != "" {
			typ = types[ours]
		}
		all = append(all, property{calls, w.s.Fields[ours], "VInfer " + strings.ReplaceAll(ours, "_", " "), typ, false, "it is only in the call's body"})
	}
	return all
}

func (w *Writer) checkProperty(ctx context.Context, p property) crm.Finding {
	f := crm.Finding{Subject: "property " + p.kind + "." + p.name, Detail: "is there"}
	def, err := w.ask(ctx, p.kind, p.name)
	switch {
	case err != nil:
		f.Err, f.Detail = err, ""
	case def == nil:
		f.Err, f.Detail = errors.New("it is not there"), "run vinfer-sync setup; until then "+p.why
	case def.forbidden:
		f.Detail = "the token may not look; grant crm.schemas.contacts.read, or " + p.why
	case p.unique && !def.Unique:
		f.Detail = "is there, but its values are not unique: " + p.why
	case p.unique:
		f.Detail = "is there, unique"
	}
	return f
}

func (w *Writer) checkOwner(ctx context.Context) []crm.Finding {
	found := w.owners.Check(ctx, w.s.Owner, "there is no owner with this mail address")
	for i := range found {
		if httpx.StatusOf(found[i].Err) == http.StatusForbidden {
			found[i].Detail = "grant crm.objects.owners.read, or write the owner's id"
		}
	}
	return found
}

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
			w.definitions.Forget(p.kind + "." + p.name)
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
	if err == nil || httpx.StatusOf(err) != http.StatusNotFound {
		return nil, err
	}
	change := crm.Change{Subject: "property group " + kind + "." + propertyGroup, Detail: `label "VInfer"`}
	if dryRun {
		return []crm.Change{change}, nil
	}
	body := map[string]any{"name": propertyGroup, "label": "VInfer", "displayOrder": -1}
	err = w.api.call(ctx, http.MethodPost, propertiesPath+kind+"/groups", nil, body, nil)
	if httpx.StatusOf(err) == http.StatusConflict {
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
	if p.unique && httpx.StatusOf(err) == http.StatusBadRequest {
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
