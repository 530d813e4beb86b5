package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// request is a part of a composite request, which counts as one however many parts it has (25 at most, 5 of them queries).
type request struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Ref     string            `json:"referenceId"`
	Body    object            `json:"body,omitempty"`
	Headers map[string]string `json:"httpHeaders,omitempty"`
}

// result is a part's answer.
type result struct {
	Ref    string          `json:"referenceId"`
	Status int             `json:"httpStatusCode"`
	Body   json.RawMessage `json:"body"`
}

// maxParts is how many parts a composite request may have.
const maxParts = 25

func queryPart(ref, soql string) request {
	return request{Method: http.MethodGet, URL: root + "/query?q=" + url.QueryEscape(soql), Ref: ref}
}

// composite sends several requests as one and returns the answers by their reference. all: they are done all, or none of them.
func (a *api) composite(ctx context.Context, all bool, parts []request) (map[string]result, error) {
	var answer struct {
		Results []result `json:"compositeResponse"`
	}
	body := map[string]any{"allOrNone": all, "compositeRequest": parts}
	if err := a.call(ctx, http.MethodPost, "/composite", nil, body, nil, &answer); err != nil {
		return nil, err
	}
	out := map[string]result{}
	for _, r := range answer.Results {
		out[r.Ref] = r
	}
	for _, p := range parts {
		if _, ok := out[p.Ref]; !ok {
			return nil, fmt.Errorf("%s answers 200 to a composite request without the part %s", a.client.Base().Host, p.Ref)
		}
	}
	return out, nil
}

// failure returns the error of a part; nil: it was done.
func (a *api) failure(p request, r result) error {
	if r.Status/100 == 2 {
		return nil
	}
	shape := p.Method + " " + shapeOf(p.URL[len(root):]) + httpx.Names(p.Body)
	text := fmt.Errorf("%s answers %d to %s %s: %s", a.client.Base().Host, r.Status, p.Method, p.Ref, a.client.Words(r.Body))
	e := &httpx.Refused{Status: r.Status, Part: p.Ref, Body: r.Body}
	switch {
	case r.Status/100 == 4 && r.Status != http.StatusTooManyRequests && r.Status != http.StatusRequestTimeout:
		e.Err = crm.Rejected(text, shape)
	case r.Status == http.StatusTooManyRequests:
		e.Err = crm.Throttled(text, 0)
	default:
		e.Err = text
	}
	a.judge(e, true)
	return e
}

// write does all of the parts, or none, and returns the ids of the records that they made or changed, by reference. The error is
// that of the part for which the others were rolled back.
func (a *api) write(ctx context.Context, parts []request) (map[string]string, error) {
	results, err := a.composite(ctx, true, parts)
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	var halted error
	for _, p := range parts {
		r := results[p.Ref]
		if err := a.failure(p, r); err != nil {
			if !has(err, "PROCESSING_HALTED") {
				return nil, err
			}
			halted = err
			continue
		}
		var done struct {
			ID string `json:"id"`
		}
		_ = json.Unmarshal(r.Body, &done) // 204 has no body
		ids[p.Ref] = done.ID
	}
	if halted != nil {
		return nil, errors.New(halted.Error()) // all were rolled back, and nobody says why
	}
	return ids, nil
}

// ask sends queries as one request and returns the rows of each.
func (a *api) ask(ctx context.Context, parts []request) (map[string][]object, error) {
	results, err := a.composite(ctx, false, parts)
	if err != nil {
		return nil, err
	}
	rows := map[string][]object{}
	for _, p := range parts {
		r := results[p.Ref]
		if err := a.failure(p, r); err != nil {
			return nil, err
		}
		var got page
		if err := json.Unmarshal(r.Body, &got); err != nil || got.Records == nil {
			return nil, fmt.Errorf("%s answers 200 to the query of %s without records", a.client.Base().Host, p.Ref)
		}
		rows[p.Ref] = *got.Records
	}
	return rows, nil
}
