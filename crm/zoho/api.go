package zoho

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
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

	mu      sync.Mutex
	shut    time.Time            // no request before
	modules map[string]module    // what is known of each
	noCOQL  map[string]time.Time // modules whose queries were refused, and when
	coql    map[string]bool      // modules whose queries have been answered
}

func newAPI(cfg Config, workers int) (*api, error) {
	base, err := httpx.Origin("api_url", cfg.API())
	if err != nil {
		return nil, err
	}
	accounts, err := httpx.Origin("accounts_url", cfg.accounts())
	if err != nil {
		return nil, err
	}
	hide := []string{cfg.ClientSecret.Reveal(), cfg.RefreshToken.Reveal()}
	client, err := httpx.New(base, cfg.Config, workers, hide...)
	if err != nil {
		return nil, err
	}
	gate, err := httpx.New(accounts, cfg.Config, 1, hide...)
	if err != nil {
		return nil, err
	}
	n := cfg.Concurrency
	if n == 0 {
		n = everybody
	}
	a := &api{
		cfg: cfg, client: client, mint: &minter{cfg: cfg, client: gate, api: base}, turns: make(chan struct{}, n),
		modules: map[string]module{}, noCOQL: map[string]time.Time{}, coql: map[string]bool{},
	}
	a.tokens = token.New(a.mint.fetch)
	return a, nil
}

// close closes the idle connections.
func (a *api) close() error { return errors.Join(a.client.Close(), a.mint.client.Close()) }

// request is one request.
type request struct {
	method, path string // below /crm/v8
	query        url.Values
	header       http.Header
	body         any
	shape        string // for operators: what was sent, without values
}

// do sends a request with a token, and once more with a new one if that was refused: then nothing was done.
func (a *api) do(ctx context.Context, r request, out any) error {
	var raw []byte
	if r.body != nil {
		var err error
		if raw, err = json.Marshal(r.body); err != nil {
			return crm.Rejected(fmt.Errorf("encode %s: %w", r.shape, err), r.shape)
		}
	}
	for again := false; ; again = true {
		bearer, err := a.tokens.Token(ctx)
		if err != nil {
			return err
		}
		answer, err := a.send(ctx, r, raw, bearer)
		if err != nil {
			return err
		}
		if answer.Status == http.StatusUnauthorized && !strings.Contains(string(answer.Body), "OAUTH_SCOPE_MISMATCH") {
			a.mint.refuse(bearer)
			a.tokens.Refused(bearer)
			if !again {
				continue
			}
		}
		return read(answer, a.client.Base().Host, r.shape, out)
	}
}

// send sends it when it may.
func (a *api) send(ctx context.Context, r request, raw []byte, bearer string) (*httpx.Answer, error) {
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
		return nil, crm.Throttled(fmt.Errorf("%s has no request left until its window ends, in %s", a.client.Base().Host, wait.Round(time.Second)), wait)
	}
	u := a.client.Base()
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/")+version+r.path, ""
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(raw))
	if err != nil {
		return nil, crm.Halted(fmt.Errorf("make a request: %s", httpx.Mask(err.Error())))
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if raw != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Authorization", "Zoho-oauthtoken "+bearer)
	answer, err := a.client.Do(req)
	if err == nil {
		if wait := spent(answer.Header); wait > 0 {
			a.mu.Lock()
			a.shut = time.Now().Add(wait)
			a.mu.Unlock()
		}
	}
	return answer, err
}

// record is one record as Zoho shows or takes it.
type record map[string]any

// UnmarshalJSON keeps numbers as they are written: an id has 19 digits.
func (r *record) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode((*map[string]any)(r))
}

func (r record) text(name string) string {
	switch v := r[name].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

func (r record) is(name string) bool { return r[name] == true || r[name] == "true" }

// ref returns the id that a look-up field holds.
func (r record) ref(name string) string {
	switch v := r[name].(type) {
	case map[string]any:
		return record(v).text("id")
	case string:
		return v
	}
	return ""
}

func (r record) time(name string) time.Time {
	t, err := time.Parse(time.RFC3339, r.text(name))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// list is what a read answers; nothing found is an empty body.
type list struct {
	Data []record `json:"data"`
	Info struct {
		More bool `json:"more_records"`
	} `json:"info"`
}

// get reads one record by its id, with all its fields; step.ErrGone: there is none.
func (a *api) get(ctx context.Context, module, id string) (record, error) {
	r := request{method: http.MethodGet, path: "/" + module + "/" + url.PathEscape(id), shape: "GET " + module}
	var out list
	err := a.do(ctx, r, &out)
	if isGone(err) {
		return nil, fmt.Errorf("%w: %w", step.ErrGone, err)
	}
	if err == nil && len(out.Data) == 0 {
		err = step.ErrGone
	}
	if err != nil {
		return nil, err
	}
	return out.Data[0], nil
}

// create makes a record and returns its id. Its errors are those of the row, as fault.
func (a *api) create(ctx context.Context, path string, values record) (string, error) {
	id, err := a.write(ctx, http.MethodPost, path, values)
	if err == nil && id == "" {
		err = fmt.Errorf("%s made a record of %s and told no id", a.client.Base().Host, strings.Trim(path, "/"))
	}
	return id, err
}

// change writes the fields given and no others; step.ErrGone: there is no such record.
func (a *api) change(ctx context.Context, module, id string, values record) error {
	_, err := a.write(ctx, http.MethodPut, "/"+module+"/"+url.PathEscape(id), values)
	if isGone(err) {
		return fmt.Errorf("%w: %w", step.ErrGone, err)
	}
	return err
}

func (a *api) write(ctx context.Context, method, path string, values record) (string, error) {
	body := map[string]any{"data": []record{values}}
	if !a.cfg.Trigger {
		body["trigger"] = []string{} // without it every workflow, approval and blueprint is set off
	}
	module, _, _ := strings.Cut(strings.Trim(path, "/"), "/")
	shape := method + " " + module + " {" + strings.Join(sortedKeys(values), ", ") + "}"
	var out struct {
		Data []verdict `json:"data"`
	}
	if err := a.do(ctx, request{method: method, path: path, body: body, shape: shape}, &out); err != nil {
		return "", err
	}
	if len(out.Data) == 0 {
		return "", fmt.Errorf("%s answers a write to %s with no row", a.client.Base().Host, module)
	}
	row := out.Data[0]
	if row.Status == "error" || row.Code != success {
		return "", judge(accepted, a.client.Base().Host, shape, row)
	}
	return string(row.details().ID), nil
}

// accepted is the answer of a write whose one row is an error.
var accepted = &httpx.Answer{Status: http.StatusMultiStatus, Header: http.Header{}}

func sortedKeys(m record) []string { return slices.Sorted(maps.Keys(m)) }
