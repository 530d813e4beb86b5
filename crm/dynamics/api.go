package dynamics

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/vinfer-sync/vinfer-sync/crm"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/cache"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/token"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// entra is where Microsoft Entra hands out tokens.
const entra = "https://login.microsoftonline.com"

// api speaks the Web API of one environment. It is safe for concurrent use.
type api struct {
	cfg    Config
	root   string
	client *httpx.Client
	logins *httpx.Client
	tokens *token.Source

	columns cache.Cache[*column]           // by table and name
	types   cache.Cache[map[string]string] // by table: the types of its columns
	me      cache.Cache[string]            // the id of the application user
}

func newAPI(cfg Config, workers int) (*api, error) {
	client, err := httpx.Open("url", cfg.URL, cfg.Config, workers, cfg.ClientSecret.Reveal())
	if err != nil {
		return nil, err
	}
	tokens := cmp.Or(cfg.TokenURL, entra+"/"+url.PathEscape(cfg.Tenant)+"/oauth2/v2.0/token")
	logins, err := httpx.Open("token_url", tokens, cfg.Config, 1, cfg.ClientSecret.Reveal())
	if err != nil {
		return nil, err
	}
	a := &api{cfg: cfg, root: "api/data/" + cmp.Or(cfg.Version, "v9.2") + "/", client: client, logins: logins}
	a.tokens = token.New(a.login)
	return a, nil
}

// login asks for an access token, which lasts an hour. AD FS wants the resource named, Entra refuses a request that names one.
func (a *api) login(ctx context.Context) (string, time.Duration, error) {
	base := a.client.Base()
	resource := base.Scheme + "://" + base.Host
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {a.cfg.ClientID}, "client_secret": {a.cfg.ClientSecret.Reveal()}, "scope": {resource + "/.default"},
	}
	if a.cfg.TokenURL != "" {
		form.Set("resource", resource)
		form.Del("scope")
	}
	const shape = "POST token"
	answer, err := a.logins.Send(ctx, httpx.Request{Method: http.MethodPost, Body: form, Shape: shape})
	if err != nil {
		return "", 0, err
	}
	if err := httpx.Verdict(answer, shape); err != nil {
		if crm.VerdictOf(err) == crm.Reject { // Entra answers 400 to an unknown application or tenant
			err = crm.Halted(fmt.Errorf("no access token: %w: look at tenant, client_id and client_secret", err))
		}
		return "", 0, err
	}
	var t struct {
		Token   string `json:"access_token"`
		Expires any    `json:"expires_in"` // a number; older servers write it as text
	}
	if err := answer.JSON(&t); err != nil {
		return "", 0, err
	}
	if t.Token == "" {
		return "", 0, fmt.Errorf("%s answers without an access token", a.logins.Base().Host)
	}
	seconds, _ := strconv.ParseFloat(fmt.Sprint(t.Expires), 64)
	return t.Token, time.Duration(min(seconds, 1e6)) * time.Second, nil
}

// request is one request below the root of the Web API.
type request struct {
	method, path string
	query        url.Values
	header       http.Header
	body         record.Fields
	out          any // nil: the answer is not read
}

func (a *api) do(ctx context.Context, r request) error {
	shape := r.method + " " + shapeOf(r.path) + httpx.Names(r.body)
	out := httpx.Request{Method: r.method, Path: a.root + r.path, Query: r.query, Shape: shape}
	if r.body != nil {
		out.Body = r.body
	}
	answer, err := a.tokens.Do(ctx, nil, func(bearer string) (*httpx.Answer, error) {
		out.Header = http.Header{"Authorization": {"Bearer " + bearer}, "Odata-Version": {"4.0"}, "Odata-Maxversion": {"4.0"}}
		maps.Copy(out.Header, r.header)
		return a.client.Send(ctx, out)
	})
	if err != nil {
		return err
	}
	if err := refusal(answer, shape); err != nil || r.out == nil {
		return err
	}
	return answer.JSON(r.out)
}

// shapeOf returns a path without the id of a record.
func shapeOf(path string) string {
	if set, _, ok := strings.Cut(path, "("); ok && tableOf[set] != "" {
		return set
	}
	return path
}

// annotated asks for the table of each reference besides.
var annotated = http.Header{"Prefer": {`odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname"`}}

// get reads a record; step.ErrGone: there is none.
func (a *api) get(ctx context.Context, set, id string, columns []string) (record.Fields, error) {
	out := record.Fields{}
	err := a.do(ctx, request{
		method: http.MethodGet, path: set + "(" + id + ")", query: url.Values{"$select": {strings.Join(columns, ",")}}, header: annotated, out: &out,
	})
	return out, err
}

// find returns the records of a filter, the last changed first.
func (a *api) find(ctx context.Context, set, filter string, columns []string, limit int) ([]record.Fields, error) {
	var out struct {
		Value *[]record.Fields `json:"value"`
	}
	q := url.Values{"$select": {strings.Join(columns, ",")}, "$top": {fmt.Sprint(limit)}}
	if filter != "" {
		q.Set("$filter", filter)
		q.Set("$orderby", "modifiedon desc")
	}
	if err := a.do(ctx, request{method: http.MethodGet, path: set, query: q, header: annotated, out: &out}); err != nil {
		return nil, err
	}
	if out.Value == nil {
		return nil, fmt.Errorf("%s answers without records: is url that of a Dataverse environment?", a.client.Base().Host)
	}
	return *out.Value, nil
}

// create creates a record under an id; errExists: there is one.
func (a *api) create(ctx context.Context, set, id string, f record.Fields) error {
	return a.do(ctx, request{method: http.MethodPatch, path: set + "(" + id + ")", header: http.Header{"If-None-Match": {"*"}}, body: f})
}

// change updates a record; step.ErrGone: there is none. Without If-Match Dataverse would create one.
func (a *api) change(ctx context.Context, set, id string, f record.Fields) error {
	return oneRecord(a.do(ctx, request{method: http.MethodPatch, path: set + "(" + id + ")", header: http.Header{"If-Match": {"*"}}, body: f}))
}

// whoami returns the id of the application user.
func (a *api) whoami(ctx context.Context) (string, error) {
	return a.me.Get(ctx, "", func(ctx context.Context) (string, time.Duration, error) {
		var out struct{ UserID string }
		err := a.do(ctx, request{method: http.MethodGet, path: "WhoAmI", out: &out})
		if err == nil && out.UserID == "" {
			err = fmt.Errorf("%s does not tell as whom: is url that of a Dataverse environment?", a.client.Base().Host)
		}
		return out.UserID, cache.Forever, err
	})
}

// quoted writes a text as OData has it.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
