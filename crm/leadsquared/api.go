package leadsquared

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/pace"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// api sends requests as one user.
type api struct {
	client         *httpx.Client
	access, secret string
	limit          *pace.Limiter

	mu      sync.Mutex
	auth    string // how the keys travel
	certain bool   // it is known that they are taken so
}

// pair is one field of a lead as it is written.
type pair struct {
	Attribute string
	Value     string
}

func (a *api) host() string { return a.client.Base().Host }

// call makes one request and decodes its answer into out, unless that is nil. path is below v2.
func (a *api) call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	r := httpx.Request{Method: method, Path: path, Query: query, Body: body, Shape: method + " " + path + names(body)}
	err := a.exchange(ctx, r, out)
	if body == nil || !isMarkup(err) {
		return err
	}
	// LeadSquared takes what looks like markup for an attack. Nothing was written.
	content, err := json.Marshal(body)
	if err != nil {
		return crm.Rejected(fmt.Errorf("encode %s: %w", path, err), r.Shape)
	}
	r.Body = json.RawMessage(harmless(content))
	return a.exchange(ctx, r, out)
}

// exchange sends a request, with the keys wherever LeadSquared takes them, and reads its answer.
func (a *api) exchange(ctx context.Context, r httpx.Request, out any) error {
	a.mu.Lock()
	auth, certain := a.auth, a.certain
	a.mu.Unlock()
	answer, err := a.send(ctx, r, auth)
	if err != nil {
		return err
	}
	if auth == AuthHeaders && refusesKeys(answer) && a.mayTryQuery() {
		auth = AuthQuery
		if answer, err = a.send(ctx, r, auth); err != nil {
			return err
		}
	}
	if !certain && takesKeys(answer) {
		a.mu.Lock()
		if !a.certain { // another worker may have been faster
			a.auth, a.certain = auth, true
		}
		a.mu.Unlock()
	}
	if err := a.verdict(answer, r.Shape); err != nil || out == nil {
		return err
	}
	return answer.JSON(out)
}

// mayTryQuery tells whether the keys may go into the query, where proxies log them: only as long as LeadSquared has never taken them from headers.
func (a *api) mayTryQuery() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.certain || a.auth == AuthQuery // another worker may have found out meanwhile
}

// way returns how the keys travel.
func (a *api) way() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.auth
}

func (a *api) send(ctx context.Context, r httpx.Request, auth string) (*httpx.Answer, error) {
	if err := a.limit.Take(ctx); err != nil {
		return nil, err
	}
	defer a.limit.Done()
	if auth == AuthQuery {
		r.Query = maps.Clone(r.Query)
		if r.Query == nil {
			r.Query = url.Values{}
		}
		r.Query.Set("accessKey", a.access)
		r.Query.Set("secretKey", a.secret)
	} else {
		r.Header = http.Header{"x-LSQ-AccessKey": {a.access}, "x-LSQ-SecretKey": {a.secret}}
	}
	return a.client.Send(ctx, r)
}

// create makes a record and returns its id.
func (a *api) create(ctx context.Context, path string, query url.Values, body any) (string, error) {
	var answer struct{ Message any }
	if err := a.call(ctx, http.MethodPost, path, query, body, &answer); err != nil {
		return "", err
	}
	if m, ok := answer.Message.(map[string]any); ok {
		for _, name := range []string{"Id", "ID", "RelatedId", "ProspectActivityId", "TaskId"} {
			if id, _ := m[name].(string); id != "" {
				return id, nil
			}
		}
	}
	return "", fmt.Errorf("%s answers 200 to %s without an id", a.host(), path)
}

// rows makes a request for records.
func (a *api) rows(ctx context.Context, method, path string, query url.Values, body any) ([]row, error) {
	var answer any
	if err := a.call(ctx, method, path, query, body, &answer); err != nil {
		return nil, err
	}
	return rowsOf(answer)
}

// lists are the names under which answers have their records.
var lists = []string{"List", "Leads", "Fields", "Users", "ActivityTypes", "ProspectActivities", "TaskList", "Tasks", "Notes"}

// rowsOf returns the records of an answer: it is a list, or an object with one.
func rowsOf(answer any) ([]row, error) {
	var list []any
	switch v := answer.(type) {
	case nil:
		return nil, nil
	case []any:
		list = v
	case map[string]any:
		for _, name := range lists {
			if l, ok := v[name].([]any); ok {
				list = l
			}
		}
	default:
		return nil, errors.New("LeadSquared answers 200 without a list of records")
	}
	var out []row
	for _, e := range list {
		m, ok := e.(map[string]any)
		if !ok {
			continue
		}
		if pairs, ok := m["LeadPropertyList"]; ok { // a record as a list of pairs
			r := row{}
			each(pairs, "", func(name, value string) { r[name] = value })
			m = r
		}
		out = append(out, row(m))
	}
	return out, nil
}

// names lists what a request holds, without the values.
func names(body any) string {
	switch b := body.(type) {
	case map[string]any:
		return httpx.Names(b)
	case []pair:
		all := map[string]bool{}
		for _, p := range b {
			all[p.Attribute] = true
		}
		return httpx.Names(all)
	}
	return ""
}

// harmless returns JSON without angle brackets in it, for lookalikes. encoding/json writes them as escapes.
func harmless(content []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(content, []byte(`\u003c`), []byte("‹")), []byte(`\u003e`), []byte("›"))
}

// row is a record as LeadSquared sends it.
type row map[string]any

// text returns the first of the named values that is not empty.
func (r row) text(names ...string) string {
	for _, name := range names {
		switch v := r[name].(type) {
		case string:
			if v != "" {
				return v
			}
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64)
		case bool:
			return strconv.FormatBool(v)
		}
	}
	return ""
}

// each calls f with every text in a record and the name that it stands under. LeadSquared has names as keys, and lists of pairs.
func each(v any, name string, f func(name, value string)) {
	switch v := v.(type) {
	case string:
		f(name, v)
	case float64:
		f(name, strconv.FormatFloat(v, 'f', -1, 64))
	case row:
		each(map[string]any(v), name, f)
	case []any:
		for _, e := range v {
			each(e, name, f)
		}
	case map[string]any:
		for _, key := range []string{"SchemaName", "Key", "Attribute"} {
			if n, ok := v[key].(string); ok && n != "" {
				each(v["Value"], n, f)
				return
			}
		}
		for n, e := range v {
			each(e, n, f)
		}
	}
}

// hasLine tells whether one of the lines of s is line.
func hasLine(s, line string) bool {
	for l := range strings.Lines(s) {
		if strings.TrimSpace(l) == line {
			return true
		}
	}
	return false
}
