package salesforce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/vinfer-sync/vinfer-sync/crm/internal/record"
	"github.com/vinfer-sync/vinfer-sync/crm/internal/token"
	"github.com/vinfer-sync/vinfer-sync/internal/httpx"
)

// root is where all of the API is.
const root = "/services/data/" + version

// object is a record as Salesforce sends and takes it.
type object = record.Fields

// api speaks to one org. It is safe for concurrent use.
type api struct {
	cfg    Config
	client *httpx.Client // to the org
	logins *httpx.Client // to where tokens come from
	tokens *token.Source
	quota  quota

	mu             sync.Mutex
	instance, user string // of the last token
}

func newAPI(cfg Config, workers int) (*api, error) {
	base, err := origin("url", cfg.URL)
	if err != nil {
		return nil, err
	}
	login, err := origin("login_url", cmp.Or(cfg.LoginURL, cfg.URL))
	if err != nil {
		return nil, err
	}
	hide := []string{cfg.ClientSecret.Reveal(), cfg.PrivateKey.Reveal(), cfg.ClientID}
	client, err := httpx.New(base, cfg.Config, workers, hide...)
	if err != nil {
		return nil, err
	}
	a := &api{cfg: cfg, client: client, logins: client, quota: quota{host: base.Host, keep: cfg.KeepFree}}
	if login.String() != base.String() {
		if a.logins, err = httpx.New(login, cfg.Config, 1, hide...); err != nil {
			return nil, err
		}
	}
	a.tokens = token.New(a.login)
	return a, nil
}

func (a *api) close() error { return errors.Join(a.client.Close(), a.logins.Close()) }

// call makes one request and decodes its answer into out, unless that is nil. path is below root; body nil: none. A token that is
// refused is replaced once: then nothing was done.
func (a *api) call(ctx context.Context, method, path string, query url.Values, body any, header http.Header, out any) error {
	r := httpx.Request{Method: method, Path: root + path, Query: query, Body: body, Shape: method + " " + shapeOf(path)}
	if o, ok := body.(object); ok {
		r.Shape += httpx.Names(o)
	}
	answer, err := a.tokens.Do(ctx, nil, func(bearer string) (*httpx.Answer, error) { return a.send(ctx, r, header, bearer) })
	if err != nil {
		return err
	}
	if answer.Status/100 != 2 {
		return a.refuse(answer, r.Shape)
	}
	if out == nil {
		return nil
	}
	return answer.JSON(out)
}

// send sends a request if the org's limit allows it.
func (a *api) send(ctx context.Context, r httpx.Request, header http.Header, bearer string) (*httpx.Answer, error) {
	r.Header = http.Header{"Authorization": {"Bearer " + bearer}}
	maps.Copy(r.Header, header)
	sent, err := a.quota.open()
	if err != nil {
		return nil, err
	}
	answer, err := a.client.Send(ctx, r)
	if err != nil {
		a.quota.done(sent, nil, 0)
		return nil, err
	}
	a.quota.done(sent, answer.Header, answer.Status)
	return answer, nil
}

// shapeOf returns a path without ids and values.
func shapeOf(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, p := range parts {
		if i > 1 && p != "describe" && !strings.HasSuffix(p, "__c") && p != "CustomField" {
			parts[i] = "ID"
		}
	}
	return "/" + strings.Join(parts, "/")
}

// page is the answer to a query.
type page struct {
	Records *[]object `json:"records"`
	Next    string    `json:"nextRecordsUrl"`
}

// query asks for records. Rows after the first 2,000 are not asked for: no query of ours has so many.
func (a *api) query(ctx context.Context, soql string) ([]object, error) {
	var p page
	if err := a.call(ctx, http.MethodGet, "/query", url.Values{"q": {soql}}, nil, nil, &p); err != nil {
		return nil, err
	}
	if p.Records == nil {
		return nil, fmt.Errorf("%s answers 200 to a query without records", a.client.Base().Host)
	}
	return *p.Records, nil
}

// create makes a record by itself and returns its id.
func (a *api) create(ctx context.Context, path string, body object, header http.Header) (string, error) {
	var made struct {
		ID string `json:"id"`
	}
	if err := a.call(ctx, http.MethodPost, path, nil, body, header, &made); err != nil {
		return "", err
	}
	if made.ID == "" {
		return "", fmt.Errorf("%s answers to POST %s without an id", a.client.Base().Host, shapeOf(path))
	}
	return made.ID, nil
}

// quote writes a value for SOQL.
func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", "").Replace(s) + "'"
}

// list writes values for SOQL's IN.
func list(values ...string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	return "(" + strings.Join(quoted, ", ") + ")"
}
