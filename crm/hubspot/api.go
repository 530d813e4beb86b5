package hubspot

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/pace"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// The paths of the API. Versions stand here and nowhere else: HubSpot's dated ones take the place of v3 some day.
const (
	objectsPath      = "/crm/v3/objects/"
	propertiesPath   = "/crm/v3/properties/"
	ownersPath       = "/crm/v3/owners"
	associationsPath = "/crm/v4/objects/"
	detailsPath      = "/account-info/v3/details"
	tokenPath        = "/oauth/v2/private-apps/get/access-token-info" // #nosec G101 -- a path
)

// Types of objects.
const (
	contactKind = "contacts"
	calls       = "calls"
	notes       = "notes"
	tasks       = "tasks"
)

// toContact are HubSpot's ids of the associations of an activity with its contact.
var toContact = map[string]int{calls: 194, notes: 202, tasks: 204}

// api sends requests by one token.
type api struct {
	client   *httpx.Client
	token    string
	all      *pace.Limiter // of the token
	searches *pace.Limiter // of the account
}

func (a *api) host() string { return a.client.Base().Host }

// call makes one request and decodes its answer into out, unless that is nil. path is escaped; body nil: none.
func (a *api) call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	r := httpx.Request{Method: method, Path: path, Query: query, Body: body, Header: http.Header{"Authorization": {"Bearer " + a.token}}, Shape: method + " " + shapeOf(path)}
	if o, ok := body.(input); ok {
		r.Shape += httpx.Names(o.Properties)
	}
	answer, err := a.send(ctx, r)
	if err != nil {
		return err
	}
	if dayOver(answer.Header) {
		a.all.Hold(pauses[daily], fmt.Errorf("%s has only %s requests left for today%s", a.host(), answer.Header.Get("X-HubSpot-RateLimit-Daily-Remaining"), untilMidnight))
	}
	if err := verdict(answer, r.Shape); err != nil {
		if answer.Status == http.StatusTooManyRequests {
			a.all.Hold(crm.Wait(err), err)
		}
		return &httpx.Refused{Err: fmt.Errorf("%s: %w", shapeOf(path), err), Status: answer.Status, Body: answer.Body}
	}
	if out == nil {
		return nil
	}
	return answer.JSON(out)
}

// send sends a request when the limits allow it.
func (a *api) send(ctx context.Context, r httpx.Request) (*httpx.Answer, error) {
	search := strings.HasSuffix(r.Path, "/search")
	if search {
		if err := a.searches.Take(ctx); err != nil {
			return nil, err
		}
		defer a.searches.Done()
	}
	if err := a.all.Take(ctx); err != nil {
		return nil, err
	}
	answer, err := a.client.Send(ctx, r)
	if err == nil && !search {
		learn(a.all, answer.Header)
	}
	a.all.Done()
	return answer, err
}

// shapeOf returns a path without ids and keys.
func shapeOf(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if i > 4 && strings.ContainsAny(part, "0123456789") {
			parts[i] = "ID"
		}
	}
	return strings.Join(parts, "/")
}

// object is a record as HubSpot sends it.
type object struct {
	ID         number         `json:"id"`
	Properties map[string]any `json:"properties"`
	CreatedAt  string         `json:"createdAt"`
	UpdatedAt  string         `json:"updatedAt"`
}

// number is an id, which HubSpot writes as a number here and as a string there.
type number string

// UnmarshalJSON takes both.
func (n *number) UnmarshalJSON(b []byte) error {
	*n = number(strings.Trim(string(b), `"`))
	return nil
}

// text returns a property; empty: it has no value.
func (o object) text(property string) string {
	switch v := o.Properties[property].(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// stamp writes a time as HubSpot does; empty for none.
func stamp(t time.Time) string { return record.Stamp(t, "2006-01-02T15:04:05.000Z") }

// list is an answer with records.
type list struct {
	Results *[]object `json:"results"`
}

func (l list) rows(a *api, what string) ([]object, error) {
	if l.Results == nil {
		return nil, fmt.Errorf("%s answers 2xx to %s without results", a.host(), what)
	}
	return *l.Results, nil
}

type filter struct {
	Property string `json:"propertyName"`
	Operator string `json:"operator"`
	Value    string `json:"value"`
}

type group struct {
	Filters []filter `json:"filters"`
}

// search asks the index for records that meet all filters of one of the groups, at most five of them. It lags behind.
func (a *api) search(ctx context.Context, kind string, groups []group, properties []string) ([]object, error) {
	body := struct {
		Groups     []group  `json:"filterGroups"`
		Properties []string `json:"properties"`
		Sorts      []string `json:"sorts"`
		Limit      int      `json:"limit"`
		After      string   `json:"after"`
	}{groups, properties, []string{}, 100, "0"}
	var answer list
	if err := a.call(ctx, http.MethodPost, objectsPath+kind+"/search", nil, body, &answer); err != nil {
		return nil, err
	}
	return answer.rows(a, "a search")
}

// read asks the database for one record by its id or, where idProperty is not empty, by a unique property; nil: it is not there.
func (a *api) read(ctx context.Context, kind, id, idProperty string, properties []string) (*object, error) {
	query := url.Values{"properties": {strings.Join(properties, ",")}, "archived": {"false"}}
	if idProperty != "" {
		query.Set("idProperty", idProperty)
	}
	var o object
	err := a.call(ctx, http.MethodGet, objectsPath+kind+"/"+url.PathEscape(id), query, nil, &o)
	if httpx.StatusOf(err) == http.StatusNotFound {
		return nil, nil
	}
	if err == nil && o.ID == "" {
		err = fmt.Errorf("%s answers 2xx to a read of %s without a record", a.host(), kind)
	}
	return &o, err
}

// readAll asks the database for up to 100 records by their ids. Those that are not there any more are left out.
func (a *api) readAll(ctx context.Context, kind string, ids, properties []string) ([]object, error) {
	type wanted struct {
		ID string `json:"id"`
	}
	body := struct {
		Inputs     []wanted `json:"inputs"`
		Properties []string `json:"properties"`
		History    []string `json:"propertiesWithHistory"`
	}{Properties: properties, History: []string{}}
	for _, id := range ids {
		body.Inputs = append(body.Inputs, wanted{id})
	}
	var answer list // 207: errors stand beside the results, for those that are gone
	if err := a.call(ctx, http.MethodPost, objectsPath+kind+"/batch/read", nil, body, &answer); err != nil {
		return nil, err
	}
	return answer.rows(a, "a batch/read")
}

type link struct {
	To    linked     `json:"to"`
	Types []linkType `json:"types"`
}

type linked struct {
	ID string `json:"id"`
}

type linkType struct {
	Category string `json:"associationCategory"`
	ID       int    `json:"associationTypeId"`
}

// input is a record as HubSpot takes it.
type input struct {
	Properties map[string]any `json:"properties"`
	Links      []link         `json:"associations,omitempty"`
}

// create makes a record, with its associations with contacts, and returns its id.
func (a *api) create(ctx context.Context, kind string, properties map[string]any, to ...string) (string, error) {
	body := input{Properties: properties}
	for _, id := range to {
		body.Links = append(body.Links, link{linked{id}, []linkType{{"HUBSPOT_DEFINED", toContact[kind]}}})
	}
	var made object
	if err := a.call(ctx, http.MethodPost, objectsPath+kind, nil, body, &made); err != nil {
		return "", err
	}
	if made.ID == "" {
		return "", fmt.Errorf("%s answers 2xx to new %s without an id", a.host(), kind)
	}
	return string(made.ID), nil
}

func (a *api) update(ctx context.Context, kind, id string, properties map[string]any) error {
	return a.call(ctx, http.MethodPatch, objectsPath+kind+"/"+url.PathEscape(id), nil, input{Properties: properties}, nil)
}

// associated returns the ids of a contact's records of a kind.
func (a *api) associated(ctx context.Context, contact, kind string) (ids []string, err error) {
	query := url.Values{"limit": {"500"}}
	for range 20 { // pages: ten thousand activities of one contact
		var answer struct {
			Results []struct {
				ID number `json:"toObjectId"`
			}
			Paging struct{ Next struct{ After string } }
		}
		err := a.call(ctx, http.MethodGet, associationsPath+contactKind+"/"+url.PathEscape(contact)+"/associations/"+kind, query, nil, &answer)
		if httpx.StatusOf(err) == http.StatusNotFound {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, r := range answer.Results {
			ids = append(ids, string(r.ID))
		}
		if answer.Paging.Next.After == "" {
			break
		}
		query.Set("after", answer.Paging.Next.After)
	}
	return ids, nil
}
