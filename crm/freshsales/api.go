package freshsales

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// api speaks to one account. It is safe for concurrent use.
type api struct {
	client *httpx.Client
	key    string
	quota  quota
}

// The roots of the API. Lists of a contact's own records are below the second one.
const (
	root  = "crm/sales/api/"
	pages = "crm/sales/"
)

// do sends a request and reads the answer into out, unless that is nil.
func (a *api) do(ctx context.Context, method, path string, query url.Values, body, out any) error {
	shape := method + " " + shapeOf(path)
	if b, ok := body.(map[string]record.Fields); ok {
		for _, f := range b {
			shape += httpx.Names(f)
		}
	}
	if err := a.quota.take(time.Now()); err != nil {
		return err
	}
	answer, err := a.client.Send(ctx, httpx.Request{
		Method: method, Path: path, Query: query, Body: body, Shape: shape, Header: http.Header{"Authorization": {"Token token=" + a.key}},
	})
	if err != nil {
		return err
	}
	if err := refusal(answer, shape); err != nil || out == nil {
		return err
	}
	return answer.JSON(out)
}

// shapeOf returns a path without ids.
func shapeOf(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if _, err := strconv.ParseUint(p, 10, 64); err == nil {
			parts[i] = "ID"
		}
	}
	return "/" + strings.Join(parts, "/")
}

// create creates a record and returns its id. one is what Freshsales calls one record, many the path of all.
func (a *api) create(ctx context.Context, one, many string, f record.Fields) (string, error) {
	var out map[string]struct{ ID json.Number }
	if err := a.do(ctx, http.MethodPost, root+many, nil, map[string]record.Fields{one: f}, &out); err != nil {
		return "", err
	}
	if out[one].ID == "" {
		return "", fmt.Errorf("%s created a %s and told no id", a.client.Base().Host, one)
	}
	return out[one].ID.String(), nil
}

// read reads a record; step.ErrGone: there is none.
func (a *api) read(ctx context.Context, one, many, id string) (record.Fields, error) {
	var out map[string]record.Fields
	if err := a.do(ctx, http.MethodGet, root+many+"/"+url.PathEscape(id), nil, nil, &out); err != nil {
		return nil, err
	}
	if len(out[one]) == 0 {
		return nil, fmt.Errorf("%s answers 200 to a %s without one", a.client.Base().Host, one)
	}
	return out[one], nil
}

// change updates a record; step.ErrGone: there is none.
func (a *api) change(ctx context.Context, one, many, id string, f record.Fields) error {
	return a.do(ctx, http.MethodPut, root+many+"/"+url.PathEscape(id), nil, map[string]record.Fields{one: f}, nil)
}

// rows returns a list that an answer has under a name.
func (a *api) rows(ctx context.Context, path, name string, query url.Values) ([]record.Fields, error) {
	var out map[string]json.RawMessage
	if err := a.do(ctx, http.MethodGet, path, query, nil, &out); err != nil {
		return nil, err
	}
	var rows []record.Fields
	if err := json.Unmarshal(out[name], &rows); err != nil {
		return nil, fmt.Errorf("%s answers to GET %s without %s: is url that of Freshsales?", a.client.Base().Host, shapeOf(path), name)
	}
	return rows, nil
}

// idOf returns the id of a record. Ids have 11 digits and more, so a float holds them.
func idOf(f record.Fields) string { return digits(f["id"]) }

func digits(v any) string {
	switch v := v.(type) {
	case float64:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case string:
		return v
	}
	return ""
}

// number writes an id as Freshsales does.
func number(id string) any {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil {
		return n
	}
	return id
}

// quota counts the requests of the last hour. Where they are used up a call waits in the store, and status says for what.
type quota struct {
	most int

	mu   sync.Mutex
	sent []time.Time // oldest first
}

func (q *quota) take(now time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.sent) && now.Sub(q.sent[n]) >= time.Hour {
		n++
	}
	q.sent = q.sent[n:]
	if len(q.sent) >= q.most {
		return crm.Throttled(fmt.Errorf("the %d requests an hour that per_hour allows are used up", q.most), time.Hour-now.Sub(q.sent[0]))
	}
	q.sent = append(q.sent, now)
	return nil
}

// refusal reads an answer as the error that a Write returns; nil: it is a success.
func refusal(answer *httpx.Answer, shape string) error {
	if answer.Status/100 == 2 {
		return nil
	}
	var said struct {
		Errors struct {
			Message any `json:"message"`
		} `json:"errors"`
		Message string `json:"message"`
	}
	_ = json.Unmarshal(answer.Body, &said)
	message := said.Message
	switch m := said.Errors.Message.(type) {
	case string:
		message = m
	case []any:
		var all []string
		for _, v := range m {
			all = append(all, fmt.Sprint(v))
		}
		message = strings.Join(all, "; ")
	}
	if message != "" {
		answer.Body = []byte(message)
	}
	err := httpx.Verdict(answer, shape)
	if answer.Status == http.StatusNotFound && strings.Contains(shape, "/ID") {
		err = fmt.Errorf("%w: %w", step.ErrGone, err)
	}
	return &httpx.Refused{Err: err, Status: answer.Status, Message: message}
}
