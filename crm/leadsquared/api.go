package leadsquared

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// api sends requests as one user.
type api struct {
	client         *httpx.Client
	base           *url.URL
	access, secret string
	limit          *limiter

	mu      sync.Mutex
	auth    string // how the keys travel
	certain bool   // it is known that they are taken so
}

// pair is one field of a lead as it is written.
type pair struct {
	Attribute string
	Value     string
}

// call makes one request and decodes its answer into out, unless that is nil. path is below v2.
func (a *api) call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	shape := method + " " + path + names(body)
	var content []byte
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return crm.Rejected(fmt.Errorf("encode %s: %w", path, err), shape)
		}
		content = b
	}
	err := a.exchange(ctx, method, path, query, content, shape, out)
	if body != nil && isMarkup(err) {
		// LeadSquared takes what looks like markup for an attack. Nothing was written.
		return a.exchange(ctx, method, path, query, harmless(content), shape, out)
	}
	return err
}

// exchange sends a request, with the keys wherever LeadSquared takes them, and reads its answer.
func (a *api) exchange(ctx context.Context, method, path string, query url.Values, content []byte, shape string, out any) error {
	a.mu.Lock()
	auth, certain := a.auth, a.certain
	a.mu.Unlock()
	answer, err := a.send(ctx, method, path, query, content, auth)
	if err != nil {
		return err
	}
	if auth == AuthHeaders && refusesKeys(answer) && a.mayTryQuery() {
		auth = AuthQuery
		if answer, err = a.send(ctx, method, path, query, content, auth); err != nil {
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
	if err := a.verdict(answer, shape); err != nil {
		return err
	}
	if out == nil {
		return nil
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

func (a *api) send(ctx context.Context, method, path string, query url.Values, content []byte, auth string) (*httpx.Answer, error) {
	if err := a.limit.begin(ctx); err != nil {
		return nil, err
	}
	defer a.limit.end()
	u := a.base.JoinPath(path)
	q := url.Values{}
	for name, values := range query {
		q[name] = values
	}
	if auth == AuthQuery {
		q.Set("accessKey", a.access)
		q.Set("secretKey", a.secret)
	}
	u.RawQuery = q.Encode() // a + of a number must travel as %2B
	var reader io.Reader
	if content != nil {
		reader = bytes.NewReader(content)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), reader)
	if err != nil {
		return nil, crm.Halted(fmt.Errorf("make a request: %s", httpx.Mask(err.Error(), a.base.String(), a.access, a.secret)))
	}
	req.Header.Set("Accept", "application/json")
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if auth == AuthHeaders {
		req.Header["x-LSQ-AccessKey"] = []string{a.access}
		req.Header["x-LSQ-SecretKey"] = []string{a.secret}
	}
	return a.client.Do(req)
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
	return "", fmt.Errorf("%s answers 200 to %s without an id", a.base.Host, path)
}

// names lists what a request holds, without the values.
func names(body any) string {
	var all []string
	switch b := body.(type) {
	case map[string]any:
		for name := range b {
			all = append(all, name)
		}
		slices.Sort(all)
	case []pair:
		for _, p := range b {
			all = append(all, p.Attribute)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return " {" + strings.Join(all, ", ") + "}"
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
