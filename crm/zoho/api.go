package zoho

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/step"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/token"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

const version = "/crm/v8"

// api speaks to one organisation. It is safe for concurrent use.
type api struct {
	cfg    Config
	client *httpx.Client
	mint   *minter
	tokens *token.Source
	turns  chan struct{} // as many as requests may be under way

	modules  cache.Cache[module]   // what is known of each
	compared cache.Cache[struct{}] // whether that was found to be old lately
	queries  cache.Cache[bool]     // whether a module's queries are answered, or refused

	mu   sync.Mutex
	shut time.Time // no request before
}

func newAPI(cfg Config, workers int) (*api, error) {
	hide := []string{cfg.ClientSecret.Reveal(), cfg.RefreshToken.Reveal()}
	client, err := httpx.Open("api_url", cfg.API(), cfg.Config, workers, hide...)
	if err != nil {
		return nil, err
	}
	gate, err := httpx.Open("accounts_url", cfg.accounts(), cfg.Config, 1, hide...)
	if err != nil {
		return nil, err
	}
	a := &api{cfg: cfg, client: client, mint: &minter{cfg: cfg, client: gate, api: client.Base()}, turns: make(chan struct{}, cmp.Or(cfg.Concurrency, everybody))}
	a.tokens = token.New(a.mint.fetch)
	return a, nil
}

func (a *api) host() string { return a.client.Base().Host }

// close closes the idle connections.
func (a *api) close() error { return errors.Join(a.client.Close(), a.mint.client.Close()) }

// do sends a request below version with a token.
func (a *api) do(ctx context.Context, r httpx.Request, out any) error {
	r.Path = version + r.Path
	answer, err := a.tokens.Do(ctx, refusesToken, func(bearer string) (*httpx.Answer, error) { return a.send(ctx, r, bearer) })
	if err != nil {
		return err
	}
	return read(answer, a.host(), r.Shape, out)
}

// send sends a request when it may.
func (a *api) send(ctx context.Context, r httpx.Request, bearer string) (*httpx.Answer, error) {
	select {
	case a.turns <- struct{}{}:
		defer func() { <-a.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	a.mu.Lock()
	wait := time.Until(a.shut)
	a.mu.Unlock()
	if wait > 0 {
		return nil, crm.Throttled(fmt.Errorf("%s has no request left until its window ends, in %s", a.host(), wait.Round(time.Second)), wait)
	}
	r.Header = r.Header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Authorization", "Zoho-oauthtoken "+bearer)
	answer, err := a.client.Send(ctx, r)
	if err != nil {
		return nil, err
	}
	if refusesToken(answer) {
		a.mint.refuse(bearer)
	}
	if wait := spent(answer.Header); wait > 0 {
		a.mu.Lock()
		a.shut = time.Now().Add(wait)
		a.mu.Unlock()
	}
	return answer, nil
}

// row is one record as Zoho shows or takes it.
type row map[string]any

// UnmarshalJSON keeps numbers as they are written: an id has 19 digits.
func (r *row) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode((*map[string]any)(r))
}

func (r row) text(name string) string {
	switch v := r[name].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

func (r row) is(name string) bool { return r[name] == true || r[name] == "true" }

// ref returns the id that a look-up field holds.
func (r row) ref(name string) string {
	switch v := r[name].(type) {
	case map[string]any:
		return row(v).text("id")
	case string:
		return v
	}
	return ""
}

func (r row) time(name string) time.Time { return record.When(r.text(name)) }

// list is what a read answers; nothing found is an empty body.
type list struct {
	Data []row `json:"data"`
	Info struct {
		More bool `json:"more_records"`
	} `json:"info"`
}

// list makes a request for records. shape names it beside its method; more: there is another page.
func (a *api) list(ctx context.Context, path string, query url.Values, shape string) (rows []row, more bool, err error) {
	var out list
	err = a.do(ctx, httpx.Request{Method: http.MethodGet, Path: path, Query: query, Shape: "GET " + shape}, &out)
	return out.Data, out.Info.More, err
}

// latest returns a page of the records of a module that were made last. Unlike a search, this list comes from the database.
func (a *api) latest(ctx context.Context, module string, fields []string, page int) (rows []row, more bool, err error) {
	q := url.Values{"fields": {strings.Join(fields, ",")}, "sort_by": {"Created_Time"}, "sort_order": {"desc"}, "per_page": {"200"}, "page": {strconv.Itoa(page)}}
	return a.list(ctx, "/"+module, q, module)
}

// get reads one record by its id, with all its fields; step.ErrGone: there is none.
func (a *api) get(ctx context.Context, module, id string) (row, error) {
	rows, _, err := a.list(ctx, "/"+module+"/"+url.PathEscape(id), nil, module)
	if isGone(err) {
		return nil, fmt.Errorf("%w: %w", step.ErrGone, err)
	}
	if err == nil && len(rows) == 0 {
		err = step.ErrGone
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// create makes a record and returns its id. Its errors are those of the row.
func (a *api) create(ctx context.Context, path string, values row) (string, error) {
	id, err := a.write(ctx, http.MethodPost, path, values)
	if err == nil && id == "" {
		err = fmt.Errorf("%s made a record of %s and told no id", a.host(), strings.Trim(path, "/"))
	}
	return id, err
}

// change writes the fields given and no others; step.ErrGone: there is no such record.
func (a *api) change(ctx context.Context, module, id string, values row) error {
	_, err := a.write(ctx, http.MethodPut, "/"+module+"/"+url.PathEscape(id), values)
	if isGone(err) {
		return fmt.Errorf("%w: %w", step.ErrGone, err)
	}
	return err
}

func (a *api) write(ctx context.Context, method, path string, values row) (string, error) {
	body := map[string]any{"data": []row{values}}
	if !a.cfg.Trigger {
		body["trigger"] = []string{} // without it every workflow, approval and blueprint is set off
	}
	module, _, _ := strings.Cut(strings.Trim(path, "/"), "/")
	shape := method + " " + module + httpx.Names(values)
	var out struct {
		Data []verdict `json:"data"`
	}
	if err := a.do(ctx, httpx.Request{Method: method, Path: path, Body: body, Shape: shape}, &out); err != nil {
		return "", err
	}
	if len(out.Data) == 0 {
		return "", fmt.Errorf("%s answers a write to %s with no row", a.host(), module)
	}
	row := out.Data[0]
	if row.Status == "error" || row.Code != success {
		return "", judge(accepted, a.host(), shape, row)
	}
	return string(row.details().ID), nil
}

// accepted is the answer of a write whose one row is an error.
var accepted = &httpx.Answer{Status: http.StatusMultiStatus, Header: http.Header{}}

// user asks for the id of an active user by id, e-mail address or name; empty: there is none.
func (a *api) user(ctx context.Context, name string) (id string, err error) {
	if _, err := strconv.ParseUint(name, 10, 64); err == nil {
		return name, nil
	}
	var out struct {
		Users []row `json:"users"`
	}
	q := url.Values{"type": {"ActiveUsers"}, "per_page": {"200"}}
	if err := a.do(ctx, httpx.Request{Method: http.MethodGet, Path: "/users", Query: q, Shape: "GET users"}, &out); err != nil {
		return "", err
	}
	for _, u := range out.Users {
		if strings.EqualFold(u.text("email"), name) || strings.EqualFold(u.text("full_name"), name) {
			id = u.text("id")
		}
	}
	return id, nil
}
