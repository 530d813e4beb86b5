package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// fault is one of the errors of an answer.
type fault struct {
	Code    string   `json:"errorCode"`
	Message string   `json:"message"`
	Fields  []string `json:"fields"`
}

// has tells whether err has one of the error codes.
func has(err error, codes ...string) bool {
	return slices.ContainsFunc(faultsOf(httpx.RefusedBy(err).Body), func(f fault) bool { return slices.Contains(codes, f.Code) })
}

// about tells whether an error is about a field, by the fields that Salesforce names, or by its text.
func about(err error, field string) bool {
	return slices.ContainsFunc(faultsOf(httpx.RefusedBy(err).Body), func(f fault) bool {
		switch {
		case slices.Contains(f.Fields, field):
			return true
		case field == "OwnerId" && f.Code == "INACTIVE_OWNER_OR_USER":
			return true
		case len(f.Fields) > 0:
			return false
		}
		return step.InText(errors.New(f.Message), field)
	})
}

// partOf returns the part of a composite request that the error is about; empty: none.
func partOf(err error) string { return httpx.RefusedBy(err).Part }

// aboutPart is about for a field with its part's reference in front.
func aboutPart(err error, name string) bool {
	part, field, _ := strings.Cut(name, ".")
	return partOf(err) == part && about(err, field)
}

// plain makes of an error one that asks for a repetition.
func plain(err error) error { return errors.New(err.Error()) }

// refuse reads an answer that is no 2xx.
func (a *api) refuse(answer *httpx.Answer, shape string) error {
	r := &httpx.Refused{Err: httpx.Verdict(answer, shape), Status: answer.Status, Body: answer.Body}
	a.judge(r, false)
	return r
}

// judge corrects a verdict by the error codes, which say more than the status. part: it is about a part of a composite request,
// whose refusal says nothing of the destination as a whole.
func (a *api) judge(r *httpx.Refused, part bool) {
	for _, f := range faultsOf(r.Body) {
		switch f.Code {
		case "REQUEST_LIMIT_EXCEEDED":
			if strings.Contains(f.Message, "oncurrent") {
				r.Err = crm.Throttled(r.Err, firstPause)
				return
			}
			r.Err = a.quota.refused(r.Err)
		case "UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "QUERY_TIMEOUT", "UNKNOWN_EXCEPTION", "CANNOT_UPDATE_CONVERTED_LEAD", "ENTITY_IS_DELETED":
			// The last two: it happened since it was read, a moment ago. The next attempt reads again.
			r.Err = errors.New(r.Error())
		case "STORAGE_LIMIT_EXCEEDED", "API_DISABLED_FOR_ORG", "API_CURRENTLY_DISABLED", "INVALID_SESSION_ID", "ORG_LOCKED":
			r.Err = crm.Halted(r.Err)
		default:
			if v := crm.VerdictOf(r.Err); part && v == crm.Halt {
				r.Err = crm.Rejected(errors.New(r.Error()), crm.Request(r.Err))
			}
			continue
		}
		return
	}
}

// faultsOf reads the errors in an answer's body; none: it has another form.
func faultsOf(body []byte) []fault {
	var all []fault
	if json.Unmarshal(body, &all) == nil {
		return all
	}
	var one fault
	if json.Unmarshal(body, &one) == nil && one.Code != "" {
		return []fault{one}
	}
	return nil
}

// explain adds to a refused status what the org takes.
func (w *Writer) explain(ctx context.Context, entity string, err error) error {
	f := w.statusField(entity)
	if f == "" || crm.VerdictOf(err) != crm.Reject || !about(err, f) {
		return err
	}
	d, e := w.describe(ctx, entity)
	if e != nil || len(d.values(f)) == 0 {
		return err
	}
	return crm.Rejected(fmt.Errorf("%w; %s.%s takes %s", err, entity, f, strings.Join(d.values(f), ", ")), crm.Request(err))
}
