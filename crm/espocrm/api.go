package espocrm

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// object is a record as EspoCRM sends and takes it.
type object = record.Fields

// stamp writes a time as EspoCRM takes it; empty for none.
func stamp(t time.Time) string { return record.Stamp(t, time.DateTime) }

// api sends requests as one user.
type api struct {
	client *httpx.Client
	sign   func(method, path string) (header, value string)
}

func (a *api) host() string { return a.client.Base().Host }

func byKey(key string) func(string, string) (string, string) {
	return func(string, string) (string, string) { return "X-Api-Key", key }
}

// byHMAC signs the method and the path, without the query.
func byHMAC(key, secretKey string) func(string, string) (string, string) {
	return func(method, path string) (string, string) {
		mac := hmac.New(sha256.New, []byte(secretKey))
		_, _ = io.WriteString(mac, method+" /"+path)
		return "X-Hmac-Authorization", base64.StdEncoding.EncodeToString([]byte(key + ":" + hex.EncodeToString(mac.Sum(nil))))
	}
}

func byPassword(user, password string) func(string, string) (string, string) {
	return func(string, string) (string, string) {
		return "Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
}

// anyway has EspoCRM write although another record looks alike.
var anyway = http.Header{"X-Skip-Duplicate-Check": {"true"}}

// call makes one request and decodes its answer into out, unless that is nil. path is below api/v1; body nil: none.
func (a *api) call(ctx context.Context, method, path string, query url.Values, body object, header http.Header, out any) error {
	r := httpx.Request{Method: method, Path: path, Query: query, Header: http.Header{}, Shape: method + " " + shapeOf(path) + httpx.Names(body)}
	if body != nil {
		r.Body = body
	}
	for name, values := range header {
		r.Header[name] = values
	}
	name, value := a.sign(method, path)
	r.Header.Set(name, value)
	answer, err := a.client.Send(ctx, r)
	if err != nil {
		return err
	}
	if err := refusal(answer, path, r.Shape); err != nil {
		return err
	}
	if out == nil || isNull(answer, out) {
		return nil
	}
	return answer.JSON(out)
}

// isNull tells whether the answer to a question for any value is null, which EspoCRM sends as an empty body.
func isNull(answer *httpx.Answer, out any) bool {
	_, anything := out.(*any)
	return anything && answer.Empty() && strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json")
}

// shapeOf returns a path without ids.
func shapeOf(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if i > 0 && strings.ContainsAny(part, "0123456789") {
			parts[i] = "ID"
		}
	}
	return strings.Join(parts, "/")
}

// where builds the query of a list: records of which attribute compares so with value.
func where(kind, attribute, value string, selected ...string) url.Values {
	return url.Values{
		"where[0][type]": {kind}, "where[0][attribute]": {attribute}, "where[0][value]": {value},
		"select": {strings.Join(selected, ",")}, "maxSize": {"50"}, "orderBy": {"createdAt"}, "order": {"desc"},
	}
}

// list asks for records of an entity type.
func (a *api) list(ctx context.Context, path string, query url.Values) ([]object, error) {
	var answer struct {
		List *[]object `json:"list"`
	}
	if err := a.call(ctx, http.MethodGet, path, query, nil, nil, &answer); err != nil {
		return nil, err
	}
	if answer.List == nil {
		return nil, fmt.Errorf("%s answers 200 to %s without a list", a.host(), shapeOf(path))
	}
	return *answer.List, nil
}

// read asks for one record; step.ErrGone: it is not there.
func (a *api) read(ctx context.Context, entity, id string, selected ...string) (object, error) {
	query := url.Values{}
	if len(selected) > 0 {
		query.Set("select", strings.Join(selected, ","))
	}
	var o object
	err := a.call(ctx, http.MethodGet, entity+"/"+id, query, nil, nil, &o)
	if httpx.StatusOf(err) == http.StatusNotFound {
		return nil, step.ErrGone
	}
	if err == nil && o.Text("id") != id {
		err = fmt.Errorf("%s answers 200 to %s/ID with another record, or none", a.host(), entity)
	}
	return o, err
}

// create makes a record and returns it, with its id.
func (a *api) create(ctx context.Context, entity string, o object, header http.Header) (object, error) {
	var made object
	if err := a.call(ctx, http.MethodPost, entity, nil, o, header, &made); err != nil {
		return nil, err
	}
	if made.Text("id") == "" {
		return nil, fmt.Errorf("%s answers 200 to a new %s without an id", a.host(), entity)
	}
	return made, nil
}

// update changes a record and returns it as it is then.
func (a *api) update(ctx context.Context, entity, id string, o object) (object, error) {
	var changed object
	err := a.call(ctx, http.MethodPut, entity+"/"+id, nil, o, anyway, &changed)
	return changed, err
}

// metadata returns a part of the site's definitions; nil: there is none.
func (a *api) metadata(ctx context.Context, key string) (any, error) {
	var v any
	err := a.call(ctx, http.MethodGet, "Metadata", url.Values{"key": {key}}, nil, nil, &v)
	return v, err
}
