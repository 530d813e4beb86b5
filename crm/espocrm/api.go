package espocrm

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// object is a record as EspoCRM sends and takes it.
type object map[string]any

func (o object) text(attribute string) string {
	s, _ := o[attribute].(string)
	return s
}

// when reads EspoCRM's times, which are UTC.
func (o object) when(attribute string) time.Time {
	t, err := time.ParseInLocation(timeLayout, o.text(attribute), time.UTC)
	if err != nil {
		return time.Time{}
	}
	return t
}

const timeLayout = "2006-01-02 15:04:05"

// stamp writes a time as EspoCRM takes it; empty for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(timeLayout)
}

// api sends requests as one user.
type api struct {
	client *httpx.Client
	base   *url.URL
	sign   func(method, path string) (header, value string)
}

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

// refused is an answer that is no 2xx. It unwraps to the verdict.
type refused struct {
	error
	status int
	body   []byte
}

func (r *refused) Unwrap() error { return r.error }

// call makes one request and decodes its answer into out, unless that is nil. path is below api/v1 and needs no escaping; body nil: none.
func (a *api) call(ctx context.Context, method, path string, query url.Values, body object, header http.Header, out any) error {
	u := a.base.JoinPath(path)
	u.RawQuery = query.Encode() // a + must travel as %2B: raw it would match nothing
	var content io.Reader
	shape := method + " " + shapeOf(path)
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return crm.Rejected(fmt.Errorf("encode %s: %w", path, err), shape)
		}
		content = bytes.NewReader(b)
		names := make([]string, 0, len(body))
		for name := range body {
			names = append(names, name)
		}
		slices.Sort(names)
		shape += " {" + strings.Join(names, ", ") + "}"
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return crm.Halted(fmt.Errorf("make a request: %s", httpx.Mask(err.Error(), a.base.String())))
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	name, value := a.sign(method, path)
	req.Header.Set(name, value)
	answer, err := a.client.Do(req)
	if err != nil {
		return err
	}
	raw := answer.Body
	// The reason stands in a header; the body repeats it in a form for the browser, or is empty.
	if reason := answer.Header.Get("X-Status-Reason"); reason != "" {
		answer.Body = []byte(reason)
	}
	if err := httpx.Verdict(answer, shape); err != nil {
		return &refused{fmt.Errorf("%s: %w", shapeOf(path), err), answer.Status, raw}
	}
	answer.Body = raw
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
		return nil, fmt.Errorf("%s answers 200 to %s without a list", a.base.Host, shapeOf(path))
	}
	return *answer.List, nil
}

// read asks for one record; nil: it is not there.
func (a *api) read(ctx context.Context, entity, id string, selected ...string) (object, error) {
	query := url.Values{}
	if len(selected) > 0 {
		query.Set("select", strings.Join(selected, ","))
	}
	var o object
	err := a.call(ctx, http.MethodGet, entity+"/"+id, query, nil, nil, &o)
	if statusOf(err) == http.StatusNotFound {
		return nil, nil
	}
	if err == nil && o.text("id") != id {
		err = fmt.Errorf("%s answers 200 to %s/ID with another record, or none", a.base.Host, entity)
	}
	return o, err
}

// create makes a record and returns it, with its id.
func (a *api) create(ctx context.Context, entity string, o object, header http.Header) (object, error) {
	var made object
	if err := a.call(ctx, http.MethodPost, entity, nil, o, header, &made); err != nil {
		return nil, err
	}
	if made.text("id") == "" {
		return nil, fmt.Errorf("%s answers 200 to a new %s without an id", a.base.Host, entity)
	}
	return made, nil
}

// anyway has EspoCRM write although another record looks alike.
var anyway = http.Header{"X-Skip-Duplicate-Check": {"true"}}

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

// statusOf returns the status that the error is about; 0: none.
func statusOf(err error) int {
	var r *refused
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}
