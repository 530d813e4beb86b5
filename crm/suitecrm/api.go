package suitecrm

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/token"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

const mime = "application/vnd.api+json"

// api speaks the V8 API. It is safe for concurrent use.
type api struct {
	cfg    Config
	client *httpx.Client
	tokens *token.Source

	width atomic.Int32 // widthUnknown, wide or narrow

	fields cache.Cache[map[string]bool] // by module
}

// refresh is how long what SuiteCRM's administrators rarely change is taken for true.
const refresh = 10 * time.Minute

func newAPI(cfg Config, workers int) (*api, error) {
	client, err := httpx.Open("url", cfg.URL, cfg.Config, workers, cfg.ClientSecret.Reveal())
	if err != nil {
		return nil, err
	}
	a := &api{cfg: cfg, client: client}
	a.tokens = token.New(a.login)
	return a, nil
}

func (a *api) host() string { return a.client.Base().Host }

// login asks for an access token. It lasts an hour unless the server is configured otherwise.
func (a *api) login(ctx context.Context) (string, time.Duration, error) {
	r := httpx.Request{Method: http.MethodPost, Path: "Api/access_token", Shape: "POST /Api/access_token", Body: map[string]string{
		"grant_type": "client_credentials", "client_id": a.cfg.ClientID, "client_secret": a.cfg.ClientSecret.Reveal(),
	}}
	answer, err := a.send(ctx, r, "")
	if err != nil {
		return "", 0, err
	}
	if err := httpx.Verdict(answer, r.Shape); err != nil {
		if crm.VerdictOf(err) == crm.Reject { // 400 and 404: the client is not known, or this is no SuiteCRM
			err = crm.Halted(fmt.Errorf("no access token: %w: look at url, client_id and client_secret", err))
		}
		return "", 0, err
	}
	var t struct {
		Token   string  `json:"access_token"`
		Expires float64 `json:"expires_in"`
	}
	if err := answer.JSON(&t); err != nil {
		return "", 0, err
	}
	if t.Token == "" {
		return "", 0, fmt.Errorf("%s answers without an access token: is url that of SuiteCRM?", a.host())
	}
	return t.Token, time.Duration(min(t.Expires, 1e6)) * time.Second, nil
}

func (a *api) send(ctx context.Context, r httpx.Request, bearer string) (*httpx.Answer, error) {
	r.Header = http.Header{"Content-Type": {mime}, "Accept": {mime}}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	return a.client.Send(ctx, r)
}

// do sends a request below Api/V8 with a token.
func (a *api) do(ctx context.Context, method, path string, query url.Values, body any, shape string, out any) error {
	r := httpx.Request{Method: method, Path: "Api/V8/" + path, Query: query, Body: body, Shape: shape}
	answer, err := a.tokens.Do(ctx, nil, func(bearer string) (*httpx.Answer, error) { return a.send(ctx, r, bearer) })
	if err != nil {
		return err
	}
	if err := refusal(answer, shape); err != nil || out == nil {
		return err
	}
	return answer.JSON(out)
}

// bean is one record, as JSON:API has it.
type bean struct {
	Type       string     `json:"type"`
	ID         string     `json:"id,omitempty"`
	Attributes attributes `json:"attributes,omitempty"`
}

type attributes record.Fields

// UnmarshalJSON reads an object, or [], as PHP writes one without entries: a user who is no administrator is shown nothing of others.
func (a *attributes) UnmarshalJSON(raw []byte) error {
	if string(raw) == "[]" {
		return nil
	}
	return json.Unmarshal(raw, (*map[string]any)(a))
}

func (b bean) text(name string) string { return record.Fields(b.Attributes).Text(name) }

// plain is the text of a field. SuiteCRM escapes what it stores, once or twice by its version, and again what it reads.
func (b bean) plain(name string) string {
	s := b.text(name)
	for range 4 {
		next := html.UnescapeString(s)
		if next == s {
			break
		}
		s = next
	}
	return s
}

func (b bean) time(name string) time.Time { return record.When(b.text(name)) }

type single struct {
	Data bean `json:"data"`
}

type list struct {
	Data []bean `json:"data"`
}

// get reads one record; step.ErrGone: there is none, or it was deleted.
func (a *api) get(ctx context.Context, module, id string, fields ...string) (bean, error) {
	var out single
	q := url.Values{"fields[" + module + "]": {strings.Join(fields, ",")}}
	err := a.do(ctx, http.MethodGet, "module/"+module+"/"+url.PathEscape(id), q, nil, "GET "+module, &out)
	if err == nil && out.Data.text("deleted") == "1" {
		err = step.ErrGone
	}
	return out.Data, err
}

// find returns the records that fit one of the filters, the last changed first.
func (a *api) find(ctx context.Context, module string, filters url.Values, fields []string, limit int) ([]bean, error) {
	var out list
	q := url.Values{
		"fields[" + module + "]": {strings.Join(fields, ",")}, "filter[operator]": {"or"}, "page[size]": {fmt.Sprint(limit)}, "sort": {"-date_modified"},
	}
	for k, v := range filters {
		q[k] = v
	}
	err := a.do(ctx, http.MethodGet, "module/"+module, q, nil, "GET "+module, &out)
	return out.Data, halting(err)
}

// create makes a record; errExists: there is, or was, one with the id.
func (a *api) create(ctx context.Context, b bean) (string, error) {
	return a.write(ctx, b.harmless(), func(b bean) (string, error) {
		var out single
		if err := a.do(ctx, http.MethodPost, "module", nil, map[string]any{"data": b}, shapeOf("POST", b), &out); err != nil {
			return "", halting(err)
		}
		if out.Data.ID == "" {
			return "", fmt.Errorf("%s made a record of %s and told no id", a.host(), b.Type)
		}
		return out.Data.ID, nil
	})
}

// change writes the attributes given and no others.
func (a *api) change(ctx context.Context, b bean) error {
	_, err := a.write(ctx, b.harmless(), func(b bean) (string, error) {
		return b.ID, a.do(ctx, http.MethodPatch, "module", nil, map[string]any{"data": b}, shapeOf("PATCH", b), nil)
	})
	return err
}

// link relates two records, which may be related already, by the link field of that name. Older versions (before 7.11.8) look for one
// by themselves, and take the wrong one where two modules have several.
func (a *api) link(ctx context.Context, b, to bean, field string) error {
	path := "module/" + b.Type + "/" + url.PathEscape(b.ID) + "/relationships"
	shape := "POST " + b.Type + " relationship to " + to.Type
	err := a.do(ctx, http.MethodPost, path+"/"+field, nil, map[string]any{"data": to}, shape, nil)
	if crm.VerdictOf(err) == crm.Reject {
		err = a.do(ctx, http.MethodPost, path, nil, map[string]any{"data": to}, shape, nil)
	}
	return err
}

func shapeOf(method string, b bean) string { return method + " " + b.Type + httpx.Names(b.Attributes) }

// has returns the fields that a module has.
func (a *api) has(ctx context.Context, module string) (map[string]bool, error) {
	return a.fields.Get(ctx, module, func(ctx context.Context) (map[string]bool, time.Duration, error) {
		var out single
		err := a.do(ctx, http.MethodGet, "meta/fields/"+module, nil, nil, "GET meta of "+module, &out)
		if crm.VerdictOf(err) == crm.Reject { // older versions, and modules that the menu does not show, have no list
			err = nil
		}
		names := map[string]bool{}
		for name := range out.Data.Attributes {
			names[name] = true
		}
		return names, refresh, err
	})
}
